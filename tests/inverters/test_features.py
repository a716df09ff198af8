"""Inputs whose values have units of their own: metres or millimetres change nothing that is found or measured."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from genrev import InputSpace, Inverter, Network, Refined, build, compare
from genrev.inverters import INVERTERS
from genrev.inverters.units import Units
from genrev.judge import Judge

# Powers of two, so that the other units round alike. pinv is the textbook's formula: the shortest x in the units given.
FACTOR = torch.tensor([2.0**-12, 2.0**15, 4.0, 0.5, 2.0], dtype=torch.float64)
WIDTH = torch.tensor([1.0, 2.0, 0.25, 1.0, 0.0], dtype=torch.float64)
SHORT = {name: {"steps": 60} for name in ("decoder", "cvae", "rbm", "dbn")}
METHODS = [*(name for name, kind in INVERTERS.items() if not kind.traits.chain), "cvae+newton"]


def inputs(n: int, seed: int) -> Tensor:
    return 1 + WIDTH * torch.rand(n, 5, generator=torch.Generator().manual_seed(seed))


@cache
def network(other_units: bool) -> Network:
    factor = FACTOR if other_units else torch.ones(5)
    first = nn.Linear(5, 8)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        first.weight.copy_(3 * torch.randn(8, 5, generator=generator) / WIDTH.clamp(min=0.25) / factor)
        first.bias.copy_(-(first.weight * factor) @ (1 + WIDTH / 2))
        last = nn.Linear(8, 2)
        last.weight.copy_(torch.randn(2, 8, generator=generator))
        last.bias.zero_()
    return Network(nn.Sequential(first, nn.Tanh(), last), space=InputSpace((5,), factor, (1 + WIDTH) * factor))


@cache
def fitted(name: str, other_units: bool) -> Inverter:
    x = inputs(80, 0) * (FACTOR if other_units else 1)
    net = network(other_units)
    first, *others = (build(part, net, **SHORT.get(part, {})).fit(x, seed=0) for part in name.split("+"))
    return Refined(first, others[0]).fit(x, seed=0) if others else first


@pytest.mark.parametrize("name", METHODS)
def test_other_units_change_nothing_that_is_found(name: str) -> None:
    target = network(False).evaluate(inputs(12, 1))
    one, other = (fitted(name, units).reconstruct(target, samples=3, seed=0) for units in (False, True))
    torch.testing.assert_close(other.x / FACTOR, one.x, rtol=1e-5, atol=1e-6)
    assert torch.equal(one.outcome, other.outcome)


@pytest.mark.parametrize("name", ["newton", "gradient"])
def test_before_a_fit_and_from_a_start_they_change_nothing_either(name: str) -> None:
    target, start = network(False).evaluate(inputs(12, 1)), inputs(12, 2)
    one = build(name, network(False)).reconstruct(target, start=start, seed=0)
    other = build(name, network(True)).reconstruct(target, start=start * FACTOR, seed=0)
    torch.testing.assert_close(other.x / FACTOR, one.x, rtol=1e-5, atol=1e-6)


def test_the_metric_of_the_data_changes_with_the_units_alone() -> None:
    target, found = network(False).evaluate(inputs(12, 1)), []
    for units in (False, True):
        factor = FACTOR if units else 1
        newton = build("newton", network(units), metric="variance").fit(inputs(80, 0) * factor)
        found.append(newton.reconstruct(target, seed=0).x / factor)
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [*METHODS, "pinv"])
def test_what_cannot_move_does_not(name: str) -> None:
    found = fitted(name, False).reconstruct(network(False).evaluate(inputs(12, 1)), samples=3, seed=0)
    assert bool((found.x[..., 4] == 1).all())
    assert bool(network(False).space.contains(found.x.flatten(0, 1)).all())


def test_newton_meets_reachable_targets_within_the_box() -> None:
    target = network(True).evaluate(inputs(100, 1) * FACTOR)
    assert bool(fitted("newton", True).reconstruct(target, seed=0).converged.all())


def test_other_units_change_no_figure_of_a_comparison() -> None:
    rows = []
    for units in (False, True):
        factor = FACTOR if units else torch.ones(5)
        methods = {name: fitted(name, units) for name in ("retrieval", "cvae")}
        labels = (inputs(60, 4)[:, 0] > 1.5).long()
        judge = Judge.fit(inputs(60, 4) * factor, labels, standardise=True)
        x, reference, training = (inputs(n, seed) * factor for n, seed in ((30, 1), (30, 2), (80, 0)))
        found = compare(network(units), methods, x, reference=reference, training=training, judge=judge, samples=2)
        rows.append(found.rows)
    for one, other in zip(*rows, strict=True):
        for figure in ("converged", "judge_agreement", "coverage", "recall", "novelty", "diversity", "residual_p95"):
            ours, theirs = getattr(one, figure), getattr(other, figure)
            assert theirs == (ours if ours is None else pytest.approx(ours, rel=1e-6)), (one.inverter, figure)


def test_values_that_are_alike_share_one_unit_and_others_have_their_own() -> None:
    x = torch.tensor([[1.0, 200.0, 5.0], [3.0, 600.0, 5.0]])
    alike = Units.fit(x, InputSpace((3,), 0.0, 1000.0))
    assert alike.unit.shape == ()
    torch.testing.assert_close(alike.unit, x.std())
    own = Units.fit(x, InputSpace((3,), x.amin(0), x.amax(0)))
    torch.testing.assert_close(own.of(x), torch.tensor([[-1.0, -1, 0], [1, 1, 0]]) / 2**0.5)
    torch.testing.assert_close(own.inputs(own.of(x)), x)


def test_a_value_that_hardly_varies_is_not_blown_up() -> None:
    x = torch.cat([torch.zeros(10_000, 2), torch.tensor([[1e-9, 1.0]])])
    space = InputSpace((2,), 0.0, torch.tensor([5.0, 1.0]))
    assert float(Units.fit(x, space).of(x).abs().max()) < 101
