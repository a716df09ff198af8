"""Errors: everything that genrev raises on purpose, each one sentence with what was expected, what came, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GenrevError(Exception):
    """Any error that genrev raises on purpose; catch this one to catch them all.

    Example:
        >>> import genrev
        >>> try:
        ...     genrev.load("nowhere.safetensors")
        ... except genrev.GenrevError as error:
        ...     print(type(error).__name__)
        FileError
    """


class ArgumentError(GenrevError, ValueError):
    """An argument has the wrong shape, range, type or name."""


class NotFittedError(GenrevError, RuntimeError):
    """A learning inverter was asked for inputs before it was fitted."""


class LayerError(GenrevError, TypeError):
    """A network or a layer is of a form that the chosen method can't invert."""


class FileError(GenrevError, OSError):
    """A file or folder is missing, unreadable, foreign, of another network, or can't be written."""


class UnknownNameError(GenrevError, KeyError):
    """A name is in none of genrev's tables."""

    def __str__(self) -> str:
        # KeyError would show the repr of the sentence, quotes and all.
        return str(self.args[0])


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest of the names, or an empty string where none is near.

    Args:
        name: what was asked for.
        names: what there is.
    """
    matches = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean '{matches[0]}'?" if matches else ""
