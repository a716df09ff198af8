"""Tests of gradient: it meets what is easy, prefers what it is told, and each sample stops by itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sentences import assert_one_sentence
from torch import nn

from genrev.errors import ArgumentError
from genrev.inverter import Outcome
from genrev.inverters.gradient import GradientInverter
from genrev.network import Network
from genrev.solvers.variation import total_variation
from genrev.space import InputSpace


def network(*last: nn.Module, n: int = 8, m: int = 2, boxed: bool = True) -> Network:
    module = nn.Sequential(nn.Linear(n, 12), nn.Tanh(), nn.Linear(12, m), *last).double()
    return Network(module, space=InputSpace((n,), 0.0, 1.0) if boxed else InputSpace((n,)))


@pytest.mark.parametrize("boxed", [True, False])
@pytest.mark.parametrize("last", [(), (nn.Sigmoid(),), (nn.Softmax(-1),)], ids=str)
def test_outputs_of_real_inputs_are_met(last: tuple[nn.Module, ...], boxed: bool) -> None:
    net = network(*last, boxed=boxed)
    found = GradientInverter(net).reconstruct(net.evaluate(torch.rand(20, 8)), samples=2, seed=0)
    assert float(found.converged.double().mean()) >= 0.95
    assert bool(net.space.contains(found.x).all())


def test_only_the_asked_outputs_count() -> None:
    net = network(nn.Softmax(-1), m=4)
    target = net.evaluate(torch.rand(10, 8))
    target[:, 1:3] = math.nan
    assert bool(GradientInverter(net).reconstruct(target, seed=0).converged.all())


def test_each_sample_stops_by_itself_whatever_the_batch() -> None:
    net = network()
    target = torch.cat([net.evaluate(torch.rand(6, 8)), torch.full((1, 2), 50.0)])
    inverter = GradientInverter(net, steps=300)
    whole = inverter.reconstruct(target, samples=2, seed=3)
    assert len(whole.stats["steps"].unique()) > 3
    for row in range(7):
        alone = inverter.reconstruct(target[row], samples=2, seed=3)
        torch.testing.assert_close(alone.x[0], whole.x[row])
        assert torch.equal(alone.stats["steps"][0], whole.stats["steps"][row])


def test_steps_that_run_out_say_so() -> None:
    net = network()
    target = net.evaluate(torch.rand(2, *net.space.shape))
    found = GradientInverter(net, steps=3, tolerance=1e-12).reconstruct(target, seed=0)
    assert found.outcome.tolist() == [[Outcome.LIMIT]] * 2
    assert found.stats["steps"].tolist() == [[3]] * 2


def test_of_a_dead_network_nothing_else_can_be_asked() -> None:
    linear = nn.Linear(3, 2).double()
    with torch.no_grad():
        linear.bias.fill_(-100.0)
    net = Network(nn.Sequential(linear, nn.ReLU(), nn.Linear(2, 2).double()), space=InputSpace((3,), 0.0, 1.0))
    assert GradientInverter(net).reconstruct([[5.0, 5.0]], seed=0).outcome.tolist() == [[Outcome.UNREACHABLE]]


def test_known_values_stay_and_the_others_meet_the_target() -> None:
    net = network()
    made = torch.rand(10, 8)
    known = torch.where(torch.rand(10, 8) < 0.3, made, math.nan)
    found = GradientInverter(net).reconstruct(net.evaluate(made), known=known, seed=0)
    assert torch.equal(torch.where(known.isnan(), 0.0, found.x[:, 0]), known.nan_to_num(0.0))
    assert float(found.converged.double().mean()) >= 0.8


def test_it_stays_near_a_start() -> None:
    net = network()
    start = torch.rand(10, 8)
    found = GradientInverter(net).reconstruct(net.evaluate(start), start=start, seed=0)
    assert torch.equal(found.x[:, 0], start)
    near = net.evaluate(start) + 0.01
    moved = (GradientInverter(net).reconstruct(near, start=start, seed=0).x[:, 0] - start).norm(dim=1)
    assert float(moved.max()) < 0.5


def test_constant_features_do_not_stop_it() -> None:
    net = network(boxed=False)
    inputs = torch.cat([torch.randn(50, 1), torch.ones(50, 7)], 1)
    found = GradientInverter(net).fit(inputs).reconstruct(net.evaluate(torch.rand(10, 8)), seed=0)
    assert float(found.converged.double().mean()) >= 0.9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_keeps_the_precision(dtype: torch.dtype) -> None:
    net = Network(nn.Linear(1, 1).to(dtype), space=InputSpace((1,)))
    found = GradientInverter(net).reconstruct(0.5, seed=0)
    assert found.x.dtype == dtype
    assert bool(found.converged)


def images(*last: nn.Module, shape: tuple[int, ...] = (1, 4, 4), m: int = 2) -> Network:
    module = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 12), nn.Tanh(), nn.Linear(12, m), *last)
    return Network(module.double(), space=InputSpace(shape, 0.0, 1.0))


both = pytest.mark.parametrize("optimiser", ["adam", "lbfgs"])


@pytest.mark.parametrize("last", [(), (nn.Sigmoid(),), (nn.Softmax(-1),)], ids=str)
def test_lbfgs_meets_what_adam_meets_in_fewer_steps(last: tuple[nn.Module, ...]) -> None:
    net = network(*last)
    target = net.evaluate(torch.rand(20, 8))
    adam, lbfgs = (GradientInverter(net, optimiser=name).reconstruct(target, seed=0) for name in ("adam", "lbfgs"))
    assert int(lbfgs.converged.sum()) >= int(adam.converged.sum())
    assert float(lbfgs.stats["steps"].double().mean()) < float(adam.stats["steps"].double().mean())


@both
def test_variation_makes_images_smoother_and_the_target_is_still_met(optimiser: str) -> None:
    net = images()
    inputs = torch.rand(30, 1, 4, 4)
    target = net.evaluate(inputs[:10])
    plain, smooth = (
        GradientInverter(net, optimiser=optimiser, variation=weight).fit(inputs).reconstruct(target, samples=2, seed=0)
        for weight in (0.0, 1.0)
    )
    assert bool(smooth.converged.all())
    before, after = (total_variation(found.x.flatten(0, 1)) for found in (plain, smooth))
    assert float(after.mean()) < 0.6 * float(before.mean())


@both
def test_variation_smooths_a_start_that_meets_the_target_already(optimiser: str) -> None:
    net = images()
    inputs = torch.rand(30, 1, 4, 4)
    start, target = inputs[:10], net.evaluate(inputs[:10])
    found = (
        GradientInverter(net, optimiser=optimiser, variation=1.0).fit(inputs).reconstruct(target, start=start, seed=0)
    )
    assert bool(found.converged.all())
    assert float(total_variation(found.x[:, 0]).mean()) < 0.6 * float(total_variation(start).mean())


@both
def test_on_a_linear_network_the_pull_ends_near_the_smallest_change(optimiser: str) -> None:
    linear = nn.Linear(6, 2).double()
    net = Network(linear, space=InputSpace((6,)))
    start, target = torch.randn(8, 6), torch.randn(8, 2)
    with torch.no_grad():
        exact = start + (target - linear(start)) @ torch.linalg.pinv(linear.weight).T
    # What it begins from is not what it is pulled to: further samples begin elsewhere.
    found = GradientInverter(net, optimiser=optimiser, pull=1.0).reconstruct(target, start=start, samples=3, seed=0)
    assert bool(found.converged.all())
    way = (found.x - start[:, None]).norm(dim=2)
    shortest = (exact - start).norm(dim=1, keepdim=True)
    assert bool((way >= shortest - 0.01).all())
    assert float((way / shortest).median()) < 1.05


def dead(bias: float) -> Network:
    """Units that are all dead around the middle of the box."""
    first, second = nn.Linear(2, 8), nn.Linear(8, 1)
    with torch.no_grad():
        angle = torch.arange(8) * math.pi / 4
        first.weight.copy_(torch.stack([angle.cos(), angle.sin()], 1))
        first.bias.fill_(bias)
        second.weight.fill_(1.0)
        second.bias.zero_()
    return Network(nn.Sequential(first, nn.ReLU(), second).double(), space=InputSpace((2,), -1.0, 1.0))


@both
def test_restarts_meet_what_begins_where_all_units_are_dead(optimiser: str) -> None:
    net = dead(-0.7)
    target = torch.linspace(0.05, 0.3, 12)[:, None]
    alone, again = (
        GradientInverter(net, optimiser=optimiser, restarts=count).reconstruct(target, seed=0) for count in (0, 6)
    )
    assert alone.outcome.unique().tolist() == [Outcome.STALLED]
    assert bool((alone.stats["restarts"] == 0).all())
    assert float(again.converged.double().mean()) >= 0.7
    used = again.stats["restarts"]
    assert 1 <= int(used.min()) < int(used.max()) <= 6


@both
def test_restarts_help_where_all_sigmoids_are_saturated(optimiser: str) -> None:
    torch.manual_seed(1)
    net = network(nn.Sigmoid(), n=4)
    with torch.no_grad():
        first = net.module[0]
        first.weight.mul_(60.0)
        first.bias.sub_(first.weight.sum(1) / 2 + 20)
    target = net.evaluate(torch.rand(20, 4))
    met = [
        int(
            GradientInverter(net, optimiser=optimiser, restarts=count, steps=200)
            .reconstruct(target, seed=0)
            .converged.sum()
        )
        for count in (0, 8)
    ]
    assert met[1] > met[0]


@both
def test_restarts_cost_nothing_where_all_is_met_and_leave_it_as_it_is(optimiser: str) -> None:
    net = network()
    target = net.evaluate(torch.rand(10, 8))
    without, with_ = (
        GradientInverter(net, optimiser=optimiser, restarts=count).reconstruct(target, seed=0) for count in (0, 3)
    )
    met = without.converged
    assert torch.equal(with_.x[met], without.x[met])
    assert torch.equal(with_.stats["steps"][met], without.stats["steps"][met])
    assert bool((with_.stats["restarts"][met] == 0).all())


@both
def test_restarts_never_make_it_worse_and_steps_add_up(optimiser: str) -> None:
    net = network(m=3)
    target = torch.full((3, 3), 50.0)
    without, with_ = (
        GradientInverter(net, optimiser=optimiser, restarts=count, steps=30).reconstruct(target, seed=0)
        for count in (0, 2)
    )
    # What is proved to be out of reach is not searched for, but the nearest that is not.
    away = [(found.y - found.stats["nearest"]).abs().amax(2) for found in (with_, without)]
    assert bool((away[0] <= away[1]).all())
    assert bool((with_.stats["restarts"] == 2).all())
    assert bool((with_.stats["steps"] >= without.stats["steps"]).all())


@both
@pytest.mark.parametrize("preferred", [{}, {"variation": 0.5, "pull": 0.5}], ids=str)
def test_no_answer_depends_on_the_others(optimiser: str, preferred: dict[str, float]) -> None:
    net = images(nn.Sigmoid())
    target = torch.cat([net.evaluate(torch.rand(6, 1, 4, 4)), torch.tensor([[0.999, 0.001]])])
    inverter = GradientInverter(net, optimiser=optimiser, restarts=1, steps=120, **preferred)
    whole = inverter.fit(torch.rand(20, 1, 4, 4)).reconstruct(target, samples=2, seed=3)
    for row in range(7):
        alone = inverter.reconstruct(target[row], samples=2, seed=3)
        torch.testing.assert_close(alone.x[0], whole.x[row], rtol=0, atol=1e-7)
        assert torch.equal(alone.stats["restarts"][0], whole.stats["restarts"][row])


@both
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_few_steps_with_everything_asked_do_no_harm(optimiser: str, steps: int) -> None:
    net = images()
    inverter = GradientInverter(net, optimiser=optimiser, steps=steps, variation=1.0, pull=1.0, restarts=2)
    found = inverter.reconstruct(torch.full((2, 2), 50.0), seed=0)
    assert found.outcome.unique().tolist() == [Outcome.UNREACHABLE]
    assert bool((found.stats["steps"] == 3 * steps).all())


@both
def test_all_known_values_come_back_at_once(optimiser: str) -> None:
    net, known = images(), torch.rand(3, 1, 4, 4)
    inverter = GradientInverter(net, optimiser=optimiser, variation=1.0, pull=1.0, restarts=1)
    found = inverter.reconstruct(net.evaluate(known) + 1.0, known=known, seed=0)
    assert torch.equal(found.x[:, 0], known)
    assert found.outcome.unique().tolist() == [Outcome.UNREACHABLE]
    assert int(found.stats["steps"].max()) == 0
    assert bool(inverter.reconstruct(net.evaluate(known), known=known, seed=0).converged.all())


@both
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1), (3, 1, 2)])
def test_images_of_a_pixel_or_two_are_images(optimiser: str, shape: tuple[int, ...]) -> None:
    net = images(shape=shape, m=1)
    inverter = GradientInverter(net, optimiser=optimiser, variation=1.0)
    found = inverter.reconstruct(net.evaluate(torch.rand(4, *shape)), seed=0)
    assert found.x.shape == (4, 1, *shape)
    assert bool(found.converged.all())


@both
def test_a_constant_network_gives_one_output_whatever_is_preferred(optimiser: str) -> None:
    net = images()
    with torch.no_grad():
        net.module[-1].weight.zero_()
    inverter = GradientInverter(net, optimiser=optimiser, variation=1.0, pull=1.0, restarts=1)
    found = inverter.reconstruct(torch.full((2, 2), 5.0), samples=2, seed=0)
    assert bool(found.x.isfinite().all())
    assert found.outcome.unique().tolist() == [Outcome.UNREACHABLE]


@both
def test_corners_of_the_box_are_the_nearest(optimiser: str) -> None:
    net = Network(nn.Linear(3, 1).double(), space=InputSpace((3,), 0.0, 1.0))
    found = GradientInverter(net, optimiser=optimiser).reconstruct([[50.0]], seed=0)
    torch.testing.assert_close(found.x[0, 0], (net.module.weight[0] > 0).double().detach())
    assert found.outcome.tolist() == [[Outcome.UNREACHABLE]]


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_preferences_keep_the_precision(optimiser: str, dtype: torch.dtype) -> None:
    net = Network(images().module.to(dtype), space=InputSpace((1, 4, 4), 0.0, 1.0))
    inverter = GradientInverter(net, optimiser=optimiser, variation=0.3, pull=0.3, restarts=1)
    found = inverter.reconstruct(net.evaluate(torch.rand(4, 1, 4, 4)), seed=0)
    assert found.x.dtype == dtype
    assert bool(found.converged.all())


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a name nearly right": ({"optimiser": "lbfsg"}, "did you mean 'lbfgs'"),
    "another name": ({"optimiser": "newton"}, "adam, lbfgs"),
    "no name": ({"optimiser": None}, "adam, lbfgs"),
    "a list": ({"optimiser": ["adam"]}, "adam, lbfgs"),
    "a negative weight": ({"pull": -1.0}, "pull"),
    "a weight that is none": ({"variation": math.nan}, "variation"),
    "half a restart": ({"restarts": 0.5}, "restarts"),
    "variation of a vector": ({"variation": 1.0}, r"images.*\(8,\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense_is_refused_in_a_sentence(case: str) -> None:
    keywords, words = WRONG[case]
    with pytest.raises(ArgumentError, match=words) as caught:
        GradientInverter(network(), **keywords)
    assert_one_sentence(caught.value)
