"""Tests of newton: what is reachable is met, what is not ends at the nearest output, on networks of every kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from torch import Tensor, nn
from torch.nn import functional as F

from genrev.errors import ArgumentError
from genrev.inverter import Outcome
from genrev.inverters.newton import NewtonInverter
from genrev.network import Network
from genrev.space import InputSpace

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "elu": nn.ELU}
HEADS: dict[str, tuple[nn.Module, ...]] = {
    "values": (),
    "softmax": (nn.Softmax(-1),),
    "log_softmax": (nn.LogSoftmax(-1),),
    "sigmoid": (nn.Sigmoid(),),
    "tanh": (nn.Tanh(),),
    "relu": (nn.ReLU(),),
}


def network(
    n: int = 20, m: int = 3, hidden: str = "tanh", head: str = "values", *, seed: int = 0, boxed: bool = True
) -> Network:
    torch.manual_seed(seed)
    act = ACTIVATIONS[hidden]
    module = nn.Sequential(nn.Linear(n, 24), act(), nn.Linear(24, 16), act(), nn.Linear(16, m), *HEADS[head]).double()
    return Network(module, space=InputSpace((n,), 0.0, 1.0) if boxed else InputSpace((n,)))


# Reachable


@pytest.mark.parametrize("head", sorted(HEADS))
@pytest.mark.parametrize("hidden", sorted(ACTIVATIONS))
def test_outputs_of_inputs_in_the_box_are_all_met(hidden: str, head: str) -> None:
    net = network(hidden=hidden, head=head)
    target = net.evaluate(torch.rand(60, 20))
    found = NewtonInverter(net).reconstruct(target, seed=0)
    assert bool(found.converged.all())
    assert bool(((found.x >= 0) & (found.x <= 1)).all())


@pytest.mark.parametrize("hidden", ["relu", "tanh"])
def test_without_a_box_they_are_met_too(hidden: str) -> None:
    net = network(hidden=hidden, boxed=False)
    target = net.evaluate(torch.randn(60, 20))
    assert bool(NewtonInverter(net).reconstruct(target, seed=0).converged.all())


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-9])
def test_the_tolerance_is_met_however_small(tolerance: float) -> None:
    net = network(head="sigmoid")
    found = NewtonInverter(net, tolerance=tolerance).reconstruct(net.evaluate(torch.rand(20, 20)), seed=0)
    assert float(found.residual.max()) <= tolerance


def test_every_sample_is_met_and_they_differ() -> None:
    net = network(head="softmax")
    found = NewtonInverter(net).reconstruct(net.evaluate(torch.rand(10, 20)), samples=6, seed=0)
    assert bool(found.converged.all())
    assert float(torch.pdist(found.x[0]).min()) > 0.1


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "values"])
def test_only_the_asked_outputs_count(head: str) -> None:
    net = network(m=4, head=head)
    target = net.evaluate(torch.rand(30, 20))
    target[torch.rand(30, 4) < 0.5] = math.nan
    target = target[~target.isnan().all(1)]
    found = NewtonInverter(net).reconstruct(target, seed=0)
    assert bool(found.converged.all())
    distance = (net.evaluate(found.x[:, 0]) - target).abs().nan_to_num(0.0).amax(1)
    torch.testing.assert_close(found.residual[:, 0], distance)


def test_one_class_can_be_asked_for_alone() -> None:
    net = network(m=10, hidden="relu", head="softmax", boxed=False)
    # The classes that some input is surely in.
    classes = (net.evaluate(100 * torch.randn(2000, 20)).amax(0) > 0.999).nonzero()[:, 0]
    assert len(classes) >= 5
    target = torch.full((len(classes), 10), math.nan)
    target[torch.arange(len(classes)), classes] = 0.99
    found = NewtonInverter(net).reconstruct(target, seed=0)
    assert bool(found.converged.all())
    asked = found.y[torch.arange(len(classes)), 0, classes]
    torch.testing.assert_close(asked, torch.full((len(classes),), 0.99), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "target", [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [1.0, math.nan, math.nan], [0.0, math.nan, math.nan]]
)
@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_probabilities_of_exactly_0_and_1_are_met_within_the_tolerance(head: str, target: list[float]) -> None:
    net = network(n=30, head=head, hidden="relu", boxed=False)
    assert bool(NewtonInverter(net).reconstruct([target], seed=0).converged.all())


def test_a_sure_softmax_takes_no_more_steps_than_its_logits() -> None:
    net = network(n=30, m=10, hidden="relu", boxed=False, seed=1)
    with torch.no_grad():
        net.module[4].weight.mul_(300.0)
    x = torch.randn(100, 30)
    sure = net.with_softmax()
    assert float(sure.evaluate(x).amax(1).median()) > 0.99
    steps = [
        float(NewtonInverter(one).reconstruct(one.evaluate(x), seed=0).stats["steps"].double().mean())
        for one in (net, sure)
    ]
    assert steps[1] <= 1.5 * steps[0]


def test_different_targets_give_different_inputs() -> None:
    net = network(m=2, head="softmax")
    low, high = net.evaluate(torch.rand(500, 20))[:, 0].aminmax()
    ask = torch.stack([low + 0.3 * (high - low), low + 0.7 * (high - low)])
    found = NewtonInverter(net).reconstruct(torch.stack([ask, 1 - ask], 1), seed=0)
    assert bool(found.converged.all())
    assert float((found.best[0] - found.best[1]).norm()) > 1e-3


# Not reachable


def closest(net: Network, target: Tensor, starts: Tensor) -> float:
    """The smallest sum of squares that SciPy finds from several starts."""

    def residual(x: Any) -> Any:
        return (net.evaluate(torch.from_numpy(x)[None])[0] - target).numpy()

    return min(least_squares(residual, start.numpy(), bounds=(0, 1), xtol=1e-12).cost for start in starts)


@pytest.mark.parametrize(
    ("hidden", "head"), [("tanh", "values"), ("sigmoid", "sigmoid"), ("tanh", "tanh"), ("sigmoid", "softmax")]
)
def test_an_unreachable_target_ends_at_the_closest_output_that_scipy_finds(hidden: str, head: str) -> None:
    net = network(n=5, m=2, hidden=hidden, head=head)
    target = torch.tensor([[0.98, 0.02], [0.02, 0.98]]) + (0 if net.outputs != "values" or head == "tanh" else 5)
    found = NewtonInverter(net).reconstruct(target, samples=4, seed=0)
    assert found.outcome.unique().tolist() == [Outcome.UNREACHABLE]
    # What is proved to be out of reach is not searched for, but the nearest that is not.
    target = found.stats["nearest"][:, 0]
    for row in range(2):
        best = closest(net, target[row], torch.rand(6, 5) * 0.98 + 0.01)
        squares = (found.y[row] - target[row]).square().sum(1) / 2
        # The search keeps what is nearest by the greatest residual, so by squares it may lose a little.
        assert float(squares.min()) <= best * 1.1
    greatest = (found.y - target[:, None]).abs().amax(2).amin(1)
    corner = torch.tensor([[float(bit) for bit in f"{number:05b}"] for number in range(32)])
    anywhere = (net.evaluate(torch.cat([corner, torch.rand(20_000, 5)]))[None] - target[:, None]).abs().amax(2).amin(1)
    # What is within the tolerance is near enough.
    assert bool((greatest <= (1.02 * anywhere).clamp(min=1e-3)).all())


def test_a_relu_that_is_asked_to_be_negative_gives_zero() -> None:
    net = Network(nn.Sequential(nn.Linear(4, 2), nn.ReLU()).double(), space=InputSpace((4,)))
    found = NewtonInverter(net).reconstruct([[-1.0, 0.5]], seed=0)
    assert found.outcome.tolist() == [[Outcome.UNREACHABLE]]
    torch.testing.assert_close(found.y[0, 0], torch.tensor([0.0, 0.5]), atol=1e-4, rtol=0)


def test_steps_that_run_out_say_so() -> None:
    net = network(hidden="sigmoid", head="softmax")
    target = net.evaluate(torch.rand(10, 20))
    found = NewtonInverter(net, steps=1, restarts=0, tolerance=1e-9).reconstruct(target, seed=0)
    assert Outcome.LIMIT in found.outcomes()


def test_a_network_that_is_not_finite_diverges() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (-x.abs() - 1).sqrt()

    found = NewtonInverter(Network(Root(), space=InputSpace((2,)))).reconstruct([[1.0, 1.0]], seed=0)
    assert found.outcome.tolist() == [[Outcome.DIVERGED]]
    assert found.residual.tolist() == [[math.inf]]


@pytest.mark.parametrize("kind", ["dead", "constant", "saturated", "ignores"])
def test_a_dead_network_gives_its_only_output(kind: str) -> None:
    class Ignores(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full((len(x), 2), 0.25, dtype=x.dtype)

    linear = nn.Linear(3, 2).double()
    with torch.no_grad():
        if kind == "dead":
            linear.bias.fill_(-100.0)
        elif kind == "constant":
            linear.weight.zero_()
        else:
            linear.bias.fill_(800.0)
    last = {"dead": nn.ReLU(), "constant": nn.Identity(), "saturated": nn.Sigmoid(), "ignores": Ignores()}[kind]
    net = Network(nn.Sequential(linear, last), space=InputSpace((3,), 0.0, 1.0))
    found = NewtonInverter(net).reconstruct([[0.5, 0.5]], samples=2, seed=0)
    # Of a module of an unknown type nothing can be proved.
    assert found.outcome.unique().tolist() == [Outcome.STALLED if kind == "ignores" else Outcome.UNREACHABLE]
    assert bool(found.x.isfinite().all())


# Start


def test_with_a_start_it_ends_near_the_start() -> None:
    net = network(hidden="tanh")
    target, start = net.evaluate(torch.rand(20, 20)), torch.rand(20, 20)
    near = NewtonInverter(net).reconstruct(target, start=start, seed=0)
    plain = NewtonInverter(net, shortest=0).reconstruct(target, start=start, seed=0)
    assert bool(near.converged.all())
    lengths = [(found.x[:, 0] - start).norm(dim=1) for found in (near, plain)]
    assert bool((lengths[0] <= lengths[1] * (1 + 1e-9)).all())
    assert "shortened" in near.stats
    assert "shortened" not in plain.stats


def test_from_where_units_are_saturated_it_ends_at_the_nearest_input() -> None:
    # Two steps of height 1, at -2 and 2: from either side of the plateau between them the way back is the short one.
    module = nn.Sequential(nn.Linear(1, 2), nn.Sigmoid(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        module[0].weight[:], module[0].bias[:] = torch.tensor([[8.0], [-8.0]]), torch.tensor([16.0, 16.0])
        module[2].weight[:], module[2].bias[:] = torch.ones(1, 2), torch.tensor([-1.0])
    net = Network(module, space=InputSpace((1,), -50.0, 50.0))
    start = torch.tensor([-1.5, -1.2, -0.9, 0.9, 1.2, 1.5])[:, None]
    found = NewtonInverter(net).reconstruct(torch.full((6, 1), 0.5), start=start, seed=0)
    assert bool(found.converged.all())
    torch.testing.assert_close(found.x[:, 0], 2 * start.sign(), rtol=0, atol=1e-3)


def test_a_start_that_meets_the_target_stays() -> None:
    net = network()
    start = torch.rand(7, 20)
    found = NewtonInverter(net).reconstruct(net.evaluate(start), start=start, seed=0)
    assert torch.equal(found.x[:, 0], start)
    assert float(found.stats["steps"].max()) == 0


def test_the_metric_of_the_data_moves_what_varies() -> None:
    net = network(boxed=False)
    inputs = torch.randn(200, 20) * torch.tensor([2.0] * 5 + [0.1] * 15)
    target = net.evaluate(inputs[:20])
    moved = []
    for metric in ("identity", "variance"):
        inverter = NewtonInverter(net, metric=metric).fit(inputs)
        found = inverter.reconstruct(target, start=torch.zeros(20, 20), seed=0)
        assert bool(found.converged.all())
        moved.append(float(found.x[..., 5:].norm() / found.x.norm()))
    assert moved[1] < 0.5 * moved[0]


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(ArgumentError, match="did you mean 'variance'"):
        NewtonInverter(network(), metric="varience")


# Known values


def test_known_values_stay_and_the_others_meet_the_target() -> None:
    net = network()
    made = torch.rand(30, 20)
    known = torch.where(torch.rand(30, 20) < 0.5, made, math.nan)
    found = NewtonInverter(net).reconstruct(net.evaluate(made), known=known, samples=2, seed=0)
    kept = known[:, None].expand_as(found.x)
    assert torch.equal(torch.where(kept.isnan(), math.nan, found.x).nan_to_num(-1.0), kept.nan_to_num(-1.0))
    assert float(found.converged.double().mean()) >= 0.95
    shortest = NewtonInverter(net).reconstruct(net.evaluate(made), known=known, start=torch.rand(30, 20), seed=0)
    assert torch.equal(torch.where(known.isnan(), 0.0, shortest.x[:, 0]), known.nan_to_num(0.0))


def test_everything_known_is_measured() -> None:
    net = network()
    known = torch.rand(2, 20)
    found = NewtonInverter(net).reconstruct(torch.cat([net.evaluate(known[:1]), torch.full((1, 3), 9.0)]), known=known)
    assert found.outcome.tolist() == [[Outcome.CONVERGED], [Outcome.UNREACHABLE]]
    assert torch.equal(found.x[:, 0], known)


# Networks of every kind


class Custom(nn.Module):
    """A convolution, a skip connection, a function in forward, a ReLU that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.again, self.head = (
            nn.Conv2d(1, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.Linear(256, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.conv(x))
        return torch.sigmoid(self.head((hidden + F.relu(self.again(hidden))).flatten(1)))


@pytest.mark.parametrize("outputs", [None, "sigmoid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_with_a_forward_of_its_own_is_inverted(dtype: torch.dtype, outputs: str | None) -> None:
    net = Network(Custom().to(dtype), space=InputSpace((1, 8, 8), 0.0, 1.0), outputs=outputs)
    found = NewtonInverter(net).reconstruct(net.evaluate(torch.rand(20, 1, 8, 8)), seed=0)
    assert found.x.shape == (20, 1, 1, 8, 8)
    assert found.x.dtype == dtype
    assert bool(found.converged.all())


def test_hidden_codes_are_inverted_with_no_line_of_their_own() -> None:
    net = Network(Custom().double(), space=InputSpace((1, 8, 8), 0.0, 1.0)).until("conv")
    found = NewtonInverter(net).reconstruct(net.evaluate(torch.rand(1, 1, 8, 8)), seed=0)
    assert found.y.shape == (1, 1, 4, 8, 8)
    assert bool(found.converged.all())


def test_recurrent_and_normalised_networks_are_inverted() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.norm, self.head = nn.GRU(2, 6, batch_first=True), nn.LayerNorm(6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.gru(x)[0][:, -1]))

    net = Network(Recurrent().double(), space=InputSpace((5, 2)))
    assert bool(NewtonInverter(net).reconstruct(net.evaluate(torch.randn(10, 5, 2)), seed=0).converged.all())


@pytest.mark.parametrize("shape", [(1,), (1, 1, 1)])
def test_one_pixel_and_one_output_are_enough(shape: tuple[int, ...]) -> None:
    net = Network(
        nn.Sequential(nn.Flatten(), nn.Linear(1, 1), nn.Sigmoid()).double(), space=InputSpace(shape, 0.0, 1.0)
    )
    target = net.evaluate(torch.full((1, *shape), 0.4))
    for ask in (target, float(target), [float(target)]):
        assert bool(NewtonInverter(net).reconstruct(ask, seed=0).converged)


def test_ten_thousand_tiny_targets_are_what_they_are_one_by_one() -> None:
    net = Network(nn.Sequential(nn.Linear(2, 2), nn.Tanh()).double(), space=InputSpace((2,), -1.0, 1.0))
    target = net.evaluate(2 * torch.rand(10_000, 2) - 1)
    inverter = NewtonInverter(net)
    found = inverter.reconstruct(target, seed=0)
    assert float(found.converged.double().mean()) == 1.0
    for row in (0, 5_000, 9_999):
        alone = inverter.reconstruct(target[row], seed=0)
        torch.testing.assert_close(alone.x[0], found.x[row], rtol=1e-8, atol=1e-8)


def test_constant_features_do_not_stop_it() -> None:
    net = network(n=6, boxed=False)
    inputs = torch.cat([torch.randn(50, 3), torch.ones(50, 3)], 1)
    for metric in ("identity", "variance"):
        inverter = NewtonInverter(net, metric=metric).fit(inputs)
        found = inverter.reconstruct(net.evaluate(inputs), samples=2, seed=0)
        assert float(found.converged.double().mean()) >= 0.99


@pytest.mark.parametrize("scale", [1e-6, 255.0, 1e6])
def test_the_scale_of_the_inputs_does_not_matter(scale: float) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 2)).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x / scale)

    net = Network(Scaled(), space=InputSpace((6,), 0.0, scale))
    assert bool(NewtonInverter(net).reconstruct(net.evaluate(scale * torch.rand(20, 6)), seed=0).converged.all())


def test_outputs_of_different_units_take_a_tolerance_each() -> None:
    net = network(m=2)
    with torch.no_grad():
        net.module[4].weight[1] *= 1e4
    tolerance = torch.tensor([1e-4, 1.0])
    found = NewtonInverter(net, tolerance=tolerance).reconstruct(net.evaluate(torch.rand(20, 20)), seed=0)
    assert bool(found.converged.all())
    assert bool(((found.y[:, 0] - found.target).abs() <= tolerance).all())


def test_results_are_those_of_any_batch() -> None:
    net = network(hidden="relu", head="softmax")
    target = net.evaluate(torch.rand(30, 20))
    inverter = NewtonInverter(net)
    whole = inverter.reconstruct(target, samples=3, seed=5)
    parts = [inverter.reconstruct(part, samples=3, seed=5).x for part in target.split(7)]
    torch.testing.assert_close(torch.cat(parts), whole.x, rtol=1e-6, atol=1e-6)


def test_it_works_in_inference_mode_and_without_gradients() -> None:
    net = network()
    target = net.evaluate(torch.rand(3, 20))
    expected = NewtonInverter(net).reconstruct(target, seed=0).x
    with torch.inference_mode():
        inside = NewtonInverter(net).reconstruct(target.clone(), start=None, known=None, seed=0).x
    with torch.no_grad():
        without = NewtonInverter(net).reconstruct(target, seed=0).x
    np.testing.assert_allclose(inside.numpy(), expected.numpy())
    torch.testing.assert_close(without, expected)


def test_from_a_start_that_stalls_it_begins_again_around_it() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3))
    network = Network(module, space=InputSpace((6,), -1.0, 1.0))
    target, start = network.evaluate(2 * torch.rand(200, 6) - 1), 2 * torch.rand(200, 6) - 1
    never, often = (
        NewtonInverter(network, restarts=count).reconstruct(target, start=start, seed=0) for count in (0, 4)
    )
    assert int(often.converged.sum()) > int(never.converged.sum())
    torch.testing.assert_close(often.x[never.converged], never.x[never.converged], rtol=0, atol=1e-6)


# Without a Jacobian


def both(net: Network, target: Tensor, **asked: Any) -> tuple[Tensor, Tensor]:
    """What newton finds with Jacobians and without, after a fit."""
    settings = {name: asked.pop(name) for name in ("metric", "restarts") if name in asked}
    draws = torch.rand(200, *net.space.shape) ** 2
    dense, free = (
        NewtonInverter(net, tolerance=1e-6, jacobian=kind, **settings).fit(draws).reconstruct(target, seed=0, **asked)
        for kind in ("dense", "free")
    )
    assert torch.equal(dense.outcome, free.outcome)
    return dense.x, free.x


@pytest.mark.parametrize("metric", ["identity", "variance", "covariance"])
@pytest.mark.parametrize("boxed", [True, False])
@pytest.mark.parametrize("head", sorted(HEADS))
def test_without_a_jacobian_the_answers_are_the_same(head: str, boxed: bool, metric: str) -> None:
    net = network(hidden="sigmoid" if boxed else "tanh", head=head, boxed=boxed)
    dense, free = both(net, net.evaluate(torch.rand(9, 20)), metric=metric)
    torch.testing.assert_close(free, dense, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("metric", ["identity", "covariance"])
@pytest.mark.parametrize("head", ["values", "softmax"])
def test_without_a_jacobian_known_values_and_free_outputs_are_too(head: str, metric: str) -> None:
    net = network(m=4, head=head)
    like = torch.rand(9, 20)
    target = net.evaluate(like)
    target[:, 1] = math.nan
    known = torch.where(torch.rand(9, 20) < 0.3, like, math.nan)
    dense, free = both(net, target, known=known, metric=metric)
    torch.testing.assert_close(free, dense, rtol=1e-6, atol=1e-6)
    assert torch.equal(free[:, 0][~known.isnan()], like[~known.isnan()])


@pytest.mark.parametrize(("rank", "outputs"), [(2, 6), (3, 30)])
def test_without_a_jacobian_rank_deficient_layers_are_too(rank: int, outputs: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(20, rank), nn.Tanh(), nn.Linear(rank, outputs)).double()
    net = Network(module, space=InputSpace((20,), 0.0, 1.0))
    dense, free = both(net, net.evaluate(torch.rand(9, 20)))
    torch.testing.assert_close(net.evaluate(free[:, 0]), net.evaluate(dense[:, 0]), rtol=1e-6, atol=2e-6)
    torch.testing.assert_close(free, dense, rtol=1e-6, atol=1e-6)


def test_without_a_jacobian_many_outputs_are_met() -> None:
    net = network(n=300, m=200)
    target = net.evaluate(torch.rand(5, 300))
    inverter = NewtonInverter(net, jacobian="free")
    found = inverter.reconstruct(target, seed=0)
    assert bool(found.converged.all())
    for row in range(5):
        alone = inverter.reconstruct(target[row], seed=0).x
        torch.testing.assert_close(alone, found.x[row : row + 1], rtol=0, atol=1e-6)


def test_a_jacobian_that_takes_much_room_is_not_formed_and_one_that_takes_little_is() -> None:
    assert not NewtonInverter(network())._matrix_free
    wide = nn.Sequential(nn.Linear(4200, 2), nn.Tanh(), nn.Linear(2, 4200))
    assert NewtonInverter(Network(wide, space=InputSpace((4200,))))._matrix_free


def test_an_unknown_jacobian_names_the_nearest() -> None:
    with pytest.raises(ArgumentError, match="did you mean 'free'"):
        NewtonInverter(network(), jacobian="fre")


# The data's covariance


def test_the_shortest_way_in_the_covariance_is_the_conditional_mean() -> None:
    torch.manual_seed(0)
    mixing = torch.randn(6, 6)
    data = torch.randn(400, 6) @ mixing
    module = nn.Linear(6, 2).double()
    net = Network(module, space=InputSpace((6,)))
    inverter = NewtonInverter(net, metric="covariance", tolerance=1e-9).fit(data)
    found = inverter.reconstruct(target := torch.randn(5, 2), seed=0)
    weights, covariance, mean = module.weight.detach(), torch.cov(data.T), data.mean(0)
    gain = covariance @ weights.T @ torch.linalg.inv(weights @ covariance @ weights.T)
    expected = mean + (target - module(mean).detach()) @ gain.T
    torch.testing.assert_close(found.x[:, 0], expected, rtol=1e-2, atol=1e-2)


def test_in_the_covariance_what_varies_together_moves_together() -> None:
    shared = torch.rand(500, 1)
    data = torch.cat([shared, shared, torch.rand(500, 1)], 1)
    net = Network(nn.Linear(3, 1, bias=False).double(), space=InputSpace((3,), 0.0, 1.0))
    with torch.no_grad():
        net.module.weight.copy_(torch.tensor([[1.0, 0.0, 0.0]]))
    found = NewtonInverter(net, metric="covariance").fit(data).reconstruct([[0.9], [0.2]], seed=0)
    assert bool(found.converged.all())
    torch.testing.assert_close(found.x[:, 0, 1], found.x[:, 0, 0], rtol=0, atol=1e-2)


@pytest.mark.parametrize("shape", [(1,), (3, 5)])
def test_the_covariance_of_few_inputs_and_constant_values_does_not_stop_it(shape: tuple[int, ...]) -> None:
    net = Network(nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 1)).double(), space=InputSpace(shape, 0, 1))
    data = torch.stack([torch.zeros(shape), torch.full(shape, 0.5)])
    if math.prod(shape) > 1:
        data[:, 0] = 0.25
    target = net.evaluate(torch.full((3, *shape), 0.4))
    assert bool(NewtonInverter(net, metric="covariance").fit(data).reconstruct(target, seed=0).converged.all())


def test_what_is_met_is_searched_once_though_it_can_not_be_had_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two outputs that add up to 1 are asked for a sum that is a twentieth of the tolerance beside it."""
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight[1], layer.bias[1] = -layer.weight[0], 1 - layer.bias[0]
    newton = NewtonInverter(Network(layer, space=InputSpace((3,))))
    searches: list[int] = []
    search = newton._solve
    monkeypatch.setattr(newton, "_solve", lambda *args, **keywords: searches.append(1) or search(*args, **keywords))
    for start in (None, torch.zeros(3)):
        searches.clear()
        found = newton.reconstruct([0.4, 0.6 + 1e-4], start=start, seed=0)
        assert found.converged.all()
        assert float(found.residual) == pytest.approx(5e-5, rel=0.01)
        assert len(searches) == 1
