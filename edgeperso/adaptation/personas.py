"""Personas: adapters for people alike, made on the device from adapters that were shared, never from their data.

Adapters are alike by the angle between what they add (`stacking.cosine`), which is meaningful for adapters of one
base that were trained from the same start; from different starts even the same lesson looks unlike. A persona of one
member is that member's adapter, and tells about them what theirs does.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeperso.adaptation.stacking import inner, merged, reduced
from edgeperso.engine.adapters.values import Lora
from edgeperso.errors import AdapterInvalid, EmbedderMismatch, UsageError
from edgeperso.types import Float32

__all__ = ["Card", "card_of", "centroid", "group", "nearest", "persona_of"]

Float64 = NDArray[np.float64]
Id = TypeVar("Id", bound=Hashable)

_STARTS: Final = 8
_ROUNDS: Final = 100
_STRUCTURE: Final = 0.1
"""The least mean silhouette with which a split counts as one; below, all are one group. A choice, not a measurement."""
_MOST_DIMENSIONS: Final = 1 << 14
_MOST_NAME: Final = 200
_MOST_VALUE: Final = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """Whom a persona suits: the direction in which its members' texts lie. Given along by who shares, knowingly.

    Args:
        embedder: `Embedder.id`; cards of two embedders never meet.
        vector: ``float32[dim]`` of length 1.
    """

    embedder: str
    vector: Float32

    def as_dict(self) -> dict[str, object]:
        """As it is stored beside an adapter."""
        return {"embedder": self.embedder, "vector": self.vector.tolist()}

    @classmethod
    def from_dict(cls, card: Mapping[str, object]) -> Card:
        """Raises:
        AdapterInvalid: no embedder, or a vector that has no direction.
        """
        embedder, values = card.get("embedder"), card.get("vector")
        if not isinstance(embedder, str) or not 0 < len(embedder) <= _MOST_NAME:
            raise AdapterInvalid("The adapter's card names no embedder.")
        if not isinstance(values, list) or not 0 < len(values) <= _MOST_DIMENSIONS:
            raise AdapterInvalid("The adapter's card holds no vector.")
        if not all(isinstance(value, int | float) and abs(value) <= _MOST_VALUE for value in values):
            raise AdapterInvalid("The adapter's card holds values that are not numbers.")
        return cls(embedder, _unit(np.array(values, np.float64)))


def card_of(embedder: str, vectors: Float32) -> Card:
    """The card of one person, from the embeddings ``float32[n, dim]`` of their profile and first memories: the
    direction of the mean of their directions.

    Raises:
        AdapterInvalid: there is no vector, or they cancel out.
    """
    rows = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return Card(embedder, _unit(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0).sum(axis=0)))


def centroid(cards: Sequence[Card]) -> Card:
    """A persona's card from its members', each counting the same.

    Raises:
        UsageError: there is none.
        EmbedderMismatch: they are of several embedders, or of several sizes.
        AdapterInvalid: they cancel out.
    """
    if not cards:
        raise UsageError("There is no card to take the centre of.")
    if len({(card.embedder, card.vector.shape) for card in cards}) > 1:
        raise EmbedderMismatch("The cards are of several embedders.", hint="Make them anew with one embedder.")
    return card_of(cards[0].embedder, np.array([card.vector for card in cards]))


def nearest(profile_vector: Float32, personas: Sequence[tuple[Id, Float32]]) -> Id | None:
    """The persona whose card's vector points most nearly where ``profile_vector`` does; the first one of equals.

    None where no persona points towards it at all (a cosine above 0); those of another size are passed over.
    """
    best, most = None, 0.0
    length = float(np.linalg.norm(profile_vector))
    for name, vector in personas:
        scale = length * float(np.linalg.norm(vector))
        if vector.shape == profile_vector.shape and scale > 0:
            likeness = float(vector.astype(np.float64) @ profile_vector.astype(np.float64)) / scale
            if likeness > most:
                best, most = name, likeness
    return best


def persona_of(adapters: Sequence[Lora]) -> Lora:
    """The mean of what ``adapters`` (one or more, of one base) add, as near as the greatest of their ranks allows.

    Raises:
        UsageError, AdapterMismatch: as `stacking.merged`.
    """
    share = 1 / max(len(adapters), 1)
    mean = merged([(lora, share) for lora in adapters])
    return reduced(mean, max((pair.rank for lora in adapters for pair in lora.pairs.values()), default=1))


def group(adapters: Sequence[Lora], *, most: int, seed: int = 0) -> list[list[int]]:
    """Group adapters by likeness into at most ``most`` (1 or more) groups: how many is chosen by the mean silhouette,
    one group where no split is clear.

    Returns:
        Places in ``adapters``, ascending, each in one group; the largest group first.

    Raises:
        UsageError: ``most`` is below 1.
        AdapterMismatch: they are of different bases or shapes.

    Source: k-medoids as in Park and Jun, "A simple and fast algorithm for K-medoids clustering", Expert Systems with
    Applications 36, 2009, its starts drawn as in Arthur and Vassilvitskii, "k-means++", 2007; silhouettes: Rousseeuw,
    Journal of Computational and Applied Mathematics 20, 1987.
    """
    if most < 1:
        raise UsageError("There must be room for a group.")
    if not adapters:
        return []
    apart = _angles(adapters)
    best, clearest = np.zeros(len(adapters), np.int64), _STRUCTURE
    for count in range(2, min(most, len(adapters) - 1) + 1):
        labels = _medoids(apart, count, np.random.default_rng([seed, count]))
        clear = _silhouette(apart, labels)
        if clear > clearest:
            best, clearest = labels, clear
    groups = [np.flatnonzero(best == label).tolist() for label in np.unique(best)]
    return sorted(groups, key=lambda members: (-len(members), members))


def _angles(adapters: Sequence[Lora]) -> Float64:
    """``1 - cosine`` of each two, ``[n, n]``; 1 from what adds nothing, and 0 to itself."""
    count = len(adapters)
    products = np.zeros((count, count))
    for i in range(count):
        for j in range(i, count):
            products[i, j] = products[j, i] = inner(adapters[i], adapters[j])
    lengths = np.sqrt(np.diag(products))
    scale = np.outer(lengths, lengths)
    cosines = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    apart: Float64 = np.clip(1 - cosines, 0, 2)
    np.fill_diagonal(apart, 0)
    return apart


def _medoids(apart: Float64, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Each one's group, by the best of several starts."""
    tries = [_settled(apart, _start(apart, count, random)) for _ in range(_STARTS)]
    medoids = min(tries, key=lambda medoids: float(apart[medoids].min(axis=0).sum()))
    labels: NDArray[np.int64] = np.argmin(apart[medoids], axis=0)
    return labels


def _start(apart: Float64, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    medoids = [int(random.integers(len(apart)))]
    while len(medoids) < count:
        chance = apart[medoids].min(axis=0) ** 2
        chance[medoids] = 0
        if not chance.any():  # all that is left is the same as a medoid
            chance[[i for i in range(len(apart)) if i not in medoids]] = 1
        medoids.append(int(random.choice(len(apart), p=chance / chance.sum())))
    return np.array(medoids)


def _settled(apart: Float64, medoids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each group's medoid moved to its middle until none moves."""
    for _ in range(_ROUNDS):
        labels = np.argmin(apart[medoids], axis=0)
        labels[medoids] = np.arange(len(medoids))
        groups = [np.flatnonzero(labels == label) for label in range(len(medoids))]
        moved = np.array([members[np.argmin(apart[np.ix_(members, members)].sum(axis=1))] for members in groups])
        if np.array_equal(moved, medoids):
            break
        medoids = moved
    return medoids


def _silhouette(apart: Float64, labels: NDArray[np.int64]) -> float:
    """The mean over all, in [-1, 1]; 0 for one that is alone in its group."""
    groups = [labels == label for label in np.unique(labels)]
    means = np.array([[row[members].mean() for members in groups] for row in apart])
    values = np.zeros(len(apart))
    for i, row in enumerate(means):
        own = next(place for place, members in enumerate(groups) if members[i])
        size = int(groups[own].sum())
        if size > 1 and len(groups) > 1:
            within = row[own] * size / (size - 1)  # it doesn't count itself
            between = np.delete(row, own).min()
            values[i] = (between - within) / max(within, between, 1e-12)
    return float(values.mean())


def _unit(vector: Float64) -> Float32:
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length < 1e-12:
        raise AdapterInvalid("The vectors of a card have no common direction.")
    return (vector / length).astype(np.float32)
