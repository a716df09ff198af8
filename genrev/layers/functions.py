"""The layer that a function in a forward pass is: F.relu is nn.ReLU, x @ W.T + b is nn.Linear on the same weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from genrev.layers.links import Scaled
from genrev.layers.trace import Node

_RESHAPES = {
    "reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel", "reshape_as", "view_as", "contiguous",
    "clone", "detach", "alias", "to", "type_as", "type", "float", "double", "half", "bfloat16", "cpu", "cuda",
    "requires_grad", "data", "positive", "identity",
}  # fmt: skip
"""What leaves all values as they are, in their order."""

_DROPOUTS = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"}


class NoLayerError(Exception):
    """A function is no layer; the text says why."""


def layer(node: Node) -> nn.Module | None:
    """Return the layer that a step of one function is; None for one that leaves the values as they are.

    Args:
        node: of one input.

    Raises:
        NoLayerError: it is none that is known, or not with these arguments.
    """
    given, output = node.given, node.output
    if given is None or not isinstance(output, Tensor):
        raise NoLayerError("which returns more than one tensor")
    if output.dtype != given.dtype:
        raise NoLayerError(f"which makes {output.dtype} of {given.dtype}")
    if node.function in _RESHAPES or (node.function == "getitem" and _is_all(node.args[1])):
        if output.numel() != given.numel():
            raise NoLayerError("which takes a part of the values")
        return None
    if node.function in _DROPOUTS:
        # A network in eval mode that drops values out all the same is none that can be inverted.
        _expect_idle(*node.args, **node.keywords)
        return None
    if node.function in _PRODUCTS and node.place >= 0:
        # What is a number in the forward pass is one on the device of the values.
        return _bound(_PRODUCTS[node.function], given, node.place, *node.args, **node.keywords).to(output.device)
    if node.function in _LAYERS and node.place == 0:
        return _bound(_LAYERS[node.function], *node.args[1:], **node.keywords).eval()
    raise NoLayerError("a function in forward that is no layer with a known inverse")


def _bound(make: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    try:
        return make(*args, **keywords)
    except TypeError:
        raise NoLayerError("a function in forward with arguments that no layer takes") from None


def _is_all(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or (isinstance(part, slice) and part == slice(None)) for part in parts)


def _expect_idle(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> None:
    if training and p > 0:
        raise NoLayerError("which drops values out also in eval mode; write F.dropout(x, p, self.training)")


# Sums: of one tensor that depends on the input, and of constants.


def _constant(value: Any, given: Tensor) -> Tensor:
    """Return a constant as a tensor that is the same for all rows."""
    if not isinstance(value, (Tensor, int, float)):
        raise NoLayerError("a function in forward with arguments that no layer takes")
    constant = torch.as_tensor(value, dtype=given.dtype, device=value.device if isinstance(value, Tensor) else None)
    if constant.ndim > given.ndim or (constant.ndim == given.ndim and constant.shape[0] != 1):
        raise NoLayerError("which takes other constants for other rows")
    if torch.broadcast_shapes(constant.shape, given.shape) != given.shape:
        raise NoLayerError("which repeats values")
    return constant


def _add(given: Tensor, place: int, a: Any, b: Any, *, alpha: float = 1) -> nn.Module:
    constant = _constant(b if place == 0 else a, given)
    return Scaled(_number(alpha if place else 1.0, given), constant * (1.0 if place else alpha))


def _sub(given: Tensor, place: int, a: Any, b: Any, *, alpha: float = 1) -> nn.Module:
    return _add(given, place, a, b, alpha=-alpha)


def _rsub(given: Tensor, place: int, a: Any, b: Any, *, alpha: float = 1) -> nn.Module:
    return _add(given, 1 - place, b, a, alpha=-alpha)


def _mul(given: Tensor, place: int, a: Any, b: Any) -> nn.Module:
    return Scaled(_constant(b if place == 0 else a, given), _number(0.0, given))


def _div(given: Tensor, place: int, a: Any, b: Any) -> nn.Module:
    if place:
        raise NoLayerError("which divides by what depends on the input")
    return Scaled(1 / _constant(b, given), _number(0.0, given))


def _neg(given: Tensor, place: int, x: Any) -> nn.Module:
    return Scaled(_number(-1.0, given), _number(0.0, given))


def _number(value: float, given: Tensor) -> Tensor:
    return torch.tensor(value, dtype=given.dtype)


def _linear(given: Tensor, place: int, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    if place:
        raise NoLayerError("a product with what depends on the input as the weights")
    return linear(weight if weight.ndim == 2 else weight[None], bias)


def _matmul(given: Tensor, place: int, x: Tensor, weight: Tensor) -> nn.Module:
    if place or weight.ndim > 2:
        raise NoLayerError("a product that is no x @ W with one matrix W")
    return linear(weight.T if weight.ndim == 2 else weight[None], None)


def _addmm(given: Tensor, place: int, bias: Tensor, x: Tensor, weight: Tensor) -> nn.Module:
    if place != 1 or bias.ndim != 1:
        raise NoLayerError("a product that is no x @ W + b")
    return linear(weight.T, bias)


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a linear layer on weights that are there; they are not copied.

    Args:
        weight: ``(m, n)``.
        bias: ``(m,)``.

    Example:
        >>> linear(torch.eye(2), None)(torch.ones(1, 2)).tolist()
        [[1.0, 1.0]]
    """
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    return _with(made, weight=weight, bias=bias)


def _with(made: Any, **weights: Tensor | None) -> Any:
    """Give a layer weights that are there."""
    for name, values in weights.items():
        setattr(made, name, None if values is None else nn.Parameter(values.detach(), requires_grad=False))
    return made


_PRODUCTS: dict[str, Callable[..., nn.Module]] = {
    "add": _add, "radd": _add, "iadd": _add, "sub": _sub, "subtract": _sub, "isub": _sub, "rsub": _rsub,
    "mul": _mul, "multiply": _mul, "rmul": _mul, "imul": _mul,
    "div": _div, "divide": _div, "true_divide": _div, "truediv": _div, "itruediv": _div,
    "neg": _neg, "negative": _neg, "linear": _linear, "matmul": _matmul, "mm": _matmul, "addmm": _addmm,
}  # fmt: skip


# Activations and the rest: from the arguments behind the first.


def _softmax(dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> nn.Module:
    return nn.Softmax(dim)


def _log_softmax(dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> nn.Module:
    return nn.LogSoftmax(dim)


def _clamp(min: Any = None, max: Any = None) -> nn.Module:
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        raise NoLayerError("which clamps to more than one value")
    low, high = -math.inf if min is None else float(min), math.inf if max is None else float(max)
    return nn.ReLU() if (low, high) == (0.0, math.inf) else nn.Hardtanh(low, high)


def _conv(kind: type[Any]) -> Callable[..., nn.Module]:
    def make(
        weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> nn.Module:
        out, size = weight.shape[0], tuple(weight.shape[2:])
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        made = kind(weight.shape[1] * groups, out, size, bias=bias is not None, device="meta", **settings)
        return _with(made, weight=weight, bias=bias)

    return make


def _conv_transpose(kind: type[Any]) -> Callable[..., nn.Module]:
    def make(
        weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
        dilation: Any = 1,
    ) -> nn.Module:  # fmt: skip
        channels, size = weight.shape[:2], tuple(weight.shape[2:])
        settings = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
        made = kind(
            channels[0], channels[1] * groups, size, bias=bias is not None, groups=groups, device="meta", **settings
        )
        return _with(made, weight=weight, bias=bias)

    return make


def _max_pool(kind: type[Any]) -> Callable[..., nn.Module]:
    def make(
        kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> nn.Module:  # fmt: skip
        return kind(kernel_size, stride or None, padding, dilation, return_indices, ceil_mode)

    return make


def _layer_norm(shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> nn.Module:
    made = nn.LayerNorm(list(shape), eps, elementwise_affine=False)
    return _with(made, weight=weight, bias=bias)


def _group_norm(groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> nn.Module:
    if weight is None:
        raise NoLayerError("a normalisation without weights, which no module with as many channels is made of")
    return _with(nn.GroupNorm(groups, len(weight), eps, affine=False), weight=weight, bias=bias)


def _upsample(
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: bool = False,
) -> nn.Module:
    if antialias:
        raise NoLayerError("which mixes neighbours")
    return nn.Upsample(size, scale_factor, mode, align_corners, recompute_scale_factor)


_LAYERS: dict[str, Callable[..., nn.Module]] = {
    "relu": lambda inplace=False: nn.ReLU(),
    "relu6": lambda inplace=False: nn.ReLU6(),
    "leaky_relu": lambda negative_slope=0.01, inplace=False: nn.LeakyReLU(negative_slope),
    "elu": lambda alpha=1.0, inplace=False: nn.ELU(alpha),
    "selu": lambda inplace=False: nn.SELU(),
    "celu": lambda alpha=1.0, inplace=False: nn.CELU(alpha),
    "prelu": lambda weight: _with(nn.PReLU(weight.numel(), device="meta"), weight=weight),
    "sigmoid": nn.Sigmoid,
    "expit": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": lambda beta=1.0, threshold=20.0: nn.Softplus(beta, threshold),
    "logsigmoid": nn.LogSigmoid,
    "log_sigmoid": nn.LogSigmoid,
    "softsign": nn.Softsign,
    "hardtanh": lambda min_val=-1.0, max_val=1.0, inplace=False: nn.Hardtanh(min_val, max_val),
    "hardsigmoid": lambda inplace=False: nn.Hardsigmoid(),
    "hardswish": lambda inplace=False: nn.Hardswish(),
    "threshold": lambda threshold, value, inplace=False: nn.Threshold(threshold, value),
    "gelu": lambda approximate="none": nn.GELU(approximate),
    "silu": lambda inplace=False: nn.SiLU(),
    "mish": lambda inplace=False: nn.Mish(),
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": lambda min: _clamp(min, None),
    "clamp_max": lambda max: _clamp(None, max),
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "conv1d": _conv(nn.Conv1d),
    "conv2d": _conv(nn.Conv2d),
    "conv3d": _conv(nn.Conv3d),
    "conv_transpose1d": _conv_transpose(nn.ConvTranspose1d),
    "conv_transpose2d": _conv_transpose(nn.ConvTranspose2d),
    "conv_transpose3d": _conv_transpose(nn.ConvTranspose3d),
    "max_pool1d": _max_pool(nn.MaxPool1d),
    "max_pool2d": _max_pool(nn.MaxPool2d),
    "max_pool3d": _max_pool(nn.MaxPool3d),
    "avg_pool1d": nn.AvgPool1d,
    "avg_pool2d": nn.AvgPool2d,
    "avg_pool3d": nn.AvgPool3d,
    "adaptive_avg_pool1d": nn.AdaptiveAvgPool1d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
    "adaptive_avg_pool3d": nn.AdaptiveAvgPool3d,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "pixel_shuffle": nn.PixelShuffle,
    "pixel_unshuffle": nn.PixelUnshuffle,
    "interpolate": _upsample,
}
