"""What a table shows: which rows are its frame, in which order the methods stand, and a sentence that says it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from genrev.report.columns import percent, ratio

FRAME = {"real": "ceiling", "noise": "floor"}
"""The rows between which all others are read."""

COPIES = "the row to beat in novelty"
"""What is said of a method that returns training inputs."""

Row = Mapping[str, Any]


def tag(name: str, copying: Sequence[str]) -> str:
    """Return what a row stands for, or nothing.

    Args:
        name: of the row.
        copying: the methods that return training inputs.

    Example:
        >>> tag("real", []), tag("nearest", ["nearest"]), tag("newton", [])
        ('ceiling', 'the row to beat in novelty', '')
    """
    return FRAME.get(name, COPIES if name in copying else "")


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Return the frame first, then the methods, those first that are both exact and plausible.

    That is the share ``both``; without a judge, the product of the shares within tolerance and of recall. Among equals
    the smaller residual stands first.

    Args:
        rows: each with the key ``inverter`` and those of `genrev.report.COLUMNS`.

    Example:
        >>> rows = [{"inverter": name, "both": both, "residual_median": 0.0} for name, both in (("a", 0.1), ("b", 0.9))]
        >>> [row["inverter"] for row in ordered(rows)]
        ['b', 'a']
    """
    return [row for name in FRAME for row in rows if row["inverter"] == name] + sorted(methods(rows), key=_merit)


def methods(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that are no frame.

    Args:
        rows: each with the key ``inverter``.
    """
    return [row for row in rows if row["inverter"] not in FRAME]


def headline(rows: Sequence[Row]) -> str:
    """Return a sentence on the method that stands first, between the ceiling and the floor.

    Args:
        rows: each with the key ``inverter`` and those of `genrev.report.COLUMNS`.

    Example:
        >>> headline([{"inverter": "newton", "both": 0.5, "residual_median": 0.0}])
        'newton comes first: 50.0 % of its inputs give what was asked and look right to the judge, both at once.'
    """
    first = next(iter(methods(ordered(rows))), None)
    if first is None:
        return ""
    others = {row["inverter"]: row for row in rows if row["inverter"] in FRAME}
    if first["both"] is not None:
        frame = _between(others, "both", percent)
        return (
            f"{first['inverter']} comes first: {percent(first['both'])} of its inputs give what was asked and look "
            f"right to the judge, both at once{frame}.{_variety(first, others)}"
        )
    said = f"{first['inverter']} comes first: {percent(first['converged'])} of its inputs give what was asked"
    if first["recall"] is None:
        return f"{said}. There was no judge, so that nobody said what they look like."
    frame = _between(others, "recall", ratio)
    return f"{said}, with a recall of {ratio(first['recall'])}{frame}. There was no judge."


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


def _merit(row: Row) -> tuple[float, float]:
    both = row["both"]
    if both is None:
        both = row["converged"] * (1.0 if row["recall"] is None else row["recall"])
    residual = row["residual_median"]
    return -both, math.inf if residual is None else residual


def _variety(row: Row, others: Mapping[str, Row]) -> str:
    """Say how varied the inputs of a method are, because a judge takes a blur for what it is nearest to."""
    if row.get("recall") is None:
        return ""
    real = others.get("real", {}).get("recall")
    poor = real is not None and row["recall"] < real / 2
    said = f" Its recall is {ratio(row['recall'])}{_between(others, 'recall', ratio)}"
    return f"{said}: its inputs are blurs, or much alike." if poor else f"{said}."


def _between(others: Mapping[str, Row], key: str, write: Any) -> str:
    parts = [f"{name} {write(row[key])}" for name, row in others.items() if row[key] is not None]
    return f" ({', '.join(parts)})" if parts else ""
