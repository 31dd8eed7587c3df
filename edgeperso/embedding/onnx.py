"""Sentence vectors by onnxruntime: a transformer's last hidden state, averaged over its tokens, at unit length."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

# Since 1.32 its Linux builds report to their maker once they are imported, and keep a database of reports in the
# person's home. Nothing but this variable stops all of it: disable_telemetry_events() comes too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
from tokenizers import Tokenizer

from edgeperso.errors import ModelCorrupt, ModelNotFound, ModelUnsupported
from edgeperso.events import Event, emit

if TYPE_CHECKING:
    from edgeperso.types import Float32, Int64, Progress

__all__ = ["OnnxEmbedder"]

_BATCH = 32
_CACHED_TEXTS = 256
_KNOWN_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_SHA_CHARS = 12


class OnnxEmbedder:
    """An encoder in ONNX form with its ``tokenizer.json``, on the CPU.

    Mean pooling over the attention mask, then L2 normalization.
    Source: Reimers & Gurevych, "Sentence-BERT", 2019 (arXiv:1908.10084), section 3.

    Args:
        onnx_path: the model; inputs ``input_ids``, ``attention_mask`` and, if it has them, ``token_type_ids``; its
            first output is ``float32[batch, tokens, dim]``.
        tokenizer_path: the tokenizer in Hugging Face's JSON form.
        name: goes into `id`, beside the file's hash and the pooling.
        max_tokens: longer texts are cut; MiniLM was trained on 256.
        threads: 0 leaves the number to onnxruntime, which takes one for each core.

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
        self._session = _load_session(model, onnx_path, threads)
        self._inputs = {node.name for node in self._session.get_inputs()}
        if not {"input_ids", "attention_mask"} <= self._inputs <= _KNOWN_INPUTS:
            raise ModelUnsupported(
                f"The embedding model {onnx_path.name} doesn't take token ids and a mask alone.",
                hint="Export a sentence-transformers text encoder.",
            )
        self._id = f"{name}:{hashlib.sha256(model).hexdigest()[:_SHA_CHARS]}:mean"
        self._cache: OrderedDict[str, Float32] = OrderedDict()
        self._dim = self._probe_dim(onnx_path)
        emit(Event.MODEL_LOADED, model_bytes=len(model), dim=self._dim)

    @property
    def id(self) -> str:
        return self._id

    @property
    def dim(self) -> int:
        return self._dim

    def embed(self, texts: list[str], progress: Progress | None = None) -> Float32:
        """``float32[len(texts), dim]``, every row of unit length, in the order given.

        Texts run in batches of similar length, so that little is spent on padding. A single text is remembered for a
        while: a question is often asked for more than once.
        """
        if len(texts) == 1:
            return self._embed_cached(texts[0])[None, :].copy()
        out = np.zeros((len(texts), self._dim), dtype=np.float32)
        encodings = self._tokenizer.encode_batch(texts)
        order = sorted(range(len(texts)), key=lambda row: len(encodings[row].ids))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            out[rows] = self._run([encodings[row].ids for row in rows])
            if progress is not None:
                progress("embedding", start + len(rows), len(texts))
        return out

    def _embed_cached(self, text: str) -> Float32:
        vector = self._cache.get(text)
        if vector is None:
            vector = self._run([self._tokenizer.encode(text).ids])[0]
            self._cache[text] = vector
            if len(self._cache) > _CACHED_TEXTS:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(text)
        return vector

    def _run(self, token_ids: list[list[int]]) -> Float32:
        width = max(1, *(len(row) for row in token_ids))
        ids: Int64 = np.zeros((len(token_ids), width), dtype=np.int64)
        mask: Int64 = np.zeros_like(ids)
        for row, tokens in enumerate(token_ids):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden: Float32 = self._session.run(None, {name: feed[name] for name in self._inputs})[0]
        return _mean_pool(hidden, mask)

    def _probe_dim(self, path: Path) -> int:
        try:
            return int(self._run([self._tokenizer.encode("probe").ids]).shape[1])
        except Exception:  # noqa: BLE001 - whatever the runtime raises, the model is unusable
            raise ModelUnsupported(
                f"The embedding model {path.name} doesn't give one vector for each token.",
                hint="Export a sentence-transformers text encoder.",
            ) from None


def _mean_pool(hidden: Float32, mask: Int64) -> Float32:
    weights = mask[..., None].astype(np.float32)
    pooled = (hidden * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0)
    length = np.linalg.norm(pooled, axis=1, keepdims=True)
    return np.asarray(pooled / np.maximum(length, 1e-12), dtype=np.float32)


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


def _load_session(model: bytes, path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Without the arena a long batch's memory goes back to the system.
    options.enable_cpu_mem_arena = False
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - the runtime's errors share no base class
        raise ModelCorrupt(f"{path.name} is not an ONNX model, or is damaged.") from None
