"""How a restricted Boltzmann machine learns: contrastive divergence, persistent chains, or parallel tempering."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genrev.boltzmann.chains import CHAINS
from genrev.boltzmann.course import Course
from genrev.boltzmann.given import check_values
from genrev.checks import check_seed, of_type, one_of, real, whole
from genrev.digest import digest
from genrev.errors import ArgumentError, GenrevError
from genrev.models.rbm import RBM
from genrev.models.units import BernoulliUnits
from genrev.training import seeded

_OFFSET_RATE = 0.01
"""How much of the hidden units' offsets a batch decides."""

_LOST = 0.5
"""How many nats a visible unit the chains may lie below the data in the end: a machine that learned lies near 0."""

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
        discriminative: weight of log p(classes given all else) beside the log-likelihood, where the last group are
            classes: above 0 the machine is drawn to what tells them apart, at some cost to the likelihood.
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
    discriminative: float = 0.0
    sampled: bool = True

    def __post_init__(self) -> None:
        one_of("method", self.method, CHAINS)
        for name in ("gibbs", "chains", "epochs", "batch_size"):
            whole(name, getattr(self, name))
        whole("temperatures", self.temperatures, least=2)
        real("rate", self.rate, above=True)
        of_type("sampled", self.sampled, bool)
        real("weight_decay", self.weight_decay)
        real("sparsity_weight", self.sparsity_weight)
        real("discriminative", self.discriminative)
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
        ArgumentError: the data are of the wrong width, too few, or none that the units can take; or another argument is
            of the wrong type or range.
        GenrevError: the weights are not finite any more, or the machine has lost its data.

    Reference:
        Hinton, 2002, "Training products of experts by minimizing contrastive divergence"; Larochelle and Bengio, 2008,
        "Classification using discriminative restricted Boltzmann machines"; Tieleman, 2008, "Training
        restricted Boltzmann machines using approximations to the likelihood gradient"; Desjardins et al., 2010,
        "Tempered Markov chain Monte Carlo for training of restricted Boltzmann machines"; Melchior, Fischer and
        Wiskott, 2016, "How to center deep Boltzmann machines".

    Example:
        >>> rbm = RBM([("bernoulli", 4)], 3)
        >>> diary = learn(rbm, torch.eye(4).repeat(5, 1), Lesson(epochs=2), seed=0)
        >>> len(diary.apart)
        2
    """
    lesson = Lesson() if lesson is None else of_type("lesson", lesson, Lesson)
    check_values(of_type("rbm", rbm, RBM).groups, v)
    if real("validation", validation) >= 1:
        raise ArgumentError(f"expected validation in [0, 1), got {validation}; 0.1 is usual")
    with seeded(check_seed(seed), rbm.weight.device), torch.no_grad():
        v = v.to(rbm.weight)
        order = torch.randperm(len(v), device=v.device)
        # Of a single row there is no variance.
        held = min(int(len(v) * validation), len(v) - 2) if len(v) >= 10 else 0
        rbm.begin(v[order[held:]])
        course = _Course(rbm, v[order[:held]], v[order[held:]], lesson)
        plan = {"lesson": repr(lesson), "validation": float(validation), "seed": int(seed)}
        course.follow(lambda: {**plan, "data": digest({"v": v}), "first weights": digest(rbm.state_dict())}, label)
    diary = Diary(**course.diary)
    if diary.apart[-1] > _LOST * rbm.size:
        raise GenrevError(
            f"expected a machine that holds its data likely, got one whose chains are stuck where it holds states "
            f"{diary.apart[-1]:.0f} nats likelier; lower the rate, which was {lesson.rate:g}, or learn longer"
        )
    return diary


def add_class_slopes(rbm: RBM, slopes: dict[str, Tensor], data: Tensor, weight: float) -> None:
    """Add to a learning rule's slopes those of the mean log p(classes given all else) of examples.

    Args:
        rbm: whose last group are classes.
        slopes: by the parameters' names; changed.
        data: ``(rows, visible)``.
        weight: how much the others' weigh.
    """
    for name, values in rbm.class_slopes(data, data.new_full((len(data),), weight / len(data))).items():
        slopes[name] += values


class _Course(Course):
    """A machine that learns: its chains, and the speed of its parameters."""

    def __init__(self, rbm: RBM, held: Tensor, learned: Tensor, lesson: Lesson) -> None:
        super().__init__(
            rbm,
            len(learned),
            epochs=lesson.epochs,
            batch_size=lesson.batch_size,
            rate=lesson.rate,
            device=learned.device,
        )
        self._rbm, self._held, self._learned, self._lesson = rbm, held, learned, lesson
        self._chains = CHAINS[lesson.method](rbm, lesson.gibbs, lesson.chains, lesson.temperatures)
        self._velocity = {name: torch.zeros_like(values) for name, values in rbm.named_parameters()}
        self._drawn_last = learned[:0]

    def update(self, rows: Tensor, rate: float) -> None:
        """Raise the likelihood of examples, and lower that of what the chains have drawn."""
        rbm, lesson = self._rbm, self._lesson
        data = self._learned.index_select(0, rows)
        if lesson.sampled:
            data = rbm.drawn(data)
        model = self._chains.sample(data)
        both = torch.cat([data, model])
        hidden = rbm.hidden_mean(both)
        self._chains.note(hidden[len(data) :])
        weight = torch.cat([data.new_full((len(data),), 1 / len(data)), data.new_full((len(model),), -1 / len(model))])
        slopes = rbm.slopes(both, hidden, weight)
        usual = hidden[: len(data)].mean(0)
        if lesson.sparsity is not None:
            slopes["hidden.bias"] += lesson.sparsity_weight * (lesson.sparsity - usual)
        if lesson.discriminative:
            add_class_slopes(rbm, slopes, data, lesson.discriminative)
        for name, values in rbm.named_parameters():
            velocity = self._velocity[name].mul_(lesson.momentum).add_(slopes[name], alpha=rate)
            if name == "weight":
                values.mul_(1 - rate * lesson.weight_decay)
            values.add_(velocity)
        for group in rbm.groups:
            group.hold()
        rbm.move_hidden_offset(torch.lerp(rbm.hidden.offset, usual, _OFFSET_RATE))
        self._drawn_last = model

    def measure(self) -> dict[str, float]:
        """Pseudo-likelihood, and the gaps between free energies."""
        rbm = self._rbm
        if not all(bool(values.isfinite().all()) for values in rbm.parameters()):
            raise GenrevError("expected finite weights, got NaN or infinity; scale the data, or lower the rate")
        learned, held = (rbm.drawn(rows[:_SEEN]) for rows in (self._learned, self._held))
        seen = rbm.free_energy(learned).mean()
        likelihood = pseudo_likelihood(rbm, held if len(held) else learned).mean()
        return {
            "pseudo_likelihood": float(likelihood),
            "overfit": float(rbm.free_energy(held).mean() - seen) if len(held) else math.nan,
            "apart": float(seen - rbm.free_energy(self._drawn_last).mean()),
        }

    def kept(self) -> dict[str, Any]:
        """Speeds and chains."""
        return {"velocity": self._velocity, "chains": self._chains.state(), "drawn": self._drawn_last}

    def keep(self, state: Mapping[str, Any]) -> None:
        """Go on from speeds and chains."""
        for name, values in self._velocity.items():
            values.copy_(state["velocity"][name])
        self._chains.restore(state["chains"])
        self._drawn_last = state["drawn"].to(self._learned)


@torch.no_grad()
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
