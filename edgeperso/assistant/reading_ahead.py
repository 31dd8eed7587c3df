"""Idle time is used to read memories ahead: the state of each is computed once and kept in the vault.

The memories that were of most use to the last answers come first, then those that came last to the vault, until the
states' budget is full. Each is stored as soon as it is computed: whatever ends the reading, what is done is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Final

from edgeperso.assistant.readers import Reader, layout_for
from edgeperso.assistant.splicing import Spliceable, can_use_states
from edgeperso.engine import MOST_NOTE_TOKENS, Engine
from edgeperso.prompting import Layout
from edgeperso.types import Memory, Progress
from edgeperso.vault import Vault
from edgeperso.vault.memory_states import Saved

__all__ = ["ReadAhead", "ReadingAhead"]

_PAGE: Final = 100
_STAGE: Final = "memories"


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """What came of reading ahead: so many memories were ``read``; there are ``states`` of them now that serve this
    model as it is, and all states take ``size_bytes`` of ``budget_bytes``.

    ``ended``: ``done`` (every memory has its state), ``full`` (the budget has no room for more), ``time``,
    ``cancelled`` (also by a question), ``changed`` (the profile, a memory or an adapter changed meanwhile: the next
    time goes on), or ``useless`` (this model has no use for states of memories).
    """

    read: int
    states: int
    size_bytes: int
    budget_bytes: int
    ended: str


class ReadingAhead:
    """One reading of a vault's memories by one engine. ``busy`` tells whether a question is being answered."""

    def __init__(self, vault: Vault, engine: Engine, reader: Reader, *, at_ms: int, busy: Callable[[], bool]) -> None:
        self._vault = vault
        self._engine = engine
        self._reader = reader
        self._at_ms = at_ms
        self._busy = busy
        self._read = 0

    def run(self, budget_s: float | None, cancel: Event, progress: Progress | None) -> ReadAhead:
        """See `Assistant.read_ahead`."""
        profile = self._vault.profile.all()
        layout = layout_for(self._engine, self._reader, profile)
        states = None
        if can_use_states(self._reader, self._engine):
            states = Spliceable(self._vault, self._engine, layout.beginning)
        until = None if budget_s is None else time.monotonic() + budget_s
        ended = "useless" if states is None else self._all(states, layout, profile, until, cancel, progress)
        size = self._vault.memory_states.size()[1]
        kept = 0 if states is None else len(states.tokens)
        return ReadAhead(self._read, kept, size, self._vault.memory_states.budget_bytes, ended)

    def _all(
        self,
        states: Spliceable,
        layout: Layout,
        profile: dict[str, str],
        until: float | None,
        cancel: Event,
        progress: Progress | None,
    ) -> str:
        as_of = self._vault.generation
        worths = self._vault.memory_states.worths(self._at_ms)
        token_bytes = self._begin(states, profile, cancel)
        for done, memory in enumerate(self._in_order(worths)):
            if progress is not None:
                progress(_STAGE, done, None)
            if cancel.is_set() or self._busy():
                return "cancelled"
            tokens = layout.note(memory)
            if len(tokens) > MOST_NOTE_TOKENS or states.has(memory.id, tokens):
                continue
            if until is not None and time.monotonic() >= until:
                return "time"
            worth = worths.get(memory.id, 0.0)
            if not states.has_room(worth, token_bytes * len(tokens)):
                return "full"
            state = states.splicer.note_state(states.beginning, tokens, cancel)
            if state is None:
                continue  # cancelled, or no place beside a conversation that fills the context
            saved = states.save(memory.id, tokens, state, worth, profile, as_of)
            if saved is not Saved.KEPT:
                return "full" if saved is Saved.NO_ROOM else "changed"
            self._read += 1
        return "cancelled" if cancel.is_set() else "done"

    def _begin(self, states: Spliceable, profile: dict[str, str], cancel: Event) -> int:
        """Let the splicer hold the beginning, and the vault. Returns a state's bytes a token."""
        states.warm()
        if not states.splicer.hold(states.beginning, cancel):
            return 0
        states.keep_beginning(profile)
        state = states.splicer.beginning_state(states.beginning)
        return 0 if state is None else -(-len(state) // len(states.beginning))

    def _in_order(self, worths: dict[int, float]) -> Iterator[Memory]:
        """The current memories: the most useful first, then the last that came. Page by page: no question waits for a
        large vault to be listed."""
        useful = sorted(worths, key=lambda id_: (-worths[id_], -id_))
        for start in range(0, len(useful), _PAGE):
            yield from self._current(useful[start : start + _PAGE])
        last: int | None = None
        while newest := self._vault.memory_states.newest(last, _PAGE):
            last = newest[-1]
            yield from self._current([id_ for id_ in newest if id_ not in worths])

    def _current(self, ids: list[int]) -> list[Memory]:
        return [memory for memory in self._vault.memories.get(ids) if memory.closed_ms is None]
