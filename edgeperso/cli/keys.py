"""``edgeperso key …``: what opens the vault."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeperso.cli.frame import Run, family, verb
from edgeperso.cli.options import UnlockOptions
from edgeperso.cli.vaults import refuse_key_inside, show_recovery_key
from edgeperso.errors import UnlockError, UsageError
from edgeperso.times import day_of

if TYPE_CHECKING:
    from edgeperso.vault.credentials import Credential, WrapType

__all__ = ["app"]

app = family("What opens the vault: see it, change it, rotate the master key.")


class Way(StrEnum):
    """A credential that a person can add and remove."""

    PASSPHRASE = "passphrase"  # noqa: S105 - the name of one, not one
    KEY_FILE = "key-file"
    KEYRING = "keyring"


_WAY = Annotated[Way, typer.Argument(metavar="KIND", help="passphrase, key-file or keyring.")]
_NEW_FD = Annotated[
    int | None,
    typer.Option(
        "--new-passphrase-fd", min=0, show_default=False, metavar="N", help="Read the new passphrase from it."
    ),
]


@verb(app, "status", unlocks=False)
def status(run: Run) -> None:
    """Show which credentials open the vault, and since when."""
    from edgeperso.vault.header import Header

    header = Header.load(run.home)
    run.out.result(
        {
            "vault_id": header.vault_id,
            "generation": header.generation,
            "rotating": header.rotating,
            "credentials": [{"type": one.type.value, "created_ms": one.created_ms} for one in header.wraps()],
        }
    )
    run.out.rows((one.type.value.replace("_", " "), f"since {day_of(one.created_ms)}") for one in header.wraps())
    if header.rotating:
        run.out.note("The change of the master key was interrupted: run `edgeperso key rotate` again.", "yellow")


@verb(app, "passphrase")
def passphrase(run: Run, new_passphrase_fd: _NEW_FD = None) -> None:
    """Set or change the passphrase; the data isn't touched. With --recovery, if the old one is forgotten."""
    _add(run, Way.PASSPHRASE, None, new_passphrase_fd)


@verb(app, "add")
def add(
    run: Run,
    way: _WAY,
    to: Annotated[
        Path | None, typer.Option("--to", show_default=False, metavar="FILE", help="Where the new key file goes.")
    ] = None,
    new_passphrase_fd: _NEW_FD = None,
) -> None:
    """Add a credential; it replaces the one of its kind, if there is one."""
    _add(run, way, to, new_passphrase_fd)


def _add(run: Run, way: Way, to: Path | None, new_passphrase_fd: int | None) -> None:
    if (way is Way.KEY_FILE) != (to is not None):
        raise UsageError("A key file, and only that, needs --to FILE.")
    if to is not None:
        refuse_key_inside(run.home, to)
    with run.vault() as vault:
        new = _new_credential(way, to, new_passphrase_fd)
        info = vault.header.add(vault.master, new)
    run.out.result({"type": info.type.value, "created_ms": info.created_ms})
    run.out.answer(f"The {way.value.replace('-', ' ')} opens the vault now.")


def _new_credential(way: Way, to: Path | None, new_passphrase_fd: int | None) -> Credential:
    from edgeperso.cli.unlock import choose_new

    return choose_new(
        UnlockOptions(
            key_file=to,
            keyring=way is Way.KEYRING,
            passphrase_fd=new_passphrase_fd if way is Way.PASSPHRASE else None,
        )
    )


@verb(app, "remove")
def remove(run: Run, way: _WAY) -> None:
    """Stop accepting a credential; the last one besides the recovery key stays."""
    with run.vault() as vault:
        vault.header.remove(vault.master, _wrap_type(way))
    run.out.result({"removed": way.value})
    run.out.answer(f"The {way.value.replace('-', ' ')} doesn't open the vault any more.")


def _wrap_type(way: Way) -> WrapType:
    from edgeperso.vault.credentials import WrapType

    return {
        Way.PASSPHRASE: WrapType.PASSPHRASE,
        Way.KEY_FILE: WrapType.KEY_FILE,
        Way.KEYRING: WrapType.OS_KEYRING,
    }[way]


@verb(app, "recovery")
def recovery(run: Run) -> None:
    """Make a new recovery key and show it once; the old one opens nothing any more."""
    with run.vault() as vault:
        text = vault.header.new_recovery(vault.master)
    run.out.result({"recovery_key": text})
    show_recovery_key(run.out, text)


@verb(app, "rotate")
def rotate(run: Run) -> None:
    """Change the master key: all data is encrypted anew, and what opened the vault opens nothing any more.

    The credential given here keeps opening it, and so does the keyring; any other has to be added again. Nobody may
    have the vault open meanwhile. If it is interrupted, run it again.
    """
    from edgeperso.cli.unlock import choose_new
    from edgeperso.vault import OsKeyring, RecoveryKey, rotation

    credential = run.credential()
    kept: list[Credential] = [choose_new(UnlockOptions()) if isinstance(credential, RecoveryKey) else credential]
    if _keyring_opens(run, credential):
        kept.append(OsKeyring())
    run.out.note("Encrypting everything anew: about 20 s for each GB.")
    rotated = rotation.rotate(run.home, credential, kept)
    dropped = [one.value.replace("_", "-") for one in rotated.dropped]
    run.out.result({"recovery_key": rotated.recovery_key, "dropped": dropped, "generation": rotated.generation})
    run.out.answer("The master key is changed. Backups made before still open with the old credentials.")
    if dropped:
        run.out.note(f"No longer accepted: {', '.join(dropped)}. `edgeperso key add` adds them again.", "yellow")
    show_recovery_key(run.out, rotated.recovery_key)


def _keyring_opens(run: Run, credential: Credential) -> bool:
    """Whether the vault has a keyring credential, besides ``credential``, that works on this machine."""
    from edgeperso.vault import OsKeyring
    from edgeperso.vault.credentials import WrapType
    from edgeperso.vault.header import Header

    header = Header.load(run.home)
    if isinstance(credential, OsKeyring) or all(one.type is not WrapType.OS_KEYRING for one in header.wraps()):
        return False
    try:
        header.unlock(OsKeyring()).wipe()
    except UnlockError:
        return False
    return True
