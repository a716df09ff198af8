"""What a table shows: which rows are its frame, in which order the methods stand, how they are marked, and in short.

This is the one place that ranks: tables, pages, sheets and the shell all take their order from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

FRAME = {"real": "ceiling", "noise": "floor"}
"""The rows between which all others are read."""

COPIES, NEARLY, UNLIKE = "copies", "nearly copies", "unlike real data"
"""The marks of rows whose other figures flatter them."""

_NEAR = 0.1
"""Below which novelty inputs are nearly copies: real ones keep ten times that distance from the training inputs."""

_VARIED = 1 / 3
"""Below which share of the variety of real inputs a method's inputs are marked as unlike them."""

MARKS = {
    COPIES: "novelty 0: half of its inputs or more are training inputs; it invents nothing, and stands last",
    NEARLY: f"novelty below {_NEAR}: training inputs, changed a little; stands last too",
    UNLIKE: "recall or coverage is less than a third of that of real: as a set its inputs are blurs, noise or much "
    "alike, whatever the judge says of each",
}
"""What each mark means."""

Row = Mapping[str, Any]


def tag(row: Row, rows: Sequence[Row]) -> str:
    """Return what a row stands for, or what its figures hide: a word, or nothing.

    Args:
        row: one of the rows.
        rows: each with the key ``inverter`` and those of `genrev.report.COLUMNS`.

    Example:
        >>> real, nearest = {"inverter": "real", "recall": 0.9}, {"inverter": "nearest", "novelty": 0.0}
        >>> blurs, cvae = {"inverter": "blurs", "recall": 0.1}, {"inverter": "cvae", "recall": 0.8}
        >>> [tag(row, [real, nearest, blurs, cvae]) for row in (real, nearest, blurs, cvae)]
        ['ceiling', 'copies', 'unlike real data', '']
    """
    return FRAME.get(row["inverter"], "") or mark(row, rows)


def mark(row: Row, rows: Sequence[Row]) -> str:
    """Return what the figures of a method hide, as one of `MARKS`, or nothing.

    Args:
        row: one of the rows.
        rows: each with the key ``inverter`` and those of `genrev.report.COLUMNS`.
    """
    if row["inverter"] in FRAME:
        return ""
    if copied(row):
        return COPIES if row["novelty"] == 0 else NEARLY
    varied = variety(row, rows)
    return UNLIKE if varied is not None and varied < _VARIED else ""


def copied(row: Row) -> bool:
    """Return whether the inputs of a row are training inputs, or nearly.

    Args:
        row: with the keys of `genrev.report.COLUMNS`.
    """
    novelty = row.get("novelty")
    return novelty is not None and novelty < _NEAR


def variety(row: Row, rows: Sequence[Row]) -> float | None:
    """Return how much of the variety of real inputs a method shows.

    That is the lesser of recall and coverage, each as a share of that of real: blurs have no recall, and noise that is
    spread wide has no coverage.

    Args:
        row: one of the rows.
        rows: each with the key ``inverter`` and those of `genrev.report.COLUMNS`.

    Returns:
        A share in [0, 1]; None where neither was measured.

    Example:
        >>> real, some = ({"inverter": name, "recall": recall} for name, recall in (("real", 0.8), ("some", 0.4)))
        >>> variety(some, [real, some])
        0.5
    """
    real = next((one for one in rows if one["inverter"] == "real"), {})
    shares = []
    for key in ("recall", "coverage"):
        ceiling = real.get(key)
        # Where even real inputs show none of it, it says nothing.
        if row.get(key) is not None and ceiling != 0:
            shares.append(min(row[key] / (ceiling or 1.0), 1.0))
    return min(shares, default=None)


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Return the frame first, then the methods: those that are exact, plausible and varied first, copies last.

    The order is that of the share ``both`` (without a judge, of the share within tolerance) times the variety. Among
    equals the greater share stands first, then the smaller residual.

    Args:
        rows: each with the key ``inverter`` and those of `genrev.report.COLUMNS`.

    Example:
        >>> rows = [{"inverter": name, "both": both, "residual_median": 0.0} for name, both in (("a", 0.1), ("b", 0.9))]
        >>> [row["inverter"] for row in ordered(rows)]
        ['b', 'a']
    """

    def place(row: Row) -> tuple[bool, float, float, float]:
        residual = row["residual_median"]
        return copied(row), -merit(row, rows), -fitting(row), math.inf if residual is None else residual

    frame = [row for name in FRAME for row in rows if row["inverter"] == name]
    return frame + sorted(methods(rows), key=place)


def merit(row: Row, rows: Sequence[Row]) -> float:
    """Return what a method's place is decided by: the share that fits times the variety, where that was measured.

    Args:
        row: one of the rows.
        rows: each with the key ``inverter`` and those of `genrev.report.COLUMNS`.
    """
    varied = variety(row, rows)
    return fitting(row) * (1.0 if varied is None else varied)


def arranged(names: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Return names in the order in which the rows stand, those without a row last.

    Args:
        names: of rows.
        rows: each with the key ``inverter`` and those of `genrev.report.COLUMNS`.
    """
    places = {row["inverter"]: place for place, row in enumerate(ordered(rows))}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def methods(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that are no frame.

    Args:
        rows: each with the key ``inverter``.
    """
    return [row for row in rows if row["inverter"] not in FRAME]


def fitting(row: Row) -> float:
    """Return the share that fits: exact and, where there is a judge, seen as what was asked for.

    Args:
        row: with the keys of `genrev.report.COLUMNS`.
    """
    return (row["converged"] if row["both"] is None else row["both"]) or 0.0


def order(rows: Sequence[Row]) -> str:
    """Say in which order the methods stand.

    Args:
        rows: of one table or of several, each with the keys of `genrev.report.COLUMNS`.

    Example:
        >>> order([{"inverter": "a", "both": 0.5, "recall": None, "coverage": None}])
        'The methods stand in the order of both; copies stand last.'
    """
    share = "both" if any(row.get("both") is not None for row in rows) else "met"
    if all(row.get(key) is None for row in rows for key in ("recall", "coverage")):
        return f"The methods stand in the order of {share}; copies stand last."
    return (
        f"The methods stand in the order of {share} multiplied by variety (the lesser of recall and coverage, as a "
        "share of that of real); copies stand last."
    )


def doubt(targets: int) -> float:
    """Return how far a share over so many targets may be off by chance: the greatest standard error, in [0, 0.5].

    The samples of one target are alike, so only targets count.

    Args:
        targets: how many, at least 1.

    Example:
        >>> doubt(100)
        0.05
    """
    return 0.5 / math.sqrt(targets)
