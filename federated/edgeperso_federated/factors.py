"""The shared adapter as tensors: which of them travel, how they begin, and how ranks that differ meet.

A LoRA adds ``c · b @ a`` to a matrix, ``c = alpha / rank``. Averaging ``a`` and ``b`` apart is not averaging what they
add; it is where one of them is the same for all. So there are methods:

* ``ffa`` keeps ``a`` as it was drawn from a public seed, and only ``b`` travels: linear, so it can be summed in secret
  and noised. Sun et al., "Improving LoRA in Privacy-preserving Federated Learning", 2024 (arXiv:2403.12313).
* ``rolora`` trains ``b`` in odd rounds and ``a`` in even ones, the other one held by all. Chen et al., "Robust
  Federated Finetuning of Foundation Models via Alternating Minimization of LoRA", 2024 (arXiv:2409.02346).
* ``flora`` has both travel and stacks them. Wang et al., "FLoRA", 2024 (arXiv:2409.05976).
* ``soft`` averages a soft prompt.
* ``fedavg`` averages both factors apart. It is wrong, and here to be compared with.

A device may train a lower rank than the run's: it takes the first rows of ``a`` and columns of ``b``, with alpha made
smaller so that ``c`` stays the same. Its tensors travel at full size, zero elsewhere: then all updates have one shape,
and the mean of them stands for the mean of what they add.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from edgeperso.adaptation.plan import LoraShape, SoftShape
from edgeperso.engine.adapters.values import Adapter, Lora, LoraPair, SoftPrompt
from edgeperso.engine.gguf import GgufHeader
from edgeperso.errors import AdapterMismatch, ModelUnsupported, UsageError
from edgeperso.types import Float32
from edgeperso_federated.update import Field, Schema, Tensors, Update, encoded_bytes

__all__ = [
    "Frame",
    "Method",
    "ffa_a",
    "fields_for",
    "first_tensors",
    "frame_of",
    "lora_from",
    "narrowed",
    "schema_for",
    "soft_from",
    "tensors_of",
]

_SEED_BYTES: Final = 16
_LABEL: Final = b"edgeperso ffa-lora a 1"


class Method(StrEnum):
    """How a shared adapter is averaged; see the module."""

    FFA = "ffa"
    ROLORA = "rolora"
    FLORA = "flora"
    SOFT = "soft"
    FEDAVG = "fedavg"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The adapter that a run improves, without its values: all devices of a run hold the same one.

    Args:
        base_sha256: of the model file that it is for (`ModelInfo.base_sha256`).
        architecture: the model's, as GGUF names it.
        shape: what is trained. A LoRA's ``rank`` is the greatest of the run.
        matrices: outputs and inputs of each matrix that a LoRA adapts, by its name such as ``blk.0.attn_q``.
        width: values in a token's vector.
        seed: public; of ``a``.
    """

    base_sha256: str
    architecture: str
    shape: LoraShape | SoftShape
    matrices: Mapping[str, tuple[int, int]]
    width: int
    seed: bytes | int

    @property
    def lora(self) -> LoraShape:
        if not isinstance(self.shape, LoraShape):
            raise UsageError("A soft prompt has no factors.")
        return self.shape

    @property
    def scale(self) -> float:
        """A LoRA's ``alpha / rank``, the same for every rank in the run."""
        return self.lora.alpha / self.lora.rank


def frame_of(header: GgufHeader, base_sha256: str, shape: LoraShape | SoftShape, seed: bytes | int) -> Frame:
    """The frame of an adapter for the model whose file has this header.

    Raises:
        ModelUnsupported: the model has none of the matrices that ``shape`` names, or doesn't say its width.
    """
    targets = shape.targets if isinstance(shape, LoraShape) else ()
    matrices = {}
    for tensor, place in header.tensors.items():
        name = tensor.removesuffix(".weight")
        if tensor.startswith("blk.") and tensor != name and name.rpartition(".")[2] in targets:
            n_in, n_out = place.shape
            matrices[name] = (n_out, n_in)
    width = header.metadata.get(f"{header.architecture}.embedding_length")
    if not isinstance(width, int) or (targets and not matrices):
        raise ModelUnsupported("The model has none of the matrices that are to be trained.")
    return Frame(base_sha256, header.architecture, shape, matrices, width, seed)


def narrowed(frame: Frame, rank: int) -> Frame:
    """The frame for a device that trains only the first ``rank`` rows of ``a`` and columns of ``b``: 1 up to the run's.

    Its alpha is smaller in proportion: ``alpha / rank`` is the run's.
    """
    shape = frame.lora
    if not 1 <= rank <= shape.rank:
        raise UsageError(f"A device's rank is 1 to {shape.rank} in this run.")
    return replace(frame, shape=replace(shape, rank=rank, alpha=shape.alpha * rank / shape.rank))


# ---- what travels --------------------------------------------------------------------------------------------------


def fields_for(frame: Frame, method: Method, turn: int) -> tuple[Field, ...]:
    """The tensors that travel in round ``turn``, counted from 1 (of interest to ``rolora`` alone: a new LoRA's ``b`` is
    0, and ``a`` has no gradient before it moved, so ``b`` goes first)."""
    if method is Method.SOFT:
        if not isinstance(frame.shape, SoftShape):
            raise UsageError("A soft prompt is averaged by `soft`, a LoRA by one of the other methods.")
        return (Field("soft", (frame.shape.virtual_tokens, frame.width)),)
    if turn < 1:
        raise UsageError("Rounds are counted from 1.")
    rank = frame.lora.rank
    parts = {Method.FFA: "b", Method.ROLORA: "b" if turn % 2 else "a"}.get(method, "ab")
    return tuple(
        Field(f"{name}.{part}", (rank, n_in) if part == "a" else (n_out, rank))
        for name, (n_out, n_in) in sorted(frame.matrices.items())
        for part in parts
    )


def schema_for(
    frame: Frame,
    method: Method,
    turn: int = 1,
    *,
    max_norm: float,
    metrics: frozenset[str] = frozenset(),
    max_examples: int = 1000,
) -> Schema:
    """The schema of round ``turn``: its fields, and as many bytes as they and all metrics take, no more."""
    fields = fields_for(frame, method, turn)
    whole = {one.name: np.broadcast_to(np.float32(0), one.shape) for one in fields}
    most = encoded_bytes(Update(whole, 1, dict.fromkeys(metrics, 0.0)))
    return Schema(fields, max_norm, most, metrics, max_examples)


# ---- values --------------------------------------------------------------------------------------------------------


def ffa_a(seed: bytes | int, name: str, rank: int, n_in: int) -> Float32:
    """The frozen ``a`` of a matrix, ``float32[rank, n_in]``, uniform in ±1/√n_in as PEFT draws it.

    Bit by bit the same on every machine: SHAKE-256 over the label, the seed, the matrix's name and ``n_in``, each with
    its length before it; of each four bytes, little endian, the upper 24 bits ``k`` give ``(2k + 1 - 2²⁴) / 2²⁴``, and
    the one rounding is that of the product with float32(1/√n_in). A smaller rank gives the first rows of a larger one.

    Args:
        seed: public; bytes, or a number from 0 below 2¹²⁸.

    Source: FIPS 202, SHA-3 Standard, 2015.
    """
    if isinstance(seed, int) and not 0 <= seed < 1 << 8 * _SEED_BYTES:
        raise UsageError("A seed is a number from 0 below 2^128.")
    key = seed if isinstance(seed, bytes) else seed.to_bytes(_SEED_BYTES, "big")
    parts = (_LABEL, key, name.encode(), n_in.to_bytes(4, "big"))
    stream = hashlib.shake_256(b"".join(len(part).to_bytes(4, "big") + part for part in parts))
    drawn = np.frombuffer(stream.digest(4 * rank * n_in), "<u4") >> 8
    unit = (2 * drawn.astype(np.int32) + 1 - (1 << 24)).astype(np.float32) * np.float32(2.0**-24)
    return (unit * np.float32(1 / math.sqrt(n_in))).reshape(rank, n_in)


def first_tensors(frame: Frame, method: Method) -> Tensors:
    """The global tensors before the first round, of a LoRA that adds nothing yet: ``a`` from the seed, ``b`` 0. A soft
    prompt begins as training begins it (`tensors_of`)."""
    rank = frame.lora.rank
    tensors: Tensors = {}
    for name, (n_out, n_in) in sorted(frame.matrices.items()):
        tensors[f"{name}.b"] = np.zeros((n_out, rank), np.float32)
        if method is not Method.FFA:
            tensors[f"{name}.a"] = ffa_a(frame.seed, name, rank, n_in)
    return tensors


def lora_from(frame: Frame, tensors: Mapping[str, Float32]) -> Lora:
    """The LoRA that global tensors stand for; of a frame that was `narrowed`, its first ranks alone. Where the tensors
    hold no ``a`` it is the seed's."""
    rank = frame.lora.rank
    pairs = {}
    for name, (_, n_in) in sorted(frame.matrices.items()):
        a = tensors.get(f"{name}.a")
        a = ffa_a(frame.seed, name, rank, n_in) if a is None else a[:rank].copy()
        pairs[name] = LoraPair(a, tensors[f"{name}.b"][:, :rank].copy())
    return Lora(frame.base_sha256, frame.architecture, frame.lora.alpha, pairs)


def soft_from(frame: Frame, tensors: Mapping[str, Float32]) -> SoftPrompt:
    """The soft prompt that global tensors stand for."""
    return SoftPrompt(frame.base_sha256, frame.architecture, tensors["soft"].copy())


def tensors_of(frame: Frame, adapter: Adapter) -> Tensors:
    """The adapter's values at the run's size and scale: a LoRA of a lower rank is filled with zeros, and ``b`` takes up
    what its ``alpha / r`` differs from the run's.

    Raises:
        AdapterMismatch: it is of another base, of other matrices, of a higher rank or of another form.
    """
    if (adapter.base_sha256, adapter.architecture) != (frame.base_sha256, frame.architecture):
        raise AdapterMismatch("The adapter is of another base model than the run's.")
    if isinstance(adapter, SoftPrompt):
        virtual = frame.shape.virtual_tokens if isinstance(frame.shape, SoftShape) else 0
        if adapter.embeddings.shape != (virtual, frame.width):
            raise AdapterMismatch("The adapter is of another form than the run's.")
        return {"soft": adapter.embeddings.astype(np.float32)}
    if not isinstance(frame.shape, LoraShape) or adapter.pairs.keys() != frame.matrices.keys():
        raise AdapterMismatch("The adapter is of another form than the run's.")
    tensors: Tensors = {}
    for name, (n_out, n_in) in sorted(frame.matrices.items()):
        pair = adapter.pairs[name]
        if pair.rank > frame.shape.rank or (pair.b.shape[0], pair.a.shape[1]) != (n_out, n_in):
            raise AdapterMismatch("The adapter has matrices of other shapes than the run's.")
        a, b = np.zeros((frame.shape.rank, n_in), np.float32), np.zeros((n_out, frame.shape.rank), np.float32)
        a[: pair.rank] = pair.a
        b[:, : pair.rank] = np.multiply(pair.b, adapter.alpha / pair.rank / frame.scale, dtype=np.float64)
        tensors[f"{name}.b"], tensors[f"{name}.a"] = b, a
    return tensors
