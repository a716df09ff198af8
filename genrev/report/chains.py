"""Chains on their way: the pictures that a method shows after some steps, and its figures against their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genrev.report.axes import Axis, around
from genrev.report.columns import COLUMNS, Column, compact, percent
from genrev.report.findings import FRAME, doubt
from genrev.report.labels import Box
from genrev.report.shots import Shots

NETWORK = Column(
    "network_agreement",
    "network",
    "high",
    "share in which the network itself sees the class that was asked for, be it ever so unsure",
    percent,
)
"""What the network makes of a draw, whose residual is seldom within a tolerance."""

_SHARES = ("judge_agreement", NETWORK.key)
_RESIDUAL = next(column for column in COLUMNS if column.key == "residual_median")
_KINDS = {"judge_agreement": "judge", NETWORK.key: "network", _RESIDUAL.key: "residual"}

_WIDE = 30.0
"""From which ratio on residuals are drawn on a logarithmic axis."""

_APART = 26.0
"""How far apart the numbers of steps stand at least, in units of the drawing."""


@dataclass(frozen=True)
class Course:
    """Figures against the number of steps, ready to be drawn.

    Args:
        width: of the drawing, in its units.
        height: likewise.
        area: where the lines lie.
        title: what is drawn upwards.
        lines: kind ("judge", "network" or "residual"), heading, SVG path and dots of each.
        frame: y and name of the lines of real and noise.
        columns: x and words of the ticks of the steps.
        rows: y and words of the ticks of the figures.
        log: whether the figures are drawn on a logarithmic axis.
        words: what the lines show.
    """

    width: float
    height: float
    area: Box
    title: str
    lines: list[tuple[str, str, str, list[tuple[float, float]]]]
    frame: list[tuple[float, str]]
    columns: list[tuple[float, str]]
    rows: list[tuple[float, str]]
    log: bool
    words: str


def chain(report: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return what the chains of a method show on their way.

    Args:
        report: as `genrev.report.render` takes it.
        name: of the method.

    Returns:
        The ``steps`` in words; the ``rows`` of pictures, each a ``head`` and ``cells``; the ``figures``, each a
        heading, a meaning and what stands below each number of steps; the ``course``, drawn, or None where there is one
        number of steps alone; whether their end is the method's answer, ``whole``; and ``words``. None where the method
        runs no chains, or none were watched.
    """
    found = report["chains"].get(name)
    if found is None:
        return None
    columns = _columns(found["courses"])
    return {
        "steps": [str(count) for count in found["steps"]],
        "rows": _film(report, name, found),
        "figures": [
            (column.heading, column.meaning, [column.text(value) for value in found["courses"][column.key]])
            for column in columns
        ],
        "course": course(found),
        "whole": found["whole"],
        "words": _words(found),
    }


def course(found: Mapping[str, Any], across: float = 420.0, down: float = 230.0) -> Course | None:
    """Lay out figures against the number of steps: shares that have the class asked for, else the median residual.

    Args:
        found: ``steps``, ascending from 0; ``count``, of how many targets; ``courses``, by name figures after each
            number of steps; ``frame``, by row the same figures of real and random inputs.
        across: width of the drawing, in its units.
        down: its height.

    Returns:
        The drawing; None where there is only one number of steps, or no figure.

    Example:
        >>> shares = {"judge_agreement": [0.5, 0.9], "network_agreement": [0.4, 0.8]}
        >>> rest = {"converged": [0.0, 0.0], "residual_median": [0.5, 0.2]}
        >>> drawn = course({"steps": [0, 9], "count": 50, "courses": {**shares, **rest}, "frame": {}})
        >>> [kind for kind, *_ in drawn.lines], [words for _, words in drawn.columns]
        (['judge', 'network'], ['0', '9'])
    """
    steps, columns = found["steps"], {column.key: column for column in _columns(found["courses"])}
    keys = [key for key in _SHARES if key in columns] or [_RESIDUAL.key]
    values = {key: found["courses"][key] for key in keys}
    frame = {name: found["frame"][name][keys[0]] for name in FRAME if name in found["frame"]}
    finite = [value for each in values.values() for value in each if value is not None]
    if len(steps) < 2 or not finite:
        return None
    residual = keys == [_RESIDUAL.key]
    # Real inputs have no residual, and the network sees in them by construction what it is asked for.
    judged = keys[0] == "judge_agreement"
    edges = {name: value for name, value in frame.items() if value is not None and (judged or name == "noise")}
    every = [*finite, *edges.values()]
    log = residual and min(every) > 0 and max(every) / min(every) > _WIDE
    area = Box(56.0, 26.0, across - 18.0, down - 34.0)
    # No step has a place on a logarithmic axis, one step more has.
    along = Axis(1, steps[-1] + 1, area.left + 6, area.right - 6, log=True)
    low, high = around(every, log=log) if residual else (0.0, 1.0)
    rise = Axis(low if log else 0.0, high, area.bottom, area.top, log=log)
    return Course(
        width=across,
        height=down,
        area=area,
        title="↑ residual (median)" if residual else "↑ share of the draws with the class asked for",
        lines=[_line(columns[key], steps, each, along, rise) for key, each in values.items()],
        frame=[(rise.at(value), name) for name, value in edges.items()],
        columns=_ticks(steps, along),
        rows=[(rise.at(tick), compact(tick) if residual else f"{100 * tick:.0f} %") for tick in rise.ticks(5)],
        log=log,
        words="; ".join(_read(columns[key], steps, each) for key, each in values.items()),
    )


def _columns(courses: Mapping[str, Sequence[float | None]]) -> list[Column]:
    """Return what was measured, in the order of the table; a residual always is."""
    known = {column.key: column for column in (*COLUMNS, NETWORK)}
    keys = (*_SHARES, "converged", _RESIDUAL.key)
    return [known[key] for key in keys if key == _RESIDUAL.key or any(value is not None for value in courses[key])]


def _film(report: Mapping[str, Any], name: str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    frames = [f"{name} after {count} step{'s' * (count != 1)}" for count in found["steps"]]
    answers = {
        frame: {
            key: None if found[key] is None else found[key][:, place, None]
            for key in ("x", "residual", "outcome", "judged")
        }
        for place, frame in enumerate(frames)
    }
    # A film is shown like a gallery that has a row for each target.
    part = {"targets": found["targets"], "classes": found["classes"], "answers": answers}
    shots = Shots({**report, "film": part}, "film")
    return [
        {
            "head": shots.captions.target(found["targets"][row], found["classes"][row]),
            "cells": [shots.of(frame, (row, 0)) for frame in frames],
        }
        for row in range(len(found["classes"]))
    ]


def _line(
    column: Column, steps: Sequence[int], values: Sequence[float | None], along: Axis, rise: Axis
) -> tuple[str, str, str, list[tuple[float, float]]]:
    """Draw a line through the figures; one that is not finite breaks it."""
    parts, dots, pen = [], [], "M"
    for count, value in zip(steps, values, strict=True):
        if value is None:
            pen = "M"
            continue
        dots.append((along.at(count + 1), rise.at(value)))
        parts.append(f"{pen}{dots[-1][0]:g},{dots[-1][1]:g}")
        pen = "L"
    return _KINDS[column.key], column.heading, "".join(parts), dots


def _read(column: Column, steps: Sequence[int], values: Sequence[float | None]) -> str:
    """Read a line to those who can't see it."""
    points = (f"{count}: {column.text(value)}" for count, value in zip(steps, values, strict=True))
    return f"{column.heading} at {', '.join(points)}"


def _ticks(steps: Sequence[int], along: Axis) -> list[tuple[float, str]]:
    """Return the numbers of steps that have room, the last and the first before all others."""
    first, *between, last = ((along.at(count + 1), str(count)) for count in steps)
    kept = [last]
    for tick in reversed(between):
        if min(kept[-1][0] - tick[0], tick[0] - first[0]) >= _APART:
            kept.append(tick)
    return [first, *reversed(kept)]


def _words(found: Mapping[str, Any]) -> str:
    """Say what the figures were at the beginning and at the end, and how far they can be trusted."""
    steps, count, courses = found["steps"], found["count"], found["courses"]
    real, noise = (found["frame"].get(name, {}) for name in ("real", "noise"))
    draws = f"One draw for each of {count} targets" if count != 1 else "One draw for one target"
    told = []
    if courses["judge_agreement"][-1] is not None:
        share = real.get("judge_agreement")
        beside = f" (in {percent(share)} of the real inputs)" if share is not None else ""
        told.append(f"the judge sees the class asked for {_change(courses['judge_agreement'], steps, 'in ')}{beside}")
    if courses[NETWORK.key][-1] is not None:
        what = "the network itself" if told else "the network itself sees the class asked for"
        told.append(f"{what} {_change(courses[NETWORK.key], steps, 'in ', brief=bool(told))}")
    if told:
        points = f"{100 * doubt(count):.0f} percentage points (one standard error, at most)"
        return f"{draws}: {'; '.join(told)}. By chance such a share may be off by {points}."
    beside = f" (that of random inputs is {_RESIDUAL.text(noise[_RESIDUAL.key])})" if noise else ""
    return f"{draws}: the median residual is {_change(courses[_RESIDUAL.key], steps, '', _RESIDUAL)}{beside}."


def _change(
    values: Sequence[float | None], steps: Sequence[int], before: str, column: Column = NETWORK, *, brief: bool = False
) -> str:
    first, last = (f"{before}{column.text(value)}" for value in (values[0], values[-1]))
    if len(steps) == 1:
        return last if brief else f"{last}, without a step"
    if brief:
        return f"{first} and {last}"
    return f"{first} before the first step and {last} after {steps[-1]} step{'s' * (steps[-1] != 1)}"
