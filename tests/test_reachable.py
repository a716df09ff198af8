"""Tests of what can't be reached: proofs that hold for all inputs found, in whole networks and in every inverter."""

from __future__ import annotations

import itertools
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from test_contract import NAMES, _a_network_that_the_method_takes, fitted, inputs, module  # noqa: F401
from torch import Tensor, nn
from torch.nn import functional as F

import genrev.layers.relaxation as relaxation
from genrev import InputSpace, Inversion, Network, NewtonInverter, Outcome, PinvInverter, RetrievalInverter
from genrev.errors import LayerError
from genrev.inverter import Inverter, Problem, Proposal, Traits
from genrev.layers import Interval, bounds
from genrev.reachable import beyond, why, within

both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)

ACTIVATIONS = [
    nn.ReLU, nn.Tanh, nn.Sigmoid, lambda: nn.LeakyReLU(0.2), lambda: nn.LeakyReLU(-0.5), lambda: nn.PReLU(init=1.5),
    nn.GELU, nn.SiLU, nn.ELU, nn.Softplus, nn.Hardswish, nn.Softsign,
]  # fmt: skip
HEADS = [lambda: nn.Softmax(-1), nn.Sigmoid, nn.Identity, lambda: nn.LogSoftmax(-1), nn.Tanh, nn.ReLU]


def pick(choices: list[Any]) -> Any:
    return choices[int(torch.randint(len(choices), ()))]


def dense_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    sizes = [5, *torch.randint(2, 9, (int(torch.randint(1, 5, ())),)).tolist(), 3]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after)]
        with torch.no_grad():
            layers[-1].weight.mul_(3 * torch.rand(()))
        if torch.rand(()) < 0.3:
            layers.append(nn.BatchNorm1d(after))
            layers[-1].running_var.uniform_(0.2, 2.0)
            layers[-1].running_mean.normal_()
        if torch.rand(()) < 0.2:
            layers.append(nn.LayerNorm(after))
        layers.append(nn.Dropout() if torch.rand(()) < 0.2 else pick(ACTIVATIONS)())
    return nn.Sequential(*layers[:-1], pick(HEADS)())


def picture_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layers = [
        nn.Conv2d(1, 4, 3, padding=int(torch.randint(2, ()))), pick(ACTIVATIONS)(),
        pick([nn.MaxPool2d, nn.AvgPool2d])(2),
        nn.GroupNorm(2, 4) if torch.rand(()) < 0.3 else nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 2, 2),
        pick(ACTIVATIONS)(), nn.Flatten(), nn.LazyLinear(3), pick(HEADS)(),
    ]  # fmt: skip
    made = nn.Sequential(*layers)
    made(torch.zeros(2, 1, 6, 6))
    return made


def space(shape: tuple[int, ...], seed: int) -> InputSpace:
    torch.manual_seed(seed)
    low = torch.randn(shape)
    kinds = [
        (low, low + torch.rand(shape)), (low, low), (-3.0, 3.0), (0.0, 1.0), (-math.inf, math.inf), (0.0, math.inf),
        (torch.where(low > 0, low, -math.inf), torch.where(low > 0, math.inf, low + 2)),
    ]  # fmt: skip
    return InputSpace(shape, *kinds[seed % len(kinds)])


def corners_by_gradient(network: Network, x: Tensor) -> Tensor:
    """Inputs that push one output each as far as gradients lead, step by step to the bounds."""
    low, high = (end.to(x) for end in (network.space.low, network.space.high))
    reach = torch.where((high - low).isfinite(), high - low, 10.0)
    outputs = math.prod(network.output_shape)
    signs = torch.eye(outputs).to(x).repeat_interleave(len(x), 0)
    x, signs = x.repeat(2 * outputs, *(1,) * (x.ndim - 1)), torch.cat([signs, -signs])
    for step in (0.3, 0.3, 0.1, 0.1, 1.0):
        x = x.requires_grad_()
        (slope,) = torch.autograd.grad((network(x).flatten(1) * signs).sum(), x)
        x = network.space.project((x + step * reach * slope.nan_to_num(0.0).sign()).detach())
    return x


def expect_held(network: Network, box: Interval, x: Tensor) -> None:
    y = network.evaluate(x)
    finite = y.flatten(1).isfinite().all(1)
    worst = torch.maximum(box.low - y.double(), y.double() - box.high)[finite].amax()
    assert bool(box.contains(y[finite]).all()), f"{network.module} leaves its box by {float(worst)}"


def some(network: Network, count: int = 200) -> Tensor:
    low, high = network.space.low, network.space.high
    near = torch.where(low.isfinite(), low, torch.where(high.isfinite(), high - 20, -10.0))
    far = torch.where(high.isfinite(), high, near + 20)
    share = torch.rand(count, *network.space.shape)
    share[::2] = share[::2].round()
    return network.space.project((near + (far - near) * share).to(network.dtype))


@both
@pytest.mark.parametrize("kind", [dense_network, picture_network])
def test_nothing_leaves_the_box_of_a_random_network(kind: Any, dtype: torch.dtype) -> None:
    shape = (5,) if kind is dense_network else (1, 6, 6)
    bounded = 0
    for seed in range(60):
        network = Network(kind(seed).to(dtype), space=space(shape, seed))
        box = network.reachable_box()
        assert box.low.shape == box.high.shape == network.output_shape
        assert box.low.dtype == box.high.dtype == torch.float64
        bounded += bool(box.low.isfinite().any() | box.high.isfinite().any())
        x = some(network)
        expect_held(network, box, x)
        expect_held(network, box, corners_by_gradient(network, x[:4]))
    assert bounded > 30


@both
def test_lines_are_inside_the_boxes_and_hold(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    tighter = 0
    for seed in range(40):
        torch.manual_seed(seed)
        widths = [6, *torch.randint(3, 12, (3,)).tolist(), 4]
        layers = [nn.Sequential(nn.Linear(a, b), pick(ACTIVATIONS[:6])()) for a, b in pairwise(widths)]
        network = Network(nn.Sequential(*layers, nn.Linear(4, 2)).to(dtype), space=InputSpace((6,), -0.5, 0.5))
        lines = network.reachable_box()
        with monkeypatch.context() as patch:
            patch.setattr(relaxation, "WORK", 0)
            plain = network.reachable_box()
        assert bool((lines.low >= plain.low).all() & (lines.high <= plain.high).all())
        tighter += bool(((lines.high - lines.low) < 0.8 * (plain.high - plain.low)).all())
        expect_held(network, lines, some(network, 2000))
        expect_held(network, lines, corners_by_gradient(network, some(network, 20)))
    assert tighter > 10


def test_lines_through_sums_alone_are_exact() -> None:
    layers = (
        nn.Linear(7, 20),
        nn.Unflatten(1, (5, 4)),
        nn.Conv1d(5, 6, 3, padding=1),
        nn.BatchNorm1d(6),
        nn.AvgPool1d(2),
    )
    network = Network(nn.Sequential(*layers, nn.Flatten(), nn.Linear(12, 3)), space=InputSpace((7,), -1.0, 2.0))
    box = network.reachable_box()
    bias = network.evaluate(torch.zeros(1, 7))[0]
    weight = (network.evaluate(torch.eye(7)) - bias).T
    middle, radius = weight @ torch.full((7,), 0.5) + bias, 1.5 * weight.abs().sum(1)
    torch.testing.assert_close(box.low, middle - radius, atol=1e-9, rtol=0)
    torch.testing.assert_close(box.high, middle + radius, atol=1e-9, rtol=0)


@both
def test_lines_allow_for_the_rounding_of_the_network(dtype: torch.dtype) -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        layers = nn.Linear(30, 40), nn.Linear(40, 40), nn.Linear(40, 2)
        point = 100 * torch.rand(30).to(dtype)
        network = Network(nn.Sequential(*layers).to(dtype), space=InputSpace((30,), point, point))
        # At a point lines are as near as arithmetic allows.
        expect_held(network, network.reachable_box(), point[None])


def test_a_network_that_takes_a_value_from_itself_is_known_to_give_nothing() -> None:
    # To a box x and -x are strangers; lines know that they are one.
    first, second = nn.Linear(1, 2, bias=False), nn.Linear(2, 1, bias=False)
    first.weight.data, second.weight.data = torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0, -1.0]])
    network = Network(nn.Sequential(first, second), space=InputSpace((1,), -1.0, 1.0))
    assert float(network.reachable_box().high.abs().max()) < 1e-12


# What a network is made of


class Skip(nn.Module):
    """A network that is no chain, and ends in a module or a function."""

    def __init__(self, last: Any) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x * F.relu(self.first(x)))


def ends(network: Network) -> list[float]:
    box = network.reachable_box()
    return [float(box.low.min()), float(box.high.max())]


def test_of_a_network_that_is_no_chain_the_last_activation_is_known() -> None:
    grid = InputSpace((4,), 0.0, 1.0)
    assert ends(Network(Skip(nn.Sigmoid()), space=grid)) == [0, 1]
    assert ends(Network(Skip(nn.Softmax(-1)), space=grid)) == [0, 1]
    assert ends(Network(Skip(nn.Tanh()), space=grid)) == [-1, 1]
    assert ends(Network(Skip(nn.ReLU()), space=grid)) == [0, math.inf]
    assert ends(Network(Skip(nn.Identity()), space=grid)) == [-math.inf, math.inf]
    assert ends(Network(Skip(nn.Identity()), space=grid).with_softmax()) == [0, 1]
    assert ends(Network(Skip(torch.sigmoid), space=grid, outputs="sigmoid")) == [0, 1]


def test_a_residual_block_is_bounded_by_both_of_its_parts() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return x + F.relu(self.first(x)) / 2

    space = InputSpace((4,), -1.0, 2.0)
    network = Network(block := Block(), space=space)
    box, inner = network.reachable_box(), Network(nn.Sequential(block.first, nn.ReLU()), space=space).reachable_box()
    torch.testing.assert_close(box.low, inner.low / 2 - 1)
    torch.testing.assert_close(box.high, inner.high / 2 + 2)
    corners = torch.tensor(list(itertools.product([-1.0, 2.0], repeat=4)))
    assert bool(box.contains(network.evaluate(torch.cat([corners, 3 * torch.rand(1000, 4) - 1]))).all())


def test_a_part_of_a_network_and_one_with_a_head_have_boxes_of_their_own() -> None:
    whole = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    network = Network(whole, space=InputSpace((4,), -0.1, 0.1))
    box, part = network.reachable_box(), network.until("1").reachable_box()
    assert part.low.shape == (3,)
    alone = Network(whole[:2], space=network.space).reachable_box()
    torch.testing.assert_close(part.low, alone.low)
    head = network.with_sigmoid().reachable_box()
    torch.testing.assert_close(head.low, torch.sigmoid(box.low), atol=1e-12, rtol=0)
    torch.testing.assert_close(head.high, torch.sigmoid(box.high), atol=1e-12, rtol=0)


def test_the_box_is_that_of_the_weights_as_they_are() -> None:
    layer = nn.Linear(2, 1)
    network = Network(layer, space=InputSpace((2,), 0.0, 1.0))
    before = network.reachable_box()
    # Nothing counts how often such values were written to.
    layer.weight.data.mul_(10)
    layer.bias.data.zero_()
    after = network.reachable_box()
    weight = layer.weight.detach()[0]
    torch.testing.assert_close(after.high, weight.clamp(min=0).sum()[None], atol=1e-12, rtol=0)
    assert not torch.equal(before.high, after.high)


def test_asking_for_the_box_changes_nothing() -> None:
    mine = module().train()
    calls: list[int] = []
    mine[0].register_forward_hook(lambda *_: calls.append(1))
    network = Network(mine, space=InputSpace((1, 2, 3), 0.0, 1.0))
    state = {name: value.clone() for name, value in mine.state_dict().items()}
    flags = [(part.training, len(part._forward_hooks), len(part._forward_pre_hooks)) for part in mine.modules()]
    random = torch.get_rng_state()
    with torch.inference_mode():
        network.reachable_box()
    assert torch.equal(torch.get_rng_state(), random)
    assert flags == [(p.training, len(p._forward_hooks), len(p._forward_pre_hooks)) for p in mine.modules()]
    assert all(torch.equal(value, state[name]) for name, value in mine.state_dict().items())
    assert all(value.requires_grad and value.grad is None for value in mine.parameters())


def test_a_layer_of_an_unknown_type_gives_anything_and_what_follows_is_bounded_again() -> None:
    class Strange(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 1e6 * x.sin()

    network = Network(nn.Sequential(nn.Linear(4, 3), Strange()), space=InputSpace((4,), 0.0, 1.0))
    assert ends(network) == [-math.inf, math.inf]
    assert ends(network.with_sigmoid()) == [0, 1]
    hooked = nn.Linear(4, 3)
    hooked.register_forward_hook(lambda layer, args, output: 1e6 * output)
    assert ends(Network(nn.Sequential(hooked, nn.Tanh()), space=InputSpace((4,), 0.0, 1.0))) == [-1, 1]
    tanh = nn.Tanh()
    tanh.register_forward_hook(lambda layer, args, output: 5 * output)
    network = Network(nn.Sequential(nn.Linear(4, 3), tanh), space=InputSpace((4,), 0.0, 1.0))
    assert ends(network) == [-math.inf, math.inf]


def test_a_function_that_writes_between_layers_is_seen_even_where_samples_do_not_show_it() -> None:
    class Cut(nn.Module):
        def __init__(self, *, openly: bool) -> None:
            super().__init__()
            self.first, self.second, self.openly = nn.Linear(2, 2), nn.Linear(2, 1), openly

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.first(x)
            (hidden if self.openly else hidden.view(-1)).clamp_(min=-100.0)
            return self.second(hidden)

    space = InputSpace((2,), -1e4, 1e4)
    assert ends(Network(Cut(openly=False), space=space)) == [-math.inf, math.inf]
    cut = Cut(openly=True)
    same = nn.Sequential(cut.first, nn.Hardtanh(-100.0, math.inf), cut.second)
    assert ends(Network(cut, space=space)) == ends(Network(same, space=space))
    assert ends(Network(cut, space=space)) != ends(Network(nn.Sequential(cut.first, cut.second), space=space))


def test_a_layer_of_ones_own_takes_part_and_is_told_a_wrong_shape() -> None:
    class Doubled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    @bounds.register(Doubled)
    def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Any:
        return lambda x: Interval(2 * x.low, 2 * x.high)

    network = Network(nn.Sequential(nn.Sigmoid(), Doubled()), space=InputSpace((3,)))
    assert ends(network) == [0, 2]

    @bounds.register(Doubled)
    def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Any:
        return lambda x: Interval(x.low[:, :1], x.high[:, :1])

    with pytest.raises(LayerError, match=r"expected bounds of shape \(1, 3\) of layer '1' \(Doubled\), got \(1, 1\)"):
        network.reachable_box()


def test_a_recurrent_network_and_one_that_is_not_finite_have_boxes() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(2, 3, batch_first=True), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    assert ends(Network(Last(), space=InputSpace((4, 2), 0.0, 1.0))) == [-math.inf, math.inf]
    broken = nn.Linear(3, 2)
    broken.weight.data.fill_(math.nan)
    network = Network(nn.Sequential(broken, nn.Tanh()), space=InputSpace((3,), 0.0, 1.0))
    assert ends(network) == [-1, 1]
    found = NewtonInverter(network).reconstruct([[0.5, 0.5]], seed=0)
    assert found.outcome.tolist() == [[Outcome.DIVERGED]]


# Inverters


class Corner(Inverter):
    """Proposes what it was told to, whatever is asked: inputs known to give the targets."""

    traits = Traits(summary="Inputs that it was told.")
    told: Tensor

    def _propose(self, problem: Problem) -> Proposal:
        return Proposal(self.told[: len(problem)], reason=torch.full((len(problem),), int(Outcome.STALLED)))


@both
def test_a_target_that_an_input_gives_is_never_called_unreachable(dtype: torch.dtype) -> None:
    for seed in range(80):
        kind, shape = ((dense_network, (5,)), (picture_network, (1, 6, 6)))[seed % 2]
        network = Network(kind(seed).to(dtype), space=space(shape, seed // 2))
        x = corners_by_gradient(network, some(network, 6))
        y = network.evaluate(x)
        finite = y.flatten(1).isfinite().all(1)
        if network.outputs == "softmax":
            finite &= (y.sum(1) - 1).abs() < 1e-4
        x, y = x[finite], y[finite]
        inverter = Corner(network, tolerance=1e-12)
        inverter.told = network.space.project(torch.randn_like(x))
        found = inverter.reconstruct(y, seed=0)
        assert Outcome.UNREACHABLE not in found.outcomes()
        assert "unreachable" not in found.stats
        inverter.told = x
        found = inverter.reconstruct(y, seed=0)
        assert bool(found.converged.all()) or dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_no_inverter_calls_an_output_of_an_input_unreachable(name: str) -> None:
    inverter = fitted(name, tolerance=1e-12)
    net = inverter.network
    x = torch.cat([inputs(3), inputs(3).round()])
    found = inverter.reconstruct(net.evaluate(x), samples=2, seed=0)
    assert Outcome.UNREACHABLE not in found.outcomes()
    assert not found.stats.keys() & {"unreachable", "reachable_low", "reachable_high", "nearest"}


@pytest.mark.parametrize("name", NAMES)
def test_every_inverter_says_what_is_out_of_reach_and_looks_for_the_nearest(name: str) -> None:
    inverter = fitted(name)
    net = inverter.network
    box = net.reachable_box()
    good = net.evaluate(inputs(41)[40:])
    target = torch.tensor([[0.99, 0.005, 0.005], [math.nan, 0.999, math.nan], good[0].tolist()])
    found = inverter.reconstruct(target, samples=2, seed=0)
    assert (found.outcome == Outcome.UNREACHABLE).tolist() == [[True, True], [True, True], [False, False]]
    asked = (found.y - target[:, None]).abs().nan_to_num(0.0).amax(2)
    torch.testing.assert_close(found.residual, asked)
    assert found.stats["unreachable"].tolist() == [[0, 0], [1, 1], [-1, -1]]
    for row, place in ((0, 0), (1, 1)):
        assert float(found.stats["reachable_low"][row, 1]) == float(box.low[place])
        assert float(found.stats["reachable_high"][row, 1]) == float(box.high[place])
    assert bool(found.stats["reachable_high"][2].isnan().all())
    nearest = found.stats["nearest"]
    assert nearest.shape == (3, 2, 3)
    torch.testing.assert_close(nearest[0].sum(1), torch.ones(2))
    assert bool(box.contains(nearest[0]).all())
    assert nearest[1, 0].isnan().tolist() == [True, False, True]
    assert torch.equal(nearest[2, 0], target[2])
    # What is asked beside them is answered as it is alone.
    alone = inverter.reconstruct(target[2], samples=2, seed=0)
    torch.testing.assert_close(alone.x[0], found.x[2], atol=1e-7, rtol=0)
    said = inverter.explain(found)
    assert f"Output 0 of target 0 was asked to be 0.99, and {within(float(box.low[0]), float(box.high[0]))}" in said
    assert "; 2 of 3 targets are beyond such bounds." in said


def test_chunks_change_nothing_of_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    inverter, target = fitted("newton"), torch.tensor([[0.99, 0.005, 0.005], [0.4, 0.3, 0.3], [0.0, 0.0, 1.0]])
    whole = inverter.reconstruct(target, samples=2, seed=2)
    monkeypatch.setattr("genrev.network.MEMORY", 1)
    pieces = inverter.reconstruct(target, samples=2, seed=2)
    assert torch.equal(whole.outcome, pieces.outcome)
    torch.testing.assert_close(whole.x, pieces.x, atol=1e-7, rtol=0)


def test_a_row_that_is_met_converges_whatever_a_wrong_proof_says(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(nn.Linear(1, 1), space=InputSpace((1,), 0.0, 1.0))
    inverter = Corner(network)
    inverter.told = torch.full((1, 1), 0.5)
    nowhere = Interval(torch.full((1,), 90.0), torch.full((1,), 91.0))
    monkeypatch.setattr(Network, "reachable_box", lambda self: nowhere)
    assert inverter.reconstruct(network.evaluate(inverter.told), seed=0).outcome.tolist() == [[Outcome.CONVERGED]]


def test_probabilities_of_0_and_1_that_are_met_in_the_limit_are_not_unreachable() -> None:
    for last in (nn.Sigmoid(), nn.Softmax(-1)):
        network = Network(nn.Sequential(nn.Linear(3, 2), last), space=InputSpace((3,)))
        found = NewtonInverter(network).reconstruct([[1.0, 0.0], [0.0, 1.0]], seed=0)
        assert bool(found.converged.all())


def test_the_nearest_target_inside_is_met_where_the_bound_is_exact() -> None:
    network = Network(nn.Sequential(nn.Linear(3, 1), nn.Tanh()), space=InputSpace((3,), 0.0, 1.0))
    box = network.reachable_box()
    for method in (NewtonInverter(network), PinvInverter(network)):
        found = method.reconstruct([[0.999]], seed=0)
        assert found.outcome.tolist() == [[Outcome.UNREACHABLE]]
        assert float(found.stats["nearest"]) == float(box.high)
    found = NewtonInverter(network).reconstruct([[0.999]], seed=0)
    assert abs(float(found.y) - float(box.high)) < 1e-3
    torch.testing.assert_close(found.residual, (0.999 - found.y)[..., 0])


def test_a_tolerance_for_each_output_counts_in_the_proof() -> None:
    network = Network(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), space=InputSpace((3,)))
    loose = RetrievalInverter(network, tolerance=torch.tensor([1e-3, 3.0])).fit(torch.randn(5, 3))
    assert Outcome.UNREACHABLE not in loose.reconstruct([[0.5, 3.5]]).outcomes()
    found = loose.reconstruct([[1.5, 4.5]])
    assert found.outcome.tolist() == [[Outcome.UNREACHABLE]]
    # A thousandth is further beyond 1 by 500 of itself than 3 is.
    assert found.stats["unreachable"].tolist() == [[0]]


def test_a_target_at_the_tolerance_to_the_last_digit_is_not_called_unreachable() -> None:
    for dtype in (torch.float32, torch.float64):
        edge = torch.tensor([0.1, 300.0, 7e-5], dtype=dtype)
        box = Interval(edge.double(), edge.double())
        for tolerance in (1e-3, 1e-6, 0.3):
            allowed = torch.full((3,), tolerance, dtype=dtype)
            target = torch.stack([edge + allowed, edge - allowed])
            met = (edge - target).abs() <= allowed + 4 * torch.finfo(dtype).eps * target.abs()
            out = beyond(target, allowed, box)
            assert out is None or not bool((met.all(1) & out.proved).any())


def test_the_sentence_names_outputs_of_many_dimensions_and_open_bounds() -> None:
    box = Interval(torch.zeros(2, 2), torch.full((2, 2), math.inf))
    target = torch.tensor([[[0.5, 0.5], [-3.0, 0.5]]])
    out = beyond(target, torch.full((2, 2), 1e-3), box)
    assert out is not None
    said = why(out.stats(3), target)
    assert said == "Output (1, 0) was asked to be -3, and is at least 0 for every input of the space."
    assert within(0.25, 0.25) == "is 0.25"
    assert why({}, target) == ""


def test_a_result_says_nothing_of_bounds_where_nothing_was_proved() -> None:
    found = fitted("newton").reconstruct(torch.tensor([[0.4, 0.3, 0.3]]), seed=0)
    assert isinstance(found, Inversion)
    assert set(found.stats) == {"steps"}
