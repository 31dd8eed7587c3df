"""Adapter files: GGUF, as llama.cpp loads them, with what edgeperso needs to know in keys of its own.

A LoRA is what llama.cpp's ``convert_lora_to_gguf`` writes: ``general.type`` adapter, ``adapter.type`` lora,
``adapter.lora.alpha``, and for each matrix ``NAME.weight.lora_a`` and ``NAME.weight.lora_b``. A soft prompt is one
tensor, ``soft_prompt.embeddings``. Ours also hold ``edgeperso.base.sha256``, ``edgeperso.adapter.form``, and
``edgeperso.content.sha256`` over all of it, so that no flipped bit goes unnoticed.

A file is judged whole before anything is made of it; what llama.cpp gets is never the file that came in, but one
written anew from the checked values.

Source: the GGUF specification, version 3 (ggml, docs/gguf.md).
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from edgeperso.engine.adapters.checks import MAX_BYTES, check_adapter
from edgeperso.engine.adapters.values import Adapter, Lora, LoraPair, SoftPrompt
from edgeperso.engine.gguf import GgufHeader, TensorPlace, read_header
from edgeperso.errors import AdapterInvalid, ModelError
from edgeperso.types import AdapterForm, Float32

__all__ = ["adapter_from_bytes", "adapter_to_bytes", "fingerprint"]

_ALIGNMENT: Final = 32
_BASE: Final = "edgeperso.base.sha256"
_FORM: Final = "edgeperso.adapter.form"
_CONTENT: Final = "edgeperso.content.sha256"
_ALPHA: Final = "adapter.lora.alpha"
_EMBEDDINGS: Final = "soft_prompt.embeddings"
_PART: Final = re.compile(r"(?P<name>.+)\.weight\.lora_(?P<part>[ab])")
_KINDS: Final[Mapping[int, np.dtype[Any]]] = {0: np.dtype("<f4"), 1: np.dtype("<f2")}
"""Tensor types of ggml that an adapter may hold."""


def adapter_to_bytes(adapter: Adapter, *, half: bool = False) -> bytes:
    """The adapter as a GGUF file, its weights in float32, or with ``half`` rounded to float16. The same adapter gives
    the same bytes.

    Raises:
        AdapterInvalid: it is none (see `check_adapter`), or a weight is too large for a float16.
    """
    if half:
        adapter = _rounded(adapter)
    check_adapter(adapter)
    metadata: dict[str, str | float] = {
        "general.type": "adapter",
        "general.architecture": adapter.architecture,
        "adapter.type": "lora" if isinstance(adapter, Lora) else "soft_prompt",
        _FORM: adapter.form.value,
        _BASE: adapter.base_sha256,
        _CONTENT: _content_sha256(adapter),
    }
    if isinstance(adapter, Lora):
        metadata[_ALPHA] = adapter.alpha
    return _gguf(metadata, dict(_tensors(adapter)), kind=1 if half else 0)


def adapter_from_bytes(data: bytes, *, base_sha256: str | None = None) -> Adapter:
    """The adapter in a GGUF file; float16 becomes float32.

    Args:
        base_sha256: the base model of a file that names none (those that other programs wrote). Without it such an
            adapter's ``base_sha256`` is empty, and no engine wears it.

    Raises:
        AdapterInvalid: corrupt, cut off, larger than 512 MiB, of a rank above 256, of a form that is unknown here, or
            with values that are not numbers.
    """
    if len(data) > MAX_BYTES:
        raise AdapterInvalid(f"The adapter has {len(data)} bytes; {MAX_BYTES} is the most.")
    try:
        header = read_header("The adapter", data)
    except ModelError as error:
        raise AdapterInvalid(error.message) from None
    if sum(place.size_bytes for place in header.tensors.values()) > len(data):
        raise AdapterInvalid("The adapter has tensors that overlap.")
    own = _BASE in header.metadata or _CONTENT in header.metadata
    base = str(header.metadata.get(_BASE, "")) or ("" if own else base_sha256 or "")
    arrays = {name: _array(place, data) for name, place in header.tensors.items()}
    adapter = _adapter(header, base, arrays)
    check_adapter(adapter)
    if own and header.metadata.get(_CONTENT) != _content_sha256(adapter):
        raise AdapterInvalid("The adapter was altered since it was written.")
    return adapter


def fingerprint(adapter: Adapter) -> str:
    """64 hex digits that all copies of an adapter have in common: in float32 and in float16, as GGUF and as PEFT's,
    whoever wrote them. One whose weights were changed has others, also if they were only rounded to bfloat16."""
    return _content_sha256(_rounded(adapter))


# ---- reading -------------------------------------------------------------------------------------------------------


def _array(place: TensorPlace, data: bytes) -> Float32:
    if place.kind not in _KINDS or len(place.shape) > 2:
        raise AdapterInvalid("The adapter has a tensor that is no matrix of float32 or float16.")
    values = np.frombuffer(data, _KINDS[place.kind], count=math.prod(place.shape), offset=place.offset)
    out: Float32 = values.reshape(place.shape[::-1]).astype(np.float32)
    return out


def _adapter(header: GgufHeader, base: str, arrays: Mapping[str, Float32]) -> Adapter:
    metadata = header.metadata
    if metadata.get("general.type") != "adapter":
        raise AdapterInvalid("The file holds no adapter.")
    form = metadata.get(_FORM, metadata.get("adapter.type"))
    if form == AdapterForm.SOFT.value and arrays.keys() == {_EMBEDDINGS}:
        return SoftPrompt(base, header.architecture, arrays[_EMBEDDINGS])
    # An activated LoRA is one that counts only after certain tokens: worn all the time it would be another adapter.
    activated = any(key.startswith("adapter.alora.") for key in (*metadata, *header.array_lengths))
    alpha = metadata.get(_ALPHA)
    if form != AdapterForm.LORA.value or metadata.get("adapter.type") != "lora" or activated:
        raise AdapterInvalid("The adapter is of a form that is unknown here.")
    if not isinstance(alpha, float):
        raise AdapterInvalid("The adapter doesn't say its alpha.")
    return Lora(base, header.architecture, alpha, _pairs(arrays))


def _pairs(arrays: Mapping[str, Float32]) -> dict[str, LoraPair]:
    parts: dict[str, dict[str, Float32]] = {}
    for tensor, values in arrays.items():
        match = _PART.fullmatch(tensor)
        if match is None:
            raise AdapterInvalid("The adapter has a tensor that is no part of a LoRA.")
        parts.setdefault(match["name"], {})[match["part"]] = values
    if any(len(part) < 2 for part in parts.values()):
        raise AdapterInvalid("The adapter has a matrix without its counterpart.")
    return {name: LoraPair(part["a"], part["b"]) for name, part in parts.items()}


# ---- writing -------------------------------------------------------------------------------------------------------


def _tensors(adapter: Adapter) -> Iterator[tuple[str, Float32]]:
    if isinstance(adapter, SoftPrompt):
        yield _EMBEDDINGS, adapter.embeddings
        return
    for name in sorted(adapter.pairs):
        yield f"{name}.weight.lora_a", adapter.pairs[name].a
        yield f"{name}.weight.lora_b", adapter.pairs[name].b


def _rounded(adapter: Adapter) -> Adapter:
    """``adapter`` with the values that float16 has for its own: what is read back from such a file."""
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused
        if isinstance(adapter, SoftPrompt):
            return replace(adapter, embeddings=adapter.embeddings.astype(np.float16).astype(np.float32))
        pairs = {
            name: LoraPair(*(part.astype(np.float16).astype(np.float32) for part in (pair.a, pair.b)))
            for name, pair in adapter.pairs.items()
        }
    return replace(adapter, pairs=pairs)


def _content_sha256(adapter: Adapter) -> str:
    alpha = struct.pack("<f", adapter.alpha) if isinstance(adapter, Lora) else b""
    head = [part.encode() for part in (adapter.form.value, adapter.architecture, adapter.base_sha256)]
    digest = hashlib.sha256(b"\0".join([*head, alpha]))
    for name, values in _tensors(adapter):
        digest.update(f"\0{name} {values.shape}\0".encode())
        digest.update(np.ascontiguousarray(values, "<f4").data)
    return digest.hexdigest()


def _gguf(metadata: Mapping[str, str | float], tensors: Mapping[str, Float32], *, kind: int) -> bytes:
    """``kind``: of every tensor, one of `_KINDS`."""
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key in sorted(metadata):
        value = metadata[key]
        parts += [
            _text(key),
            struct.pack("<I", 8) + _text(value) if isinstance(value, str) else struct.pack("<If", 6, value),
        ]
    offset = 0
    for name, values in tensors.items():
        parts += [_text(name), struct.pack("<IQQIQ", 2, *values.shape[::-1], kind, offset)]
        size = values.size * _KINDS[kind].itemsize
        offset += size + -size % _ALIGNMENT
    parts.append(bytes(-sum(map(len, parts)) % _ALIGNMENT))
    for values in tensors.values():
        data = np.ascontiguousarray(values, _KINDS[kind]).tobytes()
        parts += [data, bytes(-len(data) % _ALIGNMENT)]
    return b"".join(parts)


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data
