"""Runs several inverters on the same targets: checks what is given, times each, and notes how it was measured."""

from __future__ import annotations

import hashlib
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from genrev import __version__
from genrev.arrays import as_numbers
from genrev.checks import called_as, check_seed, whole
from genrev.comparison.figures import NEIGHBOURS, Answer, Bench, asked_classes
from genrev.comparison.saved import Comparison
from genrev.errors import ArgumentError
from genrev.inverter import Inverter, Problem, Proposal, Traits
from genrev.judge import Judge
from genrev.network import Network, wrong_inputs
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
    tolerance = _check_inverters(network, inverters)
    samples, seed = whole("samples", samples), check_seed(seed)
    inputs, reference, training = (
        _check_inputs(name, values, network)
        for name, values in (("inputs", inputs), ("reference", reference), ("training", training))
    )
    judge = judge if judge is None or isinstance(judge, Judge) else Judge(judge)
    names = _check_names(names, network)
    targets = network.evaluate(inputs)
    if not bool(targets.isfinite().all()):
        raise ArgumentError(
            "expected finite outputs for the held-out inputs, got NaN or infinity; leave those inputs out"
        )
    noise = _Noise(network, tolerance=tolerance).fit(training, seed=seed)
    # Chance answers first, because it checks samples, seed and targets in no time.
    methods: dict[str, Inverter] = {"noise": noise, **inverters}
    _expect_fitted(inverters, targets)
    typed = _Run() if asked is None else _Run.of(methods, asked, samples, seed, judge, label="typed targets")
    run = _Run.of(methods, targets, samples, seed, judge, label="held-out targets")

    bench = Bench.of(inputs, reference, training, asked_classes(targets, network.outputs), judge, network.space)
    answers = {"real": _real(inputs, targets, judge), **run.answers}
    costs = {name: _costs(inverter, run.seconds[name], run.answers[name]) for name, inverter in inverters.items()}
    low, high = _range(network, training)
    return Comparison(
        rows=[replace(bench.row(name, answer), **costs.get(name, {})) for name, answer in answers.items()],
        notes=run.notes,
        inputs=inputs.cpu(),
        targets=targets.cpu(),
        answers=answers,
        asked=typed.targets,
        asked_notes=typed.notes,
        asked_answers=typed.answers,
        tolerance=tolerance,
        names=names,
        low=low,
        high=high,
        about={
            **_machine(network),
            "seed": int(seed),
            "samples": int(samples),
            "targets": len(inputs),
            "asked": 0 if typed.targets is None else len(typed.targets),
            "reference": len(reference),
            "training": len(training),
            "neighbours": NEIGHBOURS,
            "judge": None if judge is None else _kind(judge.classifier),
            **_what(network, inverters),
            "data_fingerprint": _fingerprint((inputs, reference, training)),
        },
    )


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

    @classmethod
    def of(
        cls,
        methods: Mapping[str, Inverter],
        targets: Any,
        samples: int,
        seed: int,
        judge: Judge | None,
        *,
        label: str,
    ) -> _Run:
        answers, notes, seconds, asked = {}, {}, {}, None
        with progress(label, len(methods), unit="method") as advance:
            for name, inverter in methods.items():
                began = time.perf_counter()
                found = inverter.reconstruct(targets, samples=samples, seed=seed)
                seconds[name] = time.perf_counter() - began
                answers[name], asked = Answer.of(found, judge), found.target.cpu()
                if not isinstance(inverter, _Noise):
                    notes[name] = inverter.explain(found)
                advance(method=name)
        return cls(asked, answers, notes, seconds)


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


# What `about` says holds no date and no place, so that the same measurement says the same.


def _machine(network: Network) -> dict[str, Any]:
    return {
        "genrev": __version__,
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
        "device": network.device.type,
        "threads": torch.get_num_threads(),
    }


def _what(network: Network, inverters: Mapping[str, Inverter]) -> dict[str, Any]:
    space = network.space
    return {
        "network": repr(network),
        "outputs": network.outputs,
        "network_fingerprint": network.fingerprint(),
        "bounded": bool((space.low.isfinite() & space.high.isfinite()).all()),
        "methods": {name: describe(inverter) for name, inverter in inverters.items()},
    }


def describe(inverter: Inverter) -> str:
    """Return an inverter as the call that builds it, its network left out.

    Args:
        inverter: any, wrappers included.

    Example:
        >>> from genrev import InputSpace, RetrievalInverter
        >>> describe(RetrievalInverter(Network(torch.nn.Identity(), space=InputSpace((1,)))))
        'RetrievalInverter(tolerance=0.001)'
    """
    said = (f"{name}={_value(value)}" for name, value in inverter.arguments().items())
    return f"{type(inverter).__name__}({', '.join(said)})"


def _value(value: Any) -> str:
    if isinstance(value, Inverter):
        return describe(value)
    return repr(value.tolist() if isinstance(value, Tensor) else value)


def _kind(classifier: Any) -> str:
    # The repr of a function holds its address, which differs from run to run.
    return getattr(classifier, "__qualname__", type(classifier).__name__)


def _fingerprint(data: tuple[Tensor, ...]) -> str:
    """Return a hash of the inputs that were used; 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for values in data:
        digest.update(f"{values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.cpu().double().numpy().tobytes())
    return digest.hexdigest()


# What follows checks what the user gave.


def _check_inverters(network: Network, inverters: Mapping[str, Inverter]) -> float | Tensor:
    """Return the tolerance that all of them share."""
    if not isinstance(network, Network):
        raise ArgumentError(
            f"expected a genrev.Network, got {type(network).__name__}; write Network(module, space=...)"
        )
    if not isinstance(inverters, Mapping) or not inverters:
        raise ArgumentError(
            f"expected a dict of at least one inverter by name, got {inverters!r}; write "
            '{"newton": NewtonInverter(network)}'
        )
    fingerprint = network.fingerprint()
    first = next(iter(inverters.values()))
    for name, inverter in inverters.items():
        if not isinstance(inverter, Inverter):
            raise ArgumentError(f"expected inverters, got {type(inverter).__name__} under {name!r}; build it first")
        if not isinstance(name, str) or not name or name in ("real", "noise"):
            raise ArgumentError(f"expected names of inverters other than 'real' and 'noise', got {name!r}; rename it")
        if inverter.network is not network and inverter.network.fingerprint() != fingerprint:
            raise ArgumentError(
                f"expected inverters of the network compared, got another's under {name!r}; build it on this one"
            )
        if not _same_tolerance(first, inverter):
            raise ArgumentError(
                f"expected one tolerance for all inverters, got {_value(first.tolerance)} and "
                f"{_value(inverter.tolerance)}; build them with the same"
            )
    return first.tolerance


def _same_tolerance(one: Inverter, other: Inverter) -> bool:
    shape = one.network.output_shape
    a, b = (torch.as_tensor(each.tolerance, dtype=torch.float64).cpu().expand(shape) for each in (one, other))
    return torch.equal(a, b)


def _check_inputs(name: str, values: Any, network: Network) -> Tensor:
    space = network.space
    x = as_numbers(name, values).detach().to(network.device, network.dtype)
    if x.ndim != len(space.shape) + 1 or tuple(x.shape[1:]) != space.shape or len(x) == 0:
        raise wrong_inputs(name, x.shape, network)
    if not bool(space.contains(x).all()) or bool(x.isinf().any()):
        raise ArgumentError(
            f"expected {name} within {space}, got values outside or not finite; scale them, or leave those rows out"
        )
    return x


def _check_names(names: Sequence[str] | None, network: Network) -> list[str] | None:
    if names is None:
        return None
    count = math.prod(network.output_shape)
    expected = 2 if count == 1 and network.outputs == "sigmoid" else count
    if isinstance(names, str) or not isinstance(names, Sequence) or len(names) != expected:
        raise ArgumentError(f"expected {expected} class names, got {names!r}; give one for each class")
    return [str(name) for name in names]
