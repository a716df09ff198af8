"""Curves of a training: its losses by epoch, and the epoch whose weights were kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genrev.report.axes import Axis, around
from genrev.report.columns import compact
from genrev.report.labels import Box

_POINTS = 300
"""How many epochs of a long training are drawn."""

_WIDE = 30.0
"""From which ratio on losses are drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Curve:
    """One course of training, ready to be drawn.

    Args:
        of: what learned.
        width: of the drawing, in its units.
        height: likewise.
        area: where the curves lie.
        lines: kind ("training" or "validation") and SVG path of each.
        kept: x and y of the epoch whose weights were kept, or None if it has no place.
        columns: x and words of the ticks of the epochs.
        rows: y and words of the ticks of the losses.
        log: whether losses are drawn on a logarithmic axis.
        words: what the curve shows.
    """

    of: str
    width: float
    height: float
    area: Box
    lines: list[tuple[str, str]]
    kept: tuple[float, float] | None
    columns: list[tuple[float, str]]
    rows: list[tuple[float, str]]
    log: bool
    words: str


def curve(history: Mapping[str, Any], across: float = 420.0, down: float = 190.0) -> Curve | None:
    """Lay out one course of training.

    Args:
        history: ``of``, what learned; ``training`` and ``validation``, losses by epoch; ``best``, the epoch, from 0,
            whose weights were kept.
        across: width of the drawing, in its units.
        down: its height.

    Returns:
        The curve; None where there is no finite loss to draw.

    Example:
        >>> found = curve({"of": "CVAEInverter", "training": [0.9, 0.4, 0.3], "validation": [1.0, 0.5, 0.7], "best": 1})
        >>> found.words
        'CVAEInverter learned for 3 epochs and kept the weights of epoch 2: training loss 0.4, validation loss 0.5.'
    """
    losses = {kind: [float(loss) for loss in history[kind]] for kind in ("training", "validation")}
    finite = [loss for values in losses.values() for loss in values if math.isfinite(loss)]
    if not finite:
        return None
    epochs = max(map(len, losses.values()))
    log = min(finite) > 0 and max(finite) / min(finite) > _WIDE
    area = Box(56.0, 10.0, across - 12.0, down - 34.0)
    steps = Axis(1, max(epochs, 2), area.left, area.right)
    heights = Axis(*around(finite, log=log), area.bottom, area.top, log=log)
    best = min(max(int(history["best"]), 0), epochs - 1)
    kept = losses["validation"] or losses["training"]
    seen = best < len(kept) and math.isfinite(kept[best])
    return Curve(
        of=str(history["of"]),
        width=across,
        height=down,
        area=area,
        lines=[(kind, _path(values, steps, heights, best)) for kind, values in losses.items() if values],
        kept=(steps.at(best + 1), heights.at(kept[best])) if seen else None,
        columns=[(steps.at(tick), f"{tick:g}") for tick in _epochs(epochs, steps)],
        rows=_losses(heights),
        log=log,
        words=_words(history["of"], losses, best, epochs),
    )


def _path(losses: Sequence[float], steps: Axis, heights: Axis, best: int) -> str:
    """Draw a line through the losses; one that is not finite breaks it."""
    parts, pen = [], "M"
    for epoch in _drawn(len(losses), best):
        if not math.isfinite(losses[epoch]):
            pen = "M"
            continue
        parts.append(f"{pen}{steps.at(epoch + 1):g},{heights.at(losses[epoch]):g}")
        pen = "L"
    # A line of one point is seen only with an end.
    return "".join(parts) + ("h0.01" if len(parts) == 1 else "")


def _drawn(epochs: int, best: int) -> list[int]:
    """Return which epochs are drawn: all of few; of many, evenly many, the last and the one that was kept."""
    if epochs <= _POINTS:
        return list(range(epochs))
    even = {place * (epochs - 1) // (_POINTS - 1) for place in range(_POINTS)}
    return sorted(even | ({best} if best < epochs else set()))


def _epochs(epochs: int, steps: Axis) -> list[float]:
    """Return the first epoch and round ones."""
    round_ones = [tick for tick in steps.ticks(5) if tick == int(tick) and 1 < tick <= epochs]
    near = (steps.high - steps.low) / 8
    return [1.0, *(tick for tick in round_ones if tick - 1 >= near)]


def _losses(heights: Axis) -> list[tuple[float, str]]:
    ticks = heights.ticks(4)
    texts = [compact(tick) for tick in ticks]
    # Losses that differ little would all read alike.
    if len(set(texts)) < len(texts):
        texts = [f"{tick:.7g}" for tick in ticks]
    return [(heights.at(tick), text) for tick, text in zip(ticks, texts, strict=True)]


def _words(of: str, losses: Mapping[str, Sequence[float]], best: int, epochs: int) -> str:
    values = [f"{kind} loss {compact(each[best])}" for kind, each in losses.items() if best < len(each)]
    said = f"{of} learned for {epochs} epoch{'s' * (epochs != 1)} and kept the weights of epoch {best + 1}"
    return f"{said}: {', '.join(values)}." if values else f"{said}."
