"""The README runs as it is written, and says nothing of methods and outcomes that are not there."""

from __future__ import annotations

import pytest
from pages import README, links, python_blocks, run, text

from genrev.inverter import Outcome
from genrev.inverters import INVERTERS

TEXT = text(README)
BLOCKS = python_blocks(README)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_python_block_runs_as_it_is_written(number, as_a_user, capsys):
    run(BLOCKS[number], f"README block {number}")
    assert capsys.readouterr().out, "a block that prints nothing shows nothing"


def test_there_are_python_blocks():
    assert len(BLOCKS) >= 5


def test_the_first_block_is_about_ten_lines():
    assert sum(bool(line.strip()) for line in BLOCKS[0].splitlines()) <= 10


def test_every_inverter_stands_in_the_table_of_methods():
    for name in INVERTERS:
        assert f"| `{name}` |" in TEXT


def test_every_outcome_stands_in_the_table_of_outcomes():
    for outcome in Outcome:
        assert f"| `{outcome.name}` |" in TEXT


def test_every_file_it_links_is_there():
    for link in links(README):
        assert (README.parent / link).is_file(), link


def test_the_picture_is_small():
    assert (README.parent / "assets" / "xo.png").stat().st_size < 300_000
