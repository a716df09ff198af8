"""The inverse of one layer, registered by type: from an output to the inputs that give it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor, nn

from genrev.errors import LayerError, nearest
from genrev.rows import rowwise


@dataclass(frozen=True, eq=False)
class Preimage:
    """The inputs of a layer that give an output: a box, usually a single point.

    Args:
        low: ``(batch, *input_shape)``, the least input, -inf where there is none.
        high: ``(batch, *input_shape)``, the greatest input, inf where there is none.
        clamped: ``(batch, *output_shape)`` of bool, where no input gives the value and the nearest possible one was
            used instead.
    """

    low: Tensor
    high: Tensor
    clamped: Tensor

    @property
    def x(self) -> Tensor:
        """``(batch, *input_shape)``: the input nearest to zero."""
        return torch.zeros_like(self.low).clamp(self.low, self.high)


Inverse = Callable[[Tensor], Preimage]


@singledispatch
def inverse(layer: nn.Module, input_shape: tuple[int, ...]) -> Inverse:
    """Prepare the inverse of a layer: what depends on the layer alone is computed here, once.

    Register a type of your own with ``@inverse.register``.

    Args:
        layer: the module, in eval mode.
        input_shape: of one input, without the batch.

    Returns:
        A function from outputs ``(batch, *output_shape)`` to their `Preimage`.

    Raises:
        LayerError: the type of the layer has no registered inverse.

    Example:
        >>> inverse(nn.Sigmoid(), (2,))(torch.tensor([[0.5, 1.3]])).clamped.tolist()
        [[False, True]]
    """
    known = sorted(kind.__name__ for kind in inverse.registry if kind is not object)
    name = type(layer).__name__
    raise LayerError(
        f"expected a layer with a registered inverse ({', '.join(known)}), got {name}{nearest(name, known)}; "
        "register one with @genrev.layers.inverse.register, or use an inverter that needs none, such as 'newton'"
    )


def is_invertible(layer: nn.Module) -> bool:
    """Return whether the layer's type, or a parent of it, has a registered inverse.

    Args:
        layer: any module.

    Example:
        >>> is_invertible(nn.Sigmoid()), is_invertible(nn.GELU())
        (True, False)
    """
    return inverse.dispatch(type(layer)) is not inverse.dispatch(object)


def _exact(x: Tensor, clamped: Tensor | None = None) -> Preimage:
    return Preimage(x, x, torch.zeros_like(x, dtype=torch.bool) if clamped is None else clamped)


@inverse.register
def _(layer: nn.Linear, input_shape: tuple[int, ...]) -> Inverse:
    """W+ (y - b): the shortest of the inputs that come nearest to y.

    More outputs than inputs can't be had in every combination: all values that the nearest one moves count as clamped.
    """
    weight = layer.weight.detach()
    # Torch has no pseudo-inverse in half precision.
    back = torch.linalg.pinv(weight if weight.dtype.itemsize > 2 else weight.float()).to(weight)
    bias = 0.0 if layer.bias is None else layer.bias.detach()
    # W W+ is a projection, so its trace is its rank.
    onto = round(float((weight.double() * back.double().T).sum())) >= len(weight)

    def invert(y: Tensor) -> Preimage:
        asked = y - bias
        x = rowwise(lambda rows: rows @ back.T, asked)
        if onto:
            return _exact(x, torch.zeros_like(y, dtype=torch.bool))
        slack = torch.finfo(y.dtype).eps ** 0.5 * asked.abs().amax(-1, keepdim=True)
        return _exact(x, (x @ weight.T - asked).abs() > slack)

    return invert


@inverse.register
def _(layer: nn.BatchNorm1d, input_shape: tuple[int, ...]) -> Inverse:
    if layer.running_mean is None or layer.running_var is None:
        raise LayerError(
            "expected a BatchNorm1d with running statistics, got one with track_running_stats=False, whose output "
            "depends on the batch; train it with running statistics"
        )
    # Channels are the first dimension of one input, with or without a length behind them.
    shape = (-1,) + (1,) * (len(input_shape) - 1)
    mean, deviation = layer.running_mean.reshape(shape), (layer.running_var + layer.eps).sqrt().reshape(shape)
    weight = torch.ones_like(mean) if layer.weight is None else layer.weight.detach().reshape(shape)
    bias = torch.zeros_like(mean) if layer.bias is None else layer.bias.detach().reshape(shape)

    def invert(y: Tensor) -> Preimage:
        # A weight of zero gives the bias whatever comes in: any input, or none.
        lost = (weight == 0).expand_as(y)
        x = torch.where(lost, mean, (y - bias) / torch.where(weight == 0, 1, weight) * deviation + mean)
        return Preimage(
            torch.where(lost, -math.inf, x), torch.where(lost, math.inf, x), lost & (y != bias.expand_as(y))
        )

    return invert


@inverse.register
def _(layer: nn.Flatten, input_shape: tuple[int, ...]) -> Inverse:
    return lambda y: _exact(y.reshape(len(y), *input_shape))


@inverse.register(nn.Identity)
@inverse.register(nn.Dropout)
def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Inverse:
    return _exact


def _into_open(y: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Return y moved inside the open interval, and where that was needed."""
    inside = torch.finfo(y.dtype).eps * max(1.0, abs(low))
    top = torch.finfo(y.dtype).eps * max(1.0, abs(high)) if math.isfinite(high) else 0.0
    return y.clamp(low + inside, high - top), (y <= low) | (y >= high)


@inverse.register
def _(layer: nn.Sigmoid, input_shape: tuple[int, ...]) -> Inverse:
    def invert(y: Tensor) -> Preimage:
        # A value that no input gives becomes the last number below 1, or its mirror image; a tiny one stays as it is.
        edge = torch.finfo(y.dtype).eps / 2
        clamped = (y <= 0) | (y >= 1)
        return _exact(torch.logit(torch.where(clamped, y.clamp(edge, 1 - edge), y)), clamped)

    return invert


@inverse.register
def _(layer: nn.Tanh, input_shape: tuple[int, ...]) -> Inverse:
    def invert(y: Tensor) -> Preimage:
        limit = 1 - torch.finfo(y.dtype).eps / 2
        return _exact(torch.atanh(y.clamp(-limit, limit)), y.abs() >= 1)

    return invert


@inverse.register
def _(layer: nn.LeakyReLU, input_shape: tuple[int, ...]) -> Inverse:
    slope = layer.negative_slope
    if slope <= 0:
        raise LayerError(
            f"expected a LeakyReLU of positive slope, got {slope}, which is not one to one; use nn.ReLU for slope 0"
        )
    return lambda y: _exact(torch.where(y >= 0, y, y / slope))


@inverse.register
def _(layer: nn.ReLU, input_shape: tuple[int, ...]) -> Inverse:
    """Zero has a whole half-line of preimages; a negative value has none, and is read as zero."""

    def invert(y: Tensor) -> Preimage:
        high = y.clamp(min=0)
        return Preimage(torch.where(y > 0, y, -math.inf), high, y < 0)

    return invert


@inverse.register
def _(layer: nn.ELU, input_shape: tuple[int, ...]) -> Inverse:
    alpha = layer.alpha
    if alpha <= 0:
        raise LayerError(f"expected an ELU of positive alpha, got {alpha}, which is not one to one; use nn.ReLU")

    def invert(y: Tensor) -> Preimage:
        inside, clamped = _into_open(y, -alpha, math.inf)
        return _exact(torch.where(inside >= 0, inside, torch.log1p(inside.clamp(max=0) / alpha)), clamped)

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
        return _exact(x / beta, y <= 0)

    return invert


@inverse.register
def _(layer: nn.Softmax, input_shape: tuple[int, ...]) -> Inverse:
    """Logits are known up to a constant; the ones returned sum to zero."""
    dim = _last_dim(layer, input_shape)

    def invert(y: Tensor) -> Preimage:
        clamped = (y <= 0) | (y > 1)
        x = torch.where(clamped, y.clamp(torch.finfo(y.dtype).eps, 1.0), y).log()
        return _exact(x - x.mean(dim, keepdim=True), clamped)

    return invert


@inverse.register
def _(layer: nn.LogSoftmax, input_shape: tuple[int, ...]) -> Inverse:
    dim = _last_dim(layer, input_shape)
    return lambda y: _exact(y - y.mean(dim, keepdim=True), y > 0)


def _last_dim(layer: nn.Softmax | nn.LogSoftmax, input_shape: tuple[int, ...]) -> int:
    dim = layer.dim
    if dim not in (-1, len(input_shape)):
        raise LayerError(
            f"expected {type(layer).__name__} over the last dimension, got dim={dim}; write it with dim=-1, "
            "and batches in the first dimension"
        )
    return -1
