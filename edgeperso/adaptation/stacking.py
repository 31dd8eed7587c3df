"""Adding LoRA adapters up, without ever forming a whole weight matrix.

An adapter stands for one product a matrix, ``(alpha / r) · b @ a``; two adapters are the same where their products
are, however those are factored. All sums, norms and angles here are of products. Averaging ``a`` and ``b`` apart is
something else, and wrong unless one of them is shared. Sums run in float64 and are rounded to float32 once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.errors import AdapterMismatch, UsageError

__all__ = ["cosine", "distance", "inner", "merged", "norm", "reduced", "user_scale"]

Float64 = NDArray[np.float64]

_HALF_AT: Final = 8
"""Examples at which a person's own adapter has half its weight: a choice, not a measurement."""


def merged(loras: Sequence[tuple[Lora, float]]) -> Lora:
    """One adapter that does what all of them do together, each at its scale: ranks are laid side by side.

    ``Σ scaleᵢ · (alphaᵢ / rᵢ) · bᵢ aᵢ = [c₁b₁ … cₙbₙ] [a₁; …; aₙ]``, exact but for one rounding of ``b``. The rank is
    the sum of ranks; above 256 no file takes it (`reduced`). Matrices that only some of them change are kept.

    Args:
        loras: one or more, of one base, with finite scales (negative ones subtract).

    Raises:
        UsageError: none was given, or a scale is not a finite number.
        AdapterMismatch: they are of different bases, or of different shapes.

    Source: the stacking of FLoRA, Wang et al., 2024 (arXiv:2409.05976).
    """
    if not loras:
        raise UsageError("There is no adapter to merge.")
    if not all(math.isfinite(scale) for _, scale in loras):
        raise UsageError("An adapter's scale must be a finite number.")
    first = loras[0][0]
    for lora, _ in loras:
        _check_alike(first, lora)
    products = {
        name: (
            np.hstack([scale * _left(lora, lora.pairs[name]) for lora, scale in loras if name in lora.pairs]),
            np.vstack([_right(lora.pairs[name]) for lora, _ in loras if name in lora.pairs]),
        )
        for name in sorted({name for lora, _ in loras for name in lora.pairs})
    }
    return _lora(first, products)


def reduced(lora: Lora, rank: int) -> Lora:
    """The adapter of at most ``rank`` (1 or more) whose products are nearest, by their Frobenius norm, to this one's.

    Each product is factored through two thin QR decompositions and the SVD of an ``r × r`` matrix, so that the cost is
    ``O((n_in + n_out) r²)``. What it lost is ``distance(lora, reduced(lora, rank))``.

    Source: Eckart and Young, "The approximation of one matrix by another of lower rank", Psychometrika 1, 1936; by QR:
    Golub and Van Loan, "Matrix Computations", 4th ed., 5.4.
    """
    if rank < 1:
        raise UsageError("An adapter has a rank of 1 or more.")
    products = {}
    for name, pair in lora.pairs.items():
        q_left, r_left = np.linalg.qr(_left(lora, pair))
        q_right, r_right = np.linalg.qr(_right(pair).T)
        u, s, vt = np.linalg.svd(r_left @ r_right.T, full_matrices=False)
        root = np.sqrt(s[:rank])
        products[name] = (q_left @ (u[:, :rank] * root), (root[:, None] * vt[:rank]) @ q_right.T)
    return _lora(lora, products)


def inner(a: Lora, b: Lora) -> float:
    """The Frobenius inner product of what two adapters add, over all matrices together; those that only one of them
    changes count nothing. ``⟨b₁a₁, b₂a₂⟩ = Σ (b₁ᵀb₂) ∘ (a₁a₂ᵀ)``.

    Raises:
        AdapterMismatch: as `merged`.
    """
    _check_alike(a, b)
    return sum(
        float(np.sum((_left(a, one).T @ _left(b, other)) * (_right(one) @ _right(other).T)))
        for one, other in _both(a, b)
    )


def norm(lora: Lora) -> float:
    """The Frobenius norm of what the adapter adds, 0 or more."""
    squares = [_squared_norm(_left(lora, pair), _right(pair)) for pair in lora.pairs.values()]
    return math.sqrt(sum(squares))


def cosine(a: Lora, b: Lora) -> float:
    """The cosine between what two adapters add, in [-1, 1]; 0 where one of them adds nothing. See `inner`."""
    length = norm(a) * norm(b)
    return min(max(inner(a, b) / length, -1.0), 1.0) if length else 0.0


def distance(a: Lora, b: Lora) -> float:
    """The Frobenius norm of the difference of what two adapters add, 0 or more. See `inner`.

    Of the difference's own factors rather than ``|a|² + |b|² - 2⟨a, b⟩``, which loses half the digits for near ones.
    """
    _check_alike(a, b)
    square = 0.0
    for name in sorted(a.pairs.keys() | b.pairs.keys()):
        parts = [(sign, lora, lora.pairs[name]) for sign, lora in ((1.0, a), (-1.0, b)) if name in lora.pairs]
        left = np.hstack([sign * _left(lora, pair) for sign, lora, pair in parts])
        square += _squared_norm(left, np.vstack([_right(pair) for _, _, pair in parts]))
    return math.sqrt(square)


def user_scale(evidence: int) -> float:
    """The weight in [0, 1) of a person's own adapter above a persona's, from the ``evidence`` it was trained on
    (examples, 0 or more): ``n / (n + 8)``, so 0 for none, a half for 8, 0.93 for 100.

    Source: the credibility factor ``n / (n + k)``, Bühlmann, "Experience rating and credibility", ASTIN 4, 1967.
    """
    if evidence < 0:
        raise UsageError("Evidence is counted from 0 up.")
    return evidence / (evidence + _HALF_AT)


def _left(lora: Lora, pair: LoraPair) -> Float64:
    """``b`` with the adapter's scaling, ``[n_out, r]``."""
    return np.asarray(pair.b, np.float64) * (lora.alpha / pair.rank)


def _right(pair: LoraPair) -> Float64:
    """``a``, ``[r, n_in]``."""
    return np.asarray(pair.a, np.float64)


def _lora(like: Lora, products: dict[str, tuple[Float64, Float64]]) -> Lora:
    """An adapter of these products ``left @ right``. Its alpha is the greatest rank, so that the scaling is 1 where all
    ranks are equal; elsewhere ``b`` takes it back."""
    alpha = float(max((right.shape[0] for _, right in products.values()), default=1))
    pairs = {
        name: LoraPair(right.astype(np.float32), (left * (right.shape[0] / alpha)).astype(np.float32))
        for name, (left, right) in products.items()
    }
    return Lora(like.base_sha256, like.architecture, alpha, pairs)


def _squared_norm(left: Float64, right: Float64) -> float:
    """Of ``left @ right``, through the triangles of their QR decompositions."""
    r_left, r_right = np.linalg.qr(left).R, np.linalg.qr(right.T).R
    return float(np.sum((r_left @ r_right.T) ** 2))


def _both(a: Lora, b: Lora) -> Iterator[tuple[LoraPair, LoraPair]]:
    return ((pair, b.pairs[name]) for name, pair in sorted(a.pairs.items()) if name in b.pairs)


def _check_alike(a: Lora, b: Lora) -> None:
    if (a.base_sha256, a.architecture) != (b.base_sha256, b.architecture):
        raise AdapterMismatch("The adapters are of different base models.")
    for one, other in _both(a, b):
        if one.a.shape[1] != other.a.shape[1] or one.b.shape[0] != other.b.shape[0]:
            raise AdapterMismatch("The adapters change matrices of different shapes.")
