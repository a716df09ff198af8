"""Tests of the equation: zero exactly where the target is met, on every kind of output, and never out of scale."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from genrev.equation import Equation, log_odds, moved_inside
from genrev.inverter import Outcome
from genrev.inverters import BestOf
from genrev.inverters.gradient import GradientInverter
from genrev.inverters.newton import NewtonInverter
from genrev.inverters.retrieval import RetrievalInverter
from genrev.network import Network
from genrev.solvers import jacobian
from genrev.space import InputSpace

HEADS: dict[str, nn.Module] = {
    "values": nn.Identity(),
    "softmax": nn.Softmax(-1),
    "log_softmax": nn.LogSoftmax(-1),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(),
    "elu": nn.ELU(),
    "softplus": nn.Softplus(),
    # No inverse is known of these: the equation is one of the outputs themselves.
    "flat leaky_relu": nn.LeakyReLU(0.0),
    "softmax over rows": nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Softmax(1)),
}


def network(head: str, gain: float = 1.0) -> Network:
    """Four inputs, four outputs, and one x for each y."""
    linear = nn.Linear(4, 4)
    with torch.no_grad():
        linear.weight.copy_(gain * (torch.eye(4) + 0.3 * torch.randn(4, 4)))
    return Network(nn.Sequential(linear, HEADS[head]).double(), space=InputSpace((4,)))


def equation(net: Network, target: Tensor, tolerance: float | Tensor = 1e-3, **keywords: bool) -> Equation:
    return Equation(net, target, torch.as_tensor(tolerance).expand(net.output_shape), **keywords)


def slopes_of(ask: Equation, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the residuals, the shares of the tolerance left, and the slopes."""
    return jacobian(ask.__getitem__, torch.arange(len(x)), x)


def some_free(target: Tensor, free: list[int]) -> Tensor:
    target = target.clone()
    target.flatten(1)[:, free] = math.nan
    return target


FREE = {"all asked": [], "one free": [1], "one asked": [0, 1, 3]}


@pytest.mark.parametrize("behind", [True, False])
@pytest.mark.parametrize("free", sorted(FREE))
@pytest.mark.parametrize("head", sorted(HEADS))
def test_the_residual_is_zero_where_the_outputs_are_the_target(head: str, free: str, behind: bool) -> None:
    net = network(head)
    x = torch.randn(20, 4)
    target = some_free(net.evaluate(x), FREE[free])
    residual, share = equation(net, target, behind=behind)(x)
    torch.testing.assert_close(residual, torch.zeros_like(residual), atol=1e-9, rtol=0)
    assert bool((share <= 1e-9).all())


@pytest.mark.parametrize("free", sorted(FREE))
@pytest.mark.parametrize("head", sorted(HEADS))
def test_the_residual_is_not_zero_where_an_asked_output_differs(head: str, free: str) -> None:
    net = network(head)
    x, other = torch.randn(20, 4), torch.randn(20, 4)
    target = some_free(net.evaluate(x), FREE[free])
    residual, share = equation(net, target)(other)
    differs = (net.evaluate(other) - target).abs().nan_to_num(0.0).flatten(1).amax(1) > 1e-3
    assert int(differs.sum()) >= 4
    assert torch.equal(residual.abs().amax(1) > 1e-4, residual.abs().amax(1) > 0)
    assert bool((residual.abs().amax(1) > 1e-4)[differs].all())
    assert bool((share > 0.9)[differs].all())


@pytest.mark.parametrize("free", sorted(FREE))
@pytest.mark.parametrize("head", sorted(HEADS))
def test_what_is_not_asked_has_no_residual_and_no_slope(head: str, free: str) -> None:
    net = network(head)
    target = some_free(net.evaluate(torch.randn(5, 4)), FREE[free])
    residual, _, slopes = slopes_of(equation(net, target), torch.randn(5, 4))
    assert bool((residual[:, FREE[free]] == 0).all())
    assert bool((slopes[:, FREE[free]] == 0).all())


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("free", sorted(FREE))
@pytest.mark.parametrize("head", sorted(HEADS))
def test_residuals_and_slopes_are_finite_however_saturated(head: str, free: str, scale: float) -> None:
    net = network(head)
    target = some_free(net.evaluate(torch.randn(9, 4)), FREE[free])
    residual, share, slopes = slopes_of(equation(net, target), scale * torch.randn(9, 4))
    assert bool(residual.isfinite().all())
    assert bool(share.isfinite().all())
    assert bool(slopes.isfinite().all())


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "log_softmax", "values"])
def test_behind_the_activation_the_slope_does_not_vanish(head: str) -> None:
    net = network(head)
    target = net.evaluate(torch.zeros(1, 4))
    x = torch.tensor([[60.0, -60.0, 60.0, -60.0]])
    behind, ahead = (slopes_of(equation(net, target, behind=behind), x)[2].abs().amax() for behind in (True, False))
    assert float(behind) > 0.1
    assert head in ("values", "log_softmax") or float(ahead) < 1e-6


@pytest.mark.parametrize("head", ["softmax", "log_softmax"])
def test_the_constant_of_the_logits_is_free(head: str) -> None:
    net = Network(nn.Sequential(nn.Linear(4, 4).double(), HEADS[head]), space=InputSpace((4,)))
    with torch.no_grad():
        net.module[0].weight.copy_(torch.eye(4))
        net.module[0].bias.zero_()
    x = torch.randn(6, 4)
    for free in FREE.values():
        ask = equation(net, some_free(net.evaluate(x), free))
        residual, _ = ask(x + 17.0)
        torch.testing.assert_close(residual, torch.zeros_like(residual), atol=1e-9, rtol=0)


def test_of_a_softmax_with_all_asked_the_residual_is_linear_in_the_logits() -> None:
    net = network("softmax")
    ask = equation(net, net.evaluate(torch.randn(1, 4)))
    points = [torch.randn(1, 4) for _ in range(2)]
    middle = ask((points[0] + points[1]) / 2)[0]
    torch.testing.assert_close(middle, (ask(points[0])[0] + ask(points[1])[0]) / 2)


def test_log_odds_are_those_of_the_probabilities() -> None:
    logits = 4 * torch.randn(50, 5)
    torch.testing.assert_close(log_odds(logits), torch.logit(logits.softmax(-1)), rtol=1e-6, atol=1e-6)


def test_log_odds_keep_their_digits_where_probabilities_have_none() -> None:
    logits = torch.tensor([[800.0, 0.0, 0.0], [0.0, 0.0, -800.0], [1e4, 1e4, -1e4]])
    expected = torch.tensor(
        [[800 - math.log(2), -800.0, -800.0], [0.0, 0.0, -800 - math.log(2)], [0, 0, -2e4 - math.log(2)]]
    )
    torch.testing.assert_close(log_odds(logits), expected)


# Exactly 0 and 1


@pytest.mark.parametrize("tolerance", [1e-6, 1e-3, 0.1, 0.6])
def test_probabilities_of_0_and_1_move_inside_by_at_most_half_the_tolerance(tolerance: float) -> None:
    cases = {
        "sigmoid": torch.tensor([[0.0, 1.0, 0.5, 0.3], [1.0, 1.0, 1.0, 1.0]]),
        "softmax": torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, math.nan, math.nan]]),
    }
    for head, target in cases.items():
        net = network(head)
        moved = moved_inside(target, torch.full((4,), tolerance), net)
        asked = ~target.isnan()
        assert torch.equal(moved.isnan(), target.isnan())
        assert bool((((moved > 0) & (moved < 1)) | ~asked).all())
        assert bool(((moved - target).abs()[asked] <= tolerance / 2 * (1 + 1e-9)).all())


def test_probabilities_inside_stay() -> None:
    target = torch.tensor([[0.1, 0.2, 0.3, 0.4], [1e-9, 1e-6, 0.5, 0.5 - 1e-6 - 1e-9]])
    for head in ("softmax", "sigmoid", "values"):
        torch.testing.assert_close(moved_inside(target, torch.full((4,), 1e-3), network(head)), target)


def test_values_of_0_and_1_stay() -> None:
    target = torch.tensor([[0.0, 1.0, -5.0, math.nan]])
    moved = moved_inside(target, torch.full((4,), 1e-3), network("values"))
    torch.testing.assert_close(moved, target, equal_nan=True)


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "tanh", "relu", "elu", "softplus"])
@pytest.mark.parametrize(
    "edge", [[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, math.nan, math.nan], [0.0, math.nan, math.nan, math.nan]]
)
def test_targets_on_the_edge_are_finite_and_any_output_as_near_will_do(head: str, edge: list[float]) -> None:
    net = network(head)
    ask = equation(net, torch.tensor([edge]))
    x = torch.randn(1, 4)
    residual, share, slopes = slopes_of(ask, x)
    assert bool(residual.isfinite().all())
    assert bool(share.isfinite().all())
    assert bool(slopes.isfinite().all())
    if head in ("softmax", "sigmoid"):
        # Further out than asked: logits of 40 where the target is 1.
        weight, bias = net.module[0].weight.detach(), net.module[0].bias.detach()
        logits = (80 * torch.tensor([edge]) - 40).nan_to_num(0.0)
        beyond = (logits - bias) @ torch.linalg.inv(weight).T
        residual, share = ask(beyond)
        assert float(share) <= 0.01
        torch.testing.assert_close(residual, torch.zeros_like(residual))


def test_a_share_of_one_is_never_further_than_the_tolerance() -> None:
    for head in ("softmax", "sigmoid", "values", "tanh"):
        net = network(head)
        rows = torch.cat([net.evaluate(3 * torch.randn(200, 4)), torch.eye(4)])
        ask = equation(net, rows, 0.01)
        y = (rows + 0.02 * torch.randn_like(rows)).clamp(0, 1) if net.outputs != "values" else rows
        y = y / y.sum(-1, keepdim=True) if head == "softmax" else y
        near = ask.share(y) <= 0.5
        assert bool(((y - rows).abs().amax(1) <= 0.0101)[near].all())


# Tolerance


def test_the_share_is_the_distance_in_units_of_each_output_s_tolerance() -> None:
    net = network("values")
    tolerance = torch.tensor([1e-3, 1e-1, 1.0, 10.0])
    x, target = torch.randn(8, 4), torch.randn(8, 4)
    target[:, 2] = math.nan
    _, share = equation(net, target, tolerance)(x)
    expected = ((net.evaluate(x) - target).abs() / tolerance).nan_to_num(0.0).amax(1)
    torch.testing.assert_close(share, expected)


def test_residuals_of_different_tolerance_are_measured_each_in_its_own() -> None:
    net = network("values")
    x, target = torch.randn(8, 4), torch.randn(8, 4)
    tolerance = torch.tensor([1e-3, 1e-1, 1.0, 10.0])
    residual, share = equation(net, target, tolerance)(x)
    torch.testing.assert_close(residual.abs().amax(1) / tolerance.mean(), share)
    assert torch.equal(residual.abs().argmax(1), ((net.evaluate(x) - target).abs() / tolerance).argmax(1))


def test_outputs_that_are_not_finite_are_infinitely_far() -> None:
    net = network("values")
    ask = equation(net, torch.zeros(2, 4))
    assert ask.share(torch.tensor([[0.0, math.nan, 0.0, 0.0], [0.0, 0.0, math.inf, 0.0]])).tolist() == [math.inf] * 2


def test_an_output_that_is_not_finite_is_infinitely_far_even_where_it_is_not_asked() -> None:
    ask = equation(network("values"), torch.tensor([[0.0, math.nan, math.nan, 0.0]] * 3))
    y = torch.tensor([[0.0, math.nan, 0.0, 0.0], [0.0, 0.0, -math.inf, 0.0], [0.0, 9.0, -9.0, 0.0]])
    assert ask.share(y).tolist() == [math.inf, math.inf, 0.0]


def logarithm() -> Network:
    """The second output is no number in half of the space."""

    class Log(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([2 * x[:, 0], x[:, 1].log()], 1)

    return Network(Log(), space=InputSpace((2,), -1.0, 1.0))


def test_an_output_that_is_no_number_leaves_no_row_done_although_it_is_not_asked() -> None:
    net = logarithm()
    ask = equation(net, torch.tensor([[0.5, math.nan]] * 3))
    residual, share, slopes = slopes_of(ask, torch.tensor([[0.25, 0.5], [0.25, -0.5], [0.75, -0.5]]))
    assert share.tolist() == [0.0, math.inf, math.inf]
    assert residual[0].tolist() == [0.0, 0.0]
    assert bool(residual[1].isnan().all())
    # What is not met yet still says where to go.
    assert residual[2].tolist() == [1.0, 0.0]
    assert slopes[2].tolist() == [[2.0, 0.0], [0.0, 0.0]]


def test_solvers_and_choosers_leave_inputs_whose_unasked_outputs_are_no_numbers() -> None:
    net, target = logarithm(), [[0.5, math.nan]]
    data = 2 * torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) - 1
    for inverter in (NewtonInverter(net), BestOf(GradientInverter(net, steps=200), 8), RetrievalInverter(net)):
        found = inverter.fit(data).reconstruct(target, samples=6, seed=0)
        assert bool(found.y.isfinite().all()), inverter
    assert bool(NewtonInverter(net).fit(data).reconstruct(target, samples=6, seed=0).converged.all())


def test_what_is_no_number_in_an_unasked_output_has_diverged() -> None:
    found = NewtonInverter(logarithm(), restarts=0).reconstruct([[0.5, math.nan]], start=[0.0, -0.5], seed=0)
    assert found.outcome.item() == Outcome.DIVERGED
    assert found.residual.item() == math.inf


# Batches


@pytest.mark.parametrize("behind", [True, False])
@pytest.mark.parametrize("free", sorted(FREE))
@pytest.mark.parametrize("head", sorted(HEADS))
def test_where_it_says_so_all_rows_have_the_same_slopes_at_one_input(head: str, free: str, behind: bool) -> None:
    net = network(head)
    target = some_free(net.evaluate(torch.randn(50, 4)), FREE[free])
    for rows in (torch.arange(50), torch.tensor([3, 3, 3])):
        some = equation(net, target[rows], tolerance=0.2, behind=behind)
        _, _, slopes = slopes_of(some, torch.full((len(rows), 4), 0.3))
        if some.alike:
            torch.testing.assert_close(slopes, slopes[:1].expand_as(slopes), rtol=1e-12, atol=1e-12)


def test_logits_are_alike_and_what_is_asked_of_some_rows_only_is_not() -> None:
    net, target = network("values"), torch.randn(5, 4)
    assert equation(net, target).alike
    target[0, 1] = math.nan
    assert not equation(net, target).alike


@pytest.mark.parametrize("head", sorted(HEADS))
def test_rows_are_independent_of_the_rest_of_the_batch(head: str) -> None:
    net = network(head)
    target = net.evaluate(torch.randn(6, 4))
    target[::2] = some_free(target[::2], [1, 2])
    x = torch.randn(6, 4)
    ask = equation(net, target)
    whole, shares = ask(x)
    rows = torch.tensor([4, 1])
    part, part_shares = ask[rows](x[rows])
    torch.testing.assert_close(part, whole[rows])
    torch.testing.assert_close(part_shares, shares[rows])
    for row in range(6):
        alone, share = equation(net, target[row : row + 1])(x[row : row + 1])
        torch.testing.assert_close(alone[0], whole[row])
        torch.testing.assert_close(share[0], shares[row])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("head", ["softmax", "sigmoid", "values", "log_softmax"])
def test_it_keeps_the_precision(head: str, dtype: torch.dtype) -> None:
    net = Network(nn.Sequential(nn.Linear(4, 4), HEADS[head]).to(dtype), space=InputSpace((4,)))
    target = net.evaluate(torch.randn(3, 4))
    ask = Equation(net, target, torch.full((4,), 1e-3, dtype=dtype))
    residual, share = ask(torch.randn(3, 4, dtype=dtype))
    assert residual.dtype == share.dtype == dtype
    assert residual.shape == (3, 4)


def test_a_negative_target_of_a_relu_is_nearest_at_zero() -> None:
    net = network("relu")
    residual, share = equation(net, torch.full((5, 4), -1.0))(torch.full((5, 4), -30.0))
    outputs = net.evaluate(torch.full((5, 4), -30.0))
    torch.testing.assert_close(share, (outputs + 1).amax(1) / 1e-3)
    assert torch.equal(residual == 0, outputs == 0)


def test_one_class_is_always_sure() -> None:
    net = Network(nn.Sequential(nn.Linear(3, 1), nn.Softmax(-1)).double(), space=InputSpace((3,)))
    residual, share, slopes = slopes_of(equation(net, torch.ones(2, 1)), torch.randn(2, 3))
    assert bool(residual.isfinite().all() and slopes.isfinite().all())
    assert bool((share <= 1).all())


def test_many_classes_take_no_square_of_their_number() -> None:
    net = Network(nn.Sequential(nn.Linear(2, 20_000), nn.Softmax(-1)).double(), space=InputSpace((2,)))
    target = torch.full((3, 20_000), math.nan)
    target[:, 7] = 0.9
    # A square would take ten gigabytes.
    residual, _ = equation(net, target)(torch.randn(3, 2))
    assert residual.shape == (3, 20_000)
