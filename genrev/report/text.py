"""A comparison as plain text: an aligned table for terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrev.report.columns import COLUMNS


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the rows of a comparison as a table.

    Args:
        rows: each with the key ``inverter`` and those of `COLUMNS`.

    Returns:
        One line of headings and one a row, without a line end after the last.

    Example:
        >>> row = {"inverter": "real", **{column.key: None for column in COLUMNS}, "converged": 1.0}
        >>> print("|".join(table([row]).splitlines()[1].split()))
        real|inf|inf|inf|100|%|-|-|-|-|-|-|-
    """
    lines = [["method", *(column.heading for column in COLUMNS)]]
    lines += [[_plain(row["inverter"]), *(column.text(row[column.key]) for column in COLUMNS)] for row in rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    name, *figures = line
    return "  ".join(
        [name.ljust(widths[0]), *(text.rjust(width) for text, width in zip(figures, widths[1:], strict=True))]
    )


def _plain(name: str) -> str:
    """A line end or an escape code in a name would break the table, or the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
