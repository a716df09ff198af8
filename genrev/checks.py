"""Checks that every room needs: how a function is called, and what a count, a number, a word, a dict, a seed may be."""

from __future__ import annotations

import functools
import inspect
import json
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from genrev.errors import ArgumentError, nearest

P = ParamSpec("P")
R = TypeVar("R")

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def called_as(example: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have a function say in a sentence what is wrong with a call that does not fit its signature.

    The signature stays what it is, for type checkers and for help; a call that fits costs nothing.

    Args:
        example: a call that is right; one made of the function's own names if not given.

    Example:
        >>> @called_as()
        ... def area(*, side):
        ...     return side**2
        >>> area()
        Traceback (most recent call last):
        genrev.errors.ArgumentError: expected side= in a call of area, got none; write area(side=side)
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def checked(*args: P.args, **keywords: P.kwargs) -> R:
            try:
                return function(*args, **keywords)
            except TypeError:
                # Most come from inside, and are none of the caller's doing.
                wrong = _misfit(function, args, keywords, example)
                if wrong is None:
                    raise
            raise ArgumentError(wrong)

        return checked

    return wrap


def _misfit(function: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any], example: str) -> str | None:
    """Return what is wrong with a call, or None where it fits."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **keywords)
    except TypeError:
        pass
    else:
        return None
    name, parameters = function.__name__, list(signature.parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        owner = args[0] if isinstance(args[0], type) else type(args[0])
        name = owner.__name__ if name == "__init__" else f"{owner.__name__}.{name}"
        parameters, args = parameters[1:], args[1:]
    names = [parameter.name for parameter in parameters if parameter.kind in _NAMED]
    placed = [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    write = f"write {example or _example(name, parameters)}"
    unknown = next((keyword for keyword in keywords if keyword not in names), None)
    if unknown is not None:
        hint = nearest(unknown, names) or "; leave it out"
        return f"expected keywords of {name} ({', '.join(names)}), got {unknown!r}{hint}"
    if len(args) > len(placed):
        rest = [one for one in names if one not in placed]
        by_name = f"; give the others by name: {', '.join(f'{one}=' for one in rest)}" if rest else f"; {write}"
        count = f"at most {len(placed)} argument{'s' * (len(placed) != 1)}"
        return f"expected {count} of {name} without a name ({', '.join(placed)}), got {len(args)}{by_name}"
    twice = next((one for one in placed[: len(args)] if one in keywords), None)
    if twice is not None:
        return f"expected {twice} once in a call of {name}, got it twice, with and without its name; {write}"
    missing = [
        f"{one.name}=" if one.kind is inspect.Parameter.KEYWORD_ONLY else one.name
        for one in parameters
        if one.default is inspect.Parameter.empty and one.kind in _NAMED
        if one.name not in keywords and one.name not in placed[: len(args)]
    ]
    return f"expected {' and '.join(missing)} in a call of {name}, got none; {write}"


def _example(name: str, parameters: Sequence[inspect.Parameter]) -> str:
    """Return a call of a function with what it needs."""
    needed = [one for one in parameters if one.default is inspect.Parameter.empty and one.kind in _NAMED]
    said = [f"{one.name}={one.name}" if one.kind is inspect.Parameter.KEYWORD_ONLY else one.name for one in needed]
    return f"{name}({', '.join(said)})"


def whole(name: str, value: Any, *, least: int = 1) -> int:
    """Return a whole number as an int.

    Args:
        name: of the argument.
        value: what was given; NumPy's numbers are fine, a bool is none.
        least: the smallest that will do.

    Raises:
        ArgumentError: it is none, or too small.

    Example:
        >>> whole("steps", 3)
        3
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        broken = isinstance(value, float) and math.isfinite(value) and value >= least
        advice = f"round it, to {round(value)} say" if broken else f"give {least} or more"
        raise ArgumentError(f"expected {name} to be a whole number of at least {least}, got {value!r}; {advice}")
    return int(value)


def real(name: str, value: Any, *, least: float = 0.0, above: bool = False) -> float:
    """Return a finite number as a float.

    Args:
        name: of the argument.
        value: what was given; NumPy's numbers are fine, a bool is none.
        least: the smallest that will do.
        above: whether it must be greater than that.

    Raises:
        ArgumentError: it is none, or too small.

    Example:
        >>> real("rate", 1)
        1.0
    """
    fits = not isinstance(value, bool) and isinstance(value, numbers.Real) and math.isfinite(value)
    if not fits or value < least or (above and value == least):
        bound = f"above {least:g}" if above else f"of at least {least:g}"
        raise ArgumentError(f"expected {name} to be a finite number {bound}, got {value!r}; give one")
    return float(value)


def one_of(name: str, value: Any, names: Iterable[str]) -> str:
    """Return a word that is one of those allowed.

    Args:
        name: of the argument.
        value: what was given.
        names: the words allowed.

    Raises:
        ArgumentError: it is none of them.

    Example:
        >>> one_of("arch", "cnv", ["mlp", "conv"])
        Traceback (most recent call last):
        genrev.errors.ArgumentError: expected arch to be one of mlp, conv, got 'cnv'; did you mean 'conv'?
    """
    if not isinstance(value, str) or value not in names:
        raise ArgumentError(
            f"expected {name} to be one of {', '.join(names)}, got {value!r:.60}"
            f"{nearest(str(value), names) or '; choose one of them'}"
        )
    return value


def of_type(name: str, value: Any, kind: type[R]) -> R:
    """Return a value that is of the type asked for.

    Args:
        name: of the argument.
        value: what was given.
        kind: the type.

    Raises:
        ArgumentError: it is of another.

    Example:
        >>> of_type("sampled", "yes", bool)
        Traceback (most recent call last):
        genrev.errors.ArgumentError: expected sampled to be of type bool, got str; give one
    """
    if not isinstance(value, kind):
        raise ArgumentError(f"expected {name} to be of type {kind.__name__}, got {type(value).__name__}; give one")
    return value


def as_json(name: str, values: Any) -> dict[str, Any]:
    """Return a dict as JSON gives it back: tuples as lists, names that are numbers as strings.

    Args:
        name: of the argument.
        values: a mapping of whatever ``json`` writes.

    Raises:
        ArgumentError: it is none.

    Example:
        >>> as_json("about", {"seed": 0, "shape": (1, 28, 28)})
        {'seed': 0, 'shape': [1, 28, 28]}
    """
    try:
        return json.loads(json.dumps(dict(values)))
    except (TypeError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())[:80].rstrip(".")
        raise ArgumentError(
            f"expected {name} as a dict of strings, numbers, lists and dicts, got '{said}'; convert it first"
        ) from error


def check_seed(seed: Any) -> int:
    """Return a seed as an int.

    Args:
        seed: what was given; NumPy's numbers are fine, a bool is none.

    Raises:
        ArgumentError: it is no whole number from 0 to 2^63 - 1.

    Example:
        >>> check_seed(0)
        0
    """
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= int(seed) < 2**63:
        raise ArgumentError(f"expected a seed that is a whole number from 0 to 2^63 - 1, got {seed!r}; give one")
    return int(seed)
