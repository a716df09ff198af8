"""Adam in a box, for a batch of independent least-squares problems that stop each by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genrev.solvers.jacobian import Function
from genrev.solvers.objective import Preference, measure
from genrev.solvers.search import Search, Status

_FADED = 1e-3
"""What is left of a preference's weight before it is dropped, half way through the steps."""


def adam(
    function: Callable[[Tensor], Function],
    x: Tensor,
    *,
    low: Tensor,
    high: Tensor,
    scale: Tensor,
    free: Tensor | None = None,
    preference: Preference | None = None,
    rate: float = 0.1,
    aim: float = 0.01,
    steps: int = 1000,
) -> Search:
    """Follow the gradient of each row's squared residual, projected into the box.

    A preference is added to what is minimised. Its weight fades over the first half of the steps and is zero in the
    second, so that it chooses among the points that solve a row, and keeps none from being solved.

    Args:
        function: from row numbers ``(k,)`` to the `Function` of those rows.
        x: ``(rows, n)``: where to begin, inside the box.
        low: ``(n,)``, -inf where unbounded.
        high: ``(n,)``, inf where unbounded.
        scale: ``(n,)``: the size of a large step of each value.
        free: ``(rows, n)`` of bool: which values may move; all if not given.
        preference: what rows dislike beside their residual; nothing if not given.
        rate: the first step's length, as a share of the scale; it falls to zero along a half cosine.
        aim: the share of the tolerance at which a row is solved.
        steps: how many steps to take at most.

    Returns:
        The best point of each row, by distance in the user's units; with a preference, of a row that is solved, the
        first that does so without its weight.

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
    fade = 0 if preference is None else steps // 2
    for step in range(steps + 1):
        point = measure(function(index), x, index, preference if step < fade else None)
        level = _FADED ** (step / fade) if step < fade else 0.0
        if step == fade:
            # Slopes with a preference say nothing of those without; remembered, they would shorten each step to come.
            first, second = torch.zeros_like(x), torch.zeros_like(x)
        age = step + 1 if step < fade else step + 1 - fade
        slope = (point.slope + level * point.drift) * mask[index]
        # What can't move at all has no use for a preference.
        settled = (mask[index] == 0).all(1) | (level == 0.0)
        done = (point.share <= aim) & settled
        better = (point.share < search.share[index]) | done
        search.x[index[better]], search.share[index[better]] = x[better], point.share[better]
        search.steps[index] = step
        # A row whose every value is drawn nowhere, or out of the box, will never move again.
        stuck = settled & _pinned(slope, x, low, high) & _pinned(first, x, low, high)
        search.status[index[stuck]], search.status[index[done]] = Status.STALLED, Status.SOLVED
        keep = ~(done | stuck)
        if step == steps or not bool(keep.any()):
            break
        if not bool(keep.all()):
            index, x, first, second, slope = (part[keep] for part in (index, x, first, second, slope))
        first, second = first.lerp(slope, 0.1), second.lerp(slope.square(), 0.001)
        length = rate * scale * (1 + math.cos(math.pi * step / steps)) / 2
        direction = first / (1 - 0.9**age) / ((second / (1 - 0.999**age)).sqrt() + 1e-12)
        x = torch.minimum(torch.maximum(x - length * direction, low), high)
    return search


def _pinned(slope: Tensor, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return of which rows a step against the slope moves no value."""
    return ((slope == 0) | ((x <= low) & (slope > 0)) | ((x >= high) & (slope < 0))).all(1)
