"""``edgeperso model …``: the model files on this machine and which of them is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeperso.cli.frame import PlainGroup, Run, verb

__all__ = ["app"]

app = typer.Typer(help="Model files: what is known, what is here, what is used.", no_args_is_help=True, cls=PlainGroup)

_NAME = Annotated[str, typer.Argument(metavar="NAME", help="A name that `edgeperso model list` shows.")]


@verb(app, "list", place=False, unlocks=False)
def list_models(run: Run) -> None:
    """Show the models that edgeperso knows by name, and which are on this machine."""
    catalogue = run.catalogue
    models = [
        {
            "name": entry.name,
            "role": entry.role.value,
            "present": catalogue.present(entry.name),
            "bytes": entry.size_bytes,
            "licence": entry.licence,
            "about": entry.about,
        }
        for entry in catalogue.entries()
    ]
    run.out.result({"models_dir": str(catalogue.models_dir), "models": models})
    run.out.rows(
        (
            str(model["name"]),
            str(model["role"]),
            "here" if model["present"] else "not here",
            f"{entry.size_bytes / 1e6:.0f} MB",
            entry.licence,
            entry.about,
        )
        for model, entry in zip(models, catalogue.entries(), strict=True)
    )


@verb(app, "pull", place=False, unlocks=False)
def pull_model(
    run: Run,
    name: _NAME,
    local: Annotated[
        Path | None,
        typer.Option("--from", show_default=False, metavar="PATH", help="Copy from this file or folder first."),
    ] = None,
) -> None:
    """Fetch a model, resuming what was begun; only files with the pinned sha256 are kept."""
    from edgeperso.catalogue import pull

    with run.progress() as progress:
        path = pull(run.catalogue, name, progress, local=local)
    run.out.result({"name": name, "path": str(path)})
    run.out.answer(str(path))


@verb(app, "verify", place=False, unlocks=False)
def verify_model(run: Run, name: _NAME) -> None:
    """Read a model's files and compare their sha256."""
    run.catalogue.verify(name)
    run.out.result({"name": name, "whole": True})
    run.out.answer(f"{name} is whole.")
