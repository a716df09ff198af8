"""Operators: layers as linear maps, solved by factors of their matrix, or by their products alone."""

from genrev.operators.base import Operator
from genrev.operators.block_diagonal import BlockDiagonal
from genrev.operators.cgnr import cgnr
from genrev.operators.convolution import Convolution
from genrev.operators.dense import Dense
from genrev.operators.direct import Factored
from genrev.operators.least_squares import LeastSquares, Stop
from genrev.operators.low_rank import LowRankPlusDiagonal
from genrev.operators.lsmr import lsmr
from genrev.operators.preconditioners import BlockJacobi, ColumnScaling, Preconditioner
from genrev.operators.repeated import Repeated
from genrev.operators.sharded import Gathered, Sharded
from genrev.operators.solver import Solved, Solver, prepare
from genrev.operators.sparse import Pattern, Sparse, checked_pattern
from genrev.operators.streamed import Streamed

__all__ = [
    "BlockDiagonal",
    "BlockJacobi",
    "ColumnScaling",
    "Convolution",
    "Dense",
    "Factored",
    "Gathered",
    "LeastSquares",
    "LowRankPlusDiagonal",
    "Operator",
    "Pattern",
    "Preconditioner",
    "Repeated",
    "Sharded",
    "Solved",
    "Solver",
    "Sparse",
    "Stop",
    "Streamed",
    "cgnr",
    "checked_pattern",
    "lsmr",
    "prepare",
]
