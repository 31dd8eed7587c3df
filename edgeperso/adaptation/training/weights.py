"""The weights that are trained, as one flat vector, and how the decoder meets them.

All of a training's weights lie end to end in one float32 vector, and so do their gradients and the optimizer's
moments: a step is a few operations on vectors, a saved state three arrays. The decoder sees the matrices of one site
(`SITES`) as one pair ``a``, ``b``; adapters that are worn below, and stay as they are, are further rows of ``a``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgeperso.adaptation.plan import LoraShape, SoftShape
from edgeperso.adaptation.training.architecture import SITES, Architecture
from edgeperso.engine.adapters.values import Adapter, Lora, LoraPair, SoftPrompt
from edgeperso.errors import AdapterMismatch
from edgeperso.types import Float32

__all__ = ["LowRank", "Weights"]


class LowRank(NamedTuple):
    """What is added to one site: ``b @ (a @ x)``. ``a`` is ``float32[r, inputs]``, ``b`` ``float32[outputs, r]`` with
    the scale in it; blocks of ``b`` that would join one matrix's rows with another's are 0."""

    a: Tensor
    b: Tensor


@dataclass(frozen=True, slots=True)
class _Slot:
    """A trained pair: where ``a`` and then ``b`` start in the flat vector, and its rows of the site's pair."""

    name: str
    start: int
    rank: int
    inputs: int
    outputs: int
    first_row: int
    first_output: int

    @property
    def middle(self) -> int:
        return self.start + self.rank * self.inputs

    @property
    def end(self) -> int:
        return self.middle + self.rank * self.outputs


@dataclass(frozen=True, slots=True, eq=False)
class _Fixed:
    """A worn pair with its scale folded into ``b``, and its rows of the site's pair."""

    a: Tensor
    b: Tensor
    first_row: int
    first_output: int


class Weights:
    """The layout of what is trained in ``shape`` (None: nothing), over ``frozen`` adapters with their scales.

    Raises:
        AdapterMismatch: a frozen adapter's matrices are not this model's.
    """

    def __init__(
        self,
        sizes: Architecture,
        shape: LoraShape | SoftShape | None,
        frozen: Sequence[tuple[Lora, float]] = (),
    ) -> None:
        self._sizes = sizes
        self._shape = shape
        self._scale = shape.alpha / shape.rank if isinstance(shape, LoraShape) else 0.0
        self._slots: dict[tuple[int, str], list[_Slot]] = {}
        self._fixed: dict[tuple[int, str], list[_Fixed]] = {}
        self._ranks: dict[tuple[int, str], int] = {}
        for lora, _ in frozen:
            check_lora(lora, sizes)
        self.size = shape.virtual_tokens * sizes.width if isinstance(shape, SoftShape) else 0
        for layer in range(sizes.layers):
            for site in SITES:
                self._lay(layer, site, frozen)

    @property
    def virtual_tokens(self) -> int:
        return self._shape.virtual_tokens if isinstance(self._shape, SoftShape) else 0

    def first(self, seed: int) -> Float32:
        """The flat vector of a new LoRA: each ``a`` uniform in ±1/√inputs, as PEFT draws it, and ``b`` 0, so that
        nothing is added yet."""
        random = np.random.default_rng(seed)
        flat = np.zeros(self.size, np.float32)
        for slot in self._all_slots():
            bound = slot.inputs**-0.5
            flat[slot.start : slot.middle] = random.uniform(-bound, bound, slot.rank * slot.inputs)
        return flat

    def still(self, *, train_a: bool, train_b: bool) -> NDArray[np.bool_] | None:
        """``bool[size]``: which values stay as they are, a LoRA's factors that aren't trained; None: none does."""
        if (train_a and train_b) or not self._slots:
            return None
        still = np.zeros(self.size, np.bool_)
        for slot in self._all_slots():
            still[slot.start : slot.middle] = not train_a
            still[slot.middle : slot.end] = not train_b
        return still

    def flat(self, adapter: Adapter) -> Float32:
        """The flat vector that is ``adapter``.

        Raises:
            AdapterMismatch: it is not of this shape.
        """
        flat = np.empty(self.size, np.float32)
        if isinstance(adapter, SoftPrompt):
            if adapter.embeddings.shape != (self.virtual_tokens, self._sizes.width):
                raise AdapterMismatch("The adapter to go on from is of another shape than the plan's.")
            flat[:] = adapter.embeddings.reshape(-1)
            return flat
        check_lora(adapter, self._sizes)
        slots = self._all_slots()
        fits = {slot.name for slot in slots} == set(adapter.pairs) and adapter.alpha == getattr(self._shape, "alpha", 0)
        if not fits or any(adapter.pairs[slot.name].rank != slot.rank for slot in slots):
            raise AdapterMismatch("The adapter to go on from is of another shape than the plan's.")
        for slot in slots:
            pair = adapter.pairs[slot.name]
            flat[slot.start : slot.middle] = pair.a.reshape(-1)
            flat[slot.middle : slot.end] = pair.b.reshape(-1)
        return flat

    def adapter(self, flat: Float32, base_sha256: str) -> Adapter:
        """The adapter that ``flat`` holds; a copy."""
        if isinstance(self._shape, SoftShape):
            embeddings = flat.reshape(self.virtual_tokens, self._sizes.width).copy()
            return SoftPrompt(base_sha256, self._sizes.name, embeddings)
        pairs = {
            slot.name: LoraPair(
                flat[slot.start : slot.middle].reshape(slot.rank, slot.inputs).copy(),
                flat[slot.middle : slot.end].reshape(slot.outputs, slot.rank).copy(),
            )
            for slot in self._all_slots()
        }
        alpha = self._shape.alpha if self._shape else 0.0
        return Lora(base_sha256, self._sizes.name, alpha, pairs)

    def sites(self, flat: Tensor) -> list[dict[str, LowRank]]:
        """For each layer, what is added at its sites; sites without additions are left out."""
        return [
            {site: self._site(flat, layer, site) for site in SITES if (layer, site) in self._ranks}
            for layer in range(self._sizes.layers)
        ]

    def trains(self, layer: int, site: str) -> bool:
        return (layer, site) in self._slots

    def add_gradient(self, into: Tensor, layer: int, site: str, of_a: Tensor, of_b: Tensor) -> None:
        """Add a site's gradients, ``[r, inputs]`` and ``[outputs, r]``, to the flat vector of gradients."""
        for slot in self._slots[layer, site]:
            rows = slice(slot.first_row, slot.first_row + slot.rank)
            into[slot.start : slot.middle].view(slot.rank, slot.inputs).add_(of_a[rows])
            block = of_b[slot.first_output : slot.first_output + slot.outputs, rows]
            into[slot.middle : slot.end].view(slot.outputs, slot.rank).add_(block, alpha=self._scale)

    def soft(self, flat: Tensor) -> Tensor | None:
        """The virtual tokens, ``float32[virtual_tokens, width]``; None without."""
        return flat.view(self.virtual_tokens, self._sizes.width) if self.virtual_tokens else None

    def _all_slots(self) -> list[_Slot]:
        return [slot for slots in self._slots.values() for slot in slots]

    def _lay(self, layer: int, site: str, frozen: Sequence[tuple[Lora, float]]) -> None:
        """Give every pair of one site its rows."""
        row = output = 0
        for matrix in SITES[site]:
            outputs, inputs = self._sizes.matrix(matrix)
            name = f"blk.{layer}.{matrix}"
            if isinstance(self._shape, LoraShape) and matrix in self._shape.targets:
                slot = _Slot(name, self.size, self._shape.rank, inputs, outputs, row, output)
                self._slots.setdefault((layer, site), []).append(slot)
                self.size, row = slot.end, row + slot.rank
            for lora, scale in frozen:
                if pair := lora.pairs.get(name):
                    b = torch.from_numpy(pair.b * np.float32(scale * lora.alpha / pair.rank))
                    fixed = _Fixed(torch.from_numpy(pair.a.astype(np.float32)), b, row, output)
                    self._fixed.setdefault((layer, site), []).append(fixed)
                    row += pair.rank
            output += outputs
        if row:
            self._ranks[layer, site] = row

    def _site(self, flat: Tensor, layer: int, site: str) -> LowRank:
        rank = self._ranks[layer, site]
        shapes = [self._sizes.matrix(matrix) for matrix in SITES[site]]
        a = torch.empty(rank, shapes[0][1])
        b = torch.zeros(sum(outputs for outputs, _ in shapes), rank)
        for fixed in self._fixed.get((layer, site), ()):
            rows = slice(fixed.first_row, fixed.first_row + len(fixed.a))
            a[rows] = fixed.a
            b[fixed.first_output : fixed.first_output + len(fixed.b), rows] = fixed.b
        for slot in self._slots.get((layer, site), ()):
            rows = slice(slot.first_row, slot.first_row + slot.rank)
            a[rows] = flat[slot.start : slot.middle].view(slot.rank, slot.inputs)
            scaled = flat[slot.middle : slot.end].view(slot.outputs, slot.rank) * self._scale
            b[slot.first_output : slot.first_output + slot.outputs, rows] = scaled
        return LowRank(a, b)


def check_lora(lora: Lora, sizes: Architecture) -> None:
    """See that every pair of ``lora`` belongs to a matrix of the model.

    Raises:
        AdapterMismatch: another architecture, unknown names or other shapes.
    """
    known: Mapping[str, tuple[int, int]] = {
        f"blk.{layer}.{matrix}": sizes.matrix(matrix)
        for layer in range(sizes.layers)
        for matrices in SITES.values()
        for matrix in matrices
    }
    fits = lora.architecture == sizes.name and all(
        name in known and (pair.b.shape[0], pair.a.shape[1]) == known[name] and pair.b.shape[1] == pair.a.shape[0]
        for name, pair in lora.pairs.items()
    )
    if not fits:
        raise AdapterMismatch("The adapter belongs to another model.")
