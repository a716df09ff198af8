"""Tests of recurrent: exact on what a recurrent network can give, honest about the rest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor, nn

import genrev
from genrev import Equilibrium, InputSpace, Network, RecurrentInverter, build, unroll
from genrev.errors import ArgumentError, LayerError
from genrev.inverter import Outcome
from genrev.layers import everything

VARIANTS: dict[str, Any] = {
    "batch first": lambda: nn.RNN(3, 5, batch_first=True),
    "time first": lambda: nn.RNN(3, 5),
    "a cell": lambda: nn.RNNCell(3, 5),
    "no bias": lambda: nn.RNN(3, 5, bias=False),
    "a cell without bias": lambda: nn.RNNCell(3, 5, bias=False),
    "square": lambda: nn.RNN(4, 4),
    "two layers": lambda: nn.RNN(3, 5, num_layers=2),
    "three layers": lambda: nn.RNN(4, 4, num_layers=3),
    "layers with dropout": lambda: nn.RNN(3, 5, num_layers=2, dropout=0.5),
    "one of each": lambda: nn.RNN(1, 1),
}


def network(module: nn.Module, steps: int = 7, *, state: Any = None, low: float = -math.inf) -> Network:
    inputs = module.input_size
    return Network(unroll(module, steps=steps, state=state), space=InputSpace((steps, inputs), low, -low))


def scaled(module: nn.Module, scale: float) -> Any:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter *= scale
    return module


def sequences(net: Network, n: int = 6) -> Tensor:
    return torch.randn(n, *net.space.shape)


@pytest.fixture
def _nothing_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets that no bounds reach are asked of the method too, and not their nearest."""
    monkeypatch.setattr(
        Network,
        "reachable_box",
        lambda net: everything(net.output_shape, net.dtype, net.device).reshape(*net.output_shape),
    )


@pytest.mark.parametrize("case", VARIANTS)
def test_the_inputs_of_a_sequence_come_back(case: str) -> None:
    net = network(VARIANTS[case]())
    x = sequences(net)
    found = RecurrentInverter(net).reconstruct(net.evaluate(x))
    torch.testing.assert_close(found.best, x, rtol=1e-6, atol=1e-6)
    assert float(found.residual.max()) < 1e-9
    assert not found.stats["clamped"].any()


@pytest.mark.parametrize(("kind", "shape"), [(nn.RNN, (2, 5)), (nn.RNNCell, (5,))])
def test_a_state_that_is_not_zero_is_taken_into_account(kind: Any, shape: tuple[int, ...]) -> None:
    net = network(kind(3, 5, num_layers=2) if len(shape) > 1 else kind(3, 5), state=torch.randn(shape))
    x = sequences(net)
    torch.testing.assert_close(RecurrentInverter(net).reconstruct(net.evaluate(x)).best, x, rtol=1e-6, atol=1e-6)


def test_it_is_the_formula_step_by_step() -> None:
    net = network(cell := nn.RNNCell(8, 5), steps=4)
    target = 1.6 * torch.rand(3, 4, 5) - 0.8
    weight, within = (part.detach().numpy() for part in (cell.weight_ih, cell.weight_hh))
    bias = (cell.bias_ih + cell.bias_hh).detach().numpy()
    before = np.zeros((3, 5))
    for step, x in enumerate(RecurrentInverter(net).reconstruct(target).best.unbind(1)):
        h = target[:, step].numpy()
        np.testing.assert_allclose(x, (np.arctanh(h) - before @ within.T - bias) @ np.linalg.pinv(weight).T, atol=1e-9)
        before = h


def test_two_hundred_steps_of_a_network_as_it_is_made_come_back_to_a_hundred_thousandth() -> None:
    net = network(nn.RNN(64, 128, batch_first=True), steps=200)
    x = sequences(net, 2)
    found = RecurrentInverter(net).reconstruct(net.evaluate(x))
    assert float((found.best - x).abs().max()) < 1e-5
    assert bool(found.converged.all())


def test_units_that_are_saturated_do_not_spoil_what_the_others_tell() -> None:
    net = network(scaled(nn.RNN(16, 32, batch_first=True), 3.0), steps=50)
    x = sequences(net, 4)
    y = net.evaluate(x)
    assert float((y.abs() > 0.999).double().mean()) > 0.02
    assert float((RecurrentInverter(net).reconstruct(y).best - x).abs().max()) < 1e-8


@pytest.mark.parametrize("sizes", [(3, 5), (5, 5), (7, 4), (2, 9)])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_layer_of_relus_is_met_whatever_is_dead(sizes: tuple[int, int], scale: float) -> None:
    net = network(scaled(nn.RNN(*sizes, nonlinearity="relu"), scale))
    target = net.evaluate(sequences(net))
    assert bool((target == 0).any())
    assert float(RecurrentInverter(net).reconstruct(target).residual.max()) < 1e-8


def test_an_upper_layer_of_relus_asks_the_lower_one_for_what_it_can_give() -> None:
    net = network(nn.RNN(8, 4, num_layers=2, nonlinearity="relu"))
    found = RecurrentInverter(net).reconstruct(net.evaluate(sequences(net, 20)))
    assert float(found.residual.max()) < 1e-8
    assert not found.stats["clamped"].any()


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_single_precision_does_what_it_can(nonlinearity: str) -> None:
    net = network(nn.RNN(3, 8, nonlinearity=nonlinearity).float(), steps=20)
    found = RecurrentInverter(net).reconstruct(net.evaluate(sequences(net)))
    assert found.x.dtype == torch.float32
    assert float(found.residual.max()) < 1e-5


@pytest.mark.usefixtures("_nothing_is_proved")
def test_a_step_that_can_not_be_met_is_made_good_for_by_the_next() -> None:
    net = network(scaled(nn.RNN(6, 4), 3.0), steps=8)
    target = net.evaluate(sequences(net))
    target[:, 2, 0] = 1.5
    found = RecurrentInverter(net).reconstruct(target)
    away = (found.y[:, 0] - target).abs().amax(2)
    torch.testing.assert_close(away[:, 2], torch.full((6,), 0.5))
    assert float(away[:, [0, 1, 3, 4, 5, 6, 7]].max()) < 1e-9
    torch.testing.assert_close(found.stats["away"][:, 0], away)


@pytest.mark.usefixtures("_nothing_is_proved")
def test_values_beyond_the_range_are_counted_where_they_were_asked() -> None:
    net = network(nn.RNN(5, 4, num_layers=2), steps=6)
    target = net.evaluate(sequences(net, 3))
    target[1, 4, :2] = torch.tensor([1.0, -7.0])
    clamped = RecurrentInverter(net).reconstruct(target).stats["clamped"]
    assert clamped.shape == (3, 1, 2, 6)
    expected = torch.zeros(3, 6)
    expected[1, 4] = 0.5
    assert torch.equal(clamped[:, 0, 1], expected)
    assert not clamped[[0, 2]].any()


@pytest.mark.usefixtures("_nothing_is_proved")
def test_of_two_ways_to_go_on_the_nearer_is_kept() -> None:
    net = network(scaled(nn.RNN(4, 4), 3.0), steps=20)
    reachable = net.evaluate(sequences(net, 10))
    target = reachable + 0.05 * torch.randn(reachable.shape)
    inverter = RecurrentInverter(net)
    kept = inverter.reconstruct(target)
    assert bool(kept.stats["followed"].any())
    inverter._follow = lambda *_: None  # type: ignore[method-assign]
    asked = inverter.reconstruct(target)
    assert bool((kept.residual <= asked.residual + 1e-9).all())
    assert not inverter.reconstruct(reachable).stats["followed"].any()


def test_an_answer_that_misses_is_no_worse_than_the_plain_formula() -> None:
    net = network(nn.RNN(3, 6, batch_first=True), steps=12)
    target = (net.evaluate(sequences(net, 20)) + 0.05 * torch.randn(20, 12, 6)).clamp(-0.95, 0.95)
    rnn: Any = net.module.module
    back = torch.linalg.pinv(rnn.weight_ih_l0.detach())
    before = torch.cat([torch.zeros(20, 1, 6), target[:, :-1]], 1)
    bias = (rnn.bias_ih_l0 + rnn.bias_hh_l0).detach()
    plain = (target.atanh() - before @ rnn.weight_hh_l0.detach().T - bias) @ back.T
    found = RecurrentInverter(net).reconstruct(target)
    assert set(found.outcome.flatten().tolist()) == {int(Outcome.MISSED)}
    distance = [(net.evaluate(x) - target).square().sum((1, 2)).sqrt() for x in (found.best, plain)]
    assert float(distance[0].mean()) < float(distance[1].mean())


def test_free_steps_take_no_input_and_the_others_are_met() -> None:
    net = network(nn.RNN(5, 4), steps=6)
    target = net.evaluate(sequences(net))
    target[:, 1], target[:, 4] = math.nan, math.nan
    found = RecurrentInverter(net).reconstruct(target)
    assert not found.best[:, [1, 4]].any()
    assert float(found.residual.max()) < 1e-9


def test_free_values_of_a_state_follow_from_the_shortest_input_of_the_others() -> None:
    net = network(cell := nn.RNNCell(3, 6), steps=5)
    target = net.evaluate(sequences(net))
    target[..., [0, 2, 5]] = math.nan
    found = RecurrentInverter(net).reconstruct(target)
    assert float(found.residual.max()) < 1e-8
    on = [1, 3, 4]
    back = torch.linalg.pinv(cell.weight_ih.detach()[on])
    bias = (cell.bias_ih + cell.bias_hh).detach()[on]
    torch.testing.assert_close(found.best[:, 0], (target[:, 0, on].atanh() - bias) @ back.T, rtol=1e-6, atol=1e-6)


def test_the_last_state_alone_is_met() -> None:
    net = network(nn.RNN(5, 4, num_layers=2), steps=6)
    target = torch.full((3, 6, 4), math.nan)
    target[:, -1] = net.evaluate(0.3 * sequences(net, 3))[:, -1]
    assert bool(RecurrentInverter(net).reconstruct(target).converged.all())


def test_known_values_and_bounds_are_made_good_for_by_later_steps() -> None:
    net = network(nn.RNN(6, 3), steps=5, low=-1.0)
    x = 2 * torch.rand(4, 5, 6) - 1
    known = torch.full((5, 6), math.nan)
    known[1] = 0.5
    found = RecurrentInverter(net).reconstruct(net.evaluate(x), known=known)
    away = (found.y[:, 0] - found.target).abs().amax(2)
    assert bool((found.best[:, 1] == 0.5).all())
    assert float(away[:, 1].min()) > 1e-3
    held = (found.best.abs() < 1).flatten(2).all(2) & (torch.arange(5) > 1)
    assert bool(held.any())
    assert float(away[held].max()) < 1e-9


HEADS: dict[str, Any] = {
    "values of each step": lambda: [nn.Linear(6, 2)],
    "probabilities of each step": lambda: [nn.Linear(6, 3), nn.Softmax(-1)],
    "one vector of all steps": lambda: [nn.Flatten(), nn.Linear(24, 3), nn.Sigmoid()],
}


@pytest.mark.parametrize("case", HEADS)
def test_layers_behind_are_undone_first(case: str) -> None:
    module = nn.Sequential(unroll(nn.RNN(7, 6, batch_first=True), steps=4), *HEADS[case]())
    net = Network(module, space=InputSpace((4, 7)))
    target = net.evaluate(torch.randn(5, 4, 7))
    found = RecurrentInverter(net).reconstruct(target)
    assert float(found.residual.max()) < 1e-6
    assert found.stats["behind"].shape == (5, 1)
    if target.ndim == 3:
        target[:, 1] = math.nan
    target[0, ..., 0] = math.nan
    assert bool(RecurrentInverter(net).reconstruct(target).converged.all())


def test_a_layer_before_and_a_head_of_the_network_are_undone_too() -> None:
    module = nn.Sequential(nn.Flatten(1, 2), nn.Linear(9, 7), nn.Sequential(unroll(nn.RNNCell(7, 6), steps=4)))
    net = Network(module, space=InputSpace((1, 4, 9)))
    x = torch.randn(5, 1, 4, 9)
    assert bool(RecurrentInverter(net).reconstruct(net.evaluate(x)).converged.all())
    headed = Network(nn.Sequential(*module, nn.Linear(6, 3)), space=InputSpace((1, 4, 9))).with_softmax()
    assert bool(RecurrentInverter(headed).reconstruct(headed.evaluate(x)).converged.all())


def test_it_inverts_hidden_states() -> None:
    module = nn.Sequential(unroll(nn.RNN(3, 6), steps=4), nn.Linear(6, 1))
    hidden = Network(module, space=InputSpace((4, 3))).until("0")
    x = torch.randn(5, 4, 3)
    torch.testing.assert_close(RecurrentInverter(hidden).reconstruct(hidden.evaluate(x)).best, x)


def test_newton_behind_it_meets_what_the_formula_misses() -> None:
    net = network(nn.RNN(3, 6, num_layers=2, nonlinearity="relu"), steps=4)
    target = net.evaluate(sequences(net, 10))
    alone, refined = (build(name, net).reconstruct(target, seed=0) for name in ("recurrent", "recurrent+newton"))
    assert not alone.converged.all()
    assert int(refined.converged.sum()) > int(alone.converged.sum())
    assert build("recurrent+newton", net).traits.recurrent


def test_it_is_saved_and_loaded_with_its_network(tmp_path: Any) -> None:
    net = network(nn.RNN(3, 5))
    x = sequences(net)
    genrev.save(RecurrentInverter(net, tolerance=0.01), tmp_path / "inverter.safetensors")
    loaded = genrev.load(tmp_path / "inverter.safetensors", network=net)
    assert loaded.tolerance == 0.01
    torch.testing.assert_close(loaded.reconstruct(net.evaluate(x)).best, x)


def test_a_rank_that_is_short_is_reported() -> None:
    module = nn.RNN(4, 6, num_layers=2)
    with torch.no_grad():
        module.weight_ih_l0[:, 3] = module.weight_ih_l0[:, 0]
    net = network(module)
    inverter = RecurrentInverter(net)
    assert inverter.ranks == [3, 6]
    found = inverter.reconstruct(net.evaluate(sequences(net)))
    assert float(found.residual.max()) < 1e-8
    assert "W of layer 0 has rank 3 of 4" in inverter.explain(found)


@pytest.mark.usefixtures("_nothing_is_proved")
def test_it_says_what_it_asked_for_that_could_not_be_given() -> None:
    net = network(nn.RNN(5, 4))
    inverter = RecurrentInverter(net)
    target = net.evaluate(sequences(net, 2))
    assert "Of the formula" not in inverter.explain(inverter.reconstruct(target))
    target[:, 3, 0] = 2.0
    said = inverter.explain(inverter.reconstruct(target))
    assert "3.6 % of the values asked of layer 0 were beyond its activation" in said
    assert "the first step whose state was not reached is 3 of 0 to 6" in said
    with pytest.raises(ArgumentError, match="ask the inverter that gave it"):
        inverter.explain(build("newton", net).reconstruct(target, seed=0))


def test_a_network_of_dead_weights_is_survived() -> None:
    net = network(scaled(nn.RNN(3, 5), 0.0))
    found = RecurrentInverter(net).reconstruct(torch.rand(2, 7, 5))
    assert not found.best.any()
    assert found.outcome.flatten().tolist() == [Outcome.UNREACHABLE] * 2


class Own(nn.Module):
    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        return torch.tanh(x + state)


class Skips(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = unroll(nn.RNN(3, 3), steps=2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.rnn(x)


REFUSED: dict[str, tuple[Any, str]] = {
    "LSTM": (lambda: unroll(nn.LSTM(3, 3), steps=2), "got LSTM; use 'newton'"),
    "GRU": (lambda: unroll(nn.GRU(3, 3), steps=2), "got GRU; use 'newton'"),
    "GRUCell": (lambda: unroll(nn.GRUCell(3, 3), steps=2), "got GRUCell; use 'newton'"),
    "both directions": (
        lambda: unroll(nn.RNN(3, 3, bidirectional=True), steps=2),
        "got a bidirectional RNN; use 'newton'",
    ),
    "a cell of one's own": (lambda: unroll(Own(), steps=2, state=torch.zeros(3)), "got Own; use 'newton'"),
    "no recurrent layer": (lambda: nn.Linear(3, 3), "got none; for other networks use 'newton'"),
    "a forward of one's own": (Skips, "got none; for other networks use 'newton'"),
    "two recurrent layers": (
        lambda: nn.Sequential(unroll(nn.RNN(3, 3), steps=2), unroll(nn.RNN(3, 3), steps=2)),
        "got 2; for other networks use 'newton'",
    ),
    "a layer without an inverse": (
        lambda: nn.Sequential(unroll(nn.RNN(3, 3), steps=2), nn.RReLU()),
        "^layer '1': expected .*, got RReLU; .*'newton'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_networks_are_refused_with_what_to_use(case: str) -> None:
    make, said = REFUSED[case]
    with pytest.raises(LayerError, match=said) as caught:
        RecurrentInverter(Network(make(), space=InputSpace((2, 3))))
    assert_one_sentence(str(caught.value).removeprefix("layer '1': "))


def test_an_equilibrium_counts_as_one() -> None:
    net = Network(nn.Sequential(Equilibrium(2, 4), nn.Linear(4, 3)), space=InputSpace((2,)))
    assert RecurrentInverter(net).ranks == [2]
