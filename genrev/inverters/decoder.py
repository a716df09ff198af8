"""decoder: the mean of the inputs that give an output, by regression from outputs to inputs."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from genrev.inverter import Inverter, Problem, Proposal, Traits
from genrev.inverters.conditions import MEMBERS, Conditions
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
        x, y = inputs.flatten(1), self.network.evaluate(inputs)
        with seeded(seed, x.device):
            members = torch.randperm(len(x), device=x.device)[:MEMBERS]
            conditions = Conditions(self.network, y[members], self._tolerances())
            model = self._model(conditions)
        centre, unit = x.mean(0), x.std()
        given, wanted = conditions.of(y), (x - centre) / unit

        def loss(rows: Tensor) -> Tensor:
            return (model(given[rows]) - wanted[rows]).square().mean(1)

        self.history = train(
            model,
            loss,
            len(x),
            epochs=math.ceil(self.steps / math.ceil(len(x) / self.batch_size)),
            batch_size=self.batch_size,
            rate=self.rate,
            weight_decay=self.weight_decay,
            seed=seed,
            label="decoder",
        )
        self.model, self.conditions = model.requires_grad_(False), conditions
        self._centre, self._unit = centre, unit

    def _model(self, conditions: Conditions) -> nn.Module:
        model = MLP((conditions.size, self.hidden, self.hidden, self.network.space.size), ("elu", "elu", "identity"))
        return model.to(self.network.device, self.network.dtype)

    def _row_bytes(self) -> int:
        return (self.conditions.outputs.numel() + 2 * self.hidden) * self.network.dtype.itemsize

    def _propose(self, problem: Problem) -> Proposal:
        condition = self.conditions.of(self.conditions.fill(problem.target, problem.noise))
        x = self.model(condition) * self._unit + self._centre
        return Proposal(x.reshape(-1, *self.network.space.shape))

    def _tensors(self) -> dict[str, Tensor]:
        learned = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        return {**learned, "outputs": self.conditions.outputs, "centre": self._centre, "unit": self._unit}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self.conditions = Conditions(self.network, tensors["outputs"], self._tolerances())
        self._centre, self._unit = tensors["centre"], tensors["unit"]
        self.model = self._model(self.conditions).requires_grad_(False).eval()
        prefix = "model."
        self.model.load_state_dict({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})
