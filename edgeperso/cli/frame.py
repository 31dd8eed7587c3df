"""What all verbs share: the options for home, output and unlocking, and what they open."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import click
import typer
from typer.core import TyperCommand, TyperGroup

from edgeperso.cli.output import Output, ProgressLine
from edgeperso.cli.unlock import UnlockOptions, choose_stored
from edgeperso.errors import Cancelled

if TYPE_CHECKING:
    from edgeperso.assistant import Assistant
    from edgeperso.catalogue import Catalogue
    from edgeperso.vault.credentials import Credential

__all__ = ["PlainCommand", "PlainGroup", "Run", "verb"]

Verb = Callable[..., None]
"""A function whose first parameter is the `Run`."""


class PlainCommand(TyperCommand):
    """Help as plain text: typer escapes brackets for rich even where rich doesn't print them."""

    def get_help(self, ctx: click.Context) -> str:
        return super().get_help(ctx).replace("\\[", "[")


class PlainGroup(TyperGroup):
    """See `PlainCommand`. Commands keep the order in which they were registered."""

    def get_help(self, ctx: click.Context) -> str:
        return super().get_help(ctx).replace("\\[", "[")


_HOME = Annotated[
    Path | None,
    typer.Option("--home", envvar="EDGEPERSO_HOME", show_default=False, help="The vault's folder.", metavar="DIR"),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
_KEY_FILE = Annotated[
    Path | None,
    typer.Option("--key-file", show_default=False, help="The key file (EDGEPERSO_KEY_FILE).", metavar="FILE"),
]
_KEYRING = Annotated[bool, typer.Option("--keyring", help="The key in the operating system's keyring.")]
_RECOVERY = Annotated[bool, typer.Option("--recovery", help="Ask for the recovery key.")]
_FD = Annotated[
    int | None,
    typer.Option(
        "--passphrase-fd", min=0, show_default=False, help="Read the passphrase from this open descriptor.", metavar="N"
    ),
]
_OUTPUT: Final = {"json": (_JSON, False)}
_PLACE: Final = {"home": (_HOME, None)}
_UNLOCK: Final = {
    "key_file": (_KEY_FILE, None),
    "keyring": (_KEYRING, False),
    "recovery": (_RECOVERY, False),
    "passphrase_fd": (_FD, None),
}


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a verb: where the vault is, how to unlock it, how to print."""

    out: Output
    given_home: Path | None = None
    unlock: UnlockOptions = field(default_factory=UnlockOptions)

    @property
    def home(self) -> Path:
        from edgeperso.settings import default_home

        return default_home() if self.given_home is None else self.given_home.expanduser()

    @property
    def catalogue(self) -> Catalogue:
        from edgeperso.catalogue import Catalogue
        from edgeperso.settings import default_models_dir

        return Catalogue(default_models_dir())

    def credential(self) -> Credential:
        """What opens the vault of this home; may ask on the terminal.

        Raises:
            VaultNotFound, HeaderDamaged, VaultTooNew: the key header can't be read.
            UsageError: see `choose_stored`.
        """
        from edgeperso.vault.header import Header

        wraps = tuple(wrap.type for wrap in Header.load(self.home).wraps())
        return choose_stored(self.unlock, wraps)

    def open(self, model: str | None = None) -> Assistant:
        """The unlocked assistant; use it as a context manager."""
        import edgeperso.assistant

        return edgeperso.assistant.open(home=self.home, key=self.credential(), model=model)

    def progress(self) -> ProgressLine:
        return ProgressLine()


def verb(app: typer.Typer, name: str, *, place: bool = True, unlocks: bool = True) -> Callable[[Verb], Verb]:
    """Register a function as a command of ``app``, with the shared options after its own.

    Args:
        app: the family it belongs to.
        name: the verb as it is typed.
        place: whether it works on a home.
        unlocks: whether it opens the vault of that home.
    """
    shared = {**_OUTPUT, **(_PLACE if place else {}), **(_UNLOCK if unlocks else {})}

    def register(function: Verb) -> Verb:
        _run, *own = inspect.signature(function, eval_str=True).parameters.values()
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        for option, (annotation, default) in shared.items():
            parameters.append(
                inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            )

        @functools.wraps(function)
        def command(**values: Any) -> None:
            given = {option: values.pop(option) for option in shared}
            run = Run(
                Output(json=given["json"]),
                given.get("home"),
                UnlockOptions(**{option: given[option] for option in _UNLOCK if option in given}),
            )
            try:
                function(run, **values)
            except KeyboardInterrupt:
                raise Cancelled("Stopped.") from None

        del command.__wrapped__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name, cls=PlainCommand)(command)
        return function

    return register
