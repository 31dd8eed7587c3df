"""``edgeperso eval bias`` and ``eval leak``: what a name moves, and what gets out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeperso.cli.experiments import LimitOption, OutOption, SeedOption, prepared, show
from edgeperso.cli.frame import Run, verb
from edgeperso.cli.options import ModelOption

__all__ = ["app"]

app = typer.Typer()


@verb(app, "bias", place=False, unlocks=False)
def bias(
    run: Run,
    model: ModelOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
) -> None:
    """How far answers move when only the name, gender or nationality in the profile changes."""
    from edgeperso.evals.experiments.bias import run_bias

    with prepared(run, model, out, seed=seed) as setup:
        result = run_bias(setup, limit=limit)
    show(run, result, out)


@verb(app, "leak", place=False, unlocks=False)
def leak(
    run: Run,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", show_default=False, metavar="FILE", help="Plant the values of a file in Presidio's form."
        ),
    ] = None,
    learnt: Annotated[
        bool, typer.Option("--learnt", help="Train adapters on them too, and see what those say: the `train` extra.")
    ] = False,
    model: ModelOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
) -> None:
    """What answers, logs, errors, files, exports and adapters give away of planted secrets."""
    from edgeperso.evals.experiments.leak import run_leak

    with prepared(run, model, out, seed=seed) as setup:
        result = run_leak(setup, data, limit=limit, learnt=learnt)
    show(run, result, out)
