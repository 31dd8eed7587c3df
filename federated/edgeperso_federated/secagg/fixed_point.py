"""Updates as whole numbers, so that masks cancel exactly: ``q = round(weight · value · 2^exponent)`` modulo ``2^bits``.

The weight lies inside the sum: a client sends ``weight · value`` for each value and the weight itself as one coordinate
more. The server learns Σ w·x and Σ w, and no client's weight.

**No overflow.** Let N be the most clients, W the greatest weight, B the greatest absolute value. `check_update` has
bounded the Euclidean norm, and no value is longer than its vector: |x| ≤ max_norm · (1 + 1e-6) ≤ max_norm · (1 + 2^-16)
= B, where the difference covers the rounding of the norm's own sum. Rounding moves a number by 1/2 at most, so |q| ≤
W·B·2^e + 1/2, and a sum of n ≤ N clients is at most N·(W·B·2^e + 1/2) in absolute value. `FixedPoint.fit` takes the
greatest e for which that is at most 2^(bits-1) - 1, in exact rationals; it asks the same of the weights, N·W ≤
2^(bits-1) - 1. A sum of which this holds is the only number of its residue class in [-2^(bits-1), 2^(bits-1)): read as
a signed number, it is exact. Masks are uniform modulo 2^bits and cancel in the same ring; how large they are is of no
matter.

**Rounding.** w·x is exact in float64 (14 and 24 bits of 53), so is its product with a power of two. Hence the sum's
error is at most n·2^-(e+1), and a weighted mean's at most 2^-(e+1), whatever the dropouts.

**Which modulus.** 64 bits hold 1,000 clients of weight 10,000 with a step of 2^-39 of the norm bound: exact beyond
float32. 32 bits halve traffic and the work of masking, and leave log2(N·W) bits less than 31 for a value: enough for
equal weights (step 2^-24 of the bound at 100 clients), not for weights up to 10,000. `fit` refuses a plan whose
rounding, as a vector, could be longer than a hundredth of the norm bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgeperso.errors import UsageError
from edgeperso.types import Float32
from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg.primitives import Unsigned
from edgeperso_federated.update import Schema

__all__ = ["Bits", "FixedPoint"]

Bits = Literal[32, 64]

_ROOM = 1 + Fraction(1, 1 << 16)


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """How a cohort writes its numbers.

    Args:
        bits: of the modulus.
        exponent: the step is ``2**-exponent``.
        most_value: the greatest absolute value of a single client's number.
        max_weight: the greatest weight.
        max_norm: the schema's bound on an update.
    """

    bits: Bits
    exponent: int
    most_value: int
    max_weight: int
    max_norm: float

    @classmethod
    def fit(cls, schema: Schema, max_weight: int, most_clients: int, bits: Bits) -> FixedPoint:
        """The finest step with which no sum of ``most_clients`` overflows.

        Raises:
            UsageError: that step is too coarse for the schema.
        """
        most = (1 << (bits - 1)) - 1
        largest = max_weight * Fraction(schema.max_norm) * _ROOM
        room = (Fraction(most, most_clients) - Fraction(1, 2)) / largest
        exponent = _floor_log2(room)
        if math.sqrt(schema.size) * math.ldexp(0.5, -exponent) > schema.max_norm / 100:
            raise UsageError(
                f"Numbers of {bits} bits are too coarse for this schema and {most_clients} clients.",
                hint="Take 64 bits, or a smaller greatest weight.",
            )
        most_value = math.floor(largest * Fraction(2) ** exponent + Fraction(1, 2))
        if max(most_value, max_weight) * most_clients > most:
            raise UsageError("The weights alone don't fit the modulus.")
        return cls(bits, exponent, most_value, max_weight, schema.max_norm)

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Of the ring's numbers: little endian on every machine."""
        return np.dtype("<u4" if self.bits == 32 else "<u8")

    @property
    def step(self) -> float:
        """Twice the greatest error of a mean's value."""
        return math.ldexp(1.0, -self.exponent)

    def encode(self, vector: Float32, weight: int) -> Unsigned:
        """``[size + 1]`` numbers: the weighted values, then the weight.

        Raises:
            SecaggFailed: a value or the weight is out of the bounds under which sums can't overflow.
        """
        scaled = vector.astype(np.float64)
        scaled *= weight
        scaled = np.rint(np.ldexp(scaled, self.exponent, out=scaled), out=scaled)
        # Written so that a NaN fails it too.
        if not (float(np.abs(scaled).max(initial=0.0)) <= self.most_value and 1 <= weight <= self.max_weight):
            raise SecaggFailed("The update is larger than the round's sums have room for.")
        numbers = np.empty(vector.size + 1, np.int64)
        numbers[:-1] = scaled
        numbers[-1] = weight
        return numbers.astype(self.dtype)

    def decode(self, total: Unsigned, clients: int) -> tuple[NDArray[np.float64], int]:
        """Σ w·x as ``float64[size]`` and Σ w, from the sum of so many clients' numbers.

        Raises:
            SecaggFailed: no such clients with such updates have this sum: Σ w is outside [clients, clients ·
                max_weight], or Σ w·x is longer than Σ w · max_norm, which the triangle inequality rules out. Some
                client sent what it was not allowed to; which one stays hidden.
        """
        signed = total.view(np.dtype("<i4" if self.bits == 32 else "<i8"))
        weight = int(signed[-1])
        values = np.ldexp(signed[:-1].astype(np.float64), -self.exponent)
        longest = weight * self.max_norm * float(_ROOM) + clients * math.sqrt(values.size) * self.step
        if not clients <= weight <= clients * self.max_weight or float(np.linalg.norm(values)) > longest:
            raise SecaggFailed("The sum is none that allowed updates can have.")
        return values, weight


def _floor_log2(number: Fraction) -> int:
    """The greatest e with 2^e ≤ number, exactly."""
    guess = number.numerator.bit_length() - number.denominator.bit_length()
    return guess if Fraction(2) ** guess <= number else guess - 1
