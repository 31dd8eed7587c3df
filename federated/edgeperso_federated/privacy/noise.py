"""Noise that nobody can take off again: how it is made, and the two places where it is added.

**Where it comes from.** Standard normals by Box & Muller (1958) from two 64-bit numbers each, from a ChaCha20 stream.
Its key is drawn from the noise key, what the noise is for, and the very values that it is added to. The same sum in
the same round gets the same noise, so that a resumed run ends as an unbroken one would; another sum gets noise that
shares nothing with it, so that two releases can't be subtracted. Numbers of 64 bits reach 9.4 standard deviations;
what lies beyond has a chance of 5e-20 a value.

**Why a grid.** A sum of floats betrays its parts by the last bits: not every float can come of every sum (Mironov, "On
Significance of the Least Significant Bits for Differential Privacy", CCS 2012). So values and noise are both rounded to
multiples of g, a power of two about 2^-28 of the noise, and added as whole numbers, exactly. For values on the grid,
rounding noise is the same as rounding the noisy sum: it is done after the release, and takes nothing from its privacy.
Rounding the values can move two neighbours apart by g a value, g·sqrt(size) in all: `deviation` adds that to the
sensitivity.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from secrets import token_bytes
from typing import Final, NoReturn

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from edgeperso.errors import UsageError
from edgeperso.types import Float32
from edgeperso_federated.errors import Fault, RoundFailed, UpdateInvalid
from edgeperso_federated.privacy.plans import Central, Local

__all__ = ["NoiseKey", "deviation", "local_norm", "local_update", "noised", "private_mean"]

Float64 = NDArray[np.float64]

KEY_BYTES: Final = 32

_LABEL: Final = b"edgeperso/noise/1/"
_FROM_THE_START: Final = bytes(16)
_PAIRS: Final = 1 << 15
"""Normals made at a time, by two: 512 KiB of the stream."""
_GRID_BITS: Final = 28
_MOST_STEPS: Final = 2.0**51
"""Sums of two whole numbers up to it, in float64, are exact."""
_SLACK: Final = 1e-6
"""By which `check_update` lets an update be longer than its bound, relative to it."""
_FAR: Final = 8.0
"""Standard deviations by which the norm of noise exceeds the root of its size with a chance below e^-32."""


class NoiseKey:
    """The secret from which all noise of a run is drawn: 32 bytes. Who has it can take the noise off."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        """Args: secret: 32 random bytes, as `to_bytes` gave them.

        Raises:
            UsageError: another length.
        """
        if len(secret) != KEY_BYTES:
            raise UsageError("A noise key is 32 bytes.")
        self._secret = secret

    @classmethod
    def new(cls) -> NoiseKey:
        """From the system's random source."""
        return cls(token_bytes(KEY_BYTES))

    @classmethod
    def of_simulation(cls, seed: int) -> NoiseKey:
        """A key that can be made again. For simulations alone: a seed can be guessed."""
        return cls(hashlib.sha256(_LABEL + b"simulation/" + str(seed).encode()).digest())

    def to_bytes(self) -> bytes:
        """The secret itself, to be kept with the run's state."""
        return self._secret

    def normals(self, size: int, *binding: bytes) -> Float64:
        """``float64[size]`` of the standard normal distribution: the same for the same binding on one machine (others
        may differ in a last bit, by their logarithm)."""
        digest = hmac.new(self._secret, _LABEL, hashlib.sha256)
        for part in binding:
            digest.update(len(part).to_bytes(8, "little") + part)
        stream = Cipher(ChaCha20(digest.digest(), _FROM_THE_START), mode=None).encryptor()
        normals = np.empty(size + size % 2)
        for start in range(0, normals.size, 2 * _PAIRS):
            out = normals[start : start + 2 * _PAIRS].reshape(2, -1)
            words = np.frombuffer(stream.update(bytes(8 * out.size)), "<u8").astype(np.float64).reshape(out.shape)
            radius = np.sqrt(-2.0 * np.log(np.ldexp(words[0] + 1.0, -64)))
            angle = words[1] * math.ldexp(2.0 * math.pi, -64)
            np.multiply(radius, np.cos(angle), out=out[0])
            np.multiply(radius, np.sin(angle), out=out[1])
        return normals[:size]

    def __repr__(self) -> str:
        return "NoiseKey(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A noise key isn't pickled.")


# ---- the mechanism -------------------------------------------------------------------------------------------------


def deviation(multiplier: float, sensitivity: float, size: int) -> float:
    """The standard deviation of noise on ``size`` values that move by ``sensitivity`` (Euclidean) between neighbours:
    ``multiplier · sensitivity``, and a trace more for what the grid adds."""
    plain = multiplier * sensitivity
    return multiplier * (sensitivity + _step(2 * plain) * math.sqrt(size))


def noised(values: Float64, std: float, key: NoiseKey, *binding: bytes) -> Float64:
    """``values`` with normal noise of ``std`` on each; a new array of the same length.

    Args:
        values: ``float64[n]``, finite.
        std: from `deviation`, above 0.
        key: of the run.
        binding: which run, which round, what for.

    Raises:
        UsageError: the noise is too little for the sums to be exact, or a value is not finite.
    """
    step = _step(std)
    grid = np.rint(values / step)
    # Written so that a NaN fails it too.
    if not float(np.abs(grid).max(initial=0.0)) <= _MOST_STEPS:
        raise UsageError("The values are not finite, or too large for noise so small.")
    drawn = key.normals(values.size, *binding, std.hex().encode(), np.ascontiguousarray(grid, "<f8").tobytes())
    grid += np.rint(drawn * (std / step))
    return grid * step


def _step(std: float) -> float:
    """The grid's g: a power of two, 2^-29 to 2^-28 of ``std``."""
    return math.ldexp(1.0, math.frexp(std)[1] - 1 - _GRID_BITS)


# ---- central -------------------------------------------------------------------------------------------------------


def private_mean(
    plan: Central,
    total: Float64,
    key: NoiseKey,
    *binding: bytes,
    clients: int,
    weight: int,
    bound: float | None = None,
    multiplier: float | None = None,
    rounding: float = 0.0,
) -> Float64:
    """The noisy mean change of a round: ``(total + noise) / plan.cohort``.

    Args:
        plan: of the run. Neither noise nor denominator depends on how many answered.
        total: ``float64[size]``, the sum of updates, each counted **once** (`Weighting.EQUAL`).
        key: of the run.
        binding: which run and round.
        clients: how many are in the sum.
        weight: the sum of their weights.
        bound: the norm to which this round's updates were clipped and by which they were checked; None: ``plan.clip``.
        multiplier: of the noise on updates where the clipping adapts (`Adaptive.multiplier`); None: the plan's.
        rounding: by how much secure aggregation's rounding may lengthen an update: ``sqrt(size + 1) · step / 2``.

    Raises:
        RoundFailed: the sum is longer than so many clipped updates can be: some were not clipped.
        UsageError: as `noised`; or the updates were weighted: one person could move the sum by more than the bound.
    """
    if weight != clients:
        raise UsageError("Under central privacy every update counts once.")
    sensitivity = (plan.clip if bound is None else bound) * (1 + _SLACK) + rounding
    if float(np.linalg.norm(total)) > clients * sensitivity * (1 + _SLACK):
        raise RoundFailed("The sum is longer than clipped updates can be.")
    std = deviation(plan.noise_multiplier if multiplier is None else multiplier, sensitivity, total.size)
    return noised(total, std, key, b"central", *binding) / plan.cohort


# ---- local ---------------------------------------------------------------------------------------------------------


def local_update(plan: Local, vector: Float32, key: NoiseKey, *binding: bytes) -> Float32:
    """A clipped update with the device's own noise, ``float32[size]``: what leaves it.

    Raises:
        UpdateInvalid: ``not_finite``, or ``norm``: it is longer than ``plan.clip``.
    """
    values = vector.astype(np.float64)
    if not np.isfinite(values).all():
        raise UpdateInvalid(Fault.NOT_FINITE)
    if float(np.linalg.norm(values)) > plan.clip:
        raise UpdateInvalid(Fault.NORM)
    return noised(values, _local_std(plan, vector.size), key, b"local", *binding).astype(np.float32)


def local_norm(plan: Local, size: int) -> float:
    """The greatest norm of a noisy update, but for a chance below e^-32: the bound of its schema.

    Source: concentration of the norm of a normal vector, Boucheron, Lugosi & Massart, "Concentration Inequalities",
    2013, theorem 5.6.
    """
    return plan.clip + _local_std(plan, size) * (math.sqrt(size) + _FAR)


def _local_std(plan: Local, size: int) -> float:
    return deviation(plan.noise_multiplier, 2 * plan.clip, size)
