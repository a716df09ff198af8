"""The README runs as it is written, and says nothing of methods and outcomes that are not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genrev.inverter import Outcome
from genrev.inverters import INVERTERS

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_python_block_runs_as_it_is_written(number, as_a_user, capsys):
    # A class defined there looks its module's name up.
    exec(compile(BLOCKS[number], f"README block {number}", "exec"), {"__name__": "readme"})
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
    for link in re.findall(r"\]\((?!http)([^)]+)\)", TEXT):
        assert (README.parent / link).is_file(), link


def test_the_picture_is_small():
    assert (README.parent / "assets" / "xo.png").stat().st_size < 300_000
