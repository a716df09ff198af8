"""The inverse of a scale and a shift of each value by itself; a scale of zero hides the value."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genrev.layers.links import Scaled
from genrev.layers.preimage import Box, Inverse, Preimage, expect_usable, inverse


@inverse.register
def _(layer: Scaled, input_shape: tuple[int, ...]) -> Inverse:
    expect_usable(layer)
    scale, shift = layer.scale, layer.shift

    def invert(y: Tensor) -> Preimage:
        lost = (scale == 0).expand_as(y)
        x = ((y - shift) / torch.where(scale == 0, 1, scale)).to(y.dtype)
        low, high = (torch.where(lost, end, x) for end in (-math.inf, math.inf))
        return Box(low, high, lost & (y != shift.expand_as(y)))

    return invert
