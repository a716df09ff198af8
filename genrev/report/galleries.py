"""Galleries: the tables of pictures, a row a method and a column a target, and the legend that explains them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from genrev.report.captions import Captions
from genrev.report.choice import SAMPLES, TARGETS, choose
from genrev.report.columns import compact
from genrev.report.findings import FRAME, arranged, mark
from genrev.report.pictures import SIDE, VALUES
from genrev.report.shots import Shots, ends
from genrev.report.values import SHORT, bounds, value_names

METHODS = 12
"""How many methods are shown in pictures at most."""

Gallery = dict[str, Any]


def galleries(report: Mapping[str, Any]) -> list[Gallery]:
    """Return the tables of pictures, that of typed targets first.

    Args:
        report: as `genrev.report.render` takes it.
    """
    found = [_gallery(report, "held_out", samples=1, skip=())]
    if report["asked"] is not None:
        # Nothing real belongs to a typed target, and chance has nothing to say about it.
        found.insert(0, _gallery(report, "asked", samples=SAMPLES, skip=tuple(FRAME)))
    return found


def legend(report: Mapping[str, Any], tables: Sequence[Gallery]) -> dict[str, Any]:
    """Say how pictures are drawn, and what every outcome that occurs means, shown in a picture or not.

    Args:
        report: as `genrev.report.render` takes it.
        tables: its galleries.
    """
    low, high = ends(report)
    parts = [report["held_out"], *([report["asked"]] if report["asked"] is not None else [])]
    films = list(report["chains"].values())
    answers = [answer for part in parts for answer in part["answers"].values()]
    found = {int(outcome) for part in parts for outcome in _outcomes(part)}
    found |= {int(outcome) for film in films for outcome in np.unique(film["outcome"])}
    pictured = {outcome for table in tables for outcome in table["outcomes"]}
    images = low.ndim in (2, 3)
    return {
        "images": images,
        "colours": low.ndim == 3 and len(low) == 3,
        "low": compact(float(low.min())),
        "high": compact(float(high.max())),
        "fixed": report["fixed"],
        "broken": any(not np.isfinite(answer["x"]).all() for answer in (*answers, *films)),
        "judged": any(answer["judged"] is not None for answer in answers),
        "near": any(answer.get("nearest") is not None for answer in answers),
        "typed": report["asked"] is not None,
        "most": SIDE if images and max(low.shape[-2:]) > SIDE else VALUES if not images and low.size > VALUES else 0,
        "short": low.ndim == 1 and low.size <= SHORT,
        "bars": _bars(report["columns"], low, high) if low.ndim == 1 and low.size <= VALUES else [],
        "marks": [(number, *mark, number in pictured) for number, mark in _marks(report, found | pictured).items()],
    }


def _bars(columns: Sequence[str] | None, low: np.ndarray, high: np.ndarray) -> list[tuple[str, str]]:
    """Return the name and the range of each bar; nothing of so many that have no names."""
    if columns is None and low.size > SHORT:
        return []
    names = value_names(columns, low.size)
    return [(name, bounds(*range_)) for name, *range_ in zip(names, low.tolist(), high.tolist(), strict=True)]


def _outcomes(part: Mapping[str, Any]) -> Iterable[int]:
    """All but those of the originals, which bear no mark."""
    found = [np.unique(answer["outcome"]) for name, answer in part["answers"].items() if name != "real"]
    return np.concatenate(found).tolist() if found else []


def _gallery(report: Mapping[str, Any], key: str, *, samples: int, skip: Sequence[str]) -> Gallery:
    part, shots = report[key], Shots(report, key)
    targets, classes = part["targets"], part["classes"]
    # What the judge sees in the inputs that the targets were made from; typed targets were made from none.
    originals = part["answers"].get("real", {"judged": None})["judged"]
    judged = [None] * len(targets) if originals is None else originals[:, 0].tolist()
    places = choose(classes, TARGETS)
    names = arranged([name for name in part["answers"] if name not in skip], report["rows"])
    shown = names[: METHODS + (0 if skip else len(FRAME))]
    words = {row["inverter"]: mark(row, report["rows"]) for row in report["rows"]}
    rows = [_row(part, name, shots, places, samples, words.get(name, "")) for name in shown]
    # The pictures of real inputs bear no mark.
    outcomes = {outcome for row in rows if row["name"] != "real" for outcome in row["outcomes"]}
    return {
        "key": key,
        "heads": [shots.captions.target(targets[place], classes[place], judged[place]) for place in places],
        "differ": sum(map(Captions.differ, classes, judged)),
        "rows": rows,
        "outcomes": outcomes,
        "marks": list(_marks(report, outcomes).values()),
        "targets": (len(places), len(targets)),
        "methods": (len(shown), len(names)),
        "samples": samples,
        "by_class": max(classes, default=-1) >= 0,
        "wide": len(places) * samples > 12,
    }


def _row(
    part: Mapping[str, Any], name: str, shots: Shots, places: Sequence[int], samples: int, word: str
) -> dict[str, Any]:
    x = part["answers"][name]["x"]
    # The same picture over and over says less than the word.
    repeats = samples > 1 and x.shape[1] > 1 and bool(np.array_equal(x, x[:, :1].repeat(x.shape[1], 1), equal_nan=True))
    count = 1 if repeats else min(samples, x.shape[1])
    said = {"real": "the originals"}.get(name, FRAME.get(name, word))
    if repeats:
        said = f"{said}; one answer, each time" if said else "one answer, each time"
    return {
        "name": name,
        "tag": said,
        "cells": [[shots.of(name, (place, sample)) for sample in range(count)] for place in places],
        "outcomes": np.unique(part["answers"][name]["outcome"][places, :count]).tolist(),
    }


def _marks(report: Mapping[str, Any], outcomes: Iterable[int]) -> dict[int, tuple[str, str, str]]:
    """Return the sign, the name and the sentence of outcomes."""
    return {outcome: (Captions.mark(outcome), *report["outcomes"][outcome]) for outcome in sorted(outcomes)}
