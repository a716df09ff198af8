"""What the methods that search share: a problem as the solvers take it, and what their answer says of why it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from genrev.equation import Equation
from genrev.inverter import Inverter, Outcome, Problem
from genrev.solvers import Search, Status
from genrev.solvers.jacobian import Function


def box_of(inverter: Inverter, problem: Problem) -> dict[str, Any]:
    """Return the bounds ``(n,)`` and the free values ``(rows, n)`` of a problem, as the solvers take them.

    Args:
        inverter: whose input space bounds the values.
        problem: its known values are not free.
    """
    space, like = inverter.network.space, problem.target
    free = torch.ones(len(problem), space.size, dtype=torch.bool, device=like.device)
    if problem.known is not None:
        free = problem.known.isnan().flatten(1)
    # One whose bounds are the same can't move either, and has no say in how the others do.
    free = free & (space.high > space.low).flatten().to(free.device)
    return {"low": space.low.to(like).flatten(), "high": space.high.to(like).flatten(), "free": free}


def rows_of(equation: Equation, shape: tuple[int, ...]) -> Callable[[Tensor], Function]:
    """Return an equation as the solvers take it: from row numbers to a function of flat inputs.

    Args:
        equation: of all rows.
        shape: of one input.
    """

    def function(rows: Tensor) -> Function:
        part = equation[rows]
        return lambda x: part(x.reshape(-1, *shape))

    return function


def reasons(search: Search) -> Tensor:
    """Return why each row of a search ended, ``(rows,)`` integers of `Outcome`.

    Args:
        search: by any of the solvers.
    """
    return torch.where(search.status == Status.LIMIT, int(Outcome.LIMIT), int(Outcome.STALLED))
