"""The directive `command-options NAME`: a table of what a command of genrev takes, from its dataclass."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from genrev.cli import COMMANDS
from genrev.cli.help import meanings
from genrev.cli.options import options_of

Line = tuple[str, str, str]


class CommandOptions(SphinxDirective):
    """Puts a table of options in the place of the directive, whose argument is the command's name."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        head: Line = ("option", "what it is", "default")
        lines = list(option_lines(COMMANDS[self.arguments[0]]))
        table, group = nodes.table(classes=["options"]), nodes.tgroup(cols=len(head))
        group += [nodes.colspec(colwidth=width) for width in (30, 55, 15)]
        group += nodes.thead("", _row([nodes.Text(text) for text in head]))
        group += nodes.tbody("", *(_row(_cells(*line)) for line in lines))
        table += group
        return [table]


def option_lines(command: type[Any]) -> Iterator[Line]:
    """Return what a command takes, a line each: how it is typed, what it is, and its default.

    Args:
        command: a dataclass of `genrev.cli.COMMANDS`.
    """
    hints, about = get_type_hints(command, include_extras=True), _about(command)
    typed = {field.name: option for option, field in options_of(command).items()}
    ordered = sorted(fields(command), key=lambda field: field.name in typed)
    for field in ordered:
        hint = hints[field.name]
        said = [part for part in getattr(hint, "__metadata__", ()) if getattr(part, "metavar", None)]
        # Of nested annotations the outermost counts, and it stands last.
        word = said[-1].metavar if said else _word(hint)
        text = next((part.help for part in said if part.help), None) or about[field.name]
        option = typed.get(field.name)
        yield (" ".join(part for part in (option, word) if part), text.rstrip("."), _default(field))


def _about(command: type[Any]) -> dict[str, str]:
    """Return what the docstrings of a dataclass and those that it extends say of their fields."""
    return {name: text for kind in reversed(command.__mro__[:-1]) for name, text in meanings(kind).items()}


def _word(hint: Any) -> str:
    """Return what stands for a value of a type: nothing for a switch."""
    if hasattr(hint, "__metadata__"):
        return _word(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return _word(next(one for one in get_args(hint) if one is not type(None)))
    return {bool: "", int: "INT", float: "NUMBER", str: "NAME"}[hint]


def _default(field: Field[Any]) -> str:
    if field.default is MISSING:
        return "required"
    if field.default is None or field.default is False or field.default == ():
        return ""
    if isinstance(field.default, tuple):
        return " ".join(map(str, field.default))
    return str(field.default)


def _cells(option: str, text: str, default: str) -> list[nodes.Node]:
    value = nodes.Text(default) if default in ("", "required") else nodes.literal(default, default)
    return [nodes.literal(option, option), nodes.Text(text), value]


def _row(cells: list[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known.

    Args:
        app: Sphinx.
    """
    app.add_directive("command-options", CommandOptions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
