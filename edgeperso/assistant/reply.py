"""An answer while it is being said, and what is known of it afterwards."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Final

from edgeperso.assistant.trace import AdapterTrace, HitTrace, Trace
from edgeperso.engine import Generation, ModelInfo, QuotedAnswer
from edgeperso.prompting import Budget, Prompt
from edgeperso.types import Hit

__all__ = ["NOTHING_FOUND", "Plan", "Reply"]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that went into a prompt, for the trace. Times in ms."""

    prompt: Prompt
    hits: tuple[Hit, ...]
    superseded: tuple[Hit, ...]
    budget: Budget
    model: ModelInfo
    search_ms: float
    prompt_ms: float
    adapters: tuple[AdapterTrace, ...] = ()


NOTHING_FOUND: Final = "I find no answer to that in your notes."
"""Said when a model that may only quote finds nothing that could be an answer."""


NOTHING_SAID: Final = "I have no answer to that."
"""Said when a model ends its answer before the first word."""

_LISTED: Final = re.compile(r"\b(and|or)\b|&|\d, \d")


def _without_asides(quoted: str) -> str:
    """The quotation up to its first comma, unless it is a list: what comes after is the note's next thought."""
    head, comma, _ = quoted.partition(", ")
    return quoted if not comma or _LISTED.search(quoted) else head


class Reply:
    """Iterate over it for pieces of text as they come; ``text``, ``sources`` and ``trace`` run it to its end first.

    ``cancel()``, also from another thread, ends it after the current token: what was said is kept and stored.
    """

    def __init__(
        self, plan: Plan, generation: Generation | QuotedAnswer, cancel: threading.Event, done: Callable[[Reply], None]
    ) -> None:
        self._plan = plan
        self._generation = generation
        self._cancel = cancel
        self._done = done
        self._said: list[str] = []
        self._began = time.perf_counter()
        self._ended = False
        self._trace: Trace | None = None
        self._stream: Generator[str, None, None] = self._pieces()

    def __iter__(self) -> Iterator[str]:
        return self._stream

    @property
    def text(self) -> str:
        self._finish()
        return "".join(self._said)

    @property
    def prompt(self) -> Prompt:
        """What the model read."""
        return self._plan.prompt

    @property
    def sources(self) -> tuple[int, ...]:
        """Ids of the memories that the model read: those chosen for this question, then those of earlier turns that
        still stand in its prompt."""
        return (*self._plan.prompt.included, *self._plan.prompt.earlier)

    @property
    def read(self) -> dict[int, str]:
        """The texts that were quoted to the model in this turn, by memory id."""
        chosen = set(self._plan.prompt.included)
        return {hit.memory.id: hit.memory.text for hit in self._plan.hits if hit.memory.id in chosen}

    @property
    def trace(self) -> Trace:
        self._finish()
        if self._trace is None:
            self._trace = self._make_trace()
        return self._trace

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def answer_tokens(self) -> list[int]:
        """The generated token ids so far."""
        return self._generation.tokens

    def cancel(self) -> None:
        self._cancel.set()

    def close(self) -> None:
        """End it here. One that was begun is stored as far as it went; one that nobody read leaves no trace."""
        self._stream.close()

    def _pieces(self) -> Generator[str, None, None]:
        try:
            for text in self._quoted() if isinstance(self._generation, QuotedAnswer) else self._written():
                self._said.append(text)
                yield text
        except (KeyboardInterrupt, GeneratorExit):
            self._cancel.set()
            raise
        finally:
            self._generation.close()
            self._ended = True
            self._done(self)

    def _written(self) -> Iterator[str]:
        begun = self._plan.prompt.begun
        if begun:
            yield begun
        for piece in self._generation:
            text = piece if self._said else piece.lstrip()
            if text:
                yield text
        if not self._said and not self._cancel.is_set():
            yield NOTHING_SAID

    def _quoted(self) -> Iterator[str]:
        quoted = _without_asides("".join(self._generation).strip())
        if quoted:
            yield f"{self._plan.prompt.begun} {quoted}{'' if quoted[-1] in '.!?' else '.'}"
        elif not self._cancel.is_set():
            yield NOTHING_FOUND

    def _finish(self) -> None:
        """Run to the end, unless it is reached: `_done` reads the reply while the stream is still closing."""
        if not self._ended:
            for _ in self._stream:
                pass

    def _make_trace(self) -> Trace:
        plan, stats = self._plan, self._generation.stats
        outcome = {
            **dict.fromkeys(plan.prompt.included, "included"),
            **dict.fromkeys(plan.prompt.partly, "excerpt"),
            **{dropped.memory_id: dropped.reason for dropped in plan.prompt.dropped},
            **{hit.memory.id: "superseded" for hit in plan.superseded},
        }
        return Trace(
            sources=self.sources,
            hits=tuple(
                HitTrace(hit.memory.id, hit.score, hit.parts, outcome[hit.memory.id])
                for hit in (*plan.hits, *plan.superseded)
            ),
            model={
                "name": plan.model.name,
                "quantization": plan.model.quantization,
                "architecture": plan.model.architecture,
            },
            budget={
                "context": plan.budget.context_tokens,
                "answer": plan.budget.answer_tokens,
                "memory_limit": plan.budget.memory_tokens,
                "stable": plan.prompt.stable_tokens,
                "memories": plan.prompt.memory_tokens,
                "question": plan.prompt.question_tokens,
            },
            tokens={
                "prompt": stats.prompt_tokens,
                "cached": stats.cached_tokens,
                "spliced": stats.spliced_tokens,
                "evaluated": stats.evaluated_tokens,
                "generated": stats.generated_tokens,
            },
            timings_ms={
                "search": plan.search_ms,
                "prompt": plan.prompt_ms,
                "prefill": stats.prefill_ms,
                "first_token": plan.search_ms + plan.prompt_ms + stats.first_token_ms,
                "decode": stats.decode_ms,
                "total": plan.search_ms + plan.prompt_ms + (time.perf_counter() - self._began) * 1000,
            },
            stopped=stats.stopped or "cancelled",
            restarted=plan.prompt.restarted,
            adapters=plan.adapters,
        )
