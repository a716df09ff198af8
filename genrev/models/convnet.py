"""Convolutional classifiers for images of any size, as a plain chain of layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from genrev.errors import ArgumentError
from genrev.models.layered import ACTIVATIONS, Layered, are_widths, one_a_layer

_ENDS = ("softmax", "log_softmax")
"""Activations that belong behind the last layer: over the columns of an image they mean nothing."""


class ConvNet(Layered):
    """A convolutional network: convolution, activation and average pooling in turn, then a linear layer.

    Convolutions are 3 x 3 and keep the size; pooling halves it, rounded up, so that any size will do, one pixel too.

    Args:
        shape: of an image: channels, height, width.
        widths: the channels of each convolution, and last the number of outputs: ``(16, 32, 10)``.
        activation: one name for all layers, or one a layer: see `ACTIVATIONS`; a softmax stands behind the last alone.

    Raises:
        ArgumentError: the shape is no image's, fewer than two widths, or another number of activations than widths.
        UnknownNameError: an activation has no such name.

    Reference:
        LeCun, Bottou, Bengio and Haffner, 1998, "Gradient-based learning applied to document recognition";
        He, Zhang, Ren and Sun, 2015, "Delving deep into rectifiers" (the first weights).

    Example:
        >>> import torch
        >>> ConvNet((3, 9, 7), (8, 16, 10), "relu")(torch.zeros(2, 3, 9, 7)).shape
        torch.Size([2, 10])
    """

    def __init__(self, shape: Sequence[int], widths: Sequence[int], activation: str | Sequence[str] = "relu") -> None:
        channels, height, width = check_image(shape)
        sizes: list[Any] = list(widths) if isinstance(widths, Iterable) else [widths]
        if not are_widths(sizes):
            raise ArgumentError(
                f"expected the channels of at least one convolution and the number of outputs, all positive, got "
                f"{sizes}; write them as (16, 32, 10)"
            )
        sizes = [int(size) for size in sizes]
        names = one_a_layer(activation, len(sizes))
        layers: list[nn.Module] = []
        for before, after, name in zip([channels, *sizes], sizes[:-1], names, strict=False):
            if name in _ENDS:
                raise ArgumentError(
                    f"expected {name} behind the last layer alone, got it behind a convolution; use relu"
                )
            layers += [
                _convolution(before, after),
                ACTIVATIONS[name](),
                nn.AvgPool2d(2, ceil_mode=True),
            ]
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        layers += [nn.Flatten(), nn.Linear(sizes[-2] * height * width, sizes[-1]), ACTIVATIONS[names[-1]]()]
        super().__init__(layers, {"shape": list(shape), "widths": sizes, "activation": names})


def _convolution(before: int, after: int) -> nn.Conv2d:
    """Return a convolution whose values keep their scale behind a rectifier, so that the layers behind it learn too."""
    layer = nn.Conv2d(before, after, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def check_image(shape: Any) -> tuple[int, int, int]:
    """Return an image's channels, height and width.

    Args:
        shape: of one input, without the batch.

    Raises:
        ArgumentError: it is no image's.

    Example:
        >>> check_image([1, 28, 28])
        (1, 28, 28)
    """
    sizes = tuple(shape) if isinstance(shape, Sequence) else ()
    if len(sizes) != 3 or any(isinstance(one, bool) or not isinstance(one, int) or one < 1 for one in sizes):
        raise ArgumentError(
            f"expected images of shape (channels, height, width) for convolutions, got inputs of shape {shape}; "
            "reshape them, or use arch='mlp'"
        )
    return sizes
