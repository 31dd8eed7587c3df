"""The shared adapter's tensors: the public ``a``, what travels by method and round, ranks and scales that differ."""

from __future__ import annotations

import hashlib
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.adaptation.plan import LoraShape, SoftShape
from edgeperso.engine.adapters.checks import check_adapter, check_fits
from edgeperso.engine.adapters.values import Lora, LoraPair, SoftPrompt
from edgeperso.engine.gguf import read_header
from edgeperso.errors import AdapterMismatch, ModelUnsupported, UsageError
from edgeperso_federated.factors import (
    Method,
    ffa_a,
    fields_for,
    first_tensors,
    frame_of,
    lora_from,
    narrowed,
    schema_for,
    soft_from,
    tensors_of,
)
from edgeperso_federated.update import Tensors, Update, check_update, encoded_bytes

MAKE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "frames.py")))
MODEL = runpy.run_path(str(Path(__file__).parent.parent / "engine" / "gguf_files.py"))["tiny_model"]
FRAME = MAKE.frame()
SOFT = replace(FRAME, shape=SoftShape(4), matrices={})


# ---- the frozen a --------------------------------------------------------------------------------------------------


def test_a_is_the_same_on_every_machine() -> None:
    """These numbers are part of the format: a device that draws others spoils the mean."""
    a = ffa_a(7, "blk.0.attn_q", 2, 576)
    assert hashlib.sha256(a.astype("<f4").tobytes()).hexdigest().startswith("377b3716b7cb75f6f95c540e8da5b408")
    unit = int.from_bytes(hashlib.shake_256(stream_key(7, "blk.0.attn_q", 576)).digest(4), "little") >> 8
    assert a[0, 0] == np.float32((2 * unit + 1 - 2**24) / 2**24) * np.float32(1 / 24)


def stream_key(seed: int, name: str, n_in: int) -> bytes:
    parts = [b"edgeperso ffa-lora a 1", seed.to_bytes(16, "big"), name.encode(), n_in.to_bytes(4, "big")]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def test_a_is_uniform_within_its_bound() -> None:
    a = ffa_a(b"seed", "blk.0.attn_q", 64, 576) * np.float32(24)
    assert a.dtype == np.float32
    assert a.shape == (64, 576)
    assert 0.999 < np.abs(a).max() <= 1
    counts = np.histogram(a, bins=16, range=(-1, 1))[0]
    assert ((counts - a.size / 16) ** 2 / (a.size / 16)).sum() < 37.7  # chi-squared, 15 degrees, p = 0.001
    assert abs(np.corrcoef(a[0], a[1])[0, 1]) < 0.15


def test_a_lower_rank_has_the_first_rows() -> None:
    np.testing.assert_array_equal(ffa_a(3, "blk.0.ffn_up", 3, 9), ffa_a(3, "blk.0.ffn_up", 8, 9)[:3])


def test_seeds_and_matrices_each_have_their_own_a() -> None:
    drawn = [ffa_a(*one).tobytes() for one in [(1, "q", 2, 9), (2, "q", 2, 9), (b"1", "q", 2, 9), (1, "v", 2, 9)]]
    drawn.append(ffa_a(1, "q", 2, 10)[:, :9].tobytes())
    assert len(set(drawn)) == 5


@pytest.mark.parametrize("seed", [-1, 1 << 128])
def test_a_seed_has_at_most_128_bits(seed: int) -> None:
    with pytest.raises(UsageError):
        ffa_a(seed, "q", 2, 9)


# ---- frames --------------------------------------------------------------------------------------------------------


def test_a_frame_is_read_from_a_model_and_its_adapter_fits_it() -> None:
    header = read_header("tiny", MODEL())
    frame = frame_of(header, "1" * 64, LoraShape(3, 6.0, ("attn_q", "ffn_down")), 5)
    assert frame.matrices == {
        f"blk.{i}.{m}": s for i in (0, 1) for m, s in [("attn_q", (64, 64)), ("ffn_down", (64, 128))]
    }
    adapter = lora_from(frame, first_tensors(frame, Method.FFA))
    check_adapter(adapter)
    check_fits(adapter, header, "1" * 64)
    soft = soft_from(frame_of(header, "1" * 64, SoftShape(2), 5), {"soft": np.ones((2, 64), np.float32)})
    check_fits(soft, header, "1" * 64)


def test_a_model_without_the_matrices_is_refused() -> None:
    header = read_header("tiny", MODEL())
    with pytest.raises(ModelUnsupported):
        frame_of(replace(header, tensors={}), "1" * 64, LoraShape(), 5)
    with pytest.raises(ModelUnsupported):
        frame_of(replace(header, metadata={"general.architecture": "llama"}), "1" * 64, SoftShape(), 5)


def test_a_narrow_device_keeps_the_scale() -> None:
    narrow = narrowed(FRAME, 2)
    assert (narrow.lora.rank, narrow.scale) == (2, FRAME.scale)
    for rank in (0, 9):
        with pytest.raises(UsageError):
            narrowed(FRAME, rank)


# ---- what travels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "turn", "parts"),
    [
        (Method.FFA, 1, "b"), (Method.FFA, 2, "b"), (Method.ROLORA, 1, "b"), (Method.ROLORA, 2, "a"),
        (Method.ROLORA, 3, "b"), (Method.FLORA, 1, "ab"), (Method.FEDAVG, 2, "ab"),
    ],
)  # fmt: skip
def test_what_travels_depends_on_method_and_round(method: Method, turn: int, parts: str) -> None:
    fields = fields_for(FRAME, method, turn)
    assert [one.name for one in fields] == [f"{name}.{part}" for name in sorted(FRAME.matrices) for part in parts]
    held = first_tensors(FRAME, method)
    assert all(held[one.name].shape == one.shape for one in fields)


def test_a_soft_prompt_travels_whole_and_methods_fit_their_form() -> None:
    assert [(one.name, one.shape) for one in fields_for(SOFT, Method.SOFT, 1)] == [("soft", (4, 9))]
    for frame, method, turn in [(FRAME, Method.SOFT, 1), (SOFT, Method.FFA, 1), (FRAME, Method.FFA, 0)]:
        with pytest.raises(UsageError):
            fields_for(frame, method, turn)


def test_a_rounds_schema_takes_its_own_updates_and_not_one_byte_more() -> None:
    schema = schema_for(FRAME, Method.FFA, max_norm=1.0, metrics=frozenset({"loss"}))
    update = Update({one.name: np.zeros(one.shape, np.float32) for one in schema.fields}, 1000, {"loss": 0.5})
    check_update(schema, update)
    assert encoded_bytes(update) == schema.max_bytes


# ---- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [Method.FFA, Method.ROLORA])
def test_the_first_adapter_adds_nothing_and_has_the_seeds_a(method: Method) -> None:
    lora = lora_from(FRAME, first_tensors(FRAME, method))
    assert not MAKE.product(lora).any()
    np.testing.assert_array_equal(lora.pairs["blk.1.attn_q"].a, ffa_a(FRAME.seed, "blk.1.attn_q", 8, 9))


def random_tensors() -> Tensors:
    random = np.random.default_rng(2)
    held = first_tensors(FRAME, Method.ROLORA)
    return {name: random.standard_normal(values.shape).astype(np.float32) for name, values in held.items()}


def test_an_adapter_goes_to_tensors_and_back_bit_by_bit() -> None:
    tensors = random_tensors()
    back = tensors_of(FRAME, lora_from(FRAME, tensors))
    assert back.keys() == tensors.keys()
    assert all(back[name].tobytes() == tensors[name].tobytes() for name in tensors)
    soft: Tensors = {"soft": np.arange(36, dtype=np.float32).reshape(4, 9)}
    np.testing.assert_array_equal(tensors_of(SOFT, soft_from(SOFT, soft))["soft"], soft["soft"])


def test_values_are_copied() -> None:
    tensors = random_tensors()
    lora = lora_from(FRAME, tensors)
    for pair in lora.pairs.values():
        pair.a[:], pair.b[:] = 0, 0
    assert all(values.all() for values in tensors.values())


@pytest.mark.parametrize(("rank", "alpha"), [(2, 4.0), (2, 16.0), (5, 3.0), (8, 1.0)])
def test_an_adapter_of_another_rank_and_scale_adds_the_same_at_the_runs(rank: int, alpha: float) -> None:
    part = lora_from(narrowed(FRAME, rank), random_tensors())
    part = replace(part, alpha=alpha)
    whole = tensors_of(FRAME, part)
    assert whole["blk.0.attn_q.b"].shape == (12, 8)
    assert MAKE.apart(MAKE.product(lora_from(FRAME, whole)), MAKE.product(part)) < 1e-6


def test_adapters_that_are_not_the_runs_are_refused() -> None:
    lora = lora_from(FRAME, random_tensors())
    pair = lora.pairs["blk.0.attn_q"]
    wide = LoraPair(np.zeros((9, 9), np.float32), np.zeros((12, 9), np.float32))
    tall = LoraPair(pair.a, np.zeros((13, 8), np.float32))
    soft = SoftPrompt("0" * 64, "llama", np.zeros((4, 9), np.float32))
    for frame, adapter in [
        (FRAME, replace(lora, base_sha256="1" * 64)),
        (FRAME, replace(lora, architecture="qwen2")),
        (FRAME, replace(lora, pairs={"blk.0.attn_q": pair})),
        (FRAME, replace(lora, pairs={**lora.pairs, "blk.0.attn_q": wide})),
        (FRAME, replace(lora, pairs={**lora.pairs, "blk.0.attn_q": tall})),
        (FRAME, soft),
        (SOFT, lora),
        (SOFT, replace(soft, embeddings=np.zeros((3, 9), np.float32))),
        (SOFT, replace(soft, embeddings=np.zeros((4, 8), np.float32))),
    ]:
        with pytest.raises(AdapterMismatch):
            tensors_of(frame, adapter)


def test_a_soft_prompt_has_no_factors() -> None:
    assert isinstance(lora_from(FRAME, random_tensors()), Lora)
    with pytest.raises(UsageError):
        lora_from(SOFT, {})
