"""Help pages: the list of all commands, and of one command what stands above its options."""

from __future__ import annotations

import inspect
import io
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from genrev import __version__
from genrev.cli.options import keywords_of

_ABOUT = "Which inputs make a trained network give this output, and which of them look real?"
_EXAMPLES = r"""For example, of a table whose last column is the label:
  genrev train classifier --data csv:mine.csv --out net.safetensors
  genrev train cvae --network net.safetensors --data csv:mine.csv \
      --out cvae.safetensors
  genrev invert net.safetensors --inverter cvae.safetensors --class NAME \
      --out x.png

See genrev COMMAND --help for the options of a command."""

_TERM, _WIDEST = 24, 100
"""How many characters a term has beside its meaning, and a line where the terminal has room for more, at most."""

INTRODUCTION = "introduction"
"""What tyro is told that a command does: it would join the lines of what is written there later."""

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def overview(commands: Mapping[str, type[Any]]) -> str:
    """Return the page that lists the commands.

    Args:
        commands: by name.
    """
    # It takes a word more, which its name does not show.
    names = {"train": "train METHOD"}
    lines = ["usage: genrev COMMAND [OPTIONS]", "", *_wrapped(f"{_ABOUT} Version {__version__}."), "", "commands:"]
    lines += _listed({names.get(name, name): _paragraphs(kind)[0] for name, kind in commands.items()})
    options = {
        "-h, --help": "show this page; behind a command, the page of that command",
        "--version": "show the version",
    }
    return "\n".join([*lines, "", "options:", *_listed(options), "", _EXAMPLES])


class Page(io.StringIO):
    """What tyro writes a help page into: it asks a stream whether it shows colours and frames.

    Args:
        stream: that the page is for.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream."""
        return self._stream.encoding

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream.isatty()

    def text(self, above: str) -> str:
        """Return the page without its empty lines in frames, which stand where a text fills its last line.

        Args:
            above: what is to stand above the options.
        """
        lines = (line for line in self.getvalue().split("\n") if _STYLE.sub("", line).strip(" ") == "" or _says(line))
        return "\n".join(lines).replace(f"\n{INTRODUCTION}\n", f"\n{above}\n", 1)


def _says(line: str) -> bool:
    """Return whether there is more in a line than the two sides of a frame."""
    return _STYLE.sub("", line).strip("│| ") != ""


def introduction(command: type[Any], methods: Sequence[str] = (), *, alone: bool = False) -> str:
    """Return what a command does, and the keywords of methods that its option --set takes.

    Args:
        command: a dataclass.
        methods: whose keywords are listed.
        alone: whether a keyword is typed without its method's name.
    """
    parts = ["\n".join(_wrapped(paragraph)) for paragraph in _paragraphs(command)]
    return "\n\n".join([*parts, *(_keywords(method, alone=alone) for method in methods)])


def named_methods(command: str, words: Sequence[str]) -> list[str]:
    """Return the methods that were named before help was asked for; only those that learn where one is to be trained.

    Args:
        command: by name.
        words: behind it.
    """
    said = _named(command, words)
    if not said:
        return []
    from genrev.inverters import INVERTERS

    known = (name for name in dict.fromkeys(re.split(r"[+, ]", said)) if name in INVERTERS)
    return [name for name in known if command != "train" or INVERTERS[name].traits.learns]


def _named(command: str, words: Sequence[str]) -> str:
    if command == "train":
        return words[0] if words and not words[0].startswith("-") else ""
    option = {"invert": "--method", "compare": "--methods"}.get(command, "")
    line = " ".join(words)
    found = re.search(rf"(?:^| ){option}[= ]([\w+,]+)", line) if option else None
    return found[1] if found else ""


def meanings(kind: type[Any]) -> dict[str, str]:
    """Return what the docstring of a class says of each of its arguments.

    Args:
        kind: with a docstring that has a part ``Args``.

    Example:
        >>> from genrev import NewtonInverter
        >>> meanings(NewtonInverter)["network"]
        'the network to invert.'
    """
    _, _, args = ((kind.__doc__ and inspect.getdoc(kind)) or "").partition("Args:\n")
    found = re.findall(r"^    (\w+): ((?:.+\n?)(?:^ {8}.+\n?)*)", args, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _keywords(method: str, *, alone: bool) -> str:
    """Return the keywords that a method takes, with their usual values and what they are."""
    from genrev.inverters import INVERTERS

    kind = INVERTERS[method]
    said, prefix = meanings(kind), "" if alone else f"{method}."
    terms = {f"{prefix}{name}={value}": said[name] for name, value in keywords_of(kind).items()}
    if not terms:
        return f"{method} has no keywords for --set."
    return "\n".join([f"Keywords of {method} for --set, with their defaults:", *_listed(terms)])


def _paragraphs(command: type[Any]) -> list[str]:
    """Return what the docstring of a command says before its arguments."""
    text = inspect.getdoc(command) or ""
    return [" ".join(part.split()) for part in text.partition("\nArgs:")[0].strip().split("\n\n")]


def _listed(terms: Mapping[str, str]) -> Iterator[str]:
    """Give the lines of terms with their meanings beside them, or below where a term is too long for that."""
    column = 4 + max(len(term) for term in terms if len(term) <= _TERM)
    for term, meaning in terms.items():
        first = f"  {term}"
        if len(term) > _TERM:
            yield first
            first = ""
        for line in _wrapped(meaning, _width() - column):
            yield first.ljust(column) + line
            first = ""


def _wrapped(text: str, width: int | None = None) -> list[str]:
    return textwrap.wrap(text, width or _width(), break_long_words=False, break_on_hyphens=False)


def _width() -> int:
    return max(40, min(shutil.get_terminal_size().columns, _WIDEST))
