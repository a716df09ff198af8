"""The answer of a comparison in short: which method invents best, what real inputs get, and which methods only copy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from genrev.report.columns import percent, ratio
from genrev.report.findings import (
    COPIES,
    FRAME,
    NEARLY,
    UNLIKE,
    copied,
    fitting,
    mark,
    merit,
    methods,
    ordered,
    variety,
)

Row = Mapping[str, Any]

_FULL = 0.9
"""From which share of the variety of real inputs a method's inputs are about as varied."""


class Piece(NamedTuple):
    """A part of a sentence.

    Args:
        text: what it says.
        name: whether it is the name of a method.
    """

    text: str
    name: bool = False


def headline(rows: Sequence[Row], targets: int | None = None) -> list[Piece]:
    """Say which method comes first among those that invent, what real inputs get, and which methods only copy.

    Args:
        rows: each with the key ``inverter`` and those of `genrev.report.COLUMNS`.
        targets: how many the shares are of: methods that chance may have put behind the first are then named with it.

    Returns:
        The sentences in pieces, so that names can be set apart; none where there is no method.

    Example:
        >>> "".join(piece.text for piece in headline([{"inverter": "newton", "both": 0.5, "residual_median": 0.0}]))
        'newton: 50.0 % of its inputs give what was asked and look right to the judge.'
    """
    found = methods(ordered(rows))
    inventing = [row for row in found if not copied(row)]
    sentences = [
        _first(inventing, rows),
        _rivals(inventing, rows, targets),
        _flattered(inventing, rows),
        *_copying(found, rows),
    ]
    pieces = [piece for sentence in sentences if sentence for piece in [Piece(" "), *sentence]]
    return pieces[1:]


def _first(inventing: Sequence[Row], rows: Sequence[Row]) -> list[Piece]:
    if not inventing:
        return [Piece("No method here invents inputs.")] if methods(rows) else []
    first = inventing[0]
    judged = first["both"] is not None
    what, key = ("what was asked and look right to the judge", "both") if judged else ("what was asked", "converged")
    frame = _frame(rows, key, percent)
    if fitting(first) == 0:
        return [Piece(f"No method found an input that gives {what.replace('look', 'looks')}{frame}.")]
    said = f"{percent(fitting(first))} of its inputs give {what}{frame}"
    name, unheard = Piece(first["inverter"], name=True), "" if judged else " There was no judge."
    if mark(first, rows) == UNLIKE:
        return [
            Piece("No method makes inputs that are like real data as a set. "),
            name,
            Piece(f" comes nearest: {said}, but they are blurs, noise or much alike{_spread(first, rows)}.{unheard}"),
        ]
    alone = len(methods(rows)) == 1
    begin = [name] if alone else [Piece("Of the methods that invent inputs, "), name, Piece(" comes first")]
    return [*begin, Piece(f": {said}.{_varied(first, rows)}{unheard}")]


def _rivals(inventing: Sequence[Row], rows: Sequence[Row], targets: int | None) -> list[Piece]:
    """Name the rows behind the first whose distance to it is no more than chance, by twice its standard error."""
    if targets is None or not inventing or mark(inventing[0], rows) == UNLIKE or fitting(inventing[0]) == 0:
        return []
    first, names = inventing[0], []
    for row in inventing[1:]:
        # A share of 0 or 1 over few targets is not known exactly either (Agresti and Coull, 1998).
        shares = [(fitting(one) * targets + 1) / (targets + 2) for one in (first, row)]
        error = math.sqrt(sum(share * (1 - share) for share in shares) / targets)
        if mark(row, rows) != UNLIKE and merit(first, rows) - merit(row, rows) <= 2 * error:
            names.append(row["inverter"])
    if not names:
        return []
    end = f" {'is' if len(names) == 1 else 'are'} so near behind that more targets may turn the order round."
    return [*_listed(names), Piece(end)]


def _varied(row: Row, rows: Sequence[Row]) -> str:
    share = variety(row, rows)
    if share is None:
        return ""
    much = "about as varied as" if share >= _FULL else "less varied than"
    return f" As a set they are {much} real inputs{_spread(row, rows)}."


def _spread(row: Row, rows: Sequence[Row]) -> str:
    """Give the figure that says it: of recall and coverage the lesser share of that of real."""
    told = [key for key in ("recall", "coverage") if row.get(key) is not None]
    shares = {key: variety({"inverter": row["inverter"], key: row[key]}, rows) for key in told}
    key = min((share, key) for key, share in shares.items() if share is not None)[1]
    return f" ({', '.join([f'{key} {ratio(row[key])}', *_values(rows, key, ratio, ('real',))])})"


def _flattered(inventing: Sequence[Row], rows: Sequence[Row]) -> list[Piece]:
    """Name the rows behind the first that fit no less often, but by inputs unlike real data."""
    least = fitting(inventing[0]) if inventing else 0.0
    names = [row["inverter"] for row in inventing[1:] if fitting(row) >= least > 0 and mark(row, rows) == UNLIKE]
    if not names:
        return []
    end = "does as well by that count, but its inputs are" if len(names) == 1 else "do as well by that count, but are"
    return [*_listed(names), Piece(f" {end} {UNLIKE}.")]


def _copying(found: Sequence[Row], rows: Sequence[Row]) -> list[list[Piece]]:
    sentences = []
    for kind, one, several in (
        (COPIES, "only copies training inputs", "only copy training inputs"),
        (NEARLY, "returns training inputs nearly unchanged", "return training inputs nearly unchanged"),
    ):
        names = [row["inverter"] for row in found if mark(row, rows) == kind]
        if names:
            sentences.append([*_listed(names), Piece(f" {one if len(names) == 1 else several}.")])
    return sentences


def _listed(names: Sequence[str]) -> list[Piece]:
    """Join names by commas, the last by "and"."""
    pieces = [Piece(names[0], name=True)]
    for place, name in enumerate(names[1:], start=2):
        pieces += [Piece(" and " if place == len(names) else ", "), Piece(name, name=True)]
    return pieces


def _frame(rows: Sequence[Row], key: str, write: Callable[[float], str]) -> str:
    parts = _values(rows, key, write, tuple(FRAME))
    return f" ({', '.join(parts)})" if parts else ""


def _values(rows: Sequence[Row], key: str, write: Callable[[float], str], names: Sequence[str]) -> list[str]:
    return [
        f"{name} {write(row[key])}"
        for name in names
        for row in rows
        if row["inverter"] == name and row.get(key) is not None
    ]
