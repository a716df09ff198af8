"""Tests of pinv: exact against dense algebra where the formula is, and honest about where it is not."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genrev import load, save
from genrev.errors import ArgumentError, LayerError
from genrev.inverter import Outcome
from genrev.inverters.newton import NewtonInverter
from genrev.inverters.pinv import PinvInverter
from genrev.models import MLP
from genrev.network import Network
from genrev.space import InputSpace


def net(*layers: nn.Module, n: int, low: float = -math.inf, high: float = math.inf) -> Network:
    return Network(nn.Sequential(*layers).double(), space=InputSpace((n,), low, high))


def orthogonal(n: int, scale: float = 1.0) -> nn.Linear:
    layer = nn.Linear(n, n)
    nn.init.orthogonal_(layer.weight, scale)
    return layer


@pytest.mark.parametrize("widths", [(7, 3), (9, 5, 2), (6, 6, 6), (3, 8), (4, 9, 2)])
def test_a_chain_of_linear_layers_is_inverted_layer_by_layer_as_numpy_does(widths: tuple[int, ...]) -> None:
    layers = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
    network = net(*layers, n=widths[0])
    target = torch.randn(11, widths[-1])
    value = target.numpy()
    for layer in layers[::-1]:
        weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        value = (value - bias) @ np.linalg.pinv(weight).T
    np.testing.assert_allclose(PinvInverter(network).reconstruct(target).x[:, 0], value, atol=1e-9)


def test_through_one_wide_layer_it_is_the_shortest_input() -> None:
    network = net(linear := nn.Linear(12, 4), nn.Tanh(), n=12)
    target = 0.9 * torch.rand(8, 4)
    found = PinvInverter(network).reconstruct(target)
    assert bool(found.converged.all())
    # No part of it lies where the weights see nothing.
    rows = torch.linalg.qr(linear.weight.detach().T)[0]
    torch.testing.assert_close(found.x[:, 0] @ rows @ rows.T, found.x[:, 0])


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Tanh, nn.LeakyReLU, nn.ELU, nn.Softplus, nn.Identity])
def test_an_invertible_chain_gives_back_the_input_itself(activation: type[nn.Module]) -> None:
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [orthogonal(5), activation()]
    network = net(*layers, n=5)
    x = torch.randn(20, 5)
    found = PinvInverter(network).reconstruct(network.evaluate(x))
    torch.testing.assert_close(found.x[:, 0], x, rtol=1e-6, atol=1e-6)
    assert bool(found.converged.all())
    assert float(found.stats["clamped"].max()) == 0


def test_batch_norm_dropout_and_flatten_are_undone_on_the_way() -> None:
    norm = nn.BatchNorm1d(6)
    module = nn.Sequential(nn.Flatten(), orthogonal(6), norm, nn.Dropout(0.5), nn.Tanh()).double()
    for _ in range(20):
        module(2 * torch.randn(50, 1, 2, 3))
    network = Network(module, space=InputSpace((1, 2, 3)))
    x = torch.randn(9, 1, 2, 3)
    found = PinvInverter(network).reconstruct(network.evaluate(x))
    torch.testing.assert_close(found.x[:, 0], x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("between", [(), (nn.Identity(),), (nn.Dropout(),), (nn.Flatten(), nn.Identity())], ids=str)
@pytest.mark.parametrize("head", ["softmax", "log_softmax", "with_softmax"])
def test_the_constant_of_a_softmax_is_solved_for_the_shortest_input(head: str, between: tuple[nn.Module, ...]) -> None:
    last = {"softmax": [nn.Softmax(-1)], "log_softmax": [nn.LogSoftmax(-1)], "with_softmax": []}[head]
    network = net(linear := nn.Linear(9, 4), *between, *last, n=9)
    network = network.with_softmax() if head == "with_softmax" else network
    probabilities = (2 * torch.randn(5, 4)).softmax(-1)
    target = probabilities.log() if head == "log_softmax" else probabilities
    found = PinvInverter(network).reconstruct(target)
    assert bool(found.converged.all())
    # By brute force: the shortest input over the constant that is added to the logits.
    inverse = torch.linalg.pinv(linear.weight.detach())
    constants = torch.linspace(-30, 30, 60_001)
    for row in range(5):
        logits = probabilities[row].log() + constants[:, None]
        lengths = ((logits - linear.bias.detach()) @ inverse.T).norm(dim=1)
        assert float(found.x[row, 0].norm()) <= float(lengths.min()) + 1e-9
        assert float(found.x[row, 0].norm()) == pytest.approx(float(lengths.min()), rel=1e-4)


def test_the_constant_is_solved_for_in_a_square_network_that_has_a_softmax() -> None:
    network = net(nn.Linear(3, 3), nn.Softmax(-1), n=3)
    x = torch.randn(30, 3)
    assert bool(PinvInverter(network).reconstruct(network.evaluate(x)).converged.all())


# The student's question


def student() -> Network:
    torch.manual_seed(0)
    module = MLP((1024, 8, 8, 2), "sigmoid").double()
    with torch.no_grad():
        for layer in module:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(3.0)
    return Network(module, space=InputSpace((1, 32, 32), 0.0, 1.0))


def test_on_the_student_s_network_it_says_where_it_asked_for_the_impossible() -> None:
    network = student()
    inverter = PinvInverter(network)
    target = torch.tensor([[0.99, 0.01], [0.01, 0.99]])
    found = inverter.reconstruct(target)
    assert found.outcome.tolist() == [[Outcome.UNREACHABLE], [Outcome.UNREACHABLE]]
    # The nearest target that is not proved to be impossible was asked for instead.
    target = found.stats["nearest"][:, 0]
    clamped = found.stats["clamped"]
    assert clamped.shape == (2, 1, len(inverter.layers))
    # What was asked of the second hidden layer, by hand: W+ (logit(y) - b), beyond (0, 1) nearly everywhere.
    last = network.module[5]
    asked = (torch.logit(target) - last.bias.detach()) @ torch.linalg.pinv(last.weight.detach()).T
    share = ((asked <= 0) | (asked >= 1)).double().mean(1)
    place = inverter.layers.index("4")
    torch.testing.assert_close(clamped[:, 0, place], share)
    assert float(share.min()) > 0
    explained = inverter.explain(found)
    assert "of the second hidden layer (Sigmoid, '4') were beyond" in explained
    assert "beyond what it can give" in explained
    assert "UNREACHABLE 2 of 2" in explained


def test_its_layers_are_named_last_first() -> None:
    assert PinvInverter(student()).layers == ["6", "5", "4", "3", "2", "1", "0"]
    assert PinvInverter(net(nn.Linear(3, 2), n=3).with_sigmoid()).layers == ["head", "0"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_layer_that_can_not_give_what_was_asked_of_it_together_is_the_reason_of_a_miss(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)
    inverter = PinvInverter(Network(module, space=InputSpace((2,))))
    found = inverter.reconstruct(0.1 * torch.randn(4, 3))
    assert set(found.outcome.flatten().tolist()) == {Outcome.MISSED}
    place = inverter.layers.index("0")
    assert bool((found.stats["clamped"][..., place] > 0).all())
    assert bool((found.stats["clamped"][..., :place] == 0).all())
    asked, what = (
        "100 % of the answers asked the hidden layer (Linear, '0')",
        "5 values that its 2 inputs can't give together",
    )
    said = f"{asked} for {what}"
    assert said in inverter.explain(found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("head", [None, nn.Sigmoid(), nn.Softmax(-1)])
def test_what_a_tall_layer_gives_is_no_reason(head: nn.Module | None, dtype: torch.dtype) -> None:
    layers = [nn.Linear(3, 8), *([] if head is None else [head])]
    network = Network(nn.Sequential(*layers).to(dtype), space=InputSpace((3,)))
    inverter = PinvInverter(network)
    found = inverter.reconstruct(network.evaluate(torch.randn(50, 3)))
    assert bool(found.converged.all())
    assert "can't give" not in inverter.explain(found)
    missed = inverter.reconstruct(torch.randn(5, 8).softmax(-1))
    assert set(missed.outcome.flatten().tolist()) == {Outcome.MISSED}
    assert "the output layer (Linear, '0') for 8 values that its 3 inputs can't give" in inverter.explain(missed)


def test_a_small_share_does_not_read_as_none() -> None:
    network = net(nn.Linear(1000, 2, bias=False), n=1000, low=-1.0, high=1.0)
    with torch.no_grad():
        network.module[0].weight.fill_(1e-3)[0, 0] = 1.0
    inverter = PinvInverter(network)
    assert "under 1 % of the input values" in inverter.explain(inverter.reconstruct([[3.0, 0.0]]))


def test_the_result_of_another_is_not_explained() -> None:
    network = net(nn.Linear(3, 2), n=3)
    inverter = PinvInverter(network)
    for other in (NewtonInverter(network), PinvInverter(net(nn.Linear(3, 2), nn.Tanh(), n=3))):
        with pytest.raises(ArgumentError, match="ask the inverter that gave it"):
            inverter.explain(other.reconstruct([[0.1, 0.2]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_in_half_precision_is_inverted(dtype: torch.dtype) -> None:
    network = Network(nn.Linear(4, 2).to(dtype), space=InputSpace((4,)))
    found = PinvInverter(network, tolerance=0.05).reconstruct([[0.3, -0.2]])
    assert found.x.dtype == dtype
    assert bool(found.converged)


def test_input_values_beyond_the_bounds_are_counted() -> None:
    network = net(nn.Linear(4, 2, bias=False), n=4, low=-1e-3, high=1e-3)
    found = PinvInverter(network).reconstruct([[100.0, -100.0]])
    assert float(found.stats["outside"]) > 0
    assert bool((found.x.abs() <= 1e-3).all())
    assert "beyond the bounds of the input space" in PinvInverter(network).explain(found)


# Targets


def test_free_entries_are_filled() -> None:
    for network, target in (
        (net(nn.Linear(6, 3), n=6), [[math.nan, 2.0, math.nan]]),
        (net(nn.Linear(6, 3), nn.Sigmoid(), n=6), [[math.nan, 0.2, math.nan]]),
        (net(nn.Linear(6, 3), nn.Softmax(-1), n=6), [[math.nan, 0.9, math.nan]]),
        (net(nn.Linear(6, 3), nn.Softmax(-1), n=6), [[math.nan, 0.9, 0.1]]),
    ):
        found = PinvInverter(network).reconstruct(target)
        assert bool(found.converged.all())


def test_probabilities_of_exactly_0_and_1_are_met_within_the_tolerance() -> None:
    for last in (nn.Sigmoid(), nn.Softmax(-1)):
        found = PinvInverter(net(nn.Linear(6, 2), last, n=6)).reconstruct([[1.0, 0.0], [0.0, 1.0]])
        assert bool(found.converged.all())
        assert bool(found.x.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_keeps_the_precision(dtype: torch.dtype) -> None:
    network = Network(nn.Sequential(nn.Linear(5, 2), nn.Sigmoid()).to(dtype), space=InputSpace((5,)))
    found = PinvInverter(network).reconstruct([[0.3, 0.6]], samples=3)
    assert found.x.dtype == dtype
    assert found.x.shape == (1, 3, 5)
    assert bool(found.converged.all())


def test_one_input_and_one_output_are_enough() -> None:
    found = PinvInverter(net(nn.Linear(1, 1), nn.Sigmoid(), n=1)).reconstruct(0.7)
    assert bool(found.converged)


def test_known_values_are_put_back() -> None:
    network = net(nn.Linear(4, 2), n=4)
    known = torch.tensor([5.0, math.nan, math.nan, -5.0])
    x = PinvInverter(network).reconstruct(torch.randn(3, 2), known=known).x
    assert bool((x[..., 0] == 5).all())
    assert bool((x[..., 3] == -5).all())


# Further samples


def residuals(network: Network, found: Tensor, target: Tensor) -> Tensor:
    y = network.evaluate(found.flatten(0, 1)).reshape(*found.shape[:2], *target.shape[1:])
    return (y - target[:, None]).abs().flatten(2).amax(2)


def test_further_samples_meet_the_equation_and_differ_along_the_null_space() -> None:
    network = net(linear := nn.Linear(12, 4), nn.Tanh(), n=12)
    target = 0.9 * torch.rand(8, 4)
    found = PinvInverter(network).reconstruct(target, samples=6, seed=3)
    assert bool(found.converged.all())
    assert float(residuals(network, found.x, target).max()) < 1e-9
    assert torch.equal(found.x[:, :1], PinvInverter(network).reconstruct(target).x)
    away = found.x[:, 1:] - found.x[:, :1]
    assert float(away.norm(dim=2).min()) > 0.1
    torch.testing.assert_close(away @ linear.weight.detach().T, torch.zeros(8, 5, 4), rtol=0, atol=1e-9)


def test_without_data_the_draws_of_an_unbounded_input_are_standard_normal_along_the_null_space() -> None:
    network = net(linear := nn.Linear(6, 2), n=6)
    found = PinvInverter(network).reconstruct([[0.3, -0.4]], samples=4001, seed=0)
    away = found.x[0, 1:] - found.x[0, :1]
    rows = torch.linalg.qr(linear.weight.detach().T)[0]
    free = torch.eye(6) - rows @ rows.T
    torch.testing.assert_close(torch.cov(away.T), free, rtol=0, atol=0.08)
    torch.testing.assert_close(away.mean(0), torch.zeros(6), rtol=0, atol=0.08)


def test_draws_are_spread_as_the_data_are() -> None:
    network = net(linear := nn.Linear(6, 2), n=6)
    inputs = 0.1 * torch.randn(500, 6) + torch.arange(6.0)
    inverter = PinvInverter(network).fit(inputs)
    found = inverter.reconstruct([[0.3, -0.4]], samples=4001, seed=0)
    rows = torch.linalg.qr(linear.weight.detach().T)[0]
    free = torch.eye(6) - rows @ rows.T
    variance = inputs.var(0, correction=0).mean()
    torch.testing.assert_close(torch.cov(found.x[0, 1:].T), variance * free, rtol=0, atol=1e-3)
    middle = found.x[0, :1] + (inputs.mean(0) - found.x[0, :1]) @ free
    torch.testing.assert_close(found.x[0, 1:].mean(0), middle[0], rtol=0, atol=0.01)
    # The shortest is the shortest, data or none.
    torch.testing.assert_close(found.x[0, 0], PinvInverter(network).reconstruct([[0.3, -0.4]]).x[0, 0])


def test_draws_stay_in_what_the_layer_below_and_the_space_can_give() -> None:
    layers = nn.Linear(40, 12), nn.Sigmoid(), nn.Linear(12, 3), nn.Tanh()
    network = net(*layers, n=40, low=0.0, high=1.0)
    x = torch.rand(30, 40)
    inverter = PinvInverter(network).fit(x)
    found = inverter.reconstruct(network.evaluate(x), samples=5, seed=0)
    assert bool(found.converged[:, 1:].all())
    assert float(found.stats["outside"][:, 1:].max()) == 0
    assert float(found.stats["clamped"][:, 1:].max()) == 0
    # The shortest values of a hidden layer are no sigmoid's.
    assert not bool(found.converged[:, 0].any())


def test_the_half_lines_of_a_relu_and_the_branches_of_a_gelu_are_drawn_from_too() -> None:
    for layer in (nn.ReLU(), nn.GELU(), nn.LayerNorm(8), nn.Hardtanh(-0.2, 0.2)):
        network = net(nn.Linear(20, 8), layer, n=20)
        x = torch.randn(30, 20)
        inverter = PinvInverter(network).fit(x)
        found = inverter.reconstruct(network.evaluate(x), samples=3, seed=0)
        assert bool(found.converged.all()), layer
        hidden = network.module[0](found.x.flatten(0, 1)).reshape(30, 3, 8).detach()
        assert float((hidden[:, 1] - hidden[:, 2]).abs().max()) > 0.1, layer


def test_a_softmax_s_constant_is_not_drawn_where_a_linear_layer_solves_for_it() -> None:
    network = net(nn.Linear(9, 4), nn.Dropout(), nn.Softmax(-1), n=9)
    found = PinvInverter(network).reconstruct((2 * torch.randn(5, 4)).softmax(-1), samples=4, seed=0)
    assert bool(found.converged.all())
    assert float(found.stats["clamped"].max()) == 0


def test_a_layer_that_leaves_nothing_free_repeats_its_answer() -> None:
    network = net(orthogonal(5), nn.Tanh(), n=5)
    found = PinvInverter(network).reconstruct(network.evaluate(torch.randn(4, 5)), samples=3, seed=0)
    torch.testing.assert_close(found.x[:, 1], found.x[:, 0], rtol=1e-12, atol=1e-12)


def test_a_sample_is_the_same_alone_and_in_any_batch() -> None:
    network = net(nn.Linear(40, 12), nn.Sigmoid(), nn.Linear(12, 3), nn.Tanh(), n=40, low=0.0, high=1.0)
    target = network.evaluate(torch.rand(9, 40))
    inverter = PinvInverter(network)
    together = inverter.reconstruct(target, samples=4, seed=5)
    alone = inverter.reconstruct(target[6:7], samples=2, seed=5)
    torch.testing.assert_close(together.x[6, :2], alone.x[0])
    assert not torch.allclose(inverter.reconstruct(target, samples=4, seed=6).x[:, 1:], together.x[:, 1:])


def test_known_values_are_met_by_further_samples() -> None:
    network = net(nn.Linear(8, 2), n=8)
    known = torch.full((8,), math.nan)
    known[:3] = torch.tensor([5.0, -5.0, 0.1])
    found = PinvInverter(network).reconstruct(torch.randn(3, 2), known=known, samples=4, seed=0)
    assert bool(found.converged[:, 1:].all())
    assert bool((found.x[..., :3] == known[:3]).all())


def test_what_it_noted_of_the_data_is_saved(tmp_path: Path) -> None:
    network = Network(MLP((6, 4, 2), "sigmoid"), space=InputSpace((6,), 0.0, 1.0))
    inverter = PinvInverter(network).fit(torch.rand(40, 6))
    save(inverter, tmp_path / "pinv.safetensors")
    again = load(tmp_path / "pinv.safetensors")
    found = (one.reconstruct([[0.5, 0.4]], samples=3, seed=1) for one in (inverter, again))
    first, second = found
    assert torch.equal(first.x, second.x)


# What is no chain


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) * x


def test_what_is_no_chain_or_has_an_unknown_layer_is_refused_when_built() -> None:
    with pytest.raises(LayerError, match=r"skip connection.*'newton'"):
        PinvInverter(net(Skip(), n=3))
    with pytest.raises(LayerError, match=r"layer '1': .*got RReLU.*'newton'"):
        PinvInverter(net(nn.Linear(3, 3), nn.RReLU(), n=3))


def test_weights_that_change_later_change_the_measured_residual() -> None:
    network = net(linear := nn.Linear(3, 2), n=3)
    inverter = PinvInverter(network)
    before = inverter.reconstruct([[1.0, 2.0]])
    with torch.no_grad():
        linear.weight.mul_(2.0)
    after = inverter.reconstruct([[1.0, 2.0]])
    assert torch.equal(after.x, before.x)
    torch.testing.assert_close(after.y[:, 0], network.evaluate(after.x[:, 0]))
    assert after.outcome.tolist() == [[Outcome.MISSED]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_a_layer_was_asked_is_told_by_its_distance_to_the_range(dtype: torch.dtype) -> None:
    linear, target = nn.Linear(3, 7).to(dtype), torch.randn(5, 7, dtype=dtype)
    network = Network(nn.Sequential(linear), space=InputSpace((3,)))
    weight, asked = linear.weight.detach().double(), (target - linear.bias.detach()).double()
    outside = torch.linalg.qr(weight, mode="complete")[0][:, 3:]
    found = PinvInverter(network).reconstruct(target, samples=2, seed=0)
    expected = (asked @ outside).norm(dim=1)[:, None, None].expand(5, 2, 1)
    torch.testing.assert_close(found.stats["apart"].double(), expected, rtol=1e-5, atol=1e-6)
    reachable = PinvInverter(network).reconstruct(network.evaluate(torch.randn(5, 3)))
    assert float(reachable.stats["apart"].max()) < 1e-5


def test_the_constant_that_a_softmax_does_not_see_sets_nothing_apart() -> None:
    network = net(nn.Linear(5, 4), nn.Softmax(-1), n=5)
    found = PinvInverter(network).reconstruct(network.evaluate(torch.randn(6, 5)), samples=3, seed=0)
    assert float(found.stats["apart"].max()) < 1e-12


def test_values_out_of_range_are_apart_by_what_they_are_beyond_it() -> None:
    network = net(nn.Linear(3, 3), nn.Tanh(), orthogonal(3), n=3)
    # Each value can be had, but not all together.
    target = 0.99 * network.reachable_box().high.float().double()[None]
    found = PinvInverter(network).reconstruct(target)
    asked = (target - network.module[2].bias.detach()) @ network.module[2].weight.detach()
    expected = (asked.abs() - 1).clamp(min=0).norm()
    assert float(expected) > 0.1
    torch.testing.assert_close(found.stats["apart"][0, 0, 1], expected)


@pytest.mark.parametrize("first", [[], [nn.Flatten()], [nn.Identity(), nn.Flatten(), nn.Dropout()]])
def test_draws_keep_to_the_input_space_and_to_what_is_known_behind_reshapes_too(first: list[nn.Module]) -> None:
    torch.manual_seed(0)
    shape = (2, 6) if first else (12,)
    module = nn.Sequential(*first, nn.Linear(12, 3), nn.Tanh()).eval()
    network = Network(module, space=InputSpace(shape, 0.0, 1.0))
    x = torch.rand(5, *shape)
    known = torch.full_like(x, math.nan)
    known[..., 1] = x[..., 1]
    inverter = PinvInverter(network)
    for given in (None, known):
        found = inverter.reconstruct(network.evaluate(x), samples=5, known=given, seed=0)
        assert bool(found.converged[:, 1:].all())
        assert float(found.stats["outside"][:, 1:].max()) == 0
