"""The figures of a comparison: what a method found, and how it is measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genrev.inverter import Inversion, Outcome
from genrev.judge import Judge
from genrev.metrics import agreement, diversity, nearest_distance, prdc
from genrev.space import InputSpace

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
class Bench:
    """What every method is measured against.

    Args:
        classes: ``(n,)`` integers that the targets ask for, -1 for none; None without a judge.
        reference: ``(m, *input_shape)``.
        training: ``(t, *input_shape)``.
        typical: median distance of a held-out input to its nearest training input.
        unit: ``input_shape``: what distances count each value in; None for input units. The reference and the training
            inputs are in it already.
    """

    classes: Tensor | None
    reference: Tensor
    training: Tensor
    typical: float | None
    unit: Tensor | None = None

    @classmethod
    def of(
        cls,
        inputs: Tensor,
        reference: Tensor,
        training: Tensor,
        classes: Tensor,
        judge: Judge | None,
        space: InputSpace,
    ) -> Bench:
        """Return what answers for held-out inputs are measured against.

        Args:
            inputs: ``(n, *input_shape)``: the held-out inputs.
            reference: ``(m, *input_shape)``, held out too, disjoint.
            training: ``(t, *input_shape)``.
            classes: ``(n,)`` integers that the targets ask for, -1 for none.
            judge: an independent classifier, or None.
            space: of the inputs.
        """
        unit = None if space.alike else space.unit
        inputs, reference, training = (_counted(x.cpu(), unit) for x in (inputs, reference, training))
        typical = quantile(nearest_distance(inputs, training), 0.5)
        return cls(None if judge is None else classes.cpu(), reference, training, typical, unit)

    def row(self, name: str, answer: Answer) -> Row:
        """Return the figures of an answer, without its costs.

        Args:
            name: of the row.
            answer: for the outputs of the held-out inputs.
        """
        x = _counted(answer.x, self.unit)
        coverage, recall = self._spread(x[:, 0])
        return Row(
            inverter=name,
            residual_median=quantile(answer.residual, 0.5),
            residual_p95=quantile(answer.residual, 0.95),
            residual_max=quantile(answer.residual, 1.0),
            converged=float((answer.outcome == Outcome.CONVERGED).double().mean()),
            judge_agreement=self._agreement(answer.judged),
            coverage=coverage,
            recall=recall,
            novelty=self._novelty(x[:, 0]),
            diversity=diversity(x),
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


def _counted(x: Tensor, unit: Tensor | None) -> Tensor:
    """Return inputs in the unit that distances count in."""
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
