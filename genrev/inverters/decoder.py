"""decoder: the mean of the inputs that give an output, by regression from outputs to inputs."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from genrev.inverter import Inverter, Problem, Proposal, Traits
from genrev.inverters.conditions import MEMBERS, Conditions
from genrev.inverters.units import Units
from genrev.models import MLP
from genrev.network import Network
from genrev.training import History, seeded, train


class DecoderInverter(Inverter):
    """Learns the mean input for each output, as what one layer of a network keeps is made visible.

    Args:
        network: the network to invert.
        tolerance: the residual that counts as met, in output units.
        hidden: width of the hidden layers.
        steps: training steps, at most.
        batch_size: inputs a step.
        rate: learning rate of the first step.
        weight_decay: decoupled weight decay.

    Reference:
        Dosovitskiy and Brox, 2016, "Inverting visual representations with convolutional networks".

    Example:
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Linear(3, 1), space=InputSpace((3,)))
        >>> DecoderInverter(network, steps=2).fit(torch.randn(32, 3)).reconstruct([[0.5]]).x.shape
        torch.Size([1, 1, 3])
    """

    traits: ClassVar[Traits] = Traits(
        summary="The decoder gives the mean of the inputs with such an output: plausible where that mean is.",
        learns=True,
    )

    def __init__(
        self,
        network: Network,
        *,
        tolerance: float | Tensor = 1e-3,
        hidden: int = 256,
        steps: int = 3000,
        batch_size: int = 64,
        rate: float = 1e-3,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(network, tolerance=tolerance)
        self.hidden, self.steps, self.batch_size = hidden, steps, batch_size
        self.rate, self.weight_decay = rate, weight_decay
        self.history: History | None = None

    def _fit(self, inputs: Tensor, seed: int) -> None:
        outputs, units = self.network.evaluate(inputs), Units.fit(inputs)
        with seeded(seed, inputs.device):
            members = torch.randperm(len(inputs), device=inputs.device)[:MEMBERS]
            conditions = Conditions(self.network, outputs[members], self._tolerances())
            model = self._model(conditions)
        given, wanted = conditions.of(outputs), units.of(inputs)

        def loss(rows: Tensor) -> Tensor:
            return (model(given[rows]) - wanted[rows]).square().mean(1)

        self.history = train(
            model,
            loss,
            len(inputs),
            epochs=math.ceil(self.steps / math.ceil(len(inputs) / self.batch_size)),
            batch_size=self.batch_size,
            rate=self.rate,
            weight_decay=self.weight_decay,
            seed=seed,
            label="decoder",
        )
        self.model, self.conditions, self._units = model.requires_grad_(False), conditions, units

    def _model(self, conditions: Conditions) -> nn.Module:
        model = MLP((conditions.size, self.hidden, self.hidden, self.network.space.size), ("elu", "elu", "identity"))
        return model.to(self.network.device, self.network.dtype)

    def _row_bytes(self) -> int:
        return (self.conditions.outputs.numel() + 2 * self.hidden) * self.network.dtype.itemsize

    def _propose(self, problem: Problem) -> Proposal:
        condition = self.conditions.of(self.conditions.fill(problem.target, problem.noise))
        return Proposal(self._units.inputs(self.model(condition)))

    def _tensors(self) -> dict[str, Tensor]:
        learned = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        return {**learned, "outputs": self.conditions.outputs, "centre": self._units.centre, "unit": self._units.unit}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self.conditions = Conditions(self.network, tensors["outputs"], self._tolerances())
        self._units = Units(tensors["centre"], tensors["unit"], self.network.space.shape)
        self.model = self._model(self.conditions).requires_grad_(False).eval()
        prefix = "model."
        self.model.load_state_dict({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})
