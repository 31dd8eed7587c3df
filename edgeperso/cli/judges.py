"""``edgeperso eval judge``: a local model as judge, checked against people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeperso.cli.experiments import LimitOption, OutOption, SeedOption, prepared, show
from edgeperso.cli.frame import Run, verb
from edgeperso.cli.options import ModelOption
from edgeperso.errors import SourceNotFound

if TYPE_CHECKING:
    from edgeperso.evals.report import Result
    from edgeperso.evals.setup import Setup

__all__ = ["app"]

app = typer.Typer()


@verb(app, "judge", place=False, unlocks=False)
def judge(
    run: Run,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            show_default=False,
            metavar="PATH",
            help="Empathic Conversations' folder or turns, UniEval's judgments, or PrefEval's folder.",
        ),
    ],
    model: ModelOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
) -> None:
    """How far a local model judges as people do: empathy, response quality or personal fit, as the data has it."""
    if not data.exists():
        raise SourceNotFound(f"There is no {data.name}.", hint="Check --data.")
    with prepared(run, model, out, seed=seed) as setup:
        result = _judge(setup, data, limit)
    show(run, result, out)


def _judge(setup: Setup, data: Path, limit: int | None) -> Result:
    """The experiment that ``data`` is for: turns in a table, judgments in JSON, preferences in a folder."""
    from edgeperso.evals.experiments.empathy import run_empathy
    from edgeperso.evals.experiments.fit import run_fit
    from edgeperso.evals.experiments.quality import run_quality

    table = data / "turns.csv" if data.is_dir() else data
    if table.suffix.lower() in (".csv", ".tsv") and table.is_file():
        articles = table.parent / "articles.json"
        return run_empathy(setup, table, articles if articles.is_file() else None, limit=limit)
    judgments = data / "topical_chat.json" if data.is_dir() else data
    if judgments.is_file():
        return run_quality(setup, judgments, limit=limit)
    return run_fit(setup, data, limit=limit)
