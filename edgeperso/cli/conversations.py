"""``edgeperso eval locomo``: long conversations, found and answered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from edgeperso.cli.experiments import MethodOption, OutOption, SeedOption, prepared, show
from edgeperso.cli.frame import Run, verb

__all__ = ["app"]

app = typer.Typer()

_EMBEDDER = "minilm-int8"


@verb(app, "locomo", place=False, unlocks=False)
def locomo(
    run: Run,
    data: Annotated[Path, typer.Option("--data", show_default=False, metavar="FILE", help="LoCoMo's JSON file.")],
    embedder: Annotated[
        str, typer.Option("--embedder", metavar="NAME", help="An embedder's name or folder.")
    ] = _EMBEDDER,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, show_default=False, help="Only the first so many conversations.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", show_default=False, metavar="NAME", help="Also answer questions with this model."),
    ] = None,
    answers: Annotated[int, typer.Option("--answers", min=0, help="Questions that are answered; 0: all.")] = 200,
    method: MethodOption = None,
    most: Annotated[
        int | None,
        typer.Option("--most", min=1, show_default=False, help="Memories that the model reads at most."),
    ] = None,
    seed: SeedOption = 0,
    out: OutOption = None,
) -> None:
    """Evidence recall on LoCoMo's long conversations; with a model, its answers too."""
    if model is None:
        _recall(run, data, embedder, limit, out)
        return
    from edgeperso.evals.experiments.locomo_answers import LocomoRun, run_locomo_answers
    from edgeperso.evals.methods import Method

    methods = tuple(Method.parse(name) for name in method or ("none", "hybrid"))
    asked = LocomoRun(methods, answers, limit)
    with prepared(run, model, out, seed=seed, most=most) as setup:
        if embedder != _EMBEDDER:
            from edgeperso.embedding import load_embedder

            setup = replace(setup, plain_embedder=load_embedder(run.catalogue, embedder))
        result = run_locomo_answers(setup, data, asked)
    show(run, result, out)


def _recall(run: Run, data: Path, embedder: str, limit: int | None, out: Path | None) -> None:
    from edgeperso.embedding import load_embedder
    from edgeperso.evals.experiments.locomo import recall_result, run_locomo
    from edgeperso.evals.measurement import measurement
    from edgeperso.evals.report import save

    finder = load_embedder(run.catalogue, embedder)
    with run.progress as progress:
        report = run_locomo(data, finder, limit=limit, progress=progress)
    measured = measurement("locomo", report.figures, n=report.questions, seed=0, models={"embedder": finder.id})
    if out is not None:
        save(out, recall_result(report, measured))
    run.out.result(measured)
    by_name = {"all": report.recall} | {f"category {number}": recall for number, recall in report.by_category.items()}
    run.out.rows(
        [("", *(f"recall@{k}" for k in report.recall))]
        + [(name, *(f"{value:.3f}" for value in recall.values())) for name, recall in by_name.items()]
    )
    run.out.answer(f"{report.questions} questions in {report.conversations} conversations")
