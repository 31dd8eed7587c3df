"""How well passages of notes that were found fit the question: which of their sentences are worth reading."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np

from edgeperso.types import Float32

__all__ = ["fitting"]

_SAYS: Final = 0.5
"""Worth of saying much that the question doesn't, against sharing all of its words or lying on its vector."""
_MUCH: Final = 20.0
"""That is much: in nats, about five rare words."""


def fitting(cosine: Float32, asked: AbstractSet[str], terms: Sequence[AbstractSet[str]]) -> Float32:
    """Worth of passages for a question: their cosine with it, the share of its words that they hold, and something for
    what else they say; words count by how few of the passages hold them (log(1 + n / df)).

    Args:
        cosine: float32[n].
        asked: the question's terms.
        terms: those of each of the n passages.

    Returns:
        float32[n], about -0.2 to 2.5.
    """
    frequency = Counter(term for each in terms for term in each)

    def weight(of: AbstractSet[str]) -> float:
        # fsum: the same in every process, whatever the order of a set of strings is there
        return math.fsum(math.log1p(len(terms) / max(1, frequency[term])) for term in of)

    whole = weight(asked) or 1.0
    shared = [weight(asked & each) / whole for each in terms]
    said = [min(1.0, weight(each - asked) / _MUCH) for each in terms]
    fit = cosine + np.array(shared) + _SAYS * np.array(said)
    return np.asarray(fit, dtype=np.float32)
