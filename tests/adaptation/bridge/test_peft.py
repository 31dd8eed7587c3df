"""PEFT folders: what is written is read again, and what is no plain LoRA of this model is refused with its reason."""

from __future__ import annotations

import builtins
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeperso.adaptation.bridge.layout import read_layout
from edgeperso.adaptation.bridge.peft import CONFIG, WEIGHTS, export_peft, import_peft
from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.errors import (
    AdapterInvalid,
    AdapterMismatch,
    DiskFull,
    ExtraMissing,
    ModelUnsupported,
    ReadOnly,
    SourceNotFound,
    UsageError,
)

numpy_files = pytest.importorskip("safetensors.numpy")

BASE = "5" * 64
Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def exported(llama: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    export_peft(llama.lora(), llama.path, folder)
    return folder


def reconfigured(folder: Path, **changes: object) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def reweighted(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tensors = {name: tensor.copy() for name, tensor in numpy_files.load_file(folder / WEIGHTS).items()}
    change(tensors)
    numpy_files.save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def same(a: Lora, b: Lora) -> bool:
    return (
        (a.base_sha256, a.architecture, a.alpha, set(a.pairs)) == (b.base_sha256, b.architecture, b.alpha, set(b.pairs))
    ) and all(
        np.array_equal(a.pairs[name].a, b.pairs[name].a) and np.array_equal(a.pairs[name].b, b.pairs[name].b)
        for name in a.pairs
    )


# ---- rows ----------------------------------------------------------------------------------------------------------


def test_rows_of_q_and_k_are_moved_within_their_heads(family: Any) -> None:
    layout = read_layout(family.path)
    for name, rows in (("attn_q", 64), ("attn_k", 32), ("attn_v", 32), ("attn_output", 64), ("ffn_down", 64)):
        b = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
        theirs = layout.to_transformers(f"blk.1.{name}", b)
        np.testing.assert_array_equal(theirs, b[family.rows_in_transformers(name, rows)])
        np.testing.assert_array_equal(layout.to_gguf(f"blk.1.{name}", theirs), b)


# ---- there and back ------------------------------------------------------------------------------------------------


def test_a_round_trip_changes_no_bit(family: Any, tmp_path: Path) -> None:
    lora = family.lora()
    export_peft(lora, family.path, tmp_path / "there")
    again = import_peft(tmp_path / "there", family.path, BASE)
    assert same(lora, again)
    export_peft(again, family.path, tmp_path / "back")
    assert (tmp_path / "there" / CONFIG).read_bytes() == (tmp_path / "back" / CONFIG).read_bytes()
    there, back = (numpy_files.load_file(tmp_path / way / WEIGHTS) for way in ("there", "back"))
    assert there.keys() == back.keys()
    assert all(there[name].tobytes() == back[name].tobytes() for name in there)


def test_ranks_and_layers_of_their_own_survive(llama: Any, tmp_path: Path) -> None:
    """PEFT finds modules and ranks by name, so those must be exact."""
    pairs = {**llama.lora(rank=2, names=("attn_q", "ffn_up")).pairs}
    pairs["blk.1.attn_q"] = llama.lora(rank=5).pairs["blk.1.attn_q"]
    del pairs["blk.0.ffn_up"]
    lora = Lora(BASE, "llama", 2.5, pairs)
    export_peft(lora, llama.path, tmp_path / "there")
    assert same(lora, import_peft(tmp_path / "there", llama.path, BASE))
    config = json.loads((tmp_path / "there" / CONFIG).read_text())
    assert config["lora_alpha"] == 2.5
    assert config["r"] == 2
    assert config["rank_pattern"] == {"model.layers.1.self_attn.q_proj": 5}
    assert config["target_modules"] == [
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.mlp.up_proj",
        "model.layers.1.self_attn.q_proj",
    ]


def test_modules_of_all_layers_go_by_their_short_names(exported: Path) -> None:
    targets = json.loads((exported / CONFIG).read_text())["target_modules"]
    assert targets == ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]


def test_what_is_exported_is_the_owners_alone(exported: Path) -> None:
    assert stat.S_IMODE(exported.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in exported.iterdir()} == {
        CONFIG: 0o600,
        WEIGHTS: 0o600,
    }


def test_half_precision_is_read(llama: Any, exported: Path) -> None:
    reweighted(exported, lambda tensors: tensors.update({n: t.astype(np.float16) for n, t in tensors.items()}))
    lora = import_peft(exported, llama.path, BASE)
    pair, expected = lora.pairs["blk.1.attn_q"], llama.lora().pairs["blk.1.attn_q"]
    assert pair.b.dtype == np.float32
    np.testing.assert_allclose(pair.b, expected.b, atol=1e-3)


def test_bfloat16_is_read(llama: Any, exported: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    tensors = numpy_files.load_file(exported / WEIGHTS)
    halves = {name: (tensor.view(np.uint32) >> 16).astype("<u2") for name, tensor in tensors.items()}
    described = {
        name: safetensors.TensorSpec(
            dtype="bfloat16", shape=half.shape, data_ptr=half.ctypes.data, data_len=half.nbytes
        )
        for name, half in halves.items()
    }
    (exported / WEIGHTS).write_bytes(safetensors.serialize(described, metadata={"format": "pt"}))
    pair = import_peft(exported, llama.path, BASE).pairs["blk.0.attn_q"]
    np.testing.assert_allclose(pair.b, llama.lora().pairs["blk.0.attn_q"].b, rtol=1e-2)


def test_patterns_scale_their_modules(llama: Any, exported: Path) -> None:
    reconfigured(exported, alpha_pattern={"q_proj": 12.0, "layers.1.mlp.up_proj": 3})
    lora, plain = import_peft(exported, llama.path, BASE), llama.lora()
    assert lora.alpha == 6
    for name, factor in (("blk.0.attn_q", 2), ("blk.1.attn_q", 2), ("blk.1.ffn_up", 0.5), ("blk.0.ffn_up", 1)):
        np.testing.assert_array_equal(lora.pairs[name].b, factor * plain.pairs[name].b)


# ---- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"peft_type": "IA3"}, "not a LoRA"),
        ({"peft_type": None}, "not a LoRA"),
        ({"task_type": "SEQ_CLS"}, "not for a language model"),
        ({"use_rslora": True}, "setting use_rslora"),
        ({"use_dora": True}, "setting use_dora"),
        ({"use_qalora": True}, "setting use_qalora"),
        ({"modules_to_save": ["lm_head"]}, "setting modules_to_save"),
        ({"bias": "all"}, "setting bias"),
        ({"lora_bias": True}, "setting lora_bias"),
        ({"fan_in_fan_out": True}, "setting fan_in_fan_out"),
        ({"layer_replication": [[0, 2]]}, "setting layer_replication"),
        ({"trainable_token_indices": [1]}, "setting trainable_token_indices"),
        ({"target_parameters": ["x"]}, "setting target_parameters"),
        ({"alora_invocation_tokens": [1]}, "setting alora_invocation_tokens"),
        ({"init_lora_weights": "pissa"}, "setting init_lora_weights"),
        ({"loftq_config": {"loftq_bits": 4}}, "setting loftq_config"),
        ({"a_setting_to_come": True}, "setting a_setting_to_come"),
        ({"\x1b[31m": True}, "a name that is none"),
        ({"r": 5}, "another rank"),
        ({"rank_pattern": {"q_proj": 2}}, "another rank"),
        ({"rank_pattern": {"(q_proj)+$": 4}}, "more than a list"),
        ({"rank_pattern": [1]}, "more than a list"),
        ({"alpha_pattern": {"q_proj": -1}}, "alpha"),
        ({"lora_alpha": 0}, "alpha"),
        ({"lora_alpha": True}, "alpha"),
        ({"lora_alpha": "16"}, "alpha"),
        ({"lora_alpha": float("nan")}, "alpha"),
        ({"lora_alpha": float("inf")}, "alpha"),
        ({"lora_alpha": 10**400}, "alpha"),
    ],
)
def test_more_than_a_plain_lora_is_refused(llama: Any, exported: Path, changes: dict[str, object], reason: str) -> None:
    reconfigured(exported, **changes)
    with pytest.raises(AdapterInvalid) as error:
        import_peft(exported, llama.path, BASE)
    assert reason in error.value.message
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"peft_type": "LORA"', "[" * 100_000, "\x00\xff", "1e999"])
def test_settings_that_are_no_json_object_are_refused(llama: Any, exported: Path, text: str) -> None:
    (exported / CONFIG).write_text(text, "latin-1")
    with pytest.raises(AdapterInvalid):
        import_peft(exported, llama.path, BASE)


def put(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda tensors: tensors.update({name: value})


def values(*shape: int) -> Any:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda tensors: tensors.clear(), AdapterInvalid, "0 matrices"),
        (lambda tensors: tensors.pop(f"{Q}.lora_A.weight"), AdapterInvalid, "without the other"),
        (put(f"{Q}.lora_B.weight", values(64, 3)), AdapterInvalid, "don't fit each other"),
        (put(f"{Q}.lora_B.weight", values(64)), AdapterInvalid, "not of a plain LoRA"),
        (put(f"{Q}.lora_B.weight", np.full((64, 4), np.nan, np.float32)), AdapterInvalid, "not numbers"),
        (put(f"{Q}.lora_B.weight", np.full((64, 4), np.inf, np.float32)), AdapterInvalid, ""),
        (put(f"{Q}.lora_B.weight", np.ones((64, 4))), AdapterInvalid, "of a type"),
        (put(f"{Q}.lora_B.weight", np.ones((64, 4), np.int32)), AdapterInvalid, "of a type"),
        (put(f"{Q}.lora_magnitude_vector", values(64)), AdapterInvalid, "not of a plain LoRA"),
        (put("base_model.model.lm_head.lora_A.weight", values(4, 64)), AdapterInvalid, "not of a plain LoRA"),
        (put("base_model.model.model.embed_tokens.lora_embedding_A", values(4, 64)), AdapterInvalid, "not of a plain"),
        (put("model.layers.0.self_attn.q_proj.weight", values(64, 64)), AdapterInvalid, "not of a plain LoRA"),
        (put(f"{Q}.lora_B.weight", values(32, 4)), AdapterMismatch, "other shapes"),
        (put(f"{Q}.lora_A.weight", values(4, 48)), AdapterMismatch, "other shapes"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    llama: Any, exported: Path, change: Callable[[dict[str, Any]], object], error: type[Exception], reason: str
) -> None:
    reweighted(exported, change)
    with pytest.raises(error) as raised:
        import_peft(exported, llama.path, BASE)
    assert reason in str(raised.value)


def test_a_layer_that_the_model_lacks_is_refused(llama: Any, exported: Path) -> None:
    def deeper(tensors: dict[str, Any]) -> None:
        for half in "AB":
            tensors[f"{Q.replace('.0.', '.2.')}.lora_{half}.weight"] = tensors[f"{Q}.lora_{half}.weight"]

    reweighted(exported, deeper)
    with pytest.raises(AdapterMismatch, match="other matrices"):
        import_peft(exported, llama.path, BASE)


def test_a_rank_above_256_is_refused(llama: Any, exported: Path) -> None:
    def wider(tensors: dict[str, Any]) -> None:
        tensors.clear()
        tensors.update({f"{Q}.lora_A.weight": values(257, 64), f"{Q}.lora_B.weight": values(64, 257)})

    reweighted(exported, wider)
    reconfigured(exported, r=257)
    with pytest.raises(AdapterInvalid, match="rank 257"):
        import_peft(exported, llama.path, BASE)


def test_another_base_is_refused(llama: Any, exported: Path) -> None:
    with pytest.raises(AdapterMismatch, match="another base"):
        import_peft(exported, llama.path, "6" * 64)
    with pytest.raises(AdapterMismatch):
        export_peft(Lora(BASE, "gemma", 1.0, llama.lora().pairs), llama.path, exported / "new")


def test_a_folder_that_names_no_base_is_taken_for_this_one(llama: Any, exported: Path) -> None:
    reweighted(exported, lambda tensors: None)
    assert import_peft(exported, llama.path, "6" * 64).base_sha256 == "6" * 64


@pytest.mark.parametrize("cut", [0, 4, 8, 100, 2000, -1])
def test_damaged_weights_are_refused(llama: Any, exported: Path, cut: int) -> None:
    data = (exported / WEIGHTS).read_bytes()
    (exported / WEIGHTS).write_bytes(data[:cut])
    with pytest.raises(AdapterInvalid):
        import_peft(exported, llama.path, BASE)


def test_every_flipped_byte_of_the_header_is_refused_or_harmless(llama: Any, exported: Path) -> None:
    data = (exported / WEIGHTS).read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    random = np.random.default_rng(0)
    for place in random.integers(0, header, 150):
        broken = bytearray(data)
        broken[place] ^= int(random.integers(1, 256))
        (exported / WEIGHTS).write_bytes(broken)
        try:
            import_peft(exported, llama.path, BASE)
        except (AdapterInvalid, AdapterMismatch):
            continue


def test_a_pickle_is_never_opened(llama: Any, exported: Path) -> None:
    (exported / WEIGHTS).rename(exported / "adapter_model.bin")
    with pytest.raises(AdapterInvalid, match="pickle"):
        import_peft(exported, llama.path, BASE)


def test_an_oversized_file_is_refused_unread(llama: Any, exported: Path) -> None:
    with (exported / CONFIG).open("ab") as file:
        file.truncate((1 << 20) + 1)
    with pytest.raises(AdapterInvalid, match="larger"):
        import_peft(exported, llama.path, BASE)


def test_what_is_not_there_is_said(llama: Any, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        import_peft(tmp_path / "nowhere", llama.path, BASE)
    (exported / WEIGHTS).unlink()
    with pytest.raises(SourceNotFound):
        import_peft(exported, llama.path, BASE)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(llama: Any, exported: Path) -> None:
    (exported / WEIGHTS).unlink()
    os.mkfifo(exported / WEIGHTS)
    with pytest.raises(SourceNotFound):
        import_peft(exported, llama.path, BASE)


def test_nothing_is_written_over(llama: Any, exported: Path) -> None:
    before = (exported / WEIGHTS).read_bytes()
    with pytest.raises(UsageError):
        export_peft(llama.lora(7), llama.path, exported)
    assert (exported / WEIGHTS).read_bytes() == before


def test_a_full_disk_leaves_nothing(llama: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        if path.name == CONFIG:
            raise DiskFull("The disk is full.")
        path.write_bytes(data)

    monkeypatch.setattr("edgeperso.adaptation.bridge.peft.write_new", full)
    with pytest.raises(DiskFull):
        export_peft(llama.lora(), llama.path, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_a_folder_that_cannot_be_made_is_said(llama: Any, tmp_path: Path) -> None:
    with pytest.raises(ReadOnly):
        export_peft(llama.lora(), llama.path, tmp_path / "no" / "such" / "folder")


def test_other_architectures_are_refused(gguf_files: Any, llama: Any, exported: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    metadata = {
        name.replace("llama.", "gemma.") if name.startswith("llama.") else name: value
        for name, value in gguf_files.tiny_metadata(llama.shape).items()
    }
    other.write_bytes(gguf_files.gguf(metadata | {"general.architecture": "gemma"}, llama.tensors))
    with pytest.raises(ModelUnsupported):
        import_peft(exported, other, BASE)


def test_heads_that_differ_by_layer_are_refused(gguf_files: Any, llama: Any, exported: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    metadata = gguf_files.tiny_metadata(llama.shape) | {"llama.attention.head_count_kv": [2, 2]}
    other.write_bytes(gguf_files.gguf(metadata, llama.tensors))
    with pytest.raises(ModelUnsupported, match="head_count_kv"):
        import_peft(exported, other, BASE)


def test_without_the_extra_it_is_named(llama: Any, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("safetensors"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for act in (
        lambda: import_peft(exported, llama.path, BASE),
        lambda: export_peft(llama.lora(), llama.path, exported / "new"),
    ):
        with pytest.raises(ExtraMissing, match=r"edgeperso\[train\]"):
            act()


def test_a_matrix_that_peft_has_no_name_for_is_not_exported(llama: Any, tmp_path: Path) -> None:
    pairs = {"token_embd": LoraPair(values(2, 64), values(llama.tensors["token_embd.weight"].shape[0], 2))}
    with pytest.raises(AdapterMismatch):
        export_peft(Lora(BASE, "llama", 1.0, pairs), llama.path, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
