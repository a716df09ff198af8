"""The inverses of layers that only move values about or repeat them: reshapes, shuffles, upsampling, dropout."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers.preimage import AffineSet, Box, Inverse, Point, Preimage, inverse


@inverse.register(nn.Identity)
@inverse.register(nn.Dropout)
@inverse.register(nn.Dropout1d)
@inverse.register(nn.Dropout2d)
@inverse.register(nn.Dropout3d)
@inverse.register(nn.AlphaDropout)
@inverse.register(nn.FeatureAlphaDropout)
def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Inverse:
    return Box.at


@inverse.register(nn.Flatten)
@inverse.register(nn.Unflatten)
def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Inverse:
    def invert(y: Tensor) -> Preimage:
        x = y.reshape(len(y), *input_shape)
        return Box(x, x, torch.zeros_like(y, dtype=torch.bool))

    return invert


@inverse.register(nn.PixelShuffle)
@inverse.register(nn.PixelUnshuffle)
@inverse.register(nn.ChannelShuffle)
def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Inverse:
    return repeated(layer, input_shape)


@inverse.register
def _(layer: nn.Upsample, input_shape: tuple[int, ...]) -> Inverse:
    if layer.mode not in ("nearest", "nearest-exact"):
        raise LayerError(
            f"expected an Upsample of mode 'nearest', got {layer.mode!r}, which mixes values; use an inverter that "
            "needs no inverses, such as 'newton'"
        )
    return repeated(layer, input_shape)


def repeated(layer: nn.Module, input_shape: tuple[int, ...]) -> Inverse:
    """Return the inverse of a layer each of whose outputs is one of its inputs.

    Values that come from the same input are clamped to their mean where they differ; an input that no output shows is
    free.

    Args:
        layer: the module.
        input_shape: of one input.
    """
    size = math.prod(input_shape)
    # Not the call but the forward: hooks of the user see nothing of it.
    run: Any = layer.forward
    source = run(torch.arange(size, dtype=torch.float64).reshape(1, *input_shape)).flatten().long()
    count = torch.bincount(source, minlength=size)
    hidden = count == 0

    def invert(y: Tensor) -> Preimage:
        flat, place = y.flatten(1), source.to(y.device)
        mean = flat.new_zeros(len(y), size).index_add_(1, place, flat) / count.clamp(min=1).to(flat)
        # A mean of equal values is rounded.
        slack = 4 * torch.finfo(y.dtype).eps * flat.abs()
        clamped = ((mean[:, place] - flat).abs() > slack).reshape(y.shape)
        x = mean.reshape(len(y), *input_shape)
        if not bool(hidden.any()):
            return Point(x, clamped)
        free = hidden.reshape(1, *input_shape).to(y.device)
        return AffineSet(x, lambda z: torch.where(free, z, 0.0), clamped)

    return invert
