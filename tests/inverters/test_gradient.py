"""Tests of gradient: Adam meets what is easy, keeps to the box, and each sample stops by itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from genrev.inverter import Outcome
from genrev.inverters.gradient import GradientInverter
from genrev.network import Network
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
    found = GradientInverter(net, steps=3).reconstruct(torch.full((2, 2), 50.0), seed=0)
    assert found.outcome.tolist() == [[Outcome.LIMIT]] * 2
    assert found.stats["steps"].tolist() == [[3]] * 2


def test_a_dead_network_stalls() -> None:
    linear = nn.Linear(3, 2).double()
    with torch.no_grad():
        linear.bias.fill_(-100.0)
    net = Network(nn.Sequential(linear, nn.ReLU(), nn.Linear(2, 2).double()), space=InputSpace((3,), 0.0, 1.0))
    assert GradientInverter(net).reconstruct([[5.0, 5.0]], seed=0).outcome.tolist() == [[Outcome.STALLED]]


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
