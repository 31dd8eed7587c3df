"""The options that verbs share: where the vault is, how to unlock it, how to print, which memories count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edgeperso.times import datetime_ms
from edgeperso.types import Kind, MemoryFilter

__all__ = ["FILTER", "OUTPUT", "PLACE", "UNLOCK", "ModelOption", "StatesOption", "UnlockOptions", "memory_filter"]


@dataclass(frozen=True, slots=True)
class UnlockOptions:
    """What the command line says about unlocking; at most one of them may be given."""

    key_file: Path | None = None
    keyring: bool = False
    recovery: bool = False
    passphrase_fd: int | None = None


OUTPUT: Final = {"json": (Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")], False)}
PLACE: Final = {
    "home": (
        Annotated[
            Path | None,
            typer.Option(
                "--home",
                envvar="EDGEPERSO_HOME",
                show_default=False,
                show_envvar=False,
                metavar="DIR",
                help="The vault's folder (EDGEPERSO_HOME).",
            ),
        ],
        None,
    )
}
UNLOCK: Final = {
    "key_file": (
        Annotated[
            Path | None,
            typer.Option("--key-file", show_default=False, metavar="FILE", help="Its key file (EDGEPERSO_KEY_FILE)."),
        ],
        None,
    ),
    "keyring": (Annotated[bool, typer.Option("--keyring", help="Its key in the operating system's keyring.")], False),
    "recovery": (Annotated[bool, typer.Option("--recovery", help="Ask for its recovery key.")], False),
    "passphrase_fd": (
        Annotated[
            int | None,
            typer.Option(
                "--passphrase-fd",
                min=0,
                show_default=False,
                metavar="N",
                help="Read its passphrase from this open file descriptor.",
            ),
        ],
        None,
    ),
}
_Day = datetime | None
FILTER: Final = {
    "source": (
        Annotated[
            list[str] | None,
            typer.Option(
                "--source",
                show_default=False,
                metavar="NAME",
                help="Only this source, or below it (notes/); repeatable.",
            ),
        ],
        None,
    ),
    "kind": (
        Annotated[list[Kind] | None, typer.Option("--kind", show_default=False, help="Only this kind; repeatable.")],
        None,
    ),
    "scope": (
        Annotated[
            list[str] | None,
            typer.Option("--scope", show_default=False, metavar="NAME", help="Only this scope; repeatable."),
        ],
        None,
    ),
    "after": (
        Annotated[
            _Day,
            typer.Option(
                "--after", formats=["%Y-%m-%d"], show_default=False, metavar="DAY", help="From YYYY-MM-DD on."
            ),
        ],
        None,
    ),
    "before": (
        Annotated[
            _Day,
            typer.Option(
                "--before", formats=["%Y-%m-%d"], show_default=False, metavar="DAY", help="Before YYYY-MM-DD."
            ),
        ],
        None,
    ),
}
ModelOption = Annotated[
    str | None,
    typer.Option("--model", show_default=False, metavar="NAME", help="A model's name or GGUF file, for this once."),
]

StatesOption = Annotated[
    bool | None,
    typer.Option(
        "--memory-states/--no-memory-states",
        show_default=False,
        help="Read more memories at once, most of them ahead (`model ready`); unset: where that was measured to pay.",
    ),
]


def memory_filter(given: dict[str, Any]) -> MemoryFilter | None:
    """The values of `FILTER` as a filter; None if nothing was said."""
    if not any(given.values()):
        return None
    after, before = given["after"], given["before"]
    return MemoryFilter(
        sources=tuple(given["source"] or ()),
        kinds=tuple(given["kind"] or ()),
        scopes=tuple(given["scope"] or ()),
        after_ms=None if after is None else datetime_ms(after),
        before_ms=None if before is None else datetime_ms(before),
    )
