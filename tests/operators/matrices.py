"""Operators of every kind, small enough to be written out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from genrev.operators import BlockDiagonal, Convolution, Dense, LowRankPlusDiagonal, Operator, Sparse, checked_pattern


def sparse(weight: Tensor) -> Sparse:
    """A sparse operator of the values of a matrix that are not zero."""
    rows, columns = weight.nonzero(as_tuple=True)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), (weight != 0).sum(1).cumsum(0)])
    return Sparse(checked_pattern(starts, columns, weight.shape[1]), weight[rows, columns])


def thinned(m: int, n: int, share: float = 0.3) -> Tensor:
    return torch.randn(m, n) * (torch.rand(m, n) < share)


def convolved(weight: Tensor, shape: tuple[int, ...], **settings: int) -> Convolution:
    def forth(x: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(x, w, **settings)

    return Convolution(forth, None, weight, shape)


KINDS: dict[str, Callable[[], Operator]] = {
    "dense": lambda: Dense(torch.randn(7, 5)),
    "dense-wide": lambda: Dense(torch.randn(4, 9).T.contiguous().T),
    "dense-row": lambda: Dense(torch.randn(1, 6)),
    "sparse": lambda: sparse(thinned(8, 6)),
    "sparse-wide": lambda: sparse(thinned(5, 70, 0.1)),
    "sparse-full": lambda: sparse(torch.randn(6, 6)),
    "sparse-empty": lambda: sparse(torch.zeros(3, 4)),
    "low-rank": lambda: LowRankPlusDiagonal(torch.randn(7, 2), torch.randn(2, 7), torch.randn(7)),
    "low-rank-alone": lambda: LowRankPlusDiagonal(torch.randn(7, 2), torch.randn(2, 5)),
    "rank-zero": lambda: LowRankPlusDiagonal(torch.randn(4, 0), torch.randn(0, 4), torch.randn(4)),
    "blocks": lambda: BlockDiagonal(torch.randn(3, 4, 4)),
    "blocks-wide": lambda: BlockDiagonal(torch.randn(3, 2, 5)),
    "conv": lambda: convolved(torch.randn(3, 2, 3, 2), (2, 5, 4), stride=2, padding=1),
    "conv-grouped": lambda: convolved(torch.randn(4, 1, 2, 2), (2, 4, 5), dilation=2, groups=2),
}
