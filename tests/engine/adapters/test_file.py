"""Adapter files: what goes in comes out, and other programs' files are read."""

from __future__ import annotations

import dataclasses
import struct
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.engine import Lora, LoraPair, SoftPrompt, adapter_from_bytes, adapter_to_bytes
from edgeperso.engine.adapters.file import fingerprint
from edgeperso.errors import AdapterInvalid

BASE = "ab" * 32


def same(one: Lora, other: Lora) -> bool:
    assert one.pairs.keys() == other.pairs.keys()
    for name, pair in one.pairs.items():
        np.testing.assert_array_equal(pair.a, other.pairs[name].a)
        np.testing.assert_array_equal(pair.b, other.pairs[name].b)
    return (one.base_sha256, one.architecture, one.alpha) == (other.base_sha256, other.architecture, other.alpha)


def test_a_lora_comes_back_exactly(makers: SimpleNamespace) -> None:
    lora = makers.lora()
    back = adapter_from_bytes(adapter_to_bytes(lora))
    assert isinstance(back, Lora)
    assert same(lora, back)


def test_a_soft_prompt_comes_back_exactly(makers: SimpleNamespace) -> None:
    soft = makers.soft(count=3)
    back = adapter_from_bytes(adapter_to_bytes(soft))
    assert isinstance(back, SoftPrompt)
    assert (back.base_sha256, back.architecture) == (BASE, "llama")
    np.testing.assert_array_equal(back.embeddings, soft.embeddings)


def test_the_same_adapter_gives_the_same_bytes_whatever_its_order(makers: SimpleNamespace) -> None:
    lora = makers.lora()
    turned = dataclasses.replace(lora, pairs=dict(reversed(lora.pairs.items())))
    assert list(turned.pairs) != list(lora.pairs)
    assert adapter_to_bytes(turned) == adapter_to_bytes(lora)


def test_pairs_may_have_ranks_of_their_own() -> None:
    pairs = {
        f"blk.0.{name}": LoraPair(np.ones((rank, 7), np.float32), np.ones((3, rank), np.float32))
        for name, rank in (("attn_q", 1), ("attn_k", 256))
    }
    lora = Lora(BASE, "llama", 0.5, pairs)
    assert same(lora, adapter_from_bytes(adapter_to_bytes(lora)))


def foreign(make: SimpleNamespace, lora: Lora, **changes: object) -> bytes:
    """As llama.cpp's converter writes it: no key of ours."""
    tensors = {
        f"{name}.weight.lora_{part}": getattr(pair, part) for name, pair in lora.pairs.items() for part in ("a", "b")
    }
    metadata = {
        "general.type": "adapter",
        "general.architecture": "llama",
        "general.name": "something",
        "adapter.type": "lora",
        "adapter.lora.alpha": lora.alpha,
    }
    return make.gguf(metadata | changes, tensors)


def test_a_file_of_another_program(gguf_files: SimpleNamespace, makers: SimpleNamespace) -> None:
    lora = makers.lora()
    data = foreign(gguf_files, lora)
    assert adapter_from_bytes(data).base_sha256 == ""
    assert same(lora, adapter_from_bytes(data, base_sha256=BASE))


def test_half_floats_are_read(gguf_files: SimpleNamespace) -> None:
    a, b = np.float16([[1.5, -0.25]]), np.float16([[3.0], [0.1], [7.0]])
    wide = Lora("", "llama", 8.0, {"blk.0.attn_q": LoraPair(np.float32(a), np.float32(b))})
    data = foreign(gguf_files, wide)
    for values, shape in ((np.float32(a), (2, 1)), (np.float32(b), (1, 3))):
        whole = struct.pack("<QQI", *shape, 0)
        assert data.count(whole) == 1
        data = data.replace(whole, struct.pack("<QQI", *shape, 1))
        data = data.replace(values.tobytes(), np.float16(values).tobytes() + bytes(2 * values.size))
    assert same(wide, adapter_from_bytes(data))


@pytest.mark.parametrize("form", ["lora", "soft"])
def test_half_floats_are_written_where_asked_for(makers: SimpleNamespace, form: str) -> None:
    adapter = getattr(makers, form)()
    whole, half = adapter_to_bytes(adapter), adapter_to_bytes(adapter, half=True)
    assert len(half) < 0.8 * len(whole)
    assert adapter_to_bytes(adapter_from_bytes(half), half=True) == half
    values = adapter.embeddings if form == "soft" else adapter.pairs["blk.0.attn_q"].a
    back = adapter_from_bytes(half)
    read = back.embeddings if isinstance(back, SoftPrompt) else back.pairs["blk.0.attn_q"].a
    np.testing.assert_array_equal(read, values.astype(np.float16))


@pytest.mark.parametrize("form", ["lora", "soft"])
def test_copies_are_known_by_their_fingerprint(makers: SimpleNamespace, form: str) -> None:
    adapter = getattr(makers, form)()
    half = adapter_from_bytes(adapter_to_bytes(adapter, half=True))
    assert fingerprint(half) == fingerprint(adapter) == fingerprint(adapter_from_bytes(adapter_to_bytes(adapter)))
    values = half.embeddings if isinstance(half, SoftPrompt) else half.pairs["blk.0.attn_q"].b
    values[-1, -1] *= 1.01
    assert fingerprint(half) != fingerprint(adapter)


def test_what_is_too_large_for_half_a_float_is_not_written() -> None:
    lora = Lora(BASE, "llama", 8.0, {"blk.0.attn_q": LoraPair(A * 65520, B)})
    with pytest.raises(AdapterInvalid):
        adapter_to_bytes(lora, half=True)


def test_the_base_that_a_file_names_is_not_overruled(makers: SimpleNamespace) -> None:
    assert adapter_from_bytes(adapter_to_bytes(makers.lora()), base_sha256="cd" * 32).base_sha256 == BASE


@pytest.mark.parametrize(
    "changes",
    [
        {"general.type": "model"},
        {"adapter.type": "control_vector"},
        {"adapter.lora.alpha": 0.0},
        {"adapter.lora.alpha": -1.0},
        {"adapter.lora.alpha": float("nan")},
        {"adapter.lora.alpha": float("inf")},
        {"adapter.lora.alpha": 8},
        {"adapter.lora.alpha": "8"},
        {"adapter.alora.invocation_tokens": [1, 2]},
        {"general.architecture": "Llama 3 / etc"},
        {"general.architecture": ""},
        {"edgeperso.base.sha256": BASE},
        {"edgeperso.content.sha256": BASE},
        {"edgeperso.adapter.form": "soft"},
        {"edgeperso.adapter.form": "hard"},
    ],
)
def test_metadata_that_no_adapter_has(gguf_files: SimpleNamespace, makers: SimpleNamespace, changes: dict) -> None:
    assert adapter_from_bytes(foreign(gguf_files, makers.lora()))
    with pytest.raises(AdapterInvalid):
        adapter_from_bytes(foreign(gguf_files, makers.lora(), **changes))


A, B = np.ones((2, 6), np.float32), np.ones((4, 2), np.float32)


@pytest.mark.parametrize(
    "lora",
    [
        Lora(BASE, "llama", 8.0, {}),
        Lora(BASE, "llama", 8.0, {"blk.0.attn_q": LoraPair(A, B.T)}),
        Lora(BASE, "llama", 8.0, {"blk.0.attn_q": LoraPair(A[0], B)}),
        Lora(BASE, "llama", 8.0, {"blk.0.attn_q": LoraPair(A[:0], B[:, :0])}),
        Lora(BASE, "llama", 8.0, {"blk.0.attn_q": LoraPair(A[:, :0], B)}),
        Lora(
            BASE, "llama", 8.0, {"blk.0.attn_q": LoraPair(np.ones((257, 6), np.float32), np.ones((4, 257), np.float32))}
        ),
        Lora(BASE, "llama", 8.0, {"blk.0.attn_q": LoraPair(A.astype(np.float64), B)}),
        Lora(BASE, "llama", 8.0, {"blk.0.attn_q": LoraPair(A * np.float32("nan"), B)}),
        Lora(BASE, "llama", 8.0, {"blk.0.attn_q": LoraPair(A, B * np.float32("-inf"))}),
        Lora(BASE, "llama", 8.0, {"blk.0.attn_q": LoraPair(A, B * np.float32(1e30))}),
        Lora(BASE, "llama", 8.0, {"": LoraPair(A, B)}),
        Lora(BASE, "llama", 8.0, {"blk.0.attn_q" * 9: LoraPair(A, B)}),
        Lora(BASE, "llama", float("nan"), {"blk.0.attn_q": LoraPair(A, B)}),
        Lora(BASE[:-1], "llama", 8.0, {"blk.0.attn_q": LoraPair(A, B)}),
        Lora(BASE, "", 8.0, {"blk.0.attn_q": LoraPair(A, B)}),
        SoftPrompt(BASE, "llama", A[:0]),
        SoftPrompt(BASE, "llama", A[0]),
        SoftPrompt(BASE, "llama", np.ones((257, 6), np.float32)),
        SoftPrompt(BASE, "llama", A * np.float32("nan")),
    ],
)
def test_what_is_no_adapter_is_not_written(lora: Lora) -> None:
    with pytest.raises(AdapterInvalid):
        adapter_to_bytes(lora)
