"""Rows in even numbers, each rounded alike beside any others: one target has one answer, alone or in a batch.

Matrix products round the few rows that are left over from a block otherwise than the rest. That is a matter of the last
digit, but where a choice hangs on it, of the nearest neighbour or of a solver's next step, the answers would differ.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_BLOCK = 8
"""What the blocks of the usual matrix products divide."""


def filled(rows: Tensor) -> Tensor:
    """Return rows with the last one repeated up to a multiple of eight; none stay none.

    Args:
        rows: ``(n, ...)``.

    Example:
        >>> filled(torch.ones(3, 2)).shape
        torch.Size([8, 2])
    """
    spare = -len(rows) % _BLOCK
    if spare == 0 or len(rows) == 0:
        return rows
    return torch.cat([rows, rows[-1:].expand(spare, *rows.shape[1:])])


def rowwise(function: Callable[..., Tensor], *parts: Tensor) -> Tensor:
    """Return what a function gives for rows, each rounded as beside any others.

    Args:
        function: of the parts, whose rows are independent.
        parts: ``(n, ...)`` each.

    Returns:
        ``(n, ...)``.

    Example:
        >>> rowwise(torch.add, torch.ones(2, 1), torch.ones(2, 1)).tolist()
        [[2.0], [2.0]]
    """
    return function(*map(filled, parts))[: len(parts[0])]
