"""How a GGUF file lays out what PEFT adapts: names, shapes, and the order of q's and k's rows.

Hugging Face's llama rotates the two halves of a head against each other, llama.cpp's its neighbouring values; the
conversion to GGUF therefore reorders the rows of ``attn_q`` and ``attn_k`` within each head, and so must be those of a
LoRA's ``b``. qwen2 rotates halves in both, and stays as it is.

Source: ``LlamaModel.permute`` in llama.cpp's conversion of models from Hugging Face.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edgeperso.engine.adapters.checks import check_adapter, check_fits
from edgeperso.engine.adapters.values import Lora
from edgeperso.engine.gguf import GgufHeader, check_model_file
from edgeperso.errors import AdapterMismatch, ModelUnsupported
from edgeperso.types import Float32

__all__ = ["MODULES", "Layout", "read_layout"]

MODULES: Final = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""GGUF's name of a layer's matrix → the module's in transformers, of all architectures here."""

_PERMUTED: Final = {"llama": True, "qwen2": False}


@dataclass(frozen=True, slots=True)
class Layout:
    """What of a model file matters here.

    Args:
        header: the file's; its architecture is ``llama`` or ``qwen2``.
        layers: how many, 1 or more.
        heads: of each of a layer's matrices whose rows are permuted, by GGUF's name; empty where none is.
    """

    header: GgufHeader
    layers: int
    heads: Mapping[str, int]

    def to_gguf(self, name: str, b: Float32) -> Float32:
        """``b`` in the file's order, given in transformers'."""
        heads = self.heads.get(name.rpartition(".")[2])
        return b if heads is None else _swapped(b, heads, 2)

    def to_transformers(self, name: str, b: Float32) -> Float32:
        """``b`` in transformers' order, given in the file's: the inverse of `to_gguf`."""
        heads = self.heads.get(name.rpartition(".")[2])
        return b if heads is None else _swapped(b, heads, b.shape[0] // heads // 2)

    def check(self, lora: Lora, base_sha256: str) -> None:
        """Is the adapter sound, does it fit the model, and can transformers name what it changes?

        Raises:
            AdapterInvalid, AdapterMismatch: as `check_adapter` and `check_fits`.
        """
        check_adapter(lora)
        check_fits(lora, self.header, base_sha256)
        if not all(name.rpartition(".")[2] in MODULES for name in lora.pairs):
            raise AdapterMismatch("The adapter changes matrices that PEFT's adapters don't have here.")


def read_layout(model: Path) -> Layout:
    """Of a GGUF model file.

    Raises:
        ModelUnsupported: another architecture than llama and qwen2, or heads that differ from layer to layer.
        ModelNotFound, ModelCorrupt: as `check_model_file`.
    """
    header = check_model_file(model)
    architecture = header.architecture
    if architecture not in _PERMUTED:
        raise ModelUnsupported(
            f"{model.name} is of an architecture whose adapters are not read.", hint="llama and qwen2 are."
        )
    heads: dict[str, int] = {}
    if _PERMUTED[architecture]:
        queries = _whole(header, "attention.head_count")
        heads = {"attn_q": queries, "attn_k": _whole(header, "attention.head_count_kv", queries)}
    for name, place in header.tensors.items():
        kind = name.removesuffix(".weight").rpartition(".")[2]
        if kind in heads and place.shape[-1] % (2 * heads[kind]):
            raise ModelUnsupported(f"{model.name} has heads of an odd size.")
    return Layout(header, _whole(header, "block_count"), heads)


def _whole(header: GgufHeader, name: str, default: int | None = None) -> int:
    value = header.metadata.get(f"{header.architecture}.{name}", default)
    listed = f"{header.architecture}.{name}" in header.array_lengths
    if listed or not isinstance(value, int) or value < 1:
        raise ModelUnsupported(f"The model doesn't give one {name} for all its layers.")
    return value


def _swapped(b: Float32, heads: int, outer: int) -> Float32:
    """Each head's rows, read as ``[outer, inner]``, in the order of ``[inner, outer]``."""
    rows, rank = b.shape
    return np.ascontiguousarray(
        b.reshape(heads, outer, rows // heads // outer, rank).swapaxes(1, 2).reshape(rows, rank)
    )
