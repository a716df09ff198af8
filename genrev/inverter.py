"""The contract: an Inverter is asked for inputs that give a target, and an Inversion says honestly what was found.

Read this file first. A method writes one hook, `Inverter._propose`; everything that could flatter it (checking what was
asked, keeping to the input space, running the network again, measuring, grading) happens here, the same for all.
"""

from __future__ import annotations

import inspect
import math
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, ClassVar, Self, final

import numpy as np
import torch
from torch import Tensor

from genrev.arrays import as_numbers
from genrev.checks import called_as, check_seed
from genrev.errors import ArgumentError, NotFittedError
from genrev.network import Network, wrong_inputs
from genrev.noise import Noise, target_keys
from genrev.operators.processes import agreed
from genrev.progress import progress
from genrev.reachable import beyond, why
from genrev.resume import clock

_SUM_SLACK = 1e-3
"""How far typed probabilities may be from summing to one."""

_SPREAD = 0.5
"""Distance of further starts from the first, in standard deviations of the data."""


class Outcome(IntEnum):
    """How the search for one input ended; each member has a sentence with cause and remedy.

    Example:
        >>> Outcome.CONVERGED.sentence
        'The output is within tolerance of the target.'
    """

    CONVERGED = 0
    MISSED = 1
    STALLED = 2
    LIMIT = 3
    DIVERGED = 4
    UNREACHABLE = 5

    # Counts by outcome are printed as they are: names say more there than numbers.
    def __repr__(self) -> str:
        return self.name

    __str__ = __repr__

    @property
    def sentence(self) -> str:
        """What this outcome means, and what to do about it."""
        return _SENTENCES[self]


_SENTENCES = {
    Outcome.CONVERGED: "The output is within tolerance of the target.",
    Outcome.MISSED: "This one-shot method came out above tolerance: put newton behind it, as in cvae+newton "
    "or dbn+newton, or, where the method draws, ask for more samples.",
    Outcome.STALLED: "The solver got no closer from where it began, and returns the nearest output it found: begin "
    "elsewhere, draw more samples, or fit the method on data; where nothing helps, the network may be unable to give "
    "the target: ask for a less extreme one.",
    Outcome.LIMIT: "The steps ran out before the tolerance was met: allow more steps, or use 'newton'.",
    Outcome.DIVERGED: "The result is not finite: check the network's weights and the scale of its inputs, or bound the "
    "input space.",
    Outcome.UNREACHABLE: "No input of the space can give this target, by a sound bound on the network's outputs: ask "
    "for the nearest target inside it.",
}


@dataclass(frozen=True)
class Traits:
    """What an inverter is and needs.

    Args:
        summary: one sentence on how it picks its input.
        learns: it must be fitted before it can reconstruct.
        stochastic: its samples differ.
        uses_start: it stays near a start that is given.
        gradients: it differentiates the network.
        chain: it needs a network that is a chain of layers it knows.
        recurrent: it needs a network with a recurrent layer in it.
        steps: the keyword that says how many steps its Markov chains take, where a draw of fewer steps is where one of
            more has been on its way; None for what runs no such chain.
        drawing: the keywords that decide how a fitted one draws, and nothing of what it learns.

    Example:
        >>> from genrev import CVAEInverter
        >>> CVAEInverter.traits.learns, CVAEInverter.traits.chain
        (True, False)
    """

    summary: str
    learns: bool = False
    stochastic: bool = False
    uses_start: bool = False
    gradients: bool = False
    chain: bool = False
    recurrent: bool = False
    steps: str | None = None
    drawing: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class DataSummary:
    """What every inverter notes of the inputs it was fitted on.

    Args:
        low: ``input_shape``: least value of each coordinate.
        high: ``input_shape``: greatest value.
        mean: ``input_shape``.
        variance: ``input_shape``.
        covariance: ``(size, size)``; None above 2,048 values an input, where it would take more room than it earns.
    """

    low: Tensor
    high: Tensor
    mean: Tensor
    variance: Tensor
    covariance: Tensor | None

    @classmethod
    def of(cls, inputs: Tensor) -> DataSummary:
        """Return the summary of inputs ``(n, *input_shape)``."""
        flat = inputs.flatten(1)
        covariance = torch.cov(flat.T).reshape(flat.shape[1], flat.shape[1]) if flat.shape[1] <= 2048 else None
        return cls(inputs.amin(0), inputs.amax(0), inputs.mean(0), inputs.var(0), covariance)


@dataclass(frozen=True, eq=False)
class Problem:
    """What one hook call is asked: rows, each a sample of a target, independent of one another.

    Args:
        target: ``(rows, *output_shape)``, NaN where any value will do.
        tolerance: ``output_shape``.
        sample: ``(rows,)`` integers: which sample of its target a row is.
        start: ``(rows, *input_shape)``: inputs to stay near, or None.
        known: ``(rows, *input_shape)``: fixed values, NaN where free, or None.
        noise: the random draws of each row.
    """

    target: Tensor
    tolerance: Tensor
    sample: Tensor
    start: Tensor | None
    known: Tensor | None
    noise: Noise

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, rows: slice | Tensor) -> Problem:
        return Problem(
            self.target[rows],
            self.tolerance,
            self.sample[rows],
            None if self.start is None else self.start[rows],
            None if self.known is None else self.known[rows],
            self.noise[rows],
        )

    def repeat(self, times: int) -> Problem:
        """Return ``times`` copies of every row, side by side, each with noise of its own."""

        def copies(values: Tensor) -> Tensor:
            return values.repeat_interleave(times, 0)

        return Problem(
            copies(self.target),
            self.tolerance,
            copies(self.sample) * times + torch.arange(times, device=self.sample.device).repeat(len(self)),
            None if self.start is None else copies(self.start),
            None if self.known is None else copies(self.known),
            self.noise.repeat(times),
        )

    def starting_at(self, x: Tensor) -> Problem:
        """Return the same problem, each row to stay near its own input.

        Args:
            x: ``(rows, *input_shape)``.
        """
        return replace(self, start=x, sample=torch.zeros_like(self.sample))


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a method's hook returns; it can't say that it converged.

    Args:
        x: ``(rows, *input_shape)``.
        stats: each ``(rows, ...)``.
        reason: ``(rows,)`` integers of `Outcome`: why a row ended; counts only where it is above tolerance.
    """

    x: Tensor
    stats: Mapping[str, Tensor] = field(default_factory=dict)
    reason: Tensor | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Inversion:
    """What was asked and what was found.

    Args:
        x: ``(batch, samples, *input_shape)``.
        y: ``(batch, samples, *output_shape)``: f(x), measured.
        residual: ``(batch, samples)``: greatest distance to the target over the asked coordinates, in output units;
            inf where the result is not finite.
        outcome: ``(batch, samples)`` integers, members of `Outcome`.
        target: ``(batch, *output_shape)``, NaN where any value was fine.
        tolerance: the residual that counts as met: a number, or a tensor with one for each output.
        seed: the seed that gives the same answer again.
        stats: what the method says of its work, each ``(batch, samples, ...)``. Only where a target was proved
            unreachable, for all targets: "unreachable", the flat index of the output farthest beyond its bounds, -1
            for a target that may be reachable; "reachable_low" and "reachable_high", the bounds of that output, NaN
            likewise; "nearest", ``(batch, samples, *output_shape)``, the nearest target that the bounds allow, which
            was searched for instead.

    Example:
        >>> from genrev import InputSpace, NewtonInverter
        >>> network = Network(torch.nn.Linear(3, 1), space=InputSpace((3,)))
        >>> found = NewtonInverter(network).reconstruct([[0.5]], samples=2, seed=0)
        >>> found.best.shape, bool(found.converged.all())
        (torch.Size([1, 3]), True)
    """

    x: Tensor
    y: Tensor
    residual: Tensor
    outcome: Tensor
    target: Tensor
    tolerance: float | Tensor
    seed: int
    stats: Mapping[str, Tensor]

    @property
    def converged(self) -> Tensor:
        """``(batch, samples)`` of bool."""
        return self.outcome == Outcome.CONVERGED

    @property
    def best(self) -> Tensor:
        """``(batch, *input_shape)``: the sample with the smallest residual, for each target."""
        return self.x[torch.arange(len(self.x), device=self.x.device), self.residual.argmin(1)]

    def outcomes(self) -> dict[Outcome, int]:
        """Return how many samples ended in which way, the most frequent first; ways that did not occur are left out.

        Printed, it reads ``{CONVERGED: 7, STALLED: 1}``.
        """
        values, counts = torch.unique(self.outcome, return_counts=True)
        pairs = sorted(zip(values.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1])
        return {Outcome(value): count for value, count in pairs}

    def __repr__(self) -> str:
        batch, samples = self.residual.shape
        counts = ", ".join(f"{count} {outcome.name}" for outcome, count in self.outcomes().items())
        return (
            f"Inversion({_count(batch, 'target')} x {_count(samples, 'sample')}: {counts}; "
            f"median residual {float(self.residual.median()):.2g}, seed {self.seed})"
        )


class Inverter(ABC):
    """A way to find inputs that give an output.

    Every inverter is built as ``Kind(network)``, all else by keyword; fitted with `fit`, where it learns; and asked
    with `reconstruct`. A new one is a class with `traits` and `_propose`, and a line in `genrev.inverters.INVERTERS`.

    Args:
        network: the network to invert.
        tolerance: the residual that counts as met, in output units: a positive number, or one for each output.

    Raises:
        ArgumentError: the tolerance is not positive, or the method needs gradients and the network cuts them off.

    Example:
        >>> from genrev import InputSpace
        >>> class Middle(Inverter):
        ...     traits = Traits(summary="The middle of the input space, whatever is asked.")
        ...
        ...     def _propose(self, problem):
        ...         return Proposal(self.network.space.middle.to(problem.target).repeat(len(problem), 1))
        >>> network = Network(torch.nn.Linear(2, 1), space=InputSpace((2,), 0.0, 1.0))
        >>> Middle(network).reconstruct([[0.5]]).x.tolist()
        [[[0.5, 0.5]]]
    """

    traits: ClassVar[Traits]

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Have every method, of any origin, refuse what its constructor does not take with a sentence."""
        super().__init_subclass__(**keywords)
        if "__init__" in vars(cls):
            cls.__init__ = called_as()(cls.__init__)  # type: ignore[method-assign]

    @called_as()
    def __init__(self, network: Network, *, tolerance: float | Tensor = 1e-3) -> None:
        if not isinstance(network, Network):
            raise ArgumentError(
                f"expected a genrev.Network, got {type(network).__name__}; wrap the module: Network(module, space=...)"
            )
        if self.traits.gradients and not network.differentiable:
            raise ArgumentError(
                "expected a network whose outputs have gradients in its inputs, got one that cuts them off; take "
                "no_grad, detach and NumPy out of its forward, or use a method that needs none, such as 'retrieval'"
            )
        self.network = network
        self.tolerance = _check_tolerance(tolerance, network)
        self.data: DataSummary | None = None
        self.fit_seconds: float | None = None
        self.fit_seed: int | None = None

    @abstractmethod
    def _propose(self, problem: Problem) -> Proposal:
        """Return an input for each row of the problem: the one thing that a method writes."""

    def _fit(self, inputs: Tensor, seed: int) -> None:  # noqa: B027
        """Learn from inputs ``(n, *input_shape)``; nothing to do for methods that do not learn."""

    def _row_bytes(self) -> int:
        """Return the bytes that one row takes beside a forward pass."""
        return 0

    def _tensors(self) -> dict[str, Tensor]:
        """Return what was learned, for a file."""
        return {}

    def _restore(self, tensors: dict[str, Tensor]) -> None:  # noqa: B027
        """Take back what `_tensors` gave."""

    def arguments(self) -> dict[str, Any]:
        """Return the keywords that build the same inverter again."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name not in ("self", "network")}

    def redrawing(self, **keywords: Any) -> Self:
        """Return the same inverter, with what it has learned, that draws by other keywords.

        Args:
            keywords: some of `Traits.drawing`.

        Raises:
            ArgumentError: a keyword decides what is learned, or is none, or its value is out of range.

        Example:
            >>> from genrev import InputSpace, RBMInverter
            >>> rbm = RBMInverter(Network(torch.nn.Linear(3, 1), space=InputSpace((3,))), steps=2)
            >>> rbm.fit(torch.randn(32, 3)).redrawing(gibbs=5).arguments()["gibbs"]
            5
        """
        for name in keywords:
            if name not in self.traits.drawing:
                known = ", ".join(self.traits.drawing) or "none"
                inner = [key for key, value in self.arguments().items() if isinstance(value, Inverter)]
                advice = "train it anew with that, or leave it out" if name in self.arguments() else "leave it out"
                if inner:
                    advice = f"have its {' or '.join(inner)} draw otherwise, and build it anew of that"
                raise ArgumentError(
                    f"expected a keyword by which a trained {type(self).__name__} draws otherwise ({known}), got "
                    f"{name!r}; {advice}"
                )
        checked, other = type(self)(self.network, **{**self.arguments(), **keywords}), copy(self)
        for name in keywords:
            setattr(other, name, getattr(checked, name))
        return other

    def __repr__(self) -> str:
        state = f" {'' if self.fitted else 'not '}fitted" if self.traits.learns else ""
        return _call(self) + state

    @called_as()
    def explain(self, found: Inversion) -> str:
        """Return what the method did on these targets, and why it failed where it did, in a few sentences.

        Args:
            found: one of its own results.

        Raises:
            ArgumentError: it is no result.
        """
        if not isinstance(found, Inversion):
            raise ArgumentError(
                f"expected what reconstruct returned, got {type(found).__name__}; write explain(reconstruct(target))"
            )
        total = found.outcome.numel()
        parts = [self.traits.summary]
        for outcome, count in found.outcomes().items():
            parts.append(f"{outcome.name} {count} of {total}: {outcome.sentence}")
            if outcome is Outcome.UNREACHABLE:
                parts.append(why(found.stats, found.target))
        return " ".join(parts)

    @property
    def fitted(self) -> bool:
        """Whether `fit` has run."""
        return self.data is not None

    @property
    def outputs_seen(self) -> Tensor | None:
        """``(n, *output_shape)``: the network's outputs on inputs that the method learned from; None if it keeps none.

        A target unlike all of them asks for an input unlike those.
        """
        return None

    @final
    @called_as()
    def fit(self, inputs: Any, *, seed: int = 0) -> Self:
        """Learn from inputs alone; a method that does not learn notes their range, mean and covariance.

        Args:
            inputs: ``(n, *input_shape)``, at least two, within the input space. Labels are never needed.
            seed: non-negative integer: all randomness comes from it.

        Returns:
            The inverter itself.

        Raises:
            ArgumentError: inputs of the wrong shape, outside the space, fewer than two, not finite or all the same.
        """
        inputs, seed = self._check_inputs(inputs), check_seed(seed)
        began = clock()
        with torch.inference_mode(False), torch.no_grad(), self.network.frozen():
            summary = DataSummary.of(inputs)
            self._fit(inputs, seed)
        self.data, self.fit_seed, self.fit_seconds = summary, seed, clock() - began
        return self

    @final
    @called_as()
    def reconstruct(
        self, target: Any, *, samples: int = 1, start: Any = None, known: Any = None, seed: int | None = None
    ) -> Inversion:
        """Find inputs that give the targets.

        What lies beyond a sound bound of the network's outputs, `Network.reachable_box`, is UNREACHABLE; the nearest
        target within is searched for then, and the residual is measured against what was asked.

        Args:
            target: ``(batch, *output_shape)``, list, array or tensor; a lone target is a batch of one; NaN where any
                value will do.
            samples: how many inputs for each target, at least 1.
            start: ``(batch, *input_shape)`` or ``input_shape``: inputs to stay near, for methods that can.
            known: ``(batch, *input_shape)`` or ``input_shape``: values that are fixed, NaN where free.
            seed: non-negative integer; the same seed gives the same answer to a target, alone or in any batch. Drawn
                afresh, and reported, if not given.

        Returns:
            What was found, measured and graded.

        Raises:
            ArgumentError: an argument of the wrong shape or range.
            NotFittedError: the method learns, and was not fitted.
        """
        traits = self.traits
        if traits.learns and not self.fitted:
            raise NotFittedError(
                f"expected a fitted {type(self).__name__}, got one that has seen no data; call fit(inputs) first"
            )
        wanted = self._check_target(target)
        if isinstance(samples, bool) or not isinstance(samples, (int, np.integer)) or samples < 1:
            raise ArgumentError(f"expected samples to be a whole number of at least 1, got {samples!r}; ask for one")
        if start is not None and not traits.uses_start:
            raise ArgumentError(
                f"expected no start, got one: {type(self).__name__} has no use for it; use 'newton' or 'gradient'"
            )
        # Where several processes share the weights, all are to search from the same starts.
        seed = agreed(secrets.randbits(32), self.network.module.parameters()) if seed is None else check_seed(seed)
        start = self._check_points("start", start, len(wanted))
        known = self._check_points("known", known, len(wanted))
        # A deterministic method answers once and repeats itself.
        draws = int(samples) if traits.stochastic else 1
        with torch.inference_mode(False), torch.no_grad(), self.network.frozen():
            box, sums_to_one = self.network.reachable_box(), self.network.outputs == "softmax"
            out = beyond(wanted, self._tolerances(), box, sums_to_one=sums_to_one)
            problem = self._problem(wanted, start, known, draws, seed)
            if out is None:
                pieces = self._pieces(problem, problem.target, torch.zeros_like(problem.sample, dtype=torch.bool))
            else:
                instead = replace(problem, target=out.nearest.repeat_interleave(draws, 0))
                pieces = self._pieces(instead, problem.target, out.proved.repeat_interleave(draws))
        found = self._gather(wanted, pieces, draws, int(samples), seed)
        return found if out is None else replace(found, stats={**found.stats, **out.stats(int(samples))})

    def _problem(self, target: Tensor, start: Tensor | None, known: Tensor | None, draws: int, seed: int) -> Problem:
        single = Problem(
            target,
            self._tolerances(),
            torch.zeros(len(target), dtype=torch.int64, device=target.device),
            start,
            known,
            Noise(target_keys(target, seed)),
        )
        return single.repeat(draws)

    def _pieces(self, problem: Problem, asked: Tensor, proved: Tensor) -> list[Any]:
        chunks = self._chunks(len(problem))
        if len(chunks) == 1:
            return [self._answer(problem, asked, proved)]
        pieces = []
        with progress(type(self).__name__, len(chunks), unit="chunk") as advance:
            for rows in chunks:
                pieces.append(self._answer(problem[rows], asked[rows], proved[rows]))
                advance()
        return pieces

    def _chunks(self, rows: int) -> list[slice]:
        size = self.network.rows_at_once(self._row_bytes())
        return [slice(begin, begin + size) for begin in range(0, rows, size)]

    def _answer(
        self, problem: Problem, asked: Tensor, proved: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Mapping[str, Tensor]]:
        """Let the method propose, hold it to what is given, and measure and grade what is left.

        Args:
            problem: of which a target that is proved unreachable is the nearest that is not.
            asked: ``(rows, *output_shape)``: the user's targets.
            proved: ``(rows,)`` of bool: which of those are unreachable.
        """
        proposal = self._propose(problem)
        wanted = (len(problem), *self.network.space.shape)
        if not isinstance(proposal, Proposal) or tuple(proposal.x.shape) != wanted:
            got = tuple(proposal.x.shape) if isinstance(proposal, Proposal) else type(proposal).__name__
            raise ArgumentError(
                f"expected {type(self).__name__}._propose to return a Proposal of inputs {wanted}, got {got}; return "
                "Proposal(x) with an input for each row of the problem"
            )
        x = self._admit(proposal.x, problem.known)
        y = self.network.evaluate(x)
        distance = _distance(y, asked)
        # A target at the tolerance to the last digit is met, whatever the rounding of its difference.
        slack = 4 * torch.finfo(y.dtype).eps * asked.nan_to_num(0.0).abs()
        met = (distance <= problem.tolerance + slack).flatten(1).all(1)
        residual = distance.flatten(1).amax(1)
        finite = x.flatten(1).isfinite().all(1) & residual.isfinite()
        outcome = torch.full_like(problem.sample, Outcome.MISSED) if proposal.reason is None else proposal.reason
        outcome = torch.where(finite, torch.where(met, int(Outcome.CONVERGED), outcome), int(Outcome.DIVERGED))
        outcome = torch.where(proved & ~(finite & met), int(Outcome.UNREACHABLE), outcome)
        return x, y, residual, outcome, proposal.stats

    def _admit(self, x: Tensor, known: Tensor | None) -> Tensor:
        """Return x within the input space, with known values put back."""
        x = self.network.space.project(x.detach())
        return x if known is None else torch.where(known.isnan(), x, known)

    def _gather(self, target: Tensor, pieces: list[Any], draws: int, samples: int, seed: int) -> Inversion:
        def join(parts: list[Tensor]) -> Tensor:
            whole = torch.cat(parts)
            whole = whole.reshape(len(target), draws, *whole.shape[1:])
            return whole if draws == samples else whole.repeat_interleave(samples, 1)

        x, y, residual, outcome = (join([piece[place] for piece in pieces]) for place in range(4))
        stats = {name: join([piece[4][name] for piece in pieces]) for name in pieces[0][4]}
        return Inversion(x, y, residual, outcome, target, self.tolerance, seed, stats)

    def _tolerances(self) -> Tensor:
        tolerance = torch.as_tensor(self.tolerance).to(self.network.device, self.network.dtype)
        return tolerance.expand(self.network.output_shape)

    def _starts(self, problem: Problem) -> Tensor:
        """Return where a local method begins, ``(rows, *input_shape)``: the start, and seeded draws around it."""
        space, like = self.network.space, problem.target
        if problem.start is not None:
            x = problem.start.clone()
        else:
            centre = space.middle.to(like) if self.data is None else self.data.mean
            x = centre.repeat(len(problem), *(1,) * len(space.shape))
        away = (problem.sample > 0).nonzero()[:, 0]
        x[away] += _SPREAD * self._scale(like) * problem.noise[away].normal(space.shape).to(like)
        return self._admit(x, problem.known)

    def _scale(self, like: Tensor) -> Tensor:
        """Return the typical spread of each input value: the data's, else that of an even draw from the box, else 1."""
        if self.data is not None:
            return self.data.variance.sqrt()
        width = (self.network.space.high - self.network.space.low).to(like)
        return torch.where(width.isfinite(), width / math.sqrt(12), 1.0)

    # What follows checks what the user gave.

    def _check_inputs(self, inputs: Any) -> Tensor:
        space = self.network.space
        x = self._tensor("inputs", inputs)
        if tuple(x.shape[1:]) != space.shape or x.ndim != len(space.shape) + 1:
            raise wrong_inputs("inputs", x.shape, self.network)
        if len(x) < 2:
            raise ArgumentError(f"expected at least two inputs to fit on, got {len(x)}; give more")
        if not bool(x.isfinite().all()):
            raise ArgumentError("expected finite inputs, got NaN or infinity among them; leave those rows out")
        if not bool(space.contains(x).all()):
            raise ArgumentError(
                f"expected inputs within {space}, got values from {float(x.min()):g} to {float(x.max()):g}; "
                "scale them, or give the space their bounds"
            )
        if bool((x == x[:1]).all()):
            raise ArgumentError("expected inputs that differ, got the same one throughout; check how they were loaded")
        return x

    def _check_target(self, target: Any) -> Tensor:
        shape = self.network.output_shape
        y = self._tensor("target", target)
        if y.ndim == 0 and math.prod(shape) == 1:
            y = y.reshape(shape)
        if tuple(y.shape) == shape:
            y = y[None]
        if tuple(y.shape[1:]) != shape or y.ndim != len(shape) + 1 or len(y) == 0:
            raise ArgumentError(
                f"expected targets of shape (batch, {', '.join(map(str, shape))}), got {tuple(y.shape)}; "
                "give one value for each output, NaN where any will do"
            )
        if bool(y.isinf().any()):
            raise ArgumentError("expected finite targets, got infinity; give a number, or NaN where any value will do")
        if bool(y.flatten(1).isnan().all(1).any()):
            raise ArgumentError(
                "expected each target to ask for at least one output, got a row of only NaN; give one value a row"
            )
        self._check_probabilities(y)
        return y

    def _check_probabilities(self, y: Tensor) -> None:
        if self.network.outputs == "values":
            return
        # NaN compares false.
        if bool(((y < 0) | (y > 1)).any()):
            bad = y[(y < 0) | (y > 1)][0]
            raise ArgumentError(
                f"expected probabilities in [0, 1], got {float(bad):g}; for logits invert the network without its "
                f"{self.network.outputs}"
            )
        if self.network.outputs == "softmax":
            total, free = y.nansum(-1), y.isnan().any(-1)
            wrong = torch.where(free, total > 1 + _SUM_SLACK, (total - 1).abs() > _SUM_SLACK)
            if bool(wrong.any()):
                raise ArgumentError(
                    f"expected the probabilities of a softmax to sum to one, got {float(total[wrong][0]):g}; "
                    "scale them, or leave some free with NaN"
                )

    def _check_points(self, name: str, points: Any, batch: int) -> Tensor | None:
        """Check a start (all finite) or known values (NaN where free)."""
        if points is None:
            return None
        space = self.network.space
        if name == "known" and _is_mask(points):
            raise ArgumentError(
                "expected known values themselves, NaN where free, got only true and false; for a mask write "
                "torch.where(mask, x, float('nan'))"
            )
        x = self._tensor(name, points)
        if tuple(x.shape) == space.shape:
            x = x[None].expand(batch, *space.shape)
        if tuple(x.shape) != (batch, *space.shape):
            raise ArgumentError(
                f"expected {name} of shape {(batch, *space.shape)} or {space.shape}, got {tuple(x.shape)}; "
                "give one input for each target, or one for all"
            )
        free = x.isnan() if name == "known" else torch.zeros_like(x, dtype=torch.bool)
        if not bool((space.contains(x) | free).all()) or bool(x.isinf().any()):
            wrong = (~(space.contains(x) | free) | x.isinf()).nonzero()[0]
            place = tuple(wrong[1:].tolist())
            raise ArgumentError(
                f"expected {name} within the input space, from {float(space.low[place]):g} to "
                f"{float(space.high[place]):g} at {place}, got {float(x[tuple(wrong)]):g}; move it inside"
            )
        return x

    def _tensor(self, name: str, values: Any) -> Tensor:
        return as_numbers(name, values).detach().to(self.network.device, self.network.dtype, copy=True)


def _is_mask(points: Any) -> bool:
    if isinstance(points, (list, tuple)):
        return len(points) > 0 and all(_is_mask(point) for point in points)
    return isinstance(points, bool) or (isinstance(points, (Tensor, np.ndarray)) and points.dtype in (torch.bool, bool))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def _call(inverter: Inverter) -> str:
    """Return the call that builds an inverter: its parts, and of its keywords those that are not the usual."""
    parameters = list(inspect.signature(type(inverter).__init__).parameters.values())[1:]
    parts = [getattr(inverter, parameter.name, None) for parameter in parameters]
    inherited = [part.tolerance for part in parts if isinstance(part, Inverter)]
    said = []
    for parameter, value in zip(parameters, parts, strict=True):
        if isinstance(value, Inverter):
            said.append(_call(value))
        elif isinstance(value, Network):
            said.append(parameter.name)
        elif value is not None and not _usual(value, parameter.default, inherited):
            said.append(f"{parameter.name}={_short(value)}")
    return f"{type(inverter).__name__}({', '.join(said)})"


def _usual(value: Any, default: Any, inherited: list[Any]) -> bool:
    """Whether a keyword has its default; one of a wrapper may come from a part."""
    return _short(value) in [_short(one) for one in (inherited if default is None else [default])]


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        return repr(value.tolist()) if value.numel() <= 4 else f"<{value.numel()} values>"
    return repr(value)


def _distance(y: Tensor, target: Tensor) -> Tensor:
    """Distance to the target in each output: 0 where none was asked, inf where the output is not finite."""
    asked = ~target.isnan()
    distance = torch.where(asked, (y - target).abs(), 0.0)
    return torch.where(y.isfinite(), distance, math.inf)


def _check_tolerance(tolerance: Any, network: Network) -> float | Tensor:
    values = as_numbers("tolerance", tolerance).to(torch.float64)
    if not bool((values.isfinite() & (values > 0)).all()):
        raise ArgumentError(f"expected a positive tolerance, got {tolerance}; give the residual that counts as met")
    try:
        values.expand(network.output_shape)
    except RuntimeError:
        raise ArgumentError(
            f"expected one tolerance, or one for each output {network.output_shape}, got shape {tuple(values.shape)}; "
            "give one number"
        ) from None
    return float(values) if values.ndim == 0 else values
