"""Fully connected networks: the classifiers that genrev trains, and those that come as plain arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genrev.errors import ArgumentError
from genrev.models.layered import ACTIVATIONS, Layered, one_a_layer


class MLP(Layered):
    """A fully connected network: Flatten, then Linear and activation in turn.

    Args:
        widths: of the input and of every layer: ``(1024, 8, 8, 2)``.
        activation: one name for all layers, or one a layer: see `ACTIVATIONS`.

    Raises:
        ArgumentError: fewer than two widths, or another number of activations than layers.
        UnknownNameError: an activation has no such name.

    Example:
        >>> MLP((1024, 8, 8, 2), "sigmoid")(torch.zeros(1, 32, 32)).shape
        torch.Size([1, 2])
    """

    def __init__(self, widths: Sequence[int], activation: str | Sequence[str] = "sigmoid") -> None:
        sizes = [int(width) for width in widths]
        if len(sizes) < 2 or min(sizes) < 1:
            raise ArgumentError(
                f"expected the widths of the input and at least one layer, all positive, got {sizes}; "
                "write them as (1024, 8, 8, 2)"
            )
        names = one_a_layer(activation, len(sizes) - 1)
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out, name in zip(sizes, sizes[1:], names, strict=False):
            layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[name]()]
        super().__init__(layers, {"widths": sizes, "activation": names})

    @property
    def widths(self) -> list[int]:
        """Of the input and of every layer."""
        return self.arguments["widths"]


def mlp_from_weights(
    weights: Sequence[Any], biases: Sequence[Any], *, activation: str | Sequence[str] = "sigmoid"
) -> MLP:
    """Build a fully connected network from arrays.

    Args:
        weights: one array a layer, of shape (outputs, inputs).
        biases: one array a layer, of shape (outputs,).
        activation: one name for all layers, or one a layer: see `ACTIVATIONS`.

    Returns:
        The network, in the arrays' own precision (float64 for lists and integers).

    Raises:
        ArgumentError: shapes do not fit one another, or a weight is not finite.
        UnknownNameError: an activation has no such name.

    Example:
        >>> mlp_from_weights([np.eye(2)], [np.zeros(2)], activation="tanh").widths
        [2, 2]
    """
    for name, arrays in (("weights", weights), ("biases", biases)):
        if not isinstance(arrays, Iterable):
            raise ArgumentError(f"expected {name} as a list with an array a layer, got {arrays!r}; write [W1, W2]")
    matrices, vectors = [_tensor(weight) for weight in weights], [_tensor(bias) for bias in biases]
    _check_shapes(matrices, vectors)
    model = MLP([matrices[0].shape[1], *(len(matrix) for matrix in matrices)], activation).to(matrices[0].dtype)
    linears = [layer for layer in model if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, matrix, vector in zip(linears, matrices, vectors, strict=True):
            layer.weight.copy_(matrix)
            layer.bias.copy_(vector)
    return model


def _tensor(array: Any) -> Tensor:
    try:
        values = array.detach().cpu() if isinstance(array, Tensor) else torch.from_numpy(np.array(array))
        if values.is_complex():
            raise TypeError
    except (TypeError, ValueError):
        raise ArgumentError(
            f"expected weights as arrays of real numbers of regular shape, got {type(array).__name__} that is none; "
            "check its rows"
        ) from None
    return values if values.dtype in (torch.float32, torch.float64) else values.double()


def _check_shapes(weights: list[Tensor], biases: list[Tensor]) -> None:
    if not weights or len(weights) != len(biases):
        raise ArgumentError(
            f"expected as many biases as weights, at least one, got {len(weights)} weights and {len(biases)} biases; "
            "give one of each a layer"
        )
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
        width = weights[number - 2].shape[0] if number > 1 else (weight.shape or (0,))[-1]
        if weight.ndim != 2 or weight.shape[1] != width or tuple(bias.shape) != (len(weight),):
            raise ArgumentError(
                f"expected layer {number} to have weights (outputs, {width}) and a bias (outputs,), got "
                f"{tuple(weight.shape)} and {tuple(bias.shape)}; W has a row for each output: transpose it if need be"
            )
        if not bool(weight.isfinite().all() and bias.isfinite().all()):
            raise ArgumentError(f"expected finite weights, got NaN or infinity in layer {number}; train it again")
