"""Layers that are sums, W x + b, and their bounds: linear, convolution, batch normalisation, averages and reshapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrev.errors import LayerError
from genrev.layers.bounds import FLOAT64, Bounds, Interval, bounds, outward

BLOCK = 2**17
"""How many weights are held in float64 at once: as many as a processor's cache holds."""

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Affine:
    """A layer x -> W x + b, of which W is known by its products alone.

    Args:
        product: from rows ``(batch, *input_shape)`` and a change of each weight, such as its absolute value, to the
            rows ``(batch, *output_shape)`` of the product with the weights so changed, all in float64.
        bias: broadcasts to ``(1, *output_shape)``, float64.
        terms: how many products an output sums, rounded operations that make a weight or the bias counted too; 0 where
            values are only moved about.
        work: multiplications that one row takes.
        size: like the bias: the sum of the absolute values that it is made of; those of the bias if not given.
        transposed: from rows ``(batch, *output_shape)`` to those of the product with the transposed weights, ``(batch,
            *input_shape)``; by automatic differentiation if not given.
    """

    product: Callable[[Tensor, Change], Tensor]
    bias: Tensor
    terms: int
    work: int
    size: Tensor | None = None
    transposed: Callable[[Tensor], Tensor] | None = None

    def enclose(self, x: Interval) -> tuple[Tensor, Tensor, Tensor]:
        """Return the least and the greatest outputs but for rounding, and what rounding is a share of.

        Args:
            x: ``(batch or 1, *input_shape)``.

        Returns:
            ``(batch or 1, *output_shape)`` each: low, high, and abs(W) abs(x) + abs(b), of which sums round a share
            (`rounding`); inf where the sum may overflow.
        """
        size = self.bias.abs() if self.size is None else self.size
        if x.finite:
            centre, radius = x.low / 2 + x.high / 2, x.high / 2 - x.low / 2
            middle = self.product(centre, _same) + self.bias
            reach, mass = self.product(torch.cat([radius, centre.abs() + radius]), torch.abs).chunk(2)
            low, high, mass = middle - reach, middle + reach, mass + size
        else:
            low, high, mass = self._unbounded(x)
            low, high, mass = low + self.bias, high + self.bias, mass + size
        # A sum that may overflow on its way may come out as anything.
        return low, high, torch.where(mass < torch.finfo(x.dtype).max / 2, mass, math.inf)

    def _unbounded(self, x: Interval) -> tuple[Tensor, Tensor, Tensor]:
        """Return the same where some inputs have no bounds: a weight of zero sees nothing of them."""
        if bool((x.low.isinf() & x.high.isinf()).all()):
            # The usual case of an unbounded space: one product tells all.
            seen = self.product(torch.ones_like(x.low), _is_not_zero)
            none = torch.zeros_like(seen)
            return torch.where(seen > 0, -math.inf, none), torch.where(seen > 0, math.inf, none), none
        low, high = (torch.where(end.isfinite(), end, 0.0) for end in (x.low, x.high))
        ends = torch.cat([low, high])
        up, down = self.product(ends, _positive).chunk(2), self.product(ends, _negative).chunk(2)
        mass = self.product(torch.maximum(low.abs(), high.abs()), torch.abs)
        endless = torch.cat([x.low.isinf(), x.high.isinf()]).to(low)
        rising, falling = (self.product(endless, sign).chunk(2) for sign in (_is_positive, _is_negative))
        no_low, no_high = rising[0] + falling[1] > 0, rising[1] + falling[0] > 0
        return (
            torch.where(no_low, -math.inf, up[0] + down[1]),
            torch.where(no_high, math.inf, up[1] + down[0]),
            mass,
        )

    def rounding(self, dtype: torch.dtype, device: torch.device) -> float:
        """Return the share of abs(W) abs(x) + abs(b) that a sum may round by, in the network's precision and in ours.

        A sum of n products, in any order, is off by at most n u / (1 - n u) of that (u, half of eps, is what one
        operation rounds by), and a fused or blocked one by less.

        Args:
            dtype: in which the network computes.
            device: on which it does.

        Reference:
            Higham, 2002, "Accuracy and Stability of Numerical Algorithms", chapter 3.
        """
        if self.terms == 0:
            return 0.0
        counted = self.terms + 8
        return sum(
            counted * unit / (1 - counted * unit) if counted * unit < 1 else math.inf
            for unit in (_product_eps(dtype, device) / 2, FLOAT64 / 2)
        )

    def bound(self, x: Interval) -> Interval:
        """Return the bounds of the outputs.

        Args:
            x: ``(batch or 1, *input_shape)``.
        """
        low, high, mass = self.enclose(x)
        slack = self.slack(mass, x)
        return outward(low - slack, high + slack, x.dtype)

    def slack(self, mass: Tensor, x: Interval) -> Tensor:
        """Return how far rounding may move each output, ``(batch or 1, *output_shape)``.

        Args:
            mass: as `enclose` returned it.
            x: the inputs.
        """
        # Products too small for the precision are rounded to nothing.
        small = self.terms * torch.finfo(x.dtype).tiny
        return torch.where(mass > 0, 2 * self.rounding(x.dtype, mass.device) * mass + small, mass)

    def back(self, rows: Tensor, input_shape: tuple[int, ...]) -> Tensor:
        """Return the product of rows with the transposed weights, ``(batch, *input_shape)``.

        Args:
            rows: ``(batch, *output_shape)``.
            input_shape: of one input.
        """
        if self.transposed is not None:
            return self.transposed(rows)
        with torch.enable_grad():
            x = rows.new_zeros(len(rows), *input_shape).requires_grad_()
            return torch.autograd.grad(self.product(x, _same), x, rows)[0]


def _same(weight: Tensor) -> Tensor:
    return weight


def _positive(weight: Tensor) -> Tensor:
    return weight.clamp(min=0)


def _negative(weight: Tensor) -> Tensor:
    return weight.clamp(max=0)


def _is_positive(weight: Tensor) -> Tensor:
    return (weight > 0).to(weight)


def _is_negative(weight: Tensor) -> Tensor:
    return (weight < 0).to(weight)


def _is_not_zero(weight: Tensor) -> Tensor:
    return (weight != 0).to(weight)


def _product_eps(dtype: torch.dtype, device: torch.device) -> float:
    """Return eps of products, which may be coarser than that of the precision where the user or a device has it so."""
    unit = torch.finfo(dtype).eps
    if torch.is_autocast_enabled(device.type):
        unit = max(unit, torch.finfo(torch.bfloat16).eps)
    if dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        unit = torch.finfo(torch.bfloat16).eps
    # TensorFloat-32 has ten binary digits; convolutions use it unasked.
    return max(unit, 2**-10) if dtype == torch.float32 and device.type != "cpu" else unit


@singledispatch
def affine(layer: nn.Module, input_shape: tuple[int, ...]) -> Affine:
    """Return a layer as a sum.

    Args:
        layer: the module, in eval mode.
        input_shape: of one input.

    Raises:
        LayerError: it is none, or not with these settings.

    Example:
        >>> box = affine(nn.Flatten(), (1, 2)).bound(Interval(torch.zeros(1, 1, 2), torch.ones(1, 1, 2)))
        >>> tuple(box.high.shape)
        (1, 2)
    """
    raise LayerError(f"expected a layer that is a sum, got {type(layer).__name__}; use its bounds instead")


def _bias(layer: Any, dims: int) -> Tensor:
    if layer.bias is None:
        return layer.weight.new_zeros((1,) * (dims + 2), dtype=torch.float64)
    return layer.bias.detach().double().reshape(1, -1, *(1,) * dims)


@affine.register
def _(layer: nn.Linear, input_shape: tuple[int, ...]) -> Affine:
    weight = layer.weight.detach()
    rows = max(1, BLOCK // max(1, layer.in_features))

    def product(x: Tensor, change: Change) -> Tensor:
        if len(weight) <= rows:
            return F.linear(x, change(weight.double()))
        # Written into one tensor: small ones that are kept between large ones that are not leave memory in pieces.
        y = x.new_empty(*x.shape[:-1], len(weight))
        for part, place in zip(weight.split(rows), y.split(rows, -1), strict=True):
            place.copy_(F.linear(x, change(part.double())))
        return y

    def transposed(y: Tensor) -> Tensor:
        parts = zip(y.split(rows, -1), weight.split(rows), strict=True)
        return sum((values @ part.double() for values, part in parts), y.new_zeros(()))

    work = weight.numel() * math.prod(input_shape[:-1])
    bias = torch.zeros((), dtype=torch.float64) if layer.bias is None else layer.bias.detach().double()
    return Affine(product, bias.to(weight.device), layer.in_features + 1, work, transposed=transposed)


@affine.register(nn.Conv1d)
@affine.register(nn.Conv2d)
@affine.register(nn.Conv3d)
def _(layer: Any, input_shape: tuple[int, ...]) -> Affine:
    weight = layer.weight.detach().double()

    def product(x: Tensor, change: Change) -> Tensor:
        # With the layer's own padding, of whichever mode.
        return layer._conv_forward(x, change(weight), None)

    terms = weight[0].numel() + 1
    return Affine(product, _bias(layer, len(layer.kernel_size)), terms, _work(product, input_shape, weight, terms))


@affine.register(nn.ConvTranspose1d)
@affine.register(nn.ConvTranspose2d)
@affine.register(nn.ConvTranspose3d)
def _(layer: Any, input_shape: tuple[int, ...]) -> Affine:
    weight = layer.weight.detach().double()
    run: Any = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[len(layer.kernel_size) - 1]

    def product(x: Tensor, change: Change) -> Tensor:
        settings = layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
        return run(x, change(weight), None, *settings)

    terms = layer.in_channels // layer.groups * math.prod(layer.kernel_size) + 1
    return Affine(product, _bias(layer, len(layer.kernel_size)), terms, math.prod(input_shape) * weight[0].numel())


def _work(product: Callable[[Tensor, Change], Tensor], input_shape: tuple[int, ...], weight: Tensor, terms: int) -> int:
    # Of the shape alone; nothing is computed.
    x = torch.empty(1, *input_shape, dtype=weight.dtype, device="meta")
    return terms * product(x, lambda part: part.to("meta")).numel()


@affine.register(nn.BatchNorm1d)
@affine.register(nn.BatchNorm2d)
@affine.register(nn.BatchNorm3d)
def _(layer: Any, input_shape: tuple[int, ...]) -> Affine:
    if layer.running_mean is None or layer.running_var is None:
        raise LayerError(
            "expected a batch normalisation with running statistics, got one whose output depends on the batch; train "
            "it with running statistics"
        )
    shape = (1, -1) + (1,) * (len(input_shape) - 1)
    mean, variance = layer.running_mean.double().reshape(shape), layer.running_var.double().reshape(shape)
    scale = (variance + layer.eps).rsqrt()
    scale = scale if layer.weight is None else scale * layer.weight.detach().double().reshape(shape)
    bias = torch.zeros_like(scale) if layer.bias is None else layer.bias.detach().double().reshape(shape)

    def product(x: Tensor, change: Change) -> Tensor:
        return x * change(scale)

    moved = (scale * mean).abs()
    return Affine(product, bias - scale * mean, 8, math.prod(input_shape), size=bias.abs() + moved)


@affine.register(nn.AvgPool1d)
@affine.register(nn.AvgPool2d)
@affine.register(nn.AvgPool3d)
@affine.register(nn.AdaptiveAvgPool1d)
@affine.register(nn.AdaptiveAvgPool2d)
@affine.register(nn.AdaptiveAvgPool3d)
def _(layer: Any, input_shape: tuple[int, ...]) -> Affine:
    if getattr(layer, "divisor_override", None) is not None and layer.divisor_override < 0:
        raise LayerError(f"expected an average with a positive divisor, got {layer.divisor_override}; make it one")
    # An output averages no more than a channel.
    return _passing(layer, input_shape, terms=math.prod(input_shape[1:] or input_shape))


@affine.register(nn.Identity)
@affine.register(nn.Dropout)
@affine.register(nn.Dropout1d)
@affine.register(nn.Dropout2d)
@affine.register(nn.Dropout3d)
def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Affine:
    return _passing(nn.Identity(), input_shape, terms=0)


@affine.register(nn.Flatten)
@affine.register(nn.Unflatten)
@affine.register(nn.PixelShuffle)
@affine.register(nn.PixelUnshuffle)
def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Affine:
    return _passing(layer, input_shape, terms=0)


def _passing(layer: nn.Module, input_shape: tuple[int, ...], terms: int) -> Affine:
    """Return a layer whose weights are its own affair, and none of them negative."""
    one = torch.ones((), dtype=torch.float64)

    def product(x: Tensor, change: Change) -> Tensor:
        return layer.forward(x) * change(one.to(x.device))

    return Affine(product, torch.zeros((), dtype=torch.float64), terms, math.prod(input_shape))


def _sum_bounds(layer: nn.Module, input_shape: tuple[int, ...]) -> Bounds:
    return affine(layer, input_shape).bound


for _kind in list(affine.registry):
    # What only moves values about has bounds that are moved about, without any rounding.
    if _kind not in bounds.registry:
        bounds.register(_kind)(_sum_bounds)
