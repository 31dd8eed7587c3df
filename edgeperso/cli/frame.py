"""What all verbs share: how they are registered, and what they open."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import typer
from typer.core import TyperCommand, TyperGroup

from edgeperso.cli.options import FILTER, OUTPUT, PLACE, UNLOCK, UnlockOptions, memory_filter
from edgeperso.cli.output import Output, ProgressLine
from edgeperso.errors import Cancelled
from edgeperso.settings import default_home, default_models_dir
from edgeperso.types import MemoryFilter

if TYPE_CHECKING:
    from edgeperso.assistant import Assistant
    from edgeperso.catalogue import Catalogue
    from edgeperso.vault import Vault
    from edgeperso.vault.credentials import Credential

__all__ = ["PlainCommand", "PlainGroup", "Run", "family", "verb"]

Verb = Callable[..., None]
"""A function whose first parameter is the `Run`."""


class PlainCommand(TyperCommand):
    """Help as plain text: typer escapes brackets for rich even where rich doesn't print them."""

    def get_help(self, ctx: click.Context) -> str:
        return super().get_help(ctx).replace("\\[", "[")


class PlainGroup(TyperGroup):
    """See `PlainCommand`."""

    def get_help(self, ctx: click.Context) -> str:
        return super().get_help(ctx).replace("\\[", "[")


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a verb: where the vault is, how to unlock it, how to print."""

    out: Output
    given_home: Path | None = None
    unlock: UnlockOptions = field(default_factory=UnlockOptions)
    where: MemoryFilter | None = None
    """Which memories count; None: nothing was said about it."""

    @property
    def home(self) -> Path:
        return default_home() if self.given_home is None else self.given_home.expanduser()

    @property
    def catalogue(self) -> Catalogue:
        from edgeperso.catalogue import Catalogue

        return Catalogue(default_models_dir())

    @property
    def progress(self) -> ProgressLine:
        return ProgressLine()

    def credential(self) -> Credential:
        """What opens the vault of this home; may ask on the terminal.

        Raises:
            VaultNotFound, HeaderDamaged, VaultTooNew: the key header can't be read.
            UsageError: see `choose_stored`.
        """
        from edgeperso.cli.unlock import choose_stored
        from edgeperso.vault.header import Header

        return choose_stored(self.unlock, tuple(wrap.type for wrap in Header.load(self.home).wraps()))

    def vault(self) -> Vault:
        """The unlocked vault; use it as a context manager."""
        from edgeperso.vault import Vault

        credential = self.credential()
        with self.progress as progress:
            return Vault.open(self.home, credential, progress=progress)

    def assistant(self, model: str | None = None) -> Assistant:
        """The unlocked assistant; use it as a context manager. ``model`` is a name or path, None the one chosen."""
        from edgeperso.assistant import open_assistant

        credential = self.credential()
        with self.progress as progress:
            return open_assistant(self.home, key=credential, model=model, progress=progress)


def family(about: str) -> typer.Typer:
    """A group of verbs."""
    return typer.Typer(help=about, no_args_is_help=True, cls=PlainGroup)


def verb(
    app: typer.Typer, name: str, *, place: bool = True, unlocks: bool = True, filters: bool = False
) -> Callable[[Verb], Verb]:
    """Register a function as a command of ``app``, with the shared options after its own.

    Args:
        app: the family it belongs to.
        name: the verb as it is typed.
        place: whether it works on a home.
        unlocks: whether it opens the vault of that home.
        filters: whether it can be told which memories count.
    """
    chosen = ((filters, FILTER), (True, OUTPUT), (place, PLACE), (unlocks, UNLOCK))
    shared = {option: spec for wanted, options in chosen if wanted for option, spec in options.items()}

    def register(function: Verb) -> Verb:
        _run, *own = inspect.signature(function, eval_str=True).parameters.values()
        keyword_only = inspect.Parameter.KEYWORD_ONLY
        parameters = [parameter.replace(kind=keyword_only) for parameter in own]
        parameters += [
            inspect.Parameter(option, keyword_only, default=default, annotation=annotation)
            for option, (annotation, default) in shared.items()
        ]

        @functools.wraps(function)
        def command(**values: Any) -> None:
            given = {option: values.pop(option) for option in shared}
            run = Run(
                Output(json=given["json"]),
                given.get("home"),
                UnlockOptions(**{option: given[option] for option in UNLOCK if option in given}),
                memory_filter({option: given[option] for option in FILTER if option in given}),
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
