"""Tests of the checks: a call that does not fit is explained, one that fits is left alone; what a number may be."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from genrev.checks import called_as, check_seed, real, whole
from genrev.errors import ArgumentError


@called_as()
def volume(width: Any, height: Any = 1, *, depth: Any, unit: str = "m") -> Any:
    """Multiply."""
    return width * height * depth


class Box:
    @called_as("Box(3, depth=2)")
    def __init__(self, width: int, *, depth: int) -> None:
        self.width, self.depth = width, depth

    @called_as()
    def scaled(self, factor: int) -> int:
        return factor * self.width

    @classmethod
    @called_as()
    def cube(cls, side: int) -> Box:
        return cls(side, depth=side)


def said(function: Any, *args: Any, **keywords: Any) -> str:
    with pytest.raises(ArgumentError) as caught:
        function(*args, **keywords)
    message = str(caught.value)
    assert message.startswith("expected ")
    assert ", got " in message
    assert "; " in message
    assert caught.value.__cause__ is None
    return message


def test_a_call_that_fits_is_as_it_was() -> None:
    assert volume(2, 3, depth=4) == 24
    assert Box(3, depth=2).scaled(2) == 6
    assert Box.cube(5).depth == 5
    assert list(inspect.signature(volume).parameters) == ["width", "height", "depth", "unit"]
    assert volume.__doc__ == "Multiply."


def test_what_is_missing_is_named_with_a_call_that_is_right() -> None:
    assert said(volume) == ("expected width and depth= in a call of volume, got none; write volume(width, depth=depth)")
    assert said(Box, 3) == "expected depth= in a call of Box, got none; write Box(3, depth=2)"
    assert "expected factor in a call of Box.scaled" in said(Box(3, depth=2).scaled)
    assert "write Box.cube(side)" in said(Box.cube)


def test_an_unknown_keyword_is_named_with_the_nearest() -> None:
    assert "did you mean 'depth'" in said(volume, 2, dept=3)
    assert said(volume, 2, depth=1, colour=3).endswith("got 'colour'; leave it out")


def test_too_many_without_a_name_are_told_their_names() -> None:
    message = said(volume, 1, 2, 3, 4)
    assert message == (
        "expected at most 2 arguments of volume without a name (width, height), got 4; "
        "give the others by name: depth=, unit="
    )
    assert "got 2; write Box.cube(side)" in said(Box.cube, 1, 2)


def test_what_is_given_twice_is_named() -> None:
    assert "expected width once" in said(volume, 1, width=2, depth=3)


def test_a_type_error_from_inside_stays_what_it_is() -> None:
    with pytest.raises(TypeError, match="multiply"):
        volume("a", "b", depth=3)


@pytest.mark.parametrize("value", [1, np.int64(7)])
def test_whole_numbers_are_whole(value: Any) -> None:
    assert whole("n", value) == value
    assert type(whole("n", value)) is int


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "3", None, float("nan")])
def test_what_is_no_whole_number_is_refused_by_its_name(value: Any) -> None:
    assert said(whole, "steps", value).startswith("expected steps to be a whole number of at least 1, got ")


def test_zero_is_whole_where_it_is_allowed() -> None:
    assert whole("steps", 0, least=0) == 0


@pytest.mark.parametrize("value", [0, 0.5, np.float32(2)])
def test_real_numbers_are_real(value: Any) -> None:
    assert real("rate", value) == value
    assert type(real("rate", value)) is float


@pytest.mark.parametrize("value", [-1, float("inf"), float("nan"), True, "3", None, 1j])
def test_what_is_no_real_number_is_refused_by_its_name(value: Any) -> None:
    assert said(real, "rate", value).startswith("expected rate to be a finite number of at least 0, got ")


def test_zero_is_refused_where_more_is_needed() -> None:
    assert "above 0" in said(real, "rate", 0.0, above=True)


@pytest.mark.parametrize("seed", [-1, 0.5, True, 2**63, "0", None])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    assert "seed" in said(check_seed, seed)
