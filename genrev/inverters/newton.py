"""newton: Levenberg-Marquardt onto f(x) = target, and from a start the smallest change that gets there."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from genrev.arrays import expect_shaped
from genrev.checks import one_of, whole
from genrev.equation import AIM, Equation
from genrev.errors import ArgumentError
from genrev.inverter import Inverter, Problem, Proposal, Traits
from genrev.inverters.searching import box_of, reasons, rows_of
from genrev.network import Network
from genrev.solvers import LowRank, Search, Status, levenberg_marquardt, shorten
from genrev.solvers.metric import Metric
from genrev.solvers.products import Products

METRICS = ("identity", "variance", "covariance")
JACOBIANS = ("auto", "dense", "free")

_DENSE = 2**26
"""Bytes that the Jacobian of a row may take to be stored where that is left to the method."""

_RANK, _MOST, _LEAST = 64, 2048, 1e-4
"""How many factors of the data's covariance a metric has, of how many values or inputs at most they are computed, and
the least variance of a value, as a share of the greatest one."""

_FINEST = 1e-24
"""The least weight of a value in a metric, to which single precision can still add."""

_TRUST = 0.5
"""How far a step from a start may depart from what its linear model foresaw, as a share of the change foreseen: a step
that leaps over saturated units lands on an input that has nothing to do with the start."""


class NewtonInverter(Inverter):
    """Moves an input the short way onto f(x) = target, by batched Levenberg-Marquardt in the box.

    It works behind the last activation, keeps known values fixed, and returns the closest output found where a target
    can't be reached. From a start it takes only steps that its linear model foresaw, where those lead there, and then
    walks along the inputs that meet the target to the one nearest the start.

    Args:
        network: the network to invert.
        tolerance: the residual that counts as met, in output units.
        metric: what a short way is: "identity"; "variance", where values that vary more in the data (after `fit`) move
            more freely; or "covariance", where those move together that do so in the data: by itself it then covers
            more of the data, but it takes several times as long, and behind a method that draws it moves its draws
            farther and recalls less of the data than "identity", which moves least. Each counts a value in
            widths of its bounds where these differ.
        steps: how many steps to try at most, in each search.
        shortest: how many rounds of shortening to try, from a start; 0 for none.
        restarts: how often a search that stalls begins again elsewhere: around the start, or the mean of the data.
        jacobian: "dense" stores the Jacobian of each row, outputs by values; "free" works with its products by vectors
            alone, and conjugate gradients, in a few vectors a row; "auto" is "free" where the Jacobian of a row takes
            more than 64 MB and the network can be differentiated as "free" needs it, else "dense".

    Reference:
        Levenberg, 1944, "A method for the solution of certain non-linear problems in least squares".

    Example:
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Linear(2, 1, bias=False), space=InputSpace((2,)))
        >>> found = NewtonInverter(network).reconstruct([[1.0]], start=[3.0, 4.0])
        >>> bool(found.converged)
        True
    """

    traits: ClassVar[Traits] = Traits(
        summary="Newton moves an input from its start the short way onto f(x) = target.",
        stochastic=True,
        uses_start=True,
        gradients=True,
    )

    def __init__(
        self,
        network: Network,
        *,
        tolerance: float | Tensor = 1e-3,
        metric: str = "identity",
        steps: int = 100,
        shortest: int = 60,
        restarts: int = 2,
        jacobian: str = "auto",
    ) -> None:
        super().__init__(network, tolerance=tolerance)
        self.metric, self.jacobian = one_of("metric", metric, METRICS), one_of("jacobian", jacobian, JACOBIANS)
        self.steps = whole("steps", steps, least=0)
        self.shortest, self.restarts = whole("shortest", shortest, least=0), whole("restarts", restarts, least=0)

        self._factor: Tensor | None = None
        self._matrix_free = jacobian == "free" or (
            jacobian == "auto" and self._jacobian_bytes() > _DENSE and self._has_products()
        )
        if jacobian == "free" and not self._has_products():
            raise ArgumentError(
                "expected a network with derivatives of its derivatives, or of forward mode, got one with neither; "
                "leave out jacobian='free'"
            )

    def _jacobian_bytes(self) -> int:
        return math.prod(self.network.output_shape) * self.network.space.size * self.network.dtype.itemsize

    def _has_products(self) -> bool:
        """Whether the network can be differentiated as the products of its Jacobian need it."""
        space, like = self.network.space, torch.empty(0, dtype=self.network.dtype, device=self.network.device)
        x = space.middle.to(like).flatten()[None]
        with torch.inference_mode(False), torch.no_grad(), self.network.frozen():
            try:
                products = Products(lambda rows: self._values, torch.zeros(1, dtype=torch.int64), x)
                products.forth(torch.ones_like(x))
            except (NotImplementedError, RuntimeError):
                return False
        return True

    def _values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the flat outputs as a `Function` does, with nothing asked of them."""
        return self.network.rowwise(x.reshape(-1, *self.network.space.shape)).flatten(1), x[:, 0]

    def _row_bytes(self) -> int:
        outputs = math.prod(self.network.output_shape)
        if self._matrix_free:
            # The vectors of the search and of conjugate gradients; a forward pass, its backward pass, and that one's.
            vectors = 24 * (outputs + self.network.space.size)
            return vectors * self.network.dtype.itemsize + 6 * self.network.row_bytes
        # The Jacobian, a copy weighted by the metric, one of the rows that are not settled, and one being renewed; the
        # products of its rows, their factors and inverses in double precision.
        jacobians = 4 * outputs * self.network.space.size + 10 * min(outputs, self.network.space.size) ** 2
        if self.metric == "covariance":
            # The covariance of its factors, given the values on bounds, and what makes it, in double precision.
            jacobians += 8 * min(_RANK, self.network.space.size) ** 2
        return jacobians * self.network.dtype.itemsize + self.network.row_bytes * outputs

    def _propose(self, problem: Problem) -> Proposal:
        box = box_of(self, problem) | {"metric": self._metric(problem.target)}
        search = self._search(problem, self._starts(problem), box)
        for attempt in range(self.restarts):
            self._restart(problem, search, box, attempt)
        stats = {}
        if problem.start is not None and self.shortest:
            equation = Equation(self.network, problem.target, problem.tolerance)
            function = rows_of(equation, self.network.space.shape)
            goal = self._admit(problem.start, problem.known).flatten(1)
            stats["shortened"] = shorten(
                function, search, goal, **box, aim=AIM, rounds=self.shortest, matrix_free=self._matrix_free
            )
        x = search.x.reshape(-1, *self.network.space.shape)
        return Proposal(x, {"steps": search.steps, **stats}, reasons(search))

    def _search(self, problem: Problem, x: Tensor, box: dict[str, Any]) -> Search:
        """Solve behind the last activation; what can't be met there goes on for the nearest output itself.

        From a start the search first keeps to the path that the linear model can follow. What is met, and no more, is
        left: a target that can be had to a twentieth of the tolerance and no better would take every search there is.
        """
        if problem.start is None:
            search = self._solve(problem, x, box, behind=True)
        else:
            search = self._solve(problem, x, {**box, "trust": _TRUST}, behind=True)
            self._try_again(search, search.share > 1, problem, x, box, behind=True)
        if self.network.link is not None:
            found = search.x.reshape(x.shape)
            self._try_again(
                search, (search.status == Status.STALLED) & (search.share > 1), problem, found, box, behind=False
            )
        return search

    def _try_again(
        self, search: Search, which: Tensor, problem: Problem, x: Tensor, box: dict[str, Any], *, behind: bool
    ) -> None:
        left = which.nonzero()[:, 0]
        if len(left):
            part = {**box, "free": box["free"][left]}
            search.improve(left, self._solve(problem[left], x[left], part, behind=behind))

    def _restart(self, problem: Problem, search: Search, box: dict[str, Any], attempt: int) -> None:
        left = (search.share > 1).nonzero()[:, 0]
        if len(left) == 0:
            return
        part = problem[left]
        noise = part.noise.fork(attempt + 1)
        elsewhere = Problem(part.target, part.tolerance, torch.ones_like(part.sample), part.start, part.known, noise)
        found = self._search(elsewhere, self._starts(elsewhere), {**box, "free": box["free"][left]})
        search.improve(left, found)

    def _solve(self, problem: Problem, x: Tensor, box: dict[str, Any], *, behind: bool) -> Search:
        equation = Equation(self.network, problem.target, problem.tolerance, behind=behind)
        function = rows_of(equation, self.network.space.shape)
        return levenberg_marquardt(
            function,
            x.flatten(1),
            **box,
            aim=AIM,
            steps=self.steps,
            alike=equation.alike,
            matrix_free=self._matrix_free,
        )

    def _fit(self, inputs: Tensor, seed: int) -> None:
        if self.metric == "covariance":
            self._factor = principal_factor(inputs.flatten(1), _RANK)

    def _tensors(self) -> dict[str, Tensor]:
        return {} if self._factor is None else {"factor": self._factor}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        if tensors:
            expect_shaped(tensors, {"factor": (self.network.space.size, None)}, self.network.dtype)
        self._factor = tensors.get("factor")

    def _metric(self, like: Tensor) -> Metric:
        unit = self.network.space.unit.flatten()
        # A step in widths of the bounds, where these differ: the range of the largest is 1.
        weight = (unit / unit.max()).square().clamp(min=_FINEST).to(like)
        if self.metric == "identity" or self.data is None:
            return weight
        unit = unit.to(like)
        variance = self.data.variance.flatten() / unit.square()
        most = variance.max()
        if self._factor is None:
            # Values that never vary in the data may still have to move: a little is left to them.
            return weight * (variance / most).clamp(min=_LEAST)
        # What the factors leave of each value's variance is its own.
        own = variance - (self._factor / unit[:, None]).square().sum(1)
        return LowRank(weight * (own / most).clamp(min=_LEAST), self._factor / (unit.max() * most.sqrt()))


def principal_factor(inputs: Tensor, rank: int) -> Tensor:
    """Return U ``(n, rank or fewer)`` with U U' as near to the covariance of inputs ``(rows, n)`` as its rank allows.

    Args:
        inputs: ``(rows, n)``, at least two rows.
        rank: the most columns.

    Reference:
        Tipping and Bishop, 1999, "Probabilistic principal component analysis".

    Example:
        >>> principal_factor(torch.tensor([[0.0, 0.0], [2.0, 4.0]]), 5).abs()
        tensor([[1.4142],
                [2.8284]])
    """
    # Some of the inputs say enough of very many values, and the smaller one of the two products has the same factors.
    inputs = inputs[:: -(-len(inputs) // _MOST)] if inputs.shape[1] > _MOST else inputs
    away = (inputs - inputs.mean(0)).double() / (len(inputs) - 1) ** 0.5
    if len(away) < away.shape[1]:
        values, vectors = torch.linalg.eigh(away @ away.T)
        factor = away.T @ vectors
    else:
        values, vectors = torch.linalg.eigh(away.T @ away)
        factor = vectors * values.clamp(min=0).sqrt()
    kept = values > 1e-10 * values.max()
    return factor[:, kept].flip(1)[:, :rank].contiguous().to(inputs)
