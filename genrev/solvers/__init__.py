"""Solvers: batched numerics on tensors, which know no network and no inverter."""

from genrev.solvers.adam import adam
from genrev.solvers.jacobian import jacobian
from genrev.solvers.lbfgs import lbfgs
from genrev.solvers.levenberg_marquardt import levenberg_marquardt
from genrev.solvers.metric import LowRank
from genrev.solvers.search import Search, Status
from genrev.solvers.shortest import shorten

__all__ = ["LowRank", "Search", "Status", "adam", "jacobian", "lbfgs", "levenberg_marquardt", "shorten"]
