"""gradient: Adam or L-BFGS on the input, the baseline that everybody tries first, and what it may prefer on its way."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from genrev.checks import one_of, real, whole
from genrev.equation import AIM, Equation
from genrev.errors import ArgumentError
from genrev.inverter import Inverter, Problem, Proposal, Traits
from genrev.inverters.searching import box_of, reasons, rows_of
from genrev.network import Network
from genrev.solvers import Search, adam, lbfgs
from genrev.solvers.lbfgs import MEMORY
from genrev.solvers.objective import Preference
from genrev.solvers.variation import total_variation

OPTIMISERS = {"adam": adam, "lbfgs": lbfgs}

_SMOOTHING = 0.01
"""Steps between pixels that count as none, as a share of the spread of the data."""

_FARTHER = 0.5
"""How much farther than the one before each restart begins, in standard deviations of the data."""


class GradientInverter(Inverter):
    """Follows the gradient of the squared residual, in the box; each sample stops by itself.

    There are many inputs to an output. `variation` and `pull` say which are preferred: their weight is full at the
    beginning and falls to zero before the end, so that they choose among the inputs that meet the target, and keep none
    from being met. A weight of 1 makes what it weighs as dear as the whole miss of the mean input; 0.3 is a good first
    one. What is preferred need not look more real: a small change is often one that nobody sees.

    "lbfgs" takes several times fewer steps than "adam", and meets targets that are badly scaled, such as the logits of
    a ReLU network, where "adam" runs out of steps. It also moves less, and a network of few saturating units is met
    by inputs that do not look like its data; there "adam", which steps as far in each value, draws more of them. Hence
    it is the default.

    Args:
        network: the network to invert.
        tolerance: the residual that counts as met, in output units.
        steps: how many steps to take at most, in each attempt.
        rate: the first step's length, as a share of the spread of each input value; with "adam" it falls to zero.
        optimiser: "adam", or "lbfgs", which reads curvature off its last steps.
        variation: weight of the total variation of an image, the mean step from a pixel to its neighbours in units of
            the spread of the data: for smoother images.
        pull: weight of half the mean squared change from the start, in units of the spread of the data: for smaller
            changes. A sample without a start is pulled to where it begins.
        restarts: how often to begin again, each time farther from the start or the mean, with what is not met.

    Raises:
        ArgumentError: an argument of the wrong kind or range, or a variation asked of inputs that are no images.

    Reference:
        Kingma and Ba, 2015, "Adam: A method for stochastic optimization"; Liu and Nocedal, 1989, "On the limited memory
        BFGS method for large scale optimization"; Rudin, Osher and Fatemi, 1992, "Nonlinear total variation based noise
        removal algorithms".

    Example:
        >>> import torch
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Linear(2, 1), space=InputSpace((2,)))
        >>> bool(GradientInverter(network).reconstruct([[1.0]]).converged)
        True
    """

    traits: ClassVar[Traits] = Traits(
        summary="Adam, or L-BFGS, follows the gradient of the squared residual from its start.",
        stochastic=True,
        uses_start=True,
        gradients=True,
    )

    def __init__(
        self,
        network: Network,
        *,
        tolerance: float | Tensor = 1e-3,
        steps: int = 1000,
        rate: float = 0.1,
        optimiser: str = "adam",
        variation: float = 0.0,
        pull: float = 0.0,
        restarts: int = 0,
    ) -> None:
        super().__init__(network, tolerance=tolerance)
        self.steps, self.rate = whole("steps", steps, least=0), real("rate", rate, above=True)
        self.optimiser, self.restarts = one_of("optimiser", optimiser, OPTIMISERS), whole("restarts", restarts, least=0)
        self.variation, self.pull = real("variation", variation), real("pull", pull)
        if self.variation and len(network.space.shape) not in (2, 3):
            raise ArgumentError(
                "expected an input space of images, (height, width) or (channels, height, width), for variation, got "
                f"shape {network.space.shape}; leave it at 0, or give the network's input that shape"
            )

    def _row_bytes(self) -> int:
        # The input, its gradients and directions, and Adam's two means or what L-BFGS remembers, with copies at work;
        # the values kept for the backward pass.
        vectors = 10 if self.optimiser == "adam" else 12 + 4 * MEMORY
        return vectors * self.network.space.size * self.network.dtype.itemsize + self.network.row_bytes

    def _propose(self, problem: Problem) -> Proposal:
        start = self._starts(problem)
        goal = start if problem.start is None else self._admit(problem.start, problem.known)
        search = self._search(problem, start, goal)
        restarts = torch.zeros_like(search.steps)
        for attempt in range(self.restarts):
            left = self._unmet(problem, search.x).nonzero()[:, 0]
            if len(left) == 0:
                break
            part = problem[left]
            again = self._search(part, self._elsewhere(part, start[left], attempt), goal[left])
            search.improve(left, again)
            restarts[left] += 1
        x = search.x.reshape(start.shape)
        return Proposal(x, {"steps": search.steps, "restarts": restarts}, reasons(search))

    def _search(self, problem: Problem, x: Tensor, goal: Tensor) -> Search:
        equation = Equation(self.network, problem.target, problem.tolerance)
        # A value that never varies in the data may still have to move.
        unit = self.network.space.unit.to(problem.target).flatten()
        share = self._scale(problem.target).flatten() / unit
        scale = unit * share.clamp(min=0.1 * float(share.max()))
        return OPTIMISERS[self.optimiser](
            rows_of(equation, self.network.space.shape),
            x.flatten(1),
            **box_of(self, problem),
            scale=scale,
            preference=self._preference(problem, equation, goal.flatten(1)),
            rate=self.rate,
            aim=AIM,
            steps=self.steps,
        )

    def _preference(self, problem: Problem, equation: Equation, goal: Tensor) -> Preference | None:
        """Return what inputs dislike beside their residual, in units of the mean input's cost."""
        if not self.variation and not self.pull:
            return None
        shape = self.network.space.shape
        unit = self._scale(problem.target).square().mean().sqrt()
        mean = self._starts(Problem(**vars(problem) | {"sample": torch.zeros_like(problem.sample), "start": None}))
        residual, _ = equation(mean)
        cost = residual.square().sum(1) / 2

        def preference(rows: Tensor, x: Tensor) -> Tensor:
            change = ((x - goal[rows]) / unit).square().mean(1) / 2
            total = self.pull * change
            if self.variation:
                total = total + self.variation * total_variation(x.reshape(-1, *shape) / unit, smoothing=_SMOOTHING)
            return cost[rows] * total

        return preference

    def _elsewhere(self, problem: Problem, x: Tensor, attempt: int) -> Tensor:
        """Return where another attempt begins: each farther away than the one before."""
        noise = problem.noise.fork(attempt + 1).normal(self.network.space.shape).to(x)
        return self._admit(x + _FARTHER * (attempt + 1) * self._scale(x) * noise, problem.known)

    def _unmet(self, problem: Problem, x: Tensor) -> Tensor:
        """Return which rows are not within tolerance of what was asked, as they will be graded."""
        y = self.network.evaluate(x.reshape(-1, *self.network.space.shape))
        near = ((y - problem.target).abs() <= problem.tolerance) | (problem.target.isnan() & y.isfinite())
        return ~near.flatten(1).all(1)
