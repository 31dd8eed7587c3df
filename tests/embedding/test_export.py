"""Export to ONNX: the refusals everywhere, the export itself where torch is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from edgeperso.embedding import load_embedder
from edgeperso.embedding.export import export_embedder
from edgeperso.errors import ModelNotFound, ModelUnsupported, UsageError

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "transformers", "onnx"))


class Folder:
    def locate(self, name: str) -> Path:
        return Path(name)


def tiny_model(folder: Path) -> Path:
    """A random BERT of two layers with a tokenizer of a few words."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "where", "did", "we", "the", "summer", "plumber", "nine"]
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.BertTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(folder)
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def test_the_export_embeds_like_the_original_or_says_what_is_missing(tmp_path: Path) -> None:
    if not HAS_TORCH:
        with pytest.raises(UsageError) as caught:
            export_embedder(tmp_path, tmp_path / "out")
        assert "[train]" in caught.value.hint
        return
    exported = export_embedder(tiny_model(tmp_path / "source"), tmp_path / "out" / "tiny")
    assert sorted(path.name for path in exported.iterdir()) == ["model.onnx", "tokenizer.json"]
    assert [path.name for path in exported.parent.iterdir()] == ["tiny"]
    embedder = load_embedder(Folder(), str(exported))
    assert embedder.dim == 32
    assert embedder.id.startswith("tiny:")
    together = embedder.embed(["where did we", "the summer the plumber the nine we did"])
    np.testing.assert_allclose(together[0], embedder.embed(["where did we"])[0], atol=1e-5)


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        export_embedder(tmp_path, tmp_path)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    pooled = tmp_path / "pooled"
    (pooled / "1_Pooling").mkdir(parents=True)
    (pooled / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    empty = tmp_path / "empty"
    empty.mkdir()
    for source, error in ((pooled, ModelUnsupported), (empty, ModelNotFound)):
        with pytest.raises(error if HAS_TORCH else UsageError):
            export_embedder(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
