"""The demo's picture: a row a method, a group of columns a target, a PNG for those who look before they read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from genrev.cli.answers import digits_for, short
from genrev.cli.panels import DIM
from genrev.cli.sheet import caption
from genrev.comparison import Answer, Comparison
from genrev.inverter import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARGIN = 1.25
"""Inches on the left, for the names of the methods."""


def draw(comparison: Comparison) -> bytes:
    """Return what each method found for the targets typed by hand, as the bytes of a PNG.

    A method that gives the same input each time has one picture a target. Below each stand the network's outputs, with
    enough digits to tell what was met from what was missed, then how the search ended, and the residual.

    Args:
        comparison: of images with targets that were asked.

    Returns:
        The file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    assert comparison.asked is not None
    methods = [method for method in comparison.asked_answers if method != "noise"]
    targets, samples = comparison.asked_answers[methods[0]].residual.shape
    width, height = _MARGIN + 1.13 * targets * samples, 0.85 + 1.44 * len(methods)
    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(methods), targets * (samples + 1) - 1,
        width_ratios=([1.0] * samples + [0.25]) * (targets - 1) + [1.0] * samples,
        left=_MARGIN / width, right=0.995, top=1 - 0.45 / height, bottom=0.7 / height, wspace=0.1, hspace=0.38,
    )  # fmt: skip
    for row, method in enumerate(methods):
        answer = comparison.asked_answers[method]
        for target in range(targets):
            shown = samples if _differ(answer, target) else 1
            for sample in range(shown):
                axes = figure.add_subplot(grid[row, target * (samples + 1) + sample])
                _show(axes, answer, target, sample, comparison)
                if target == sample == 0:
                    axes.set_ylabel(method, rotation=0, ha="right", va="center", fontsize=11, labelpad=8)
            if shown < samples:
                # Else the gap beside it would look as if something were missing.
                axes.text(1.1, 0.5, "the same answer\neach time", transform=axes.transAxes, va="center", fontsize=8.5,
                          color=DIM)  # fmt: skip
    for target in range(targets):
        first = grid[0, target * (samples + 1)].get_position(figure)
        figure.text(first.x0, 1 - 0.3 / height, f"asked for {_values(comparison, target)}", fontsize=12, weight="bold")
    figure.text(_MARGIN / width, 0.12 / height, _key(comparison), fontsize=9, color=DIM)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _show(axes: Axes, answer: Answer, target: int, sample: int, comparison: Comparison) -> None:
    image = answer.x[target, sample].double().numpy()
    low, high = float(comparison.low.min()), float(comparison.high.max())
    axes.imshow(image.reshape(image.shape[-2:]), cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    digits = digits_for(comparison.tolerance)
    outputs = "  ".join(f"{value:.{digits}f}" for value in answer.y[target, sample].flatten().tolist())
    outcome, residual = Outcome(int(answer.outcome[target, sample])), float(answer.residual[target, sample])
    text, colour = caption(outputs, outcome, residual)
    axes.set_xlabel(text, fontsize=8, color=colour, labelpad=2)


def _key(comparison: Comparison) -> str:
    """Say what stands below the pictures."""
    order = f", first {comparison.names[0]}" if comparison.names else ""
    tolerance = comparison.tolerance
    met = f"off by at most {short(tolerance)}" if isinstance(tolerance, float) else "within the tolerance"
    return f"Below each picture: the network's outputs{order}; met: each of them {met}."


def _differ(answer: Answer, target: int) -> bool:
    return bool((answer.x[target] != answer.x[target, :1]).any())


def _values(comparison: Comparison, target: int) -> str:
    assert comparison.asked is not None
    values = comparison.asked[target].flatten().tolist()
    names = comparison.names or [str(place) for place in range(len(values))]
    return ", ".join(
        f"{name} {value:g}" if value == value else f"{name} any" for name, value in zip(names, values, strict=True)
    )
