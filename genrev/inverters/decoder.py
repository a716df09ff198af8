"""decoder: the mean of the inputs that give an output, by regression from outputs to inputs."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from genrev.checks import real, whole
from genrev.inverter import Inverter, Problem, Proposal, Traits
from genrev.inverters.conditions import Conditions
from genrev.inverters.learned import Course, Learned, Schedule, image_of, map_values, restore
from genrev.models import MLP, UpConvDecoder
from genrev.network import Network
from genrev.rows import rowwise
from genrev.training import History


class DecoderInverter(Inverter):
    """Learns the mean input for each output, as what one layer of a network keeps is made visible.

    Args:
        network: the network to invert.
        tolerance: the residual that counts as met, in output units.
        arch: "mlp", dense layers; "conv", convolutions, for images; "auto": convolutions for images of more than 16
            pixels a side.
        hidden: width of the dense hidden layers.
        steps: training steps, at most.
        batch_size: inputs a step.
        rate: learning rate of the first step.
        weight_decay: decoupled weight decay.

    Reference:
        Dosovitskiy and Brox, 2016, "Inverting visual representations with convolutional networks".

    Example:
        >>> import torch
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Linear(3, 1), space=InputSpace((3,)))
        >>> DecoderInverter(network, steps=2).fit(torch.randn(32, 3)).reconstruct([[0.5]]).x.shape
        torch.Size([1, 1, 3])
    """

    traits: ClassVar[Traits] = Traits(
        summary="The decoder gives the mean of the inputs with such an output: plausible where that mean is.",
        learns=True,
    )

    _learned: Learned[nn.Module]

    def __init__(
        self,
        network: Network,
        *,
        tolerance: float | Tensor = 1e-3,
        arch: str = "mlp",
        hidden: int = 256,
        steps: int = 3000,
        batch_size: int = 64,
        rate: float = 1e-3,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(network, tolerance=tolerance)
        self._image = image_of(arch, network)
        # What "auto" came to, so that a file says what it holds.
        self.arch = "mlp" if self._image is None else "conv"
        self.hidden = whole("hidden", hidden)
        self.steps, self.batch_size = whole("steps", steps), whole("batch_size", batch_size)
        self.rate, self.weight_decay = real("rate", rate, above=True), real("weight_decay", weight_decay)
        self.history: History | None = None

    def _fit(self, inputs: Tensor, seed: int) -> None:
        course = Course(self.network, self._tolerances(), inputs, self._model, seed=seed)
        model, given, wanted = course.model, course.given, course.wanted

        def loss(rows: Tensor) -> Tensor:
            return (model(given[rows]) - wanted[rows]).square().mean(1)

        schedule = Schedule(self.steps, self.batch_size, self.rate, self.weight_decay)
        history = course.train(model, loss, schedule, label="decoder")
        self._learned, self.history = course.learned(), history

    def _model(self, conditions: Conditions) -> nn.Module:
        if self._image is not None:
            return UpConvDecoder(conditions.size, self.hidden, self._image)
        return MLP((conditions.size, self.hidden, self.hidden, self.network.space.size), ("elu", "elu", "identity"))

    @property
    def outputs_seen(self) -> Tensor | None:
        """The outputs of the members that conditions are made by; None before it is fitted."""
        return self._learned.conditions.outputs if self.fitted else None

    def _row_bytes(self) -> int:
        values = self._learned.conditions.outputs.numel() + 2 * self.hidden + map_values(self._image)
        return values * self.network.dtype.itemsize

    def _propose(self, problem: Problem) -> Proposal:
        learned = self._learned
        condition = learned.conditions.of(learned.conditions.fill(problem.target, problem.noise))
        return Proposal(learned.units.inputs(rowwise(learned.model, condition)))

    def _tensors(self) -> dict[str, Tensor]:
        return self._learned.tensors()

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self._learned = restore(self.network, self._tolerances(), self._model, tensors)
