"""``edgeperso eval …``: how well it finds and answers, measured over the very parts that answer."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from edgeperso.cli.frame import Run, family, verb

__all__ = ["app"]

app = family("Measure how well it finds and answers.")

_ROOT = Path(__file__).resolve().parent.parent.parent


@verb(app, "life", place=False, unlocks=False)
def life(
    run: Run,
    data: Annotated[
        Path | None,
        typer.Option("--data", show_default=False, metavar="PATH", help="The life; the one in examples/ by default."),
    ] = None,
    questions: Annotated[
        Path | None, typer.Option("--questions", show_default=False, metavar="FILE", help="Its questions, as JSONL.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", show_default=False, metavar="NAME", help="A model or path.")
    ] = None,
    today: Annotated[
        datetime, typer.Option("--today", formats=["%Y-%m-%d"], help="The day on which they are asked.")
    ] = datetime(2025, 12, 31),  # noqa: DTZ001 - the sample life's last day; days are UTC everywhere
) -> None:
    """Questions about a life, answered from memory: how many rightly, and whether anything out of date is given."""
    from edgeperso.evals.life import read_questions, run_life
    from edgeperso.evals.measurement import measurement
    from edgeperso.times import date_ms

    home = _ROOT / "examples" / "life"
    sources = [home / part for part in ("notes", "mail.mbox", "chatgpt")] if data is None else [data]
    asked = read_questions(home / "questions.jsonl" if questions is None else questions)
    with run.progress as progress:
        report = run_life(
            sources, asked, run.catalogue, clock=lambda: date_ms(today.date()), model=model, progress=progress
        )
    answers = [
        {"id": a.question.id, "right": a.right, "superseded": a.superseded, "answer": a.answer} for a in report.answers
    ]
    models = {"engine": report.model, "embedder": "minilm-int8"}
    run.out.result({**measurement("life", report.figures, n=len(asked), seed=0, models=models), "answers": answers})
    run.out.rows(
        ("right" if a.right else "superseded" if a.superseded else "wrong", a.question.question, a.answer)
        for a in report.answers
    )
    figures = report.figures
    run.out.answer(f"{figures['right']} of {figures['questions']} right, {figures['superseded_given']} out of date")
