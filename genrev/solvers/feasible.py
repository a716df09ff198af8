"""A point of two convex sets at once, by going from one to the other and back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_ROUNDS = 40
"""From one set to the other and back, at most."""

_FURTHER = 1.5
"""How far each step towards the second set goes, of the way to its nearest point: beyond it, to come inside."""


def met_by_both(meet: Callable[[Tensor], Tensor], confine: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Return points of the first set that are in the second too, or come near to it where there are none.

    Args:
        meet: from points ``(rows, ...)`` to the nearest ones of the first set.
        confine: to the nearest ones of the second set.
        start: ``(rows, ...)``: where to begin; a row that is in both sets after the first step stays there.

    Returns:
        ``(rows, ...)``: of the first set.

    Reference:
        Bauschke and Borwein, 1996, "On projection algorithms for solving convex feasibility problems".

    Example:
        >>> line = lambda x: x + (1 - x.sum(1, keepdim=True)) / 2
        >>> met_by_both(line, lambda x: x.clamp(0, 1), torch.tensor([[3.0, -4.0]])).tolist()
        [[1.0, 0.0]]
    """
    found = meet(confine(start))
    slack = torch.finfo(start.dtype).eps ** 0.5
    for _ in range(_ROUNDS):
        way = confine(found) - found
        size = found.flatten(1).abs().amax(1).clamp(min=1.0)
        going = way.flatten(1).abs().amax(1) > slack * size
        if not bool(going.any()):
            break
        moved = meet(found + _FURTHER * way)
        found = torch.where(going.reshape(-1, *(1,) * (found.ndim - 1)), moved, found)
    return found
