"""Bounds of layers in which values are weighed against one another: softmax, and normalisation within an input."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers.bounds import Bounds, Interval, bounds, eps, outward


@bounds.register(nn.Softmax)
@bounds.register(nn.Softmax2d)
@bounds.register(nn.LogSoftmax)
def _(layer: nn.Softmax | nn.Softmax2d | nn.LogSoftmax, input_shape: tuple[int, ...]) -> Bounds:
    """Each probability rises with its own logit and falls with the others: its bounds are attained."""
    # A Softmax2d has no dimension of its own.
    dim = -3 if isinstance(layer, nn.Softmax2d) else layer.dim
    if dim is None or dim == 0 or dim == -len(input_shape) - 1:
        raise LayerError(f"expected {type(layer).__name__} over a dimension of an input, got dim={dim}; name dim=-1")
    logarithm = isinstance(layer, nn.LogSoftmax)

    def bound(x: Interval) -> Interval:
        # Differences alone matter, and lose no digits where they are taken first.
        shift = torch.where(x.high.isfinite(), x.high, -math.inf).amax(dim, keepdim=True)
        least, most = (end - torch.where(shift.isfinite(), shift, 0.0) for end in (x.low, x.high))
        low, high = least - _log_sum_of_others(most, dim), most - _log_sum_of_others(least, dim)
        count, finfo = x.low.shape[dim], torch.finfo(x.dtype)
        if logarithm:
            low, high = (torch.nn.functional.logsigmoid(end) for end in (low, high))
            # What is subtracted is as large as the value, but for the logarithm of the sum.
            slack = [eps(x.dtype) * (8 * end.abs() + 2 * count + 8 + 8 * math.log(count)) for end in (low, high)]
            box = outward(low - slack[0], high + slack[1], x.dtype)
            return Interval(box.low, box.high.clamp(max=0.0), x.dtype)
        # exp(x) is off by as many eps as x is large, and it is nothing where x is beyond the logarithm of the least.
        share = eps(x.dtype) * (2 * count + 16 - 2 * math.log(finfo.tiny))
        low, high = (
            torch.sigmoid(low) * (1 - share) - 4 * finfo.tiny,
            torch.sigmoid(high) * (1 + share) + 4 * finfo.tiny,
        )
        # Also where nothing is known of the logits.
        return Interval(low.nan_to_num(0.0).clamp(min=0.0), high.nan_to_num(1.0).clamp(max=1.0), x.dtype)

    return bound


def _log_sum_of_others(logits: Tensor, dim: int) -> Tensor:
    """Return the logarithm of the sum of the exponentials of all others; inf and -inf are theirs."""
    endless = logits == math.inf
    known = torch.where(endless, -math.inf, logits)
    most = torch.zeros_like(endless).scatter(dim, known.argmax(dim, keepdim=True), True)
    total = known.logsumexp(dim, keepdim=True)
    # Only the greatest can be more than a half; for it the others are summed, for the rest it is a small share.
    share = torch.where(most | (total == -math.inf), 0.0, (known - total).exp())
    others = known.masked_fill(most, -math.inf).logsumexp(dim, keepdim=True)
    rest = torch.where(most, others, total + torch.log1p(-share))
    return torch.where(endless.sum(dim, keepdim=True) > endless.to(torch.int64), math.inf, rest)


@bounds.register
def _(layer: nn.LayerNorm, input_shape: tuple[int, ...]) -> Bounds:
    dims = len(layer.normalized_shape)
    weight, bias = _double(layer.weight), _double(layer.bias)

    def bound(x: Interval) -> Interval:
        values = x.reshape(*x.low.shape[:-dims], -1)
        low, high = (end.reshape(x.low.shape) for end in _normalised(values, layer.eps))
        return _scaled(low, high, weight, bias, x.dtype)

    return bound


@bounds.register
def _(layer: nn.GroupNorm, input_shape: tuple[int, ...]) -> Bounds:
    shape = (1, -1) + (1,) * (len(input_shape) - 1)
    weight, bias = (None if one is None else one.reshape(shape) for one in (_double(layer.weight), _double(layer.bias)))

    def bound(x: Interval) -> Interval:
        values = x.reshape(len(x.low), layer.num_groups, -1)
        low, high = (end.reshape(x.low.shape) for end in _normalised(values, layer.eps))
        return _scaled(low, high, weight, bias, x.dtype)

    return bound


def _double(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.detach().double()


def _normalised(x: Interval, small: float) -> tuple[Tensor, Tensor]:
    """Return bounds of (x - mean) / sqrt(variance + small) over the last dimension.

    In exact arithmetic none of n normalised values is beyond sqrt(n - 1), whatever comes in. A mean that is rounded
    breaks that where the values are nearly equal and huge: float32 makes 2e7 of two values that differ by a last digit.
    So the bound is widened by that rounding, as a share t of the least deviation, sqrt(small), and given up where the
    share is no longer small: values without bounds have no normalised bounds.

    Args:
        x: ``(..., n)``.
        small: what is added to the variance.
    """
    count = x.low.shape[-1]
    rounded = 2 * (count + 8) * eps(x.dtype) * x.magnitude.amax(-1, keepdim=True)
    t = rounded / math.sqrt(small) if small > 0 else torch.full_like(rounded, math.inf)
    calm = t < 0.5
    t = torch.where(calm, t, 0.0)
    # The greatest of (sqrt(n - 1) s + t) / sqrt((s - t)^2 + 1 - 2 t^2) over the deviations s, each part by itself.
    most = math.sqrt(count - 1) * ((1 - t**2) / (1 - 2 * t**2)).sqrt() + t / (1 - 2 * t**2).sqrt()
    most = torch.where(calm, most, math.inf)
    # Of narrow intervals more is known: where each value stands to the mean, and so the least and greatest variance.
    low, high = (torch.where(end.isfinite(), end, 0.0) for end in (x.low, x.high))
    below = low - (low + high.sum(-1, keepdim=True) - high) / count - rounded
    above = high - (high + low.sum(-1, keepdim=True) - low) / count + rounded
    nearest = torch.maximum(torch.maximum(below, -above) - 2 * rounded, torch.zeros_like(below))
    farthest = torch.maximum(below.abs(), above.abs()) + 2 * rounded
    share = 2 * (count + 8) * eps(x.dtype)
    least, greatest = (
        ((spread**2).mean(-1, keepdim=True) * factor + small).sqrt()
        for spread, factor in ((nearest, 1 - share), (farthest, 1 + share))
    )
    narrow_low = below / torch.where(below < 0, least, greatest)
    narrow_high = above / torch.where(above > 0, least, greatest)
    # NaN, of zero by zero, is no bound; nor is anything where rounding is not held.
    low = torch.where(calm, torch.fmax(narrow_low, -most), -math.inf)
    high = torch.where(calm, torch.fmin(narrow_high, most), math.inf)
    wide = 32 * eps(x.dtype)
    return low - wide * low.abs(), high + wide * high.abs()


def _scaled(low: Tensor, high: Tensor, weight: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> Interval:
    """Return weight z + bias of normalised values; a weight of zero sees nothing of them."""
    if weight is not None:
        ends = [torch.where(weight == 0, 0.0, weight * end) for end in (low, high)]
        low, high = torch.minimum(*ends), torch.maximum(*ends)
    size = 0.0 if bias is None else bias.abs()
    slack = [8 * eps(dtype) * (end.abs() + size) for end in (low, high)]
    moved = 0.0 if bias is None else bias
    return outward(low + moved - slack[0], high + moved + slack[1], dtype)
