"""Prompts put together from evaluated tokens and from states of notes, each computed once by itself.

A note's state is computed after the *beginning*, what every prompt starts with, and moved to where the note stands in
a prompt. What is put together so is not what evaluating it all would give: a spliced note hasn't seen those before it.
So a context of its own holds it, and knows of each token how it came there: only a prompt that asks for the same
splices finds them kept.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from edgeperso.engine.beside import BesideModel
from edgeperso.engine.generation import Advance, Generation
from edgeperso.engine.native import N_BATCH
from edgeperso.engine.prompt import check_prompt
from edgeperso.engine.results import Sampling
from edgeperso.engine.sampling import Sampler
from edgeperso.errors import EmptyQuestion, ModelError, UsageError

__all__ = ["MOST_NOTE_TOKENS", "Part", "Splicer"]

MOST_NOTE_TOKENS = N_BATCH
"""Longer notes have no states."""

Cell = int | tuple[str, int]
"""How a token came into the context: evaluated (its id), or with the state of that name (its place in it)."""


@dataclass(frozen=True, slots=True)
class Part:
    """A run of a prompt's tokens: to be evaluated, or, with a ``name`` that changes with the tokens, to be taken over
    from the state that ``load`` gives. Where it gives none, or llama.cpp refuses it, they are evaluated after all."""

    tokens: Sequence[int]
    name: str = ""
    load: Callable[[], bytes | None] | None = None

    @property
    def cells(self) -> list[Cell]:
        return [(self.name, place) for place in range(len(self.tokens))] if self.load else list(self.tokens)


class Splicer:
    """A second context of an engine's model. `Engine.splicer` makes it; calls take turns with the engine's."""

    def __init__(self, model: BesideModel, lock: AbstractContextManager[object]) -> None:
        self._native = model
        self.lock = lock
        self._cells: list[Cell] = []
        self._holder: int | None = None
        self._tickets = itertools.count()

    @property
    def settings(self) -> dict[str, int | float]:
        """What model and context were opened with: states depend on it."""
        return self._native.settings

    def clear(self) -> None:
        """Forget all that the context holds."""
        with self.lock:
            self._holder = None
            self._model.clear()

    def begin_with(self, beginning: Sequence[int], state: bytes | None = None) -> bool:
        """Whether the context begins with ``beginning`` now; ``state`` is what `beginning_state` gave for it."""
        with self.lock:
            if self._held()[: len(beginning)] == list(beginning):
                return True
            return state is not None and self._restore(beginning, state)

    def hold(self, beginning: Sequence[int], cancel: threading.Event | None = None) -> bool:
        """Evaluate ``beginning`` unless the context begins with it. False when cancelled on the way."""
        with self.lock:
            return self._begin(beginning, cancel)

    def beginning_state(self, beginning: Sequence[int]) -> bytes | None:
        """The state of ``beginning`` if the context begins with it."""
        with self.lock:
            whole = len(beginning) > 0 and self._held()[: len(beginning)] == list(beginning)
            return self._model.prefix_state(len(beginning)) if whole else None

    def note_state(
        self, beginning: Sequence[int], note: Sequence[int], cancel: threading.Event | None = None
    ) -> bytes | None:
        """The state of ``note`` as it is right after ``beginning``. A prompt that the context holds and that begins so
        stays. Some ten to thirty KB a token; it tells what the tokens say to whoever has the model.

        Returns:
            None where it is too long, the context is too full, or ``cancel`` was set.

        Raises:
            ModelError: llama.cpp can't evaluate it.
        """
        with self.lock:
            self._model.check_tokens([*beginning, *note])
            if len(beginning) + len(note) > self._model.n_ctx or not self._begin(beginning, cancel):
                return None
            return self._model.state_after(len(beginning), note, cancel)

    def generate(
        self,
        parts: Sequence[Part],
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        sampling: Sampling | None = None,
        cancel: threading.Event | None = None,
    ) -> Generation:
        """Go on from the tokens of ``parts``; see `Engine.generate`. The first part is the beginning that the states
        were computed after, the last one is evaluated.

        Raises:
            EmptyQuestion, QuestionTooLong, UsageError: as `Engine.generate`.
        """
        prompt = [token for part in parts for token in part.tokens]
        if max_tokens < 1 or not all(stop):
            raise UsageError("max_tokens must be 1 or more, and no stop text may be empty.")
        if not parts or not parts[-1].tokens:
            raise EmptyQuestion("There is nothing to go on from: the prompt, or its last part, has no tokens.")
        if parts[0].load or parts[-1].load:
            raise UsageError("The first and the last part of a spliced prompt must be evaluated.")
        with self.lock:
            model = self._model
            check_prompt(model, prompt, max_tokens)
            sampler = Sampler(model, sampling or Sampling(), None)
            ticket = next(self._tickets)
        run = _Run(self, tuple(parts))
        return Generation(run, prompt, sampler, ticket=ticket, max_tokens=max_tokens, stop=tuple(stop), cancel=cancel)

    # ---- for generations -----------------------------------------------------------------------------------------

    def advance(
        self, parts: Sequence[Part], tokens: list[int], ticket: int | None, cancel: threading.Event | None
    ) -> Advance:
        """Make the context hold ``tokens``, which begin with those of ``parts``, the last one just evaluated."""
        model, held = self._model, len(self._held())
        if self._holder == ticket and held == len(tokens) - 1:
            self._read(tokens[held:], cancel)
            return Advance(held, len(model.held))
        self._holder = ticket
        written = Part(tokens[sum(len(part.tokens) for part in parts) :])
        kept = self._keep([cell for part in (*parts, written) for cell in part.cells], len(parts[0].tokens))
        spliced, at = 0, 0
        for part in (*parts, written):
            end = at + len(part.tokens)
            if end > kept:
                if self._splice(part, len(parts[0].tokens)):
                    spliced += len(part.tokens)
                elif not self._read(part.tokens[max(0, kept - at) :], cancel):
                    return Advance(kept, len(model.held), spliced)
            at = end
        model.logits()
        return Advance(kept, len(model.held), spliced)

    def is_end(self, token: int) -> bool:
        with self.lock:
            return self._model.is_end(token)

    def piece(self, token: int) -> bytes:
        with self.lock:
            return self._model.piece(token)

    # ---- inside --------------------------------------------------------------------------------------------------

    @property
    def _model(self) -> BesideModel:
        if self._native.closed:
            raise ModelError("The engine is closed.", hint="Open it again.")
        return self._native

    def _held(self) -> list[Cell]:
        """How what the context holds came there; of what llama.cpp dropped on a failure nothing is left."""
        del self._cells[len(self._model.held) :]
        return self._cells

    def _begin(self, beginning: Sequence[int], cancel: threading.Event | None) -> bool:
        """Hold ``beginning``, by itself unless a prompt begins so. False when cancelled."""
        if self._held()[: len(beginning)] == list(beginning):
            return True
        self._holder = None
        self._model.clear()
        self._held()
        return self._read(beginning, cancel)

    def _restore(self, beginning: Sequence[int], state: bytes) -> bool:
        self._holder = None
        restored = self._model.restore_prefix(beginning, state)
        self._cells = list(self._model.held)
        return restored

    def _keep(self, wanted: list[Cell], beginning: int) -> int:
        """Drop all but what the context shares with ``wanted``, save the last, which is always evaluated anew; the
        beginning stays whole or goes. Returns how many stayed."""
        pairs = zip(self._held(), wanted[:-1], strict=False)
        shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        kept = self._model.keep(0 if shared < min(beginning, len(wanted) - 1) else shared)
        self._held()
        return kept

    def _splice(self, part: Part, beginning: int) -> bool:
        state = part.load() if part.load is not None else None
        if state is None or not self._model.splice(part.tokens, state, beginning):
            return False
        self._cells += part.cells
        return True

    def _read(self, tokens: Sequence[int], cancel: threading.Event | None) -> bool:
        whole = self._model.append(tokens, cancel)
        self._cells += self._model.held[len(self._held()) :]
        return whole


@dataclass(frozen=True, slots=True)
class _Run:
    """One prompt of a splicer, as a generation steps through it."""

    splicer: Splicer
    parts: tuple[Part, ...]

    @property
    def lock(self) -> AbstractContextManager[object]:
        return self.splicer.lock

    def advance(self, tokens: list[int], ticket: int | None, cancel: threading.Event | None) -> Advance:
        return self.splicer.advance(self.parts, tokens, ticket, cancel)

    def is_end(self, token: int) -> bool:
        return self.splicer.is_end(token)

    def piece(self, token: int) -> bytes:
        return self.splicer.piece(token)
