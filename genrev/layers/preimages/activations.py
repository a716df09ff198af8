"""The inverses of activations that never fall: a value each, or an interval where the activation is flat."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers.preimage import Box, Branches, Inverse, Preimage, expect_usable, inverse

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


@inverse.register
def _(layer: nn.Sigmoid, input_shape: tuple[int, ...]) -> Inverse:
    def invert(y: Tensor) -> Preimage:
        # A value that no input gives becomes the last number below 1, or its mirror image; a tiny one stays as it is.
        edge = torch.finfo(y.dtype).eps / 2
        clamped = (y <= 0) | (y >= 1)
        return Box.at(torch.logit(torch.where(clamped, y.clamp(edge, 1 - edge), y)), clamped)

    return invert


@inverse.register
def _(layer: nn.LogSigmoid, input_shape: tuple[int, ...]) -> Inverse:
    def invert(y: Tensor) -> Preimage:
        inside = y.clamp(max=-torch.finfo(y.dtype).tiny)
        return Box.at(inside - torch.log(-torch.expm1(inside)), y >= 0)

    return invert


@inverse.register
def _(layer: nn.Tanh, input_shape: tuple[int, ...]) -> Inverse:
    def invert(y: Tensor) -> Preimage:
        limit = 1 - torch.finfo(y.dtype).eps / 2
        return Box.at(torch.atanh(y.clamp(-limit, limit)), y.abs() >= 1)

    return invert


@inverse.register
def _(layer: nn.Softsign, input_shape: tuple[int, ...]) -> Inverse:
    def invert(y: Tensor) -> Preimage:
        limit = 1 - torch.finfo(y.dtype).eps / 2
        inside = y.clamp(-limit, limit)
        return Box.at(inside / (1 - inside.abs()), y.abs() >= 1)

    return invert


@inverse.register
def _(layer: nn.LeakyReLU, input_shape: tuple[int, ...]) -> Inverse:
    slope = layer.negative_slope
    if slope <= 0:
        raise LayerError(
            f"expected a LeakyReLU of positive slope, got {slope}, which is not one to one; use nn.ReLU for slope 0"
        )
    return lambda y: Box.at(torch.where(y >= 0, y, y / slope))


@inverse.register
def _(layer: nn.PReLU, input_shape: tuple[int, ...]) -> Inverse:
    expect_usable(layer)
    slope = layer.weight.detach()
    if not bool((slope > 0).all()):
        raise LayerError(
            f"expected a PReLU of positive slopes, got {float(slope.min()):g}, which is not one to one; use an "
            "inverter that needs no inverses, such as 'newton'"
        )
    # Channels are the first dimension of one input.
    slope = slope.reshape(-1, *(1,) * (len(input_shape) - 1)) if slope.numel() > 1 else slope
    return lambda y: Box.at(torch.where(y >= 0, y, y / slope))


@inverse.register
def _(layer: nn.ELU, input_shape: tuple[int, ...]) -> Inverse:
    if layer.alpha <= 0:
        raise LayerError(f"expected an ELU of positive alpha, got {layer.alpha}, which is not one to one; use nn.ReLU")
    return _exponential(1.0, layer.alpha, 1.0)


@inverse.register
def _(layer: nn.SELU, input_shape: tuple[int, ...]) -> Inverse:
    return _exponential(SELU_SCALE, SELU_ALPHA, 1.0)


@inverse.register
def _(layer: nn.CELU, input_shape: tuple[int, ...]) -> Inverse:
    if layer.alpha <= 0:
        raise LayerError(f"expected a CELU of positive alpha, got {layer.alpha}, which is not one to one; use nn.ReLU")
    return _exponential(1.0, layer.alpha, layer.alpha)


def _exponential(scale: float, alpha: float, width: float) -> Inverse:
    """Return the inverse of x above 0 and alpha (exp(x / width) - 1) below, times a scale."""
    least = -scale * alpha

    def invert(y: Tensor) -> Preimage:
        inside = y.clamp(min=least + torch.finfo(y.dtype).eps * max(1.0, abs(least)))
        below = width * torch.log1p(inside.clamp(max=0) / (scale * alpha))
        return Box.at(torch.where(inside >= 0, inside / scale, below), y <= least)

    return invert


@inverse.register
def _(layer: nn.Softplus, input_shape: tuple[int, ...]) -> Inverse:
    beta, threshold = layer.beta, layer.threshold
    if beta <= 0:
        raise LayerError(
            f"expected a Softplus of positive beta, got {beta}, whose range is another; use a positive one"
        )

    def invert(y: Tensor) -> Preimage:
        scaled = (y * beta).clamp(min=torch.finfo(y.dtype).tiny)
        # log(e^s - 1), written so that neither a small nor a large s loses digits.
        x = torch.where(scaled > threshold, scaled, scaled + torch.log(-torch.expm1(-scaled)))
        return Box.at(x / beta, y <= 0)

    return invert


@inverse.register
def _(layer: nn.ReLU, input_shape: tuple[int, ...]) -> Inverse:
    """Zero has a whole half-line of preimages; a negative value has none, and is read as zero."""
    return _clipped(0.0, math.inf, lambda y: y)


@inverse.register
def _(layer: nn.Hardtanh, input_shape: tuple[int, ...]) -> Inverse:
    # Also of nn.ReLU6, which is one.
    return _clipped(float(layer.min_val), float(layer.max_val), lambda y: y)


@inverse.register
def _(layer: nn.Hardsigmoid, input_shape: tuple[int, ...]) -> Inverse:
    return _clipped(0.0, 1.0, lambda y: 6 * y - 3)


def _clipped(low: float, high: float, undo: Callable[[Tensor], Tensor]) -> Inverse:
    """Return the inverse of a rising line that is cut off at two ends, each of which has a half-line of preimages."""

    def invert(y: Tensor) -> Preimage:
        # The ends as numbers of the precision, as the layer gives them.
        least, most = (torch.tensor(end, dtype=y.dtype, device=y.device) for end in (low, high))
        x = undo(y.clamp(least, most))
        return Box(torch.where(y > least, x, -math.inf), torch.where(y < most, x, math.inf), (y < least) | (y > most))

    return invert


@inverse.register
def _(layer: nn.Threshold, input_shape: tuple[int, ...]) -> Inverse:
    """The value that stands for all below the threshold comes from these, and from itself where it is above."""
    threshold, value = float(layer.threshold), float(layer.value)

    def invert(y: Tensor) -> Preimage:
        edge, fill = (torch.tensor(end, dtype=y.dtype, device=y.device) for end in (threshold, value))
        finfo = torch.finfo(y.dtype)
        above = edge + (finfo.eps * edge.abs()).clamp(min=finfo.tiny)
        kept, clamped = y > edge, (y <= edge) & (y != fill)
        # What is not given is read as the nearest that is: the value itself, or the first above the threshold.
        up = kept | (clamped & ((y - above).abs() < (y - fill).abs()))
        one, both = torch.maximum(y, above), up & (y == fill)
        main = torch.where(up, one, -math.inf), torch.where(up, one, edge)
        other = torch.where(both, -math.inf, math.nan).to(y), torch.where(both, edge, math.nan)
        return Branches(main, other, clamped)

    return invert
