"""Labels beside points: near their own, and over nothing else."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MARGIN = 6.0
"""How far a label keeps from the middle of a point."""

_APART = 3.0
"""How far labels keep from each other, from side to side."""

_LETTER = 0.66
"""Width of a letter, in its height."""


@dataclass(frozen=True)
class Box:
    """A rectangle, in units of a drawing; y grows downwards.

    Args:
        left: its least x.
        top: its least y.
        right: its greatest x.
        bottom: its greatest y.

    Example:
        >>> Box(0, 0, 2, 2).meets(Box(1, 1, 3, 3)), Box(0, 0, 2, 2).meets(Box(2, 0, 3, 1))
        (True, False)
    """

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Return whether two boxes share more than an edge.

        Args:
            other: any.
        """
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: Box) -> bool:
        """Return whether another lies within.

        Args:
            other: any.
        """
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


def width(text: str, size: float) -> float:
    """Return about how wide a text is, rather too wide than too narrow.

    Args:
        text: on one line.
        size: of its letters, in units of a drawing.

    Example:
        >>> width("newton", 10), width("日本", 10)
        (39.6, 20.0)
    """
    return round(size * sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else _LETTER for letter in text), 2)


def place(
    points: Sequence[tuple[float, float]], texts: Sequence[str], size: float, area: Box, taken: Sequence[Box] = ()
) -> list[Box]:
    """Return where labels stand: as near to their points as can be, over no point and over no other label.

    Args:
        points: x and y of each.
        texts: the label of each, on one line.
        size: of their letters.
        area: where labels may stand.
        taken: where nothing may stand.

    Returns:
        A box for each, in the order of the points. Where the area is full, labels overlap.

    Example:
        >>> boxes = place([(50, 50), (50, 50)], ["one", "two"], 10, Box(0, 0, 100, 100))
        >>> boxes[0].meets(boxes[1])
        False
    """
    marks = [Box(x - _MARGIN, y - _MARGIN, x + _MARGIN, y + _MARGIN) for x, y in points]
    full = [*taken, *marks]
    found: list[Box] = []
    for point, text in zip(points, texts, strict=True):
        boxes = _candidates(point, width(text, size), 1.2 * size, area)
        first = next(boxes)
        box = next((one for one in boxes if not any(one.meets(other) for other in full)), first)
        found.append(box)
        full.append(Box(box.left - _APART, box.top, box.right + _APART, box.bottom))
    return found


def _candidates(point: tuple[float, float], across: float, down: float, area: Box) -> Iterator[Box]:
    """First the box beside the point, wherever that is; then all within the area, the nearest first."""
    x, y = point
    sides = [
        (x + _MARGIN, y - down / 2),
        (x - _MARGIN - across, y - down / 2),
        (x - across / 2, y - _MARGIN - down),
        (x - across / 2, y + _MARGIN),
    ]
    boxes = [_box(left, top, across, down) for left, top in sides]
    yield _inside(boxes[0], area)
    grid = [
        _box(left, top, across, down)
        for left in _steps(area.left, area.right - across, 6.0)
        for top in _steps(area.top, area.bottom - down, 3.0)
    ]
    yield from (box for box in boxes if area.holds(box))
    yield from sorted(grid, key=lambda box: gap(point, box))


def gap(point: tuple[float, float], box: Box) -> float:
    """Return how far a point is from a box; 0 within it.

    Args:
        point: x and y.
        box: any.

    Example:
        >>> gap((0, 0), Box(3, 4, 5, 6))
        5.0
    """
    x, y = point
    return math.hypot(max(box.left - x, 0.0, x - box.right), max(box.top - y, 0.0, y - box.bottom))


def _box(left: float, top: float, across: float, down: float) -> Box:
    return Box(round(left, 2), round(top, 2), round(left + across, 2), round(top + down, 2))


def _inside(box: Box, area: Box) -> Box:
    across, down = box.right - box.left, box.bottom - box.top
    return _box(
        max(area.left, min(box.left, area.right - across)),
        max(area.top, min(box.top, area.bottom - down)),
        across,
        down,
    )


def _steps(first: float, last: float, step: float) -> list[float]:
    return [first + step * place for place in range(int((last - first) // step) + 1)] if last >= first else []
