"""``edgeperso eval learning`` and ``eval pairs``: what adapters learn, on what they never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeperso.cli.experiments import LimitOption, OutOption, SeedOption, prepared, show
from edgeperso.cli.frame import Run, verb
from edgeperso.cli.options import ModelOption

__all__ = ["app"]

app = typer.Typer()


@verb(app, "learning", place=False, unlocks=False)
def learning(
    run: Run,
    questions: Annotated[
        Path, typer.Option("--questions", show_default=False, metavar="FILE", help="LaMP's questions, with reviews.")
    ],
    model: ModelOption = None,
    limit: Annotated[int, typer.Option("--limit", min=2, help="People: the first so many who wrote enough.")] = 30,
    seed: SeedOption = 0,
    out: OutOption = None,
) -> None:
    """Whether a LoRA that learnt a person's older reviews knows their newer ones better."""
    from edgeperso.evals.experiments.learning import run_learning

    with prepared(run, model, out, seed=seed) as setup:
        result = run_learning(setup, questions, limit=limit)
    show(run, result, out)


@verb(app, "pairs", place=False, unlocks=False)
def pairs(
    run: Run,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", show_default=False, metavar="FILE", help="UniEval's judgments of responses, as a second set."
        ),
    ] = None,
    model: ModelOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
) -> None:
    """Whether DPO on 50 pairs teaches what a person would rather read: an invented one, and people who rated."""
    from edgeperso.evals.experiments.pairs import run_pairs

    with prepared(run, model, out, seed=seed) as setup:
        result = run_pairs(setup, data, limit=limit)
    show(run, result, out)
