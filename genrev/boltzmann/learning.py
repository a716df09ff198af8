"""How a restricted Boltzmann machine learns: contrastive divergence, persistent chains, or parallel tempering."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genrev.boltzmann.chains import CHAINS, Draws
from genrev.checks import check_seed, one_of, real, whole
from genrev.digest import digest
from genrev.errors import ArgumentError, GenrevError
from genrev.models.rbm import RBM
from genrev.models.units import BernoulliUnits
from genrev.progress import progress
from genrev.resume import tracked
from genrev.training import generators, seeded, set_generators

_OFFSET_RATE = 0.01
"""How much of the hidden units' offsets a batch decides."""

_SEEN = 500
"""How many examples the figures of progress are taken of, at most."""


@dataclass(frozen=True)
class Lesson:
    """How a machine learns.

    Args:
        method: where the machine's own samples come from: "cd", chains that begin at the data each time; "pcd", chains
            that go on; "pt", chains at several temperatures that are swapped.
        gibbs: steps of the chains for each update.
        chains: how many; with "cd" there is one for each example of a batch.
        temperatures: of "pt", from the base rates to the machine.
        epochs: passes over the data.
        batch_size: examples an update.
        rate: learning rate of the first update; falls to zero in a straight line.
        momentum: share of the last update that goes into the next, in [0, 1).
        weight_decay: of the weights alone, in each update times the rate.
        sparsity: the share of the time that a hidden unit should be on, or None for no such wish.
        sparsity_weight: how strong that wish is.
        sampled: whether data of Bernoulli and one-hot units are probabilities, drawn from anew in each update.

    Raises:
        ArgumentError: a value is out of range.

    Example:
        >>> Lesson(method="cd", gibbs=5).gibbs
        5
    """

    method: str = "pcd"
    gibbs: int = 1
    chains: int = 100
    temperatures: int = 10
    epochs: int = 30
    batch_size: int = 100
    rate: float = 0.05
    momentum: float = 0.5
    weight_decay: float = 1e-4
    sparsity: float | None = None
    sparsity_weight: float = 0.1
    sampled: bool = True

    def __post_init__(self) -> None:
        one_of("method", self.method, CHAINS)
        for name in ("gibbs", "chains", "epochs", "batch_size"):
            whole(name, getattr(self, name))
        whole("temperatures", self.temperatures, least=2)
        real("rate", self.rate, above=True)
        real("weight_decay", self.weight_decay)
        real("sparsity_weight", self.sparsity_weight)
        if not 0 <= real("momentum", self.momentum) < 1:
            raise ArgumentError(f"expected momentum in [0, 1), got {self.momentum}; 0.5 is usual")
        if self.sparsity is not None and not 0 < real("sparsity", self.sparsity) < 1:
            raise ArgumentError(f"expected sparsity in (0, 1), got {self.sparsity}; 0.1 is usual")


@dataclass(frozen=True)
class Diary:
    """What was measured while a machine learned, a value after each epoch.

    Args:
        pseudo_likelihood: mean log pseudo-likelihood of held-out data, in nats; NaN where some unit is not binary.
        overfit: mean free energy of held-out data less that of data that are learned from: above 0, and growing, where
            the latter are learned by heart.
        apart: mean free energy of the data less that of the chains: near 0 where the chains have found the data.

    Example:
        >>> Diary().pseudo_likelihood
        []
    """

    pseudo_likelihood: list[float] = field(default_factory=list)
    overfit: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)


def learn(
    rbm: RBM, v: Tensor, lesson: Lesson | None = None, *, validation: float = 0.1, seed: int = 0, label: str = "rbm"
) -> Diary:
    """Have a machine learn the law of data, by stochastic gradient ascent on the log-likelihood.

    Inside of `genrev.resume.resumable` its state is kept in a file: weights, chains and generators.

    Args:
        rbm: that learns, in place; its biases, offsets and base rates are set from the data first.
        v: ``(n, visible)``, n >= 2.
        lesson: how; `Lesson()` by default.
        validation: share of the data that is held out for the figures of progress, in [0, 1); none below ten rows.
        seed: of everything random.
        label: what the progress bar says.

    Returns:
        What was measured after each epoch.

    Raises:
        ArgumentError: the data are of the wrong width, too few, or none that the units can take.
        GenrevError: the weights are not finite any more.

    Reference:
        Hinton, 2002, "Training products of experts by minimizing contrastive divergence"; Tieleman, 2008, "Training
        restricted Boltzmann machines using approximations to the likelihood gradient"; Desjardins et al., 2010,
        "Tempered Markov chain Monte Carlo for training of restricted Boltzmann machines"; Melchior, Fischer and
        Wiskott, 2016, "How to center deep Boltzmann machines".

    Example:
        >>> rbm = RBM([("bernoulli", 4)], 3)
        >>> diary = learn(rbm, torch.eye(4).repeat(5, 1), Lesson(epochs=2), seed=0)
        >>> len(diary.apart)
        2
    """
    lesson = lesson or Lesson()
    check_data(rbm, v)
    with seeded(check_seed(seed), rbm.weight.device), torch.no_grad():
        v = v.to(rbm.weight)
        order = torch.randperm(len(v), device=v.device)
        held = int(len(v) * validation) if len(v) >= 10 else 0
        rbm.begin(v[order[held:]])
        course = _Course(rbm, v[order[:held]], v[order[held:]], lesson)
        plan = {"label": str(label), "lesson": repr(lesson), "validation": float(validation), "seed": int(seed)}
        with tracked(lambda: {**plan, "data": digest({"v": v}), "first weights": digest(rbm.state_dict())}) as run:
            run.restore(course.take_end if run.over else course.take)
            if not run.over:
                with progress(label, lesson.epochs, unit="epoch", done=course.epoch, seconds=course.seconds) as advance:
                    while course.epoch < lesson.epochs:
                        if course.step():
                            advance(**course.figures())
                        run.offer(course.give)
                run.end(course.give_end)
    return course.diary


def check_data(rbm: RBM, v: Tensor, name: str = "data") -> None:
    """Refuse data that a machine can't learn from.

    Args:
        rbm: that is to learn.
        v: ``(n, visible)``.
        name: what the sentence calls them.

    Raises:
        ArgumentError: of the wrong width, too few, or none that the units can take.
    """
    if not isinstance(v, Tensor) or v.ndim != 2 or v.shape[1] != rbm.size or len(v) < 2:
        got = tuple(v.shape) if isinstance(v, Tensor) else type(v).__name__
        raise ArgumentError(
            f"expected {name} as a tensor of shape (n, {rbm.size}), n >= 2, got {got}; give a row an example"
        )
    if not bool(v.isfinite().all()):
        raise ArgumentError(f"expected finite {name}, got NaN or infinity; leave those rows out")
    for group, values in zip(rbm.groups, v.split(rbm.sizes, -1), strict=True):
        group.expect(values, name)


class _Course:
    """A training at some update: all that the updates to come depend on."""

    def __init__(self, rbm: RBM, held: Tensor, learned: Tensor, lesson: Lesson) -> None:
        self._rbm, self._held, self._learned, self._lesson = rbm, held, learned, lesson
        self.diary, self.epoch, self.seconds = Diary(), 0, 0.0
        self._chains = CHAINS[lesson.method](rbm, lesson.gibbs, lesson.chains, lesson.temperatures)
        self._velocity = {name: torch.zeros_like(values) for name, values in rbm.named_parameters()}
        self._model = learned[:0]
        self._order, self._done = torch.empty(0, dtype=torch.int64), 0
        self._began = time.perf_counter()

    def figures(self) -> dict[str, float]:
        """Return what was measured last, what does not apply left out."""
        latest = {name: values[-1] for name, values in vars(self.diary).items()}
        return {name: value for name, value in latest.items() if not math.isnan(value)}

    @property
    def _updates(self) -> int:
        return math.ceil(len(self._learned) / self._lesson.batch_size)

    def step(self) -> bool:
        """Make one update, and return whether that ended an epoch."""
        if not self._done:
            self._order = torch.randperm(len(self._learned), device=self._learned.device)
        batch = self._order[self._done * self._lesson.batch_size :][: self._lesson.batch_size]
        self._update(self._learned[batch])
        self._done += 1
        if self._done < self._updates:
            return False
        self._note()
        self.epoch, self._done = self.epoch + 1, 0
        return True

    def _update(self, data: Tensor) -> None:
        rbm, lesson = self._rbm, self._lesson
        data = self._drawn(data) if lesson.sampled else data
        model = self._chains.sample(data)
        both = torch.cat([data, model])
        hidden = rbm.hidden_mean(both)
        self._chains.note(hidden[len(data) :])
        weight = torch.cat([data.new_full((len(data),), 1 / len(data)), data.new_full((len(model),), -1 / len(model))])
        slopes = rbm.slopes(both, hidden, weight)
        usual = hidden[: len(data)].mean(0)
        if lesson.sparsity is not None:
            slopes["hidden.bias"] += lesson.sparsity_weight * (lesson.sparsity - usual)
        self._move(slopes)
        rbm.move_hidden_offset(torch.lerp(rbm.hidden.offset, usual, _OFFSET_RATE))
        self._model = model

    def _move(self, slopes: Mapping[str, Tensor]) -> None:
        lesson = self._lesson
        updates = self.epoch * self._updates + self._done
        rate = lesson.rate * (1 - updates / (lesson.epochs * self._updates))
        for name, values in self._rbm.named_parameters():
            velocity = self._velocity[name].mul_(lesson.momentum).add_(slopes[name], alpha=rate)
            if name == "weight":
                values.mul_(1 - rate * lesson.weight_decay)
            values.add_(velocity)

    def _drawn(self, data: Tensor) -> Tensor:
        """Return binary and one-hot values drawn from probabilities; real ones as they are."""
        parts = zip(self._rbm.groups, data.split(self._rbm.sizes, -1), strict=True)
        draw = Draws(len(data), data)
        return torch.cat([group.drawn(values, draw) for group, values in parts], -1)

    def _note(self) -> None:
        """Measure, at the end of an epoch."""
        rbm, diary = self._rbm, self.diary
        if not bool(rbm.weight.isfinite().all()):
            raise GenrevError("expected finite weights, got NaN or infinity; scale the data, or lower the rate")
        learned, held = (self._drawn(rows[:_SEEN]) for rows in (self._learned, self._held))
        seen = rbm.free_energy(learned).mean()
        diary.apart.append(float(seen - rbm.free_energy(self._model).mean()))
        diary.overfit.append(float(rbm.free_energy(held).mean() - seen) if len(held) else math.nan)
        diary.pseudo_likelihood.append(float(pseudo_likelihood(rbm, held if len(held) else learned).mean()))

    def give(self) -> dict[str, Any]:
        """Return the state, which shares the machine's memory."""
        return {
            "rbm": self._rbm.state_dict(),
            "velocity": self._velocity,
            "chains": self._chains.state(),
            "model": self._model,
            "order": self._order,
            "generators": generators(self._learned.device),
            "place": [self.epoch, self._done],
            **self._measured(),
        }

    def take(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._rbm.load_state_dict(state["rbm"])
        for name, values in self._velocity.items():
            values.copy_(state["velocity"][name])
        self._chains.restore(state["chains"])
        self._model, self._order = state["model"].to(self._learned), state["order"].to(self._learned.device)
        self.epoch, self._done = map(int, state["place"])
        self._take_measured(state)
        set_generators(self._learned.device, state["generators"])

    def give_end(self) -> dict[str, Any]:
        """Return what the training ended with, in memory of its own."""
        return {"rbm": {name: values.clone() for name, values in self._rbm.state_dict().items()}, **self._measured()}

    def take_end(self, state: Mapping[str, Any]) -> None:
        """Be over, with what an earlier process ended with."""
        self._rbm.load_state_dict(state["rbm"])
        self._take_measured(state)

    def _measured(self) -> dict[str, Any]:
        return {"diary": vars(self.diary), "seconds": self.seconds + time.perf_counter() - self._began}

    def _take_measured(self, state: Mapping[str, Any]) -> None:
        self.diary = Diary(**{name: [*map(float, values)] for name, values in state["diary"].items()})
        self.seconds, self._began = float(state["seconds"]), time.perf_counter()


def pseudo_likelihood(rbm: RBM, v: Tensor) -> Tensor:
    """Return an unbiased estimate of the log pseudo-likelihood of the binary units of each row, in nats, ``(rows,)``.

    One binary unit is drawn for each row, from PyTorch's generator; its log-probability given all others counts for
    all of them.

    Args:
        rbm: any; without binary units the result is NaN.
        v: ``(rows, visible)``, binary units 0 or 1.

    Reference:
        Besag, 1975, "Statistical analysis of non-lattice data".

    Example:
        >>> rbm = RBM([("bernoulli", 5)], 2)
        >>> _ = rbm.weight.data.zero_()
        >>> [round(float(value), 3) for value in pseudo_likelihood(rbm, torch.ones(1, 5))]
        [-3.466]
    """
    kinds = [isinstance(group, BernoulliUnits) for group in rbm.groups for _ in range(group.size)]
    binary = torch.tensor(kinds, device=v.device).nonzero()[:, 0]
    if len(binary) == 0:
        return v.new_full((len(v),), math.nan)
    rows, place = torch.arange(len(v), device=v.device), binary[torch.randint(len(binary), (len(v),), device=v.device)]
    flipped = v.clone()
    flipped[rows, place] = 1 - flipped[rows, place]
    return len(binary) * torch.nn.functional.logsigmoid(rbm.free_energy(flipped) - rbm.free_energy(v))
