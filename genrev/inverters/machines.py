"""What both Boltzmann machines share as inverters: units for inputs and outputs, warm starts, tilted chains."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from genrev.boltzmann.chains import CHAINS
from genrev.boltzmann.learning import Lesson
from genrev.checks import one_of, real, whole
from genrev.errors import ArgumentError
from genrev.inverter import Inverter, Problem, Proposal
from genrev.inverters.clamped import Clamp, ClampedChain
from genrev.inverters.conditions import Conditions
from genrev.inverters.learned import Learned, restore
from genrev.inverters.units import Units
from genrev.models.rbm import RBM
from genrev.noise import Noise, target_keys
from genrev.training import seeded

Machine = TypeVar("Machine", bound=nn.Module)

VISIBLE = ("auto", "bernoulli", "gaussian")

_NARROW = 1e-6
"""The least spread that counts, in that of the value that varies most: what hardly ever varies is not blown up."""

_RATE = {"bernoulli": 0.1, "gaussian": 0.01}
"""How fast machines learn, if nobody says otherwise: values without bounds soon run away."""

_MATCH = 5.0
"""How strongly probabilities are matched, if nobody says otherwise."""

_MEMBERS = 1024
"""How many training outputs have a chain of their own that is kept."""

_SETTLING = 100
"""How many steps those chains go after learning."""

_NEAR, _SHARE = 64, 0.05
"""From how many of those, whose outputs are nearest to the target, or from which share if that is fewer, one begins."""


class BoltzmannInverter(Inverter, Generic[Machine]):
    """An inverter by a machine that has learned inputs and outputs together; which machine, each kind says."""

    _learned: Learned[Machine]

    def _check(self, visible: str, rule: str, gibbs: int, guidance: float, match: float | str) -> None:
        self.visible, self.rule = one_of("visible", visible, VISIBLE), one_of("rule", rule, CHAINS)
        self.gibbs = whole("gibbs", gibbs, least=0)
        self.guidance = real("guidance", guidance)
        self.match = _or_auto("match", match)
        space = self.network.space
        bounded = bool((space.low.isfinite() & space.high.isfinite()).all())
        if visible == "bernoulli" and not bounded:
            raise ArgumentError(
                f"expected inputs with bounds for Bernoulli units, got {space}; bound the space, or take "
                "visible='gaussian'"
            )
        self._kind = visible if visible != "auto" else "bernoulli" if bounded and space.alike else "gaussian"

    def _course(self, steps: int, batch_size: int, rate: float | str, weight_decay: float) -> None:
        self.rate = _or_auto("rate", rate, above=True)
        self.weight_decay = weight_decay
        self.steps, self.batch_size = whole("steps", steps), whole("batch_size", batch_size)
        self._lesson(1)

    def _lesson(self, n: int) -> Lesson:
        """Return how a machine learns from so many inputs."""
        return Lesson(
            self.rule,
            epochs=math.ceil(self.steps / math.ceil(n / self.batch_size)),
            batch_size=self.batch_size,
            rate=_RATE[self._kind] if isinstance(self.rate, str) else self.rate,
            weight_decay=self.weight_decay,
        )

    @property
    def outputs_seen(self) -> Tensor | None:
        """The outputs that chains are kept of; None before it is fitted."""
        return self._learned.conditions.outputs if self.fitted else None

    def _units(self, inputs: Tensor) -> Units:
        space = self.network.space
        if self._kind == "gaussian":
            return self._standard(inputs)
        low, width = (values.flatten().to(inputs) for values in (space.low, space.high - space.low))
        return Units(low, torch.where(width > 0, width, 1.0), space.shape)

    def _standard(self, inputs: Tensor) -> Units:
        """Return the scale of inputs that have real units; without bounds each value has its own.

        A machine learns all at one rate: the steps of a value that is large beside the others would lead it astray.
        """
        units, flat = Units.fit(inputs, self.network.space), inputs.flatten(1)
        if bool((self.network.space.high - self.network.space.low).isfinite().all()):
            return units
        spread = flat.std(0)
        return Units(units.centre, spread.clamp(min=_NARROW * float(spread.max())), units.shape)

    def _values(self, outputs: Tensor, conditions: Conditions) -> Tensor:
        """Return outputs as their units have them, ``(rows, size)``: probabilities as they are, values scaled."""
        if self.network.outputs == "values":
            return conditions.of(outputs)
        return outputs.flatten(1)

    def _fit(self, inputs: Tensor, seed: int) -> None:
        network = self.network
        outputs, units = network.evaluate(inputs), self._units(inputs)
        with seeded(seed, inputs.device):
            members = torch.randperm(len(inputs), device=inputs.device)[:_MEMBERS]
        conditions = Conditions(network, outputs[members], self._tolerances())
        v = units.of(inputs)
        if self._kind == "bernoulli":
            # A value at the end of its range may be rounded beyond it.
            v = v.clamp(0, 1)
        model = self._learn(v, self._values(outputs, conditions), seed)
        model.requires_grad_(False).eval()
        settled = self._settle(model, v[members], self._values(outputs[members], conditions), seed)
        self._learned = Learned(model, conditions, units, {"states": settled})

    @torch.no_grad()
    def _settle(self, model: Machine, v: Tensor, y: Tensor, seed: int) -> Tensor:
        """Return states that chains from the data have come to, for their outputs: where later chains begin."""
        clamp = Clamp(self._top(model), y, 1.0, Noise(target_keys(y, seed)))
        chain = self._chain(model, clamp, None)
        state = chain.begin(self._first(model, v))
        for _ in range(_SETTLING):
            state = chain.move(state)
        return self._carried(model, state)

    def _propose(self, problem: Problem) -> Proposal:
        learned, network = self._learned, self.network
        filled = learned.conditions.fill(problem.target, problem.noise)
        near = min(_NEAR, math.ceil(_SHARE * len(learned.conditions.members)))
        like = learned.conditions.near(learned.conditions.of(filled), near, problem.noise, stream=2)
        asked = self._values(problem.target, learned.conditions)
        clamp = Clamp(self._top(learned.model), asked, self.guidance, problem.noise)
        known = None if problem.known is None else learned.units.of(problem.known)
        chain = self._chain(learned.model, clamp, known)
        state = chain.begin(learned.kept["states"][like])
        # A tolerance is far narrower than what a chain can aim at: values are not matched unless somebody asks for it.
        match = float(self.match) if self.match != "auto" else 0.0 if network.outputs == "values" else _MATCH
        if not match:
            return Proposal(learned.units.inputs(chain.run(state, self.gibbs)[0]))

        def cost(x: Tensor) -> Tensor:
            inputs = network.space.project(learned.units.inputs(x))
            return match * self._mismatch(network.evaluate(inputs), problem)

        x, accepted = chain.run(state, self.gibbs, cost)
        return Proposal(learned.units.inputs(x), {"accepted": accepted})

    def _mismatch(self, outputs: Tensor, problem: Problem) -> Tensor:
        """Return how far outputs are from the target, ``(rows,)``: in nats of probabilities, else in tolerances."""
        target, tiny = problem.target, 1e-7
        free = target.isnan()
        if self.network.outputs == "values":
            away = torch.where(free, 0.0, (outputs - target) / problem.tolerance)
            return away.flatten(1).square().sum(1)
        said = outputs.clamp(tiny, 1 - tiny)
        wanted = torch.where(free, said, target).clamp(tiny, 1 - tiny)
        terms = torch.where(free, 0.0, wanted * (wanted / said).log())
        if self.network.outputs == "sigmoid":
            terms = terms + torch.where(free, 0.0, (1 - wanted) * ((1 - wanted) / (1 - said)).log())
        elif bool(free.any()):
            # What is asked for leaves the same mass to all others together.
            mass = [torch.where(free, 0.0, part).sum(-1) for part in (wanted, said)]
            wanted_rest, said_rest = ((1 - part).clamp(tiny, 1) for part in mass)
            rest = wanted_rest * (wanted_rest / said_rest).log() * free.any(-1).to(terms)
            return terms.flatten(1).sum(1) + rest.flatten(1).sum(1) if rest.ndim > 1 else terms.sum(1) + rest
        return terms.flatten(1).sum(1)

    def _tensors(self) -> dict[str, Tensor]:
        return self._learned.tensors()

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self._learned = restore(self.network, self._tolerances(), self._model, tensors, states=self._state_size())

    def _row_bytes(self) -> int:
        learned = self._learned
        top = self._top(learned.model)
        # A draw is made of four words of eight bytes, some copies of each at once.
        values = (
            3 * learned.conditions.outputs.numel() + 40 * (top.size + top.hidden.size) + 4 * self.network.space.size
        )
        return values * 8

    @abstractmethod
    def _learn(self, v: Tensor, y: Tensor, seed: int) -> Machine:
        """Return a machine that has learned inputs and outputs."""

    @abstractmethod
    def _model(self, conditions: Conditions) -> Machine:
        """Return a machine that has not learned."""

    @abstractmethod
    def _state_size(self) -> int:
        """Return how many values a kept state has."""

    @abstractmethod
    def _top(self, model: Machine) -> RBM:
        """Return the machine that the outputs are clamped on."""

    @abstractmethod
    def _first(self, model: Machine, v: Tensor) -> Tensor:
        """Return what inputs are in the machine's first group."""

    @abstractmethod
    def _carried(self, model: Machine, state: Tensor) -> Tensor:
        """Return the values of the first group that belong to a chain's state, ``(rows, state size)``."""

    @abstractmethod
    def _chain(self, model: Machine, clamp: Clamp, known: Tensor | None) -> ClampedChain:
        """Return the chain that runs on a machine."""


def _or_auto(name: str, value: float | str, *, above: bool = False) -> float | str:
    """Return a number that is at least 0, or above it, or the word that leaves it to the method."""
    if not isinstance(value, str):
        return real(name, value, above=above)
    if value != "auto":
        raise ArgumentError(f'expected {name} to be a number or "auto", got {value!r}; give one of them')
    return value
