"""The typeface of pictures, and texts made to fit: measured, folded at commas, cut with an ellipsis."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont


@cache
def font(size: int, *, bold: bool = False) -> FreeTypeFont:
    """Return DejaVu Sans, which has the signs for met and missed and the letters of most alphabets.

    Args:
        size: in pixels.
        bold: the heavier cut.
    """
    # It comes with matplotlib; to import that would take longer than to draw the picture.
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).with_name("mpl-data") / "fonts" / "ttf"
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(folder / name), size, layout_engine=ImageFont.Layout.BASIC)


def folded(text: str, face: FreeTypeFont, width: int) -> list[str]:
    """Return a text in lines that fit, broken after commas and at line ends; what is too long by itself is cut.

    Args:
        text: of any length.
        face: that it is written in.
        width: in pixels.
    """
    lines: list[str] = []
    for whole in text.split("\n"):
        first, *others = whole.split(", ")
        lines.append(first)
        for part in others:
            if face.getlength(f"{lines[-1]}, {part},") <= width:
                lines[-1] += f", {part}"
            else:
                lines[-1] += ","
                lines.append(part)
    return [cut(line, face, width) for line in lines]


def cut(text: str, face: FreeTypeFont, width: int) -> str:
    """Return a text that fits, an ellipsis in its middle where it was too long: at its end may stand a number.

    Args:
        text: of one line.
        face: that it is written in.
        width: in pixels.
    """
    if face.getlength(text) <= width:
        return text
    kept = len(text)
    while kept > 2 and face.getlength(_without_middle(text, kept)) > width:
        kept -= 1
    return _without_middle(text, kept)


def _without_middle(text: str, kept: int) -> str:
    return f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"
