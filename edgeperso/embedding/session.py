"""Any text encoder in ONNX form, by onnxruntime. Imported where it is needed alone: it takes a while."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

# Since 1.32 its Linux builds report to their maker once they are imported, and keep a database of reports in the
# person's home. Nothing but this variable stops all of it: disable_telemetry_events() comes too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from edgeperso.errors import ModelCorrupt, ModelUnsupported

if TYPE_CHECKING:
    from edgeperso.types import Float32, Int64

__all__ = ["OnnxSession"]

_KNOWN_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


class OnnxSession:
    """Token ids to vectors.

    Args:
        model: the file's bytes; inputs ``input_ids``, ``attention_mask`` and, if it has them, ``token_type_ids``; its
            first output is ``float32[batch, tokens, dim]``.
        name: the file's, for messages.
        probe: the ids of any text.
        threads: 0 leaves the number to onnxruntime.

    Raises:
        ModelCorrupt: it is no ONNX model.
        ModelUnsupported: it wants other inputs, or gives something other than token vectors.
    """

    def __init__(self, model: bytes, name: str, probe: list[int], threads: int = 0) -> None:
        self._session = _load(model, name, threads)
        self._inputs = {node.name for node in self._session.get_inputs()}
        if not {"input_ids", "attention_mask"} <= self._inputs <= _KNOWN_INPUTS:
            raise ModelUnsupported(
                f"The embedding model {name} doesn't take token ids and a mask alone.",
                hint="Export a sentence-transformers text encoder.",
            )
        self.dim = self._dim_of(probe, name)

    def run(self, token_ids: list[list[int]]) -> Float32:
        """``float32[n, dim]`` of unit length; zeros for no tokens."""
        width = max(1, *(len(row) for row in token_ids))
        ids: Int64 = np.zeros((len(token_ids), width), dtype=np.int64)
        mask: Int64 = np.zeros_like(ids)
        for row, tokens in enumerate(token_ids):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden: Float32 = self._session.run(None, {name: feed[name] for name in self._inputs})[0]
        return _mean_pool(hidden, mask)

    def _dim_of(self, probe: list[int], name: str) -> int:
        try:
            return int(self.run([probe]).shape[1])
        except Exception:  # noqa: BLE001 - whatever the runtime raises, the model is unusable
            raise ModelUnsupported(
                f"The embedding model {name} doesn't give one vector for each token.",
                hint="Export a sentence-transformers text encoder.",
            ) from None


def _mean_pool(hidden: Float32, mask: Int64) -> Float32:
    weights = mask[..., None].astype(np.float32)
    pooled = (hidden * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0)
    length = np.linalg.norm(pooled, axis=1, keepdims=True)
    return np.asarray(pooled / np.maximum(length, 1e-12), dtype=np.float32)


def _load(model: bytes, name: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Without the arena a long batch's memory goes back to the system.
    options.enable_cpu_mem_arena = False
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - the runtime's errors share no base class
        raise ModelCorrupt(f"{name} is not an ONNX model, or is damaged.") from None
