"""``edgeperso eval rank``: a person's own among other people's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeperso.cli.experiments import LimitOption, MethodOption, MostOption, OutOption, SeedOption, prepared, show
from edgeperso.cli.frame import Run, verb
from edgeperso.cli.options import ModelOption
from edgeperso.types import Asking

__all__ = ["app"]

app = typer.Typer()


@verb(app, "rank", place=False, unlocks=False)
def rank(
    run: Run,
    questions: Annotated[
        Path, typer.Option("--questions", show_default=False, metavar="FILE", help="LaMP-3's questions.")
    ],
    outputs: Annotated[Path, typer.Option("--outputs", show_default=False, metavar="FILE", help="Their outputs.")],
    model: ModelOption = None,
    method: MethodOption = None,
    asking: Annotated[
        list[Asking] | None,
        typer.Option("--asking", show_default=False, help="The way of asking (gain); several may be given."),
    ] = None,
    candidates: Annotated[int, typer.Option("--candidates", min=2, help="Reviews that are ranked.")] = 20,
    most: MostOption = 4,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
) -> None:
    """A person's own review among other people's, ranked by what they wrote before."""
    from edgeperso.evals.experiments.rank import RankRun, run_rank
    from edgeperso.evals.methods import Method

    asked = RankRun(
        tuple(Method.parse(name) for name in method or ("recent",)),
        tuple(asking or (Asking.GAIN,)),
        candidates,
        limit,
    )
    with prepared(run, model, out, seed=seed, most=most) as setup:
        result = run_rank(setup, questions, outputs, asked)
    show(run, result, out)
