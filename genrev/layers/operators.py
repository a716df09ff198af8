"""Layers that are sums, W x + b, as linear operators, by type; open to types from outside."""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrev.errors import LayerError
from genrev.operators import Convolution, Dense, Operator, Repeated

_CONVOLVE: Any = (F.conv1d, F.conv2d, F.conv3d)
_TRANSPOSED: Any = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


@singledispatch
def operator(layer: nn.Module, input_shape: tuple[int, ...]) -> tuple[Operator, Tensor]:
    """Return a layer as a linear operator on flat rows, and what it adds.

    Register a type of your own with ``@operator.register``.

    Args:
        layer: the module, in eval mode; its weights are not copied where they need not be.
        input_shape: of one input, without the batch.

    Returns:
        W, from the values of an input to those of an output, and b, ``(m,)``.

    Raises:
        LayerError: the type of the layer is not registered.

    Example:
        >>> weights, bias = operator(nn.Linear(3, 2), (3,))
        >>> weights.shape, bias.shape
        ((2, 3), torch.Size([2]))
    """
    known = sorted(kind.__name__ for kind in operator.registry if kind is not object)
    raise LayerError(
        f"expected a layer of sums with a registered operator ({', '.join(known)}), got {type(layer).__name__}; "
        "register it with @genrev.layers.operators.operator.register"
    )


def is_sums(layer: nn.Module) -> bool:
    """Return whether the layer's type, or a parent of it, has a registered operator.

    Args:
        layer: any module.

    Example:
        >>> is_sums(nn.Linear(2, 1)), is_sums(nn.Tanh())
        (True, False)
    """
    return operator.dispatch(type(layer)) is not operator.dispatch(object)


@operator.register
def _(layer: nn.Linear, input_shape: tuple[int, ...]) -> tuple[Operator, Tensor]:
    return each_place(Dense(layer.weight), layer.bias, input_shape)


def each_place(weights: Operator, bias: Tensor | None, input_shape: tuple[int, ...]) -> tuple[Operator, Tensor]:
    """Return the operator of a layer that works on the last dimension of its inputs, wherever the others are.

    Args:
        weights: for one place.
        bias: ``(m,)`` of one place; zeros if not given.
        input_shape: of one input.

    Example:
        >>> each_place(Dense(torch.eye(2)), None, (3, 2))[0].shape
        (6, 6)
    """
    count = math.prod(input_shape[:-1])
    zeros = torch.zeros(weights.shape[0], dtype=weights.dtype, device=weights.device)
    added = (zeros if bias is None else bias.detach()).repeat(count)
    return (weights if count == 1 else Repeated(weights, count)), added


@operator.register(nn.Conv1d)
@operator.register(nn.Conv2d)
@operator.register(nn.Conv3d)
def _(layer: Any, input_shape: tuple[int, ...]) -> tuple[Operator, Tensor]:
    dims = len(layer.kernel_size)
    zeros = layer.padding_mode == "zeros"

    def forth(x: Tensor, weight: Tensor) -> Tensor:
        # With the layer's own padding, of whichever mode.
        return layer._conv_forward(x, weight, None)

    back = None
    if zeros and not isinstance(layer.padding, str):
        # What the stride leaves over at the end, the way back must add.
        spare = tuple(
            (size + 2 * padding - dilation * (kernel - 1) - 1) % stride
            for size, padding, dilation, kernel, stride in zip(
                input_shape[1:], layer.padding, layer.dilation, layer.kernel_size, layer.stride, strict=True
            )
        )

        def back(y: Tensor, weight: Tensor) -> Tensor:
            settings = layer.stride, layer.padding, spare, layer.groups, layer.dilation
            return _TRANSPOSED[dims - 1](y, weight, None, *settings)

    return _with_channels(Convolution(forth, back, layer.weight, input_shape, covers=zeros), layer.bias)


@operator.register(nn.ConvTranspose1d)
@operator.register(nn.ConvTranspose2d)
@operator.register(nn.ConvTranspose3d)
def _(layer: Any, input_shape: tuple[int, ...]) -> tuple[Operator, Tensor]:
    dims = len(layer.kernel_size)

    def forth(x: Tensor, weight: Tensor) -> Tensor:
        settings = layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
        return _TRANSPOSED[dims - 1](x, weight, None, *settings)

    def back(y: Tensor, weight: Tensor) -> Tensor:
        return _CONVOLVE[dims - 1](y, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)

    # Rows that were only added at the end would be convolved as well.
    fits = all(spare < stride for spare, stride in zip(layer.output_padding, layer.stride, strict=True))
    return _with_channels(Convolution(forth, back if fits else None, layer.weight, input_shape), layer.bias)


def _with_channels(weights: Convolution, bias: Tensor | None) -> tuple[Operator, Tensor]:
    if bias is None:
        return weights, torch.zeros(weights.shape[0], dtype=weights.dtype, device=weights.device)
    return weights, bias.detach().repeat_interleave(weights.shape[0] // len(bias))
