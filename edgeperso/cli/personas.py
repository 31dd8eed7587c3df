"""``edgeperso adapter personas`` and ``nearest``: what adapters of several people have in common, for a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeperso.cli.frame import Run, verb
from edgeperso.cli.learnt import adapter_dict, adapter_name

__all__ = ["app"]

app = typer.Typer()


@verb(app, "personas")
def make_personas(
    run: Run,
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Adapters that people shared: GGUF files or PEFT folders.")
    ],
    most: Annotated[int, typer.Option("--most", min=1, max=64, help="Personas at most.")] = 4,
) -> None:
    """Put adapters of several people into groups of those alike, and keep the mean of each as a persona."""
    with run.assistant() as me:
        found = me.adapters.personas(paths, most=most)
    run.out.result({"personas": [adapter_dict(one) for one in found.made], "left_out": found.left_out})
    for one in found.made:
        run.out.answer(f"{adapter_name(one)}: the mean of {one.evidence:,} adapters.")
    if found.left_out:
        run.out.note(
            f"{found.left_out:,} of {len(paths):,} adapters are in no persona: copies of another, or like no other. "
            "A persona of one person would be that person's adapter.",
            "yellow",
        )


@verb(app, "nearest")
def nearest_persona(run: Run) -> None:
    """Wear the persona whose people are most like you, by your profile and your first memories."""
    with run.assistant() as me:
        found = me.nearest_persona()
    run.out.result({"persona": None if found is None else adapter_dict(found)})
    if found is None:
        run.out.answer("No persona is like you, or none is here yet: see `edgeperso adapter list`.")
    else:
        run.out.answer(f"{adapter_name(found)} is worn from now on.")
