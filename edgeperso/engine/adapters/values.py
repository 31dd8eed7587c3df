"""Adapters as values: what training makes, the vault keeps and the engine wears.

Weights are laid out as the base model's GGUF file lays out its own (the rows of a llama-family q and k are permuted
there), so that an adapter trained on the file needs no translation to run on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeperso.types import AdapterForm, Float32

__all__ = ["Adapter", "Lora", "LoraPair", "SoftPrompt", "Worn"]


@dataclass(frozen=True, slots=True, eq=False)
class LoraPair:
    """One matrix's addition, ``(alpha / r) · b @ a``: ``a`` is ``float32[r, n_in]``, ``b`` ``float32[n_out, r]``."""

    a: Float32
    b: Float32

    @property
    def rank(self) -> int:
        return int(self.a.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Lora:
    """A LoRA adapter. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021 (arXiv:2106.09685).

    Args:
        base_sha256: 64 hex digits of the model file that it was trained on (`ModelInfo.base_sha256`).
        architecture: the base's, as GGUF names it (``llama``, ``qwen2``).
        alpha: ``lora_alpha``; the addition is scaled by ``alpha / r``, r being each pair's own rank.
        pairs: by the name of the GGUF tensor without its ending, such as ``blk.0.attn_q``.
    """

    base_sha256: str
    architecture: str
    alpha: float
    pairs: Mapping[str, LoraPair]

    @property
    def form(self) -> AdapterForm:
        return AdapterForm.LORA


@dataclass(frozen=True, slots=True, eq=False)
class SoftPrompt:
    """Virtual tokens, ``float32[num_virtual_tokens, n_embd]``, read before the first token of every context.
    Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", 2021 (arXiv:2104.08691)."""

    base_sha256: str
    architecture: str
    embeddings: Float32

    @property
    def form(self) -> AdapterForm:
        return AdapterForm.SOFT


Adapter = Lora | SoftPrompt


@dataclass(frozen=True, slots=True, eq=False)
class Worn:
    """An adapter in a stack: ``key`` names its content (one key, one content), ``scale`` multiplies a LoRA (0 is off);
    a soft prompt has no scale but 1."""

    key: str
    adapter: Adapter
    scale: float = 1.0
