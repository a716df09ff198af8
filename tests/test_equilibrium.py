"""Tests of the deep equilibrium: its output is a fixed point, its gradients are those of finite differences."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from sentences import assert_one_sentence
from torch import nn

from genrev import Equilibrium, InputSpace, Network, NewtonInverter, RecurrentInverter
from genrev.errors import ArgumentError, UnknownNameError

KINDS = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}


def layer(activation: str = "tanh", norm: float = 0.9, *, inputs: int = 3, outputs: int = 6) -> Equilibrium:
    torch.manual_seed(1)
    made = Equilibrium(inputs, outputs, activation=activation)
    with torch.no_grad():
        made.weight_hh *= norm / torch.linalg.matrix_norm(made.weight_hh, 2)
    return made


@pytest.mark.parametrize(("activation", "norm"), list(itertools.product(KINDS, [0.0, 0.9, 0.999])))
def test_the_output_is_a_fixed_point(activation: str, norm: float) -> None:
    made, x = layer(activation, norm), torch.randn(20, 3)
    y = made(x)
    torch.testing.assert_close(y, KINDS[activation](x @ made.weight_ih.T + y @ made.weight_hh.T + made.bias))


def test_what_iteration_does_not_settle_newton_s_method_does() -> None:
    made = layer("sigmoid")
    with torch.no_grad():
        # A steep swing back: iteration jumps from side to side for ever.
        made.weight_hh.copy_(-40 * torch.eye(6))
    x = 0.1 * torch.randn(20, 3)
    y = made(x)
    torch.testing.assert_close(y, torch.sigmoid(x @ made.weight_ih.T + y @ made.weight_hh.T + made.bias))


def test_a_row_without_a_fixed_point_is_nan_and_the_others_are_not() -> None:
    made = layer("relu", inputs=1, outputs=1)
    with torch.no_grad():
        made.weight_ih.fill_(1), made.weight_hh.fill_(2), made.bias.fill_(0)
    # y = relu(x + 2 y) has none for x > 0; for x < 0 iteration from 0 stays there.
    y = made(torch.tensor([[1.0], [-1.0], [0.5]]))
    assert y.isnan().flatten().tolist() == [True, False, True]
    assert y[1] == 0


@pytest.mark.parametrize("activation", KINDS)
def test_gradients_are_those_of_finite_differences(activation: str) -> None:
    made = layer(activation)
    x = torch.randn(4, 3, requires_grad=True)
    parameters = [parameter.detach().clone().requires_grad_() for parameter in made.parameters()]

    def run(x: torch.Tensor, *values: torch.Tensor) -> Any:
        names = [name for name, _ in made.named_parameters()]
        return torch.func.functional_call(made, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(lambda x: made(x), (x,))
    assert torch.autograd.gradcheck(run, (x, *parameters))


def test_rows_have_the_same_output_alone_and_in_any_batch() -> None:
    made, x = layer(norm=0.99), torch.randn(9, 3)
    whole = made(x)
    for row in range(9):
        torch.testing.assert_close(made(x[row : row + 1])[0], whole[row], rtol=0, atol=1e-14)


def test_it_can_be_applied_to_sequences() -> None:
    made, x = layer(), torch.randn(2, 5, 3)
    torch.testing.assert_close(made(x)[:, 2], made(x[:, 2]))


def test_it_can_be_trained() -> None:
    made, x = layer(), torch.randn(30, 3)
    optimiser = torch.optim.Adam(made.parameters(), lr=0.02)
    wanted = torch.tanh(x @ torch.randn(3, 6))
    losses = []
    for _ in range(40):
        loss = (made(x) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(("activation", "shape"), list(itertools.product(KINDS, [(3, 6), (5, 5)])))
def test_its_inverse_is_direct_and_exact(activation: str, shape: tuple[int, int]) -> None:
    network = Network(layer(activation, inputs=shape[0], outputs=shape[1]), space=InputSpace(shape[:1]))
    x = torch.randn(10, shape[0])
    found = RecurrentInverter(network).reconstruct(network.evaluate(x))
    assert float(found.residual.max()) < 1e-9
    if activation != "relu":
        torch.testing.assert_close(found.best, x)


def test_a_wide_one_gets_the_shortest_input_with_layers_around_it() -> None:
    made = layer(inputs=7, outputs=4)
    module = nn.Sequential(nn.Linear(9, 7), made, nn.Linear(4, 2), nn.Sigmoid())
    network = Network(module, space=InputSpace((9,)))
    found = RecurrentInverter(network).reconstruct([[0.45, 0.55], [0.5, float("nan")]])
    assert bool(found.converged.all())


def test_a_value_that_is_free_is_filled_with_the_middle_of_its_range() -> None:
    network = Network(layer(inputs=6, outputs=4), space=InputSpace((6,)))
    found = RecurrentInverter(network).reconstruct([[0.5, float("nan"), -0.2, 0.1]])
    torch.testing.assert_close(found.y[0, 0], torch.tensor([0.5, 0.0, -0.2, 0.1]))


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_newton_inverts_it_by_its_implicit_gradients(activation: str) -> None:
    network = Network(layer(activation), space=InputSpace((3,)))
    target = network.evaluate(torch.randn(10, 3))
    assert bool(NewtonInverter(network).reconstruct(target, seed=0).converged.all())


@pytest.mark.parametrize("keywords", [{"inputs": 0}, {"outputs": 1.5}, {"steps": -1}, {"activation": "tan"}])
def test_what_is_no_layer_is_refused_in_a_sentence(keywords: dict[str, Any]) -> None:
    with pytest.raises((ArgumentError, UnknownNameError)) as caught:
        Equilibrium(**({"inputs": 2, "outputs": 2} | keywords))
    assert_one_sentence(str(caught.value))
