"""The equation f(x) = target as a solver sees it: behind the last monotone activation, and stopped in the user's units.

Residuals behind a saturated sigmoid are badly scaled, so a solver works on the values that enter the last activation;
whether it is done is always read off the outputs themselves.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers import inverse
from genrev.network import Network

AIM = 0.01
"""The part of the tolerance that a solver aims at."""


class Equation:
    """f(x) = target for a batch of rows.

    Args:
        network: f.
        target: ``(rows, *output_shape)``, NaN where any value will do.
        tolerance: ``output_shape``.
        behind: whether to work behind the last activation, or on the outputs themselves.
    """

    def __init__(self, network: Network, target: Tensor, tolerance: Tensor, *, behind: bool = True) -> None:
        self.network, self.tolerance = network, tolerance
        self.asked = ~target.isnan()
        self.target = moved_inside(target, tolerance, network)
        self._least, self._most = _near_enough(self.target, tolerance, network)
        # Of a softmax whose every output is asked, the proportions of those that are not next to nothing.
        self._exact = (self._least == self._most) & self.asked.all(-1, keepdim=True)
        self._link = _invertible(network) if behind else None
        # Coordinates of different tolerance come in different units: measure each in its own.
        self._weight = (tolerance.mean() / tolerance)[None]
        if self._link is None:
            low = high = self.target
        elif isinstance(self._link, nn.LogSoftmax):
            low = high = self._proportions(self.target, self.target - _log_rest(self.target))
        elif isinstance(self._link, (nn.Sigmoid, nn.Softmax)):
            # Of 0 and 1 themselves the log-odds are infinite: fine for a bound on the far side, not for a goal.
            low = torch.logit(self._least.clamp(max=1 - torch.finfo(target.dtype).eps))
            high = torch.logit(self._most.clamp(min=torch.finfo(target.dtype).tiny))
            if isinstance(self._link, nn.Softmax):
                low, high = (
                    self._proportions(bound.log(), odds)
                    for bound, odds in ((self._least, low), (self._most.clamp(min=torch.finfo(low.dtype).tiny), high))
                )
        else:
            box = inverse(self._link, network.output_shape)(self.target.nan_to_num(0.5)).box
            low, high = box.low, box.high
        self.low, self.high = (bound.nan_to_num(0.0, math.inf, -math.inf) for bound in (low, high))

    def __getitem__(self, rows: Tensor) -> Equation:
        part = object.__new__(Equation)
        part.__dict__.update(self.__dict__)
        for name in ("asked", "target", "low", "high", "_least", "_most", "_exact"):
            setattr(part, name, getattr(self, name)[rows])
        return part

    @property
    def alike(self) -> bool:
        """Whether rows that are at the same input have the same slopes there, whatever their targets."""
        bounded = self.low.isfinite().all() & self.high.isfinite().all()
        return bool(bounded & (self.asked == self.asked[:1]).all() & (self._exact == self._exact[:1]).all())

    def _proportions(self, log: Tensor, odds: Tensor) -> Tensor:
        """Return log-probabilities up to their constant where all are asked, and log-odds where some are."""
        exact, asked = self._exact, self.asked.all(-1, keepdim=True)
        mean = torch.where(exact, log, 0.0).sum(-1, keepdim=True) / exact.sum(-1, keepdim=True).clamp(min=1)
        return torch.where(asked, log - mean, odds)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the residuals to drive to zero, and the distance left in the user's units.

        Args:
            x: ``(rows, *input_shape)``.

        Returns:
            ``(rows, m)``, differentiable, zero where nothing is asked, NaN where all is met but the outputs are not
            finite; and ``(rows,)``, detached: the greatest distance to the target as a share of the tolerance, inf
            where the outputs are not finite.
        """
        if self._link is None:
            y = value = self.network.rowwise(x)
        else:
            value, link = self.network.before_link(x)
            y = value if link is None else link(value)
            if isinstance(self._link, (nn.Softmax, nn.LogSoftmax)):
                value = self._proportions(value, log_odds(value))
        # What is asked is a box: a point for most, a half-line where anything beyond a bound will do.
        nearest = torch.minimum(torch.maximum(value.detach(), self.low), self.high)
        loose = (value.detach() == nearest) & (self.low.isinf() | self.high.isinf())
        residual = torch.where(self.asked & ~loose, (value - nearest) * self._weight, 0.0).flatten(1)
        share = self.share(y.detach())
        # Where only an output that is not asked is none, nothing is left to drive to zero, but a solver is not done.
        lost = share.isinf() & (residual.detach() == 0).all(1)
        return torch.where(lost[:, None], math.nan, residual), share

    def share(self, y: Tensor) -> Tensor:
        """Return the greatest distance of outputs to what is near enough, as a share of the tolerance.

        Any value will do for an output that is not asked, but it must be a value: where one is not finite, the row is
        infinitely far, as it is graded in the end.

        Args:
            y: ``(rows, *output_shape)``.
        """
        finite = y.flatten(1).isfinite().all(1)
        if self.network.outputs == "softmax":
            # The mass that next to nothing has, or has not, moves the others in proportion: no miss of theirs.
            mass, asked = (torch.where(self._exact, part, 0.0).sum(-1, keepdim=True) for part in (y, self.target))
            y = torch.where(self._exact, y * asked / mass.clamp(min=torch.finfo(y.dtype).tiny), y)
        away = torch.maximum(self._least - y, y - self._most) / self.tolerance
        distance = torch.where(self.asked, away, 0.0).flatten(1).amax(1).clamp(min=0.0)
        return torch.where(finite & distance.isfinite(), distance, math.inf)


def log_odds(logits: Tensor) -> Tensor:
    """Return log p - log(1 - p) of each probability of a softmax: well scaled however sure it is.

    Args:
        logits: ``(..., n)``.
    """
    total = logits.logsumexp(-1, keepdim=True)
    most = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, logits.argmax(-1, keepdim=True), True)
    # 1 - p loses its digits where p is near one, which only the greatest can be: that one sums the others.
    p = torch.where(most, 0.0, (logits - total).exp())
    others = logits.masked_fill(most, -math.inf).logsumexp(-1, keepdim=True)
    return logits - torch.where(most, others, total + torch.log1p(-p))


def _log_rest(log: Tensor) -> Tensor:
    """Return log(1 - p) from log p."""
    return torch.log(-torch.expm1(log.clamp(max=-torch.finfo(log.dtype).eps)))


def _invertible(network: Network) -> nn.Module | None:
    """Return the last activation, where its inverse is known."""
    if network.link is None:
        return None
    try:
        inverse(network.link, network.output_shape)
    except LayerError:
        return None
    return network.link


def _near_enough(target: Tensor, tolerance: Tensor, network: Network) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest output that a solver is content with: the target, for most.

    Where a probability is asked to be within half the tolerance of 0 or 1, any that is as near will do: to ask one of
    1e-5 for its logit would drag an input a long way off for what nobody can see.
    """
    if network.outputs == "values":
        return target, target
    half = tolerance / 2
    least, most = torch.where(target <= half, 0.0, target), torch.where(target >= 1 - half, 1.0, target)
    if network.outputs == "sigmoid":
        return least, most
    # Where all of a softmax are asked, the smallest ones that share half the tolerance of mass are next to nothing.
    edge = half.amin() / max(1, target.shape[-1] - 1)
    mass, order = target.clamp(min=edge).sort(-1)
    nothing = torch.zeros_like(target, dtype=torch.bool).scatter(-1, order, mass.cumsum(-1) <= 1.001 * half.amin())
    full = ~target.isnan().any(-1, keepdim=True)
    return (
        torch.where(full, torch.where(nothing, 0.0, target), least),
        torch.where(full, torch.where(nothing, target.clamp(min=edge), target), most),
    )


def moved_inside(target: Tensor, tolerance: Tensor, network: Network) -> Tensor:
    """Return the target with probabilities of exactly 0 or 1, which no input gives, moved inside by half the tolerance.

    Args:
        target: ``(rows, *output_shape)``, NaN where any value will do.
        tolerance: ``output_shape``.
        network: says what the outputs are.
    """
    if network.outputs == "values":
        return target
    if network.outputs == "sigmoid":
        half = (tolerance / 2).clamp(max=0.25)
        return torch.where((target <= 0) | (target >= 1), target.clamp(half, 1 - half), target)
    # All of a softmax share one unit of mass, so what a zero gains the others lose.
    half = tolerance.amin() / 2 / max(1, target.shape[-1] - 1)
    edge = ((target <= 0) | (target >= 1)).any(-1, keepdim=True)
    inside = target.clamp(half, 1 - half)
    full = ~target.isnan().any(-1, keepdim=True)
    inside = torch.where(edge, inside, target)
    # Typed probabilities sum to one only nearly; logits can only be asked for a sum of one.
    return torch.where(full, inside / inside.sum(-1, keepdim=True), inside)


def completed(target: Tensor, outputs: str) -> Tensor:
    """Return a target whose free values are filled: the rest of a softmax's mass in equal parts, else the middle.

    Args:
        target: ``(rows, *output_shape)``, NaN where any value will do.
        outputs: "softmax", "sigmoid" (whose middle is a half) or "values" (zero).

    Example:
        >>> completed(torch.tensor([[0.8, torch.nan, torch.nan]]), "softmax").tolist()
        [[0.800000011920929, 0.09999999403953552, 0.09999999403953552]]
    """
    free = target.isnan()
    if outputs == "softmax":
        rest = (1 - target.nansum(-1, keepdim=True)).clamp(min=1e-6) / free.sum(-1, keepdim=True).clamp(min=1)
        filled = torch.where(free, rest, target)
        return torch.where(free.any(-1, keepdim=True), filled / filled.sum(-1, keepdim=True), target)
    return target.nan_to_num(0.5 if outputs == "sigmoid" else 0.0)
