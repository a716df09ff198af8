"""What a step costs: a sum of squares in units of each value's own, or in the norm of correlated values."""

from __future__ import annotations

import torch
from torch import Tensor


class LowRank:
    """The metric D + U U', of values that move together: a step d costs d' (D + U U')^-1 d.

    Args:
        diagonal: ``(n,)``: D, positive.
        factor: ``(n, k)``: U.

    Reference:
        Woodbury, 1950, "Inverting modified matrices".

    Example:
        >>> metric = LowRank(torch.ones(2), torch.tensor([[3.0], [0.0]]))
        >>> metric.cost(torch.tensor([[10.0, 1.0]])).tolist()
        [11.0]
    """

    def __init__(self, diagonal: Tensor, factor: Tensor) -> None:
        self.diagonal, self.factor = diagonal, factor
        scaled = (factor / diagonal[:, None]).double()
        middle = torch.eye(factor.shape[1], dtype=torch.float64, device=factor.device) + factor.double().T @ scaled
        # What the factors' own shares of a step are: (I + U' D^-1 U)^-1 U' D^-1.
        self._shares = torch.linalg.solve(middle, scaled.T).to(factor)

    @property
    def variance(self) -> Tensor:
        """``(n,)``: the diagonal of the whole."""
        return self.diagonal + self.factor.square().sum(1)

    @property
    def precision(self) -> Tensor:
        """``(n, n)``: the inverse of the whole."""
        return self.pull(torch.eye(len(self.diagonal), dtype=self.diagonal.dtype, device=self.diagonal.device))

    def pull(self, step: Tensor) -> Tensor:
        """Return (D + U U')^-1 d for each row, ``(rows, n)``."""
        return (step - (step @ self._shares.T) @ self.factor.T) / self.diagonal

    def cost(self, step: Tensor) -> Tensor:
        """Return d' (D + U U')^-1 d for each row, ``(rows,)``."""
        return (step * self.pull(step)).sum(1).clamp(min=0.0)


Metric = Tensor | LowRank
"""``(n,)``, positive: a step d costs sum(d^2 / metric); or a metric of correlated values."""


def cost(metric: Metric, step: Tensor) -> Tensor:
    """Return what each step costs, ``(rows,)``.

    Args:
        metric: in which.
        step: ``(rows, n)``.
    """
    return metric.cost(step) if isinstance(metric, LowRank) else (step.square() / metric).sum(1)


def steepest(metric: Metric, pull: Tensor) -> Tensor:
    """Return where a pull goes the shortest way: the metric times it, ``(rows, n)``.

    Args:
        metric: in which.
        pull: ``(rows, n)``.
    """
    if isinstance(metric, LowRank):
        return metric.diagonal * pull + (pull @ metric.factor) @ metric.factor.T
    return metric * pull


class Held:
    """A diagonal metric of the free values while the others are held.

    The step that the duals w draw is d = at - S J'w, with S the metric of what is free: zero for what is held.

    Args:
        metric: ``(n,)``.
        free: ``(rows, n)``: 1 where free, else 0.
        fixed: ``(rows, n)``: where values are held, 0 where free; all at 0 if not given.
    """

    at: Tensor | None

    def __init__(self, metric: Tensor, free: Tensor, fixed: Tensor | None) -> None:
        self._metric, self._free, self.at = metric, free, fixed

    def weigh(self, slopes: Tensor, out: Tensor | None = None) -> Tensor:
        """Return J S: ``(rows, m, n)`` to the same."""
        return torch.mul(slopes, (self._free * self._metric)[:, None], out=out)

    def apply(self, pull: Tensor) -> Tensor:
        """Return S p for each row: ``(rows, n)`` to the same."""
        return self._free * self._metric * pull

    def wish(self, pull: Tensor, step: Tensor | None = None) -> Tensor:
        """Return where the free values go, and where the held ones would go if they were let, ``(rows, n)``.

        Args:
            pull: ``(rows, n)``: J'w.
            step: ``(rows, n)``: where the free values go, where that is known; 0 where held.
        """
        if step is None:
            return pull.mul_(-self._metric)
        return torch.where(self._free > 0, step, -self._metric * pull)


class HeldLowRank:
    """A metric of correlated values while some are held: the covariance of the others, given those.

    To minimise d' (D + U U')^-1 d with some values fixed is to take the likeliest of a normal law with that covariance
    given them; the k factors of each row carry all that is correlated. Args are those of `Held`.
    """

    at: Tensor | None

    def __init__(self, metric: LowRank, free: Tensor, fixed: Tensor | None) -> None:
        self._metric, self._free, self.at = metric, free, fixed
        factor, rank = metric.factor.double(), metric.factor.shape[1]
        held = (1 - free).double() / metric.diagonal
        middle = (held[:, None] * factor.T) @ factor
        middle.diagonal(dim1=1, dim2=2).add_(1.0)
        lower = torch.linalg.cholesky(middle)
        eye = torch.eye(rank, dtype=factor.dtype, device=factor.device).expand(len(free), rank, rank)
        # B = (L L')^-1 is the covariance of the factors, and L^-1 a root of it.
        self._root = torch.linalg.solve_triangular(lower, eye, upper=False).to(free)
        if fixed is not None:
            known = ((held * fixed) @ factor)[..., None]
            mean = torch.cholesky_solve(known, lower)[..., 0].to(free)
            self.at = fixed + free * (mean @ metric.factor.T)

    def weigh(self, slopes: Tensor, out: Tensor | None = None) -> Tensor:
        """Return J S: ``(rows, m, n)`` to the same."""
        free = self._free[:, None]
        inner = (slopes * free) @ self._metric.factor @ self._root.transpose(1, 2) @ self._root
        weighted = torch.mul(slopes, self._metric.diagonal, out=out)
        return weighted.add_(inner @ self._metric.factor.T).mul_(free)

    def apply(self, pull: Tensor) -> Tensor:
        """Return S p for each row: ``(rows, n)`` to the same."""
        return self.weigh(pull[:, None])[:, 0]

    def wish(self, pull: Tensor, step: Tensor | None = None) -> Tensor:
        """Return where the free values go, and where the held ones would go if they were let; see `Held.wish`."""
        if step is None:
            step = -self.apply(pull)
            change = step if self.at is None else step + self.at
        else:
            change = step if self.at is None else torch.where(self._free > 0, step, self.at)
        # A held value would follow its own gradient, as far as its own variance lets it.
        return torch.where(self._free > 0, change, change - self._metric.diagonal * (pull + self._metric.pull(change)))


def restrict(metric: Metric, free: Tensor, fixed: Tensor | None = None) -> Held | HeldLowRank:
    """Return a metric of the free values while the others are held; see `Held`."""
    return HeldLowRank(metric, free, fixed) if isinstance(metric, LowRank) else Held(metric, free, fixed)
