"""Refusals: what tyro could not read of a command's words, in one sentence."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any, get_type_hints

from genrev.cli.options import options_of


def refusal(name: str, command: type[Any], words: Sequence[str], box: str) -> str:
    """Return what is wrong with the words behind a command, and what to do.

    Args:
        name: of the command.
        command: its dataclass.
        words: that tyro refused.
        box: what tyro said, in a frame.
    """
    return f"expected {_reason(name, command, words, box)}; see genrev {name} --help"


def _reason(name: str, command: type[Any], words: Sequence[str], box: str) -> str:
    missing = _missing(box)
    if missing:
        return f"{', '.join(missing)}, got none"
    said = _first(box)
    if found := re.match(r"Error parsing (--[\w-]+)", said):
        kind, wrong = _misread(command, found[1], words)
        return f"{kind} for {found[1]}, got {wrong!r}"
    if found := re.match(r"Missing value for argument '(--[\w-]+)'", said):
        return f"a value for {found[1]}, got none"
    if found := re.match(r"Unrecognized options: (.*)", said):
        return f"nothing behind genrev {name} but its own options with a value each, got '{found[1]}'"
    return f"options with a value each, got '{said}'"


def _misread(command: type[Any], option: str, words: Sequence[str]) -> tuple[str, str]:
    """Return what an option takes, and the first of its words that is none of that."""
    whole = "int" in str(get_type_hints(command)[options_of(command)[option].name])
    given = _values(option, words)
    wrong = next((word for word in given if not _is_number(word, whole=whole)), " ".join(given))
    return ("a whole number" if whole else "a number"), wrong


def _values(option: str, words: Sequence[str]) -> list[str]:
    """Return the words of an option, as it was last given."""
    place = max(at for at, word in enumerate(words) if word.partition("=")[0] == option)
    _, sign, value = words[place].partition("=")
    more = itertools.takewhile(lambda word: not word.startswith("--"), words[place + 1 :])
    return [*([value] if sign else []), *more]


def _is_number(word: str, *, whole: bool) -> bool:
    try:
        (int if whole else float)(word)
    except ValueError:
        return False
    return True


def _missing(box: str) -> list[str]:
    """Return what is required and missing, by an error box of tyro; nothing where it speaks of something else."""
    # The frame is of spaces where the terminal can't show another, and a rule ends the list.
    lines = iter(box.replace("│", " ").splitlines())
    heading = next((line for line in lines if "Missing from" in line), None)
    if heading is None:
        return []
    listed = itertools.takewhile(lambda line: line.strip(" ─-"), lines)
    # Each stands four further in than the heading, and its description further still.
    return [line.strip() for line in listed if _indent(line) == _indent(heading) + 4]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _first(box: str) -> str:
    """Return the first that an error box of tyro says, without its frame."""
    # The frame is of ASCII where the terminal can't show another.
    lines = [line.strip("│| ") for line in box.splitlines()[1:]]
    words = (line for line in lines if any(letter.isalpha() for letter in line))
    return next(words, "something else").rstrip(".")
