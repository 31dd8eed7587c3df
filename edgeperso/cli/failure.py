"""How a command fails: one line that says what is wrong and what to do, an exit code, never a traceback with texts.

Promises:

* an error of ours is shown as it is: its message never holds a person's text;
* of any other exception only the type and the place in our code are shown; with ``EDGEPERSO_DEBUG`` set, the frames as
  well, never a message and never a local variable;
* what was typed on the command line isn't repeated: it may be a memory.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from pathlib import Path
from typing import Final

import click

from edgeperso.cli.output import clean, encode, paint
from edgeperso.errors import Cancelled, DiskFull, EdgepersoError, ReadOnly, UsageError

__all__ = ["INTERNAL_EXIT_CODE", "report"]

INTERNAL_EXIT_CODE: Final = 70
"""sysexits.h EX_SOFTWARE: a fault of edgeperso itself."""

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_DENIED: Final = {errno.EROFS, errno.EACCES, errno.EPERM}
_PACKAGE: Final = Path(__file__).resolve().parent.parent


class InternalError(EdgepersoError):
    code = "internal"
    exit_code = INTERNAL_EXIT_CODE
    default_hint = (
        "Please report it. `edgeperso doctor` may tell more, and so does EDGEPERSO_DEBUG=1 (no text of yours is shown)."
    )


def report(error: BaseException, *, json: bool) -> int:
    """Print ``error`` to stderr and return the exit code."""
    ours = _ours(error)
    if json:
        sys.stderr.write(encode({"error": ours.as_dict()}) + "\n")
    else:
        label = paint(f"error [{ours.code}]:", "red", sys.stderr)
        sys.stderr.write(clean(f"{ours.message} {ours.hint}".strip()).join((f"{label} ", "\n")))
    if isinstance(ours, InternalError) and os.environ.get("EDGEPERSO_DEBUG"):
        _show_frames(error)
    return ours.exit_code


def _ours(error: BaseException) -> EdgepersoError:
    if isinstance(error, EdgepersoError):
        return error
    if isinstance(error, click.Abort | KeyboardInterrupt | EOFError):
        return Cancelled("Stopped.")
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, OSError) and error.errno in _FULL:
        return DiskFull("The disk is full.")
    if isinstance(error, OSError) and error.errno in _DENIED:
        return ReadOnly("A file can't be written or read here.")
    return InternalError(f"Something went wrong inside edgeperso: {type(error).__name__}{_place(error)}.")


def _usage(error: click.ClickException) -> UsageError:
    """Click's complaint without the words that were typed."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"See `{context.command_path if context else 'edgeperso'} --help`."
    name = error.param_hint if isinstance(error, click.BadParameter) else None
    if isinstance(error, click.BadParameter) and name is None and error.param is not None and context is not None:
        name = error.param.get_error_hint(context)
    label = " or ".join(name) if isinstance(name, list | tuple) else (name or "an argument")
    match error:
        case click.MissingParameter():
            return UsageError(f"Missing: {label}.", hint=hint)
        case click.BadParameter():
            return UsageError(f"The value given for {label} can't be used.", hint=hint)
        case click.NoSuchOption():
            return UsageError("There is no such option.", hint=hint)
        case click.BadOptionUsage():
            return UsageError(f"The option {error.option_name} needs a value, or takes none.", hint=hint)
        case _:
            return UsageError("There is no such command, or it doesn't take that many arguments.", hint=hint)


def _place(error: BaseException) -> str:
    """The innermost line of this package: ``at vault/memories.py:120``."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_PACKAGE):
            place = f" at {path.relative_to(_PACKAGE)}:{line}"
    return place


def _show_frames(error: BaseException) -> None:
    chain: list[BaseException] = []
    while error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__ or error
    for one in reversed(chain):
        sys.stderr.write("".join(traceback.format_tb(one.__traceback__)) + type(one).__name__ + "\n")
