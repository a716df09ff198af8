"""The picture of what was found: a row a target, a column a sample, and below each what the network says of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from genrev.cli.answers import ENDS, digits_for, outputs, short
from genrev.inverter import Inversion, Outcome
from genrev.report.pictures import pixels
from genrev.space import InputSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GOOD, BAD, DIM = "#0a6b3d", "#b3261e", "#59626d"
"""The colours of what is met, of what is not, and of what is said beside it."""

_SIDE = 1.5
"""Inches that a picture takes."""

_ROWS, _COLUMNS = 12, 12
"""How many targets and samples are drawn at most."""


def sheet(found: Inversion, space: InputSpace, names: Sequence[str] | None) -> bytes:
    """Return what was found as the bytes of a PNG.

    Args:
        found: by any inverter.
        space: of the network's inputs; where it has no bounds the greatest and least value found are white and black.
        names: of the outputs, where they are known.

    Returns:
        The file; of more than twelve targets or samples the first twelve.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    targets, samples = min(len(found.x), _ROWS), min(found.x.shape[1], _COLUMNS)
    width, height = _SIDE * samples + 0.1, targets * (_SIDE + 0.75)
    # A narrow picture still needs room for the line that says what was asked.
    figure = Figure(figsize=(max(width, 3.2), height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    low, high = _ends(found, space)
    digits = digits_for(found.tolerance)
    for target in range(targets):
        top = 1 - (target * (_SIDE + 0.75) + 0.3) / height
        asked = outputs(found.target[target], found.target[target], names, 3)
        figure.text(0.05 / width, top + 0.08 / height, f"asked for {asked}", fontsize=10, weight="bold")
        for sample in range(samples):
            left = (0.05 + _SIDE * sample) / figure.get_figwidth()
            axes = figure.add_axes(
                (left, top - (_SIDE - 0.05) / height, (_SIDE - 0.1) / figure.get_figwidth(), (_SIDE - 0.1) / height)
            )
            _input(axes, found.x[target, sample].double().cpu().numpy(), low, high)
            said = outputs(found.y[target, sample], found.target[target], names, digits)
            outcome = Outcome(int(found.outcome[target, sample]))
            caption(axes, said, outcome, float(found.residual[target, sample]))
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def caption(axes: Axes, said: str, outcome: Outcome, residual: float) -> None:
    """Write below a picture what the network says of it, how the search ended, and the residual.

    Args:
        axes: of the picture.
        said: the outputs.
        outcome: how the search ended.
        residual: of the answer.
    """
    sign, colour = ("✓", GOOD) if outcome == Outcome.CONVERGED else ("✗", BAD)
    axes.set_xlabel(f"{said} {sign}\n{ENDS[outcome].format(short(residual))}", fontsize=8, color=colour, labelpad=2)


def _input(axes: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    if x.ndim in (2, 3):
        shades = pixels(x, float(low.min()), float(high.max()))
        axes.imshow(shades, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        return
    # Columns have units of their own: each bar stands in the range of its value.
    width = np.where(high > low, high - low, 1.0).reshape(-1)
    heights = np.clip((np.nan_to_num(x.reshape(-1)) - low.reshape(-1)) / width, 0.0, 1.0)
    axes.bar(np.arange(x.size), heights, width=0.8 if x.size <= 32 else 1.0, color="#2f68b4")
    axes.set_ylim(0, 1)


def _ends(found: Inversion, space: InputSpace) -> tuple[np.ndarray, np.ndarray]:
    """Return the range of each input value: its bounds, else that of what was found."""
    x = np.nan_to_num(found.x.double().cpu().numpy().reshape(-1, *space.shape))
    low, high = space.low.numpy(), space.high.numpy()
    return (
        np.where(np.isfinite(low), low, x.min(0)),
        np.where(np.isfinite(high), high, x.max(0)),
    )
