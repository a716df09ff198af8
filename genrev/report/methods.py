"""What each method did: how it picks, how its searches ended, how it learned, and its hits and misses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genrev.report.captions import Captions
from genrev.report.chains import chain
from genrev.report.choice import hits_and_misses
from genrev.report.columns import percent
from genrev.report.curves import curve
from genrev.report.findings import arranged
from genrev.report.shots import Shots

_TITLES = {"asked": "On the targets typed by hand", "held_out": "On the outputs of held-out inputs"}


def sections(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is said of each method.

    Args:
        report: as `genrev.report.render` takes it.

    Returns:
        For each, its ``name``, the call that builds it as ``description``, a sentence as ``summary``, the courses of
        its training as ``curves``; what its chains show on their way as ``chain``, or None; for each of the ``parts``
        of the report, title, outcomes, note, and what the note says beyond them as ``extra``; the ``sentences`` of its
        bad outcomes; ``hits`` and ``misses``, pictures.
    """
    shots = Shots(report, "held_out")
    return [_section(report, name, shots) for name in arranged(list(report["notes"]), report["rows"])]


def _section(report: Mapping[str, Any], name: str, shots: Shots) -> dict[str, Any]:
    part = report["held_out"]
    summary = report["summaries"].get(name, "")
    hits, misses = hits_and_misses(part["answers"][name], part["classes"])
    ended = {
        key: counts(report, report[key]["answers"][name]["outcome"])
        for key in _TITLES
        if report[key] is not None and name in report[key]["answers"]
    }
    curves = (curve(history) for history in report["histories"].get(name, []))
    return {
        "name": name,
        "description": report["about"].get("methods", {}).get(name, ""),
        "summary": summary,
        "curves": [each for each in curves if each is not None],
        "chain": chain(report, name),
        "parts": [
            {
                "title": _TITLES[key],
                # The note begins with the sentence that stands above it.
                "note": notes[name].removeprefix(summary).strip(),
                "extra": _extra(notes[name].removeprefix(summary), ended[key]),
                "outcomes": ended[key],
            }
            for key, notes in (("asked", report["asked_notes"]), ("held_out", report["notes"]))
            if name in notes and report[key] is not None
        ],
        "sentences": sorted(
            {(each["name"], each["sentence"]) for counted in ended.values() for each in counted if not each["good"]}
        ),
        "hits": [shots.of(name, place) for place in hits],
        "misses": [shots.of(name, place) for place in misses],
    }


def _extra(note: str, ended: Sequence[Mapping[str, Any]]) -> str:
    """Leave out of a note the outcomes that are counted and explained beside it."""
    total = sum(each["count"] for each in ended)
    for each in ended:
        note = note.replace(f"{each['name']} {each['count']} of {total}: {each['sentence']}", "")
    return " ".join(note.split())


def counts(report: Mapping[str, Any], outcome: np.ndarray) -> list[dict[str, Any]]:
    """Return how often a method's searches ended in which way.

    Args:
        report: as `genrev.report.render` takes it.
        outcome: integers of any shape.
    """
    values, numbers = np.unique(outcome, return_counts=True)
    return [
        {
            "mark": Captions.mark(int(value)),
            "name": report["outcomes"][int(value)][0],
            "sentence": report["outcomes"][int(value)][1],
            "good": int(value) == 0,
            "count": int(count),
            "share": percent(float(count / outcome.size)),
            "width": f"{100 * count / outcome.size:.2f}",
        }
        for value, count in zip(values, numbers, strict=True)
    ]
