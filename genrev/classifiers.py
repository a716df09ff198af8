"""Standard classifiers: trains the network that is then inverted, where the user brings none of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from genrev.checks import called_as, check_seed, one_of
from genrev.errors import ArgumentError
from genrev.models import MLP, ConvNet, Layered, check_image, fold_scale
from genrev.network import Network
from genrev.space import InputSpace
from genrev.training import seeded, train

if TYPE_CHECKING:
    from genrev.data import Dataset


@dataclass(frozen=True)
class Recipe:
    """A classifier that is known to learn its data.

    Args:
        layers: the widths of the input and of every layer.
        activation: of each layer, by name; the last is "softmax" or "sigmoid".
        epochs: of training.
        batch_size: inputs a step.
        rate: learning rate of the first step.
        weight_decay: decoupled weight decay.
        noise: standard deviation of the noise that is added to the inputs in training: see `train_classifier`.

    Example:
        >>> STANDARD["digits"].layers
        (64, 128, 64, 10)
    """

    layers: tuple[int, ...]
    activation: tuple[str, ...]
    epochs: int = 40
    batch_size: int = 100
    rate: float = 1e-2
    weight_decay: float = 1e-4
    noise: float = 0.0

    @property
    def ends(self) -> tuple[int, int]:
        """How many values an input has, and how many classes there are."""
        return self.layers[0], self.layers[-1]

    def train(self, dataset: Dataset, *, seed: int = 0) -> Network:
        """Return the network trained on a data set.

        Args:
            dataset: of inputs with as many values as the first layer takes.
            seed: non-negative integer: all randomness comes from it.

        Example:
            >>> from genrev.data import xo
            >>> Recipe((1024, 4, 2), ("sigmoid", "sigmoid"), epochs=1).train(xo(20)).output_shape
            (2,)
        """
        return train_classifier(dataset, seed=seed, **vars(self))


STANDARD: Mapping[str, Recipe] = MappingProxyType(
    {
        # Decay and noise keep eight hidden units from saturating, and an output of 0.99 from being said of what is not.
        "xo": Recipe((1024, 8, 8, 2), ("sigmoid",) * 3, weight_decay=0.1, noise=0.2),
        "digits": Recipe(
            (64, 128, 64, 10), ("relu", "relu", "softmax"), epochs=60, batch_size=64, weight_decay=1e-2, noise=0.2
        ),
        "idx": Recipe((784, 256, 128, 10), ("relu", "relu", "softmax"), epochs=10, batch_size=128, rate=2e-3),
    }
)
"""The standard network of each kind of data that is always alike, by the name that `genrev.data.load_splits` knows."""

_HIDDEN: Mapping[str, tuple[int, ...]] = {"mlp": (128, 64), "conv": (32, 64)}
"""The widths of the hidden layers, or the channels of the convolutions, where none are given."""

_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "softmax": lambda logits, labels: functional.cross_entropy(logits, labels, reduction="none"),
    "sigmoid": lambda logits, labels: functional.binary_cross_entropy_with_logits(
        logits, functional.one_hot(labels, logits.shape[1]).to(logits), reduction="none"
    ).sum(1),
}
"""What a wrong answer costs, ``(batch,)``, by the last activation, from the values before it."""


@called_as("train_classifier(dataset, layers=(64, 32, 10), activation=('relu', 'softmax'))")
def train_classifier(
    dataset: Dataset,
    *,
    layers: Sequence[int] | None = None,
    activation: str | Sequence[str] | None = None,
    arch: str = "mlp",
    epochs: int = 40,
    batch_size: int = 100,
    rate: float = 1e-2,
    weight_decay: float = 1e-4,
    noise: float = 0.0,
    seed: int = 0,
) -> Network:
    """Train a fully connected or convolutional classifier.

    A last layer of softmax learns by cross-entropy, one of sigmoids by binary cross-entropy for each class. Features in
    units of their own are brought to mean 0 and deviation 1 for the training, and the first layer's weights take that
    in afterwards: the network takes features as they are. One that never varies in the data it does not look at.

    Args:
        dataset: inputs ``(n, *input_shape)`` and their labels.
        layers: of "mlp" the widths of the input and of every layer: as many inputs as the data have values, as many
            outputs as there are classes; of "conv" the channels of each convolution, and last the classes. By default
            two hidden layers.
        activation: one name for all layers, or one a layer; the last is "softmax" or "sigmoid". By default "relu" and,
            last, "softmax".
        arch: "mlp", fully connected, or "conv", for images.
        epochs: at least 1.
        batch_size: inputs a step.
        rate: learning rate of the first step; falls to zero along a half cosine.
        weight_decay: decoupled weight decay.
        noise: standard deviation of the noise that is added to the inputs in training: in input units for inputs in
            [0, 1], else in standard deviations of each feature.
        seed: non-negative integer: all randomness comes from it.

    Returns:
        The network, on the data's space, in the inputs' own precision.

    Raises:
        ArgumentError: the widths do not fit the data, the last activation gives no probabilities, or there is no such
            arch.
        UnknownNameError: an activation has no such name.

    Example:
        >>> from genrev.data import xo
        >>> network = train_classifier(xo(20), layers=(1024, 4, 2), activation="sigmoid", epochs=1)
        >>> network.outputs, network.output_shape
        ('sigmoid', (2,))
    """
    from genrev.data import Dataset

    if not isinstance(dataset, Dataset):
        raise ArgumentError(
            f"expected a Dataset, got {type(dataset).__name__}; write genrev.data.Dataset(inputs, labels, names)"
        )
    space, seed = dataset.space, check_seed(seed)
    with seeded(seed):
        module = _build(arch, layers, activation, space, len(dataset.names)).to(dataset.inputs.dtype)
    last = module.activation[-1]
    if last not in _LOSSES:
        raise ArgumentError(
            f"expected a last activation of {' or '.join(_LOSSES)}, got {last!r}; a class needs a share"
        )
    logits: nn.Module = module[:-1]
    # What images are convolved with is the same at each place, so no scale of single values can be folded in.
    scale = None if arch == "conv" else _standard_scale(dataset)
    inputs = dataset.inputs if scale is None else (dataset.inputs - scale[0]) * scale[1]

    def loss(rows: Tensor) -> Tensor:
        x = inputs[rows]
        return _LOSSES[last](logits(x + noise * torch.randn_like(x) if noise else x), dataset.labels[rows])

    # Every example teaches: the schedule ends at rate zero, and what is held out is measured elsewhere.
    history = train(
        module,
        loss,
        len(dataset),
        epochs=epochs,
        batch_size=batch_size,
        rate=rate,
        weight_decay=weight_decay,
        validation=0.0,
        seed=seed,
        label="network",
        data={"inputs": dataset.inputs, "labels": dataset.labels},
    )
    if scale is not None:
        fold_scale(module[1], *(part.flatten() for part in scale))
    network = Network(module, space=space)
    network.history = history
    return network


def _standard_scale(dataset: Dataset) -> tuple[Tensor, Tensor] | None:
    """Return what to subtract from features and what to multiply them with then, ``input_shape``; None for pixels."""
    space, inputs = dataset.space, dataset.inputs
    if bool((space.low == 0).all() and (space.high == 1).all()):
        return None
    values = inputs.double()
    deviation = values.std(0, correction=0)
    # Rounding may give a constant a deviation.
    varies = values.amax(0) > values.amin(0)
    factor = torch.where(varies, 1 / torch.where(varies, deviation, 1.0), 0.0)
    return values.mean(0).to(inputs), factor.to(inputs)


def accuracy(network: Network, dataset: Dataset) -> float:
    """Return the share of inputs whose greatest output is that of their label, in [0, 1].

    Args:
        network: with an output for each class.
        dataset: inputs that the network was not trained on.

    Example:
        >>> from genrev.data import xo
        >>> network = train_classifier(xo(400), layers=(1024, 8, 2), activation="sigmoid", epochs=10)
        >>> accuracy(network, xo(100, seed=1)) > 0.6
        True
    """
    return float((network.evaluate(dataset.inputs).argmax(1).cpu() == dataset.labels).double().mean())


def _build(
    arch: str,
    layers: Sequence[int] | None,
    activation: str | Sequence[str] | None,
    space: InputSpace,
    classes: int,
) -> Layered:
    """Return the untrained network; two hidden layers of relu and a softmax where nothing else is said."""
    one_of("arch", arch, _HIDDEN)
    ends = (space.size,) if arch == "mlp" else ()
    if arch == "conv":
        check_image(space.shape)
    layers = (*ends, *_HIDDEN[arch], classes) if layers is None else layers
    _check_widths(layers, ends, classes)
    if activation is None:
        activation = ["relu"] * (len(layers) - len(ends) - 1) + ["softmax"]
    return MLP(layers, activation) if arch == "mlp" else ConvNet(space.shape, layers, activation)


def _check_widths(layers: Sequence[int], ends: tuple[int, ...], classes: int) -> None:
    write = f"write ({''.join(f'{size}, ' for size in ends)}..., {classes})"
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise ArgumentError(f"expected layers as a tuple of widths, got {layers!r}; {write}")
    if len(layers) < 2 or tuple(layers[: len(ends)]) != ends or layers[-1] != classes:
        begin = f"{ends[0]} input values" if ends else "the channels of a convolution"
        raise ArgumentError(f"expected layers from {begin} to {classes} classes, got {tuple(layers)}; {write}")
