"""What solvers that follow a gradient measure at a point: the cost of the residual, and of what is preferred beside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from genrev.solvers.jacobian import Function

Preference = Callable[[Tensor, Tensor], Tensor]
"""From row numbers ``(k,)`` and their points ``(k, n)`` to what each dislikes there, ``(k,)``, in units of the cost."""


@dataclass(eq=False, repr=False)
class Point:
    """What is measured where rows are; every field begins with the row.

    Args:
        share: ``(rows,)``: distance to the target as a share of the tolerance.
        cost: ``(rows,)``: half the squared residual.
        slope: ``(rows, n)``: its gradient.
        penalty: ``(rows,)``: the preference's.
        drift: ``(rows, n)``: the gradient of that.
    """

    share: Tensor
    cost: Tensor
    slope: Tensor
    penalty: Tensor
    drift: Tensor

    def __getitem__(self, keep: Tensor) -> Point:
        return Point(*(getattr(self, part.name)[keep] for part in fields(self)))

    def take(self, which: Tensor, other: Point) -> None:
        """Take over some rows of another, in place.

        Args:
            which: ``(rows,)`` of bool.
            other: as many rows.
        """
        for part in fields(self):
            mine = getattr(self, part.name)
            setattr(
                self, part.name, torch.where(which.view(-1, *[1] * (mine.ndim - 1)), getattr(other, part.name), mine)
            )


def measure(function: Function, x: Tensor, rows: Tensor, preference: Preference | None) -> Point:
    """Return what some rows cost at their points, and the gradients.

    Args:
        function: of those rows.
        x: ``(rows, n)``.
        rows: ``(rows,)``: their numbers, for the preference.
        preference: zero if not given.

    Example:
        >>> point = measure(lambda x: (x - 2, x[:, 0]), torch.ones(1, 1), torch.tensor([0]), None)
        >>> point.cost.tolist(), point.slope.tolist()
        ([0.5], [[-1.0]])
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        residual, share = function(x)
        cost = residual.square().sum(1) / 2
        slope = _gradient(cost, x)
        penalty = torch.zeros_like(cost) if preference is None else preference(rows, x)
        drift = _gradient(penalty, x)
    return Point(share, cost.detach(), slope, penalty.detach(), drift)


def _gradient(values: Tensor, x: Tensor) -> Tensor:
    # It may not depend on x at all.
    return torch.autograd.grad(values.sum(), x)[0] if values.requires_grad else torch.zeros_like(x)
