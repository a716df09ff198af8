"""Adam in a box, for a batch of independent least-squares problems that stop each by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genrev.solvers.jacobian import Function
from genrev.solvers.levenberg_marquardt import Search, Status


def adam(
    function: Callable[[Tensor], Function],
    x: Tensor,
    *,
    low: Tensor,
    high: Tensor,
    scale: Tensor,
    free: Tensor | None = None,
    rate: float = 0.1,
    aim: float = 0.01,
    steps: int = 1000,
) -> Search:
    """Follow the gradient of each row's squared residual, projected into the box.

    Args:
        function: from row numbers ``(k,)`` to the `Function` of those rows.
        x: ``(rows, n)``: where to begin, inside the box.
        low: ``(n,)``, -inf where unbounded.
        high: ``(n,)``, inf where unbounded.
        scale: ``(n,)``: the size of a large step of each value.
        free: ``(rows, n)`` of bool: which values may move; all if not given.
        rate: the first step's length, as a share of the scale; it falls to zero along a half cosine.
        aim: the share of the tolerance at which a row is solved.
        steps: how many steps to take at most.

    Returns:
        The best point of each row, by distance in the user's units.

    Reference:
        Kingma and Ba, 2015, "Adam: A method for stochastic optimization".

    Example:
        >>> def is_two(rows):
        ...     return lambda x: (x - 2, (x - 2).detach().abs()[:, 0] / 1e-3)
        >>> box = {"low": torch.tensor([0.0]), "high": torch.tensor([9.0]), "scale": torch.ones(1)}
        >>> round(float(adam(is_two, torch.ones(1, 1), **box).x), 3)
        2.0
    """
    index = torch.arange(len(x), device=x.device)
    search = Search(
        x.clone(), torch.full_like(x[:, 0], math.inf), torch.full_like(index, Status.LIMIT), torch.zeros_like(index)
    )
    mask = torch.ones_like(x) if free is None else free.to(x)
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(steps + 1):
        share, slope = _slope(function(index), x)
        better = share < search.share[index]
        search.x[index[better]], search.share[index[better]] = x[better], share[better]
        search.steps[index] = step
        slope = slope * mask[index]
        # A row whose slope is exactly zero will never move again.
        done, stuck = share <= aim, (slope == 0).all(1) & (first == 0).all(1)
        search.status[index[stuck]], search.status[index[done]] = Status.STALLED, Status.SOLVED
        keep = ~(done | stuck)
        if step == steps or not bool(keep.any()):
            break
        if not bool(keep.all()):
            index, x, first, second, slope = (part[keep] for part in (index, x, first, second, slope))
        first, second = first.lerp(slope, 0.1), second.lerp(slope.square(), 0.001)
        length = rate * scale * (1 + math.cos(math.pi * step / steps)) / 2
        direction = first / (1 - 0.9 ** (step + 1)) / ((second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-12)
        x = torch.minimum(torch.maximum(x - length * direction, low), high)
    return search


def _slope(function: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        residual, share = function(x)
        if not residual.requires_grad:
            # It does not depend on x at all.
            return share, torch.zeros_like(x)
        (slope,) = torch.autograd.grad(residual.square().sum() / 2, x)
    return share, slope.detach()
