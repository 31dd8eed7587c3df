"""Answering in the words of given texts: decoding that may only copy.

A small model reads better than it writes. Let it finish a begun answer freely and it invents; let it only choose which
run of words of the notes to put there, and what it says stands in them. On 70 questions about three invented lives,
two notes in the prompt, SmolLM2-135M answered 35 rightly when it wrote and 45 when it quoted.

The search is a beam over the runs of words in the sources: each step follows every source position at once (as in a
suffix automaton), scores the allowed next tokens, and an answer may end where a word of the source does. Answers are
compared by their mean log-likelihood per token, the end included (length normalization: Wu et al. 2016,
arXiv:1609.08144, section 7, with alpha = 1).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from edgeperso.engine.generation import Advance
from edgeperso.engine.results import GenerationStats, Stopped
from edgeperso.types import Float32

__all__ = ["Accept", "Branching", "Quotation", "QuotedAnswer", "find_quotation"]

_BEAM: Final = 3
_ENDINGS: Final = (".", ",", "\n", ";", ":", "!", "?", " and", " but", " (", " -", " –", " —")
"""What may follow when a quotation is over: their summed probability is that of an end."""

Accept = Callable[[str], bool]
"""Whether a run of words can be an answer at all."""

Place = tuple[int, int]
"""(source, token): the next token to copy."""


class Branching(Protocol):
    """What the search needs of an engine."""

    def tokenize(self, text: str, *, special: bool = False) -> list[int]: ...

    def piece(self, token: int) -> bytes: ...

    def end_tokens(self) -> list[int]:
        """The tokens by which the model ends an answer."""
        ...

    def branch_log_probs(self, prefix: Sequence[int], branches: Sequence[Sequence[int]]) -> list[Float32]:
        """For each branch, the log-probabilities (nats, ``float32[n_vocab]``) of what comes after prefix + branch."""
        ...


class _Evaluating(Branching, Protocol):
    """An engine, as an answer uses it."""

    @property
    def lock(self) -> threading.RLock: ...

    def advance(self, tokens: list[int], ticket: int | None, cancel: threading.Event | None) -> Advance: ...

    def detokenize(self, tokens: Sequence[int]) -> str: ...


@dataclass(frozen=True, slots=True)
class Quotation:
    """The run of words chosen: ``source`` is the index of the text it stands in (the first, if in several), and
    ``mean_log_likelihood`` (nats per token) how well it fits: 0 is certain."""

    tokens: list[int]
    source: int
    mean_log_likelihood: float


@dataclass(frozen=True, slots=True)
class _Beam:
    log_likelihood: float
    tokens: list[int]
    places: list[Place]


class QuotedAnswer:
    """An answer in the words of the sources, to be used as a `Generation`: it comes as one piece, or as none if the
    sources hold no words. ``cancel`` ends it before anything is evaluated, or after the prompt."""

    def __init__(
        self,
        engine: _Evaluating,
        prompt: list[int],
        sources: Sequence[str],
        *,
        max_tokens: int,
        accept: Accept,
        cancel: threading.Event | None,
    ) -> None:
        self._engine = engine
        self._prompt = prompt
        self._sources = sources
        self._max_tokens = max_tokens
        self._accept = accept
        self._cancel = cancel
        self._held = self._cached = 0
        self._prefill_ms = self._search_ms = 0.0
        self._stopped: Stopped | None = None
        self.tokens: list[int] = []
        self.quotation: Quotation | None = None
        self._pieces = self._run()

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def close(self) -> None:
        """End it here."""
        self._pieces.close()
        self._stopped = self._stopped or "cancelled"

    @property
    def stats(self) -> GenerationStats:
        return GenerationStats(
            prompt_tokens=len(self._prompt),
            cached_tokens=self._cached,
            evaluated_tokens=self._held - self._cached,
            generated_tokens=len(self.tokens),
            prefill_ms=self._prefill_ms,
            first_token_ms=self._prefill_ms + self._search_ms,
            decode_ms=0.0,
            stopped=self._stopped,
        )

    def _run(self) -> Generator[str, None, None]:
        began = time.perf_counter()
        with self._engine.lock:
            advance = self._engine.advance(self._prompt, None, self._cancel)
        self._cached, self._held = advance.cached, advance.held
        self._prefill_ms = (time.perf_counter() - began) * 1000
        if advance.held < len(self._prompt) or (self._cancel is not None and self._cancel.is_set()):
            self._stopped = "cancelled"
            return
        self.quotation = find_quotation(
            self._engine, self._prompt, self._sources, max_tokens=self._max_tokens, accept=self._accept
        )
        self._search_ms = (time.perf_counter() - began) * 1000 - self._prefill_ms
        self._stopped = "end"
        if self.quotation is not None:
            self.tokens = self.quotation.tokens
            yield self._engine.detokenize(self.tokens)


def find_quotation(
    engine: Branching, prefix: Sequence[int], sources: Sequence[str], *, max_tokens: int, accept: Accept
) -> Quotation | None:
    """The best continuation of ``prefix`` that is a run of words of one of ``sources`` and that ``accept`` takes for an
    answer; None if there is none."""
    texts = [engine.tokenize(" " + " ".join(source.split())) for source in sources]
    pieces = [[engine.piece(token).decode("utf-8", "replace") for token in text] for text in texts]
    marks = {engine.tokenize(ending)[0] for ending in _ENDINGS}
    endings = sorted({mark for mark in marks if engine.piece(mark) != b" "} | set(engine.end_tokens()))
    starts = [(s, t) for s, text in enumerate(pieces) for t, piece in enumerate(text) if t == 0 or piece[:1] == " "]
    beams = [_Beam(0.0, [], starts)]
    best: Quotation | None = None
    for _ in range(max_tokens + 1):
        rows = engine.branch_log_probs(prefix, [beam.tokens for beam in beams])
        grown: list[_Beam] = []
        for beam, log_probs in zip(beams, rows, strict=True):
            ended = _ended(beam, log_probs, endings, pieces, accept)
            if ended is not None and (best is None or ended.mean_log_likelihood > best.mean_log_likelihood):
                best = ended
            grown += _grown(beam, log_probs, texts)
        beams = sorted(grown, key=lambda beam: -beam.log_likelihood)[:_BEAM]
        if not beams or (best is not None and _unlikely_to_beat(best, beams[0])):
            break
    return best


def _grown(beam: _Beam, log_probs: Float32, texts: list[list[int]]) -> list[_Beam]:
    following: dict[int, list[Place]] = {}
    for source, at in beam.places:
        if at < len(texts[source]):
            following.setdefault(texts[source][at], []).append((source, at + 1))
    return [
        _Beam(beam.log_likelihood + float(log_probs[token]), [*beam.tokens, token], places)
        for token, places in following.items()
    ]


def _ended(
    beam: _Beam, log_probs: Float32, endings: list[int], pieces: list[list[str]], accept: Accept
) -> Quotation | None:
    """The beam as a whole answer, if a word of its source ends there and it is acceptable."""
    source = next((s for s, at in beam.places if _word_ends(pieces[s], at)), None)
    if source is None or not beam.tokens:
        return None
    text = "".join(_last(beam, pieces)).strip()
    if not text or not accept(text):
        return None
    end = float(np.logaddexp.reduce(log_probs[endings].astype(np.float64)))
    return Quotation(beam.tokens, source, (beam.log_likelihood + end) / (len(beam.tokens) + 1))


def _last(beam: _Beam, pieces: list[list[str]]) -> list[str]:
    source, at = beam.places[0]
    return pieces[source][at - len(beam.tokens) : at]


def _word_ends(pieces: list[str], at: int) -> bool:
    """Whether the text before place ``at`` ends with a whole word; a number goes on over its comma or point."""
    if at >= len(pieces) or pieces[at][:1] == " ":
        return True
    if pieces[at][:1].isalnum():
        return False
    return at + 1 >= len(pieces) or not pieces[at + 1][:1].isalnum()


def _unlikely_to_beat(best: Quotation, beam: _Beam) -> bool:
    """Whether ``beam`` would fall behind even if its next two tokens were certain: a cut, not a proof, that ends most
    searches after the answer's last word."""
    return beam.log_likelihood / (len(beam.tokens) + 2) < best.mean_log_likelihood
