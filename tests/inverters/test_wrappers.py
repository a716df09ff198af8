"""Tests of the wrappers: a proposal that is refined, the best of several draws, and one inside the other."""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from genrev.errors import ArgumentError, NotFittedError
from genrev.inverter import Inverter, Outcome, Problem, Proposal, Traits
from genrev.inverters.gradient import GradientInverter
from genrev.inverters.newton import NewtonInverter
from genrev.inverters.pinv import PinvInverter
from genrev.inverters.retrieval import RetrievalInverter
from genrev.inverters.wrappers import BestOf, Refined
from genrev.network import Network
from genrev.space import InputSpace


def network(n: int = 6, m: int = 2, *, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(n, 10), nn.Tanh(), nn.Linear(10, m)).double()
    return Network(module, space=InputSpace((n,), -1.0, 1.0))


class Random(Inverter):
    """Draws an input from the box, whatever the target."""

    traits: ClassVar[Traits] = Traits(summary="Draws at random.", stochastic=True)

    def _propose(self, problem: Problem) -> Proposal:
        x = 2 * problem.noise.uniform(self.network.space.shape).to(problem.target) - 1
        return Proposal(x, {"first": x.flatten(1)[:, 0]})


class Broken(Inverter):
    """Proposes what is not finite."""

    traits: ClassVar[Traits] = Traits(summary="Proposes nonsense.")

    def _propose(self, problem: Problem) -> Proposal:
        x = torch.full((len(problem), *self.network.space.shape), math.nan, dtype=problem.target.dtype)
        x[:, 0] = 0.5
        return Proposal(x)


# Refined


def test_a_proposal_is_moved_onto_the_target_and_stays_near() -> None:
    net = network()
    inputs = 2 * torch.rand(300, 6) - 1
    first = RetrievalInverter(net).fit(inputs)
    target = net.evaluate(2 * torch.rand(30, 6) - 1)
    proposed = first.reconstruct(target)
    found = Refined(first, NewtonInverter(net)).reconstruct(target)
    assert float(proposed.converged.double().mean()) < 0.2
    assert bool(found.converged.all())
    moved = (found.x - proposed.x).flatten(2).norm(dim=2)
    torch.testing.assert_close(found.stats["moved"], moved)
    cold = NewtonInverter(net).reconstruct(target, seed=0)
    assert float(moved.median()) < float((cold.x - proposed.x).norm(dim=2).median())
    assert {"first_neighbour", "steps", "shortened", "moved"} <= set(found.stats)


def test_its_samples_differ_where_the_proposals_do() -> None:
    net = network()
    found = Refined(Random(net), NewtonInverter(net)).reconstruct(net.evaluate(torch.zeros(2, 6)), samples=5, seed=0)
    assert bool(found.converged.all())
    assert float(torch.pdist(found.x[0]).min()) > 1e-3


def test_its_samples_repeat_where_the_proposal_is_one() -> None:
    net = network(seed=1)
    refined = Refined(RetrievalInverter(net), NewtonInverter(net)).fit(2 * torch.rand(20, 6) - 1)
    assert not refined.traits.stochastic
    found = refined.reconstruct(net.evaluate(torch.rand(3, 6)), samples=3, seed=0)
    assert torch.equal(found.x, found.x[:, :1].expand_as(found.x))


def test_the_traits_are_those_of_both() -> None:
    net = network()
    refined = Refined(RetrievalInverter(net), NewtonInverter(net))
    assert refined.traits.learns
    assert refined.traits.gradients
    assert not refined.traits.uses_start
    assert Refined(PinvInverter(net), GradientInverter(net)).traits.chain
    assert Refined(GradientInverter(net), NewtonInverter(net)).traits.uses_start
    assert RetrievalInverter.traits.gradients is False


def test_what_is_not_finite_begins_where_a_search_without_a_start_would() -> None:
    net = network()
    found = Refined(Broken(net), NewtonInverter(net)).reconstruct(net.evaluate(torch.rand(5, 6)), seed=0)
    assert bool(found.converged.all())


def test_known_values_stay() -> None:
    net = network()
    known = torch.full((6,), math.nan)
    known[2] = 0.25
    for inverter in (Refined(Random(net), NewtonInverter(net)), BestOf(Refined(Random(net), NewtonInverter(net)), 3)):
        found = inverter.reconstruct(net.evaluate(0.2 * torch.rand(4, 6)), samples=2, known=known, seed=0)
        assert bool((found.x[..., 2] == 0.25).all())


def test_two_networks_are_refused() -> None:
    one, other = network(seed=0), network(seed=1)
    with pytest.raises(ArgumentError, match="expected two inverters of the same network, got two networks"):
        Refined(PinvInverter(one), NewtonInverter(other))
    Refined(PinvInverter(one), NewtonInverter(network(seed=0)))


def test_a_second_that_uses_no_start_is_refused() -> None:
    net = network()
    with pytest.raises(ArgumentError, match="uses a start, got RetrievalInverter"):
        Refined(NewtonInverter(net), RetrievalInverter(net))


def test_what_is_no_inverter_is_refused() -> None:
    net = network()
    with pytest.raises(ArgumentError, match="expected two inverters"):
        Refined(net, NewtonInverter(net))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="expected an inverter"):
        BestOf(net)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="did you mean 'tolerance'"):
        Refined(NewtonInverter(net), NewtonInverter(net), tolerence=1)  # type: ignore[call-arg]


def test_fit_fits_the_parts_that_are_not_fitted_yet() -> None:
    net = network()
    inputs = 2 * torch.rand(20, 6) - 1
    first = RetrievalInverter(net)
    refined = Refined(first, NewtonInverter(net))
    with pytest.raises(NotFittedError, match="call fit"):
        refined.reconstruct(torch.zeros(1, 2))
    assert refined.fit(inputs) is refined
    assert first.fitted
    assert refined.then.fitted
    Refined(first, NewtonInverter(net)).fit(torch.rand(5, 6))
    assert first.data is not None
    assert torch.equal(first.data.mean, inputs.mean(0))


def test_the_tolerance_is_that_of_the_second_unless_given() -> None:
    net = network()
    first, then = PinvInverter(net, tolerance=0.5), NewtonInverter(net, tolerance=1e-6)
    assert Refined(first, then).tolerance == 1e-6
    assert Refined(first, then, tolerance=0.1).tolerance == 0.1
    assert Refined(first, then).reconstruct(net.evaluate(torch.zeros(1, 6))).tolerance == 1e-6


def test_a_refined_of_a_refined_is_an_inverter() -> None:
    net = network()
    nested = Refined(Refined(Random(net), GradientInverter(net, steps=20)), NewtonInverter(net))
    found = nested.reconstruct(net.evaluate(torch.rand(3, 6)), samples=2, seed=0)
    assert bool(found.converged.all())
    assert {"first_first_first", "first_moved", "moved"} <= set(found.stats)


# BestOf


@pytest.mark.parametrize("n", [1, 2, 7])
def test_it_is_the_minimum_over_its_draws(n: int) -> None:
    net = network()
    seen: list[Problem] = []

    class Watched(Random):
        def _propose(self, problem: Problem) -> Proposal:
            seen.append(problem)
            return super()._propose(problem)

    inner = Watched(net)
    target = net.evaluate(2 * torch.rand(5, 6) - 1)
    found = BestOf(inner, n).reconstruct(target, samples=3, seed=0)
    drawn = Random(net)._propose(seen[0])
    residual = (net.evaluate(drawn.x) - seen[0].target).abs().amax(1).reshape(5, 3, n)
    torch.testing.assert_close(found.residual, residual.amin(2))
    best = drawn.x.reshape(15, n, 6)[torch.arange(15), residual.flatten(0, 1).argmin(1)].reshape(5, 3, 6)
    torch.testing.assert_close(found.x, best)
    torch.testing.assert_close(found.stats["first"], best[..., 0])


def test_more_draws_are_never_worse() -> None:
    net = network()
    target = net.evaluate(2 * torch.rand(10, 6) - 1)
    residuals = [BestOf(Random(net), n).reconstruct(target, samples=2, seed=4).residual for n in (1, 2, 4, 16, 64)]
    for fewer, more in itertools.pairwise(residuals):
        assert bool((more <= fewer).all())
    assert float(residuals[-1].median()) < 0.5 * float(residuals[0].median())


def test_it_asks_only_for_the_asked_outputs() -> None:
    net = network()
    target = net.evaluate(2 * torch.rand(10, 6) - 1)
    target[:, 1] = math.nan
    found = BestOf(Random(net), 50).reconstruct(target, seed=0)
    plain = (found.y[:, 0, 0] - target[:, 0]).abs()
    torch.testing.assert_close(found.residual[:, 0], plain)


def test_a_draw_that_is_not_finite_is_never_the_best() -> None:
    net = network()

    class Half(Random):
        def _propose(self, problem: Problem) -> Proposal:
            x = super()._propose(problem).x
            x[::2] = math.nan
            return Proposal(x)

    found = BestOf(Half(net), 4).reconstruct(net.evaluate(torch.zeros(5, 6)), seed=0)
    assert bool(found.x.isfinite().all())
    assert Outcome.DIVERGED not in found.outcomes()


def test_its_answer_does_not_depend_on_the_batch() -> None:
    net = network()
    target = net.evaluate(2 * torch.rand(6, 6) - 1)
    inverter = BestOf(Refined(Random(net), NewtonInverter(net, steps=3)), 3)
    whole = inverter.reconstruct(target, samples=2, seed=1)
    for row in (0, 5):
        torch.testing.assert_close(inverter.reconstruct(target[row], samples=2, seed=1).x[0], whole.x[row])


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3"])
def test_a_number_of_draws_that_is_none_is_refused(n: Any) -> None:
    with pytest.raises(ArgumentError, match="expected n to be a whole number of at least 1, got"):
        BestOf(Random(network()), n)


def test_an_inverter_of_one_answer_is_refused() -> None:
    with pytest.raises(ArgumentError, match="samples differ, got RetrievalInverter"):
        BestOf(RetrievalInverter(network()))


def test_it_needs_a_fit_where_its_inverter_does() -> None:
    net = network()
    inverter = BestOf(Refined(Random(net), NewtonInverter(net)), 2)
    assert not inverter.traits.learns
    inputs = 2 * torch.rand(20, 6) - 1
    assert inverter.fit(inputs).fitted
    learns = Refined(RetrievalInverter(net), NewtonInverter(net))
    assert learns.traits.learns
    assert not learns.fitted
    assert learns.fit(inputs).fitted


def test_wrapping_does_not_change_the_class_that_is_wrapped() -> None:
    net = network()
    before = Refined.__dict__.get("traits"), BestOf.__dict__.get("traits"), NewtonInverter.traits
    Refined(RetrievalInverter(net), NewtonInverter(net))
    BestOf(Random(net), 2)
    assert before == (Refined.__dict__.get("traits"), BestOf.__dict__.get("traits"), NewtonInverter.traits)
