"""The inverses of activations that fall and rise again: two branches, each found by halving an interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrev.layers.preimage import Branches, Inverse, Preimage, inverse

_HALVINGS = 64
"""Of the numbers between two ends: as many as there are binary digits."""


@dataclass(frozen=True, eq=False)
class Valley:
    """A function that falls from 0 to one least value and rises from there on, beyond all bounds.

    Args:
        function: of float64 values.
        turn: where it is least, to rounding.
    """

    function: Callable[[Tensor], Tensor]
    turn: float

    def invert(self, y: Tensor) -> Preimage:
        """Return both branches.

        Args:
            y: the values asked for.
        """
        asked = y.double()
        turn = torch.tensor(self.turn, dtype=torch.float64, device=y.device)
        least = self.function(turn)
        # The least value is known to rounding only; what is read as it has both branches there.
        clamped = y < (least - 8 * torch.finfo(y.dtype).eps).to(y.dtype)
        asked = torch.maximum(asked, least)
        right = self._root(asked, turn.expand_as(asked), _beyond(asked), rising=True)
        below = asked < 0
        left = self._root(torch.where(below, asked, least), _flat(asked), turn.expand_as(asked), rising=False)
        left = torch.where(below, left, math.nan).to(y.dtype)
        return Branches((right.to(y.dtype), right.to(y.dtype)), (left, left), clamped)

    def _root(self, y: Tensor, low: Tensor, high: Tensor, *, rising: bool) -> Tensor:
        """Return where the function is y between two ends, to the last digit of float64."""
        below, above = _ordered(low), _ordered(high)
        for _ in range(_HALVINGS):
            # Half of their sum, which may be too large itself.
            middle = (below & above) + ((below ^ above) >> 1)
            short = (self.function(_number(middle)) < y) == rising
            below, above = torch.where(short, middle, below), torch.where(short, above, middle)
        low, high = _number(below), _number(above)
        root = torch.where((self.function(low) - y).abs() <= (self.function(high) - y).abs(), low, high)
        return torch.where(y.isnan(), y, root)


def _ordered(x: Tensor) -> Tensor:
    """Return the place of each float64 value among all of them, as an integer."""
    bits = x.contiguous().view(torch.int64)
    return torch.where(bits < 0, bits ^ torch.iinfo(torch.int64).max, bits)


def _number(place: Tensor) -> Tensor:
    """Return the float64 value at a place among all of them."""
    return torch.where(place < 0, place ^ torch.iinfo(torch.int64).max, place).view(torch.float64)


def _beyond(y: Tensor) -> Tensor:
    """Return a point right of the turn where the function is at least y: from 0 on it is nowhere less than x / 2."""
    return (2 * y).clamp(min=3.0)


def _flat(y: Tensor) -> Tensor:
    """Return a point left of the turn where the function is at least y: there it is no more than x exp(x) below 0."""
    return 2 * torch.log(y.abs().clamp(torch.finfo(y.dtype).tiny, 1.0)) - 8


@inverse.register
def _(layer: nn.GELU, input_shape: tuple[int, ...]) -> Inverse:
    if layer.approximate == "tanh":
        root = math.sqrt(2 / math.pi)
        # 1 + tanh(u), which loses its digits far down, written as a sigmoid.
        return Valley(lambda x: x * torch.sigmoid(2 * root * (x + 0.044715 * x**3)), -0.7524614220710163).invert
    # The normal law as a complement, which keeps its digits far down.
    return Valley(lambda x: x * torch.special.erfc(-x / math.sqrt(2)) / 2, -0.7517915246935645).invert


@inverse.register
def _(layer: nn.SiLU, input_shape: tuple[int, ...]) -> Inverse:
    return Valley(F.silu, -1.2784645427610737).invert


@inverse.register
def _(layer: nn.Mish, input_shape: tuple[int, ...]) -> Inverse:
    return Valley(F.mish, -1.1924312145154952).invert


@inverse.register
def _(layer: nn.Hardswish, input_shape: tuple[int, ...]) -> Inverse:
    """x (x + 3) / 6 between -3 and 3: both roots of a square; and all below -3 for zero."""

    def invert(y: Tensor) -> Preimage:
        clamped = y < -0.375
        middle = y.clamp(-0.375, 3.0)
        root = (9 + 24 * middle).clamp(min=0).sqrt()
        # Of the two forms of a root, that which subtracts nothing from its like.
        right = torch.where(y >= 3, y, 12 * middle / (3 + root))
        left = torch.where(middle <= 0, -(3 + root) / 2, math.nan)
        return Branches((right, right), (torch.where(y == 0, -math.inf, left), left), clamped)

    return invert
