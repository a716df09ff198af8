"""How a batch of searches stands: where each is, how far from its target, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor


class Status(IntEnum):
    """How the search of a row ended.

    Example:
        >>> [status.name for status in Status]
        ['SOLVED', 'STALLED', 'LIMIT']
    """

    SOLVED = 0
    STALLED = 1
    LIMIT = 2


@dataclass(eq=False)
class Search:
    """The state of a batch of searches; every field begins with the row.

    Args:
        x: ``(rows, n)``: the best point found.
        share: ``(rows,)``: its distance to the target as a share of the tolerance.
        status: ``(rows,)`` integers of `Status`.
        steps: ``(rows,)`` integers: how many steps were tried.

    Example:
        >>> import torch
        >>> rows = {"status": torch.tensor([0, 1]), "steps": torch.tensor([4, 90])}
        >>> search = Search(x=torch.zeros(2, 3), share=torch.tensor([0.001, 70.0]), **rows)
        >>> (search.status == Status.SOLVED).tolist()
        [True, False]
    """

    x: Tensor
    share: Tensor
    status: Tensor
    steps: Tensor

    def improve(self, rows: Tensor, other: Search) -> None:
        """Take over what another search of some rows found nearer to their targets, and count its steps.

        Args:
            rows: ``(k,)``: the numbers of these rows, each once.
            other: of ``k`` rows.

        Example:
            >>> import torch
            >>> one = Search(torch.zeros(2, 1), torch.tensor([5.0, 9.0]), torch.tensor([1, 1]), torch.tensor([3, 3]))
            >>> two = Search(torch.ones(1, 1), torch.tensor([0.01]), torch.tensor([0]), torch.tensor([4]))
            >>> one.improve(torch.tensor([1]), two)
            >>> one.x[:, 0].tolist(), one.status.tolist(), one.steps.tolist()
            ([0.0, 1.0], [1, 0], [3, 7])
        """
        self.steps[rows] += other.steps
        nearer = other.share < self.share[rows]
        for name in ("x", "share", "status"):
            getattr(self, name)[rows[nearer]] = getattr(other, name)[nearer]
