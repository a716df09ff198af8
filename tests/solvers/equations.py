"""What the solvers' tests solve: f(x) = target, row by row, and settings of every value from one number."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genrev.solvers.jacobian import Function

Problem = Callable[[Tensor], Function]


def equations(f: Callable[[Tensor], Tensor], target: Tensor, tolerance: float) -> Problem:
    """f(x) = target, as a solver asks for it."""

    def function(rows: Tensor) -> Function:
        def residual(x: Tensor) -> tuple[Tensor, Tensor]:
            y = f(x) - target[rows]
            share = y.detach().abs().amax(1) / tolerance
            return y, torch.where(share.isfinite(), share, math.inf)

        return residual

    return function


def for_each_value(x: Tensor, **settings: float | Tensor) -> dict[str, Tensor]:
    """Bounds, metric or scale of every value of x."""
    return {name: torch.as_tensor(one, dtype=x.dtype).expand(x.shape[1]) for name, one in settings.items()}
