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
        # Coordinates of different tolerance come in different units: measure each in its own.
        self._weight = (tolerance.mean() / tolerance)[None]
        self._partial = self._link_is_softmax and bool((self.asked != self.asked.all(-1, keepdim=True)).any())
        if self._link is None:
            self.low = self.high = self.target.nan_to_num(0.0)
        elif self._link_is_softmax:
            self.low = self.high = self._softmax_target()
            self._weight = torch.ones_like(self._weight)
        else:
            preimage = inverse(self._link, network.output_shape)(self.target.nan_to_num(0.5))
            self.low, self.high = preimage.low, preimage.high

    @property
    def _link_is_softmax(self) -> bool:
        return isinstance(self._link, (nn.Softmax, nn.LogSoftmax))

    def __getitem__(self, rows: Tensor) -> Equation:
        part = object.__new__(Equation)
        part.__dict__.update(self.__dict__)
        part.asked, part.target = self.asked[rows], self.target[rows]
        part.low, part.high = self.low[rows], self.high[rows]
        return part

    def _softmax_target(self) -> Tensor:
        """All asked: logits up to their constant. Some asked: the log-odds of each against all the others."""
        y = self.target.exp() if isinstance(self._link, nn.LogSoftmax) else self.target
        # Where nothing is asked any number will do.
        y = y.nan_to_num(0.5)
        full = self.asked.all(-1, keepdim=True)
        log = self.target.nan_to_num(0.0) if isinstance(self._link, nn.LogSoftmax) else y.clamp(min=_tiny(y)).log()
        odds = log - torch.log1p(-y.clamp(max=1 - torch.finfo(y.dtype).eps))
        return torch.where(full, log - log.mean(-1, keepdim=True), odds)

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
            if self._link_is_softmax:
                value = self._logits(value)
        # The nearest point of the preimage's box: a point for most activations, a half-line for a ReLU at zero.
        nearest = torch.minimum(torch.maximum(value.detach(), self.low), self.high)
        residual = torch.where(self.asked, (value - nearest) * self._weight, 0.0).flatten(1)
        return residual, self.share(y.detach())

    def share(self, y: Tensor) -> Tensor:
        """Return the greatest distance of outputs to the target, as a share of the tolerance.

        Args:
            y: ``(rows, *output_shape)``.
        """
        distance = torch.where(self.asked, (y - self.target).abs() / self.tolerance, 0.0).flatten(1).amax(1)
        return torch.where(distance.isfinite(), distance, math.inf)

    def _logits(self, value: Tensor) -> Tensor:
        """Bring logits to the form of their target: centred, or as log-odds."""
        centred = value - value.mean(-1, keepdim=True)
        if not self._partial:
            return centred
        total = value.shape[-1]
        others = value[..., None, :].expand(*value.shape, total).masked_fill(
            torch.eye(total, dtype=torch.bool, device=value.device), -math.inf
        )
        odds = value - others.logsumexp(-1)
        return torch.where(self.asked.all(-1, keepdim=True), centred, odds)


def _tiny(y: Tensor) -> float:
    return torch.finfo(y.dtype).tiny


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
