"""Experiments 1 and 2: what a person's own history is worth for their ratings and titles, in LaMP's format, and what an
adapter adds that learnt from it or from other people.

Salemi et al., "LaMP: When Large Language Models Meet Personalization", 2023 (arXiv:2304.11406). Each person's profile
goes into a vault; their assistant, under a method, answers the question. A rating is the median of the distribution
that the model gives over the scores, which minimizes the expected absolute error; a title is the answer's first line.
A method that wears adapters is compared with itself without them, which is asked too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, Final

from edgeperso.errors import DataInvalid
from edgeperso.evals.experiments.lamp_asking import (
    ASKED,
    SCORES,
    LampTask,
    examples,
    lamp_records,
    latest,
    now_after,
    rate,
    title,
)
from edgeperso.evals.experiments.lamp_tables import Outcomes, rating_result, title_result
from edgeperso.evals.learnt import Tailor, wearing
from edgeperso.evals.methods import Method
from edgeperso.evals.people import Cards
from edgeperso.evals.readers import LampItem, read_lamp
from edgeperso.evals.report import Result
from edgeperso.evals.setup import Setup

__all__ = ["LampTask", "run_lamp"]

_VERSION: Final = 3
"""Part of each unit's name: goes up when what a unit does changes."""


def run_lamp(
    setup: Setup,
    task: LampTask,
    questions: Path,
    outputs: Path,
    methods: Sequence[Method],
    *,
    limit: int | None = None,
    history: int | None = None,
) -> Result:
    """Ask every question under every method.

    Args:
        setup: what it runs on.
        task: ``rating`` (LaMP-3's form) or ``title`` (LaMP-5's).
        questions, outputs: LaMP's two files.
        methods: conditions; the last one stands in the figures, ``none`` is always run and is what it is compared with,
            and so is each method without its adapters.
        limit: of questions, the first so many. Adapters of other people learn from all people of the file.
        history: of each asked person's profile, the so many latest entries; others are learnt from with all of theirs.

    Raises:
        SourceNotFound, DataInvalid: the files are missing or malformed.
        ExtraMissing: a method trains, and the ``[train]`` extra isn't installed.
    """
    trains = any(method.learnt for method in methods)
    everybody = list(islice(read_lamp(questions, outputs), None if trains else limit))
    _check(task, everybody, questions, trains=trains)
    items = [item if history is None else latest(item, history) for item in everybody[:limit]]
    chosen = list(dict.fromkeys([Method.parse("none"), *(one for method in methods for one in _with_plain(method))]))
    cards = Cards(setup, [(item.id, [record.text for record in lamp_records(item)]) for item in items], chosen)
    tailor = _tailor(setup, task, items, everybody)
    raw = setup.raw(f"lamp-{task}")
    found: dict[str, list[dict[str, Any]]] = {method.name: [] for method in chosen}
    for done, item in enumerate(items):
        for method, output in _ask(setup, task, item, chosen, cards, tailor, raw.unit):
            found[method].append(output)
        setup.progress(f"lamp {task}", done + 1, len(items))
    outcomes = Outcomes(items, found, chosen, last=methods[-1] if methods else chosen[0], history=history)
    return rating_result(setup, outcomes) if task == "rating" else title_result(setup, outcomes)


def _with_plain(method: Method) -> tuple[Method, ...]:
    return (method.unlearnt, method) if method.learnt else (method,)


def _tailor(setup: Setup, task: LampTask, items: Sequence[LampItem], everybody: Sequence[LampItem]) -> Tailor:
    own, lent = {item.id: item for item in items}, {item.id: item for item in everybody}
    return Tailor(
        setup,
        {item.id: lamp_records(item) for item in items},
        {item.id: lamp_records(item) for item in everybody},
        teach=lambda person, method, most: examples(setup, task, own[person], method, most=most),
        lend=lambda person, method, most: examples(setup, task, lent[person], method, most=most),
    )


def _check(task: LampTask, items: list[LampItem], path: Path, *, trains: bool) -> None:
    if not items:
        raise DataInvalid(f"{path.name} holds no question.", hint="Give LaMP's questions file, whole.")
    given = "score" if task == "rating" else "title"
    for number, item in enumerate(items):
        if trains and not all({"text", given} <= entry.fields.keys() for entry in item.profile):
            raise DataInvalid(
                f"{path.name}, record {number}: an entry of the profile has no text or no {given} to learn.",
                hint="Take methods that train nothing.",
            )
        if task == "title":
            continue
        if item.gold not in SCORES:
            raise DataInvalid(
                f"{path.name}, record {number}: the gold output is no score from 1 to 5.",
                hint="Give LaMP-3's outputs, or --task title.",
            )
        if not all(_is_score(entry.fields["score"]) for entry in item.profile if "score" in entry.fields):
            raise DataInvalid(
                f"{path.name}, record {number}: a score in the profile is none from 1 to 5.",
                hint="Give LaMP-3's questions, or --task title.",
            )


def _is_score(written: str) -> bool:
    try:
        return 1 <= float(written) <= 5
    except ValueError:
        return False


def _ask(
    setup: Setup,
    task: LampTask,
    item: LampItem,
    methods: Sequence[Method],
    cards: Cards,
    tailor: Tailor,
    unit: Callable[..., Any],
) -> list[tuple[str, dict[str, Any]]]:
    """The outputs of all methods for one person. Each begins with an empty context: see `RawOutputs`."""
    records = lamp_records(item)
    out = []
    with setup.vault(records) as vault:
        for method in methods:
            worn = tailor.keys(item.id, method)
            of = {
                "lamp": _VERSION,
                "task": task,
                "models": setup.models,
                "method": method.name,
                "most": setup.most,
                "seed": setup.seed if method.choice == "random" else 0,
                "item": [item.input, [record.text for record in records], [record.occurred_ms for record in records]],
                "cards": cards.key(item.id, method),
                **({"worn": worn} if worn else {}),
            }

            def work(method: Method = method) -> dict[str, Any]:
                setup.engine.clear()
                me = setup.assistant(vault, method, now_ms=now_after(records))
                cards.give(me, item.id, method)
                question = method.asked(item.input[:ASKED])
                with wearing(setup.engine, tailor.stack(item.id, method)) if method.learnt else nullcontext():
                    return rate(me, question) if task == "rating" else title(me, question)

            out.append((method.name, unit(of, {"id": item.id, "method": method.name}, work)))
    return out
