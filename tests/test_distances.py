"""Tests of distances: of all the nearest row, however many there are and whatever rounding makes of them."""

from __future__ import annotations

import math

import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor

from genrev import distances
from genrev.distances import Neighbours, nearest, nearest_distance
from genrev.errors import ArgumentError


def clouds(n: int = 30, m: int = 20, d: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randn(n, d), torch.randn(m, d) + 0.5


def test_nearest_distance_is_its_definition() -> None:
    x, reference = clouds(d=5)
    expected = [min(math.dist(a, b) for b in reference.tolist()) for a in x.tolist()]
    assert nearest_distance(x, reference).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_copy_is_at_distance_zero_exactly_even_far_from_the_origin(dtype: torch.dtype) -> None:
    reference = 1e4 + torch.randn(200, 300, dtype=dtype)
    assert nearest_distance(reference[50:80], reference).tolist() == [0.0] * 30


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e9, 1e150])
@pytest.mark.parametrize(("m", "d"), [(1, 3), (8, 2), (9, 2), (300, 40)])
def test_the_nearest_row_is_found_by_its_number(m: int, d: int, scale: float) -> None:
    x, reference = (values.double() * scale for values in clouds(40, m, d))
    distance, place = nearest(x, reference)
    every = torch.tensor([[math.dist(a, b) for b in reference.tolist()] for a in x.tolist()], dtype=torch.float64)
    assert place.tolist() == every.argmin(1).tolist()
    assert distance.tolist() == pytest.approx(every.amin(1).tolist())


def test_rows_too_close_for_a_quick_look_are_measured_all() -> None:
    offset = torch.arange(50, dtype=torch.float64)[:, None] * 1e-9
    reference = 1e6 + offset.flip(0)
    distance, place = nearest(torch.tensor([[1e6], [1e6 + 20e-9], [1e6 - 1.0]], dtype=torch.float64), reference)
    every = (torch.tensor([[1e6], [1e6 + 20e-9], [1e6 - 1.0]], dtype=torch.float64) - reference.T).abs()
    assert distance.tolist() == every.amin(1).tolist()
    assert every.gather(1, place[:, None])[:, 0].tolist() == distance.tolist()


def test_of_equally_near_rows_the_first_is_named_and_what_is_not_finite_has_none() -> None:
    reference = torch.tensor([[5.0], [1.0], [-1.0], [1.0]])
    distance, place = nearest(torch.tensor([[0.0], [math.nan], [math.inf]]), reference)
    assert distance.tolist() == [1.0, math.inf, math.inf]
    assert place.tolist() == [1, -1, -1]


def test_inputs_that_are_not_finite_are_infinitely_far() -> None:
    x = torch.tensor([[0.0, math.nan], [math.inf, 0.0], [3.0, 4.0]])
    assert nearest_distance(x, torch.zeros(1, 2)).tolist() == [math.inf, math.inf, 5.0]


def test_no_inputs_have_no_distances() -> None:
    assert nearest_distance(torch.zeros(0, 2), torch.zeros(3, 2)).shape == (0,)


@pytest.mark.parametrize("reference", [torch.zeros(0, 2), torch.tensor([[0.0, math.inf]])])
def test_a_reference_that_is_empty_or_not_finite_is_an_argument_error(reference: Tensor) -> None:
    with pytest.raises(ArgumentError) as caught:
        nearest_distance(torch.zeros(3, 2), reference)
    assert_one_sentence(str(caught.value))


def brute(x: Tensor, reference: Tensor) -> Tensor:
    """All distances by their definition, in double precision."""
    return (x.double()[:, None] - reference.double()[None]).square().sum(2).sqrt()


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_nearest_of_many_is_found_however_much_single_precision_rounds(offset: float, dtype: torch.dtype) -> None:
    reference = (torch.rand(2000, 20, dtype=torch.float64) + offset).to(dtype)
    x = (torch.rand(50, 20, dtype=torch.float64) + offset).to(dtype)
    distance, place = Neighbours(reference).of(x)
    every = brute(x, reference)
    assert torch.equal(place, every.argmin(1))
    torch.testing.assert_close(distance, every.amin(1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("spread", [1e-3, 1e-8, 1e-12])
def test_what_single_and_double_precision_leave_in_doubt_is_measured(spread: float) -> None:
    reference = 1 + spread * torch.rand(400, 6, dtype=torch.float64)
    x = 1 + spread * torch.rand(30, 6, dtype=torch.float64)
    distance, place = nearest(x, reference)
    every = brute(x, reference)
    torch.testing.assert_close(distance, every.gather(1, place[:, None])[:, 0], rtol=1e-12, atol=0)
    torch.testing.assert_close(distance, every.amin(1), rtol=1e-12, atol=0)


def test_asking_again_or_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, reference = clouds(40, 300, 4)
    near = Neighbours(reference)
    distance, place = near.of(x)
    monkeypatch.setattr(distances, "_ENTRIES", 700)
    parts = [near.of(part) for part in x.split(7)]
    assert torch.equal(torch.cat([one for one, _ in parts]), distance)
    assert torch.equal(torch.cat([one for _, one in parts]), place)


def test_rows_of_one_number_have_neighbours_too() -> None:
    distance, place = nearest(torch.tensor([0.4, 2.0]), torch.tensor([0.0, 1.0]))
    assert place.tolist() == [0, 1]
    assert distance.tolist() == pytest.approx([0.4, 1.0])


def test_another_shape_than_the_reference_has_is_an_argument_error() -> None:
    with pytest.raises(ArgumentError, match="of one shape beyond the first axis") as caught:
        Neighbours(torch.zeros(4, 3)).of(torch.zeros(4, 2))
    assert_one_sentence(str(caught.value))
