"""Features in units of their own: the box that they span, and what single precision can hold of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genrev.errors import FileError
from genrev.space import InputSpace

_LARGEST = 1e15
"""The greatest value, and the inverse of the least range: its square and the sum of many are numbers, too."""

_FINEST = 2.0**-13
"""The least range of a feature as a share of its greatest value: a thousand steps of single precision."""


def box(inputs: Tensor) -> InputSpace:
    """Return the space from each feature's least to its greatest value.

    Made of a whole data set before it is cut, it holds the inputs that are held out, too: of these it looks at their
    range and at nothing else. A feature that never varies cannot move in it.

    Args:
        inputs: `(n, features)`, n >= 1, finite.

    Example:
        >>> space = box(torch.tensor([[1.0, 50.0], [2.0, 50.0]]))
        >>> space.low.tolist(), space.high.tolist()
        ([1.0, 50.0], [2.0, 50.0])
    """
    low, high = inputs.aminmax(dim=0)
    return InputSpace(tuple(inputs.shape[1:]), low, high)


def as_features(values: np.ndarray, title: Callable[[int], str], path: Path) -> Tensor:
    """Return features in single precision.

    Args:
        values: `(n, features)`, real numbers, n >= 1.
        title: from the number of a feature to what a person calls it.
        path: of the file that they are from.

    Returns:
        Float32 `(n, features)`.

    Raises:
        FileError: a value is not finite or beyond 1e15, or single precision would blur a feature.

    Example:
        >>> as_features(np.array([[1.5], [2.5]]), str, Path("own.npz")).tolist()
        [[1.5], [2.5]]
    """
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise FileError(
            f"expected finite numbers, got {values[row, column]} in {title(column)} of example {row} in {path}, "
            "counted from 0; leave that example out"
        )
    low, high = values.min(0), values.max(0)
    largest, width = np.maximum(np.abs(low), np.abs(high)), high - low
    for column in np.flatnonzero(largest > _LARGEST).tolist():
        raise FileError(
            f"expected values up to {_LARGEST:g}, got {largest[column]:g} in {title(column)} of {path}; take another "
            "unit"
        )
    for column in np.flatnonzero((width > 0) & (width < 1 / _LARGEST)).tolist():
        raise FileError(
            f"expected values that differ by {1 / _LARGEST:g} or not at all, got {width[column]:g} in {title(column)} "
            f"of {path}; take another unit"
        )
    for column in np.flatnonzero((width > 0) & (width < _FINEST * largest)).tolist():
        raise FileError(
            f"expected values that single precision tells apart, got {low[column]:.9g} to {high[column]:.9g} in "
            f"{title(column)} of {path}; subtract {low[column]:.6g} from it first"
        )
    return torch.from_numpy(values.astype(np.float32))
