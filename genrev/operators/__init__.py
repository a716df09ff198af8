"""Operators: layers as linear maps, known by their products."""

from genrev.operators.base import Operator
from genrev.operators.block_diagonal import BlockDiagonal
from genrev.operators.convolution import Convolution
from genrev.operators.dense import Dense
from genrev.operators.low_rank import LowRankPlusDiagonal
from genrev.operators.sparse import Pattern, Sparse, checked_pattern

__all__ = [
    "BlockDiagonal",
    "Convolution",
    "Dense",
    "LowRankPlusDiagonal",
    "Operator",
    "Pattern",
    "Sparse",
    "checked_pattern",
]
