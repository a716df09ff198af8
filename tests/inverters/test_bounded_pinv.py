"""bounded-pinv: hidden values stay where they can be, targets are met where the formula of the textbook fails."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genrev import InputSpace, Network, PinvInverter, load, save, unroll
from genrev.errors import ArgumentError, LayerError
from genrev.inverters.bounded_pinv import BoundedPinvInverter
from genrev.models import MLP

BOX = InputSpace((12,), 0.0, 1.0)


def student(
    activation: str = "sigmoid", widths: tuple[int, ...] = (12, 5, 5, 2), seed: int = 0, scale: float = 4.0
) -> Network:
    """A small network with weights large enough to saturate."""
    torch.manual_seed(seed)
    module = MLP(widths, [activation] * (len(widths) - 2) + ["sigmoid"]).double()
    with torch.no_grad():
        for layer in module:
            if isinstance(layer, nn.Linear):
                layer.weight *= scale
    return Network(module, space=InputSpace((widths[0],), 0.0, 1.0))


def reachable(network: Network, rows: int = 40) -> Tensor:
    torch.manual_seed(1)
    return network.evaluate(torch.rand(rows, *network.space.shape))


def asked_of(inverter: BoundedPinvInverter, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Tensor]]:
    """Note what each layer is to be fed with, as it is solved for."""
    noted: list[tuple[Any, Tensor]] = []
    kind = type(inverter._steps[0].layer)
    nearest = kind.nearest

    def note(self: Any, asked: Any) -> Tensor:
        x = nearest(self, asked)
        noted.append((self, x))
        return x

    monkeypatch.setattr(kind, "nearest", note)
    return noted


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "leaky_relu", "softplus"])
@pytest.mark.parametrize("fitted", [True, False])
def test_most_targets_that_some_input_gives_are_met_and_more_than_by_the_textbooks_formula(
    activation: str, fitted: bool
) -> None:
    met = textbook = 0.0
    for seed in range(3):
        network = student(activation, seed=seed, scale=2.0)
        inverter = BoundedPinvInverter(network)
        if fitted:
            inverter.fit(torch.rand(300, 12))
        targets = reachable(network)
        met += float(inverter.reconstruct(targets, seed=0).converged.double().mean()) / 3
        textbook += float(PinvInverter(network).reconstruct(targets).converged.double().mean()) / 3
    assert met > 0.85
    assert met > textbook


@pytest.mark.parametrize(
    ("activation", "low", "high"), [("sigmoid", 0.0, 1.0), ("tanh", -1.0, 1.0), ("relu", 0.0, math.inf)]
)
def test_no_layer_is_asked_for_a_value_out_of_the_range_of_the_one_below(
    activation: str, low: float, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = student(activation)
    inverter = BoundedPinvInverter(network).fit(torch.rand(300, 12))
    noted = asked_of(inverter, monkeypatch)
    inverter.reconstruct([[0.999, 0.001], [0.001, 0.999], [1.0, 1.0], [0.0, 0.0]], samples=5, seed=0)
    hidden = [x for layer, x in noted if layer is not inverter._steps[0].layer]
    inputs = [x for layer, x in noted if layer is inverter._steps[0].layer]
    assert hidden
    assert all(bool(((x >= low - 1e-9) & (x <= high)).all()) for x in hidden)
    assert all(bool(((x >= 0) & (x <= 1)).all()) for x in inputs)


def test_for_one_layer_without_bounds_it_is_the_ridge_solution_around_the_datas_mean() -> None:
    torch.manual_seed(0)
    network = Network(nn.Linear(6, 2).double(), space=InputSpace((6,)))
    data = torch.randn(200, 6) @ torch.randn(6, 6) + 3
    inverter = BoundedPinvInverter(network, sweeps=1).fit(data)
    x = inverter.reconstruct([[0.3, -2.0]], seed=0).x[0, 0]
    weight, bias = network.module.weight.detach(), network.module.bias.detach()
    covariance = torch.cov(data.T)
    covariance = covariance + 0.1 * covariance.diagonal().mean() * torch.eye(6)
    noise = (0.1**2 * (weight @ torch.cov(data.T) @ weight.T).diagonal().mean()) * torch.eye(2)
    mean = data.mean(0)
    gain = covariance @ weight.T @ torch.linalg.inv(weight @ covariance @ weight.T + noise)
    torch.testing.assert_close(x, mean + gain @ (torch.tensor([0.3, -2.0]) - bias - weight @ mean))


def test_draws_of_one_layer_without_bounds_have_the_law_of_the_data_given_the_equation() -> None:
    torch.manual_seed(0)
    network = Network(nn.Linear(4, 1).double(), space=InputSpace((4,)))
    data = torch.randn(5000, 4) * torch.tensor([1.0, 2.0, 3.0, 4.0])
    inverter = BoundedPinvInverter(network, slack=1e-3, ridge=1e-9).fit(data)
    drawn = inverter.reconstruct([[1.0]], samples=4000, seed=0)
    weight, covariance, mean = network.module.weight.detach(), torch.cov(data.T), data.mean(0)
    gain = covariance @ weight.T / (weight @ covariance @ weight.T)
    wanted = covariance - gain @ weight @ covariance
    assert bool(drawn.converged.all())
    centre = mean + (gain @ (1 - network.module.bias.detach() - weight @ mean)[:, None])[:, 0]
    assert float((drawn.x[0].mean(0) - centre).abs().max()) < 0.25
    assert float((torch.cov(drawn.x[0].T) - wanted).abs().max()) < 0.05 * float(covariance.abs().max())


def test_samples_differ_and_meet_the_target_and_the_first_is_the_same_for_any_seed() -> None:
    network = student()
    inverter = BoundedPinvInverter(network).fit(torch.rand(300, 12))
    target = network.evaluate(torch.full((1, 12), 0.6))
    one, other = (inverter.reconstruct(target, samples=6, seed=seed) for seed in (0, 1))
    assert float(one.converged.double().mean()) > 0.8
    assert float(torch.cdist(one.x[0], one.x[0]).fill_diagonal_(9).min()) > 1e-2
    assert torch.equal(one.x[:, 0], other.x[:, 0])
    assert not torch.equal(one.x[:, 1], other.x[:, 1])


def test_known_values_are_kept_while_the_others_meet_the_target() -> None:
    network = student()
    inverter = BoundedPinvInverter(network).fit(torch.rand(300, 12))
    true = torch.rand(1, 12)
    known = true.clone()
    known[:, 4:] = math.nan
    found = inverter.reconstruct(network.evaluate(true), known=known, seed=0)
    assert torch.equal(found.x[0, 0, :4], true[0, :4])
    assert bool(found.converged.all())


def test_values_that_are_not_asked_for_are_free() -> None:
    network = student()
    inverter = BoundedPinvInverter(network).fit(torch.rand(300, 12))
    target = reachable(network, 10)
    target[:, 1] = math.nan
    assert float(inverter.reconstruct(target, seed=0).converged.double().mean()) > 0.9


def test_dead_units_constant_inputs_and_layers_without_full_rank_are_no_obstacle() -> None:
    network = student("relu")
    with torch.no_grad():
        first, second = (layer for layer in network.module if isinstance(layer, nn.Linear) and layer.out_features == 5)
        first.bias[0], first.weight[1] = -100.0, first.weight[2]
        first.bias[1] = first.bias[2]
        second.weight[:, 3] = second.weight[:, 4]
    data = torch.rand(300, 12)
    data[:, 7] = 0.5
    found = BoundedPinvInverter(network).fit(data).reconstruct(reachable(network), seed=0)
    assert bool(found.x.isfinite().all())
    assert float(found.converged.double().mean()) > 0.7


def test_a_layer_of_zeros_is_missed_and_not_divided_by() -> None:
    network = student()
    with torch.no_grad():
        network.module[1].weight.zero_()
    found = BoundedPinvInverter(network).reconstruct([[0.9, 0.1]], seed=0)
    assert bool(found.x.isfinite().all())
    assert not bool(found.converged.any())


def test_the_misses_tell_which_layer_could_not_give_what_was_asked() -> None:
    network = student()
    with torch.no_grad():
        network.module[1].weight *= 1e-3
    inverter = BoundedPinvInverter(network)
    found = inverter.reconstruct([[0.999, 0.001]], seed=0)
    assert inverter.layers == ["1", "3", "5"]
    assert found.stats["miss"].shape == (1, 1, 3)
    assert int(found.stats["miss"][0, 0].argmax()) == 0
    assert "the first hidden layer" in inverter.explain(found)


@pytest.mark.parametrize("fitted", [True, False])
def test_saved_and_loaded_it_gives_the_same_answer(fitted: bool, tmp_path: Any) -> None:
    inverter = BoundedPinvInverter(student(), sweeps=4, slack=0.2)
    if fitted:
        inverter.fit(torch.rand(50, 12))
    save(inverter, tmp_path / "b.safetensors")
    again = load(tmp_path / "b.safetensors")
    target = [[0.8, 0.3]]
    one, other = (each.reconstruct(target, samples=3, seed=0).x for each in (inverter, again))
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_single_precision_and_one_output_and_one_input_are_enough() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid()).float()
    network = Network(module, space=InputSpace((1,), -2.0, 2.0))
    target = network.evaluate(torch.linspace(-1.9, 1.9, 20, dtype=torch.float32)[:, None])
    found = BoundedPinvInverter(network).reconstruct(target, seed=0)
    assert found.x.dtype == torch.float32
    assert bool(found.converged.all())


def test_convolutions_are_layers_like_others() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(72, 3), nn.Softmax(-1))
    network = Network(module.double(), space=InputSpace((1, 6, 6), 0.0, 1.0))
    inverter = BoundedPinvInverter(network).fit(torch.rand(100, 1, 6, 6))
    assert bool(inverter.reconstruct(reachable(network), seed=0).converged.all())


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"sweeps": 0}, "expected sweeps to be a whole number of at least 1"),
        ({"slack": 0.0}, "slack"),
        ({"ridge": -1.0}, "ridge"),
    ],
)
def test_a_keyword_out_of_range_is_refused(keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        BoundedPinvInverter(student(), **keywords)


def test_a_layer_that_is_too_wide_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrev.inverters.bounded_pinv._WIDEST", 16)
    with pytest.raises(LayerError, match=r"expected layers of at most 16 values .* at '1'; use 'newton'"):
        BoundedPinvInverter(student())


@pytest.mark.parametrize("layer", [nn.GELU(), nn.SiLU(), nn.LayerNorm(4), unroll(nn.RNN(4, 4), steps=1)])
def test_what_is_no_rising_function_of_single_values_is_refused_by_its_name(layer: nn.Module) -> None:
    network = Network(nn.Sequential(nn.Linear(3, 4), layer, nn.Linear(4, 2)).double(), space=InputSpace((1, 3)))
    with pytest.raises(LayerError, match=rf"expected activations .*, got {type(layer).__name__} at '1'; use 'newton'"):
        BoundedPinvInverter(network)


def test_a_result_of_another_method_is_not_explained() -> None:
    network = student()
    found = PinvInverter(network).reconstruct([[0.5, 0.5]])
    with pytest.raises(ArgumentError, match="expected a result of this bounded-pinv"):
        BoundedPinvInverter(network).explain(found)
