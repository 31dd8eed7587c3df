"""``edgeperso train`` and ``adapter relearn``: make an adapter of what the person wrote."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from enum import StrEnum
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from edgeperso.cli import adapters
from edgeperso.cli.adapters import AdapterArgument
from edgeperso.cli.frame import Run, verb
from edgeperso.cli.learnt import adapter_dict, adapter_name, left_out, show_gate
from edgeperso.cli.options import ModelOption
from edgeperso.errors import UsageError
from edgeperso.types import MemoryFilter, Objective, Progress

if TYPE_CHECKING:
    from edgeperso.adaptation.plan import Plan
    from edgeperso.assistant.learning import TrainingReport

__all__ = ["app", "show_training", "stoppable", "training_dict", "with_time_left"]

app = typer.Typer()

_NICENESS: Final = 10
_MinutesOption = Annotated[
    float | None,
    typer.Option("--minutes", min=0.1, show_default=False, help="At most; what was learnt by then is kept."),
]


class Lesson(StrEnum):
    """What `train` makes."""

    LORA = "lora"
    SOFT = "soft"
    DPO = "dpo"


@verb(app, "train", filters=True)
def train(
    run: Run,
    lesson: Annotated[
        Lesson,
        typer.Argument(
            metavar="[lora|soft|dpo]",
            show_default=False,
            help="LoRA of your texts (the default), a soft prompt of them, or a LoRA of your preferences.",
        ),
    ] = Lesson.LORA,
    minutes: _MinutesOption = None,
    rank: Annotated[
        int | None, typer.Option("--rank", min=1, max=256, show_default=False, help="Of a LoRA: how much it can hold.")
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option("--tokens", min=1, max=256, show_default=False, help="Of a soft prompt: its virtual tokens."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, show_default=False, help="Times that each text is read.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", show_default=False, help="What to call it.")] = None,
    model: ModelOption = None,
) -> None:
    """Train an adapter on what you wrote; it is worn if it passes the gate. After Ctrl-C the same command goes on."""
    plan = _plan(lesson, rank=rank, tokens=tokens, epochs=epochs)
    form: Literal["lora", "soft", "dpo"] = lesson.value
    with run.assistant(model) as me, run.progress as progress, stoppable() as stop:
        report = me.train(
            form,
            where=run.where or MemoryFilter(),
            plan=plan,
            minutes=minutes,
            progress=with_time_left(progress, minutes),
            stop=stop,
            name=name,
        )
    run.out.result(training_dict(report))
    show_training(run, report)


@verb(adapters.app, "relearn")
def relearn(run: Run, which: AdapterArgument, minutes: _MinutesOption = None, model: ModelOption = None) -> None:
    """Train an adapter anew, from the start, on what is left of its texts."""
    with run.assistant(model) as me, run.progress as progress, stoppable() as stop:
        one = me.vault.adapters.named(which)
        report = me.adapters.relearn(one.id, minutes=minutes, progress=with_time_left(progress, minutes), stop=stop)
    run.out.result(training_dict(report))
    show_training(run, report)


def show_training(run: Run, report: TrainingReport) -> None:
    """What was trained, what the gate said, and whether it is worn; for people."""
    one, trained = report.adapter, report.trained
    what = "pairs" if one.objective is Objective.DPO else "texts"
    run.out.answer(
        f"{adapter_name(one)} learnt from {trained.examples:,} {what} in {trained.steps:,} steps, at "
        f"{trained.tokens_per_s:.0f} tokens/s."
    )
    if report.skipped:
        run.out.note(f"Left out: {left_out(report.skipped)}.")
    show_gate(run, report.gate.as_dict())
    if report.live:
        run.out.answer(
            f"It is worn from now on, at {report.gate.scale:.2f}; `edgeperso adapter rollback` takes it off again."
        )
    elif report.gate.passed:
        run.out.answer(f"It is kept, but another one is worn. `edgeperso adapter use {one.id}` wears it instead.")
    else:
        run.out.answer(f"It is kept, but not worn. `edgeperso adapter use {one.id} --anyway` wears it all the same.")


def training_dict(report: TrainingReport) -> dict[str, Any]:
    """A training for ``--json``."""
    return {
        "adapter": adapter_dict(report.adapter),
        "gate": report.gate.as_dict(),
        "live": report.live,
        "trained": asdict(report.trained),
        "skipped": dict(report.skipped),
    }


def with_time_left(progress: Progress, minutes: float | None = None) -> Progress:
    """``progress`` with about how long it will still take in the stage, from the pace since its first call: a training
    that goes on doesn't begin at 0. ``minutes`` are those of the training."""
    began: dict[str, tuple[float, int]] = {}

    def timed(stage: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        began_s, began_at = began.setdefault(stage, (now, done))
        elapsed_s, made = now - began_s, done - began_at
        if total is None or made < 1:
            progress(stage, done, total)
            return
        left_s = elapsed_s / made * (total - done)
        if minutes is not None and stage == "training":
            left_s = min(left_s, max(0.0, minutes * 60 - elapsed_s))
        left = f"{left_s / 60:.0f} min" if left_s >= 90 else f"{left_s:.0f} s"
        progress(f"{stage}, about {left} left", done, total)

    return timed


@contextlib.contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Training at low priority; the first Ctrl-C asks it to save and stop, the second one is the usual one."""
    stop = threading.Event()
    with contextlib.suppress(AttributeError, OSError):  # there is no `nice` on Windows
        os.nice(max(0, _NICENESS - os.nice(0)))
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _plan(lesson: Lesson, *, rank: int | None, tokens: int | None, epochs: int | None) -> Plan | None:
    """What was said about the training; None: nothing, the form's own plan serves.

    Raises:
        UsageError: an option of the other form.
    """
    if (rank if lesson is Lesson.SOFT else tokens) is not None:
        raise UsageError("A LoRA has a --rank, a soft prompt has --tokens.", hint="See `edgeperso train --help`.")
    if rank is None and tokens is None and epochs is None:
        return None
    from edgeperso.adaptation.plan import LoraShape, SoftShape
    from edgeperso.assistant.learning import plan_for

    plan = plan_for(lesson.value)
    if rank is not None:
        plan = replace(plan, shape=LoraShape(rank, alpha=2.0 * rank))
    if tokens is not None:
        plan = replace(plan, shape=SoftShape(tokens))
    return plan if epochs is None else replace(plan, epochs=epochs)
