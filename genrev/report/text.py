"""A comparison as plain text: an aligned table for terminals, what its columns mean, and a sheet of its figures."""

from __future__ import annotations

import csv as sheets
import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from genrev.report.columns import COLUMNS, LUCK, NONE, lucky
from genrev.report.findings import MARKS, mark, order, ordered

_WIDTH = 110
"""How long a line of an explanation is at most."""


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the rows of a comparison as a table.

    Args:
        rows: each with the key ``inverter`` and those of `COLUMNS`.

    Returns:
        One line of headings and one a row, in their order, with marks at the end where there are any; without a line
        end after the last.

    Example:
        >>> row = {"inverter": "real", **{column.key: None for column in COLUMNS}, "converged": 1.0}
        >>> print("|".join(table([row]).splitlines()[1].split()))
        real|inf|inf|inf|100|%|-|-|-|-|-|-|-|-
    """
    lines = [["method", *(column.heading for column in COLUMNS)]]
    found = ordered(rows)
    lines += [[_plain(row["inverter"]), *(column.text(row[column.key]) for column in COLUMNS)] for row in found]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    marks = ["", *(mark(row, rows) for row in found)]
    return "\n".join(f"{_aligned(line, widths)}  {word}".rstrip() for line, word in zip(lines, marks, strict=True))


def csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the rows of a comparison for a spreadsheet, every figure with all its digits.

    Args:
        rows: each with the key ``inverter`` and those of `COLUMNS`.

    Returns:
        A line of keys and one a row, in the order of the table, empty where a figure does not apply; the last column
        is the mark. With a line end after the last.

    Example:
        >>> row = {"inverter": "real", **{column.key: None for column in COLUMNS}, "converged": 1.0}
        >>> print(csv([row]).splitlines()[1])
        real,,,,1.0,,,,,,,,,
    """
    keys = ["inverter", *(column.key for column in COLUMNS)]
    sheet = io.StringIO()
    writer = sheets.writer(sheet, lineterminator="\n")
    writer.writerow([*keys, "mark"])
    writer.writerows([*(row[key] for key in keys), mark(row, rows)] for row in ordered(rows))
    return sheet.getvalue()


def explanation(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say what the columns of a table mean, in words for someone who sees one for the first time.

    Args:
        rows: of one table or of several, each with the keys ``inverter`` and those of `COLUMNS`.

    Returns:
        Lines that say how to read a figure and in which order the rows stand, then one or two for each column and each
        mark, without a line end after the last.

    Example:
        >>> print([line for line in explanation([]).splitlines() if line.startswith("met")][0])
        met        share of the samples whose residual is within the tolerance
    """
    terms = {column.heading: column.meaning for column in COLUMNS} | {NONE: "does not apply"}
    if lucky(rows):
        terms["noise"] = LUCK
    width = max(map(len, terms)) + 2
    lines = [
        textwrap.fill(f"{term:<{width}}{meaning}", _WIDTH, subsequent_indent=" " * width)
        for term, meaning in terms.items()
    ]
    return "\n".join(
        [
            "Compare every row with real (held-out inputs, measured in the same way) and with noise (random inputs).",
            textwrap.fill(order(rows), _WIDTH),
            *lines,
            *(textwrap.fill(f"{word}: {meaning}", _WIDTH, subsequent_indent="  ") for word, meaning in MARKS.items()),
        ]
    )


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    name, *figures = line
    return "  ".join(
        [name.ljust(widths[0]), *(text.rjust(width) for text, width in zip(figures, widths[1:], strict=True))]
    )


def _plain(name: str) -> str:
    """A line end or an escape code in a name would break the table, or the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
