"""How numbers are written, and where an axis has its ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from edgeperso.evals.report.plots import Interval
from edgeperso.evals.report.tables import Cell

__all__ = ["MISSING", "Scale", "decimals_of", "figure", "interval", "number", "p_value"]

MISSING: Final = "–"
_MINUS: Final = "−"
_MOST_DECIMALS: Final = 6
_FLAT: Final = 1e-9
"""An axis whose ends are nearer than this, relative to them, holds one value."""


def number(value: float | None, decimals: int) -> str:
    """``1,234.5``, with a true minus sign; a dash where there is none."""
    if value is None:
        return MISSING
    text = f"{value:,.{decimals}f}"
    if text.startswith("-"):
        text = text[1:] if not text.strip("-0.,") else _MINUS + text[1:]
    return text


def interval(low: float | None, high: float | None, decimals: int) -> str:
    """``0.28–0.31``; in words where a sign would stand beside the dash; empty where there is none."""
    if low is None or high is None:
        return ""
    between = " to " if min(low, high) < 0 else "–"
    return number(low, decimals) + between + number(high, decimals)


def p_value(p: float | None) -> str:
    """``0.012``, or ``<0.001``; a dash where there is none."""
    return MISSING if p is None else "<0.001" if p < 0.001 else number(p, 3)


def figure(value: float) -> str:
    """A figure that stands alone: whole numbers as they are, others to four digits, without zeros at the end."""
    if value == int(value):
        return number(value, 0)
    text = number(value, max(0, min(_MOST_DECIMALS, 3 - math.floor(math.log10(abs(value))))))
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimals_of(cells: Iterable[Cell | Interval]) -> int:
    """As many decimals for a column as the middle one of its intervals deserves.

    Half of it keeps two digits where they are below 35, else one (the Particle Data Group's rule for errors). Without
    intervals: three digits of the largest value; none where all are whole.
    """
    known = [cell for cell in cells if cell.value is not None]
    values = [value for cell in known for value in (cell.value, cell.low, cell.high) if value is not None]
    if all(value == int(value) for value in values):
        return 0
    widths = sorted(
        (cell.high - cell.low) / 2
        for cell in known
        if cell.low is not None and cell.high is not None and cell.high > cell.low
    )
    if not widths:
        return _decimals(max(map(abs, values)), 3)
    half = widths[len(widths) // 2]
    return _decimals(half, 2 if half < 3.55 * 10 ** math.floor(math.log10(half)) else 1)


def _decimals(size: float, digits: int) -> int:
    return max(0, min(_MOST_DECIMALS, digits - 1 - math.floor(math.log10(size))))


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from ``low`` to ``high`` with ticks at round numbers between them."""

    low: float
    high: float
    ticks: tuple[float, ...]
    decimals: int

    @classmethod
    def around(cls, values: Sequence[float], *, whole: bool, zero: bool = False, count: int = 4) -> Self:
        """An axis that holds ``values``.

        Args:
            values: at least one, finite.
            whole: let the axis begin and end at a tick; otherwise a little beyond the values, or as far as it takes
                to have three ticks.
            zero: begin at zero where that leaves less than a third empty.
            count: of steps between the values, at most.
        """
        low, high = min(values), max(values)
        if zero and 0 < low <= high / 3:
            low = 0.0
        if high - low <= _FLAT * max(abs(low), abs(high), _FLAT):
            around = max(abs(high) / 10, 1e-6) if high else 1.0
            low, high = low - around, high + around
        step = _step(high - low, count)
        if whole:
            low, high = math.floor(low / step + _FLAT) * step, math.ceil(high / step - _FLAT) * step
        else:
            spare = (high - low) * 0.04
            low, high = low - spare, high + spare
        first, last = math.ceil(low / step - _FLAT), math.floor(high / step + _FLAT)
        while last - first < 2:
            if low - (first - 1) * step < (last + 1) * step - high:
                first -= 1
            else:
                last += 1
        low, high = min(low, first * step), max(high, last * step)
        ticks = tuple(float(f"{place * step:.12g}") for place in range(first, last + 1))
        return cls(low, high, ticks, max(0, min(_MOST_DECIMALS, -math.floor(math.log10(step) + _FLAT))))

    def at(self, value: float) -> float:
        """Where ``value`` lies, in percent of the axis."""
        return 100 * (value - self.low) / (self.high - self.low)

    def label(self, tick: float) -> str:
        return number(tick, self.decimals)


def _step(span: float, count: int) -> float:
    """1, 2 or 5 times a power of ten, so that ``span`` holds at most ``count`` of them."""
    least = span / count
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least * (1 - _FLAT))
