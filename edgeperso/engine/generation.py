"""One answer as it is being written: an iterator of text pieces, with what it cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from edgeperso.engine.results import GenerationStats, Stopped
from edgeperso.engine.sampling import Sampler
from edgeperso.engine.streaming import PieceStream

__all__ = ["Advance", "Generation", "Stepper"]


@dataclass(frozen=True, slots=True)
class Advance:
    """What became of asking the context to hold some tokens: it had ``cached`` of them, took ``spliced`` over from
    states, and has ``held`` now. Fewer than were asked for means that it was cancelled."""

    cached: int
    held: int
    spliced: int = 0


class Stepper(Protocol):
    """What a generation needs of its engine."""

    @property
    def lock(self) -> AbstractContextManager[object]: ...

    def advance(self, tokens: list[int], ticket: int | None, cancel: threading.Event | None) -> Advance:
        """Make the context hold ``tokens``, the last one just evaluated."""
        ...

    def is_end(self, token: int) -> bool: ...

    def piece(self, token: int) -> bytes: ...


class Generation:
    """Iterate over it for pieces of text; it may be left at any time (`close` frees what it holds at once).

    The engine is locked only while a token is computed: another call in between is allowed, and then costs a
    re-evaluation of what it displaced.
    """

    def __init__(
        self,
        engine: Stepper,
        prompt: list[int],
        sampler: Sampler,
        *,
        ticket: int,
        max_tokens: int,
        stop: tuple[str, ...],
        cancel: threading.Event | None,
    ) -> None:
        self._engine = engine
        self._ticket = ticket
        self._prompt_tokens = len(prompt)
        self._sequence = list(prompt)
        self._sampler = sampler
        self._max_tokens = max_tokens
        self._cancel = cancel
        self._stream = PieceStream(stop)
        self._text: list[str] = []
        self._prompt = Advance(0, 0)
        self._prefill_ms = self._first_ms = self._decode_ms = 0.0
        self._stopped: Stopped | None = None
        self._pieces = self._run()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = next(self._pieces)
        self._text.append(piece)
        return piece

    def close(self) -> None:
        """End it here. What was said so far stays in the prefix cache."""
        self._pieces.close()
        self._finish("cancelled")

    def __del__(self) -> None:
        if getattr(self, "_sampler", None) is not None:
            self._sampler.close()

    @property
    def text(self) -> str:
        """All that was given out so far."""
        return "".join(self._text)

    @property
    def tokens(self) -> list[int]:
        """The generated token ids so far, without an end token. A prompt that goes on with them finds them cached."""
        return self._sequence[self._prompt_tokens :]

    @property
    def stats(self) -> GenerationStats:
        return GenerationStats(
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._prompt.cached,
            spliced_tokens=self._prompt.spliced,
            evaluated_tokens=self._prompt.held - self._prompt.cached - self._prompt.spliced,
            generated_tokens=len(self._sequence) - self._prompt_tokens,
            prefill_ms=self._prefill_ms,
            first_token_ms=self._first_ms,
            decode_ms=self._decode_ms,
            stopped=self._stopped,
        )

    def _run(self) -> Generator[str, None, None]:
        try:
            while not self._over():
                piece = self._step()
                if self._over():
                    piece += self._stream.finish()
                if piece:
                    yield piece
        finally:
            self._finish("cancelled")

    def _over(self) -> bool:
        return self._stopped is not None

    def _finish(self, stopped: Stopped) -> None:
        self._stopped = self._stopped or stopped
        self._sampler.close()

    def _step(self) -> str:
        """Compute one token; sets ``_stopped`` when it was the last."""
        if self._max_tokens == len(self._sequence) - self._prompt_tokens:
            self._stopped = "length"
            return ""
        first = len(self._sequence) == self._prompt_tokens
        began = time.perf_counter()
        with self._engine.lock:
            if self._cancel is not None and self._cancel.is_set():
                self._stopped = "cancelled"
                return ""
            advance = self._engine.advance(self._sequence, self._ticket, self._cancel)
            evaluated = time.perf_counter()
            if first:
                self._prompt = advance
                self._prefill_ms = (evaluated - began) * 1000
            if advance.held < len(self._sequence):
                self._stopped = "cancelled"
                return ""
            token = self._sampler.next()
        elapsed_ms = (time.perf_counter() - began) * 1000
        if first:
            self._first_ms = elapsed_ms
        else:
            self._decode_ms += elapsed_ms
        return self._take(token)

    def _take(self, token: int | None) -> str:
        if token is None or self._engine.is_end(token):
            self._stopped = "end"
            return ""
        self._sequence.append(token)
        piece = self._stream.push(self._engine.piece(token))
        if self._stream.stopped:
            self._stopped = "stop"
        elif len(self._sequence) - self._prompt_tokens == self._max_tokens:
            self._stopped = "length"
        return piece
