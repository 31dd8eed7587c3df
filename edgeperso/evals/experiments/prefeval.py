"""Memory over long talk: is a preference followed that was stated, or shown, many turns ago?

Zhao et al., "Do LLMs Recognize Your Preferences? Evaluating Personalized Preference Following in LLMs", 2025
(arXiv:2502.09597), in its form with four options. The dialogue that shows the preference, then so many exchanges about
other things, go into a vault as a chat would; then the assistant is asked to recommend one of the options.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeperso.errors import DataInvalid, UsageError
from edgeperso.evals.experiments.tables import cell, result
from edgeperso.evals.methods import Method
from edgeperso.evals.metrics.intervals import Comparison, Interval, Resampling, bootstrap_mean, compare_means
from edgeperso.evals.people import Cards
from edgeperso.evals.raw import RawOutputs, digest
from edgeperso.evals.readers import FillerTurn, PrefForm, PrefItem, read_fillers, read_prefeval
from edgeperso.evals.report import Column, Headline, Lines, LinesPoint, Result, Row, Series, Table
from edgeperso.evals.setup import Setup
from edgeperso.times import DAY_MS
from edgeperso.types import Asking, Kind, Record, Trust

__all__ = ["PrefRun", "run_prefeval", "talk"]

_VERSION: Final = 3
_BEGAN_MS: Final = 1_735_689_600_000
"""The first turn's time, 1 January 2025: PrefEval has none."""
_TURN_MS: Final = 60_000
_BY_LETTER: Final = "none, by letter"
"""What the model chooses without memory in the way in which the field asks: other ways of asking see what is generally
a good answer, and so are right more often without knowing the person at all."""
_SITTING: Final = 12
"""Exchanges about other things that form one conversation."""
_LONGEST: Final = 2000
"""Characters of a turn that are kept."""


@dataclass(frozen=True, slots=True)
class PrefRun:
    """What is asked: the form of the preference, exchanges between, conditions, ways of asking."""

    form: PrefForm = "explicit"
    turns: tuple[int, ...] = (0, 10, 70, 300)
    methods: tuple[Method, ...] = (Method.parse("hybrid"),)
    asking: Asking = Asking.REASONED
    limit: int | None = None


def run_prefeval(setup: Setup, folder: Path, run: PrefRun) -> Result:
    """Ask every item without memory once, and under every method after each number of exchanges.

    Args:
        setup: what it runs on.
        folder: PrefEval's data: topics, options, and the conversations that come between.
        run: what is asked. Items are drawn by the seed where ``limit`` is below their number.

    Raises:
        SourceNotFound, DataInvalid: the files are missing or malformed.
        UsageError: more exchanges are asked for than the data holds.
    """
    run = replace(run, turns=tuple(sorted(set(run.turns))))
    items = [item for item in read_prefeval(folder, run.form) if len(item.options) > 1]
    if not items:
        raise DataInvalid(f"{folder.name} holds no item with options.", hint="Give PrefEval's folder.")
    if run.limit is not None and run.limit < len(items):
        items = random.Random(setup.seed).sample(items, run.limit)  # noqa: S311 - to be repeated, not secret
    fillers = _fillers(folder, max(run.turns, default=0))
    raw = setup.raw("prefeval")
    shown = [(item.id, [turn.text for turn in item.statement if turn.role == "user"]) for item in items]
    cards = Cards(setup, shown, run.methods)
    none = Method.parse("none")
    conditions = {_condition(method, turns): method for turns in run.turns for method in (none, *run.methods)}
    right: dict[tuple[str, int], list[bool]] = {condition: [] for condition in conditions}
    reached: dict[tuple[str, int], list[bool]] = {key: [] for key in right}
    by_letter: list[bool] = []
    for done, item in enumerate(items):
        asked = _ask(setup, replace(run, asking=Asking.LETTER), item, talk(item, ()), none, cards, raw)
        by_letter.append(asked["chosen"] == 0)
        for (_, turns), method in conditions.items():
            output = _ask(setup, run, item, talk(item, fillers[: 2 * turns]), method, cards, raw)
            right[method.name, turns].append(output["chosen"] == 0)
            reached[method.name, turns].append(output["reached"])
        setup.progress("prefeval", done + 1, len(items))
    right[_BY_LETTER, 0], reached[_BY_LETTER, 0] = by_letter, [False] * len(items)
    return _result(setup, run, items, right, reached)


def _condition(method: Method, turns: int) -> tuple[str, int]:
    """A method's name and the exchanges before it is asked: none for what reads nothing of them."""
    return method.name, 0 if method.name == "none" else turns


def talk(item: PrefItem, between: Sequence[FillerTurn]) -> list[Record]:
    """The dialogue that shows the preference, then what came between, as memories of chats."""
    turns = [("preference", turn) for turn in item.statement]
    turns += [(f"talk {place // (2 * _SITTING)}", turn) for place, turn in enumerate(between)]
    return [
        Record(
            text=turn.text[:_LONGEST],
            kind=Kind.CHAT,
            source="prefeval",
            locator=str(place),
            author="me" if turn.role == "user" else "assistant",
            thread=thread,
            position=place,
            occurred_ms=_BEGAN_MS + place * _TURN_MS,
            trust=Trust.SELF if turn.role == "user" else Trust.OTHER,
        )
        for place, (thread, turn) in enumerate(turns)
    ]


def _fillers(folder: Path, turns: int) -> list[FillerTurn]:
    """The conversations in between, of which ``turns`` exchanges are needed."""
    if not turns:
        return []
    places = (folder, folder.parent, folder.parent.parent)
    path = next((found for place in places if (found := place / "filtered_inter_turns.json").is_file()), None)
    if path is None:
        raise DataInvalid("filtered_inter_turns.json is not beside PrefEval's topics.", hint="Or give --turns 0.")
    fillers = read_fillers(path)
    if len(fillers) < 2 * turns:
        raise UsageError(f"{path.name} holds {len(fillers) // 2} exchanges; --turns asks for {turns}.")
    return fillers


def _ask(
    setup: Setup, run: PrefRun, item: PrefItem, records: list[Record], method: Method, cards: Cards, raw: RawOutputs
) -> dict[str, Any]:
    """``chosen``: the place of the option that is recommended, 0 the right one; ``reached``: whether a turn that shows
    the preference was among the memories that the model read."""
    order = list(range(len(item.options)))
    random.Random(digest([setup.seed, item.id])).shuffle(order)  # noqa: S311 - to be repeated, not secret
    of = {
        "prefeval": _VERSION,
        "models": setup.models,
        "method": method.name,
        "asking": run.asking.value,
        "seed": setup.seed,
        "item": [item.question, [item.options[place] for place in order]],
        "talk": digest([record.text for record in records]) if method.name != "none" else "",
        **({} if setup.most is None else {"most": setup.most}),
        "cards": cards.key(item.id, method),
    }

    def work() -> dict[str, Any]:
        setup.engine.clear()
        with setup.vault(records) as vault:
            me = setup.assistant(vault, method, now_ms=_BEGAN_MS + 30 * DAY_MS)
            cards.give(me, item.id, method)
            options = [item.options[place] for place in order]
            weighed = me.recommend(method.asked(item.question), options, asking=run.asking)
            read = vault.memories.get(weighed.sources)
            return {
                "chosen": order[weighed.order[0]],
                "scores": [round(weighed.scores[order.index(place)], 4) for place in range(len(order))],
                "reached": any(memory.thread == "preference" for memory in read),
            }

    label = {"id": item.id, "method": method.name, "form": run.form, "exchanges": max(0, len(records) // 2)}
    out: dict[str, Any] = raw.unit(of, label, work)
    return out


def _result(
    setup: Setup,
    run: PrefRun,
    items: Sequence[PrefItem],
    right: Mapping[tuple[str, int], list[bool]],
    reached: Mapping[tuple[str, int], list[bool]],
) -> Result:
    users = [item.topic for item in items]
    single = list(range(len(items)))
    resampling = Resampling(seed=setup.seed)
    base = np.array(right["none", 0], float)
    means = {key: bootstrap_mean(np.array(values, float), single, resampling) for key, values in right.items()}
    rows = tuple(
        Row(
            _label(name, turns),
            {
                "accuracy": cell(
                    means[name, turns],
                    None
                    if name in ("none", _BY_LETTER)
                    else compare_means(np.array(values, float), base, single, resampling),
                ),
                "reached": cell(float(np.mean(reached[name, turns]))),
            },
            n=len(items),
            baseline=name == "none",
        )
        for (name, turns), values in right.items()
    )
    last = _condition(run.methods[-1], run.turns[0])
    columns = (Column("accuracy", "right", "higher"), Column("reached", "preference read", "higher"))
    table = Table("Preferences followed", "method", columns, rows, note="p: against none, over items.")
    gain = compare_means(np.array(right[last], float), base, single, resampling)
    return result(
        setup,
        "prefeval" if run.form == "explicit" else f"prefeval_{run.form.replace('-', '_')}",
        _figures(run, right, gain),
        n=len(items),
        title=f"Preferences ({run.form})",
        question="Is a preference followed that the person stated or showed, however much was said since?",
        tables=(table,),
        plots=(_lines(run, means),),
        headline=Headline("accuracy", _label(*last)),
        notes=(
            f"Four options, chance 25 %; asked in the way “{run.asking.value}”; items of {len(set(users))} topics.",
            "An exchange is a turn of the person and one of the assistant.",
        ),
    )


def _label(name: str, turns: int) -> str:
    return name if name in ("none", _BY_LETTER) else f"{name}, {turns} between"


def _figures(run: PrefRun, right: Mapping[tuple[str, int], list[bool]], gain: Comparison) -> dict[str, float]:
    """``gain_points`` and ``lost_points…`` are in percentage points, the others shares."""
    first, *others = (float(np.mean(right[_condition(run.methods[-1], turns)])) for turns in run.turns)
    figures = {
        "accuracy": first,
        "accuracy_none": float(np.mean(right["none", 0])),
        "accuracy_none_letter": float(np.mean(right[_BY_LETTER, 0])),
        "gain_points": 100 * gain.difference.value,
        "gain_points_low": 100 * gain.difference.low,
        "gain_points_high": 100 * gain.difference.high,
    }
    for turns, after in zip(run.turns[1:], others, strict=True):
        figures |= {f"accuracy_at_{turns}": after, f"lost_points_at_{turns}": 100 * (first - after)}
    return figures


def _lines(run: PrefRun, means: Mapping[tuple[str, int], Interval]) -> Lines:
    def line(label: str, points: list[tuple[int, Interval]], *, baseline: bool) -> Series:
        drawn = tuple(LinesPoint(float(turns), of.value, of.low, of.high) for turns, of in points)
        return Series(label, drawn, baseline)

    series = [
        line("none", [(turns, means["none", 0]) for turns in run.turns], baseline=True),
        *(
            line(name, [(turns, means[name, turns]) for turns in run.turns], baseline=False)
            for name in dict.fromkeys(method.name for method in run.methods)
            if name != "none"
        ),
    ]
    return Lines(
        title="Right choices after other talk",
        x="exchanges between",
        y="share right",
        series=tuple(series),
        better="higher",
        even=True,
    )
