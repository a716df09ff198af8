"""The examples in the docstrings run as they are written, and every public name has one."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from types import ModuleType
from typing import Any

import pytest

import genrev

MODULES = ["genrev", *(part.name for part in pkgutil.walk_packages(genrev.__path__, "genrev."))]
ROOMS = ["classifiers", "comparison", "data", "inverters", "judge", "metrics", "report", "solvers", "training"]
PUBLIC = ["genrev", *(f"genrev.{room}" for room in ROOMS)]
"""The modules that offer names to a user."""


def examples() -> list[doctest.DocTest]:
    # genrev.__main__ runs the command line when it is imported.
    modules = [importlib.import_module(name) for name in MODULES if name != "genrev.__main__"]
    found = [test for module in modules for test in doctest.DocTestFinder().find(module, module.__name__)]
    return [test for test in found if test.examples]


EXAMPLES = examples()


def names(module: ModuleType) -> list[str]:
    """The names that a module offers: what it says, else what it defines."""
    said = getattr(module, "__all__", None)
    if said is not None:
        return [name for name in said if not name.startswith("_")]
    own = ast.parse(inspect.getsource(module)).body
    defined = [node.name for node in own if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    assigned = [ast.unparse(node.targets[0]) for node in own if isinstance(node, ast.Assign)]
    annotated = [ast.unparse(node.target) for node in own if isinstance(node, ast.AnnAssign)]
    return [name for name in [*defined, *assigned, *annotated] if not name.startswith("_")]


def has_an_example(module: ModuleType, name: str) -> bool:
    """Its own docstring has one; a table or a number has no docstring, but stands in some example."""
    value: Any = getattr(module, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        return ">>>" in (value.__doc__ or "")
    return any(re.search(rf"\b{name}\b", part.source) for test in EXAMPLES for part in test.examples)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_runs_as_it_is_written(example: doctest.DocTest, as_a_user: None) -> None:
    report: list[str] = []
    outcome = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert outcome.failed == 0, "".join(report)


@pytest.mark.parametrize("room", PUBLIC)
def test_every_public_name_has_an_example(room: str) -> None:
    module = importlib.import_module(room)
    assert [name for name in names(module) if not has_an_example(module, name)] == []
