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

__all__ = ["N_CTX", "WAYS", "Tally", "measured"]

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


def measured(path: Path, catalogue: Catalogue, sources: Iterable[Source], threads: int, ways: Collection[str]) -> Tally:
    """Every question answered in these `WAYS`."""
    tally = Tally()
    with Engine.open(path, n_ctx=N_CTX, n_threads=threads) as engine:
        if engine.splicer is None:
            raise ModelUnsupported("The states of this model can't be moved.", hint="Measure another one.")
        for source in sources:
            with source.opened(engine, catalogue) as me:
                states = States(me.vault.database, budget_bytes=1 << 31)
                for asked in source.asked:
                    run = _Run(me, engine.splicer, states, _noted(me, asked))
                    for way in ways:
                        said, taken_ms = WAYS[way](run)
                        tally.add(way, taken_ms, right=asked.is_right(said))
    return tally


def _noted(me: Assistant, asked: Asked) -> Noted:
    form = choose_form(renderer(me.engine.info), begin=False, latest=me.reader.latest)
    layout = Layout(me.engine, form, Budget(N_CTX, _ANSWER_TOKENS, WIDE_TOKENS), bos=me.engine.bos)
    hits, _ = me.find(asked.question, MemoryFilter())
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
        after=around(me.engine, form, " ".join(asked.question.split()), first=True)[1],
    )


@dataclass(frozen=True)
class _Run:
    """One question to one person's assistant. Each way gives what was said and the time to its first token in ms, with
    the beginning read already."""

    me: Assistant
    splicer: Splicer
    states: States
    noted: Noted

    def evaluated(self, chosen: Collection[int]) -> tuple[str, float]:
        """These notes are read."""
        noted = self.noted
        self._hold()
        tokens = [token for at in noted.by_time if at in chosen for token in noted.notes[at]]
        return _said(self.me.engine.generate([*noted.before, *tokens, *noted.after], max_tokens=_ANSWER_TOKENS))

    def asked(self) -> tuple[str, float]:
        """As `Assistant.ask` does it."""
        self._hold()
        reply = self.me.ask(self.noted.asked.question, max_tokens=_ANSWER_TOKENS)
        taken = reply.trace.timings_ms
        return reply.text, taken["first_token"] - taken["search"]

    def put_together(self, fresh: Collection[int]) -> tuple[str, float]:
        """The notes but the ``fresh`` ones are taken over from their states, the best last."""
        noted = self.noted
        self._read_ahead()
        self.me.engine.clear()
        self.splicer.hold(noted.before)
        tail = [token for at in noted.by_time if at in fresh for token in noted.notes[at]]
        parts = [self._kept(at) for at in reversed(range(len(noted.notes))) if at not in fresh]
        prompt = [Part(noted.before), *parts, Part([*tail, *noted.after])]
        return _said(self.splicer.generate(prompt, max_tokens=_ANSWER_TOKENS))

    def _kept(self, at: int) -> Part:
        name = self.noted.name(at)
        return Part(self.noted.notes[at], name, lambda: self.states.load(_BINDING, name))

    def _hold(self) -> None:
        """Read the beginning, by itself."""
        engine = self.me.engine
        engine.clear()
        engine.begin_with(self.noted.before)
        engine.next_log_probs(self.noted.before)

    def _read_ahead(self) -> None:
        """In idle time: the states of these notes, each once."""
        for at, tokens in enumerate(self.noted.notes):
            if not self.states.has(_BINDING, self.noted.name(at)):
                state = self.splicer.note_state(self.noted.before, tokens)
                if state is not None:  # a very long one is evaluated
                    self.states.save(_BINDING, self.noted.name(at), state, profile={})


def _said(generation: Generation) -> tuple[str, float]:
    text = "".join(generation)
    return text, generation.stats.first_token_ms


WAYS: Final[dict[str, Callable[[_Run], tuple[str, float]]]] = {
    "full": lambda run: run.evaluated(run.noted.by_time),
    "asked": _Run.asked,
    "spliced": lambda run: run.put_together(run.noted.fresh),
    "naive": lambda run: run.put_together(()),
    "few": lambda run: run.evaluated(run.noted.fresh),
}
