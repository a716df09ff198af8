"""A comparison as one HTML file that needs nothing else: the pictures first, then the figures, then why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genrev.report.columns import COLUMNS, LUCK, Column, lucky
from genrev.report.findings import FRAME, MARKS, doubt, mark, order, ordered, tag
from genrev.report.galleries import galleries, legend
from genrev.report.headline import headline
from genrev.report.methods import sections
from genrev.report.pictures import picture
from genrev.report.rerun import lines, warning
from genrev.report.scatter import Scatter, scatter
from genrev.report.shots import ends
from genrev.report.values import written


def render(report: Mapping[str, Any]) -> str:
    """Write a comparison as one self-contained HTML page; the same report always gives the same text.

    Args:
        report: plain data, arrays of NumPy among it:
            ``rows``: a mapping for each method, keys ``inverter`` and those of `COLUMNS`;
            ``summaries``: by method, a sentence on how it picks its inputs;
            ``notes``, ``asked_notes``: by method, what it did on the held-out and on the typed targets;
            ``histories``: by method, a list of the courses of its training; see `genrev.report.curves.curve`;
            ``chains``: by method that draws by chains, what these come to on their way: ``steps``, after how many;
            ``count``, for how many targets; ``courses`` and ``frame``, see `genrev.report.chains.course`; ``whole``,
            whether their end is the answer; and for a few ``targets``, with ``classes``, the pictures ``x``
            ``(r, k, *input_shape)``, ``residual``, ``outcome`` and ``judged``;
            ``about``: how it was measured, by name;
            ``names``: a name for each class, or None; ``columns``: one for each value of an input, or None;
            ``tolerance``: in words; ``tolerances``: one number for each output, or one for all;
            ``training``: the training inputs that answers are shown beside: ``x``, and their numbers, ``rows``;
            ``low``, ``high``: ``input_shape``: the range in which inputs are drawn;
            ``fixed``: whether that range is the input space's own;
            ``outcomes``: by number, the name of each outcome and its sentence; 0 is the good one;
            ``held_out``, ``asked``: what was asked, and the answers of each method; ``asked`` may be None. Each has
            ``targets`` ``(batch, *output_shape)``, NaN where free; ``classes``, the class each asks for, -1 for none;
            and ``answers``, by method, with ``x`` ``(batch, samples, *input_shape)``, ``y``, ``residual``,
            ``outcome``, ``judged``, the class that a judge sees, or None; and ``nearest`` and ``distance``, the number
            of the nearest training input and how far it is, for the first samples, or None.

    Returns:
        The page.

    Example:
        >>> answer = {"x": np.zeros((1, 1, 2, 2)), "y": np.ones((1, 1, 1)), "residual": np.zeros((1, 1))}
        >>> rest = {"outcome": np.zeros((1, 1), int), "judged": None, "nearest": None, "distance": None}
        >>> page = render({
        ...     "rows": [{"inverter": "real", **{column.key: None for column in COLUMNS}}],
        ...     "summaries": {}, "notes": {}, "asked_notes": {}, "histories": {}, "chains": {}, "about": {},
        ...     "names": None, "columns": None, "tolerance": "0.001", "tolerances": [0.001], "fixed": True,
        ...     "low": np.zeros((2, 2)), "high": np.ones((2, 2)), "outcomes": {0: ("CONVERGED", "Met.")},
        ...     "training": {"rows": [], "x": np.zeros((0, 2, 2))},
        ...     "held_out": {"targets": np.ones((1, 1)), "classes": [-1], "answers": {"real": {**answer, **rest}}},
        ...     "asked": None,
        ... })
        >>> page.startswith("<!doctype html>"), "data:image/png;base64," in page
        (True, True)
    """
    import jinja2

    tables = galleries(report)
    targets = len(report["held_out"]["targets"])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        about=lines(report["about"]),
        columns=COLUMNS,
        command=report["about"].get("command"),
        doubt=f"{100 * doubt(targets):.0f}",
        galleries=tables,
        headline=headline(report["rows"], targets),
        legend=legend(report, tables),
        luck=LUCK if lucky(report["rows"]) else "",
        marks=_marks(report["rows"]),
        methods=sections(report),
        order=order(report["rows"]),
        plots=_plots(report),
        rows=[_row(row, report["rows"]) for row in ordered(report["rows"])],
        tolerance=report["tolerance"],
        targets=targets,
        training=_training(report),
        warning=warning(report["about"]),
    )


def _row(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    name = row["inverter"]
    cells = [(column.text(row[column.key]), _sorted_by(column, row[column.key])) for column in COLUMNS]
    return {"name": name, "tag": tag(row, rows), "frame": name in FRAME, "cells": cells}


def _marks(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the marks that occur, with what they mean."""
    found = {mark(row, rows) for row in rows}
    return [(word, meaning) for word, meaning in MARKS.items() if word in found]


def _sorted_by(column: Column, value: float | None) -> str:
    """Return the number that a cell is sorted by; nothing where none applies."""
    if value is None:
        return "Infinity" if column.missing == "inf" else ""
    return repr(float(value))


def _plots(report: Mapping[str, Any]) -> list[tuple[str, Scatter]]:
    """Return the plot for wide pages and for narrow ones, whose letters would else be too small to read."""
    sizes = (("broad", 760.0, 460.0), ("narrow", 370.0, 430.0))
    found = [(kind, scatter(report["rows"], report["tolerances"], *size)) for kind, *size in sizes]
    return [(kind, plot) for kind, plot in found if plot is not None]


def _training(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    low, high = ends(report)
    inputs = (np.asarray(x, dtype=np.float64) for x in report["training"]["x"])
    return [{"picture": picture(x, low, high), "numbers": written(x)} for x in inputs]
