"""Runs several inverters on the same targets: checks what is given, times each, and notes how it was measured."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from genrev.checks import called_as, check_seed, whole
from genrev.comparison.about import fingerprint, kind, machine, subject
from genrev.comparison.chain import watch_all
from genrev.comparison.figures import NEIGHBOURS, Answer, Bench, asked_classes, counted, told_classes
from genrev.comparison.given import check_columns, check_command, check_inputs, check_inverters, check_names
from genrev.comparison.learning import curves
from genrev.comparison.nearest import keep_neighbours
from genrev.comparison.saved import Comparison
from genrev.distances import Neighbours
from genrev.errors import ArgumentError
from genrev.inverter import Inverter, Problem, Proposal, Traits
from genrev.judge import Judge
from genrev.network import Network
from genrev.progress import progress


@called_as("compare(network, inverters, inputs, reference=other_inputs, training=inputs_they_were_fitted_on)")
def compare(
    network: Network,
    inverters: Mapping[str, Inverter],
    inputs: Tensor,
    *,
    reference: Tensor,
    training: Tensor,
    judge: Any = None,
    samples: int = 4,
    seed: int = 0,
    asked: Any = None,
    names: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    command: str | None = None,
) -> Comparison:
    """Ask every inverter for inputs that give the outputs of held-out inputs, and measure all of them alike.

    Args:
        network: the network that all of them invert.
        inverters: by name, fitted, all of one tolerance.
        inputs: ``(n, *input_shape)``, n >= 1: held out; their outputs are the targets.
        reference: ``(m, *input_shape)``, held out too, disjoint: what coverage and recall are measured against.
        training: ``(t, *input_shape)``, t >= 2: what the inverters were fitted on; what novelty is measured against.
        judge: a `Judge`, or a classifier for one; None for no judging.
        samples: how many inputs for each target, at least 1.
        seed: non-negative integer: all randomness comes from it.
        asked: ``(batch, *output_shape)``: more targets, typed by hand, NaN where any value will do; for the pictures
            and the notes only, in no figure.
        names: a name for each class, for captions.
        columns: a name for each value of an input, where inputs are vectors, as those of a table are.
        command: what the reader of the report types to run the comparison again; None if there is no such command.

    Returns:
        The comparison.

    Raises:
        ArgumentError: an argument of the wrong shape or range, or inverters of different networks or tolerances.
        NotFittedError: an inverter learns, and was not fitted.

    Example:
        >>> from genrev import InputSpace, NewtonInverter
        >>> network = Network(torch.nn.Linear(2, 1), space=InputSpace((2,), 0.0, 1.0))
        >>> x = torch.rand(30, 2)
        >>> found = compare(network, {"newton": NewtonInverter(network)}, x[:10], reference=x[10:20], training=x[20:])
        >>> found.rows[-1].converged
        1.0
        >>> found.about["neighbours"] == NEIGHBOURS
        True
    """
    tolerance = check_inverters(network, inverters)
    samples, seed = whole("samples", samples), check_seed(seed)
    inputs, reference, training = (
        check_inputs(name, values, network)
        for name, values in (("inputs", inputs), ("reference", reference), ("training", training))
    )
    judge = judge if judge is None or isinstance(judge, Judge) else Judge(judge)
    names, columns, command = check_names(names, network), check_columns(columns, network), check_command(command)
    targets = network.evaluate(inputs)
    if not bool(targets.isfinite().all()):
        raise ArgumentError(
            "expected finite outputs for the held-out inputs, got NaN or infinity; leave those inputs out"
        )
    noise = _Noise(network, tolerance=tolerance).fit(training, seed=seed)
    # Chance answers first, because it checks samples, seed and targets in no time.
    methods: dict[str, Inverter] = {"noise": noise, **inverters}
    _expect_fitted(inverters, targets)
    unit = None if network.space.alike else network.space.unit
    ask = _Asking(methods, samples, seed, judge, Neighbours(counted(training.cpu(), unit)), unit)
    typed = _Run() if asked is None else ask(asked, beside=samples, label="typed targets")
    run = ask(targets, beside=1, label="held-out targets")

    real = _real(inputs, targets, judge).beside(ask.training, 1, unit)
    bench = Bench.of(real, reference, asked_classes(targets, network.outputs), judge, unit)
    answers = {"real": real, **run.answers}
    costs = {name: _costs(inverter, run.seconds[name], run.answers[name]) for name, inverter in inverters.items()}
    low, high = _range(network, training)
    comparison = Comparison(
        rows=[replace(bench.row(name, answer), **costs.get(name, {})) for name, answer in answers.items()],
        summaries={name: inverter.traits.summary for name, inverter in inverters.items()},
        notes=run.notes,
        inputs=inputs.cpu(),
        targets=targets.cpu(),
        answers=answers,
        asked=typed.targets,
        asked_notes=typed.notes,
        asked_answers=typed.answers,
        histories={name: curves(inverter) for name, inverter in inverters.items()},
        chains=watch_all(
            inverters,
            targets,
            run.answers,
            told_classes(targets, network.outputs, judged=judge is not None).cpu(),
            judge=judge,
            seed=seed,
        ),
        training_rows=torch.empty(0, dtype=torch.int64),
        training_inputs=training[:0].cpu(),
        tolerance=tolerance,
        names=names,
        columns=columns,
        low=low,
        high=high,
        about={
            **machine(network),
            "command": command,
            "seed": int(seed),
            "samples": int(samples),
            "targets": len(inputs),
            "asked": 0 if typed.targets is None else len(typed.targets),
            "reference": len(reference),
            "training": len(training),
            "neighbours": NEIGHBOURS,
            "copies": real.copies,
            "judge": None if judge is None else kind(judge.classifier),
            **subject(network, inverters),
            "data_fingerprint": fingerprint((inputs, reference, training)),
        },
    )
    return keep_neighbours(comparison, training.cpu())


class _Noise(Inverter):
    """The floor: even draws from the box; normal draws with the data's mean and deviation where it has no bounds."""

    traits: ClassVar[Traits] = Traits(
        summary="Noise is drawn without a look at the target.", learns=True, stochastic=True
    )

    def _propose(self, problem: Problem) -> Proposal:
        assert self.data is not None
        space = self.network.space
        low, high = space.low, space.high
        width = high - low
        even = low + width * problem.noise.uniform(space.shape)
        mean, deviation = self.data.mean.cpu().double(), self.data.variance.sqrt().cpu().double()
        bell = mean + deviation * problem.noise.normal(space.shape, stream=1)
        return Proposal(torch.where(width.isfinite(), even, bell).to(problem.target))


@dataclass(frozen=True, eq=False)
class _Run:
    """What every method made of the same targets.

    Args:
        targets: ``(batch, *output_shape)``, as they were read; None where there are none.
        answers: by method.
        notes: by method; chance needs none.
        seconds: by method, the wall time.
    """

    targets: Tensor | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Asking:
    """How every method is asked, whatever the targets.

    Args:
        methods: by name.
        samples: how many inputs for each target.
        seed: of everything random.
        judge: an independent classifier, or None.
        training: the training inputs, on the CPU, in the unit: what answers are set beside.
        unit: ``input_shape``: what distances count each value in; None for input units.
    """

    methods: Mapping[str, Inverter]
    samples: int
    seed: int
    judge: Judge | None
    training: Neighbours
    unit: Tensor | None

    def __call__(self, targets: Any, *, beside: int, label: str) -> _Run:
        """Ask every method for the same targets, and set the first few samples of each beside the training inputs."""
        answers, notes, seconds, asked = {}, {}, {}, None
        with progress(label, len(self.methods), unit="method") as advance:
            for name, inverter in self.methods.items():
                began = time.perf_counter()
                found = inverter.reconstruct(targets, samples=self.samples, seed=self.seed)
                seconds[name] = time.perf_counter() - began
                answers[name] = Answer.of(found, self.judge).beside(self.training, beside, self.unit)
                asked = found.target.cpu()
                if not isinstance(inverter, _Noise):
                    notes[name] = inverter.explain(found)
                advance(method=name)
        return _Run(asked, answers, notes, seconds)


def _real(inputs: Tensor, targets: Tensor, judge: Judge | None) -> Answer:
    """The ceiling: the held-out inputs themselves, whose residual is zero by construction."""
    zeros = torch.zeros(len(inputs), 1, dtype=targets.dtype)
    judged = None if judge is None else judge.labels(inputs)[:, None]
    return Answer(inputs[:, None].cpu(), targets[:, None].cpu(), zeros, zeros.long(), judged)


def _costs(inverter: Inverter, seconds: float, answer: Answer) -> dict[str, Any]:
    batch, samples = answer.residual.shape
    # A deterministic method draws once and repeats its answer.
    drawn = batch * (samples if inverter.traits.stochastic else 1)
    fit = _fit_seconds(inverter) if inverter.traits.learns else None
    return {"fit_seconds": fit, "milliseconds_per_sample": 1000 * seconds / drawn}


def _fit_seconds(inverter: Inverter) -> float | None:
    """What learning took; a wrapper of parts that were fitted before it owes what those took."""
    parts = [_fit_seconds(part) for part in inverter.arguments().values() if isinstance(part, Inverter)]
    earlier = sum(seconds for seconds in parts if seconds is not None)
    return inverter.fit_seconds if inverter.fit_seconds is None else max(inverter.fit_seconds, earlier)


def _expect_fitted(inverters: Mapping[str, Inverter], targets: Tensor) -> None:
    """Let one that was not fitted say so now, and not after the others have worked for minutes."""
    for inverter in inverters.values():
        if inverter.traits.learns and not inverter.fitted:
            inverter.reconstruct(targets[:1], seed=0)


def _range(network: Network, training: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range in which inputs are drawn: the bounds, else what the training inputs span."""
    low, high = network.space.low, network.space.high
    span = training.cpu().double().aminmax(dim=0)
    return torch.where(low.isfinite(), low, span.min), torch.where(high.isfinite(), high, span.max)
