"""``edgeperso eval …`` over the field's data: what personalization is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeperso.cli.frame import Run, verb
from edgeperso.cli.options import ModelOption
from edgeperso.types import Asking

if TYPE_CHECKING:
    from edgeperso.evals.experiments.lamp import LampTask
    from edgeperso.evals.methods import Method
    from edgeperso.evals.readers import PrefForm
    from edgeperso.evals.report import Result, Table
    from edgeperso.evals.setup import Setup

__all__ = ["app", "prepared", "show"]

app = typer.Typer()

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        show_default=False,
        metavar="DIR",
        help="Keep raw outputs and results there: a stopped run goes on, `eval report` makes a page.",
    ),
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, show_default=False, help="Only the first so many.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn by chance.")]
MethodOption = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        show_default=False,
        metavar="NAME",
        help="A condition, like hybrid or bm25+profile; several may be given, figures are of the last.",
    ),
]
MostOption = Annotated[int, typer.Option("--most", min=1, help="Memories that the model reads at most.")]


@contextmanager
def prepared(
    run: Run, model: str | None, out: Path | None, *, seed: int, most: int | None = None, n_ctx: int = 4096
) -> Iterator[Setup]:
    """What an evaluation runs on, with its progress on stderr.

    Args:
        model: a catalogue name or a path; None takes the default model.
        out: see `Setup`.
        seed: see `Setup`.
        most: see `Setup`.
        n_ctx: tokens of context.
    """
    from edgeperso.assistant import DEFAULT_EMBEDDER, DEFAULT_MODEL
    from edgeperso.embedding import load_embedder
    from edgeperso.engine import Engine
    from edgeperso.evals.setup import Setup

    embedder = load_embedder(run.catalogue, DEFAULT_EMBEDDER)
    with Engine.open(run.catalogue.locate(model or DEFAULT_MODEL), n_ctx=n_ctx) as engine, run.progress as progress:
        yield Setup(engine, run.catalogue, embedder, folder=out, seed=seed, most=most, progress=progress)


def show(run: Run, result: Result, out: Path | None) -> None:
    """Print a result, and keep it in ``out``."""
    from edgeperso.evals.report import save

    if out is not None:
        save(out, result)
    measured = asdict(result)
    run.out.result({key: measured[key] for key in ("name", "figures", "n", "seed", "commit", "machine", "models")}
                   | {"date": result.date.isoformat(), "notes": list(result.notes)})  # fmt: skip
    for table in result.tables:
        run.out.heading(table.title)
        run.out.rows(_lines(table))
    for note in result.notes:
        run.out.note(note)


def _lines(table: Table) -> Iterator[tuple[str, ...]]:
    yield (table.unit, *(column.label for column in table.columns), "n")
    for row in table.rows:
        cells = [row.cells.get(column.name) for column in table.columns]
        shown = [
            "–" if one is None or one.value is None
            else f"{one.value:.3f}" if one.low is None or one.high is None
            else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
            for one in cells
        ]  # fmt: skip
        yield (row.label, *shown, "" if row.n is None else str(row.n))


def _methods(given: list[str] | None, default: tuple[str, ...], *, trains: bool = False) -> list[Method]:
    from edgeperso.evals.methods import Method

    return [Method.parse(name, trains=trains) for name in given or default]


@verb(app, "lamp", place=False, unlocks=False)
def lamp(
    run: Run,
    questions: Annotated[
        Path, typer.Option("--questions", show_default=False, metavar="FILE", help="LaMP's questions.")
    ],
    outputs: Annotated[Path, typer.Option("--outputs", show_default=False, metavar="FILE", help="Their outputs.")],
    task: Annotated[str, typer.Option("--task", metavar="rating|title", help="What is asked for.")] = "rating",
    model: ModelOption = None,
    method: MethodOption = None,
    most: MostOption = 4,
    history: Annotated[
        int | None,
        typer.Option("--history", min=1, show_default=False, help="Only the latest so many entries of each profile."),
    ] = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
) -> None:
    """Ratings or titles in LaMP's format, without and with the person's own history, and with adapters learnt from it
    or from other people."""
    from edgeperso.errors import UsageError
    from edgeperso.evals.experiments.lamp import run_lamp

    if task not in ("rating", "title"):
        raise UsageError("The task must be rating or title.")
    chosen: LampTask = "rating" if task == "rating" else "title"
    methods = _methods(method, ("none", "hybrid"), trains=True)
    with prepared(run, model, out, seed=seed, most=most) as setup:
        result = run_lamp(setup, chosen, questions, outputs, methods, limit=limit, history=history)
    show(run, result, out)


@verb(app, "prefeval", place=False, unlocks=False)
def prefeval(
    run: Run,
    data: Annotated[Path, typer.Option("--data", show_default=False, metavar="DIR", help="PrefEval's folder.")],
    form: Annotated[
        str, typer.Option("--form", metavar="FORM", help="explicit, choice-based or persona-driven.")
    ] = "explicit",
    turns: Annotated[
        list[int] | None,
        typer.Option(
            "--turns", min=0, show_default=False, help="Exchanges between; several may be given: 0 10 70 300."
        ),
    ] = None,
    asking: Annotated[Asking, typer.Option("--asking", help="The way of asking.")] = Asking.REASONED,
    model: ModelOption = None,
    method: MethodOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
) -> None:
    """Whether a preference is followed that was stated or shown many turns ago."""
    from edgeperso.errors import UsageError
    from edgeperso.evals.experiments.prefeval import PrefRun, run_prefeval

    forms: dict[str, PrefForm] = {
        "explicit": "explicit",
        "choice-based": "choice-based",
        "persona-driven": "persona-driven",
    }
    if form not in forms:
        raise UsageError("The form must be explicit, choice-based or persona-driven.")
    asked = PrefRun(forms[form], tuple(turns or (0, 10, 70, 300)), tuple(_methods(method, ("hybrid",))), asking, limit)
    with prepared(run, model, out, seed=seed) as setup:
        result = run_prefeval(setup, data, asked)
    show(run, result, out)


@verb(app, "report", place=False, unlocks=False)
def report(
    run: Run,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where evaluations kept their results (--out).")],
    page: Annotated[
        Path | None, typer.Option("--page", show_default=False, metavar="FILE", help="The page; DIR/report.html.")
    ] = None,
) -> None:
    """One HTML page of all results in a folder, with tables and plots, that needs nothing else."""
    from edgeperso.evals.report import write_report

    path = write_report(folder, page)
    run.out.result({"page": str(path)})
    run.out.answer(f"{path}")
