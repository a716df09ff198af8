"""gradient: Adam on the input, the baseline that everybody tries first."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from genrev.checks import real, whole
from genrev.equation import AIM, Equation
from genrev.inverter import Inverter, Problem, Proposal, Traits
from genrev.inverters.newton import box_of, reasons, rows_of
from genrev.network import Network
from genrev.solvers import adam


class GradientInverter(Inverter):
    """Follows the gradient of the squared residual with Adam, in the box; each sample stops by itself.

    Args:
        network: the network to invert.
        tolerance: the residual that counts as met, in output units.
        steps: how many steps to take at most.
        rate: the first step's length, as a share of the spread of each input value; it falls to zero.

    Reference:
        Kingma and Ba, 2015, "Adam: A method for stochastic optimization".

    Example:
        >>> import torch
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Linear(2, 1), space=InputSpace((2,)))
        >>> bool(GradientInverter(network).reconstruct([[1.0]]).converged)
        True
    """

    traits: ClassVar[Traits] = Traits(
        summary="Adam follows the gradient of the squared residual from its start.",
        stochastic=True,
        uses_start=True,
        gradients=True,
    )

    def __init__(
        self, network: Network, *, tolerance: float | Tensor = 1e-3, steps: int = 1000, rate: float = 0.1
    ) -> None:
        super().__init__(network, tolerance=tolerance)
        self.steps, self.rate = whole("steps", steps, least=0), real("rate", rate, above=True)

    def _row_bytes(self) -> int:
        # The input, its gradient, and Adam's two means; the values kept for the backward pass.
        return 6 * self.network.space.size * self.network.dtype.itemsize + self.network.row_bytes

    def _propose(self, problem: Problem) -> Proposal:
        equation = Equation(self.network, problem.target, problem.tolerance)
        shape = self.network.space.shape
        # A value that never varies in the data may still have to move.
        unit = self.network.space.unit.to(problem.target).flatten()
        share = self._scale(problem.target).flatten() / unit
        scale = unit * share.clamp(min=0.1 * float(share.max()))
        search = adam(
            rows_of(equation, shape),
            self._starts(problem).flatten(1),
            **box_of(self, problem),
            scale=scale,
            rate=self.rate,
            aim=AIM,
            steps=self.steps,
        )
        return Proposal(search.x.reshape(-1, *shape), {"steps": search.steps}, reasons(search))
