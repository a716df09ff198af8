"""What commands share in their options: how they are written, and how much of the work is shown."""

from __future__ import annotations

import ast
import contextlib
import contextvars
import inspect
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Annotated, Any, Protocol, get_type_hints

from tyro.conf import Positional, UseAppendAction, arg

from genrev.errors import ArgumentError, nearest

_OWN = ("self", "network", "tolerance")
"""What a method takes that has an option of its own."""

_DATA = (
    '"xo" (drawn letters), "digits" (scanned handwriting), "idx:FOLDER" (MNIST\'s four files), "npz:FILE" (arrays x '
    'and y, or x_train, y_train, x_test and y_test), "images:FOLDER" (a folder a class) or "csv:FILE" (columns of '
    "numbers, the last one the class)"
)


def typed_as(metavar: str | None = None, *, name: str | None = None, about: str | None = None) -> Any:
    """Return how an option is shown: its default is left out where it is that nothing was given.

    Args:
        metavar: what stands for a value, and dots where several may follow; nothing for a switch.
        name: how it is typed, where the field has another name.
        about: what it is, where no docstring says so.
    """
    return arg(metavar=metavar, name=name, help=about, help_behavior_hint=_hint)


def _hint(default: str) -> str:
    return "" if default in ("", "None", "False") else f"(default: {default})"


Data = Annotated[str, typed_as("DATA", about=_DATA)]
PerhapsData = Annotated[
    str | None, typed_as("DATA", about=f"data to learn from, where a method that learns has no file: {_DATA}")
]
File = Annotated[str, typed_as("FILE")]
PerhapsFile = Annotated[str | None, typed_as("FILE")]
Folder = Annotated[str, typed_as("FOLDER")]
Switch = Annotated[bool, typed_as()]
Whole = Annotated[int, typed_as("N")]
PerhapsWhole = Annotated[int | None, typed_as("N")]
Number = Annotated[float, typed_as("NUMBER")]
PerhapsNumber = Annotated[float | None, typed_as("NUMBER")]
Name = Annotated[str, typed_as("NAME")]
PerhapsName = Annotated[str | None, typed_as("NAME")]
Widths = Annotated[tuple[int, ...], typed_as("WIDTH ...")]
Names = Annotated[tuple[str, ...], typed_as("NAME ...")]
Files = Annotated[tuple[str, ...], typed_as("FILE"), UseAppendAction]
Settings = Annotated[tuple[str, ...], typed_as("NAME=VALUE ...")]
TheFile = Positional[Annotated[str, typed_as("FILE")]]
TheNetwork = Positional[Annotated[str, typed_as("NETWORK")]]
PerhapsTheFile = Positional[Annotated[str | None, typed_as("[NETWORK]")]]
TheMethod = Positional[Annotated[str, typed_as("METHOD")]]
TheFiles = Positional[Annotated[tuple[str, ...], typed_as("FILE ...")]]
TheFolder = Positional[Annotated[str, typed_as("FOLDER")]]


_SILENT = contextvars.ContextVar("silent", default=False)


class Command(Protocol):
    """What every command is: a frozen dataclass of its options, which runs."""

    def run(self) -> None:
        """Do what was asked for, and print what came of it."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How much a command shows of its work.

    Args:
        quiet: show no progress bars and no remarks, only results.
        log: file to add to, in lines of JSON, what the progress bars show.
    """

    quiet: Switch = False
    log: PerhapsFile = None

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show as much as was asked for inside.

        Raises:
            FileError: the log can't be written.
        """
        from genrev.progress import logged, quiet

        with contextlib.ExitStack() as stack:
            if self.quiet:
                stack.enter_context(quiet())
                stack.callback(_SILENT.reset, _SILENT.set(True))
            if self.log is not None:
                stack.enter_context(logged(self.log))
            yield


def shown_last(command: type[Any]) -> None:
    """Have help and completion list what many commands take behind what is a command's own.

    Args:
        command: a dataclass, of keywords alone, so that their order means nothing else.
    """
    listed = command.__dataclass_fields__
    shared = {field.name: listed[field.name] for field in fields(Shown) if field.name in listed}
    command.__dataclass_fields__ = {name: field for name, field in listed.items() if name not in shared} | shared


def expect_apart(command: Any) -> None:
    """Refuse to write over a file that a command reads, or two results into one file.

    Args:
        command: an instance of its dataclass.

    Raises:
        ArgumentError: what an option writes is what another names.
    """
    said = {f"--{field.name}": getattr(command, field.name) for field in fields(command)}
    for option in ("--out", "--log"):
        for other, value in said.items():
            words = value if isinstance(value, tuple) else (value,)
            if other == option or said.get(option) is None:
                continue
            # The file of npz:FILE too.
            if any(_same_file(said[option], one) for word in map(str, words) for one in (word, word.partition(":")[2])):
                raise ArgumentError(
                    f"expected a file for {option} that nothing else of the command is in, got {said[option]!r}, which "
                    "it also names elsewhere; choose another"
                )


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        # What is not there yet is the same only by name.
        return bool(other) and os.path.realpath(one) == os.path.realpath(other)


def silent() -> bool:
    """Return whether remarks on the work are unwanted."""
    return _SILENT.get()


def options_of(command: type[Any]) -> dict[str, Field[Any]]:
    """Return the options of a command as they are typed, with the fields that they fill.

    Args:
        command: a dataclass.

    Example:
        >>> list(options_of(Shown))
        ['--quiet', '--log']
    """
    hints = get_type_hints(command, include_extras=True)
    return {
        f"--{_typed(field.name, hints[field.name])}": field
        for field in fields(command)
        if not _is_positional(hints[field.name])
    }


def repeated_options(command: type[Any]) -> list[str]:
    """Return the options of a command that may be given several times.

    Args:
        command: a dataclass.

    Example:
        >>> repeated_options(Shown)
        []
    """
    hints = get_type_hints(command, include_extras=True)
    return [option for option, field in options_of(command).items() if _is_repeated(hints[field.name])]


def command_line(name: str, command: Any) -> str:
    """Return the line that runs a command again, its usual values left out, and what changes no result.

    Args:
        name: of the command.
        command: an instance of its dataclass.

    Example:
        >>> command_line("demo", Shown(log="a file.jsonl"))
        'genrev demo'
    """
    words = ["genrev", *name.split()]
    hints = get_type_hints(type(command), include_extras=True)
    placed = [getattr(command, field.name) for field in fields(command) if _is_positional(hints[field.name])]
    words += [str(value) for value in placed if value is not None]
    shown = {field.name for field in fields(Shown)}
    for option, field in options_of(type(command)).items():
        if field.name in shown:
            continue
        value = getattr(command, field.name)
        usual = field.default if field.default is not MISSING else None
        if value == usual or value is None:
            continue
        if value is True:
            words.append(option)
        elif isinstance(value, tuple) and _is_repeated(hints[field.name]):
            words += [word for one in value for word in (option, str(one))]
        elif isinstance(value, tuple):
            words += [option, *map(str, value)]
        else:
            words += [option, str(value)]
    return shlex.join(words)


def settings(words: Sequence[str]) -> dict[str, Any]:
    """Return keywords that were typed as NAME=VALUE.

    Args:
        words: such as "steps=400", or "cvae.steps=400" where several methods are meant.

    Returns:
        The values by name: numbers, or strings where they are none.

    Raises:
        ArgumentError: a word has no name or no value, or a name comes twice.

    Example:
        >>> settings(["steps=400", "optimiser=adam"])
        {'steps': 400, 'optimiser': 'adam'}
    """
    found: dict[str, Any] = {}
    for place, word in enumerate(words):
        name, sign, value = word.partition("=")
        if place and not sign and _is_literal(word):
            before = words[place - 1]
            raise ArgumentError(
                f"expected settings as NAME=VALUE, got {word!r} behind {before!r}; where both are values of one, join "
                f"them by a comma: {before},{word}"
            )
        if not sign or not name.replace(".", "").replace("-", "").isidentifier() or not value:
            raise ArgumentError(f"expected settings as NAME=VALUE, got {word!r}; write steps=400")
        if name in found:
            raise ArgumentError(f"expected each setting once, got {name!r} twice; leave one out")
        found[name] = ast.literal_eval(value) if _is_literal(value) else value
    return found


def _is_literal(value: str) -> bool:
    """Return whether a text is a number, or another constant of Python."""
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def settings_by_method(words: Sequence[str], methods: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Return keywords of several methods, typed as METHOD.NAME=VALUE; without a method where there is only one.

    Args:
        words: such as "cvae.steps=400".
        methods: the names that may stand before the point.

    Raises:
        ArgumentError: a setting names no method, or another.

    Example:
        >>> settings_by_method(["cvae.steps=400", "cvae.latent=8"], ["cvae", "newton"])
        {'cvae': {'steps': 400, 'latent': 8}}
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in settings(words).items():
        method, point, keyword = name.rpartition(".")
        if not point and len(methods) == 1:
            method = methods[0]
        if method not in methods:
            raise ArgumentError(
                f"expected settings of {', '.join(methods)}, got {name!r}; write {methods[0]}.{keyword}={value}"
            )
        found.setdefault(method, {})[keyword] = value
    for method, keywords in found.items():
        check_keywords(method, keywords)
    return found


def check_keywords(method: str, keywords: Iterable[str]) -> None:
    """Refuse keywords that a method does not take, or that have an option of their own.

    Args:
        method: by name; one that is none is refused elsewhere.
        keywords: that were typed.

    Raises:
        ArgumentError: the method has no such keyword.

    Example:
        >>> check_keywords("cvae", ["steps"])
    """
    from genrev.inverters import INVERTERS

    if method not in INVERTERS:
        return
    names = keywords_of(INVERTERS[method])
    for keyword in keywords:
        if keyword == "tolerance":
            raise ArgumentError("expected the tolerance as --tolerance, got it in --set; write --tolerance 0.01")
        if keyword not in names:
            known = f"one of {', '.join(names)}" if names else "none"
            hint = nearest(keyword, names) or "; leave it out"
            raise ArgumentError(f"expected a keyword of {method} for --set ({known}), got {keyword!r}{hint}")


def keywords_of(kind: type[Any]) -> dict[str, Any]:
    """Return the keywords that a method takes in --set, with their usual values.

    Args:
        kind: of the method.

    Example:
        >>> from genrev import RetrievalInverter
        >>> keywords_of(RetrievalInverter)
        {}
    """
    taken = inspect.signature(kind.__init__).parameters
    return {name: taken[name].default for name in taken if name not in _OWN}


def _typed(name: str, hint: Any) -> str:
    """Return how the name of a field is typed: dashes for underscores, unless it is typed otherwise."""
    said = [getattr(part, "name", None) for part in getattr(hint, "__metadata__", ())]
    return next((one for one in said if isinstance(one, str)), name.replace("_", "-"))


def _is_positional(hint: Any) -> bool:
    return Positional in getattr(hint, "__metadata__", ())


def _is_repeated(hint: Any) -> bool:
    return UseAppendAction in getattr(hint, "__metadata__", ())
