"""cvae: draws from p(input given output), by a conditional variational autoencoder on the network's own outputs."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from genrev.checks import real, whole
from genrev.inverter import Inverter, Problem, Proposal, Traits
from genrev.inverters.conditions import Conditions
from genrev.inverters.learned import Course, Learned, Schedule, image_of, map_values, restore
from genrev.models import ConditionalVAE, calibrated
from genrev.network import Network
from genrev.rows import rowwise
from genrev.training import History

_NEAR, _SHARE = 256, 0.25
"""A latent is drawn from the posterior of one of so many members, those of nearest output, or of that share of all if
that is fewer. A share alone grows with the data: of 4,096 digits a quarter reaches the outputs of other classes, whose
latents draw other digits. Fewer copy."""


class CVAEInverter(Inverter):
    """Learns what inputs with a given output look like, and draws them.

    It trains on inputs and what the network says of them; labels are not used. Half of the conditions are perturbed in
    training, because a target typed by hand lies off the manifold of real outputs, and a term through the network asks
    draws to give the output they were drawn for. The latent of a draw comes from the posterior of a training input
    whose output is among the nearest 256, or the nearest quarter of a small training set: the standard normal law has
    holes where no data are, a wider choice draws what has other outputs, and a narrower one copies.

    Args:
        network: the network to invert.
        tolerance: the residual that counts as met, in output units.
        arch: "mlp", dense layers; "conv", convolutions, for images; "auto": convolutions for images of more than 16
            pixels a side.
        latent: number of latent values.
        hidden: width of the dense hidden layers.
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

    _learned: Learned[ConditionalVAE]

    def __init__(
        self,
        network: Network,
        *,
        tolerance: float | Tensor = 1e-3,
        arch: str = "mlp",
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
        self._image = image_of(arch, network)
        # What "auto" came to, so that a file says what it holds.
        self.arch = "mlp" if self._image is None else "conv"
        self.latent, self.hidden = whole("latent", latent), whole("hidden", hidden)
        self.steps, self.batch_size = whole("steps", steps), whole("batch_size", batch_size)
        self.rate, self.weight_decay = real("rate", rate, above=True), real("weight_decay", weight_decay)
        self.jitter, self.fidelity = real("jitter", jitter), real("fidelity", fidelity)
        self.noise = real("noise", noise)
        self.history: History | None = None

    def _fit(self, inputs: Tensor, seed: int) -> None:
        course = Course(self.network, self._tolerances(), inputs, self._model, seed=seed)
        lesson = _Lesson(self, course)
        schedule = Schedule(self.steps, self.batch_size, self.rate, self.weight_decay)
        history = course.train(lesson, lesson, schedule, label="cvae")
        kept = course.wanted[course.members], course.conditions.members
        size = self.network.rows_at_once(map_values(self._image) * self.network.dtype.itemsize)
        posterior = [
            torch.cat(course.model.posterior(*part), 1) for part in zip(*(v.split(size) for v in kept), strict=True)
        ]
        self._learned, self.history = course.learned(posterior=torch.cat(posterior)), history

    def _model(self, conditions: Conditions) -> ConditionalVAE:
        size, latent, hidden = self.network.space.size, self.latent, self.hidden
        return ConditionalVAE(size, conditions.size, latent=latent, hidden=hidden, image=self._image)

    @property
    def outputs_seen(self) -> Tensor | None:
        """The outputs of the members that conditions are made by; None before it is fitted."""
        return self._learned.conditions.outputs if self.fitted else None

    def _row_bytes(self) -> int:
        # Distances to the members: of outputs for what is free, of conditions for the latent.
        values = 3 * self._learned.conditions.outputs.numel() + 4 * self.hidden + map_values(self._image)
        return values * self.network.dtype.itemsize

    def _propose(self, problem: Problem) -> Proposal:
        learned, model = self._learned, self._learned.model
        condition = learned.conditions.of(learned.conditions.fill(problem.target, problem.noise))
        count = min(_NEAR, math.ceil(_SHARE * len(learned.conditions.members)))
        like = learned.conditions.near(condition, count, problem.noise, stream=2)
        mean, log_scale = learned.kept["posterior"][like].chunk(2, 1)
        z = mean + log_scale.exp() * problem.noise.normal((self.latent,)).to(condition)
        units = rowwise(model.decode, z, condition)
        deviation = self.noise * (model.log_variance / 2).exp()
        units = units + deviation * problem.noise.normal((units.shape[1],), stream=1).to(units)
        return Proposal(learned.units.inputs(units))

    def _tensors(self) -> dict[str, Tensor]:
        return self._learned.tensors()

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self._learned = restore(self.network, self._tolerances(), self._model, tensors, posterior=2 * self.latent)


class _Lesson(nn.Module):
    """One training run: what the model sees of each input, and what that costs."""

    def __init__(self, inverter: CVAEInverter, course: Course[ConditionalVAE]) -> None:
        super().__init__()
        self.model = course.model
        like = course.wanted
        self.log_variance = nn.Parameter(torch.zeros(1, dtype=like.dtype, device=like.device))
        self._inverter, self._course = inverter, course

    def forward(self, rows: Tensor) -> Tensor:
        condition = self._course.given[rows]
        if self.training:
            shaken = torch.rand_like(condition[:, :1]) < 0.5
            condition = condition + self._inverter.jitter * shaken.to(condition) * torch.randn_like(condition)
        loss = self.model.loss(self._course.wanted[rows], condition)
        if not self._inverter.fidelity:
            return loss
        z = torch.randn(len(rows), self._inverter.latent, dtype=condition.dtype, device=condition.device)
        said = self._said_of(self._course.units.inputs(self.model.decode(z, condition)))
        return loss + self._inverter.fidelity * calibrated(said - condition, self.log_variance)

    def _said_of(self, inputs: Tensor) -> Tensor:
        network = self._inverter.network
        return self._course.conditions.of(network(network.space.project(inputs)))
