"""What learning machines are given, checked before anything is learned: data, outputs beside them, and widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrev.checks import whole
from genrev.errors import ArgumentError
from genrev.models.rbm import RBM
from genrev.models.units import Units


def check_values(groups: Sequence[Units], v: Any, name: str = "data", *, least: int = 2) -> None:
    """Refuse values that groups of units can't take.

    Args:
        groups: of the units, side by side.
        v: ``(n, units)``.
        name: what the sentence calls them.
        least: how many rows there must be.

    Raises:
        ArgumentError: of the wrong width, too few, or none that the units can take.
    """
    sizes = [group.size for group in groups]
    check_rows(v, sum(sizes), name, least=least)
    for group, values in zip(groups, v.split(sizes, -1), strict=True):
        group.expect(values, name)


def check_rows(v: Any, width: int, name: str, *, least: int) -> None:
    """Refuse what are no rows of finite numbers.

    Args:
        v: ``(n, width)``.
        width: how many numbers in a row.
        name: what the sentence calls them.
        least: how many rows there must be.

    Raises:
        ArgumentError: of the wrong width, too few, or not finite.
    """
    real = isinstance(v, Tensor) and not v.is_complex() and v.layout is torch.strided
    if not real or v.ndim != 2 or v.shape[1] != width or len(v) < least:
        got = type(v).__name__ if not isinstance(v, Tensor) else tuple(v.shape) if real else f"{v.dtype}, {v.layout}"
        raise ArgumentError(
            f"expected {name} as a tensor of real numbers of shape (n, {width}), n >= {least}, got {got}; give a "
            "row an example"
        )
    if not bool(v.isfinite().all()):
        raise ArgumentError(f"expected finite {name}, got NaN or infinity; leave those rows out")


def check_outputs(groups: Sequence[Units], y: Any, rows: int) -> None:
    """Refuse outputs that can't stand beside the last code of so many examples.

    Args:
        groups: of the outputs' units, side by side; none where there are no outputs.
        y: ``(rows, units)``, or None.
        rows: how many examples there are.

    Raises:
        ArgumentError: some are missing or too many, or none that the units can take.
    """
    size = sum(group.size for group in groups)
    got = "none" if y is None else f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
    if (y is None) != (not groups) or (y is not None and got != f"shape {(rows, size)}"):
        wanted = f"outputs of shape {(rows, size)}, as the machine on top has them" if groups else "no outputs"
        raise ArgumentError(f"expected {wanted}, got {got}; give a row an example, group beside group")
    if y is not None:
        check_values(groups, y, "outputs", least=1)


def check_machine(rbm: RBM) -> None:
    """Refuse what is no machine, or one whose learning has failed.

    Args:
        rbm: of finite weights.

    Raises:
        ArgumentError: it is none, or has others.
    """
    if not isinstance(rbm, RBM):
        raise ArgumentError(f"expected an RBM, got {type(rbm).__name__}; of a DBN take its top")
    if not all(bool(values.isfinite().all()) for values in rbm.parameters()):
        raise ArgumentError("expected a machine of finite weights, got NaN or infinity; learn at a lower rate")


def check_widths(hidden: Any) -> list[int]:
    """Return the widths of a stack's codes, two or more.

    Args:
        hidden: from the data up.

    Raises:
        ArgumentError: they are no whole numbers, or fewer than two.

    Example:
        >>> check_widths((100, 200))
        [100, 200]
    """
    widths = hidden.tolist() if isinstance(hidden, (Tensor, np.ndarray, np.generic)) else hidden
    several = isinstance(widths, Sequence) and not isinstance(widths, (str, bytes, Mapping))
    if not several or len(widths) < 2:
        raise ArgumentError(
            f"expected hidden as two widths or more, the last that of the machine on top, got {hidden!r:.60}; write "
            "hidden=(100, 200), or use a single machine: 'rbm'"
        )
    return [whole("hidden", width) for width in widths]
