"""The verbs about the vault as a whole: ``init``, ``backup``, ``restore``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgeperso.cli.frame import Run, verb
from edgeperso.cli.output import Output
from edgeperso.errors import SourceNotFound, UsageError
from edgeperso.times import day_of

__all__ = ["app", "refuse_key_inside", "show_recovery_key"]

app = typer.Typer()


@verb(app, "init")
def init(run: Run) -> None:
    """Make a vault, and show its recovery key once. Without an option a passphrase is asked."""
    from edgeperso.cli.unlock import choose_new
    from edgeperso.vault import Vault
    from edgeperso.vault.vault import refuse_taken

    refuse_taken(run.home)  # before anything is asked
    if run.unlock.key_file is not None:
        refuse_key_inside(run.home, run.unlock.key_file)
    vault, recovery_key = Vault.create(run.home, choose_new(run.unlock))
    vault_id = vault.id
    vault.close()
    run.out.result({"home": str(run.home), "vault_id": vault_id, "recovery_key": recovery_key})
    run.out.answer(f"Vault made in {run.home}.")
    show_recovery_key(run.out, recovery_key)


@verb(app, "backup")
def backup(
    run: Run,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A file that doesn't exist yet.")],
) -> None:
    """Write the whole vault to one encrypted file; other processes may go on working."""
    from edgeperso.vault import backup

    with run.vault() as vault:
        report = backup.write(vault, path)
    run.out.result({"path": str(path), **asdict(report)})
    run.out.answer(f"{report.memories:,} memories, {report.database_bytes / 1e6:.1f} MB, in {path}.")


@verb(app, "restore")
def restore(
    run: Run,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `edgeperso backup` wrote.")],
) -> None:
    """Make a vault out of a backup, in a home that has none; it opens as it did when the backup was written."""
    from edgeperso.cli.unlock import choose_stored
    from edgeperso.vault import backup
    from edgeperso.vault.credentials import WrapType
    from edgeperso.vault.vault import refuse_taken

    refuse_taken(run.home)  # before anything is asked
    if not path.is_file():
        raise SourceNotFound(f"There is no file {path}.")
    credential = choose_stored(run.unlock, (WrapType.PASSPHRASE, WrapType.KEY_FILE))
    with run.progress as progress:
        report = backup.restore(path, run.home, credential, progress=progress)
    run.out.result({"home": str(run.home), **asdict(report)})
    run.out.answer(f"{report.memories:,} memories restored into {run.home}, as of {day_of(report.at_ms)}.")


def show_recovery_key(out: Output, recovery_key: str) -> None:
    """The one time that a recovery key is seen."""
    out.answer()
    out.answer(recovery_key)
    out.answer()
    out.note("This is the recovery key. It opens the vault when all else is lost, and is shown only now:", "yellow")
    out.note("write it on paper and keep it away from this machine.", "yellow")


def refuse_key_inside(home: Path, key_file: Path) -> None:
    """A key file beside what it opens protects nothing.

    Raises:
        UsageError: it lies, or would lie, in the vault's own folder.
    """
    if key_file.expanduser().resolve().is_relative_to(home.resolve()):
        raise UsageError(
            "The key file would lie in the vault's own folder.", hint="Keep it apart: choose another place."
        )
