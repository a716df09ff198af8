"""The plot of fidelity against plausibility: a point a method, real and noise as its frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genrev.report.axes import Axis, around
from genrev.report.columns import COLUMNS, NONE, Column, compact, percent
from genrev.report.findings import FRAME, mark, ordered
from genrev.report.labels import Box, gap, line, place, width

_LETTER = 13.0
"""Size of the letters, in units of the drawing."""

_EDGE = 34.0
"""Width of the strips for residuals that have no place on a logarithmic axis: 0 and inf."""

_GAP = 18.0
"""Between such a strip and the axis, so that their ticks stand apart."""

_ROOM = 1.5
"""By which ratio the residuals keep from the ends of their axis."""

_LONGEST = 22
"""How many letters of a name are written beside its point."""

_MEASURES = ("judge_agreement", "recall", "coverage")
"""What says how real inputs look, in the order in which it is trusted."""


@dataclass(frozen=True)
class Point:
    """One row of the table, as a point.

    Args:
        name: of the row.
        kind: "real", "noise" or "method".
        x: in units of the drawing.
        y: likewise, downwards.
        words: all that it says.
        label: what stands beside it.
        left: where the label begins.
        base: the line that it stands on.
        leader: SVG path from the point to a label that stands apart, or nothing.
        hollow: whether the table marks the row.
    """

    name: str
    kind: str
    x: float
    y: float
    words: str
    label: str
    left: float
    base: float
    leader: str
    hollow: bool


@dataclass(frozen=True)
class Scatter:
    """The plot, ready to be drawn.

    Args:
        width: of the drawing, in its units.
        height: likewise.
        letter: size of the letters.
        area: where points can lie.
        measure: what is drawn upwards, as a column of the table.
        columns: x, words and whether a line is drawn, for each tick of the residual.
        rows: y and words of each tick of the measure.
        tolerance: from which x to which; the same twice where one tolerance holds for all outputs.
        strips: x of the strips at the ends of the axis, from where to where.
        frame: y, kind and words of the lines of real and noise.
        points: all rows that have a place.
        missing: the names of those that have none.
        words: the plot for those who can't see it.
    """

    width: float
    height: float
    letter: float
    area: Box
    measure: Column
    columns: list[tuple[float, str, bool]]
    rows: list[tuple[float, str]]
    tolerance: tuple[float, float]
    strips: list[tuple[float, float]]
    frame: list[tuple[float, str, str]]
    points: list[Point]
    missing: list[str]
    words: str


def scatter(
    rows: Sequence[Mapping[str, Any]], tolerances: Sequence[float], across: float, down: float
) -> Scatter | None:
    """Lay out the plot of the median residual against the judge's view, or against recall or coverage without one.

    A residual of 0, and one that is not finite, have no place on a logarithmic axis: they stand in strips at its ends.

    Args:
        rows: each with the key ``inverter`` and those of `genrev.report.COLUMNS`.
        tolerances: positive: one for each output, or one for all.
        across: width of the drawing, in its units.
        down: its height.

    Returns:
        The plot; None where nothing was measured that says how real inputs look.

    Example:
        >>> figures = {"judge_agreement": 0.5, "both": 0.5, "residual_median": 0.0}
        >>> plot = scatter([{"inverter": "newton", **figures}], [1e-3], 600, 400)
        >>> [(point.name, point.x < plot.area.left) for point in plot.points]
        [('newton', False)]
    """
    measure = _measure(rows)
    if measure is None:
        return None
    placed = [row for row in ordered(rows) if row[measure.key] is not None]
    area = Box(52.0, 24.0, across - 14.0, down - 52.0)
    residuals = [_residual(row) for row in placed]
    usual = [value for value in residuals if 0 < value < math.inf]
    edges = any(value == 0 for value in residuals), any(value == math.inf for value in residuals)
    axis = Axis(
        *around([value * room for value in [*usual, *tolerances] for room in (1 / _ROOM, _ROOM)], log=True),
        area.left + (_EDGE + _GAP) * edges[0],
        area.right - (_EDGE + _GAP) * edges[1],
        log=True,
    )
    rise = Axis(0.0, 1.0, area.bottom - 12, area.top + 12)
    spots = [
        (_across(value, axis, area), rise.at(row[measure.key])) for value, row in zip(residuals, placed, strict=True)
    ]
    tolerance = axis.at(min(tolerances)), axis.at(max(tolerances))
    return Scatter(
        width=across,
        height=down,
        letter=_LETTER,
        area=area,
        measure=measure,
        columns=_columns(axis, area, edges),
        rows=[
            (rise.at(tick), f"{100 * tick:.0f} %" if measure.write is percent else f"{tick:g}")
            for tick in rise.ticks(5)
        ],
        tolerance=tolerance,
        strips=[
            *([(area.left, area.left + _EDGE)] if edges[0] else []),
            *([(area.right - _EDGE, area.right)] if edges[1] else []),
        ],
        frame=[
            (spot[1], row["inverter"], FRAME[row["inverter"]])
            for spot, row in zip(spots, placed, strict=True)
            if row["inverter"] in FRAME
        ],
        points=_points(rows, placed, spots, measure, area, tolerance),
        missing=[row["inverter"] for row in rows if row[measure.key] is None],
        words="; ".join(_words(row, measure, rows) for row in placed),
    )


def _measure(rows: Sequence[Mapping[str, Any]]) -> Column | None:
    columns = {column.key: column for column in COLUMNS}
    known = (key for key in _MEASURES if any(row.get(key) is not None for row in rows))
    return next((columns[key] for key in known), None)


def _residual(row: Mapping[str, Any]) -> float:
    value = row["residual_median"]
    return math.inf if value is None else abs(value)


def _across(residual: float, axis: Axis, area: Box) -> float:
    if residual == 0:
        return area.left + _EDGE / 2
    return area.right - _EDGE / 2 if residual == math.inf else axis.at(residual)


def _columns(axis: Axis, area: Box, edges: tuple[bool, bool]) -> list[tuple[float, str, bool]]:
    room = max(2, int((axis.end - axis.start) // 52))
    ticks = [(axis.at(tick), compact(tick), True) for tick in axis.ticks(room)]
    zero = [(area.left + _EDGE / 2, "0", False)] if edges[0] else []
    endless = [(area.right - _EDGE / 2, "inf", False)] if edges[1] else []
    return [*zero, *ticks, *endless]


def _points(
    every: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    spots: Sequence[tuple[float, float]],
    measure: Column,
    area: Box,
    tolerance: tuple[float, float],
) -> list[Point]:
    labels = [_short(row["inverter"]) for row in rows]
    # The word at the tolerance's line stands at the foot of the area.
    down = 1.2 * _LETTER
    taken = [Box(tolerance[0] - 4 - width("tolerance", _LETTER), area.bottom - down, tolerance[1] + 4, area.bottom)]
    boxes = place(spots, labels, _LETTER, Box(area.left + 2, area.top, area.right - 2, area.bottom), taken)
    return [
        Point(
            name=row["inverter"],
            kind=row["inverter"] if row["inverter"] in FRAME else "method",
            x=x,
            y=y,
            words=_words(row, measure, every),
            label=label,
            left=box.left,
            base=round(box.bottom - 0.3 * _LETTER, 2),
            leader=_leader((x, y), box, spots),
            hollow=bool(mark(row, every)),
        )
        for row, (x, y), label, box in zip(rows, spots, labels, boxes, strict=True)
    ]


def _leader(point: tuple[float, float], box: Box, spots: Sequence[tuple[float, float]]) -> str:
    """A label needs a line where it stands far from its point, or as near to another's."""
    away = gap(point, box)
    if away < 10 and not any(gap(other, box) < away + 6 for other in spots if other != point):
        return ""
    (x, y), (to_x, to_y) = line(point, box)
    return f"M{x},{y}L{to_x},{to_y}"


def _words(row: Mapping[str, Any], measure: Column, rows: Sequence[Mapping[str, Any]]) -> str:
    value = row[measure.key]
    said = NONE if value is None else measure.write(value)
    word = mark(row, rows)
    figures = f"residual {COLUMNS[0].text(row['residual_median'])}, {measure.heading} {said}"
    return f"{row['inverter']}: {figures}{f', {word}' if word else ''}"


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
