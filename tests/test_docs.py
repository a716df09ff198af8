"""The documentation runs as it is written, and leaves out no method, outcome, figure, command or public name."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest
from pages import (
    DOCS,
    README,
    ROOT,
    commands_named,
    links,
    links_without_text,
    outputs,
    python_blocks,
    reads_alike,
    run,
    shell_lines,
    text,
)

import genrev
from genrev.cli import COMMANDS, main
from genrev.cli.compare import Compare
from genrev.cli.invert import Invert
from genrev.cli.options import settings_by_method
from genrev.cli.train_inverter import TrainInverter
from genrev.inverter import Outcome
from genrev.inverters import INVERTERS
from genrev.report import COLUMNS

PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
LINES = [(page, words) for page in [README, *PAGES] for words in shell_lines(page)]
ROOMS = ["benchmarks.arm", "classifiers", "data", "errors", "metrics", "progress", "report", "resume", "training"]
"""The modules beside genrev itself of which the API lists every public name."""


def ids(thing):
    return thing.stem if hasattr(thing, "stem") else " ".join(thing)


@pytest.mark.parametrize("page", [page for page in PAGES if python_blocks(page)], ids=ids)
def test_the_python_blocks_of_a_page_run_in_their_order_and_print_what_it_shows(page, as_a_user, tmp_path, capsys):
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    names, anything = None, False
    for number, (block, shown) in enumerate(zip(python_blocks(page), outputs(page), strict=True)):
        names = run(block, f"{page.name} block {number}", names)
        printed = capsys.readouterr().out
        anything = anything or bool(printed)
        assert shown is None or reads_alike(printed, shown), printed
    assert anything, "a page that prints nothing shows nothing"


@pytest.mark.parametrize(
    ("printed", "alike"),
    [
        ("misses 0.98951, 1,000 of\n1e-05", True),
        ("hits 0.9895, 1000 of 1e-05", False),
        ("misses 0.95, 1000 of 1e-05", False),
        ("misses 0.9895, 1000", False),
    ],
)
def test_a_shown_output_may_differ_by_lines_and_rounding_alone(printed, alike):
    assert reads_alike(printed, "misses 0.9895, 1000 of 1e-05\n") is alike


@pytest.mark.parametrize(("page", "words"), LINES, ids=ids)
def test_a_line_for_the_shell_is_one_that_genrev_takes(page, words, as_a_user, monkeypatch, capsys):
    asked = []
    for kind in COMMANDS.values():
        monkeypatch.setattr(kind, "run", lambda command: asked.append(command))
    assert main(words) == 0, capsys.readouterr().err
    for command in asked:
        check_methods(command)


def check_methods(command):
    """The methods that a command names are in the table, and take the keywords that they are given."""
    if isinstance(command, TrainInverter):
        assert INVERTERS[command.method].traits.learns
        methods, said = [command.method], [f"{command.method}.{one}" for one in command.set]
    elif isinstance(command, Compare):
        methods, said = re.split(r"[+,]", command.methods), command.set
    elif isinstance(command, Invert):
        methods, said = (command.method or "newton").split("+"), command.set
    else:
        return
    for method in methods:
        assert method in INVERTERS
    for method, keywords in settings_by_method(said, methods).items():
        assert set(keywords) <= set(inspect.signature(INVERTERS[method].__init__).parameters)


@pytest.mark.parametrize("page", [README, *PAGES], ids=ids)
def test_commands_named_in_the_text_are_there(page):
    for said in commands_named(page):
        first = said.split()[0]
        assert first in {name.split()[0] for name in COMMANDS} or first in ("COMMAND", "--help"), said


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_file_that_a_page_links_is_there(page):
    for link in links(page):
        assert (page.parent / link).is_file(), link


@pytest.mark.parametrize("page", [README, *PAGES], ids=ids)
def test_every_link_has_a_text_and_every_picture_words_for_who_can_not_see_it(page):
    assert links_without_text(page) == []


def test_every_page_is_reached_from_the_first():
    listed = [line for page in PAGES for line in re.findall(r"^[\w/-]+$", text(page), flags=re.MULTILINE)]
    for page in PAGES:
        assert page.stem == "index" or any(line.endswith(page.stem) for line in listed), page


def test_every_method_is_chosen_from():
    for name in INVERTERS:
        assert f"| `{name}` |" in text(DOCS / "choose.md")


def test_every_outcome_and_every_figure_of_the_report_is_explained():
    page = text(DOCS / "report.md")
    for name in [*(outcome.name for outcome in Outcome), *(column.heading for column in COLUMNS)]:
        assert f"| `{name}` |" in page


def test_every_command_has_its_section_with_an_example_and_its_options():
    page = text(DOCS / "commands.md")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    for name in COMMANDS:
        title = "train METHOD" if name == "train" else name
        (section,) = [one for one in sections if one.startswith(f"genrev {title}\n")]
        assert f"genrev {name} " in section.partition("\n")[2] or name == "demo"
        assert f"{{command-options}} {name}\n" in section


def test_every_public_name_is_in_the_api():
    pages = "".join(text(page) for page in PAGES)
    assert set(ROOMS) <= set(re.findall(r"automodule:: genrev\.([\w.]+)\n\s+:members:\n", pages))
    listed = {path.split(".")[-1] for path in re.findall(r"auto(?:class|function|data):: genrev\.([\w.]+)", pages)}
    assert set(genrev.__all__) - {"__version__", "GenrevError"} <= listed


def test_the_api_lists_nothing_that_is_not_there():
    for page in PAGES:
        for path in re.findall(r"auto(?:class|function|data):: (genrev[\w.]+)", text(page)):
            module, _, name = path.rpartition(".")
            assert hasattr(importlib.import_module(module), name), path
