"""Sentence vectors: a transformer's last hidden state, averaged over its tokens, at unit length."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from tokenizers import Tokenizer

from edgeperso.embedding.native_encoder import native_encoder
from edgeperso.errors import ModelCorrupt, ModelNotFound
from edgeperso.events import Event, emit

if TYPE_CHECKING:
    from edgeperso.types import Float32, Progress

__all__ = ["OnnxEmbedder"]

_BATCH = 32
_CACHED_TEXTS = 256
_SHA_CHARS = 12


class _Encoder(Protocol):
    dim: int

    def run(self, token_ids: list[list[int]]) -> Float32: ...


class OnnxEmbedder:
    """An encoder in ONNX form with its ``tokenizer.json``, on the CPU.

    `native_encoder` serves where it knows the file, onnxruntime otherwise. Their vectors are near enough (cosine
    0.99999) to be of one space, under one id.

    Mean pooling over the attention mask, then L2 normalization.
    Source: Reimers & Gurevych, "Sentence-BERT", 2019 (arXiv:1908.10084), section 3.

    Args:
        onnx_path: the model; inputs ``input_ids``, ``attention_mask`` and, if it has them, ``token_type_ids``; its
            first output is ``float32[batch, tokens, dim]``.
        tokenizer_path: the tokenizer in Hugging Face's JSON form.
        name: goes into `id`, beside the file's hash and the pooling.
        max_tokens: longer texts are cut; MiniLM was trained on 256.
        threads: 0 for one on each core.

    Raises:
        ModelNotFound: a file is missing.
        ModelCorrupt: a file can't be read as what it should be.
        ModelUnsupported: the model wants other inputs, or gives something other than token vectors.
    """

    def __init__(
        self, onnx_path: Path, tokenizer_path: Path, *, name: str, max_tokens: int = 256, threads: int = 0
    ) -> None:
        model = _read(onnx_path, "The embedding model")
        self._tokenizer = _load_tokenizer(tokenizer_path, max_tokens)
        self._encoder = _load_encoder(model, onnx_path.name, self._tokenizer, threads)
        self._id = f"{name}:{hashlib.sha256(model).hexdigest()[:_SHA_CHARS]}:mean"
        self._cache: OrderedDict[str, Float32] = OrderedDict()
        emit(Event.MODEL_LOADED, model_bytes=len(model), dim=self.dim)

    @property
    def id(self) -> str:
        return self._id

    @property
    def dim(self) -> int:
        return self._encoder.dim

    def embed(self, texts: list[str], progress: Progress | None = None) -> Float32:
        """``float32[len(texts), dim]``, every row of unit length, in the order given.

        Texts run in batches of similar length, so that little is spent on padding. A single text is remembered for a
        while: a question is often asked for more than once.
        """
        if len(texts) == 1:
            return self._embed_cached(texts[0])[None, :].copy()
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        encodings = self._tokenizer.encode_batch(texts)
        order = sorted(range(len(texts)), key=lambda row: len(encodings[row].ids))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            out[rows] = self._encoder.run([encodings[row].ids for row in rows])
            if progress is not None:
                progress("embedding", start + len(rows), len(texts))
        return out

    def _embed_cached(self, text: str) -> Float32:
        vector = self._cache.get(text)
        if vector is None:
            vector = self._encoder.run([self._tokenizer.encode(text).ids])[0]
            self._cache[text] = vector
            if len(self._cache) > _CACHED_TEXTS:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(text)
        return vector


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise ModelNotFound(
            f"{what} {path.name} is missing or can't be read.", hint="Fetch it with `edgeperso model pull minilm-int8`."
        ) from None


def _load_tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    content = _read(path, "The tokenizer")
    try:
        tokenizer = Tokenizer.from_str(content.decode("utf-8"))
        tokenizer.enable_truncation(max_tokens)
        tokenizer.no_padding()
    except Exception:  # noqa: BLE001 - the library raises bare Exception
        raise ModelCorrupt(f"{path.name} is not a tokenizer.") from None
    return tokenizer


def _load_encoder(model: bytes, name: str, tokenizer: Tokenizer, threads: int) -> _Encoder:
    native = native_encoder(model, vocabulary=tokenizer.get_vocab_size(), threads=threads)
    if native is not None:
        return native
    from edgeperso.embedding.session import OnnxSession

    return OnnxSession(model, name, tokenizer.encode("probe").ids, threads)
