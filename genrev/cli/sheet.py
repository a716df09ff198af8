"""The picture of what was found: a row a target, a column a sample, and below each what the network says of it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from genrev.cli.answers import ENDS, digits_for, is_short, outputs, short
from genrev.cli.panels import DIM, SIDE, Named, Unnamed
from genrev.cli.typeface import folded, font
from genrev.inverter import Inversion, Outcome
from genrev.report.values import value_names
from genrev.space import InputSpace

GOOD, BAD = "#0a6b3d", "#b3261e"
"""The colours of what is met and of what is not."""

_GAP, _EDGE, _LINE, _TITLE = 10, 8, 15, 19
"""Pixels between two inputs and around all, and from line to line of a caption and of a title."""

_LEAST = 320
"""Pixels that a title may make a page wider than its inputs, before it is folded."""

_ROWS, _COLUMNS = 12, 12
"""How many targets and samples are drawn at most."""


def sheet(found: Inversion, space: InputSpace, names: Sequence[str] | None, columns: Sequence[str] | None) -> bytes:
    """Return what was found as the bytes of a PNG.

    Args:
        found: by any inverter.
        space: of the network's inputs; where it has no bounds the greatest and least value found are white and black.
        names: of the outputs, where they are known.
        columns: names of the values of an input, where they are known.

    Returns:
        The file; of more than twelve targets or samples the first twelve.
    """
    batch, samples = found.residual.shape
    rows, shown = min(batch, _ROWS), min(samples, _COLUMNS)
    x = found.x[:rows, :shown].double().cpu().numpy()
    flat = x.reshape(-1, *space.shape)
    panel = Named(flat, space, value_names(columns, flat.shape[1])) if is_short(found) else Unnamed(flat, space)

    asked = [f"asked for {outputs(target, target, names, 3)}" for target in found.target[:rows]]
    longest = math.ceil(max(font(13, bold=True).getlength(title) for title in asked))
    width = max(panel.margin + shown * (SIDE + _GAP) - _GAP, min(longest, _LEAST))
    strips = [
        _strip(width, panel, title, x[place], _captions(found, place, shown, names))
        for place, title in enumerate(asked)
    ]
    if rows < batch or shown < samples:
        strips.append(_note(width, f"The first {rows} of {batch} targets, the first {shown} of {samples} samples."))
    return _stacked(width, strips)


def caption(said: str, outcome: Outcome, residual: float) -> tuple[str, str]:
    r"""Return what stands below an input, and in which colour: what the network says of it, and how the search ended.

    Args:
        said: the outputs.
        outcome: how the search ended.
        residual: of the answer.

    Returns:
        Two lines and a colour.

    Example:
        >>> caption("X 0.99", Outcome.MISSED, 0.0123)
        ('X 0.99 ✗\nmissed by 0.012', '#b3261e')
    """
    sign, colour = ("✓", GOOD) if outcome == Outcome.CONVERGED else ("✗", BAD)
    return f"{said} {sign}\n{ENDS[outcome].format(short(residual))}", colour


def _captions(found: Inversion, place: int, shown: int, names: Sequence[str] | None) -> list[tuple[str, str]]:
    digits = digits_for(found.tolerance)
    return [
        caption(
            outputs(found.y[place, sample], found.target[place], names, digits),
            Outcome(int(found.outcome[place, sample])),
            float(found.residual[place, sample]),
        )
        for sample in range(shown)
    ]


def _strip(
    width: int, panel: Named | Unnamed, title: str, x: Sequence, captions: Sequence[tuple[str, str]]
) -> Image.Image:
    """Return one target: what was asked, the inputs, and a caption below each."""
    titles = folded(title, font(13, bold=True), width)
    below = [(folded(text, font(11), SIDE), colour) for text, colour in captions]
    top = _TITLE * len(titles) + 4
    foot = top + panel.height + 4
    height = foot + _LINE * max(len(lines) for lines, _ in below)
    strip = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(strip)
    for place, line in enumerate(titles):
        draw.text((0, _TITLE * place), line, "black", font(13, bold=True))
    panel.beside(strip, 0, top)
    for sample, (lines, colour) in enumerate(below):
        left = panel.margin + sample * (SIDE + _GAP)
        panel.paint(strip, x[sample], left, top)
        for place, line in enumerate(lines):
            draw.text((left + SIDE / 2, foot + _LINE * place), line, colour, font(11), anchor="ma")
    return strip


def _note(width: int, text: str) -> Image.Image:
    lines = folded(text, font(11), width)
    strip = Image.new("RGB", (width, _LINE * len(lines)), "white")
    ImageDraw.Draw(strip).text((0, 0), "\n".join(lines), DIM, font(11))
    return strip


def _stacked(width: int, strips: Sequence[Image.Image]) -> bytes:
    """Return strips below one another as the bytes of a PNG."""
    height = sum(strip.height + 2 * _EDGE for strip in strips)
    page = Image.new("RGB", (width + 2 * _EDGE, height), "white")
    top = _EDGE
    for strip in strips:
        page.paste(strip, (_EDGE, top))
        top += strip.height + 2 * _EDGE
    file = io.BytesIO()
    page.save(file, format="PNG")
    return file.getvalue()
