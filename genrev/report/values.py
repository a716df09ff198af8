"""The values of a short input in words: what each is called, in a few digits, within which bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from genrev.report.columns import compact

SHORT = 16
"""Up to how many values of an input are written out, each with its name."""


def value_names(columns: Sequence[str] | None, count: int) -> list[str]:
    """Return what the values of an input are called: by their names, else x0, x1 and so on.

    Args:
        columns: their names, where they are known.
        count: how many there are.

    Example:
        >>> value_names(None, 2)
        ['x0', 'x1']
    """
    return list(columns) if columns is not None else [f"x{place}" for place in range(count)]


def written(x: np.ndarray) -> list[str]:
    """Return the values of an input in words; none of an image, nor of a list too long to be read.

    Args:
        x: ``input_shape``.

    Example:
        >>> written(np.array([5.1, 0.2])), written(np.zeros((1, 8, 8)))
        (['5.1', '0.2'], [])
    """
    return [number(value) for value in x.tolist()] if x.ndim == 1 and x.size <= SHORT else []


def number(value: float) -> str:
    """Write a value of an input in four digits, without an exponent up to a million.

    Args:
        value: any float.

    Example:
        >>> [number(value) for value in (5.0999999, 1278.52, 48213.7, 0.00123456, -1e-9)]
        ['5.1', '1279', '48214', '0.001235', '-1e-9']
    """
    size = abs(value)
    if 1e4 <= size < 1e6:
        return f"{value:.0f}"
    return f"{value:.4g}" if value == 0 or 1e-3 <= size < 1e4 else compact(value)


def probability(value: float) -> str:
    """Write a probability: 1 and 0 only where it is, and near them as many digits as it takes.

    Args:
        value: in [0, 1].

    Example:
        >>> [probability(value) for value in (0.99, 0.99999976, 1.0, 0.25, 2.4e-7, 0.0)]
        ['0.99', '0.9999998', '1', '0.25', '2.4e-7', '0']
    """
    rest = 1 - value
    if 0 < rest < 1e-3:
        return f"{value:.{min(9, math.ceil(-math.log10(rest)))}f}".rstrip("0") if rest >= 1e-9 else "1"
    return compact(value)


def bounds(low: float, high: float) -> str:
    """Write the bounds of a value, nothing where it has none.

    Args:
        low: the least; -inf where there is none.
        high: the greatest; inf where there is none.

    Example:
        >>> bounds(4.3, 7.9), bounds(0.0, math.inf)
        ('4.3 to 7.9', 'from 0')
    """
    if math.isfinite(low) and math.isfinite(high):
        return f"{number(low)} to {number(high)}"
    return f"from {number(low)}" if math.isfinite(low) else f"up to {number(high)}" if math.isfinite(high) else ""
