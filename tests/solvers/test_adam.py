"""Tests of Adam: against torch's own, against closed forms, and rows that stop by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from equations import equations, for_each_value
from torch import Tensor

from genrev.solvers import Search, Status, adam

TOLERANCE = 1e-3


def solve(
    f: Callable[[Tensor], Tensor],
    target: Tensor,
    x: Tensor,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    scale: float | Tensor = 1.0,
    **keywords: Any,
) -> Search:
    with torch.no_grad():
        return adam(
            equations(f, target, TOLERANCE), x, **for_each_value(x, low=low, high=high, scale=scale), **keywords
        )


@pytest.mark.parametrize("steps", [3, 40])
def test_it_takes_the_steps_of_torch_s_adam(steps: int) -> None:
    matrix, target, start = torch.randn(3, 5), 10 * torch.randn(1, 3), torch.randn(1, 5)
    visited: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        visited.append(x.detach().clone())
        return (x @ matrix.T).tanh()

    solve(watched, target, start, steps=steps, rate=0.1)
    x = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.1, eps=1e-12)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)
    for expected in visited:
        torch.testing.assert_close(expected, x.detach())
        optimizer.zero_grad()
        (((x @ matrix.T).tanh() - target).square().sum() / 2).backward()
        optimizer.step()
        schedule.step()
    assert len(visited) == steps + 1


def test_a_reachable_target_is_reached() -> None:
    matrix = torch.randn(3, 8)
    target = 0.5 * torch.randn(30, 3)
    found = solve(lambda x: x @ matrix.T, target, torch.zeros(30, 8))
    assert bool((found.status == Status.SOLVED).all())
    assert bool(((found.x @ matrix.T - target).abs() <= 0.0101 * TOLERANCE).all())


def test_it_stays_in_the_box_and_moves_only_what_is_free() -> None:
    free = torch.tensor([[True, False, True]]).expand(4, 3)
    start = torch.rand(4, 3)
    found = solve(lambda x: x.sum(1, keepdim=True), torch.full((4, 1), 50.0), start, low=0.0, high=1.0, free=free)
    torch.testing.assert_close(found.x[:, [0, 2]], torch.ones(4, 2))
    assert torch.equal(found.x[:, 1], start[:, 1])
    # Every value that may move is drawn out of the box: more steps would change nothing.
    assert bool((found.status == Status.STALLED).all())
    assert int(found.steps.max()) < 50


def test_each_row_stops_by_itself_and_as_it_would_alone() -> None:
    target, start = torch.tensor([[0.0], [0.5], [3.0]]), torch.zeros(3, 1)
    whole = solve(lambda x: x, target, start)
    assert whole.steps[0] == 0
    assert bool((whole.steps[1:] > 0).all())
    for row in range(3):
        alone = solve(lambda x: x, target[row : row + 1], start[row : row + 1])
        torch.testing.assert_close(alone.x[0], whole.x[row])
        assert int(alone.steps) == int(whole.steps[row])


def test_a_slope_of_zero_stalls_at_once() -> None:
    found = solve(lambda x: x.relu(), torch.ones(2, 3), torch.full((2, 3), -1.0))
    assert found.status.tolist() == [Status.STALLED] * 2
    assert found.steps.tolist() == [0, 0]


def test_steps_that_run_out_say_so() -> None:
    found = solve(lambda x: x, torch.full((2, 1), 1e3), torch.zeros(2, 1), steps=5)
    assert found.status.tolist() == [Status.LIMIT] * 2
    assert found.steps.tolist() == [5, 5]


def test_what_is_not_finite_keeps_the_best_point_before() -> None:
    found = solve(lambda x: torch.where(x < 0.5, x, math.nan), torch.ones(1, 1), torch.zeros(1, 1), steps=50)
    assert 0 < float(found.x) < 0.5
    assert bool(found.share.isfinite())
    nowhere = solve(lambda x: x * math.nan, torch.ones(1, 1), torch.zeros(1, 1), steps=5)
    assert nowhere.x.tolist() == [[0.0]]
    assert nowhere.share.tolist() == [math.inf]
    assert nowhere.status.tolist() != [Status.SOLVED]


def test_one_row_that_is_not_finite_leaves_the_others_alone() -> None:
    start = torch.tensor([[0.0], [math.nan], [0.5]])
    found = solve(lambda x: x, torch.ones(3, 1), start)
    assert found.status[[0, 2]].tolist() == [Status.SOLVED] * 2
    assert found.status[1] != Status.SOLVED


def test_the_scale_is_the_size_of_the_first_step() -> None:
    visited: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        visited.append(x.detach().clone())
        return x

    solve(watched, torch.full((1, 2), 1e3), torch.zeros(1, 2), scale=torch.tensor([1.0, 100.0]), rate=0.1, steps=3)
    torch.testing.assert_close(visited[1], torch.tensor([[0.1, 10.0]]))


def test_the_start_is_left_alone() -> None:
    start = torch.zeros(3, 2)
    solve(lambda x: x.sin(), torch.full((3, 2), 0.5), start)
    assert torch.equal(start, torch.zeros(3, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_keeps_the_precision(dtype: torch.dtype) -> None:
    found = solve(lambda x: x, torch.ones(2, 1, dtype=dtype), torch.zeros(2, 1, dtype=dtype), aim=0.1)
    assert found.x.dtype == found.share.dtype == dtype
    assert bool((found.status == Status.SOLVED).all())


def test_a_preference_chooses_among_the_solutions() -> None:
    target = torch.tensor([[1.0], [-2.0]])
    start = torch.tensor([[3.0, 0.0], [0.0, 1.0]])

    def total(x: Tensor) -> Tensor:
        return x.sum(1, keepdim=True)

    # Of all x with a given sum the shortest has two equal halves.
    found = solve(total, target, start, preference=lambda rows, x: x.square().sum(1), scale=1.0)
    assert bool((found.status == Status.SOLVED).all())
    torch.testing.assert_close(found.x, target.expand(2, 2) / 2, atol=0.02, rtol=0)


def test_a_preference_of_rows_that_are_solved_already_still_counts() -> None:
    start = torch.tensor([[4.0, -3.0]])
    found = solve(
        lambda x: x.sum(1, keepdim=True), torch.ones(1, 1), start, preference=lambda rows, x: x.square().sum(1)
    )
    assert found.status.tolist() == [Status.SOLVED]
    assert float(found.x.norm()) < 1.0


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_few_steps_leave_no_room_for_a_preference_and_do_no_harm(steps: int) -> None:
    found = solve(lambda x: x, torch.ones(1, 1), torch.zeros(1, 1), preference=lambda _, x: x.sum(1), steps=steps)
    assert found.steps.tolist() == [steps]
    assert bool(found.share.isfinite())
