"""Axes: where a value lies on a drawing, and which round values are written along it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """Where values lie between two ends of a drawing.

    Args:
        low: the value at ``start``.
        high: the value at ``end``.
        start: in units of the drawing.
        end: likewise.
        log: whether equal ratios are equal distances; then ``low`` and ``high`` are positive.

    Example:
        >>> Axis(1e-2, 1.0, 0.0, 100.0, log=True).at(0.1)
        50.0
        >>> Axis(0.0, 1.0, 100.0, 0.0).at(0.25)
        75.0
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Return where a value lies, at most at the ends, to a hundredth.

        Args:
            value: finite; positive on a logarithmic axis.
        """
        low, high, value = (math.log10(each) if self.log else each for each in (self.low, self.high, value))
        share = 0.5 if high == low else (value - low) / (high - low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 2)

    def ticks(self, most: int) -> list[float]:
        """Return round values along the axis, in ascending order.

        Args:
            most: how many at most, at least 2.

        Example:
            >>> Axis(1e-4, 1.0, 0, 1, log=True).ticks(3), Axis(0, 60, 0, 1).ticks(5)
            ([0.0001, 0.01, 1.0], [0.0, 20.0, 40.0, 60.0])
        """
        if self.log:
            return _powers(self.low, self.high, most)
        step = _step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{place * step:.12g}") for place in range(first, last + 1)]


def around(values: Sequence[float], *, log: bool = False) -> tuple[float, float]:
    """Return the ends of an axis that holds the values with a little room.

    Args:
        values: finite; positive for a logarithmic axis.
        log: whether the axis is logarithmic: then it ends at powers of ten.

    Example:
        >>> around([0.02, 3.0], log=True), around([1.0, 3.0])
        ((0.01, 10.0), (0.9, 3.1))
    """
    low, high = min(values), max(values)
    if log:
        # The least and the greatest powers that a number can be.
        first, last = max(math.floor(math.log10(low)), -307), min(math.ceil(math.log10(high)), 308)
        return 10.0**first, 10.0 ** max(last, first + 1)
    room = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    return low - room, high + room


def _powers(low: float, high: float, most: int) -> list[float]:
    first, last = round(math.log10(low)), round(math.log10(high))
    step = max(1, math.ceil((last - first) / max(1, most - 1)))
    return [10.0**power for power in range(first, last + 1, step)]


def _step(rough: float) -> float:
    """Return the next round number."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
