"""Fully connected networks: the classifiers that genrev trains, and those that come as plain arrays."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genrev.errors import ArgumentError
from genrev.models.layered import ACTIVATIONS, Layered, are_widths, one_a_layer


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
        sizes: list[Any] = list(widths) if isinstance(widths, Iterable) else [widths]
        if not are_widths(sizes):
            raise ArgumentError(
                f"expected the widths of the input and at least one layer, all positive, got {sizes}; "
                "write them as (1024, 8, 8, 2)"
            )
        sizes = [int(size) for size in sizes]
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


def fold_scale(layer: nn.Linear, centre: Tensor, factor: Tensor) -> None:
    """Have a layer that was trained on (x - centre) * factor give the same of x itself.

    Args:
        layer: whose weights are changed.
        centre: ``(in_features,)``.
        factor: ``(in_features,)``; 0 where the layer is not to look at a value.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> before = layer((torch.tensor([[250.0]]) - 200) * 0.01)
        >>> fold_scale(layer, torch.tensor([200.0]), torch.tensor([0.01]))
        >>> torch.allclose(layer(torch.tensor([[250.0]])), before, atol=1e-5)
        True
    """
    # In double precision, because what a far centre adds to the bias nearly cancels in use.
    with torch.no_grad():
        weight = layer.weight.double() * factor.double()
        layer.bias.copy_(layer.bias.double() - weight @ centre.double())
        layer.weight.copy_(weight)


def weights_from(arrays: Mapping[str, Any]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the weights and biases of a network, in order, from arrays named W1, b1, W2, b2, ...

    Args:
        arrays: by name, and no others: for every layer k, from 1 or from 0 without a gap, ``W<k>`` of shape
            (outputs, inputs) and ``b<k>`` of shape (outputs,), or a row or column of as many.

    Returns:
        Weights and biases, as `mlp_from_weights` takes them.

    Raises:
        ArgumentError: a name is another, is missing or has no partner, or the weights fit one another only transposed.

    Example:
        >>> weights, biases = weights_from({"W1": np.ones((3, 2)), "b1": np.zeros((3, 1))})
        >>> mlp_from_weights(weights, biases).widths
        [2, 3]
    """
    layers = _layers_named(arrays)
    weights = [np.asarray(arrays[f"W{layer}"]) for layer in layers]
    biases = [_flat(np.asarray(arrays[f"b{layer}"])) for layer in layers]
    turned = [weight.T for weight in weights]
    if not _fits(weights, biases) and _fits(turned, biases):
        raise ArgumentError(
            f"expected W{layers[0]} of shape (outputs, inputs), {turned[0].shape}, got {weights[0].shape}; transpose "
            "the weights of all layers: W.T"
        )
    return weights, biases


def _layers_named(arrays: Mapping[str, Any]) -> range:
    """Return the numbers of the layers that arrays are named for."""
    strange = [name for name in arrays if not re.fullmatch(r"[Wb](0|[1-9][0-9]{0,5})", str(name), re.ASCII)]
    if strange or not arrays:
        got = repr(str(strange[0])[:40]) if strange else "none"
        raise ArgumentError(
            f"expected arrays W1, b1, W2, b2, ... and no others, got {got}; give a weight and a bias for each layer"
        )
    numbers = {int(name[1:]) for name in arrays}
    layers = range(min(min(numbers), 1), max(numbers) + 1)
    missing = [name for layer in layers for name in (f"W{layer}", f"b{layer}") if name not in arrays]
    if missing:
        raise ArgumentError(
            f"expected a weight and a bias for each layer up to {layers[-1]}, got no {missing[0]}; number the layers "
            "without a gap, and give a bias of zeros where there is none"
        )
    return layers


def _flat(bias: np.ndarray) -> np.ndarray:
    """Return a bias of one row or of one column as a list."""
    return bias.reshape(-1) if bias.ndim == 2 and 1 in bias.shape else bias


def _fits(weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> bool:
    shaped = all(
        weight.ndim == 2 and bias.shape == weight.shape[:1] for weight, bias in zip(weights, biases, strict=True)
    )
    return shaped and all(one.shape[0] == then.shape[1] for one, then in itertools.pairwise(weights))


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
