"""What the methods ``profile`` and ``persona`` say of a person, on their profile card.

``profile`` is a summary that the model writes of the person's own latest texts; ``persona`` stands for the nearest
group: what the people nearest to this one wrote that is most typical of them. Nearness is the cosine of mean
embeddings, and a person never counts to their own group.

`groups` parts people by the same vectors, for adapters that speak for more than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from edgeperso.assistant import Assistant
from edgeperso.evals.methods import Method
from edgeperso.evals.setup import Setup
from edgeperso.types import Float32

__all__ = ["Cards", "groups", "mean_vector"]

_GROUP: Final = 5
"""People in a group."""
_ROUNDS: Final = 50
_READ: Final = 6
"""Latest texts that a summary is made from."""
_EXCERPT: Final = 160
_SUMMARY_TOKENS: Final = 60
_SUMMARIZE: Final = "In one or two sentences, what do these notes show of the person's tastes and ways? The person"


class Cards:
    """The cards of all people of an evaluation: ``people`` are (id, texts, oldest first)."""

    def __init__(self, setup: Setup, people: Sequence[tuple[str, list[str]]], methods: Sequence[Method]) -> None:
        self._setup = setup
        self._texts = dict(people)
        self._personas = _personas(setup, people) if any("persona" in method.additions for method in methods) else {}

    def key(self, person: str, method: Method) -> str:
        """What of a card isn't determined by the person's own texts, for a unit's name."""
        return self._personas.get(person, "") if "persona" in method.additions else ""

    def give(self, me: Assistant, person: str, method: Method) -> None:
        """Put on the assistant's profile card what ``method`` adds, and nothing else."""
        for name in me.vault.profile.all():
            me.vault.profile.delete(name)
        if "persona" in method.additions and self._personas.get(person):
            me.vault.profile.set("people like them wrote", self._personas[person])
        if "profile" in method.additions and self._texts.get(person):
            me.vault.profile.set("summary", self._summary(me, person))

    def _summary(self, me: Assistant, person: str) -> str:
        latest = "\n".join(f"- {' '.join(text.split())[:_EXCERPT]}" for text in self._texts[person][-_READ:])
        weigher = me.weigher("You describe people from their notes, briefly.")
        said = weigher.written(f"{latest}\n\n{_SUMMARIZE}", max_tokens=_SUMMARY_TOKENS)
        return " ".join(said.split())


def _personas(setup: Setup, people: Sequence[tuple[str, list[str]]]) -> dict[str, str]:
    """By person, the most typical text of each of the nearest others."""
    known = [(person, texts) for person, texts in people if texts]
    if len(known) < 2:
        return {}
    means = np.stack([mean_vector(setup.embedder.embed(texts)) for _, texts in known])
    typical = [_typical(setup, texts, mean) for (_, texts), mean in zip(known, means, strict=True)]
    likeness = means @ means.T
    np.fill_diagonal(likeness, -np.inf)
    personas = {}
    for row, (person, _) in enumerate(known):
        nearest = np.argsort(-likeness[row], kind="stable")[: min(_GROUP, len(known) - 1)]
        personas[person] = " | ".join(" ".join(typical[place].split())[:_EXCERPT] for place in nearest.tolist())
    return personas


def mean_vector(vectors: Float32) -> Float32:
    """The mean of ``float32[n, dim]``, n 1 or more, at unit length."""
    mean = vectors.mean(axis=0)
    unit: Float32 = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return unit


def _typical(setup: Setup, texts: list[str], mean: Float32) -> str:
    return texts[int(np.argmax(setup.embedder.embed(texts) @ mean))]


def groups(vectors: Float32, most: int) -> list[list[int]]:
    """People, ``float32[n, dim]`` of unit length, in ``most`` groups or fewer; none is empty, each in ascending order.

    Spherical k-means (Dhillon and Modha, "Concept Decompositions for Large Sparse Text Data Using Clustering", 2001),
    begun with the first person and then whoever is least like those chosen: nothing is drawn by chance.
    """
    chosen = [0] if len(vectors) else []
    while 0 < len(chosen) < min(most, len(vectors)):
        chosen.append(int(np.argmin((vectors @ vectors[chosen].T).max(axis=1))))
    centres = vectors[chosen]
    group = np.full(len(vectors), -1)
    for _ in range(_ROUNDS):
        moved = np.argmax(vectors @ centres.T, axis=1) if len(vectors) else group
        if (moved == group).all():
            break
        group = moved
        held = [mean_vector(vectors[group == number]) for number in range(len(centres)) if (group == number).any()]
        centres = np.stack(held)
    parts = [np.flatnonzero(group == number).tolist() for number in range(len(centres))]
    return [part for part in parts if part]
