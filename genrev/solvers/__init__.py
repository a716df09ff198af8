"""Solvers: batched numerics on tensors, which know no network and no inverter."""

from genrev.solvers.adam import adam
from genrev.solvers.jacobian import jacobian
from genrev.solvers.lbfgs import lbfgs
from genrev.solvers.levenberg_marquardt import Search, Status, levenberg_marquardt
from genrev.solvers.shortest import shorten

__all__ = ["Search", "Status", "adam", "jacobian", "lbfgs", "levenberg_marquardt", "shorten"]
