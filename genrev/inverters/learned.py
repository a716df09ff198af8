"""What a method that trains a model shares with the others that do: its course of training, and what it keeps of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from genrev.arrays import expect_shaped
from genrev.checks import one_of
from genrev.errors import ArgumentError
from genrev.inverters.conditions import MEMBERS, Conditions
from genrev.inverters.units import Units
from genrev.models import check_image, with_weights
from genrev.network import Network
from genrev.training import History, seeded, train

Model = TypeVar("Model", bound=nn.Module)

ARCHS = ("mlp", "conv", "auto")

_SMALL = 16
"""The shorter side of an image, up to which "auto" takes dense layers: of 8 pixels they recall more, of 28 far less."""

_MODEL = "model."
"""What the names of a model's own tensors begin with in a file."""


def image_of(arch: str, network: Network) -> tuple[int, int, int] | None:
    """Return the channels, height and width that convolutions work on; None where dense layers do.

    Args:
        arch: "mlp", "conv", or "auto": convolutions for images of more than `_SMALL` pixels a side.
        network: whose inputs they are; a plane of numbers counts as one channel.

    Raises:
        ArgumentError: there is no such arch, or convolutions are asked for and the inputs are no images.
    """
    one_of("arch", arch, ARCHS)
    shape = network.space.shape
    if arch == "mlp" or (arch == "auto" and (len(shape) != 3 or min(shape[1:]) <= _SMALL)):
        return None
    return check_image((1, *shape) if len(shape) == 2 else shape)


def map_values(image: tuple[int, int, int] | None) -> int:
    """Return how many values the maps of convolutions take for one image, at most: none without them.

    Args:
        image: channels, height and width, or None.
    """
    return 0 if image is None else (16 + 2 * image[0]) * math.prod(image[1:])


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a model trains.

    Args:
        steps: at most.
        batch_size: examples a step.
        rate: learning rate of the first step.
        weight_decay: decoupled weight decay.
    """

    steps: int
    batch_size: int
    rate: float
    weight_decay: float


@dataclass(frozen=True, eq=False)
class Learned(Generic[Model]):
    """A trained model and the scales that it works in: what a method needs to answer, and what its file holds.

    Frozen, so that a method takes it over in one assignment: a training that fails leaves what was learned before.

    Args:
        model: in eval mode, without gradients.
        conditions: what the model is told of outputs.
        units: the scale of the inputs that it gives.
        kept: what else the method looks up, by name.
    """

    model: Model
    conditions: Conditions
    units: Units
    kept: Mapping[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """Return what `restore` needs."""
        own = {f"{_MODEL}{name}": value for name, value in self.model.state_dict().items()}
        scales = {"outputs": self.conditions.outputs, "centre": self.units.centre, "unit": self.units.unit}
        return {**own, **scales, **self.kept}


def restore(
    network: Network,
    tolerance: Tensor,
    build: Callable[[Conditions], Model],
    tensors: Mapping[str, Tensor],
    **kept: int,
) -> Learned[Model]:
    """Return what `Learned.tensors` was taken of.

    Args:
        network: that is inverted.
        tolerance: ``output_shape``.
        build: the untrained model for some conditions.
        tensors: on the network's device.
        kept: how many values for each of the outputs the method keeps, by name.

    Raises:
        ArgumentError: the tensors are not those of such a model.
    """
    left = dict(tensors)
    own = {name.removeprefix(_MODEL): left.pop(name) for name in tensors if name.startswith(_MODEL)}
    size, unit = network.space.size, left.get("unit")
    shapes = {
        "outputs": (None, *network.output_shape),
        "centre": (size,),
        "unit": () if unit is None or unit.ndim == 0 else (size,),
        **{name: (len(left["outputs"]), width) for name, width in kept.items()},
    }
    expect_shaped(left, shapes, network.dtype)
    if len(left["outputs"]) < 2:
        raise ArgumentError("expected the outputs of at least two inputs, got those of one; fit again")
    conditions = Conditions(network, left.pop("outputs"), tolerance)
    units = Units(left.pop("centre"), left.pop("unit"), network.space.shape)
    model = with_weights(lambda: build(conditions), own, network.dtype).to(network.device)
    return Learned(model.requires_grad_(False), conditions, units, left)


class Course(Generic[Model]):
    """A model that is to learn, and what it learns from: inputs and what the network says of them.

    Args:
        network: that is inverted.
        tolerance: ``output_shape``.
        inputs: ``(n, *input_shape)``.
        build: the untrained model for some conditions.
        seed: of the model's first weights, of the members, and of the training.

    Attributes:
        given: ``(n, condition size)``: what the model is told of each input.
        wanted: ``(n, input size)``: the inputs, of unit scale.
        members: integers: which of the inputs the conditions keep, in their order.
    """

    def __init__(
        self,
        network: Network,
        tolerance: Tensor,
        inputs: Tensor,
        build: Callable[[Conditions], Model],
        *,
        seed: int,
    ) -> None:
        outputs = network.evaluate(inputs)
        self.units, self._inputs, self._seed = Units.fit(inputs, network.space), inputs, seed
        with seeded(seed, inputs.device):
            self.members = torch.randperm(len(inputs), device=inputs.device)[:MEMBERS]
            self.conditions = Conditions(network, outputs[self.members], tolerance)
            self.model = build(self.conditions).to(network.device, network.dtype)
        self.given, self.wanted = self.conditions.of(outputs), self.units.of(inputs)

    def train(self, learner: nn.Module, loss: Callable[[Tensor], Tensor], schedule: Schedule, *, label: str) -> History:
        """Train the model, or a part of it, and return the losses.

        Args:
            learner: whose parameters learn: the model, or what holds it and more.
            loss: from example numbers ``(k,)`` to their losses ``(k,)``.
            schedule: how long and how fast.
            label: what the progress bar says.
        """
        n = len(self.wanted)
        return train(
            learner,
            loss,
            n,
            epochs=math.ceil(schedule.steps / math.ceil(n / schedule.batch_size)),
            batch_size=schedule.batch_size,
            rate=schedule.rate,
            weight_decay=schedule.weight_decay,
            seed=self._seed,
            label=label,
            data={"inputs": self._inputs},
        )

    def learned(self, **kept: Tensor) -> Learned[Model]:
        """Return what the method keeps of the course, when it is over.

        Args:
            kept: what else it looks up.
        """
        return Learned(self.model.requires_grad_(False).eval(), self.conditions, self.units, kept)
