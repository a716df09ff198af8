"""The input space: bounds of every kind, and projections that are inside."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sentences import assert_one_sentence

from genrev.errors import ArgumentError
from genrev.space import InputSpace


def test_bounds_may_be_numbers_tensors_or_infinite() -> None:
    space = InputSpace((2, 3), low=-math.inf, high=torch.tensor([1.0, 2.0, 3.0]))
    assert space.size == 6
    assert space.low.shape == space.high.shape == (2, 3)
    x = torch.tensor([[[-1e9, 5.0, 2.0], [1.0, 1.0, 9.0]]])
    assert space.project(x).tolist() == [[[-1e9, 2.0, 2.0], [1.0, 1.0, 3.0]]]
    assert space.contains(x).tolist() == [[[True, False, True], [True, True, False]]]


def test_a_lone_size_is_a_shape() -> None:
    assert InputSpace(3).shape == InputSpace(np.int64(3)).shape == InputSpace([3]).shape == (3,)  # type: ignore[arg-type]


def test_a_space_without_its_shape_shows_what_to_write() -> None:
    with pytest.raises(ArgumentError, match=r"expected shape in a call of InputSpace.*write InputSpace\(\(") as error:
        InputSpace()  # type: ignore[call-arg]
    assert_one_sentence(error.value)


def test_the_middle_is_the_centre_the_finite_end_or_zero() -> None:
    space = InputSpace(
        (4,), torch.tensor([0.0, -math.inf, 3.0, -math.inf]), torch.tensor([1.0, -2.0, math.inf, math.inf])
    )
    assert space.middle.tolist() == [0.5, -2.0, 3.0, 0.0]


def test_a_projection_is_inside_and_leaves_what_is_inside() -> None:
    space = InputSpace((5,), torch.randn(5) - 1, torch.randn(5).abs() + 2)
    x = 10 * torch.randn(100, 5)
    projected = space.project(x)
    assert bool(space.contains(projected).all())
    assert torch.equal(space.project(projected), projected)
    assert torch.equal(torch.where(space.contains(x), x, projected), projected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_projection_onto_bounds_that_round_is_inside(dtype: torch.dtype) -> None:
    space = InputSpace((3,), 0.1, torch.tensor([0.1, 0.3, 1 / 3]))
    for x in (torch.full((1, 3), -9.0, dtype=dtype), torch.full((1, 3), 9.0, dtype=dtype)):
        assert space.project(x).dtype == dtype
        assert bool(space.contains(space.project(x)).all())


def test_nan_stays_in_a_projection_and_is_not_contained() -> None:
    space = InputSpace((1,), 0.0, 1.0)
    nan = torch.tensor([[math.nan]])
    assert bool(space.project(nan).isnan())
    assert not bool(space.contains(nan))


@pytest.mark.parametrize(
    ("shape", "bounds"),
    [
        ((2,), {"low": math.nan}),
        ((2,), {"high": torch.tensor([0.0, math.nan])}),
        ((2,), {"low": 1.0, "high": 0.0}),
        ((2,), {"low": torch.tensor([0.0, 2.0]), "high": 1.0}),
        ((2,), {"low": torch.zeros(3)}),
        ((2, 3), {"high": torch.zeros(2)}),
        ((2,), {"low": math.inf}),
        ((2,), {"low": math.inf, "high": math.inf}),
        ((2,), {"low": -math.inf, "high": -math.inf}),
        ((2,), {"low": torch.tensor([0.0, math.inf])}),
        ((2,), {"low": "zero"}),
        ((2,), {"low": None}),
        ((2,), {"low": [0, [1]]}),
        ((2,), {"high": 1j}),
        ((0,), {}),
        ((3, -1), {}),
        ("4", {}),
        (4.0, {}),
        (True, {}),
        (None, {}),
        ((4.5,), {}),
        ((None, 3), {}),
        (("a",), {}),
    ],
)
def test_what_makes_no_space_gives_one_sentence(shape: Any, bounds: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as error:
        InputSpace(shape, **bounds)
    assert_one_sentence(error.value)


def test_bounds_are_not_shared_with_the_caller() -> None:
    high = torch.ones(2)
    space = InputSpace((2,), 0.0, high)
    high.fill_(5.0)
    assert space.high.tolist() == [1.0, 1.0]


def test_values_of_the_same_bounds_share_one_unit() -> None:
    for shape, *bounds in (((2, 3), 0.0, 1.0), ((3,), -5.0, 255.0), ((3,),), ((1,), 2.0, 2.0)):
        space = InputSpace(shape, *bounds)
        assert space.alike
        assert torch.equal(space.unit, torch.ones(space.shape, dtype=torch.float64))


def test_values_of_their_own_bounds_count_in_widths() -> None:
    space = InputSpace((3,), torch.tensor([0.0, -100, 7]), torch.tensor([0.5, 300, 7]))
    assert not space.alike
    assert space.unit.tolist() == [0.5, 400.0, 1.0]
    half = InputSpace((2,), torch.tensor([0.0, -torch.inf]), torch.tensor([0.5, 300]))
    assert not half.alike
    assert half.unit.tolist() == [1.0, 1.0]
