"""The input space: the shape and the bounds of what a network takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrev.arrays import as_numbers
from genrev.checks import called_as
from genrev.errors import ArgumentError


class InputSpace:
    """The shape of an input and the bounds of its values.

    Args:
        shape: of one input, without the batch: ``(1, 28, 28)``, ``(64,)``.
        low: least value: a number or a tensor that broadcasts to the shape; -inf where there is none.
        high: greatest value, likewise; inf where there is none.

    Raises:
        ArgumentError: the shape is none, or the bounds are no numbers, do not broadcast to the shape, or leave no room.

    Example:
        >>> space = InputSpace((2,), low=0.0, high=torch.tensor([1.0, 255.0]))
        >>> space.project(torch.tensor([[-1.0, 300.0]])).tolist()
        [[0.0, 255.0]]
    """

    @called_as("InputSpace((1, 28, 28), low=0.0, high=1.0)")
    def __init__(self, shape: Sequence[int], low: float | Tensor = -math.inf, high: float | Tensor = math.inf) -> None:
        self.shape = _sizes(shape)
        self.low, self.high = self._bound("low", low), self._bound("high", high)
        if bool((self.low > self.high).any()):
            raise ArgumentError(
                "expected low <= high everywhere in the input space, got a low above its high; swap them"
            )
        if bool((self.low == math.inf).any() or (self.high == -math.inf).any()):
            raise ArgumentError(
                "expected room for a finite input everywhere in the input space, got a low of inf or a high of -inf; "
                "use low=-inf and high=inf where there is no bound"
            )

    def _bound(self, name: str, value: float | Tensor) -> Tensor:
        bound = as_numbers(name, value).detach().to("cpu", torch.float64, copy=True)
        try:
            bound = bound.expand(self.shape)
        except RuntimeError:
            raise ArgumentError(
                f"expected {name} to broadcast to the input shape {self.shape}, got shape {tuple(bound.shape)}; "
                "give one number or one for each input value"
            ) from None
        if bool(bound.isnan().any()):
            raise ArgumentError(f"expected {name} to be a number, got NaN; use -inf or inf where there is no bound")
        return bound

    def __repr__(self) -> str:
        low, high = (
            f"{float(bound.flatten()[0]):g}" if bool((bound == bound.flatten()[0]).all()) else "tensor"
            for bound in (self.low, self.high)
        )
        return f"InputSpace({self.shape}, low={low}, high={high})"

    @property
    def size(self) -> int:
        """Number of values in one input."""
        return math.prod(self.shape)

    @property
    def middle(self) -> Tensor:
        """``shape``, float64: the middle of the box; its finite end where only one is finite, 0 where none is."""
        low, high = self.low.isfinite(), self.high.isfinite()
        one_sided = torch.where(low, self.low, torch.where(high, self.high, 0.0))
        return torch.where(low & high, (self.low + self.high) / 2, one_sided)

    @property
    def alike(self) -> bool:
        """Whether all values have the same bounds, as pixels have, and so share one unit."""
        return all(bool((bound == bound.flatten()[0]).all()) for bound in (self.low, self.high))

    @property
    def unit(self) -> Tensor:
        """``shape``, float64: what distances count in: 1 where all values are alike or some have no bounds.

        Else it is the width of each value's bounds, so that metres and millimetres weigh the same; 1 for one that
        cannot move.
        """
        width = self.high - self.low
        if self.alike or not bool(width.isfinite().all()):
            return torch.ones_like(width)
        return torch.where(width > 0, width, 1.0)

    def project(self, x: Tensor) -> Tensor:
        """Return the nearest point of the space; NaN stays.

        Args:
            x: ``(batch, *shape)``.
        """
        return x.clamp(self.low.to(x), self.high.to(x))

    def contains(self, x: Tensor) -> Tensor:
        """Return whether each value lies within its bounds, ``(batch, *shape)`` of bool; a NaN does not.

        Args:
            x: ``(batch, *shape)``.
        """
        return (x >= self.low.to(x)) & (x <= self.high.to(x))


def _sizes(shape: Any) -> tuple[int, ...]:
    one = isinstance(shape, (int, np.integer))
    sizes = [shape] if one else shape.tolist() if isinstance(shape, (Tensor, np.ndarray)) else shape
    if not isinstance(sizes, Sequence) or isinstance(sizes, (str, bytes)):
        raise ArgumentError(
            f"expected an input shape as a tuple of whole numbers, got {shape!r}; write it as (1, 28, 28) or (64,)"
        )
    if any(isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1 for size in sizes):
        raise ArgumentError(
            f"expected an input shape of positive whole numbers, got {tuple(sizes)}; give the shape of one input, "
            "without the batch"
        )
    return tuple(int(size) for size in sizes)
