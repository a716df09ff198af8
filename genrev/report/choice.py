"""Which answers a report shows: a few targets of every class, and each method's best and worst."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

TARGETS = 10
"""How many targets are shown at most."""

SAMPLES = 4
"""How many samples of a typed target are shown at most."""

PICKS = 4
"""How many hits, and how many misses, of a method are shown at most."""

Place = tuple[int, int]
"""Which target, which sample."""


def choose(classes: Sequence[int], limit: int) -> list[int]:
    """Return the places of at most so many targets, the first of every class before any second, side by side.

    Args:
        classes: the class that each target asks for, -1 for none.
        limit: how many at most.

    Example:
        >>> choose([0, 0, 0, 1], 3)
        [0, 1, 3]
    """
    seen: dict[int, int] = {}
    turns = []
    for place, label in enumerate(classes):
        turns.append((seen.setdefault(label, 0), label, place))
        seen[label] += 1
    return [place for label, place in sorted((label, place) for _, label, place in sorted(turns)[:limit])]


def hits_and_misses(answer: Mapping[str, Any], classes: Sequence[int]) -> tuple[list[Place], list[Place]]:
    """Return a method's best and worst answers among the first samples of all targets.

    A hit is within tolerance and, where there is a judge, seen to be the class asked for: the best have the least
    residual. Of the others the worst have the greatest residual; then come those that the judge sees otherwise.

    Args:
        answer: of a method: ``residual``, ``outcome`` and ``judged``.
        classes: the class that each target asks for, -1 for none.

    Returns:
        Hits and misses, the most telling first.

    Example:
        >>> answer = {"residual": np.array([[0.3], [0.0], [0.7]]), "outcome": np.array([[1], [0], [1]]), "judged": None}
        >>> hits_and_misses(answer, [-1, -1, -1])
        ([(1, 0)], [(2, 0), (0, 0)])
    """
    met, residual = answer["outcome"][:, 0] == 0, answer["residual"][:, 0]
    asked = np.asarray(classes)
    agrees = np.ones(len(met), bool) if answer["judged"] is None else (answer["judged"][:, 0] == asked) | (asked < 0)
    # What is NaN is as bad as it gets.
    size = np.where(np.isnan(residual), math.inf, residual)
    hits = [place for place in np.argsort(size, kind="stable").tolist() if met[place] and agrees[place]]
    worst = np.lexsort((-size, met)).tolist()
    misses = [place for place in worst if not (met[place] and agrees[place])]
    return [(place, 0) for place in hits[:PICKS]], [(place, 0) for place in misses[:PICKS]]


def shown(report: Mapping[str, Any]) -> dict[str, dict[str, list[Place]]]:
    """Return all answers that stand as a picture in a report.

    Args:
        report: as `genrev.report.render` takes it.

    Returns:
        By ``held_out`` and, where targets were typed, ``asked``; and by method.

    Example:
        >>> part = {"classes": [0, 0], "answers": {"real": {}}}
        >>> shown({"held_out": part, "asked": None})
        {'held_out': {'real': [(0, 0), (1, 0)]}}
    """
    part = report["held_out"]
    columns = [(place, 0) for place in choose(part["classes"], TARGETS)]
    found = {"held_out": {name: columns + _picks(name, part) for name in part["answers"]}}
    if report["asked"] is not None:
        typed = report["asked"]
        found["asked"] = {
            name: [
                (place, sample)
                for place in choose(typed["classes"], TARGETS)
                for sample in range(min(SAMPLES, answer["x"].shape[1]))
            ]
            for name, answer in typed["answers"].items()
        }
    return found


def _picks(name: str, part: Mapping[str, Any]) -> list[Place]:
    if name in ("real", "noise"):
        return []
    hits, misses = hits_and_misses(part["answers"][name], part["classes"])
    return hits + misses
