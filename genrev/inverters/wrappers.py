"""Wrappers: inverters made of inverters, to refine a proposal or to choose among several."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from genrev.checks import whole
from genrev.errors import ArgumentError
from genrev.inverter import Inverter, Problem, Proposal, Traits


class Refined(Inverter):
    """A proposal by one inverter, moved the short way onto the target by another.

    Args:
        first: proposes: any inverter.
        then: moves the proposal: one that uses a start, of the same network.
        tolerance: the residual that counts as met; that of ``then`` if not given.

    Raises:
        ArgumentError: the two invert different networks, or ``then`` uses no start.

    Example:
        >>> from genrev import InputSpace, Network, NewtonInverter, RetrievalInverter
        >>> network = Network(torch.nn.Linear(2, 1), space=InputSpace((2,)))
        >>> refined = Refined(RetrievalInverter(network), NewtonInverter(network)).fit(torch.rand(9, 2))
        >>> bool(refined.reconstruct([[0.5]]).converged)
        True
    """

    def __init__(self, first: Inverter, then: Inverter, *, tolerance: float | Tensor | None = None) -> None:
        for part in (first, then):
            if not isinstance(part, Inverter):
                raise ArgumentError(
                    f"expected two inverters, got {type(part).__name__}; build them first, as in Refined("
                    "CVAEInverter(network), NewtonInverter(network)), or by name: genrev.build('cvae+newton', network)"
                )
        if first.network is not then.network and first.network.fingerprint() != then.network.fingerprint():
            raise ArgumentError("expected two inverters of the same network, got two networks; build both on one")
        if not then.traits.uses_start:
            raise ArgumentError(
                f"expected a second inverter that uses a start, got {type(then).__name__}; use 'newton' or 'gradient'"
            )
        one, two = first.traits, then.traits
        self.traits = Traits(  # type: ignore[misc]
            summary=f"{one.summary} Then: {two.summary}",
            learns=one.learns or two.learns,
            stochastic=one.stochastic or (one.uses_start and two.stochastic),
            uses_start=one.uses_start,
            gradients=one.gradients or two.gradients,
            chain=one.chain or two.chain,
            recurrent=one.recurrent or two.recurrent,
        )
        super().__init__(then.network, tolerance=then.tolerance if tolerance is None else tolerance)
        self.first, self.then = first, then
        if then.data is None and not then.traits.learns:
            # What was noted of the data when the first was fitted, and saved with it, serves both.
            then.data = first.data

    @property
    def fitted(self) -> bool:
        """Whether all parts that learn are fitted."""
        return all(part.fitted or not part.traits.learns for part in (self.first, self.then))

    @property
    def outputs_seen(self) -> Tensor | None:
        """Those of the first part, else those of the second."""
        seen = self.first.outputs_seen
        return self.then.outputs_seen if seen is None else seen

    def _fit(self, inputs: Tensor, seed: int) -> None:
        fit_parts((self.first, self.then), inputs, seed)

    def _row_bytes(self) -> int:
        return max(self.first._row_bytes(), self.then._row_bytes())

    def _propose(self, problem: Problem) -> Proposal:
        proposal = self.first._propose(problem)
        x = self._admit(proposal.x, problem.known)
        # What is not finite can't be refined; it begins where a search without a start would.
        finite = x.isfinite()
        if not bool(finite.all()):
            x = torch.where(finite, x, self.then._starts(problem))
        refined = self.then._propose(problem.starting_at(x))
        moved = (refined.x - x).flatten(1).norm(dim=1)
        first = {f"first_{name}": value for name, value in proposal.stats.items()}
        return Proposal(refined.x, {**first, **refined.stats, "moved": moved}, refined.reason)


class BestOf(Inverter):
    """The best of several draws of another inverter, by residual, for each sample.

    Args:
        inverter: draws: any inverter whose samples differ.
        n: how many draws for each sample, at least 1.
        tolerance: the residual that counts as met; that of the inverter if not given.

    Raises:
        ArgumentError: n is less than 1, or the inverter's samples do not differ.

    Example:
        >>> from genrev import GradientInverter, InputSpace, Network
        >>> network = Network(torch.nn.Linear(2, 1), space=InputSpace((2,)))
        >>> BestOf(GradientInverter(network, steps=5), 8).reconstruct([[0.5]], seed=0).residual.shape
        torch.Size([1, 1])
    """

    def __init__(self, inverter: Inverter, n: int = 8, *, tolerance: float | Tensor | None = None) -> None:
        if not isinstance(inverter, Inverter):
            raise ArgumentError(f"expected an inverter, got {type(inverter).__name__}; build it first")
        n = whole("n", n)
        if not inverter.traits.stochastic:
            raise ArgumentError(
                f"expected an inverter whose samples differ, got {type(inverter).__name__}, which gives one answer; "
                "use it as it is"
            )
        # Which draw is the best may change with every step of a chain.
        self.traits = replace(inverter.traits, steps=None)  # type: ignore[misc]
        super().__init__(inverter.network, tolerance=inverter.tolerance if tolerance is None else tolerance)
        self.inverter, self.n = inverter, n

    @property
    def fitted(self) -> bool:
        """Whether all parts that learn are fitted."""
        return all(part.fitted or not part.traits.learns for part in (self.inverter,))

    @property
    def outputs_seen(self) -> Tensor | None:
        """Those of the inverter that draws."""
        return self.inverter.outputs_seen

    def _fit(self, inputs: Tensor, seed: int) -> None:
        fit_parts((self.inverter,), inputs, seed)

    def _row_bytes(self) -> int:
        return self.n * (self.inverter._row_bytes() + self.network.row_bytes)

    def _propose(self, problem: Problem) -> Proposal:
        drawn = problem.repeat(self.n)
        proposal = self.inverter._propose(drawn)
        x = self._admit(proposal.x, drawn.known)
        y = self.network.evaluate(x)
        distance = (y - drawn.target).abs() / problem.tolerance
        # What is not asked is no distance, but what is not finite is no answer.
        share = torch.where(drawn.target.isnan() & y.isfinite(), 0.0, distance).flatten(1).amax(1).nan_to_num(torch.inf)
        best = share.reshape(-1, self.n).argmin(1) + self.n * torch.arange(len(problem), device=share.device)
        reason = None if proposal.reason is None else proposal.reason[best]
        return Proposal(x[best], {name: value[best] for name, value in proposal.stats.items()}, reason)


def fit_parts(parts: tuple[Inverter, ...], inputs: Any, seed: int) -> None:
    """Fit those of the parts that are not fitted yet.

    Args:
        parts: of one wrapper.
        inputs: ``(n, *input_shape)``.
        seed: non-negative integer.
    """
    for part in parts:
        if not part.fitted:
            part.fit(inputs, seed=seed)
