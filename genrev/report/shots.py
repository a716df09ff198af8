"""Shots: single answers as pictures, each with its caption and the training input that it is nearest to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from genrev.report.captions import Captions
from genrev.report.choice import Place
from genrev.report.columns import compact, ratio
from genrev.report.pictures import picture
from genrev.report.values import value_names, written


class Shots:
    """Takes pictures of answers.

    Args:
        report: as `genrev.report.render` takes it.
        key: which part of it: "held_out" or "asked".
    """

    def __init__(self, report: Mapping[str, Any], key: str) -> None:
        self.part = report[key]
        self.captions = Captions(report["names"], key == "asked", report["tolerances"])
        self._outcomes, self._rows = report["outcomes"], report["training"]["rows"]
        self._low, self._high = ends(report)
        self._usual = _usual(report)
        self._columns = report["columns"]

    def of(self, name: str, at: Place) -> dict[str, Any]:
        """Return one answer as a picture.

        Args:
            name: of the method.
            at: which target, which sample.

        Returns:
            Its ``picture``; its ``caption``; the ``numbers`` of a short input; ``words``, all of it for those who can't
            see the picture; and ``near``, what is said of the nearest training input: its ``place``
            among those that the report holds, or None, and a sentence, ``words``.
        """
        target, _ = at
        answer, label = self.part["answers"][name], self.part["classes"][target]
        caption = self.captions.of(name, self.part["targets"][target], label, answer, at, self._outcomes)
        x = np.asarray(answer["x"][at], dtype=np.float64)
        numbers, near = written(x), self._near(answer, at)
        named = zip(value_names(self._columns, len(numbers)), numbers, strict=True) if numbers else ()
        said = (caption["words"], ", ".join(f"{name} {value}" for name, value in named), near["words"])
        return {
            "name": name,
            "picture": picture(x, self._low, self._high),
            "caption": caption,
            "numbers": numbers,
            "words": ". ".join(words for words in said if words),
            "near": near,
        }

    def _near(self, answer: Mapping[str, Any], at: Place) -> dict[str, Any]:
        numbers = answer.get("nearest")
        if numbers is None or at[1] >= numbers.shape[1]:
            return {"place": None, "words": ""}
        number, distance = int(numbers[at]), float(answer["distance"][at])
        if number < 0:
            return {"place": None, "words": "It is not finite, so that no training input is near it."}
        place = self._rows.index(number) if number in self._rows else None
        if distance == 0:
            return {"place": place, "words": f"It is a copy of training input {number}."}
        words = f"The nearest training input, number {number}, is {compact(distance)} away"
        times = f": {ratio(distance / self._usual)} times what is usual for real inputs" if self._usual else ""
        return {"place": place, "words": f"{words}{times}."}


def ends(report: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the range in which inputs are drawn.

    Args:
        report: as `genrev.report.render` takes it.
    """
    low, high = (np.asarray(report[key], dtype=np.float64) for key in ("low", "high"))
    return low, high


def _usual(report: Mapping[str, Any]) -> float:
    """The median distance of the held-out inputs to their nearest training inputs; 0 where there is none."""
    distance = report["held_out"]["answers"].get("real", {}).get("distance")
    if distance is None:
        return 0.0
    median = float(np.median(distance))
    return median if np.isfinite(median) else 0.0
