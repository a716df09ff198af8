"""One input as a part of a picture: an image, upright bars for many values, or few values by name."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from genrev.cli.typeface import cut, font
from genrev.report.pictures import pixels
from genrev.report.values import bounds, number
from genrev.space import InputSpace

SIDE = 160
"""Pixels that an input takes at most, each way; names stand beside it, and as many values as it has."""

DIM = "#59626d"
"""The colour of what is said beside."""

_BAR, _TRACK = "#2f68b4", "#e4e8ed"

_STEP, _LEVEL, _THICK, _NAME = 36, 16, 8, 200
"""Pixels from one named value to the next, from its number to its bar, of the bar, and of a name at most."""


class Unnamed:
    """Draws inputs as they are: images by their pixels, lists of values as upright bars.

    Args:
        x: all that will be drawn, ``(n, *input_shape)``.
        space: that they live in; where it has no bounds those found are black and white, or the ends of bars.
    """

    margin = 0

    def __init__(self, x: np.ndarray, space: InputSpace) -> None:
        self.low, self.high = _ends(x, space)
        self.height = self.draw(x[0]).height

    def beside(self, page: Image.Image, left: int, top: int) -> None:
        """Write what stands beside a row of inputs: nothing."""

    def paint(self, page: Image.Image, x: np.ndarray, left: int, top: int) -> None:
        """Put an input on a page, in the middle of `SIDE` pixels.

        Args:
            page: to draw on.
            x: ``input_shape``.
            left: in pixels.
            top: likewise.
        """
        drawn = self.draw(x)
        page.paste(drawn, (left + (SIDE - drawn.width) // 2, top))

    def draw(self, x: np.ndarray) -> Image.Image:
        """Return one input, at most `SIDE` pixels each way.

        Args:
            x: ``input_shape``.
        """
        if x.ndim not in (2, 3):
            return _upright(x.reshape(-1), self.low.reshape(-1), self.high.reshape(-1))
        image = Image.fromarray(pixels(x, float(self.low.min()), float(self.high.max())))
        longest = max(image.size)
        if longest <= SIDE:
            # Squares of one size show the pixels as they are.
            scale = SIDE // longest
            return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
        width, height = (max(1, round(side * SIDE / longest)) for side in image.size)
        return image.resize((width, height), Image.Resampling.BOX)


class Named:
    """Draws inputs of few values: each number above its bar, their names and bounds beside the row.

    Args:
        x: all that will be drawn, ``(n, values)``.
        space: that they live in.
        names: of the values.
    """

    def __init__(self, x: np.ndarray, space: InputSpace, names: Sequence[str]) -> None:
        self.low, self.high = _ends(x, space)
        ranges = (bounds(*ends) for ends in zip(space.low.tolist(), space.high.tolist(), strict=True))
        self._beside = [(cut(name, font(11), _NAME), ends) for name, ends in zip(names, ranges, strict=True)]
        widths = (max(font(11).getlength(name), font(9).getlength(ends)) for name, ends in self._beside)
        self.margin = math.ceil(max(widths)) + 20
        self.height = _STEP * len(names) - (_STEP - _LEVEL - _THICK)

    def beside(self, page: Image.Image, left: int, top: int) -> None:
        """Write the names and the bounds.

        Args:
            page: to draw on.
            left: in pixels.
            top: likewise.
        """
        draw = ImageDraw.Draw(page)
        for place, (name, ends) in enumerate(self._beside):
            draw.text((left, top + _STEP * place), name, "black", font(11))
            draw.text((left, top + _STEP * place + 14), ends, DIM, font(9))

    def paint(self, page: Image.Image, x: np.ndarray, left: int, top: int) -> None:
        """Put an input on a page.

        Args:
            page: to draw on.
            x: ``(values,)``.
            left: in pixels.
            top: likewise.
        """
        draw = ImageDraw.Draw(page)
        begins, ends = _places(x, self.low, self.high)
        for place, value in enumerate(x.tolist()):
            level = top + _STEP * place
            draw.text((left, level), number(value), "black", font(11))
            foot, level = level + _LEVEL + _THICK, level + _LEVEL
            draw.rectangle((left, level, left + SIDE - 1, foot), _TRACK)
            if math.isfinite(value):
                begin, end = (left + round((SIDE - 2) * side[place]) for side in (begins, ends))
                draw.rectangle((begin, level, end + 1, foot), _BAR)


def _upright(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> Image.Image:
    """Return many values as bars, each in its own range."""
    image = Image.new("RGB", (SIDE, SIDE), _TRACK)
    draw, (begins, ends) = ImageDraw.Draw(image), _places(x, low, high)
    gap = 1 if 4 * x.size <= SIDE else 0
    for place in np.flatnonzero(np.isfinite(x)).tolist():
        left, right = (round(SIDE * side / x.size) for side in (place, place + 1))
        top, foot = (round((SIDE - 1) * (1 - side[place])) for side in (ends, begins))
        draw.rectangle((left, top, max(left, right - 1 - gap), foot), _BAR)
    return image


def _places(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where bars begin, at 0 or at the end of their range nearest to it, and end, as shares of the range."""
    width = np.where(high > low, high - low, 1.0)
    one, other = (np.clip((side - low) / width, 0.0, 1.0) for side in (np.zeros_like(x), np.nan_to_num(x)))
    return np.minimum(one, other), np.maximum(one, other)


def _ends(x: np.ndarray, space: InputSpace) -> tuple[np.ndarray, np.ndarray]:
    """Return the range of each input value: its bounds, else that of what was found, for bars with 0 in it."""
    x = np.nan_to_num(x)
    least, greatest = (x.min(), x.max()) if space.alike else (x.min(0), x.max(0))
    if len(space.shape) not in (2, 3):
        least, greatest = np.minimum(least, 0.0), np.maximum(greatest, 0.0)
    low, high = space.low.numpy(), space.high.numpy()
    return np.where(np.isfinite(low), low, least), np.where(np.isfinite(high), high, greatest)
