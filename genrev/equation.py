"""The equation f(x) = target as a solver sees it: behind the last monotone activation, and stopped in the user's units.

Residuals behind a saturated sigmoid are badly scaled, so a solver works on the values that enter the last activation;
whether it is done is always read off the outputs themselves.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

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
        self._link = network.link if behind else None
        self._least, self._most = _near_enough(self.target, tolerance, network)
        # Coordinates of different tolerance come in different units: measure each in its own.
        self._weight = (tolerance.mean() / tolerance)[None]
        if self._link is None:
            self.low = self.high = self.target.nan_to_num(0.0)
        elif isinstance(self._link, nn.LogSoftmax):
            self.low = self.high = self.target - _log_rest(self.target)
        elif isinstance(self._link, (nn.Sigmoid, nn.Softmax)):
            self.low, self.high = torch.logit(self._least), torch.logit(self._most)
        else:
            preimage = inverse(self._link, network.output_shape)(self.target.nan_to_num(0.5))
            self.low, self.high = preimage.low, preimage.high
        self.low, self.high = (
            self.low.nan_to_num(0.0, math.inf, -math.inf),
            self.high.nan_to_num(0.0, math.inf, -math.inf),
        )

    def __getitem__(self, rows: Tensor) -> Equation:
        part = object.__new__(Equation)
        part.__dict__.update(self.__dict__)
        part.asked, part.target = self.asked[rows], self.target[rows]
        part.low, part.high = self.low[rows], self.high[rows]
        part._least, part._most = self._least[rows], self._most[rows]
        return part

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the residuals to drive to zero, and the distance left in the user's units.

        Args:
            x: ``(rows, *input_shape)``.

        Returns:
            ``(rows, m)``, differentiable, zero where nothing is asked; and ``(rows,)``, detached: the greatest distance
            to the target as a share of the tolerance, inf where it is not finite.
        """
        if self._link is None:
            y = value = self.network(x)
        else:
            value, link = self.network.before_link(x)
            y = value if link is None else link(value)
            if isinstance(self._link, (nn.Softmax, nn.LogSoftmax)):
                value = log_odds(value)
        # What is asked is a box: a point for most, a half-line where anything beyond a bound will do.
        nearest = torch.minimum(torch.maximum(value.detach(), self.low), self.high)
        loose = (value.detach() == nearest) & (self.low.isinf() | self.high.isinf())
        residual = torch.where(self.asked & ~loose, (value - nearest) * self._weight, 0.0).flatten(1)
        return residual, self.share(y.detach())

    def share(self, y: Tensor) -> Tensor:
        """Return the greatest distance of outputs to what is near enough, as a share of the tolerance.

        Args:
            y: ``(rows, *output_shape)``.
        """
        away = torch.maximum(self._least - y, y - self._most) / self.tolerance
        distance = torch.where(self.asked, away, 0.0).flatten(1).amax(1).clamp(min=0.0)
        return torch.where(distance.isfinite(), distance, math.inf)


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


def _near_enough(target: Tensor, tolerance: Tensor, network: Network) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest output that a solver is content with: the target, for most.

    Where a probability is asked to be within half the tolerance of 0 or 1, any that is as near will do: to ask one of
    1e-5 for its logit would drag an input a long way off for what nobody can see.
    """
    if network.outputs == "values":
        return target, target
    half = tolerance / 2
    return torch.where(target <= half, 0.0, target), torch.where(target >= 1 - half, 1.0, target)


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
    # Typed probabilities sum to one only nearly; logits can only be asked for a sum of one.
    scaled = torch.where(full, inside / inside.sum(-1, keepdim=True), inside)
    return torch.where(edge | full, scaled, target)
