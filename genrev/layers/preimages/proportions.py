"""The inverses of softmax and log-softmax: logits are known up to a constant."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers.preimage import AffineSet, Inverse, Preimage, inverse


@inverse.register
def _(layer: nn.Softmax, input_shape: tuple[int, ...]) -> Inverse:
    _expect_last(layer, input_shape)

    def invert(y: Tensor) -> Preimage:
        clamped = (y <= 0) | (y > 1)
        return _up_to_a_constant(torch.where(clamped, y.clamp(torch.finfo(y.dtype).eps, 1.0), y).log(), clamped)

    return invert


@inverse.register
def _(layer: nn.LogSoftmax, input_shape: tuple[int, ...]) -> Inverse:
    _expect_last(layer, input_shape)
    return lambda y: _up_to_a_constant(y, y > 0)


def _up_to_a_constant(logits: Tensor, clamped: Tensor) -> AffineSet:
    def along(z: Tensor) -> Tensor:
        return z.mean(-1, keepdim=True).expand_as(z)

    # Those that sum to zero are the shortest.
    return AffineSet(logits - along(logits), along, clamped)


def _expect_last(layer: nn.Softmax | nn.LogSoftmax, input_shape: tuple[int, ...]) -> None:
    if layer.dim not in (-1, len(input_shape)):
        raise LayerError(
            f"expected {type(layer).__name__} over the last dimension, got dim={layer.dim}; write it with dim=-1, "
            "and batches in the first dimension"
        )
