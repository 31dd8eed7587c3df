"""Adapter files that are not what they should be: each is refused with a reason, what was worn stays worn, and the
process lives on."""

from __future__ import annotations

import dataclasses
import runpy
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeperso.engine import Engine, Lora, LoraPair, SoftPrompt, Worn, adapter_from_bytes, adapter_to_bytes
from edgeperso.engine.adapters import checks, file
from edgeperso.errors import AdapterInvalid, AdapterMismatch, ModelError

MAKE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent.parent / "engine" / "gguf_files.py")))
BASE = "ab" * 32
PROMPT = [1, *range(40, 60)]


def lora(base: str = BASE, seed: int = 0) -> Lora:
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(np.float32)

    return Lora(
        base, "llama", 4.0, {f"blk.{layer}.attn_q": LoraPair(weights(2, 64), weights(64, 2)) for layer in (0, 1)}
    )


def soft(base: str = BASE) -> SoftPrompt:
    return SoftPrompt(base, "llama", np.random.default_rng(3).standard_normal((2, 64)).astype(np.float32))


LORA, SOFT = adapter_to_bytes(lora()), adapter_to_bytes(soft())
BOTH = pytest.mark.parametrize("whole", [LORA, SOFT], ids=["lora", "soft"])


def refused(data: bytes) -> str:
    with pytest.raises(AdapterInvalid) as caught:
        adapter_from_bytes(data, base_sha256=BASE)
    assert caught.value.message
    return caught.value.message


# ---- the bytes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"G", b"GGUF", b"\0" * 4096, LORA[::-1], b"PK\x03\x04" + LORA, b"\x80\x04\x95" + LORA]
)
def test_not_an_adapter(data: bytes) -> None:
    refused(data)


def test_a_whole_model_is_no_adapter() -> None:
    assert "no adapter" in refused(MAKE.tiny_model())


@BOTH
def test_cut_off_anywhere(whole: bytes) -> None:
    assert adapter_from_bytes(whole)
    header = whole.index(b"blk.0") if whole is LORA else whole.index(b"soft_prompt.emb")
    for length in {*range(0, header, 7), *range(header, len(whole), 97), len(whole) - 1}:
        refused(whole[:length])


@BOTH
def test_any_bit_flipped(whole: bytes) -> None:
    """Of the header every bit, of the weights some: refused, unless the bit is one that says nothing."""
    original = adapter_from_bytes(whole)
    start = whole.index(original_weights(original))
    for at in [*range(8 * start), *range(8 * start, 8 * len(whole), 1009)]:
        data = bytearray(whole)
        data[at // 8] ^= 1 << at % 8
        try:
            changed = adapter_from_bytes(bytes(data))
        except AdapterInvalid:
            continue
        assert adapter_to_bytes(changed) == whole, f"bit {at} of byte {at // 8} went unnoticed"


def original_weights(adapter: Lora | SoftPrompt) -> bytes:
    first = adapter.embeddings if isinstance(adapter, SoftPrompt) else adapter.pairs["blk.0.attn_q"].a
    return first.tobytes()


@BOTH
@pytest.mark.parametrize("count", [2**64 - 1, 2**63, 2**40, 70_000, 0])
@pytest.mark.parametrize("field", [8, 16])
def test_huge_counts(whole: bytes, field: int, count: int) -> None:
    refused(whole[:field] + struct.pack("<Q", count) + whole[field + 8 :])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_bytes_make_the_reader_fail_in_another_way(data: st.DataObject) -> None:
    broken = bytearray(data.draw(st.sampled_from([LORA, SOFT])))
    for _ in range(data.draw(st.integers(1, 5))):
        broken[data.draw(st.integers(4, 700))] = data.draw(st.integers(0, 255))
    try:
        adapter_from_bytes(bytes(broken))
    except AdapterInvalid:
        return


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_after_the_magic(tail: bytes) -> None:
    refused(b"GGUF\x03\0\0\0" + tail)


def test_oversized(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (checks, file):
        monkeypatch.setattr(module, "MAX_BYTES", len(LORA) - 1)
    assert str(len(LORA)) in refused(LORA)


def test_the_limit_is_512_mib() -> None:
    assert checks.MAX_BYTES == file.MAX_BYTES == 512 * 1024 * 1024


# ---- what other programs may have written --------------------------------------------------------------------------

METADATA = {
    "general.type": "adapter",
    "general.architecture": "llama",
    "adapter.type": "lora",
    "adapter.lora.alpha": 8.0,
}
A, B = np.ones((2, 64), np.float32), np.ones((64, 2), np.float32)
NAME = "blk.0.attn_q.weight.lora_"


def foreign(**tensors: np.ndarray) -> bytes:
    return MAKE.gguf(METADATA, {name.replace("__", "."): values for name, values in tensors.items()})


def pair(a: np.ndarray = A, b: np.ndarray = B, name: str = NAME) -> bytes:
    return MAKE.gguf(METADATA, {f"{name}a": a, f"{name}b": b})


def with_(values: np.ndarray, value: float) -> np.ndarray:
    out = values.copy()
    out[-1, -1] = value
    return out


def test_what_the_next_ones_differ_from() -> None:
    assert adapter_from_bytes(pair(), base_sha256=BASE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("part", ["a", "b"])
def test_values_that_are_not_numbers(value: float, part: str) -> None:
    assert "numbers" in refused(pair(**{part: with_(A if part == "a" else B, value)}))


@pytest.mark.parametrize(
    "data",
    [
        MAKE.gguf(METADATA, {}),
        MAKE.gguf(METADATA, {f"{NAME}a": A}),
        MAKE.gguf(METADATA, {f"{NAME}b": B}),
        MAKE.gguf(METADATA, {f"{NAME}a": A, f"{NAME}b": B, "blk.0.attn_k.weight.lora_b": B}),
        MAKE.gguf(METADATA, {f"{NAME}a": A, f"{NAME}b": B, "blk.0.attn_norm.weight": A[0]}),
        MAKE.gguf(METADATA, {f"{NAME}a": A, f"{NAME}b": B, "blk.0.attn_q.lora_magnitude": A[0]}),
        MAKE.gguf(METADATA, {"soft_prompt.embeddings": A}),
        pair(A.repeat(200, 0), B.repeat(200, 1)),
        pair(A[0], B),
        pair(A.reshape(1, 2, 64), B),
        pair(A, np.ones((64, 3), np.float32)),
        pair(name="../../etc/passwd.weight.lora_"),
        pair(name="blk.0." + "q" * 60 + ".weight.lora_"),
        pair(name="blk.0.%s%n.weight.lora_"),
    ],
)
def test_tensors_that_make_no_adapter(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize("kind", [2, 8, 12, 24, 26, 28, 30, 31, 39, 99, 2**31])
def test_tensors_of_other_types(kind: int) -> None:
    data = pair()
    shape = struct.pack("<QQ", 64, 2)
    assert data.count(shape + struct.pack("<I", 0)) == 1
    refused(data.replace(shape + struct.pack("<I", 0), shape + struct.pack("<I", kind)))


def test_tensors_that_lie_on_each_other_take_no_memory() -> None:
    """Many large matrices over the same bytes: a small file that would grow without bound."""
    names = [f"blk.{layer}.attn_q.weight.lora_{part}" for layer in range(500) for part in "ab"]
    data = MAKE.gguf(METADATA, {name: np.ones((64, 64), np.float32) for name in names})
    end = data.index(names[-1].encode()) + len(names[-1]) + 4 + 16 + 4 + 8
    start = -(-end // 32) * 32
    head = bytearray(data[:start])
    for name in names:
        place = head.index(struct.pack("<Q", len(name)) + name.encode()) + 8 + len(name) + 4 + 16 + 4
        head[place : place + 8] = struct.pack("<Q", 0)
    assert "overlap" in refused(bytes(head) + data[start : start + 4 * 64 * 64])


def test_a_message_holds_nothing_that_was_read() -> None:
    for data in (
        pair(name="blk.0.SECRET.weight.lora_"),
        MAKE.gguf(METADATA | {"general.type": "SECRET"}, {f"{NAME}a": A, f"{NAME}b": B}),
        MAKE.gguf(METADATA | {"general.architecture": "SECRET"}, {f"{NAME}a": A, f"{NAME}b": B}),
        MAKE.gguf(METADATA | {"edgeperso.base.sha256": "SECRET"}, {f"{NAME}a": A, f"{NAME}b": B}),
        MAKE.gguf(METADATA, {"SECRET": A}),
    ):
        assert "SECRET" not in refused(data)


# ---- an engine that wears something ---------------------------------------------------------------------------------


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(MAKE.tiny_model())
    with Engine.open(path, n_ctx=64, n_threads=1) as engine:
        engine.wear([Worn("worn", lora(engine.info.base_sha256))])
        yield engine


MISFITS: dict[str, Callable[[Lora], Lora]] = {
    "a foreign base": lambda own: dataclasses.replace(own, base_sha256=BASE),
    "no base": lambda own: dataclasses.replace(own, base_sha256=""),
    "another architecture": lambda own: dataclasses.replace(own, architecture="qwen2"),
    "a narrower a": lambda own: dataclasses.replace(own, pairs={"blk.0.attn_q": LoraPair(A[:, :63], B)}),
    "a shorter b": lambda own: dataclasses.replace(own, pairs={"blk.0.attn_q": LoraPair(A, B[:63])}),
    "the turned matrix": lambda own: dataclasses.replace(own, pairs={"blk.0.ffn_up": LoraPair(A.repeat(2, 1), B)}),
    "a layer beyond": lambda own: dataclasses.replace(own, pairs={"blk.9.attn_q": LoraPair(A, B)}),
    "the vocabulary": lambda own: dataclasses.replace(own, pairs={"token_embd": LoraPair(A, B)}),
    "the output": lambda own: dataclasses.replace(own, pairs={"output": LoraPair(A, np.ones((354, 2), np.float32))}),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_fits_another_model_changes_nothing(engine: Engine, misfit: str) -> None:
    before = engine.next_log_probs(PROMPT)
    data = adapter_to_bytes(MISFITS[misfit](lora(engine.info.base_sha256, seed=1)))
    with pytest.raises(AdapterMismatch) as caught:
        engine.wear([*engine.worn, Worn("new", adapter_from_bytes(data))])
    assert caught.value.message
    assert [each.key for each in engine.worn] == ["worn"]
    np.testing.assert_allclose(engine.next_log_probs(PROMPT), before, atol=1e-3)


def test_an_architecture_that_may_end_the_process_on_vectors() -> None:
    shape = SimpleNamespace(architecture="gemma3n", metadata={"gemma3n.embedding_length": 64}, tensors={})
    with pytest.raises(AdapterMismatch):
        checks.check_fits(dataclasses.replace(soft(), architecture="gemma3n"), shape, BASE)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_foreign_weights_of_any_bits_never_end_the_process(engine: Engine, seed: int) -> None:
    """Random bits as weights: worn if they are numbers of a possible size, refused if not; the engine answers, or says
    that it can't with this adapter."""
    random = np.random.default_rng(seed)
    parts = [random.integers(0, 2**32, shape, np.uint32).view(np.float32) for shape in ((2, 64), (64, 2))]
    if seed % 2:
        parts = [np.nan_to_num(values, nan=6e4, posinf=6e4, neginf=-6e4).clip(-6e4, 6e4) for values in parts]
    try:
        adapter = adapter_from_bytes(pair(*parts), base_sha256=engine.info.base_sha256)
        engine.wear([Worn(f"random {seed}", adapter, scale=100.0)])
    except AdapterInvalid:
        assert seed % 2 == 0
        return
    try:
        list(engine.generate(PROMPT, max_tokens=3))
    except ModelError as error:
        assert isinstance(error, AdapterInvalid)  # noqa: PT017


def test_eight_large_ones_at_a_time_and_every_matrix(engine: Engine) -> None:
    """llama.cpp ends the process when a graph grows beyond what it planned for."""
    shapes = {"attn_q": (64, 64), "attn_k": (64, 64), "attn_v": (64, 64), "attn_output": (64, 64)}
    shapes |= {"ffn_gate": (64, 128), "ffn_up": (64, 128), "ffn_down": (128, 64)}
    random = np.random.default_rng(0)
    stack = []
    for number in range(8):
        pairs = {
            f"blk.{layer}.{name}": LoraPair(
                random.standard_normal((checks.MAX_RANK, n_in)).astype(np.float32) / 64,
                random.standard_normal((n_out, checks.MAX_RANK)).astype(np.float32) / 64,
            )
            for layer in (0, 1)
            for name, (n_in, n_out) in shapes.items()
        }
        stack.append(Worn(str(number), Lora(engine.info.base_sha256, "llama", 16.0, pairs), scale=0.1))
    engine.wear(stack)
    assert np.isfinite(engine.next_log_probs(PROMPT)).all()
    assert len(list(engine.score(PROMPT, [[5] * 20, [6] * 3, [7]]))) == 3
