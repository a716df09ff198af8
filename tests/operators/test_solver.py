"""The way a system is solved: chosen by what its matrix is, and each way beside dense algebra."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matrices import KINDS, sparse
from torch import Tensor

import genrev.operators.solver as solver
from genrev.errors import ArgumentError
from genrev.operators import BlockDiagonal, Dense, LowRankPlusDiagonal, Operator, Repeated, prepare


def near_identity(m: int, n: int) -> Tensor:
    """A well-conditioned matrix of few values a row."""
    return 1.5 * torch.eye(m, n) + torch.randn(m, n) / 4 * (torch.rand(m, n) < 4 / n)


def shortest(operator: Operator, b: Tensor) -> Tensor:
    return torch.as_tensor(b.numpy() @ np.linalg.pinv(operator.dense().numpy(), rcond=1e-12).T)


@pytest.mark.parametrize("formed", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_every_operator_is_solved_for_the_shortest_of_the_nearest(
    kind: str, formed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not formed:
        monkeypatch.setattr(solver, "_FORMED", 0)
    operator = KINDS[kind]()
    if 0 in operator.shape:
        with pytest.raises(ArgumentError, match="expected a matrix of at least one value"):
            prepare(operator)
        return
    b = operator(torch.randn(3, operator.shape[1]))
    ready = prepare(operator)
    found = ready.solve(b)
    if formed or kind != "low-rank-alone":
        torch.testing.assert_close(found.x, shortest(operator, b), rtol=1e-6, atol=1e-8)
    assert float(ready.residual(found.x, b).norm()) < 1e-9 * (1 + float(b.norm()))
    assert found.iterations.shape == found.ran_out.shape == (3,)


WAYS = {
    "lu": lambda: Dense(torch.randn(5, 5)),
    "qr": lambda: Dense(torch.randn(5, 7)),
    "svd": lambda: Dense(torch.ones(5, 5)),
    "structure": lambda: BlockDiagonal(torch.randn(3, 2, 2)),
    "lsmr": lambda: sparse(near_identity(40, 40)),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_way_is_chosen_by_what_the_matrix_is(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "_FORMED", 39)
    ready, b = prepare(WAYS[way]()), torch.randn(4, WAYS[way]().shape[0])
    assert ready.kind == way
    assert (ready.rank is None) == (way == "lsmr")
    found = ready.solve(b)
    assert bool((found.iterations > 0).all()) == (way == "lsmr")
    assert not found.ran_out.any()
    if way != "svd":
        torch.testing.assert_close(ready.estimate(b), found.x, rtol=0.05, atol=0.05 * float(found.x.abs().max()))


def test_what_its_structure_can_not_solve_is_formed() -> None:
    operator = LowRankPlusDiagonal(torch.randn(5, 5), torch.randn(5, 5), torch.tensor([0.0, 1, 1, 1, 1]))
    ready, x = prepare(operator), torch.randn(2, 5)
    assert ready.kind == "lu"
    torch.testing.assert_close(ready.solve(operator(x)).x, x)


def test_parts_that_are_alike_share_one_factor() -> None:
    part = Dense(torch.randn(4, 4))
    operator = Repeated(part, 3)
    ready, b = prepare(operator), torch.randn(5, 12)
    assert (ready.kind, ready.rank) == ("lu", 12)
    assert ready.condition == prepare(part).condition
    expected = shortest(operator, b)
    torch.testing.assert_close(ready.solve(b).x, expected)
    torch.testing.assert_close(ready.estimate(b), expected)
    assert float(ready.residual(expected, b).abs().max()) < 1e-10
    assert ready.rounding(b).shape == (5,)


@pytest.mark.parametrize("shape", [(60, 60), (60, 90), (90, 60)])
def test_products_alone_reach_what_factors_do(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "_FORMED", 0)
    operator = sparse(near_identity(*shape))
    ready, b = prepare(operator), operator(torch.randn(4, shape[1]))
    assert math.isnan(ready.condition)
    torch.testing.assert_close(ready.solve(b).x, shortest(operator, b), rtol=1e-9, atol=1e-9)
    assert ready.condition >= 1


def test_iterations_that_run_out_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "_FORMED", 0)
    monkeypatch.setattr(solver, "_LIMIT", 3)
    operator = sparse(near_identity(60, 60))
    assert bool(prepare(operator).solve(torch.randn(4, 60)).ran_out.all())


def test_rounding_is_about_what_single_precision_loses() -> None:
    weight, x = torch.randn(300, 300), torch.randn(50, 300)
    single = weight.float()
    lost = (x.float() @ single.T).double() - x.float().double() @ single.double().T
    expected = float(lost.square().mean().sqrt())
    for operator in (Dense(single), sparse(weight.float())):
        stated = float(prepare(operator).rounding(x).square().mean().sqrt())
        assert expected / 5 < stated < 5 * expected
