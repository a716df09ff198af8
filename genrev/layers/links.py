"""Layers that torch has no module for, and a forward pass may hold all the same: a scale and a shift, and x + g(x)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers.affine import Affine, Change, affine
from genrev.layers.bounds import Bounds, Interval, bounds, eps, holds_for, outward


class Scaled(nn.Module):
    """x times a scale, plus a shift, value by value.

    Args:
        scale: broadcasts to ``(1, *input_shape)``.
        shift: likewise.

    Example:
        >>> Scaled(torch.tensor(2.0), torch.tensor(1.0))(torch.tensor([[3.0]])).tolist()
        [[7.0]]
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale.detach())
        self.register_buffer("shift", shift.detach())

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, *input_shape)``."""
        return x * self.scale + self.shift


class Residual(nn.Module):
    """x + g(x), where g is a chain of layers.

    Args:
        layers: of g, in the order they run.
        input_shapes: of one input of each layer; that of what came before it if not given.

    Example:
        >>> Residual([nn.ReLU()])(torch.tensor([[3.0, -1.0]])).tolist()
        [[6.0, -1.0]]
    """

    def __init__(self, layers: Sequence[nn.Module], input_shapes: Sequence[tuple[int, ...]] | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.input_shapes = None if input_shapes is None else list(input_shapes)

    def body(self, x: Tensor) -> Tensor:
        """Return g(x), ``(batch, *input_shape)``.

        Args:
            x: ``(batch, *input_shape)``.
        """
        # A layer that works in place must not write on x.
        value = x.clone()
        for place, layer in enumerate(self.layers):
            shape = None if self.input_shapes is None else self.input_shapes[place]
            value = layer(value if shape is None else value.reshape(len(value), *shape))
        return value.reshape(x.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, *input_shape)``."""
        return x + self.body(x)


@affine.register
def _(layer: Scaled, input_shape: tuple[int, ...]) -> Affine:
    scale, shift = (torch.broadcast_to(part.double(), (1, *input_shape)) for part in (layer.scale, layer.shift))

    def product(x: Tensor, change: Change) -> Tensor:
        return x * change(scale)

    return Affine(product, shift, 4, math.prod(input_shape))


@bounds.register
def _(layer: Scaled, input_shape: tuple[int, ...]) -> Bounds:
    return affine(layer, input_shape).bound


@bounds.register
def _(layer: Residual, input_shape: tuple[int, ...]) -> Bounds:
    """Of x and of g(x), each by itself."""

    def bound(x: Interval) -> Interval:
        box = x
        for place, part in enumerate(layer.layers):
            if not holds_for(bounds.registry, part):
                raise LayerError(f"expected layers that run as their types do, got {part}; register its bounds")
            shape = tuple(box.low.shape[1:]) if layer.input_shapes is None else layer.input_shapes[place]
            box = replace(bounds(part, shape)(box.reshape(len(box.low), *shape)), dtype=x.dtype)
        box = box.reshape(len(box.low), *input_shape)
        low, high = x.low + box.low, x.high + box.high
        slack = [4 * eps(x.dtype) * (one.abs() + other.abs()) for one, other in ((x.low, box.low), (x.high, box.high))]
        return outward(low - slack[0], high + slack[1], x.dtype)

    return bound
