"""What every reader asks of the labels in a file: at least two classes, and numbers that leave none out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genrev.errors import FileError


def check_classes(classes: Sequence[Any], title: str, path: Path) -> None:
    """Refuse classes that are too few or leave out a number.

    Args:
        classes: the different labels, sorted: whole numbers, or names.
        title: what a person calls the array or column of labels.
        path: of the file that they are from.

    Raises:
        FileError: there is one class, or they are numbers other than 0, 1, 2, ...

    Example:
        >>> check_classes([0, 1, 2], "y", Path("own.npz"))
    """
    if len(classes) < 2:
        raise FileError(f"expected at least two classes in {title}, got {classes[0]} alone in {path}; add another")
    if not isinstance(classes[0], str) and (classes[0] != 0 or classes[-1] != len(classes) - 1):
        raise FileError(
            f"expected the labels in {title} to be 0 to {len(classes) - 1} without a gap, got "
            f"{', '.join(map(str, classes[:12]))}{' ...' if len(classes) > 12 else ''} in {path}; {_remedy(classes)}"
        )


def _remedy(classes: Sequence[int]) -> str:
    """Return what makes labels of numbers that don't count from 0 or leave some out."""
    first, last = classes[0], classes[-1]
    shifted = last - first == len(classes) - 1
    anew = f"{'subtract' if first > 0 else 'add'} {abs(first)}" if shifted else "number the classes anew"
    return f"{anew}, or write words such as 'class {first}'"
