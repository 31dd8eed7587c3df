"""How fast a model runs on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeperso.engine.engine import Engine
from edgeperso.engine.machine import resident_bytes
from edgeperso.engine.texts import SAMPLE_TEXT
from edgeperso.types import Progress

__all__ = ["BenchReport", "Speed", "bench", "measure_speeds"]

PROMPT_TOKENS = 512
ANSWER_TOKENS = 32
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second: reading a prompt of 512, and writing one at a time after it. Medians."""

    prefill_tok_s: float
    decode_tok_s: float

    def turn_s(self, prompt_tokens: int = 512, answer_tokens: int = 64) -> float:
        """Seconds for a turn of that size."""
        return prompt_tokens / self.prefill_tok_s + answer_tokens / self.decode_tok_s


@dataclass(frozen=True, slots=True)
class BenchReport:
    """``load_ms`` is the time to open the file (its pages may be cached), ``rss_bytes`` what the process holds more
    of with the model open and used."""

    name: str
    quantization: str
    speed: Speed
    load_ms: float
    rss_bytes: int
    n_ctx: int


def bench(path: str | Path, *, progress: Progress | None = None) -> BenchReport:
    """Load and run the model at ``path``.

    Raises:
        As `Engine.open`.
    """
    before = resident_bytes()
    began = time.perf_counter()
    with Engine.open(path) as engine:
        load_ms = (time.perf_counter() - began) * 1000
        (speed,) = measure_speeds([engine], progress=progress)
        return BenchReport(
            name=engine.info.name,
            quantization=engine.info.quantization,
            speed=speed,
            load_ms=load_ms,
            rss_bytes=max(0, resident_bytes() - before),
            n_ctx=engine.info.n_ctx,
        )


def measure_speeds(engines: Sequence[Engine], *, progress: Progress | None = None) -> list[Speed]:
    """The speed of each engine, measured in turns, so that a machine that slows down slows all alike."""
    rates: list[list[tuple[float, float]]] = [[] for _ in engines]
    for repeat in range(_REPEATS):
        for number, engine in enumerate(engines):
            rates[number].append(_run(engine))
            if progress is not None:
                progress("bench", repeat * len(engines) + number + 1, _REPEATS * len(engines))
    return [
        Speed(statistics.median(prefill for prefill, _ in runs), statistics.median(decode for _, decode in runs))
        for runs in rates
    ]


def _run(engine: Engine) -> tuple[float, float]:
    tokens = engine.tokenize(SAMPLE_TEXT)
    prompt = min(PROMPT_TOKENS, engine.info.n_ctx // 2)
    answer = min(ANSWER_TOKENS, engine.info.n_ctx - prompt)
    tokens = (tokens * ((prompt + answer) // len(tokens) + 1))[: prompt + answer]
    engine.clear()
    with engine.lock:
        began = time.perf_counter()
        engine.advance(tokens[:prompt], None, None)
        read = time.perf_counter()
        for count in range(prompt + 1, prompt + answer + 1):
            engine.advance(tokens[:count], -1, None)
        written = time.perf_counter()
    engine.clear()
    return prompt / (read - began), answer / (written - read)
