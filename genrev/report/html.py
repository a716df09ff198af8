"""A comparison as one HTML file that needs nothing else: the pictures first, then the figures, then why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genrev.report.captions import Captions
from genrev.report.columns import COLUMNS, LUCK, compact, lucky, percent
from genrev.report.pictures import picture

TARGETS = 10
"""How many targets are shown at most."""

METHODS = 12
"""How many methods are shown in pictures at most."""

SAMPLES = 4
"""How many samples of a typed target are shown at most."""

_TAGS = {"real": "ceiling", "noise": "floor"}

_ABOUT = {
    "seed": "of everything random",
    "samples": "inputs found for each target",
    "targets": "outputs of held-out inputs, asked of every method: what the figures are measured on",
    "asked": "targets typed by hand: in the pictures and notes, in no figure",
    "reference": "other held-out inputs: the real inputs that recall and coverage are measured against",
    "training": "inputs that the methods learned from: what novelty is measured against",
    "neighbours": "the k of recall and coverage: how many of its own set an input's surroundings hold",
    "judge": "the independent classifier",
    "outputs": "what kind of numbers the network gives",
    "network_fingerprint": "the same for the same weights",
    "data_fingerprint": "the same for the same inputs",
}
"""What a line of how it was measured means, where its name and value do not say it."""


def render(report: Mapping[str, Any]) -> str:
    """Write a comparison as one self-contained HTML page; the same report always gives the same text.

    Args:
        report: plain data, arrays of NumPy among it:
            ``rows``: a mapping for each method, keys ``inverter`` and those of `COLUMNS`;
            ``notes``, ``asked_notes``: by method, what it did on the held-out and on the typed targets;
            ``about``: how it was measured, by name;
            ``names``: a name for each class, or None;
            ``tolerance``: in words;
            ``low``, ``high``: ``input_shape``: the range in which inputs are drawn;
            ``fixed``: whether that range is the input space's own;
            ``outcomes``: by number, the name of each outcome and its sentence; 0 is the good one;
            ``held_out``, ``asked``: what was asked, and the answers of each method; ``asked`` may be None. Each has
            ``targets`` ``(batch, *output_shape)``, NaN where free; ``classes``, the class each asks for, -1 for none;
            and ``answers``, by method, with ``x`` ``(batch, samples, *input_shape)``, ``y``, ``residual``,
            ``outcome`` and ``judged``, the class that a judge sees, or None.

    Returns:
        The page.

    Example:
        >>> answer = {"x": np.zeros((1, 1, 2, 2)), "y": np.ones((1, 1, 1)), "residual": np.zeros((1, 1))}
        >>> answers = {"real": {**answer, "outcome": np.zeros((1, 1), int), "judged": None}}
        >>> page = render({
        ...     "rows": [{"inverter": "real", **{column.key: None for column in COLUMNS}}],
        ...     "notes": {}, "asked_notes": {}, "about": {}, "names": None, "tolerance": "0.001", "fixed": True,
        ...     "low": np.zeros((2, 2)), "high": np.ones((2, 2)), "outcomes": {0: ("CONVERGED", "Met.")},
        ...     "held_out": {"targets": np.ones((1, 1)), "classes": [-1], "answers": answers}, "asked": None,
        ... })
        >>> page.startswith("<!doctype html>"), "data:image/png;base64," in page
        (True, True)
    """
    import jinja2

    galleries = _galleries(report)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        about=[(name, value, _ABOUT.get(name, "")) for name, value in report["about"].items() if name != "methods"],
        columns=COLUMNS,
        galleries=galleries,
        legend=_legend(report, galleries),
        luck=LUCK if lucky(report["rows"]) else "",
        methods=_methods(report),
        rows=[_row(row) for row in report["rows"]],
        tolerance=report["tolerance"],
        targets=len(report["held_out"]["targets"]),
    )


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    name = row["inverter"]
    return {"name": name, "tag": _TAGS.get(name, ""), "cells": [column.text(row[column.key]) for column in COLUMNS]}


def _galleries(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    galleries = [_gallery(report, "held_out", samples=1, skip=())]
    if report["asked"] is not None:
        # Nothing real belongs to a typed target, and chance has nothing to say about it.
        galleries.insert(0, _gallery(report, "asked", samples=SAMPLES, skip=("real", "noise")))
    return galleries


def _gallery(report: Mapping[str, Any], key: str, *, samples: int, skip: Sequence[str]) -> dict[str, Any]:
    part, captions = report[key], Captions(report["names"], key == "asked")
    targets, classes = part["targets"], part["classes"]
    # What the judge sees in the inputs that the targets were made from; typed targets were made from none.
    originals = part["answers"].get("real", {"judged": None})["judged"]
    judged = [None] * len(targets) if originals is None else originals[:, 0].tolist()
    places = _choose(classes, TARGETS)
    names = [name for name in part["answers"] if name not in skip]
    shown = names[: METHODS + (0 if skip else len(_TAGS))]

    def figures(name: str, place: int, count: int) -> list[dict[str, Any]]:
        answer = part["answers"][name]
        return [
            {
                "picture": picture(_numbers(answer["x"][place, sample]), *_range(report)),
                "caption": captions.of(
                    name, targets[place], classes[place], answer, (place, sample), report["outcomes"]
                ),
            }
            for sample in range(count)
        ]

    def row(name: str) -> dict[str, Any]:
        x = part["answers"][name]["x"]
        # The same picture over and over says less than the word.
        repeats = (
            samples > 1 and x.shape[1] > 1 and bool(np.array_equal(x, x[:, :1].repeat(x.shape[1], 1), equal_nan=True))
        )
        count = 1 if repeats else min(samples, x.shape[1])
        tag = "one answer, each time" if repeats else {"real": "the originals"}.get(name, _TAGS.get(name, ""))
        return {
            "name": name,
            "tag": tag,
            "cells": [figures(name, place, count) for place in places],
            "outcomes": np.unique(part["answers"][name]["outcome"][places, :count]).tolist(),
        }

    rows = [row(name) for name in shown]
    # The pictures of real inputs bear no mark.
    outcomes = {outcome for row in rows if row["name"] != "real" for outcome in row["outcomes"]}
    return {
        "key": key,
        "heads": [captions.target(targets[place], classes[place], judged[place]) for place in places],
        "differ": sum(map(captions.differ, classes, judged)),
        "rows": rows,
        "outcomes": outcomes,
        "marks": _marks(report, outcomes),
        "targets": (len(places), len(targets)),
        "methods": (len(shown), len(names)),
        "samples": samples,
        "by_class": max(classes, default=-1) >= 0,
        "wide": len(places) * samples > 12,
    }


def _choose(classes: Sequence[int], limit: int) -> list[int]:
    """Return the places of at most so many targets, the first of every class before any second, side by side."""
    seen: dict[int, int] = {}
    turns = []
    for place, label in enumerate(classes):
        turns.append((seen.setdefault(label, 0), label, place))
        seen[label] += 1
    return [place for label, place in sorted((label, place) for _, label, place in sorted(turns)[:limit])]


def _numbers(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _range(report: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    return _numbers(report["low"]), _numbers(report["high"])


def _marks(report: Mapping[str, Any], outcomes: Iterable[int]) -> list[tuple[str, str, str]]:
    """Return the sign, the name and the sentence of outcomes."""
    return [(Captions.mark(outcome), *report["outcomes"][outcome]) for outcome in sorted(outcomes)]


def _legend(report: Mapping[str, Any], galleries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Say how pictures are drawn, and what the marks mean that stand under them."""
    low, high = _range(report)
    parts = [report["held_out"], *([report["asked"]] if report["asked"] is not None else [])]
    answers = [answer for part in parts for answer in part["answers"].values()]
    return {
        "images": low.ndim in (2, 3),
        "colours": low.ndim == 3 and len(low) == 3,
        "low": compact(float(low.min())),
        "high": compact(float(high.max())),
        "fixed": report["fixed"],
        "broken": any(not np.isfinite(answer["x"]).all() for answer in answers),
        "judged": any(answer["judged"] is not None for answer in answers),
        "marks": _marks(report, {outcome for gallery in galleries for outcome in gallery["outcomes"]}),
    }


def _methods(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    descriptions = report["about"].get("methods", {})
    return [
        {
            "name": name,
            "description": descriptions.get(name, ""),
            "parts": [
                {"title": title, "note": notes[name], "outcomes": _counts(report, part["answers"][name]["outcome"])}
                for title, notes, part in (
                    ("On the targets typed by hand", report["asked_notes"], report["asked"]),
                    ("On the outputs of held-out inputs", report["notes"], report["held_out"]),
                )
                if name in notes and part is not None
            ],
        }
        for name in report["notes"]
    ]


def _counts(report: Mapping[str, Any], outcome: np.ndarray) -> list[dict[str, Any]]:
    values, counts = np.unique(outcome, return_counts=True)
    return [
        {
            "mark": Captions.mark(int(value)),
            "name": report["outcomes"][int(value)][0],
            "good": int(value) == 0,
            "count": int(count),
            "share": percent(float(count / outcome.size)),
            "width": f"{100 * count / outcome.size:.2f}",
        }
        for value, count in zip(values, counts, strict=True)
    ]
