"""The comparison: several inverters on the same held-out outputs, measured alike, saved, and read back."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from genrev import __version__
from genrev.errors import ArgumentError, FileError
from genrev.files import read_tensors, write_bytes, write_tensors
from genrev.inverter import Inversion, Inverter, Outcome, Problem, Proposal, Traits
from genrev.judge import Judge
from genrev.metrics import agreement, diversity, nearest_distance, prdc
from genrev.network import Network
from genrev.report import render, table

NEIGHBOURS = 5
"""The k of coverage and recall."""

_KIND = "comparison"
_SAMPLES, _FIGURES, _REPORT = "samples.safetensors", "comparison.json", "report.html"


@dataclass(frozen=True)
class Row:
    """The figures of one method; None where a figure does not apply, and where a residual is not finite.

    Args:
        inverter: its name; "real" and "noise" are the ceiling and the floor.
        residual_median: over all targets and samples, in output units.
        residual_p95: likewise.
        residual_max: likewise.
        converged: share of samples within tolerance, in [0, 1]; what is not finite is a miss.
        judge_agreement: share of samples in which the judge sees the class asked for, in [0, 1].
        coverage: of the reference inputs, in [0, 1]; see `genrev.metrics.prdc`.
        recall: likewise.
        novelty: median distance to the nearest training input, over that of the held-out inputs.
        diversity: mean distance between samples of a target, in input units; 0 where a method repeats its answer.
        fit_seconds: what learning took, parts of a wrapper included.
        milliseconds_per_sample: wall time of an input drawn.
    """

    inverter: str
    residual_median: float | None
    residual_p95: float | None
    residual_max: float | None
    converged: float
    judge_agreement: float | None
    coverage: float | None
    recall: float | None
    novelty: float | None
    diversity: float | None
    fit_seconds: float | None
    milliseconds_per_sample: float | None


@dataclass(frozen=True, eq=False)
class Answer:
    """What one method found, on the CPU.

    Args:
        x: ``(batch, samples, *input_shape)``.
        y: ``(batch, samples, *output_shape)``: f(x), measured.
        residual: ``(batch, samples)``, in output units; inf where the result is not finite.
        outcome: ``(batch, samples)`` integers, members of `Outcome`.
        judged: ``(batch, samples)`` integers: the class that the judge sees, -1 where x is not finite; None without
            a judge.
    """

    x: Tensor
    y: Tensor
    residual: Tensor
    outcome: Tensor
    judged: Tensor | None = None

    @classmethod
    def of(cls, found: Inversion, judge: Judge | None) -> Answer:
        """Return an inversion as an answer, as a judge sees it.

        Args:
            found: what a method found.
            judge: an independent classifier, or None.
        """
        x = found.x.cpu()
        judged = None if judge is None else judge.labels(x.flatten(0, 1)).reshape(x.shape[:2])
        return cls(x, found.y.cpu(), found.residual.cpu(), found.outcome.cpu(), judged)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several inverters side by side, on the same targets.

    Args:
        rows: the figures: "real", "noise", then each inverter.
        notes: by inverter, what it did on the held-out targets and why it failed where it did.
        inputs: ``(n, *input_shape)``: the held-out inputs.
        targets: ``(n, *output_shape)``: their outputs.
        answers: by row, what was found for the targets.
        asked: ``(batch, *output_shape)``: targets typed by hand, NaN where any value will do; or None.
        asked_notes: by inverter, what it did on those.
        asked_answers: by row but "real", what was found for those.
        tolerance: the residual that counts as met: a number, or a tensor with one for each output.
        names: a name for each class, or None.
        low: ``input_shape``: where the range of each input value begins: its bound, else the training inputs' least.
        high: ``input_shape``: where it ends.
        about: how it was measured: versions, seed, counts, what the methods are; plain values by name.

    Example:
        >>> from genrev import InputSpace, NewtonInverter
        >>> network = Network(torch.nn.Linear(2, 1), space=InputSpace((2,), 0.0, 1.0))
        >>> x = torch.rand(30, 2)
        >>> found = compare(network, {"newton": NewtonInverter(network)}, x[:10], reference=x[10:20], training=x[20:])
        >>> [row.inverter for row in found.rows]
        ['real', 'noise', 'newton']
    """

    rows: list[Row]
    notes: dict[str, str]
    inputs: Tensor
    targets: Tensor
    answers: dict[str, Answer]
    asked: Tensor | None
    asked_notes: dict[str, str]
    asked_answers: dict[str, Answer]
    tolerance: float | Tensor
    names: list[str] | None
    low: Tensor
    high: Tensor
    about: dict[str, Any]

    def __repr__(self) -> str:
        return f"Comparison({', '.join(row.inverter for row in self.rows)}; {len(self.targets)} targets)"

    def table(self) -> str:
        """Return the figures as an aligned table for a terminal, "-" where one does not apply."""
        return table([asdict(row) for row in self.rows])

    def html(self) -> str:
        """Return the report: one page that needs nothing else, with the pictures and the reasons."""
        return render(_report(self))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``comparison.json``, ``samples.safetensors`` and ``report.html``; the same comparison, the same bytes.

        Args:
            folder: where to; made if its parent exists.

        Raises:
            FileError: the folder can't be made or written to.
        """
        # All of it is made before the disk is touched.
        figures = {"rows": [asdict(row) for row in self.rows], "notes": self.notes, "about": self.about}
        text = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        page, tensors, header = self.html(), _tensors(self), _header(self)
        with _folder(folder) as path:
            write_tensors(os.path.join(path, _SAMPLES), tensors, header)
            write_bytes(os.path.join(path, _FIGURES), text.encode())
            write_bytes(os.path.join(path, _REPORT), page.encode())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Comparison:
        """Read what `save` wrote; all of it stands in ``samples.safetensors``, so that no mixture can be read.

        Args:
            folder: where `save` wrote to.

        Raises:
            FileError: the file is missing, damaged, or no comparison.
        """
        path = os.path.join(folder, _SAMPLES)
        tensors, header = read_tensors(path)
        try:
            if header["kind"] != _KIND:
                raise ValueError(header["kind"])
            return _restored(tensors, header)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FileError(
                f"expected {path!r} to hold a comparison, got a file without its parts; choose a folder that "
                "Comparison.save wrote"
            ) from error


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
    """
    tolerance = _check_inverters(network, inverters)
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
    typed = _Run() if asked is None else _Run.of(methods, asked, samples, seed, judge)
    run = _Run.of(methods, targets, samples, seed, judge)

    bench = _Bench.of(inputs, reference, training, asked_classes(targets, network.outputs), judge)
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


def asked_classes(target: Tensor, outputs: str) -> Tensor:
    """Return the class that each target asks for.

    It is the greatest of several outputs; of one probability it is 1 above a half and else 0. Where some outputs are
    free, the greatest that was asked counts only if no free one could exceed it: what a softmax leaves to them, 1 for
    a sigmoid, anything for plain values.

    Args:
        target: ``(batch, *output_shape)``, NaN where any value will do.
        outputs: what the outputs are: "softmax", "sigmoid" or "values".

    Returns:
        ``(batch,)`` int64; -1 where the target asks for no class.

    Example:
        >>> nan = math.nan
        >>> asked_classes(torch.tensor([[0.1, 0.9, 0.0], [nan, 0.6, nan], [nan, 0.4, nan]]), "softmax").tolist()
        [1, 1, -1]
    """
    y = target.flatten(1)
    free = y.isnan()
    if target.ndim != 2 or (y.shape[1] == 1 and outputs != "sigmoid"):
        return torch.full((len(target),), -1, device=target.device)
    if y.shape[1] == 1:
        return torch.where(free, -1, (y > 0.5).long())[:, 0]
    greatest, place = torch.where(free, -math.inf, y).max(1)
    left = {"softmax": 1 - y.nansum(1), "sigmoid": torch.ones_like(greatest)}
    reach = left.get(outputs, torch.full_like(greatest, math.inf))
    return torch.where(~free.any(1) | (greatest > reach), place, -1)


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
class _Bench:
    """What every method is measured against.

    Args:
        classes: ``(n,)`` integers that the targets ask for, -1 for none; None without a judge.
        reference: ``(m, *input_shape)``.
        training: ``(t, *input_shape)``.
        typical: median distance of a held-out input to its nearest training input.
    """

    classes: Tensor | None
    reference: Tensor
    training: Tensor
    typical: float | None

    @classmethod
    def of(cls, inputs: Tensor, reference: Tensor, training: Tensor, classes: Tensor, judge: Judge | None) -> _Bench:
        typical = quantile(nearest_distance(inputs.cpu(), training.cpu()), 0.5)
        return cls(None if judge is None else classes.cpu(), reference.cpu(), training.cpu(), typical)

    def row(self, name: str, answer: Answer) -> Row:
        """Return the figures of an answer, without its costs."""
        coverage, recall = self._spread(answer.x[:, 0])
        return Row(
            inverter=name,
            residual_median=quantile(answer.residual, 0.5),
            residual_p95=quantile(answer.residual, 0.95),
            residual_max=quantile(answer.residual, 1.0),
            converged=float((answer.outcome == Outcome.CONVERGED).double().mean()),
            judge_agreement=self._agreement(answer.judged),
            coverage=coverage,
            recall=recall,
            novelty=self._novelty(answer.x[:, 0]),
            diversity=diversity(answer.x),
            fit_seconds=None,
            milliseconds_per_sample=None,
        )

    def _agreement(self, judged: Tensor | None) -> float | None:
        if judged is None or self.classes is None:
            return None
        return agreement(judged.flatten(), self.classes[:, None].expand_as(judged).flatten())

    def _spread(self, fake: Tensor) -> tuple[float | None, float | None]:
        size = min(len(fake), len(self.reference))
        if size <= NEIGHBOURS:
            return None, None
        figures = prdc(self.reference[:size], fake[:size], k=NEIGHBOURS)
        return figures.coverage, figures.recall

    def _novelty(self, fake: Tensor) -> float | None:
        ours = quantile(nearest_distance(fake, self.training), 0.5)
        return None if ours is None or not self.typical else ours / self.typical


def quantile(values: Tensor, share: float) -> float | None:
    """Return the value that a share of the values stay below, between two of them by interpolation.

    Unlike ``torch.quantile`` it takes any number of values, and infinite ones.

    Args:
        values: of any shape, at least one, none NaN.
        share: in [0, 1].

    Returns:
        A finite number, or None.

    Example:
        >>> quantile(torch.tensor([3.0, 1.0, math.inf]), 0.5), quantile(torch.tensor([1.0, math.inf]), 0.5)
        (3.0, None)
    """
    ordered = values.detach().double().flatten().sort().values
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    value = float(ordered[below])
    if place > below:
        value += (place - below) * (float(ordered[below + 1]) - value)
    return value if math.isfinite(value) else None


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
    def of(cls, methods: Mapping[str, Inverter], targets: Any, samples: int, seed: int, judge: Judge | None) -> _Run:
        answers, notes, seconds, asked = {}, {}, {}, None
        for name, inverter in methods.items():
            began = time.perf_counter()
            found = inverter.reconstruct(targets, samples=samples, seed=seed)
            seconds[name] = time.perf_counter() - began
            answers[name], asked = Answer.of(found, judge), found.target.cpu()
            if not isinstance(inverter, _Noise):
                notes[name] = inverter.explain(found)
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
        raise ArgumentError(f"expected a genrev.Network, got {type(network).__name__}; wrap the module")
    if not isinstance(inverters, Mapping) or not inverters:
        raise ArgumentError(f"expected a dict of at least one inverter by name, got {inverters!r}; build one")
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
    try:
        x = torch.as_tensor(values).detach().to(network.device, network.dtype)
    except (TypeError, ValueError, RuntimeError):
        raise ArgumentError(f"expected {name} as a tensor, got {type(values).__name__}; convert it") from None
    if x.ndim != len(space.shape) + 1 or tuple(x.shape[1:]) != space.shape or len(x) == 0:
        raise ArgumentError(
            f"expected {name} of shape (n, {', '.join(map(str, space.shape))}) with n at least 1, got "
            f"{tuple(x.shape)}; reshape them"
        )
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
    if isinstance(names, str) or len(names) != expected:
        raise ArgumentError(f"expected {expected} class names, got {names!r}; give one for each class")
    return [str(name) for name in names]


# What follows writes and reads.


def _report(comparison: Comparison) -> dict[str, Any]:
    """Return all that the report says, as plain data."""
    about = dict(comparison.about)
    fixed = about.pop("bounded")
    return {
        "rows": [asdict(row) for row in comparison.rows],
        "notes": comparison.notes,
        "asked_notes": comparison.asked_notes,
        "about": about,
        "names": comparison.names,
        "tolerance": _value(comparison.tolerance),
        "low": comparison.low.numpy(),
        "high": comparison.high.numpy(),
        "fixed": fixed,
        "outcomes": {int(outcome): (outcome.name, outcome.sentence) for outcome in Outcome},
        "held_out": _part(comparison, comparison.targets, comparison.answers),
        "asked": None if comparison.asked is None else _part(comparison, comparison.asked, comparison.asked_answers),
    }


def _part(comparison: Comparison, targets: Tensor, answers: Mapping[str, Answer]) -> dict[str, Any]:
    outputs = comparison.about["outputs"]
    # Plain values are logits only where a judge says that there are classes.
    classed = outputs != "values" or comparison.about["judge"] is not None
    classes = asked_classes(targets, outputs).tolist() if classed else [-1] * len(targets)
    return {
        "targets": targets.double().numpy(),
        "classes": classes,
        "answers": {
            name: {key: None if value is None else value.numpy() for key, value in _parts(answer).items()}
            for name, answer in answers.items()
        },
    }


def _parts(answer: Answer) -> dict[str, Tensor | None]:
    """Return the tensors of an answer by name; floats in a type that NumPy knows."""
    values = {part.name: getattr(answer, part.name) for part in fields(Answer)}
    return {
        name: value.double() if value is not None and value.is_floating_point() else value
        for name, value in values.items()
    }


_TENSORS = ("inputs", "targets", "asked", "low", "high")
_PLAIN = ("notes", "asked_notes", "names", "about")


def _tensors(comparison: Comparison) -> dict[str, Tensor]:
    single = {name: getattr(comparison, name) for name in _TENSORS}
    tensors = {name: value for name, value in single.items() if value is not None}
    tensors["tolerance"] = torch.as_tensor(comparison.tolerance, dtype=torch.float64)
    for kind in ("answers", "asked_answers"):
        for method, answer in getattr(comparison, kind).items():
            values = {part.name: getattr(answer, part.name) for part in fields(Answer)}
            tensors |= {f"{kind}/{method}/{name}": value for name, value in values.items() if value is not None}
    return tensors


def _header(comparison: Comparison) -> dict[str, Any]:
    return {
        "kind": _KIND,
        "rows": [asdict(row) for row in comparison.rows],
        "answers": list(comparison.answers),
        "asked_answers": list(comparison.asked_answers),
        **{name: getattr(comparison, name) for name in _PLAIN},
    }


def _restored(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Comparison:
    tolerance = tensors["tolerance"]

    def answer(prefix: str) -> Answer:
        x, y, residual, outcome = (tensors[f"{prefix}/{name}"] for name in ("x", "y", "residual", "outcome"))
        return Answer(x, y, residual, outcome, tensors.get(f"{prefix}/judged"))

    def answers(kind: str) -> dict[str, Answer]:
        return {method: answer(f"{kind}/{method}") for method in header[kind]}

    return Comparison(
        rows=[Row(**row) for row in header["rows"]],
        answers=answers("answers"),
        asked_answers=answers("asked_answers"),
        tolerance=float(tolerance) if tolerance.ndim == 0 else tolerance,
        inputs=tensors["inputs"],
        targets=tensors["targets"],
        asked=tensors.get("asked"),
        low=tensors["low"],
        high=tensors["high"],
        **{name: header[name] for name in _PLAIN},
    )


@contextmanager
def _folder(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Make a folder if there is none, and unmake it if what is written there fails."""
    made = False
    try:
        path = os.path.realpath(folder)
        if not os.path.isdir(path):
            os.mkdir(path)
            made = True
        taken = next((name for name in (_SAMPLES, _FIGURES, _REPORT) if os.path.isdir(os.path.join(path, name))), None)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(
            f"expected a folder to write to at {os.fspath(folder)!r}, got '{reason}'; choose another or make its parent"
        ) from error
    if taken is not None:
        raise FileError(f"expected {taken!r} in {path!r} to be a file or free, got a folder; choose another folder")
    try:
        yield path
    except BaseException:
        if made:
            shutil.rmtree(path, ignore_errors=True)
        raise
