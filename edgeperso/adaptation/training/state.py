"""A training's state between two calls, as bytes: plain numbers, checked in full, no pickle.

Layout: ``EPTRAIN1``; 32 bytes, the sha256 of all that follows; 32 bytes, the digest of what is trained on what; little
endian counts (steps, updates, tokens, skipped in a row, seconds as a float64, size of the weights, rows of the
reference); then float32 arrays: losses, weights, means, squares, reference.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edgeperso.adaptation.plan import Example, Pair, Plan
from edgeperso.adaptation.training.optimizer import Moments
from edgeperso.engine.adapters.values import Adapter, Lora, SoftPrompt
from edgeperso.types import Float32

__all__ = ["State", "digest", "from_bytes", "to_bytes"]

_MAGIC: Final = b"EPTRAIN1"
_COUNTS: Final = struct.Struct("<QQQQdQQ")
_HASH: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where a training stands after ``steps`` steps; ``losses`` ``float32[steps]``. ``skipped``: steps in a row whose
    gradient was not finite. ``reference``: DPO's log-probabilities before training, ``float32[pairs, 2]``; empty
    for texts."""

    moments: Moments
    losses: Float32
    tokens: int
    skipped: int
    seconds: float
    reference: Float32

    @property
    def steps(self) -> int:
        return len(self.losses)


def digest(
    base_sha256: str,
    examples: Sequence[Example] | Sequence[Pair],
    plan: Plan,
    start: Adapter | None,
    frozen: Sequence[tuple[Lora, float]],
) -> bytes:
    """32 bytes that differ when anything differs that the trained weights depend on; minutes and threads don't."""
    found = hashlib.sha256(base_sha256.encode())
    settings = dataclasses.asdict(dataclasses.replace(plan, minutes=None, threads=None))
    found.update(json.dumps(settings, sort_keys=True).encode())
    for example in examples:
        found.update(repr(dataclasses.astuple(example)).encode())
    for adapter, scale in ((start, 1.0), *frozen):
        found.update(f"|{scale!r}".encode())
        match adapter:
            case SoftPrompt():
                found.update(adapter.embeddings.tobytes())
            case Lora():
                found.update(repr(adapter.alpha).encode())
                for name, pair in sorted(adapter.pairs.items()):
                    found.update(f"{name} {pair.rank}".encode() + pair.a.tobytes() + pair.b.tobytes())
    return found.digest()


def to_bytes(state: State, belongs_to: bytes) -> bytes:
    moments = state.moments
    counts = _COUNTS.pack(
        state.steps,
        moments.updates,
        state.tokens,
        state.skipped,
        state.seconds,
        moments.flat.size,
        len(state.reference),
    )
    arrays = (state.losses, moments.flat, moments.mean, moments.square, state.reference)
    body = belongs_to + counts + b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays)
    return _MAGIC + hashlib.sha256(body).digest() + body


def from_bytes(data: bytes, belongs_to: bytes, *, size: int) -> State | None:
    """The state in ``data``; None where it belongs to another training or isn't whole.

    Args:
        data: from `to_bytes`.
        belongs_to: the digest of this training.
        size: of its flat vector.
    """
    body = data[len(_MAGIC) + _HASH :]
    whole = data[: len(_MAGIC)] == _MAGIC and hashlib.sha256(body).digest() == data[len(_MAGIC) : -len(body) or None]
    if not whole or len(body) < _HASH + _COUNTS.size or body[:_HASH] != belongs_to:
        return None
    steps, updates, tokens, skipped, seconds, saved_size, pairs = _COUNTS.unpack_from(body, _HASH)
    lengths = (steps, saved_size, saved_size, saved_size, 2 * pairs)
    numbers = np.frombuffer(body, "<f4", offset=_HASH + _COUNTS.size).astype(np.float32)
    if saved_size != size or numbers.size != sum(lengths):
        return None
    losses, flat, mean, square, reference = np.split(numbers, np.cumsum(lengths)[:-1])
    moments = Moments(flat, mean, square, updates)
    return State(moments, losses, tokens, skipped, seconds, reference.reshape(-1, 2))
