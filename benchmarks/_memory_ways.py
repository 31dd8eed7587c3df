"""Ways of putting a thousand tokens of memories before a model; `benchmarks.ttft` tells what each is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from benchmarks._memory_questions import Asked, Source
from edgeperso.assistant import Assistant
from edgeperso.assistant.splicing import WIDE_TOKENS
from edgeperso.catalogue import Catalogue
from edgeperso.engine import Engine, Generation, Part, Splicer, renderer
from edgeperso.errors import ModelUnsupported
from edgeperso.prompting import FRESH_TOKENS, Budget, Layout, choose_form
from edgeperso.prompting.wide import around
from edgeperso.types import MemoryFilter
from edgeperso.vault.states import States

__all__ = ["N_CTX", "Tally", "measured"]

N_CTX = 2048
_ANSWER_TOKENS = 24
_BINDING = "0" * 64


@dataclass(frozen=True)
class Noted:
    """A question as tokens: what comes before the notes, the notes best first with their place in time, and what
    follows them."""

    asked: Asked
    before: list[int]
    notes: list[list[int]]
    by_time: list[int]
    after: list[int]

    @property
    def fresh(self) -> list[int]:
        """The best notes, at least one, that together have up to `FRESH_TOKENS`."""
        fresh = [0]
        for at in range(1, len(self.notes)):
            if sum(len(self.notes[one]) for one in (*fresh, at)) > FRESH_TOKENS:
                break
            fresh.append(at)
        return fresh

    def name(self, at: int) -> str:
        return hashlib.sha256(repr((self.before, self.notes[at])).encode()).hexdigest()


@dataclass
class Tally:
    """By way, of every question the time to the first token in ms, and whether the answer was right."""

    times: dict[str, list[float]] = field(default_factory=dict)
    right: dict[str, list[bool]] = field(default_factory=dict)

    def add(self, way: str, first_token_ms: float, *, right: bool) -> None:
        self.times.setdefault(way, []).append(first_token_ms)
        self.right.setdefault(way, []).append(right)

    @property
    def figures(self) -> dict[str, float]:
        times, right = self.times, {way: sum(each) for way, each in self.right.items()}
        figures: dict[str, float] = {
            "memory_questions": len(times["full"]),
            "full_ms": median(times["full"]),
            "full_p95_ms": float(np.percentile(times["full"], 95)),
            "full_right": right["full"],
        }
        for way in (way for way in times if way != "full"):
            figures[f"{way}_vs_full"] = median(one / full for one, full in zip(times[way], times["full"], strict=True))
            figures[f"{way}_p95_ms"] = float(np.percentile(times[way], 95))
            figures[f"{way}_right"] = right[way]
            figures[f"{way}_right_vs_full"] = right[way] / max(1, right["full"])
        return figures


def measured(path: Path, catalogue: Catalogue, sources: Iterable[Source], threads: int) -> Tally:
    """Every question answered in every way."""
    tally = Tally()
    with Engine.open(path, n_ctx=N_CTX, n_threads=threads) as engine:
        if engine.splicer is None:
            raise ModelUnsupported("The states of this model can't be moved.", hint="Measure another one.")
        for source in sources:
            with source.opened(engine, catalogue) as me:
                states = States(me.vault.database, budget_bytes=1 << 31)
                for asked in source.asked:
                    _answer(engine, engine.splicer, states, _noted(me, asked), tally)
    return tally


def _answer(engine: Engine, splicer: Splicer, states: States, noted: Noted, tally: Tally) -> None:
    _read_ahead(splicer, states, noted)
    for way, begin in _WAYS.items():
        engine.clear()
        generation = begin(engine, splicer, states, noted)
        said = "".join(generation)
        tally.add(way, generation.stats.first_token_ms, right=noted.asked.is_right(said))


def _noted(me: Assistant, asked: Asked) -> Noted:
    form = choose_form(renderer(me.engine.info), begin=False)
    layout = Layout(me.engine, form, Budget(N_CTX, _ANSWER_TOKENS, WIDE_TOKENS), bos=me.engine.bos)
    hits, _ = me.find(asked.search, MemoryFilter())
    notes: list[list[int]] = []
    for hit in hits:
        tokens = layout.note(hit.memory)
        if sum(map(len, notes)) + len(tokens) > WIDE_TOKENS:
            break
        notes.append(tokens)
    return Noted(
        asked=asked,
        before=layout.beginning,
        notes=notes,
        by_time=sorted(range(len(notes)), key=lambda at: hits[at].memory.when_ms),
        after=around(me.engine, form, asked.question, first=True)[1],
    )


def _read_ahead(splicer: Splicer, states: States, noted: Noted) -> None:
    """In idle time: the states of these notes, each once."""
    for at, tokens in enumerate(noted.notes):
        if not states.has(_BINDING, noted.name(at)):
            state = splicer.note_state(noted.before, tokens)
            if state is not None:  # a very long one is evaluated
                states.save(_BINDING, noted.name(at), state, profile={})


def _evaluated(engine: Engine, noted: Noted, chosen: Collection[int]) -> Generation:
    """The beginning is held; these notes and the question are evaluated."""
    engine.begin_with(noted.before)
    engine.next_log_probs(noted.before)
    tokens = [token for at in noted.by_time if at in chosen for token in noted.notes[at]]
    return engine.generate([*noted.before, *tokens, *noted.after], max_tokens=_ANSWER_TOKENS)


def _put_together(splicer: Splicer, states: States, noted: Noted, fresh: Collection[int]) -> Generation:
    """The beginning is held; the notes but the ``fresh`` ones are taken over from their states, the best last."""

    def kept(at: int) -> Part:
        name = noted.name(at)
        return Part(noted.notes[at], name, lambda: states.load(_BINDING, name))

    splicer.hold(noted.before)
    tail = [token for at in noted.by_time if at in fresh for token in noted.notes[at]]
    parts = [kept(at) for at in reversed(range(len(noted.notes))) if at not in fresh]
    return splicer.generate([Part(noted.before), *parts, Part([*tail, *noted.after])], max_tokens=_ANSWER_TOKENS)


_WAYS: Final[dict[str, Callable[[Engine, Splicer, States, Noted], Generation]]] = {
    "full": lambda engine, _splicer, _states, noted: _evaluated(engine, noted, noted.by_time),
    "spliced": lambda _engine, splicer, states, noted: _put_together(splicer, states, noted, noted.fresh),
    "naive": lambda _engine, splicer, states, noted: _put_together(splicer, states, noted, ()),
    "few": lambda engine, _splicer, _states, noted: _evaluated(engine, noted, noted.fresh),
}
