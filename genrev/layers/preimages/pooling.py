"""The inverses of pooling: of maxima, one value of a window and none above it; of averages, the window's mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers.affine import Affine, affine
from genrev.layers.preimage import AffineSet, Inverse, Preimage, inverse
from genrev.layers.preimages.linear import reshaped
from genrev.layers.preimages.sums import of_sum


@inverse.register(nn.MaxPool1d)
@inverse.register(nn.MaxPool2d)
@inverse.register(nn.MaxPool3d)
def _(layer: Any, input_shape: tuple[int, ...]) -> Inverse:
    sizes, output_shape = input_shape[1:], _pooled(layer, input_shape)
    settings = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    kernel, stride, padding, dilation = (_each(value, len(sizes)) for value in settings)
    places = []
    for d, (size, count) in enumerate(zip(sizes, output_shape[1:], strict=True)):
        first = torch.arange(count)[:, None] * stride[d] - padding[d]
        place = first + torch.arange(kernel[d]) * dilation[d]
        places.append(torch.where((place >= 0) & (place < size), place, -1))
    return _unpooling(places, input_shape)


@inverse.register(nn.AdaptiveMaxPool1d)
@inverse.register(nn.AdaptiveMaxPool2d)
@inverse.register(nn.AdaptiveMaxPool3d)
def _(layer: Any, input_shape: tuple[int, ...]) -> Inverse:
    places = []
    for size, count in zip(input_shape[1:], _pooled(layer, input_shape)[1:], strict=True):
        begin = torch.arange(count) * size // count
        end = -(-(torch.arange(count) + 1) * size // count)
        place = begin[:, None] + torch.arange(int((end - begin).max()))
        places.append(torch.where(place < end[:, None], place, -1))
    return _unpooling(places, input_shape)


def _pooled(layer: Any, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    if layer.return_indices:
        raise LayerError(
            f"expected a {type(layer).__name__} that returns one tensor, got return_indices=True; leave it"
        )
    return tuple(layer.forward(torch.zeros(1, *input_shape, dtype=torch.float64)).shape[1:])


def _each(value: Any, dims: int) -> tuple[int, ...]:
    return (value,) * dims if isinstance(value, int) else tuple(value)


def _unpooling(places: list[Tensor], input_shape: tuple[int, ...]) -> Inverse:
    """Return the inverse of maxima over windows.

    Args:
        places: for each dimension ``(windows, width)``: where a window's values stand, -1 for what lies outside.
        input_shape: ``(channels, *sizes)``.
    """
    sizes, dims = input_shape[1:], len(places)
    area = math.prod(sizes)
    index, outside = torch.zeros((1,) * (2 * dims), dtype=torch.int64), torch.zeros((), dtype=torch.bool)
    for d, (place, size) in enumerate(zip(places, sizes, strict=True)):
        shape = [1] * (2 * dims)
        shape[d], shape[dims + d] = place.shape
        index, outside = index * size + place.reshape(shape), outside | (place < 0).reshape(shape)
    windows = torch.where(outside, area, index).reshape(math.prod(len(place) for place in places), -1)

    def invert(y: Tensor) -> Preimage:
        return Unpooled.of(y, windows.to(y.device), input_shape)

    return invert


@dataclass(frozen=True, eq=False)
class Unpooled(Preimage):
    """All inputs with the same maxima over windows: none above them, and one of each window that reaches it.

    Where windows overlap, `nearest` raises in each window that needs it the value that is nearest to the maximum; one
    that would serve two windows at once may be nearer yet.

    Args:
        most: ``(batch, channels, n + 1)``: the greatest that each value may be, inf where no window sees it; the last
            one stands for what is outside.
        reach: ``(batch, channels, windows, width)`` of bool: which values may be a window's maximum.
        windows: ``(windows, width)``: where its values stand, n for what is outside.
        input_shape: of one input.
        clamped: see `Preimage`.
    """

    most: Tensor
    reach: Tensor
    windows: Tensor
    input_shape: tuple[int, ...]
    clamped: Tensor

    @classmethod
    def of(cls, y: Tensor, windows: Tensor, input_shape: tuple[int, ...]) -> Unpooled:
        """Return the inputs of maxima.

        Args:
            y: ``(batch, channels, *windows)``: the maxima.
            windows: ``(windows, width)``.
            input_shape: of one input.
        """
        asked = y.reshape(len(y), input_shape[0], len(windows), 1)
        most = torch.full((len(y), input_shape[0], math.prod(input_shape[1:]) + 1), math.inf, dtype=y.dtype).to(
            y.device
        )
        index = windows.flatten().expand(*most.shape[:2], -1)
        most = most.scatter_reduce(2, index, asked.expand(*asked.shape[:3], windows.shape[1]).flatten(2), "amin")
        most[..., -1] = -math.inf
        seen = most[..., windows]
        # A window all of whose values are held down by other windows gets the most that it can.
        given = seen.amax(-1, keepdim=True)
        return cls(most, seen == given, windows, input_shape, (given < asked).reshape(y.shape))

    @property
    def x(self) -> Tensor:  # noqa: D102
        return self.nearest(self.most.new_zeros(len(self.most), *self.input_shape))

    def _within(self, x: Tensor) -> Tensor:
        """Return inputs by channel, with a place for what is outside behind them."""
        flat = x.reshape(self.most.shape[0], self.most.shape[1], self.most.shape[2] - 1)
        return torch.cat([flat, torch.full_like(flat[..., :1], -math.inf)], 2)

    def nearest(self, z: Tensor) -> Tensor:  # noqa: D102
        values = self._within(z)
        x = torch.minimum(values, self.most)
        seen = torch.where(self.reach, values[..., self.windows], -math.inf)
        chosen = seen.argmax(-1, keepdim=True)
        short = seen.amax(-1, keepdim=True) < self.most[..., self.windows].gather(-1, chosen)
        place = self.windows.expand(*seen.shape).gather(-1, chosen)
        place = torch.where(short, place, self.windows.new_tensor(x.shape[2] - 1))[..., 0]
        x = x.scatter(2, place, self.most.gather(2, place))
        return x[..., :-1].reshape(z.shape)

    def contains(self, x: Tensor, slack: float | None = None) -> Tensor:  # noqa: D102
        values, room = self._within(x), self.room(x, slack)[:, None, None]
        below = (values <= self.most + room).flatten(1).all(1)
        reached = (values + room)[..., self.windows] >= self.most[..., self.windows]
        return below & (reached & self.reach).any(-1).flatten(1).all(1)


@inverse.register(nn.AvgPool1d)
@inverse.register(nn.AvgPool2d)
@inverse.register(nn.AvgPool3d)
@inverse.register(nn.AdaptiveAvgPool1d)
@inverse.register(nn.AdaptiveAvgPool2d)
@inverse.register(nn.AdaptiveAvgPool3d)
def _(layer: Any, input_shape: tuple[int, ...]) -> Inverse:
    # All channels are averaged alike.
    one = (1, *input_shape[1:])
    part = affine(layer, one)
    outputs = tuple(layer.forward(torch.zeros(1, *one, dtype=torch.float64)).shape[1:])
    by_channel = _apart(part, one, outputs) if _disjoint(layer, one, outputs) else of_sum(part, one, outputs)

    def invert(y: Tensor) -> Preimage:
        channels = y.reshape(len(y) * input_shape[0], *outputs)
        return reshaped(by_channel(channels), input_shape, tuple(y.shape))

    return invert


def _disjoint(layer: Any, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> bool:
    """Return whether no input is in two windows."""
    dims = len(input_shape) - 1
    if isinstance(layer, (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)):
        return all(size % count == 0 for size, count in zip(input_shape[1:], output_shape[1:], strict=True))
    return all(k <= s for k, s in zip(_each(layer.kernel_size, dims), _each(layer.stride, dims), strict=True))


def _apart(part: Affine, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Inverse:
    """Return the inverse of sums over windows that share nothing: the adjoint over each one's sum of squares."""
    ones = torch.ones(1, *output_shape, dtype=torch.float64)
    squares = part.product(part.back(ones, input_shape), lambda weight: weight)

    def shortest(y: Tensor) -> Tensor:
        return part.back(y.double() / squares.to(y.device), input_shape).to(y.dtype)

    def along(z: Tensor) -> Tensor:
        return z - shortest(part.product(z.double(), lambda weight: weight).to(z.dtype))

    return lambda y: AffineSet(shortest(y), along, torch.zeros_like(y, dtype=torch.bool))
