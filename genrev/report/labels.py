"""Labels beside points: near their own, and over nothing else."""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MARGIN = 6.0
"""How far a label keeps from the middle of a point."""

_APART = 3.0
"""How far labels keep from each other, from side to side."""

_FAN, _COLUMN = 24.0, 9
"""How far a column of labels stands from the points that they share, and how many labels it goes up and down."""

_TRIED = 300
"""How many free places of a label are tried for one whose line is clear."""

_LETTER = 0.66
"""Width of a letter, in its height."""


Line = tuple[tuple[float, float], tuple[float, float]]
"""From where to where: x and y of both ends."""


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
    """Return where labels stand: as near to their points as can be, over no point, no other label and no line to one.

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
    lines: list[Line] = []
    for point, text in zip(points, texts, strict=True):
        near = sum(math.dist(point, other) < 2 * _MARGIN for other in points)
        boxes = _candidates(point, width(text, size), 1.2 * size, area, crowded=near > 2)
        first = next(boxes)
        free, again = itertools.tee(one for one in boxes if not any(one.meets(other) for other in full))
        # Where no line is clear of the labels, the nearest place is still better than one over another.
        nearest = next(again, first)
        tried = itertools.islice(free, _TRIED)
        box = next((one for one in tried if _clear(point, one, found, lines)), nearest)
        found.append(box)
        lines.append(line(point, box))
        full.append(Box(box.left - _APART, box.top, box.right + _APART, box.bottom))
    return found


def _candidates(point: tuple[float, float], across: float, down: float, area: Box, *, crowded: bool) -> Iterator[Box]:
    """First the box beside the point, wherever that is; then all within the area, the nearest first.

    The labels of many points at one place stand in a column beside it, so that their lines spread like a fan: labels
    all around would shut the way to any other.
    """
    x, y = point
    sides = [
        (x + _MARGIN, y - down / 2),
        (x - _MARGIN - across, y - down / 2),
        (x - across / 2, y - _MARGIN - down),
        (x - across / 2, y + _MARGIN),
    ]
    boxes = [_box(left, top, across, down) for left, top in sides]
    yield _inside(boxes[0], area)
    steps = [step * sign for step in range(_COLUMN) for sign in (-1, 1)]
    fan = [
        _box(left, y - down / 2 + step * down, across, down) for left in (x + _FAN, x - _FAN - across) for step in steps
    ]
    yield from (box for box in (fan if crowded else boxes) if area.holds(box))
    # Most labels have found a place by now: a grid has thousands.
    lefts, tops = _steps(area.left, area.right - across, 6.0), _steps(area.top, area.bottom - down, 3.0)
    beside = [(max(left - x, 0.0, x - left - across), left) for left in lefts]
    above = [(max(top - y, 0.0, y - top - down), top) for top in tops]
    grid = sorted((one * one + other * other, left, top) for one, left in beside for other, top in above)
    yield from (_box(left, top, across, down) for _, left, top in grid)


def line(point: tuple[float, float], box: Box) -> Line:
    """Return the shortest line from a point to a box.

    Args:
        point: x and y.
        box: any.

    Example:
        >>> line((0, 0), Box(3, 4, 5, 6))
        ((0, 0), (3, 4))
    """
    x, y = point
    return point, (min(max(x, box.left), box.right), min(max(y, box.top), box.bottom))


def crosses(one: Line, box: Box) -> bool:
    """Return whether a line has a part within a box.

    Args:
        one: from where to where.
        box: any.

    Reference:
        Liang, Barsky (1984), "A new concept and method for line clipping".

    Example:
        >>> crosses(((0, 0), (4, 4)), Box(1, 1, 3, 3)), crosses(((0, 0), (4, 0)), Box(1, 1, 3, 3))
        (True, False)
    """
    (x, y), (to_x, to_y) = one
    begins, ends = 0.0, 1.0
    for start, end, least, most in ((x, to_x, box.left, box.right), (y, to_y, box.top, box.bottom)):
        if start == end:
            if not least < start < most:
                return False
            continue
        first, last = sorted(((least - start) / (end - start), (most - start) / (end - start)))
        begins, ends = max(begins, first), min(ends, last)
    return begins < ends


def _clear(point: tuple[float, float], box: Box, labels: Sequence[Box], lines: Sequence[Line]) -> bool:
    """Whether a label's line runs through no other label, and no other's line through it."""
    own = line(point, box)
    return not any(crosses(own, other) for other in labels) and not any(crosses(other, box) for other in lines)


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
