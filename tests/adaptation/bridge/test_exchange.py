"""Adapters that leave and come as files."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeperso.adaptation.bridge.exchange import export_adapter, export_card, import_adapter, import_card
from edgeperso.adaptation.bridge.peft import export_peft
from edgeperso.adaptation.personas import Card
from edgeperso.engine.adapters.file import adapter_to_bytes
from edgeperso.engine.adapters.values import Lora, SoftPrompt
from edgeperso.errors import AdapterInvalid, AdapterMismatch, DiskFull, ReadOnly, SourceNotFound, UsageError

BASE = "5" * 64
INFO: Any = SimpleNamespace(base_sha256=BASE)
OTHER: Any = SimpleNamespace(base_sha256="6" * 64)


def test_a_lora_comes_back_as_it_left(family: Any, tmp_path: Path) -> None:
    lora = family.lora()
    export_adapter(lora, tmp_path / "a.gguf")
    again = import_adapter(tmp_path / "a.gguf", family.path, INFO)
    assert isinstance(again, Lora)
    assert adapter_to_bytes(again) == adapter_to_bytes(lora)


def test_a_soft_prompt_comes_back_as_it_left(family: Any, tmp_path: Path) -> None:
    soft = SoftPrompt(BASE, family.architecture, np.random.default_rng(0).standard_normal((5, 64)).astype(np.float32))
    export_adapter(soft, tmp_path / "a.gguf")
    again = import_adapter(tmp_path / "a.gguf", family.path, INFO)
    assert isinstance(again, SoftPrompt)
    np.testing.assert_array_equal(again.embeddings, soft.embeddings)


def test_a_peft_folder_is_told_by_being_one(family: Any, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    lora = family.lora()
    export_peft(lora, family.path, tmp_path / "folder")
    again = import_adapter(tmp_path / "folder", family.path, INFO)
    assert adapter_to_bytes(again) == adapter_to_bytes(lora)
    with pytest.raises(AdapterMismatch):
        import_adapter(tmp_path / "folder", family.path, OTHER)


def test_a_file_of_another_program_is_taken_for_this_model(llama: Any, gguf_files: Any, tmp_path: Path) -> None:
    lora = llama.lora(names=("attn_q",))
    metadata = {
        "general.type": "adapter",
        "general.architecture": "llama",
        "adapter.type": "lora",
        "adapter.lora.alpha": 6.0,
    }
    tensors = {
        f"{name}.weight.lora_{part}": getattr(pair, part) for name, pair in lora.pairs.items() for part in ("a", "b")
    }
    (tmp_path / "foreign.gguf").write_bytes(gguf_files.gguf(metadata, tensors))
    again = import_adapter(tmp_path / "foreign.gguf", llama.path, INFO)
    assert again.base_sha256 == BASE
    assert adapter_to_bytes(again) == adapter_to_bytes(lora)
    tensors["blk.0.attn_q.weight.lora_b"] = np.ones((32, 4), np.float32)
    (tmp_path / "foreign.gguf").write_bytes(gguf_files.gguf(metadata, tensors))
    with pytest.raises(AdapterMismatch):
        import_adapter(tmp_path / "foreign.gguf", llama.path, INFO)


def test_another_base_and_width_are_refused(llama: Any, tmp_path: Path) -> None:
    export_adapter(llama.lora(), tmp_path / "a.gguf")
    with pytest.raises(AdapterMismatch):
        import_adapter(tmp_path / "a.gguf", llama.path, OTHER)
    export_adapter(SoftPrompt(BASE, "llama", np.ones((2, 32), np.float32)), tmp_path / "soft.gguf")
    with pytest.raises(AdapterMismatch):
        import_adapter(tmp_path / "soft.gguf", llama.path, INFO)


def test_what_is_no_adapter_is_refused(llama: Any, tmp_path: Path) -> None:
    export_adapter(llama.lora(), tmp_path / "a.gguf")
    data = (tmp_path / "a.gguf").read_bytes()
    for name, content in (
        ("cut.gguf", data[:-100]),
        ("empty.gguf", b""),
        ("text.gguf", b"hello"),
        ("model.gguf", llama.path.read_bytes()),
        ("adapter_model.bin", b"\x80\x04."),
        ("adapter.pt", data),
        ("adapter_model.safetensors", data),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AdapterInvalid):
            import_adapter(tmp_path / name, llama.path, INFO)
    with pytest.raises(SourceNotFound):
        import_adapter(tmp_path / "nowhere.gguf", llama.path, INFO)


def test_an_oversized_file_is_refused(llama: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeperso.adaptation.bridge import files

    export_adapter(llama.lora(), tmp_path / "a.gguf")
    size = (tmp_path / "a.gguf").stat().st_size
    assert len(files.read_bounded(tmp_path / "a.gguf", size)) == size
    with pytest.raises(AdapterInvalid, match="larger"):
        files.read_bounded(tmp_path / "a.gguf", size - 1)
    assert files.MAX_BYTES == 512 << 20


def test_an_export_is_the_owners_alone_and_new(llama: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    export_adapter(llama.lora(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(UsageError):
        export_adapter(llama.lora(9), path)
    assert path.read_bytes() == before
    (tmp_path / "link.gguf").symlink_to(tmp_path / "elsewhere.gguf")
    with pytest.raises(UsageError):
        export_adapter(llama.lora(), tmp_path / "link.gguf")
    assert not (tmp_path / "elsewhere.gguf").exists()
    with pytest.raises(ReadOnly):
        export_adapter(llama.lora(), tmp_path / "no" / "a.gguf")


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_export_leaves_nothing(
    llama: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def broken(descriptor: int, *rest: Any) -> Any:
        os.close(descriptor)
        raise failure

    monkeypatch.setattr(os, "fdopen", broken)
    with pytest.raises(DiskFull if isinstance(failure, OSError) else KeyboardInterrupt):
        export_adapter(llama.lora(), tmp_path / "a.gguf")
    assert list(tmp_path.glob("a.gguf*")) == []


def test_a_card_travels_beside_its_adapter(llama: Any, tmp_path: Path) -> None:
    card = Card("minilm", np.array([0.6, 0.8], np.float32))
    export_adapter(llama.lora(), tmp_path / "a.gguf")
    assert import_card(tmp_path / "a.gguf") is None
    place = export_card(card, tmp_path / "a.gguf")
    assert place == tmp_path / "a.gguf.card.json"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    again = import_card(tmp_path / "a.gguf")
    assert again is not None
    assert again.embedder == "minilm"
    np.testing.assert_allclose(again.vector, card.vector, rtol=1e-6)
    (tmp_path / "folder").mkdir()
    assert export_card(card, tmp_path / "folder") == tmp_path / "folder" / "card.json"
    assert import_card(tmp_path / "folder") is not None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"embedder": "e", "vector": [NaN]}', "[" * 50_000])
def test_a_malformed_card_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.gguf.card.json").write_text(text)
    with pytest.raises(AdapterInvalid):
        import_card(tmp_path / "a.gguf")
