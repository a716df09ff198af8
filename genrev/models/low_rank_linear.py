"""A linear layer whose weights are of low rank, with a diagonal or without."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrev.checks import called_as
from genrev.layers.affine import BLOCK, Affine, Change
from genrev.layers.bounds import Bounds, Interval, bounds, outward
from genrev.layers.operators import each_place, operator
from genrev.layers.preimage import inverse
from genrev.layers.preimages.sums import by_operator
from genrev.models.weights import as_weights
from genrev.operators import LowRankPlusDiagonal, Operator

_WORK = 2**30
"""Multiplications up to which the weights are formed, some rows at a time, for bounds that are attained."""


class LowRankLinear(nn.Module):
    """U V x + D x + b with a tall U, a wide V and a diagonal D.

    Args:
        left: U, ``(m, rank)``.
        right: V, ``(rank, n)``.
        diagonal: of D, ``(n,)`` with m = n; none if not given.
        bias: ``(m,)``; none if not given.

    Raises:
        ArgumentError: the shapes don't fit one another, or a value is not finite.

    Example:
        >>> layer = LowRankLinear(torch.ones(2, 1), torch.ones(1, 2), torch.tensor([1.0, 2.0]))
        >>> layer(torch.tensor([[1.0, 10.0]])).tolist()
        [[12.0, 31.0]]
    """

    left: nn.Parameter
    right: nn.Parameter
    diagonal: nn.Parameter | None
    bias: nn.Parameter | None

    @called_as("LowRankLinear(left, right), U of shape (outputs, rank) and V of shape (rank, inputs)")
    def __init__(self, left: Tensor, right: Tensor, diagonal: Tensor | None = None, bias: Tensor | None = None) -> None:
        super().__init__()
        left = as_weights("left", left, (None, None))
        right = as_weights("right", right, (left.shape[1], None), left)
        diagonal = None if diagonal is None else as_weights("diagonal", diagonal, (right.shape[1],), left)
        # Says what is wrong with the shapes.
        self.out_features, self.in_features = LowRankPlusDiagonal(left, right, diagonal).shape
        bias = None if bias is None else as_weights("bias", bias, (self.out_features,), left)
        for name, values in (("left", left), ("right", right), ("diagonal", diagonal), ("bias", bias)):
            self.register_parameter(name, None if values is None else nn.Parameter(values.clone()))

    def forward(self, x: Tensor) -> Tensor:
        """Return U V x + D x + b: ``(..., n)`` to ``(..., m)``."""
        y = F.linear(F.linear(x, self.right), self.left, self.bias)
        return y if self.diagonal is None else y + x * self.diagonal

    def extra_repr(self) -> str:
        """Return what a person is told of the layer."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, rank={self.left.shape[1]}, "
            f"diagonal={self.diagonal is not None}, bias={self.bias is not None}"
        )


@operator.register
def _(layer: LowRankLinear, input_shape: tuple[int, ...]) -> tuple[Operator, Tensor]:
    return each_place(LowRankPlusDiagonal(layer.left, layer.right, layer.diagonal), layer.bias, input_shape)


@bounds.register
def _(layer: LowRankLinear, input_shape: tuple[int, ...]) -> Bounds:
    """The bounds of U V + D where they can be formed, else those of V and then of U, which forget what joins them."""
    m, n, rank = layer.out_features, layer.in_features, layer.left.shape[1]
    left, right = layer.left.detach(), layer.right.detach()
    none = left.new_zeros((), dtype=torch.float64)
    diagonal, bias = (none if one is None else one.detach().double() for one in (layer.diagonal, layer.bias))

    def of(weight: Tensor) -> Affine:
        return Affine(lambda x, change: _in_parts(x, weight, change), none, weight.shape[1], weight.numel())

    def formed(x: Tensor, change: Change) -> Tensor:
        y = x.new_empty(*x.shape[:-1], m)
        step = max(1, BLOCK // max(1, n))
        for begin in range(0, m, step):
            rows = left[begin : begin + step].double() @ right.double()
            if layer.diagonal is not None:
                rows.diagonal(begin).add_(diagonal[begin : begin + step])
            y[..., begin : begin + step] = F.linear(x, change(rows))
        return y

    whole = Affine(formed, bias, n + rank + 4, m * n)

    def bound(x: Interval) -> Interval:
        inner = of(right)
        if m * n * max(1, rank) <= _WORK:
            low, high, _ = whole.enclose(x)
        else:
            between = outward(*inner.enclose(x)[:2], x.dtype)
            low, high, _ = of(left).enclose(between)
            low, high = low + bias, high + bias
            if layer.diagonal is not None:
                ends = [torch.where(diagonal == 0, 0.0, diagonal * end) for end in (x.low, x.high)]
                low, high = low + torch.minimum(*ends), high + torch.maximum(*ends)
        # What is rounded is not the product's size but its parts', which may cancel in it.
        finfo, reach = torch.finfo(x.dtype), x.magnitude
        within = _in_parts(reach, right, torch.abs) + n * finfo.tiny
        within = torch.where(within < finfo.max / 2, within, math.inf)
        mass = _in_parts(within, left, torch.abs) + bias.abs()
        if layer.diagonal is not None:
            mass = mass + torch.where(diagonal == 0, 0.0, diagonal.abs() * reach)
        slack = whole.slack(torch.where(mass < finfo.max / 2, mass, math.inf), x)
        # What V x loses where it is too small for the precision, U may make large.
        slack = slack + _in_parts(torch.full_like(within, n * finfo.tiny), left, torch.abs)
        # NaN, of infinity by zero, bounds nothing.
        return outward(low - slack, high + slack, x.dtype)

    return bound


def _in_parts(x: Tensor, weight: Tensor, change: Change) -> Tensor:
    """Return a product in float64 with some rows of the weights at a time."""
    rows = max(1, BLOCK // max(1, weight.shape[1]))
    y = x.new_empty(*x.shape[:-1], len(weight))
    for begin in range(0, len(weight), rows):
        y[..., begin : begin + rows] = F.linear(x, change(weight[begin : begin + rows].double()))
    return y


inverse.register(LowRankLinear)(by_operator)
