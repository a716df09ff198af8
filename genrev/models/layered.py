"""What the networks that genrev builds share: activations by name, one a layer, and parts that are plain sequences."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from genrev.errors import ArgumentError, UnknownNameError, nearest

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "softmax": lambda: nn.Softmax(-1),
    "log_softmax": lambda: nn.LogSoftmax(-1),
}
"""The activations that a layer can be given by name."""


class Layered(nn.Sequential):
    """A network built from plain values: layers that run one after another, each with an activation.

    Args:
        layers: in the order they run.
        arguments: what the constructor needs to build the same network again.
    """

    def __init__(self, layers: Iterable[nn.Module], arguments: dict[str, Any]) -> None:
        super().__init__(*layers)
        self.arguments = arguments

    def __getitem__(self, place: Any) -> Any:
        """Return a layer, or for a slice those layers as a plain `nn.Sequential`."""
        return nn.Sequential(*list(self)[place]) if isinstance(place, slice) else super().__getitem__(place)

    @property
    def activation(self) -> list[str]:
        """The name of each layer's activation."""
        return self.arguments["activation"]


def are_widths(sizes: Sequence[Any]) -> bool:
    """Return whether these are the widths of what goes in and of at least one layer: positive whole numbers.

    Args:
        sizes: what was given for them.

    Example:
        >>> are_widths([16, 8, 2]), are_widths([16]), are_widths([16, 2.5])
        (True, False, False)
    """
    return len(sizes) >= 2 and all(
        isinstance(size, numbers.Integral) and not isinstance(size, bool) and int(size) >= 1 for size in sizes
    )


def one_a_layer(activation: str | Sequence[str], layers: int) -> list[str]:
    """Return the name of each layer's activation.

    Args:
        activation: one name for all layers, or one a layer.
        layers: how many there are.

    Raises:
        ArgumentError: another number of names than layers.
        UnknownNameError: an activation has no such name.

    Example:
        >>> one_a_layer("tanh", 2)
        ['tanh', 'tanh']
    """
    if not isinstance(activation, (str, Iterable)):
        raise ArgumentError(
            f"expected an activation's name, or one for each layer, got {activation!r}; choose of "
            f"{', '.join(ACTIVATIONS)}"
        )
    names = [activation] * layers if isinstance(activation, str) else list(activation)
    if len(names) != layers:
        raise ArgumentError(
            f"expected one activation or one for each of {layers} layers, got {len(names)}; name as many"
        )
    for name in names:
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise UnknownNameError(
                f"expected an activation of {', '.join(ACTIVATIONS)}, got {name!r}"
                f"{nearest(str(name), ACTIVATIONS) or '; choose one of them'}"
            )
    return names
