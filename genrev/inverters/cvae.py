"""cvae: draws from p(input given output), by a conditional variational autoencoder on the network's own outputs."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from genrev.inverter import Inverter, Problem, Proposal, Traits
from genrev.inverters.conditions import MEMBERS, Conditions
from genrev.inverters.units import Units
from genrev.models import ConditionalVAE, calibrated
from genrev.network import Network
from genrev.training import History, seeded, train

_NEAR = 0.25
"""The share of the training inputs, those of nearest output, whose posterior a latent is drawn from."""


class CVAEInverter(Inverter):
    """Learns what inputs with a given output look like, and draws them.

    It trains on inputs and what the network says of them; labels are not used. Half of the conditions are perturbed in
    training, because a target typed by hand lies off the manifold of real outputs, and a term through the network asks
    draws to give the output they were drawn for. The latent of a draw comes from the posterior of a training input
    whose output is among the nearest quarter: the standard normal law has holes where no data are, and a narrower
    choice copies.

    Args:
        network: the network to invert.
        tolerance: the residual that counts as met, in output units.
        latent: number of latent values.
        hidden: width of the hidden layers.
        steps: training steps, at most.
        batch_size: inputs a step.
        rate: learning rate of the first step.
        weight_decay: decoupled weight decay.
        jitter: standard deviation of the perturbation, in standard deviations of the training conditions.
        fidelity: weight of the term through the network; 0 for none.
        noise: how much of the learned deviation of an input from its mean, given the latent, a draw shows, in [0, 1]:
            more is more diverse and less smooth.

    Reference:
        Sohn, Lee and Yan, 2015, "Learning structured output representation using deep conditional generative models";
        Rybkin, Daniilidis and Levine, 2021, "Simple and effective VAE training with calibrated decoders";
        Tomczak and Welling, 2018, "VAE with a VampPrior" (the posterior of the data as prior).

    Example:
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Linear(3, 1), space=InputSpace((3,)))
        >>> CVAEInverter(network, steps=2).fit(torch.randn(32, 3)).reconstruct([[0.5]], samples=4, seed=0).x.shape
        torch.Size([1, 4, 3])
    """

    traits: ClassVar[Traits] = Traits(
        summary="The conditional VAE draws an input from what it learned of inputs with such outputs.",
        learns=True,
        stochastic=True,
        gradients=True,
    )

    def __init__(
        self,
        network: Network,
        *,
        tolerance: float | Tensor = 1e-3,
        latent: int = 16,
        hidden: int = 256,
        steps: int = 4000,
        batch_size: int = 64,
        rate: float = 1e-3,
        weight_decay: float = 1e-2,
        jitter: float = 0.6,
        fidelity: float = 1.0,
        noise: float = 0.3,
    ) -> None:
        super().__init__(network, tolerance=tolerance)
        self.latent, self.hidden, self.steps, self.batch_size = latent, hidden, steps, batch_size
        self.rate, self.weight_decay = rate, weight_decay
        self.jitter, self.fidelity, self.noise = jitter, fidelity, noise
        self.history: History | None = None

    def _fit(self, inputs: Tensor, seed: int) -> None:
        outputs, units = self.network.evaluate(inputs), Units.fit(inputs)
        with seeded(seed, inputs.device):
            members = torch.randperm(len(inputs), device=inputs.device)[:MEMBERS]
            conditions = Conditions(self.network, outputs[members], self._tolerances())
            model = self._model(conditions)
        lesson = _Lesson(self, model, conditions, units, inputs, outputs)
        self.history = train(
            lesson,
            lesson,
            len(inputs),
            epochs=math.ceil(self.steps / math.ceil(len(inputs) / self.batch_size)),
            batch_size=self.batch_size,
            rate=self.rate,
            weight_decay=self.weight_decay,
            seed=seed,
            label="cvae",
        )
        self.model, self.conditions, self._units = model.requires_grad_(False), conditions, units
        self._posterior = torch.cat(model.posterior(units.of(inputs[members]), conditions.members), 1)

    def _model(self, conditions: Conditions) -> ConditionalVAE:
        model = ConditionalVAE(self.network.space.size, conditions.size, latent=self.latent, hidden=self.hidden)
        return model.to(self.network.device, self.network.dtype)

    def _row_bytes(self) -> int:
        # Distances to the members: of outputs for what is free, of conditions for the latent.
        return (3 * self.conditions.outputs.numel() + 4 * self.hidden) * self.network.dtype.itemsize

    def _propose(self, problem: Problem) -> Proposal:
        condition = self.conditions.of(self.conditions.fill(problem.target, problem.noise))
        like = self.conditions.near(condition, _NEAR, problem.noise, stream=2)
        mean, log_scale = self._posterior[like].chunk(2, 1)
        z = mean + log_scale.exp() * problem.noise.normal((self.latent,)).to(condition)
        units = self.model.decode(z, condition)
        deviation = self.noise * (self.model.log_variance / 2).exp()
        units = units + deviation * problem.noise.normal((units.shape[1],), stream=1).to(units)
        return Proposal(self._units.inputs(units))

    def _tensors(self) -> dict[str, Tensor]:
        learned = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        members = {"outputs": self.conditions.outputs, "posterior": self._posterior}
        return {**learned, **members, "centre": self._units.centre, "unit": self._units.unit}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self.conditions = Conditions(self.network, tensors["outputs"], self._tolerances())
        self._units = Units(tensors["centre"], tensors["unit"], self.network.space.shape)
        self._posterior = tensors["posterior"]
        self.model = self._model(self.conditions).requires_grad_(False).eval()
        prefix = "model."
        self.model.load_state_dict({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})


class _Lesson(nn.Module):
    """One training run: what the model sees of each input, and what that costs."""

    def __init__(
        self,
        inverter: CVAEInverter,
        model: ConditionalVAE,
        conditions: Conditions,
        units: Units,
        inputs: Tensor,
        outputs: Tensor,
    ) -> None:
        super().__init__()
        self.model = model
        self.log_variance = nn.Parameter(torch.zeros(1, dtype=inputs.dtype, device=inputs.device))
        self._inverter, self._conditions, self._units = inverter, conditions, units
        self._wanted, self._known = units.of(inputs), conditions.of(outputs)

    def forward(self, rows: Tensor) -> Tensor:
        condition = self._known[rows]
        if self.training:
            shaken = torch.rand_like(condition[:, :1]) < 0.5
            condition = condition + self._inverter.jitter * shaken.to(condition) * torch.randn_like(condition)
        loss = self.model.loss(self._wanted[rows], condition)
        if not self._inverter.fidelity:
            return loss
        z = torch.randn(len(rows), self._inverter.latent, dtype=condition.dtype, device=condition.device)
        said = self._said_of(self._units.inputs(self.model.decode(z, condition)))
        return loss + self._inverter.fidelity * calibrated(said - condition, self.log_variance)

    def _said_of(self, inputs: Tensor) -> Tensor:
        network = self._inverter.network
        return self._conditions.of(network(network.space.project(inputs)))
