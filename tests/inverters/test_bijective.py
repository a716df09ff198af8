"""Tests of bijective: the only input there is, the error that rounding makes, and layers that have no inverse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor, nn

import genrev
import genrev.operators.direct as direct
from genrev import BijectiveInverter, InputSpace, Network, Outcome, PinvInverter, build
from genrev.errors import ArgumentError, LayerError
from genrev.models import BlockDiagonalLinear, LowRankLinear


def net(*layers: nn.Module, n: int, dtype: torch.dtype = torch.float64, low: float = -math.inf) -> Network:
    return Network(nn.Sequential(*layers).to(dtype), space=InputSpace((n,), low, -low))


def random(n: int, m: int | None = None, *, shift: float = 0.0, seed: int = 0) -> nn.Linear:
    """A layer of weights N(0, 1/n), plus a share of the identity."""
    torch.manual_seed(seed)
    layer = nn.Linear(n, m or n)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(m or n, n) / n**0.5 + shift * torch.eye(m or n, n))
        layer.bias.normal_()
    return layer


ONE_TO_ONE: dict[str, Any] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky relu": lambda: nn.LeakyReLU(0.1),
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "none": nn.Identity,
    "normalised": lambda: nn.BatchNorm1d(9).eval(),
}


@pytest.mark.parametrize("single", [False, True], ids=["double factors", "single factors"])
@pytest.mark.parametrize("case", ONE_TO_ONE)
def test_the_only_input_that_gives_a_target_comes_back(
    case: str, single: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if single:
        monkeypatch.setattr(direct, "_SMALL", 0)
    network = net(*(part for seed in range(3) for part in (random(9, seed=seed, shift=2), ONE_TO_ONE[case]())), n=9)
    inverter = BijectiveInverter(network)
    # Small inputs keep sigmoids from saturation, where digits of the output are lost.
    x = 0.3 * torch.randn(20, 9)
    found = inverter.reconstruct(network.evaluate(x), seed=0)
    assert inverter.unique
    assert bool(found.converged.all())
    torch.testing.assert_close(found.best, x, rtol=1e-9, atol=1e-9)
    assert not found.stats["clamped"].any()
    assert float(found.stats["misfit"].max()) < 1e-13
    assert found.stats["misfit"].shape == (20, 1, 3)


def test_more_outputs_than_inputs_have_one_input_too_where_they_can_be_given() -> None:
    network = net(random(4, 9), nn.LeakyReLU(0.2), random(9, 12), n=4)
    inverter, x = BijectiveInverter(network), torch.randn(6, 4)
    assert inverter.unique
    torch.testing.assert_close(inverter.reconstruct(network.evaluate(x)).best, x)
    found = inverter.reconstruct(torch.randn(3, 12))
    assert found.outcome.flatten().tolist() == [Outcome.MISSED] * 3
    assert float(found.stats["misfit"][..., 1].min()) > 0.1
    assert "layer '2' was asked for values that it can't give together" in inverter.explain(found)


def test_where_a_layer_narrows_it_is_the_shortest_input_as_of_the_pseudo_inverse() -> None:
    network = net(random(9, 5), nn.Tanh(), random(5, 5, shift=3), n=9)
    target = network.evaluate(torch.randn(8, 9))
    inverter = BijectiveInverter(network)
    found = inverter.reconstruct(target)
    assert not inverter.unique
    assert bool(found.converged.all())
    torch.testing.assert_close(found.best, PinvInverter(network).reconstruct(target).best)


@pytest.mark.parametrize("between", [[], [nn.Identity()], [nn.Flatten()]])
def test_the_constant_that_a_softmax_does_not_see_is_solved_for(between: list[nn.Module]) -> None:
    network = net(random(7), nn.LeakyReLU(0.5), random(7, 5), *between, nn.Softmax(-1), n=7)
    target = network.evaluate(torch.randn(8, 7))
    found = BijectiveInverter(network).reconstruct(target)
    assert bool(found.converged.all())
    torch.testing.assert_close(found.best, PinvInverter(network).reconstruct(target).best)


def test_layers_of_more_than_one_row_of_values_and_reshapes_are_solved() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Flatten(), nn.Tanh(), nn.Linear(6, 6)).double()
    network = Network(module, space=InputSpace((2, 3)))
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(BijectiveInverter(network).reconstruct(network.evaluate(x)).best, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_error_that_is_stated_is_the_true_one_within_three_times(dtype: torch.dtype, layers: int) -> None:
    ratios = []
    for seed in range(12):
        parts = [part for place in range(layers) for part in (random(60, seed=7 * seed + place), nn.LeakyReLU(0.5))]
        network = net(*parts, n=60, dtype=dtype)
        x = torch.randn(30, 60, dtype=dtype)
        found = BijectiveInverter(network).reconstruct(network.evaluate(x), seed=seed)
        error = (found.best - x).norm(dim=1) / x.norm(dim=1)
        ratios.append(float(found.stats["error"].mean() / error.mean()))
    assert all(1 / 3 < ratio < 3 for ratio in ratios), ratios


def test_the_condition_number_is_the_worst_case_apart() -> None:
    layer = random(40)
    inverter = BijectiveInverter(net(layer, n=40))
    assert inverter.layers == ["0"]
    assert inverter.conditions[0] == pytest.approx(float(torch.linalg.cond(layer.weight.detach(), 1)), rel=0.7)
    found = inverter.reconstruct(torch.randn(3, 40))
    assert float(found.stats["error"].max()) < inverter.conditions[0] * 2.3e-16


def test_weights_of_single_precision_give_residuals_of_single_precision() -> None:
    network = net(random(600), n=600, dtype=torch.float32)
    target = network.evaluate(torch.randn(9, 600))
    found = BijectiveInverter(network).reconstruct(target)
    assert float(((found.y[:, 0] - target).norm(dim=1) / target.norm(dim=1)).max()) < 1e-6


def test_factors_are_computed_once_for_all_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    network = net(random(8), n=8)
    inverter = BijectiveInverter(network)
    monkeypatch.setattr(direct.Factored, "_factor", lambda self: pytest.fail("factored again"))
    for _ in range(3):
        assert bool(inverter.reconstruct(torch.randn(2, 8)).converged.all())


def test_free_entries_are_those_of_a_usual_input() -> None:
    network = net(random(6, shift=2), nn.Sigmoid(), n=6)
    inverter = BijectiveInverter(network)
    target = torch.full((1, 6), math.nan)
    target[0, 2] = 0.5
    middle = network.evaluate(torch.zeros(1, 6))
    expected = torch.where(target.isnan(), middle, target)
    torch.testing.assert_close(inverter.reconstruct(target).y[0], expected)
    data = torch.randn(50, 6) + 1
    expected = torch.where(target.isnan(), network.evaluate(data.mean(0)[None]), target)
    torch.testing.assert_close(inverter.fit(data).reconstruct(target).y[0], expected)


def test_what_comes_out_beyond_the_input_space_is_said() -> None:
    network = net(random(5, shift=2), n=5, low=-1.0)
    inverter = BijectiveInverter(network, tolerance=1e-9)
    target = network.evaluate(torch.ones(1, 5)) + 0.01
    found = inverter.reconstruct(target)
    assert float(found.stats["outside"]) > 0
    assert "beyond the bounds of the input space" in inverter.explain(found)


def test_values_that_no_activation_gives_are_counted() -> None:
    network = net(nn.Flatten(), random(5, shift=2), nn.Identity(), nn.Tanh(), random(5, shift=2), n=5)
    inverter = BijectiveInverter(network)
    target = 0.99 * network.reachable_box().high.float().double()[None]
    found = inverter.reconstruct(target)
    last: Any = network.module[4]
    asked = torch.linalg.solve(last.weight.detach(), (target - last.bias.detach())[0])
    assert float(found.stats["clamped"]) == float((asked.abs() >= 1).double().mean()) > 0
    assert not found.converged.any()


SINGULAR: dict[str, tuple[Tensor, str]] = {
    "two equal rows": (torch.eye(4, dtype=torch.float64)[[0, 1, 2, 2]], "of rank 3 of 4"),
    "zeros": (torch.zeros(4, 4, dtype=torch.float64), "of rank 0 of 4, condition number infinity"),
    "nearly": (torch.diag(torch.tensor([1.0, 1.0, 1.0, 1e-17], dtype=torch.float64)), "of rank 3 of 4"),
    "a dead unit of many": (torch.eye(700, dtype=torch.float64) * (torch.arange(700) > 0), "of rank 699 of 700"),
    "wide": (torch.ones(2, 5, dtype=torch.float64), "of rank 1 of 2"),
}


@pytest.mark.parametrize("case", SINGULAR)
def test_a_singular_layer_is_refused_by_its_name_with_rank_and_condition(case: str) -> None:
    weight, said = SINGULAR[case]
    layer = nn.Linear(*weight.shape[::-1]).double()
    layer.weight.data = weight
    network = Network(nn.Sequential(nn.Identity(), layer), space=InputSpace((weight.shape[1],)))
    with pytest.raises(LayerError, match=r"expected a layer of full rank, got '1' .* use 'pinv'") as error:
        BijectiveInverter(network)
    assert said in str(error.value)
    assert_one_sentence(str(error.value))


def test_single_precision_is_singular_sooner() -> None:
    weight = torch.diag(torch.tensor([1.0, 1e-9]))
    for dtype, refused in ((torch.float32, True), (torch.float64, False)):
        layer = nn.Linear(2, 2).to(dtype)
        layer.weight.data = weight.to(dtype)
        network = Network(nn.Sequential(layer), space=InputSpace((2,)))
        if refused:
            with pytest.raises(LayerError, match="of rank 1 of 2"):
                BijectiveInverter(network)
        else:
            x = torch.randn(3, 2)
            torch.testing.assert_close(BijectiveInverter(network).reconstruct(network.evaluate(x)).best, x)


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.Hardtanh(), nn.GELU(), nn.Softmax(-1)])
def test_a_layer_that_is_not_one_to_one_is_refused_by_its_name(layer: nn.Module) -> None:
    with pytest.raises(LayerError, match=rf"one to one, got {type(layer).__name__} at '1'; use") as error:
        BijectiveInverter(net(nn.Tanh(), layer, n=4))
    assert_one_sentence(str(error.value))


def test_a_scale_in_the_forward_pass_is_undone_unless_it_is_zero() -> None:
    class Image(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.first, self.scale = nn.Linear(3, 3), scale

        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(self.first(x / 255 - 0.5)) * self.scale

    network = Network(Image(2.0).double(), space=InputSpace((3,), 0.0, 255.0))
    x = 255 * torch.rand(6, 3)
    torch.testing.assert_close(BijectiveInverter(network).reconstruct(network.evaluate(x)).best, x)
    with pytest.raises(LayerError, match="got 'mul' with 1 of its weights zero"):
        BijectiveInverter(Network(Image(0.0).double(), space=InputSpace((3,))))


def test_weights_that_are_not_finite_and_a_lone_proportion_are_refused() -> None:
    broken = random(3)
    broken.weight.data[1, 1] = math.nan
    for method in ("bijective", "pinv", "bounded-pinv"):
        with pytest.raises(LayerError, match=r"layer '0': expected .* NaN or infinity"):
            build(method, net(broken, nn.Tanh(), n=3))
    with pytest.raises(LayerError, match="expected two proportions or more behind '0'"):
        BijectiveInverter(net(random(3, 1), nn.Softmax(-1), n=3))


def test_a_network_without_layers_of_weights_is_inverted() -> None:
    network = net(nn.Tanh(), nn.BatchNorm1d(3).eval(), n=3)
    network = network.until("0")
    found = BijectiveInverter(network).reconstruct(torch.full((2, 3), 0.5))
    torch.testing.assert_close(found.best, torch.full((2, 3), 0.5).atanh())
    assert found.stats["misfit"].shape == (2, 1, 0)


def test_it_is_saved_and_loaded_and_newton_goes_on_from_it(tmp_path: Any) -> None:
    network = net(random(6), nn.Tanh(), random(6), n=6)
    target = network.evaluate(torch.randn(4, 6))
    inverter = BijectiveInverter(network, tolerance=0.01)
    genrev.save(inverter, tmp_path / "inverter.safetensors")
    loaded = genrev.load(tmp_path / "inverter.safetensors", network=network)
    torch.testing.assert_close(loaded.reconstruct(target).x, inverter.reconstruct(target).x)
    assert bool(build("bijective+newton", network).reconstruct(target, seed=0).converged.all())


def test_a_result_of_another_method_is_not_explained() -> None:
    network = net(random(3), n=3)
    found = PinvInverter(network).reconstruct([[0.5, 0.5, 0.5]])
    with pytest.raises(ArgumentError, match="expected a result of this bijective"):
        BijectiveInverter(network).explain(found)


@pytest.mark.parametrize(("activation", "scale"), [(nn.Sigmoid, 100.0), (nn.Sigmoid, 30.0), (nn.Tanh, 30.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_error_is_stated_where_saturation_left_nothing_of_the_input(
    activation: type[nn.Module], scale: float, dtype: torch.dtype
) -> None:
    layer = random(6, shift=1)
    layer.weight.data *= scale
    network = net(layer, activation(), n=6, dtype=dtype)
    inverter, x = BijectiveInverter(network), torch.randn(60, 6, dtype=dtype)
    found = inverter.reconstruct(network.evaluate(x), seed=0)
    true, stated = (found.best - x).norm(dim=1) / x.norm(dim=1), found.stats["error"][:, 0]
    assert bool((stated == math.inf).any())
    told = stated.isfinite()
    assert float(true[told].max()) < 0.1 if bool(told.any()) else True
    ends = (found.target == found.target.round()).any(1)
    assert bool((stated[ends] == math.inf).all())
    assert "answers none can be told" in inverter.explain(found)


def test_residual_blocks_that_contract_are_undone() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.branch = random(8, shift=2), nn.Linear(8, 8)
            self.branch.weight.data *= 0.5

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return x + torch.tanh(self.branch(x))

    network = Network(Block().double(), space=InputSpace((8,)))
    x = torch.randn(5, 8)
    torch.testing.assert_close(BijectiveInverter(network).reconstruct(network.evaluate(x)).best, x)


@pytest.mark.parametrize("kind", ["low rank", "blocks"])
def test_a_short_rank_that_the_structure_tells_is_refused_however_wide_the_layer_is(kind: str) -> None:
    n = 2100
    blocks = torch.randn(n // 10, 10, 10)
    blocks[7, 3] = blocks[7, 4]
    low = LowRankLinear(torch.randn(n, 20), torch.randn(20, n))
    network = Network(nn.Sequential(low if kind == "low rank" else BlockDiagonalLinear(blocks)), space=InputSpace((n,)))
    with pytest.raises(LayerError, match=rf"of rank {20 if kind == 'low rank' else n - 1} of {n}"):
        BijectiveInverter(network)


def test_an_infinite_bias_is_refused() -> None:
    layer = random(3)
    layer.bias.data[1] = math.inf
    with pytest.raises(LayerError, match="expected finite weights, got NaN or infinity in the bias of '0'"):
        BijectiveInverter(net(layer, n=3))
