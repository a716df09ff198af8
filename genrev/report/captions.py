"""Captions: what stands above a column of pictures and under each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genrev.report.columns import compact

_MARKS = ("✓", "✗", "■", "…", "∞", "⊘")

_FEW = 4
"""Up to how many outputs are written out."""


class Captions:
    """Writes captions in the names of the classes.

    Args:
        names: a name for each class, or None, where their numbers must do.
        typed: whether targets were typed by hand: then pictures also say what the network makes of them.
        tolerances: positive: one for each output, or one for all.

    Example:
        >>> Captions(["X", "O"], True).target(np.array([0.99, np.nan]), 0)
        {'title': 'X', 'detail': '0.99, any', 'judged': ''}
    """

    def __init__(self, names: Sequence[str] | None, typed: bool, tolerances: Sequence[float] = ()) -> None:
        self.names, self.typed, self.tolerances = names, typed, tolerances

    @staticmethod
    def mark(outcome: int) -> str:
        """Return the sign of an outcome.

        Args:
            outcome: its number; 0 is the good one.

        Example:
            >>> Captions.mark(0)
            '✓'
        """
        return _MARKS[outcome] if outcome < len(_MARKS) else "?"

    def name(self, label: int) -> str:
        """Return the name of a class.

        Args:
            label: its number; -1 where none is meant.

        Example:
            >>> Captions(None, False).name(3), Captions(["X", "O"], False).name(-1)
            ('3', 'none')
        """
        if label < 0:
            return "none"
        return self.names[label] if self.names is not None and label < len(self.names) else str(label)

    def target(self, target: np.ndarray, label: int, judged: int | None = None) -> dict[str, str]:
        """Return what stands above a column.

        Args:
            target: ``output_shape``, NaN where any value will do.
            label: the class that it asks for, or -1.
            judged: the class that a judge sees in the input that the target was made from; None where there is no
                judge, or no such input.

        Returns:
            A ``title``, the class; a ``detail``, the values; and what is ``judged``, where that is another class.

        Example:
            >>> Captions(None, False).target(np.array([1.5, -2.0]), -1)
            {'title': '', 'detail': '1.5, -2', 'judged': ''}
            >>> Captions(["X", "O"], False).target(np.array([0.6, 0.4]), 0, 1)
            {'title': 'X', 'detail': '0.6, 0.4', 'judged': 'O'}
        """
        return {
            "title": self.name(label) if label >= 0 else "",
            "detail": self._values(target, target, label),
            "judged": self.name(judged) if judged is not None and self.differ(label, judged) else "",
        }

    @staticmethod
    def differ(label: int, judged: int | None) -> bool:
        """Return whether a judge sees another class than the one that a target asks for.

        Args:
            label: the class that it asks for; -1 where it asks for none, and nothing can differ.
            judged: the class that the judge sees, or None without a judge.

        Example:
            >>> Captions.differ(3, 8), Captions.differ(3, 3), Captions.differ(-1, 8), Captions.differ(3, None)
            (True, False, False, False)
        """
        return judged is not None and label >= 0 and judged != label

    def of(
        self,
        method: str,
        target: np.ndarray,
        label: int,
        answer: Mapping[str, Any],
        place: tuple[int, int],
        outcomes: Mapping[int, tuple[str, str]],
    ) -> dict[str, Any]:
        """Return what stands under one picture.

        Args:
            method: whose picture it is.
            target: ``output_shape``: what was asked.
            label: the class that was asked for, or -1.
            answer: of the method: ``y``, ``residual``, ``outcome``, ``judged``.
            place: which target, which sample.
            outcomes: by number, the name of each outcome and its sentence.

        Returns:
            ``mark``, ``residual``, ``good``; the number of the ``outcome``; what was ``asked``; ``y`` and ``judged``,
            empty where there is none; ``differs``, the class asked for where the judge sees another; whether it is
            ``real``, an original and no answer; and ``words``, all of it for those who can't see the picture.
        """
        outcome = int(answer["outcome"][place])
        residual = _residual(float(answer["residual"][place]), self.tolerances)
        seen = None if answer["judged"] is None else int(answer["judged"][place])
        judged = "" if seen is None else self.name(seen)
        aim, real = self.target(target, label), method == "real"
        differs = aim["title"] if self.differ(label, seen) else ""
        asked = f"{aim['title']} ({aim['detail']})" if aim["title"] else aim["detail"]
        if real:
            words = [f"the original, network says {asked}"]
        else:
            words = [f"{method}, asked for {asked}", f"residual {residual}, {outcomes[outcome][0]}"]
        if judged:
            words.append(f"judge sees {judged}" + (f", not {differs}" if differs else ""))
        return {
            "mark": self.mark(outcome),
            "good": outcome == 0,
            "outcome": outcome,
            "asked": asked,
            "residual": residual,
            "y": self._values(answer["y"][place], target, label) if self.typed else "",
            "judged": judged,
            "differs": differs,
            "words": ", ".join(words),
            "real": real,
        }

    def _values(self, values: np.ndarray, target: np.ndarray, label: int) -> str:
        """Write a few outputs: all where they are few, else that of the class asked for, else those that were asked."""
        values, free = values.reshape(-1), np.isnan(target.reshape(-1))
        if len(values) <= _FEW:
            # What is free in a target is NaN there; in an answer it has a value.
            # Of probabilities, what is next to nothing needs no digits.
            least = 1e-3 if label >= 0 and bool(((values >= 0) & (values <= 1) | np.isnan(values)).all()) else 0.0
            return ", ".join(
                "any" if unasked and np.isnan(value) else "<0.001" if 0 < value < least else _output(value)
                for value, unasked in zip(values.tolist(), free.tolist(), strict=True)
            )
        if label >= 0:
            return _output(float(values[label])) + (", rest any" if np.isnan(values).any() else "")
        asked = np.flatnonzero(~free).tolist()
        shown = [
            f"{self.name(place)}: {_output(float(values[place]))}" if free.any() else _output(float(values[place]))
            for place in asked[:_FEW]
        ]
        return ", ".join([*shown, "…"])


def _output(value: float) -> str:
    """Write an output, as a decimal where it is short; a probability is 1 only where it is."""
    if 1e-4 <= abs(value) < 0.01:
        return f"{value:.2g}"
    return ">0.999" if 0.9995 <= value < 1 else compact(value)


def _residual(value: float, tolerances: Sequence[float]) -> str:
    """Write a residual in a few digits, and in as many as it takes to stand on its own side of the tolerance."""
    text, places = compact(value), 2
    while any((float(text) <= tolerance) != (value <= tolerance) for tolerance in tolerances):
        digits, exponent = f"{value:.{places}e}".split("e")
        text, places = f"{digits}e{int(exponent)}", places + 1
    return text
