"""The figures of a comparison: what a method found, and how it is measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genrev.distances import Neighbours
from genrev.inverter import Inversion, Outcome
from genrev.judge import Judge
from genrev.metrics import agreement, diversity, prdc

NEIGHBOURS = 5
"""The k of coverage and recall."""


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
        both: share of samples that are within tolerance and in which the judge sees the class asked for, in [0, 1].
        coverage: of the reference inputs, in [0, 1]; see `genrev.metrics.prdc`.
        recall: likewise.
        novelty: median distance to the nearest training input, over that of the held-out inputs.
        diversity: mean distance between samples of a target; 0 where a method repeats its answer. It is in input units;
            where these differ from value to value, every distance counts each in widths of its bounds.
        fit_seconds: what learning took, parts of a wrapper included.
        milliseconds_per_sample: wall time of an input drawn.

    Example:
        >>> from genrev import InputSpace, Network, PinvInverter, compare
        >>> network = Network(torch.nn.Linear(2, 1), space=InputSpace((2,), 0.0, 1.0))
        >>> x = torch.rand(30, 2)
        >>> rows = compare(network, {"pinv": PinvInverter(network)}, x[:10], reference=x[10:20], training=x[20:]).rows
        >>> [row.inverter for row in rows], rows[0].converged
        (['real', 'noise', 'pinv'], 1.0)
    """

    inverter: str
    residual_median: float | None
    residual_p95: float | None
    residual_max: float | None
    converged: float
    judge_agreement: float | None
    both: float | None
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
        nearest: ``(batch, n)`` integers, n <= samples: the number of the nearest training input to each of the first n
            samples, -1 where x is not finite; None if it was not looked for.
        distance: ``(batch, n)`` float64: how far it is, in input units; inf where x is not finite.

    Example:
        >>> from genrev import InputSpace, Network, NewtonInverter
        >>> network = Network(torch.nn.Linear(2, 1), space=InputSpace((2,)))
        >>> Answer.of(NewtonInverter(network).reconstruct([[0.5]], samples=3, seed=0), None).residual.shape
        torch.Size([1, 3])
    """

    x: Tensor
    y: Tensor
    residual: Tensor
    outcome: Tensor
    judged: Tensor | None = None
    nearest: Tensor | None = None
    distance: Tensor | None = None

    @classmethod
    def of(cls, found: Inversion, judge: Judge | None) -> Answer:
        """Return an inversion as an answer, as a judge sees it.

        Args:
            found: what a method found.
            judge: an independent classifier, or None.
        """
        x = found.x.cpu()
        judged = None
        if judge is not None:
            # One who repeats an answer is read once: reading takes longer than finding.
            seen = x[:, :1] if torch.equal(x, x[:, :1].expand_as(x)) else x
            judged = judge.labels(seen.flatten(0, 1)).reshape(seen.shape[:2]).expand(x.shape[:2]).clone()
        return cls(x, found.y.cpu(), found.residual.cpu(), found.outcome.cpu(), judged)

    def beside(self, training: Neighbours, samples: int, unit: Tensor | None = None) -> Answer:
        """Return the answer with the training inputs that its first samples are nearest to.

        Args:
            training: the training inputs, on the CPU, in the unit.
            samples: how many of each target, from the first; all costs the time of all.
            unit: ``input_shape``: what distances count each value in; None for input units.
        """
        x = counted(self.x[:, :samples], unit)
        distance, number = training.of(x.flatten(0, 1))
        return replace(self, nearest=number.reshape(x.shape[:2]), distance=distance.reshape(x.shape[:2]))

    @property
    def copies(self) -> int:
        """How many of the samples that were set beside the training inputs are copies of one."""
        return 0 if self.distance is None else int((self.distance == 0).sum())


@dataclass(frozen=True, eq=False)
class Bench:
    """What every method is measured against.

    Args:
        classes: ``(n,)`` integers that the targets ask for, -1 for none; None without a judge.
        reference: ``(m, *input_shape)``.
        typical: median distance of a held-out input to its nearest training input.
        unit: ``input_shape``: what distances count each value in; None for input units. The reference is in it already.
    """

    classes: Tensor | None
    reference: Tensor
    typical: float | None
    unit: Tensor | None = None

    @classmethod
    def of(
        cls, real: Answer, reference: Tensor, classes: Tensor, judge: Judge | None, unit: Tensor | None = None
    ) -> Bench:
        """Return what answers for held-out inputs are measured against.

        Args:
            real: the held-out inputs themselves, beside the training inputs.
            reference: ``(m, *input_shape)``, held out too, disjoint.
            classes: ``(n,)`` integers that the targets ask for, -1 for none.
            judge: an independent classifier, or None.
            unit: ``input_shape``: what distances count each value in; None for input units.
        """
        assert real.distance is not None
        typical = quantile(real.distance, 0.5)
        return cls(None if judge is None else classes.cpu(), counted(reference.cpu(), unit), typical, unit)

    def row(self, name: str, answer: Answer) -> Row:
        """Return the figures of an answer, without its costs.

        Args:
            name: of the row.
            answer: for the outputs of the held-out inputs.
        """
        x = counted(answer.x, self.unit)
        coverage, recall = self._spread(x[:, 0])
        return Row(
            inverter=name,
            residual_median=quantile(answer.residual, 0.5),
            residual_p95=quantile(answer.residual, 0.95),
            residual_max=quantile(answer.residual, 1.0),
            converged=float((answer.outcome == Outcome.CONVERGED).double().mean()),
            judge_agreement=self._agreement(answer.judged),
            both=self._both(answer),
            coverage=coverage,
            recall=recall,
            novelty=self._novelty(answer),
            diversity=diversity(x),
            fit_seconds=None,
            milliseconds_per_sample=None,
        )

    def _agreement(self, judged: Tensor | None) -> float | None:
        if judged is None or self.classes is None:
            return None
        return agreement(judged.flatten(), self.classes[:, None].expand_as(judged).flatten())

    def _both(self, answer: Answer) -> float | None:
        """What is not within tolerance counts as seen to be nothing."""
        if answer.judged is None:
            return None
        return self._agreement(torch.where(answer.outcome == Outcome.CONVERGED, answer.judged, -2))

    def _spread(self, fake: Tensor) -> tuple[float | None, float | None]:
        size = min(len(fake), len(self.reference))
        if size <= NEIGHBOURS:
            return None, None
        figures = prdc(self.reference[:size], fake[:size], k=NEIGHBOURS)
        return figures.coverage, figures.recall

    def _novelty(self, answer: Answer) -> float | None:
        assert answer.distance is not None
        ours = quantile(answer.distance[:, 0], 0.5)
        return None if ours is None or not self.typical else ours / self.typical


def counted(x: Tensor, unit: Tensor | None) -> Tensor:
    """Return inputs in the unit that distances count in.

    Args:
        x: ``(..., *input_shape)``.
        unit: ``input_shape``; None for input units.

    Example:
        >>> counted(torch.tensor([[2.0, 4.0]]), torch.tensor([2.0, 1.0])).tolist()
        [[1.0, 4.0]]
    """
    return x if unit is None else x.double() / unit


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


def told_classes(target: Tensor, outputs: str, *, judged: bool) -> Tensor:
    """Return the class that each target asks for; plain values ask for none unless a judge says that there are some.

    Args:
        target: ``(batch, *output_shape)``, NaN where any value will do.
        outputs: what the outputs are: "softmax", "sigmoid" or "values".
        judged: whether there is a judge.

    Returns:
        ``(batch,)`` int64; -1 where the target asks for no class.

    Example:
        >>> told_classes(torch.tensor([[3.0, 1.0]]), "values", judged=False).tolist()
        [-1]
    """
    classes = asked_classes(target, outputs)
    return classes if judged or outputs != "values" else torch.full_like(classes, -1)


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
