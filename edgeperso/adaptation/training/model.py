"""A base with the weights that are trained on it: reading packed sequences, and the gradient of what was read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from edgeperso.adaptation.plan import LoraShape, SoftShape
from edgeperso.adaptation.training.base import Base
from edgeperso.adaptation.training.decoder import Decoder
from edgeperso.adaptation.training.head import Head
from edgeperso.adaptation.training.packing import Pack
from edgeperso.adaptation.training.tape import Tape
from edgeperso.adaptation.training.weights import LowRank, Weights
from edgeperso.engine.adapters.values import Adapter, Lora
from edgeperso.errors import UsageError
from edgeperso.types import Float32

__all__ = ["Model", "Reading"]


_ROUND: Final = 64
"""Steps are filled up to a multiple of it: torch compiles its products for each size anew, and keeps what it made."""


class Reading(NamedTuple):
    """Packed sequences as they were read: ``rows`` ``float32[m, width]`` are those of the last layer's result that a
    counted token follows. The rest is for `Model.backward`."""

    rows: Tensor
    places: Tensor
    bounds: tuple[int, ...]
    length: int
    added: list[dict[str, LowRank]]
    tape: Tape


class Model:
    """Opens ``path`` for training weights of ``shape`` on it, over ``frozen`` adapters; ``dtype`` as in `Base`.

    Raises:
        As `Base` and `Weights`.
    """

    def __init__(
        self,
        path: Path,
        shape: LoraShape | SoftShape | None,
        frozen: Sequence[tuple[Lora, float]] = (),
        *,
        dtype: torch.dtype,
    ) -> None:
        self.base = Base(path, dtype=dtype)
        try:
            self.weights = Weights(self.base.sizes, shape, frozen)
            self.head = Head(self.base)
            self._decoder = Decoder(self.base, self.weights)
            self._tape: Tape | None = None
        except BaseException:
            self.base.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.base.close()

    def first(self, seed: int, start: Adapter | None) -> Float32:
        """The flat vector that training starts from: ``start``'s, or new weights by ``seed``. A soft prompt starts as
        tokens of the vocabulary, drawn by chance."""
        if start is not None:
            return self.weights.flat(start)
        if count := self.weights.virtual_tokens:
            drawn = np.random.default_rng(seed).integers(self.base.sizes.vocabulary, size=count)
            return np.asarray(self.base.embeddings(drawn).flatten().numpy(), np.float32)
        return self.weights.first(seed)

    def check(self, pack: Pack) -> None:
        """See that the tokens are the model's.

        Raises:
            UsageError: one is out of range.
        """
        if pack.tokens.min() < 0 or pack.tokens.max() >= self.base.sizes.vocabulary:
            raise UsageError("A token is not of this model's vocabulary.")

    def room(self, pack_tokens: int, sequences: int) -> int:
        """Tokens of a tape that a pack of ``pack_tokens`` in ``sequences`` takes."""
        return _rounded(pack_tokens + sequences * self.weights.virtual_tokens)

    def reserve(self, tokens: int, *, learn: bool) -> Tape:
        """The tape, of ``tokens`` or more (`room`), that is read with where no other is given."""
        if self._tape is None or self._tape.tokens < tokens or self._tape.learn < learn:
            self._tape = None  # before there is another
            self._tape = Tape(self.base.sizes, tokens, self.base.dtype, learn=learn)
        return self._tape

    def read(self, flat: Float32, pack: Pack, *, learn: bool, tape: Tape | None = None) -> Reading:
        """Read ``pack`` with the weights ``flat``; ``learn`` keeps what `backward` needs, until the tape's next use."""
        if tape is None:
            tape = self.reserve(self.room(len(pack.tokens), len(pack.bounds) - 1), learn=learn)
        vector = torch.from_numpy(flat)
        added = self.weights.sites(vector)
        x, bounds = self._embed(vector, pack)
        last = self._decoder.forward(x, bounds, added, tape)
        places = torch.from_numpy(pack.rows + self.weights.virtual_tokens * (pack.owners + 1))
        return Reading(last[places], places, bounds, len(x), added, tape)

    def backward(self, gradient: Tensor, reading: Reading) -> Float32:
        """The flat vector's gradient, from that of the rows, ``float32[m, width]``; ``reading`` is its tape's last."""
        into = torch.zeros(self.weights.size)
        whole = torch.zeros(reading.length, gradient.shape[1]).index_copy_(0, reading.places, gradient)
        whole = self._decoder.backward(whole, reading.bounds, reading.added, reading.tape, into)
        if (soft := self.weights.soft(into)) is not None:
            for start in reading.bounds[:-1]:
                soft += whole[start : start + len(soft)]
        return np.asarray(into.numpy(), np.float32)

    def _embed(self, vector: Tensor, pack: Pack) -> tuple[Tensor, tuple[int, ...]]:
        """Embeddings of all tokens, virtual ones before each sequence, filled up with zeros; and where the sequences
        start then."""
        x = self.base.embeddings(pack.tokens)
        virtual = self.weights.virtual_tokens
        bounds = tuple(bound + number * virtual for number, bound in enumerate(pack.bounds))
        parts = [x]
        if (soft := self.weights.soft(vector)) is not None:
            parts = [part for start, stop in pairwise(pack.bounds) for part in (soft, x[start:stop])]
        filling = torch.zeros(_rounded(bounds[-1]) - bounds[-1], x.shape[1])
        return torch.cat((*parts, filling)), bounds


def _rounded(tokens: int) -> int:
    return -(-tokens // _ROUND) * _ROUND
