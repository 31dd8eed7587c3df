"""Texts that a person gives: as words of the command, through a pipe, or typed when asked."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from edgeperso.cli.output import Output
from edgeperso.errors import DataInvalid, UsageError

__all__ = ["YES", "WordsArgument", "confirm", "text_from"]

_MAX_BYTES: Final = 4_000_000
YES: Final = "Give --yes."
"""What helps where nobody can be asked and there is no plan to look at."""

WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT...",
        show_default=False,
        help="The text. Without it, it is read from stdin: out of sight of the shell's history and the process list.",
    ),
]


def text_from(words: list[str] | None, asking: str) -> str:
    """The words joined, or what stdin holds; on a terminal, one line after the prompt ``asking``.

    Raises:
        DataInvalid: stdin holds something that isn't UTF-8 text, or more than 4 MB of it.
    """
    if words:
        return " ".join(words).strip()
    if sys.stdin.isatty():
        sys.stderr.write(asking)
        sys.stderr.flush()
        return sys.stdin.readline().strip()
    data = sys.stdin.buffer.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise DataInvalid("There is more than 4 MB of text on stdin.", hint="Import it as a file.")
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise DataInvalid(
            "What stdin holds is not UTF-8 text.", hint="Convert it first, or import it as a file."
        ) from None


def confirm(
    out: Output, question: str, *, yes: bool, hint: str = "Look at the plan with --dry-run, then give --yes."
) -> bool:
    """Whether the person agrees: ``--yes``, or an answer on the terminal.

    Raises:
        UsageError: there is nobody to ask.
    """
    if yes:
        return True
    if out.json or not sys.stdin.isatty():
        raise UsageError("This needs to be confirmed.", hint=hint)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
