"""The bounds of one layer, registered by type: from a box of inputs to a box that holds all of its outputs.

What a box leaves out is proved impossible, for the values that the layer computes in its own precision and not only for
those of exact arithmetic: every rule computes in float64 and widens by what rounding may do, so that a bound errs
outward alone. A value that is not finite is no output: such a row is graded as diverged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from genrev.errors import LayerError, nearest

FLOAT64 = torch.finfo(torch.float64).eps


@dataclass(frozen=True, eq=False)
class Interval:
    """A box of values: each lies between its least and its greatest.

    Args:
        low: ``(batch or 1, *shape)``, float64, -inf where nothing is known.
        high: ``(batch or 1, *shape)``, float64, inf where nothing is known.
        dtype: the precision in which the network computes these values.

    Example:
        >>> box = Interval(torch.tensor([0.0, -math.inf]), torch.tensor([1.0, 2.0]))
        >>> box.contains(torch.tensor([[0.5, -9.0], [0.5, 9.0]])).tolist()
        [[True, True], [True, False]]
    """

    low: Tensor
    high: Tensor
    dtype: torch.dtype = torch.float64

    def contains(self, values: Tensor) -> Tensor:
        """Return whether each value lies within its bounds, ``(batch, *shape)`` of bool; a NaN does not.

        Args:
            values: ``(batch, *shape)``.
        """
        values = values.to(self.low)
        return (values >= self.low) & (values <= self.high)

    def reshape(self, *shape: int) -> Interval:
        """Return the same bounds in another shape.

        Args:
            shape: the whole of it, with the batch.
        """
        return replace(self, low=self.low.reshape(*shape), high=self.high.reshape(*shape))

    def meet(self, other: Interval) -> Interval:
        """Return what both boxes hold; NaN and infinities of the other bound nothing.

        Args:
            other: of the same shape.
        """
        low = torch.where(other.low.isfinite(), other.low, -math.inf)
        high = torch.where(other.high.isfinite(), other.high, math.inf)
        return replace(self, low=torch.maximum(self.low, low), high=torch.minimum(self.high, high))

    @property
    def finite(self) -> bool:
        """Whether every value has both bounds."""
        # An infinite end makes the sum infinite or NaN.
        return math.isfinite(float((self.high - self.low).sum()))

    @property
    def magnitude(self) -> Tensor:
        """``(batch or 1, *shape)``: the greatest absolute value."""
        return torch.maximum(self.low.abs(), self.high.abs())


Bounds = Callable[[Interval], Interval]


@singledispatch
def bounds(layer: nn.Module, input_shape: tuple[int, ...]) -> Bounds:
    """Prepare the bounds of a layer's outputs.

    Register a type of your own with ``@bounds.register``. A subclass with another ``forward`` needs a rule of its own:
    that of its parent would prove what is not so.

    Args:
        layer: the module, in eval mode.
        input_shape: of one input, without the batch.

    Returns:
        A function from an `Interval` of inputs, ``(batch or 1, *input_shape)``, to one that holds every output of them.

    Raises:
        LayerError: the type of the layer has no registered bounds, or not with these settings.

    Example:
        >>> box = bounds(nn.ReLU(), (2,))(Interval(torch.tensor([[-1.0, 2.0]]), torch.tensor([[1.0, 3.0]])))
        >>> box.low.tolist(), box.high.tolist()
        ([[0.0, 2.0]], [[1.0, 3.0]])
    """
    known = sorted(kind.__name__ for kind in bounds.registry if kind is not object)
    name = type(layer).__name__
    raise LayerError(
        f"expected a layer with registered bounds ({', '.join(known)}), got {name}{nearest(name, known)}; "
        "register them with @genrev.layers.bounds.register"
    )


def holds_for(registry: Mapping[type, Any], layer: nn.Module) -> bool:
    """Return whether what is registered for a type says the truth of a layer: that it runs as that type does.

    A subclass with a forward of its own, or a hook that may change what comes out, is another function.

    Args:
        registry: by type, of a function of layers.
        layer: any module.

    Example:
        >>> class Twice(nn.ReLU):
        ...     def forward(self, x):
        ...         return 2 * super().forward(x)
        >>> holds_for(bounds.registry, nn.ReLU()), holds_for(bounds.registry, Twice())
        (True, False)
    """
    kind = next(kind for kind in type(layer).__mro__ if kind in registry)
    runs = ("__call__", "forward", "_conv_forward")
    same = all(getattr(type(layer), name, None) is getattr(kind, name, None) for name in runs)
    return kind is not object and same and not vars(layer).keys() & set(runs) and not layer._forward_hooks


def eps(dtype: torch.dtype) -> float:
    """Return how far one operation may round, as a share of its result: in the network's precision and in ours.

    Args:
        dtype: in which the network computes.

    Example:
        >>> eps(torch.float32) > torch.finfo(torch.float32).eps
        True
    """
    return torch.finfo(dtype).eps + FLOAT64


def outward(low: Tensor, high: Tensor, dtype: torch.dtype) -> Interval:
    """Return bounds as an interval; what is NaN, or beyond what the precision can hold, bounds nothing.

    Args:
        low: ``(batch or 1, *shape)``.
        high: ``(batch or 1, *shape)``.
        dtype: in which the network computes.
    """
    most = torch.finfo(dtype).max
    # What overflows is infinite to the network, and may come back from there as anything: tanh(inf) is 1.
    low = torch.where((low >= -most) & (low <= most), low, -math.inf)
    return Interval(low, torch.where((high >= -most) & (high <= most), high, math.inf), dtype)


def monotone(layer: nn.Module) -> Bounds:
    """Return the bounds of a layer that only moves values about or picks the greatest: its own run on both ends.

    Args:
        layer: the module.
    """

    def bound(x: Interval) -> Interval:
        # Not the call but the forward: hooks of the user see nothing of it.
        low, high = layer.forward(x.low.clone()), layer.forward(x.high.clone())
        if len(low) != len(x.low):
            raise LayerError(f"expected a layer that keeps the rows apart, got {layer}; leave the batch as it is")
        return Interval(low, high, x.dtype)

    return bound


@bounds.register(nn.Identity)
@bounds.register(nn.Dropout)
@bounds.register(nn.Dropout1d)
@bounds.register(nn.Dropout2d)
@bounds.register(nn.Dropout3d)
def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Bounds:
    # Also a dropout that is asked in training mode: the network is seen in eval mode.
    return lambda x: x


@bounds.register(nn.Flatten)
@bounds.register(nn.Unflatten)
@bounds.register(nn.PixelShuffle)
@bounds.register(nn.PixelUnshuffle)
@bounds.register(nn.MaxPool1d)
@bounds.register(nn.MaxPool2d)
@bounds.register(nn.MaxPool3d)
@bounds.register(nn.AdaptiveMaxPool1d)
@bounds.register(nn.AdaptiveMaxPool2d)
@bounds.register(nn.AdaptiveMaxPool3d)
def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Bounds:
    return monotone(layer)
