"""Is this an adapter, and does it fit a model? Asked before llama.cpp is given any of it."""

from __future__ import annotations

import math
import re
from typing import Final, NoReturn

import numpy as np

from edgeperso.engine.adapters.values import Adapter, Lora, LoraPair, SoftPrompt
from edgeperso.engine.gguf import GgufHeader
from edgeperso.errors import AdapterInvalid, AdapterMismatch
from edgeperso.types import Float32

__all__ = ["MAX_BYTES", "MAX_RANK", "MAX_VIRTUAL_TOKENS", "check_adapter", "check_fits"]

MAX_BYTES: Final = 512 << 20
MAX_RANK: Final = 256
MAX_VIRTUAL_TOKENS: Final = 256
_MAX_PAIRS: Final = 1 << 13
_MAX_VALUE: Final = 65504.0
"""The largest float16: llama.cpp keeps what it computes in that type between tokens."""
_TAKES_VECTORS: Final = frozenset({"llama", "qwen2"})
"""Architectures that read vectors in a token's place as if they were its embedding: others scale embeddings first, or
look each token up again in every layer and end the process when there is none."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ARCHITECTURE: Final = re.compile(r"[a-z0-9_.-]{1,32}")
_NAME: Final = re.compile(r"[a-z0-9_.]{1,48}")
_IN_A_LAYER: Final = re.compile(r"blk\.[0-9]+\.[a-z0-9_]+")


def check_adapter(adapter: Adapter) -> None:
    """Check an adapter by itself.

    Raises:
        AdapterInvalid: a shape, size, name or number that no adapter has.
    """
    if adapter.base_sha256 and not _SHA256.fullmatch(adapter.base_sha256):
        _invalid("names its base model by something that is not a sha256")
    if not _ARCHITECTURE.fullmatch(adapter.architecture):
        _invalid("doesn't name an architecture")
    if isinstance(adapter, SoftPrompt):
        _check_soft(adapter.embeddings)
    else:
        _check_lora(adapter)


def check_fits(adapter: Adapter, header: GgufHeader, base_sha256: str) -> None:
    """Check an adapter against the model that is to run it.

    Args:
        header: the model file's.
        base_sha256: of that file as published (`ModelInfo.base_sha256`).

    Raises:
        AdapterMismatch: it was made for another model.
    """
    if adapter.architecture != header.architecture:
        _mismatch("an architecture that this model is not of")
    if adapter.base_sha256 != base_sha256:
        base = f"the model {adapter.base_sha256[:12]}…" if adapter.base_sha256 else "a model that it doesn't name"
        _mismatch(f"{base}, and this is {base_sha256[:12]}…")
    if isinstance(adapter, SoftPrompt):
        if header.architecture not in _TAKES_VECTORS:
            raise AdapterMismatch("Models of this architecture take no soft prompts.", hint="Use a LoRA instead.")
        if adapter.embeddings.shape[1] != header.metadata.get(f"{header.architecture}.embedding_length"):
            _mismatch("a model of another width")
        return
    for name, pair in adapter.pairs.items():
        place = header.tensors.get(f"{name}.weight")
        if place is None or not _IN_A_LAYER.fullmatch(name):
            _mismatch("a model with other matrices")
        if place.shape != (pair.a.shape[1], pair.b.shape[0]):
            _mismatch("a model with matrices of other shapes")


def _check_soft(embeddings: Float32) -> None:
    if embeddings.ndim != 2 or not 1 <= embeddings.shape[0] <= MAX_VIRTUAL_TOKENS or embeddings.shape[1] < 1:
        _invalid(f"is a soft prompt of an impossible shape (1 to {MAX_VIRTUAL_TOKENS} virtual tokens)")
    _check_values(embeddings)


def _check_lora(lora: Lora) -> None:
    if not 1 <= len(lora.pairs) <= _MAX_PAIRS:
        _invalid(f"adds to {len(lora.pairs)} matrices")
    if not math.isfinite(lora.alpha) or not 0 < lora.alpha <= _MAX_VALUE:
        _invalid("has an impossible alpha")
    for name, pair in lora.pairs.items():
        if not _NAME.fullmatch(name):
            _invalid("adds to something that is not a matrix of a model")
        _check_pair(pair)
    if sum(pair.a.nbytes + pair.b.nbytes for pair in lora.pairs.values()) > MAX_BYTES:
        _invalid(f"is larger than {MAX_BYTES} bytes")


def _check_pair(pair: LoraPair) -> None:
    if (
        pair.a.ndim != 2
        or pair.b.ndim != 2
        or pair.a.shape[0] != pair.b.shape[1]
        or 0 in (*pair.a.shape, *pair.b.shape)
    ):
        _invalid("has a pair of matrices that don't fit each other")
    if pair.rank > MAX_RANK:
        _invalid(f"has rank {pair.rank}; {MAX_RANK} is the most")
    _check_values(pair.a)
    _check_values(pair.b)


def _check_values(values: Float32) -> None:
    if values.dtype != np.float32:
        _invalid("holds values that are not float32")
    low, high = float(values.min()), float(values.max())
    if math.isnan(low + high):
        _invalid("holds values that are not numbers")
    if max(-low, high) > _MAX_VALUE:
        _invalid("holds numbers of an impossible size")


def _invalid(what: str) -> NoReturn:
    raise AdapterInvalid(f"The adapter {what}.")


def _mismatch(what: str) -> NoReturn:
    raise AdapterMismatch(f"The adapter was made for {what}.")
