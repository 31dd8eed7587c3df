"""The values that the engine takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeperso.catalogue import file_sha256
from edgeperso.engine.origin import base_sha256
from edgeperso.errors import UsageError

__all__ = ["GenerationStats", "ModelInfo", "Sampling", "Score", "Stopped"]

Stopped = Literal["stop", "length", "cancelled", "end"]
"""Why a generation ended: a stop string, ``max_tokens``, `cancel` or `close`, the model's own end."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a loaded model says of itself. ``n_ctx`` is the context in use (less what a soft prompt takes of it),
    ``n_ctx_train`` the one it was trained on, both in tokens; ``bos`` and ``eos`` are token ids, None where the model
    has none; ``bos_text`` and ``eos_text`` are how its template writes them."""

    name: str
    path: Path
    architecture: str
    n_params: int
    n_ctx: int
    n_ctx_train: int
    n_vocab: int
    quantization: str
    chat_template: str | None
    bos: int | None
    eos: int | None
    bos_text: str = ""
    eos_text: str = ""

    @property
    def sha256(self) -> str:
        """Of the file; read when first asked for."""
        return file_sha256(self.path)

    @property
    def base_sha256(self) -> str:
        """Of the file as published, by which adapters name their base: of the original where this one was optimized."""
        return base_sha256(self.path)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy: always the likeliest, the same on every run.

    Args:
        temperature: 0 or more.
        top_k: keep this many likeliest tokens; 0 keeps all.
        top_p: keep the likeliest that together reach this probability, in (0, 1]; 1 keeps all.
        min_p: keep those at least this fraction of the likeliest's probability, in [0, 1]; 0 keeps all.
        repeat_penalty: divides the logits of tokens generated within ``repeat_window``; 1 is none.
        frequency_penalty: subtracted for each time a token occurs in the window; 0 is none.
        presence_penalty: subtracted once where it occurs; 0 is none.
        repeat_window: generated tokens that the three penalties look back on.
        seed: same seed, same text.

    Raises:
        UsageError: a value out of range.
    """

    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repeat_window: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        in_range = {
            "temperature": 0.0 <= self.temperature < 100.0,
            "top_k": self.top_k >= 0,
            "top_p": 0.0 < self.top_p <= 1.0,
            "min_p": 0.0 <= self.min_p <= 1.0,
            "repeat_penalty": 0.0 < self.repeat_penalty < 100.0,
            "frequency_penalty": -100.0 < self.frequency_penalty < 100.0,
            "presence_penalty": -100.0 < self.presence_penalty < 100.0,
            "repeat_window": 0 <= self.repeat_window < 2**31,
            "seed": 0 <= self.seed < 2**32,
        }
        wrong = [name for name, fits in in_range.items() if not fits]
        if wrong:
            raise UsageError(f"Sampling value out of range: {', '.join(wrong)}.")

    @property
    def penalizes(self) -> bool:
        return self.repeat_penalty != 1.0 or self.frequency_penalty != 0.0 or self.presence_penalty != 0.0


@dataclass(frozen=True, slots=True)
class GenerationStats:
    """What a generation cost. Of ``prompt_tokens``, ``cached_tokens`` were in the context already, ``spliced_tokens``
    were taken over from states of their own (`Splicer`), and ``evaluated_tokens`` were neither. ``first_token_ms``
    counts from the first piece being asked for and includes ``prefill_ms``; ``decode_ms`` is the time spent on the
    tokens after the first. ``stopped`` is None while it runs.
    """

    prompt_tokens: int
    cached_tokens: int
    evaluated_tokens: int
    generated_tokens: int
    prefill_ms: float
    first_token_ms: float
    decode_ms: float
    stopped: Stopped | None
    spliced_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """How likely a text is after a prefix: ``log_likelihood`` in nats (0 or less), summed over ``tokens`` tokens."""

    log_likelihood: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats per token; 0 for a text without tokens."""
        return self.log_likelihood / self.tokens if self.tokens else 0.0
