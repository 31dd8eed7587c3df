"""The command tree and its entry point."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import click
import typer

import edgeperso
from edgeperso.cli import (
    adapters,
    answers,
    audits,
    conversations,
    doctor,
    evaluations,
    experiments,
    failure,
    federation,
    federation_deploy,
    judges,
    keys,
    learned,
    memories,
    models,
    personas,
    preferring,
    rankings,
    training,
    vaults,
)
from edgeperso.cli.frame import PlainGroup
from edgeperso.errors import UsageError
from edgeperso.secrecy import seclude

__all__ = ["command", "main"]

app = typer.Typer(
    name="edgeperso",
    help="A local language model that knows you, and nobody else does.",
    cls=PlainGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"edgeperso {edgeperso.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for verbs in (vaults.app, memories.app, answers.app, preferring.app, training.app, doctor.app):
    app.add_typer(verbs)
app.add_typer(memories.profile, name="profile")
app.add_typer(preferring.pairs, name="pair")
adapters.app.add_typer(personas.app)
app.add_typer(adapters.app, name="adapter")
app.add_typer(keys.app, name="key")
app.add_typer(models.app, name="model")
for measures in (conversations.app, experiments.app, rankings.app, judges.app, learned.app, audits.app):
    evaluations.app.add_typer(measures)
app.add_typer(evaluations.app, name="eval")
federation.app.add_typer(federation_deploy.app)
app.add_typer(federation.app, name="fl")


def command() -> click.Command:
    """The whole tree as click sees it."""
    return typer.main.get_command(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the words after ``edgeperso``; the process's own by default, and then the process is taken to be the
            command's alone: it keeps its memory to itself (`seclude`).
    """
    if argv is None:
        seclude()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        outcome = command().main(args=words, prog_name="edgeperso", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(error.format_message() + "\n")
        return UsageError.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort: nothing may end in a traceback that quotes texts
        before_texts = words[: words.index("--")] if "--" in words else words
        return failure.report(error, json="--json" in before_texts)
    return outcome if isinstance(outcome, int) else 0
