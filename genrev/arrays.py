"""Numbers as people give them, in lists, arrays and tensors, read as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrev.errors import ArgumentError


def as_numbers(name: str, values: Any) -> Tensor:
    """Return real numbers as a dense tensor, of their own type where they are a tensor, else in double precision.

    Args:
        name: of the argument that they were given for.
        values: numbers, None for NaN, in any nesting of lists; an array, a tensor, or a list of tensors.

    Raises:
        ArgumentError: they are no real numbers, or in no regular shape.

    Example:
        >>> as_numbers("known", [0.5, None]).tolist()
        [0.5, nan]
    """
    try:
        if isinstance(values, (list, tuple)) and values and all(isinstance(row, Tensor) for row in values):
            values = torch.stack([row.detach() for row in values])
        if not isinstance(values, Tensor):
            return torch.from_numpy(_array(values))
        if values.is_complex() or values.is_meta:
            raise TypeError
        return values if values.layout is torch.strided else values.to_dense()
    except (TypeError, ValueError, RuntimeError):
        got = f"{values.dtype} on {values.device}" if isinstance(values, Tensor) else _kind(values)
        raise ArgumentError(
            f"expected {name} as real numbers in a list, array or tensor of regular shape, got {got}; "
            "convert them, and give every row as many"
        ) from None


def expect_shaped(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int | None]], dtype: torch.dtype
) -> None:
    """Refuse tensors that are not those expected, before anything is built of them.

    Args:
        tensors: by name.
        shapes: by name, of all that must be there and no others; None for a size of at least 1.
        dtype: of each.

    Raises:
        ArgumentError: a tensor is missing, is one too many, or has another shape or type.

    Example:
        >>> expect_shaped({"inputs": torch.zeros(5, 3)}, {"inputs": (None, 3)}, torch.float32)
    """
    for name in [*shapes, *tensors]:
        if name not in tensors or name not in shapes:
            got = "none" if name in shapes else f"one named {name!r:.60}"
            raise ArgumentError(f"expected a tensor for each of {', '.join(shapes)}, got {got}; get a whole file")
        wanted, found = tuple(shapes[name]), tensors[name]
        fits = len(wanted) == found.ndim and all(
            have == want if want is not None else have > 0 for want, have in zip(wanted, found.shape, strict=True)
        )
        if not fits or found.dtype != dtype:
            sizes = ", ".join("n" if size is None else str(size) for size in wanted)
            raise ArgumentError(
                f"expected {name} of shape ({sizes}) in {dtype}, got {tuple(found.shape)} in {found.dtype}; get a "
                "file that was not changed"
            )


def _kind(values: Any) -> str:
    """Return what was given instead of numbers: itself where it is short."""
    text = repr(values)
    return text if len(text) <= 40 and "\n" not in text else f"{type(values).__name__} that is none of these"


def _array(values: Any) -> np.ndarray:
    array = np.array(values)
    if array.dtype.kind not in "biuf":
        # None among numbers is a gap, as NaN is; None alone is an argument that was forgotten.
        gaps = array.dtype.kind == "O" and array.ndim > 0
        if not gaps or not all(value is None or isinstance(value, (int, float, np.number)) for value in array.flat):
            raise TypeError
    return array.astype(np.float64)
