"""Drawn noughts and crosses: strokes as a hand makes them, from a seed alone, as many as wanted, without any file.

A letter is a line of points in its own frame (y down, about [-1, 1] each way), made by `_crosses` or `_noughts`;
`_place` puts it on the page and `_render` runs a round pen along it. The ranges are those of people's writing on paper
and boards, wide enough that a network trained here alone reads it.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from genrev.checks import called_as, check_seed, whole
from genrev.data.dataset import Dataset

# Points along a letter: under a pixel apart for the largest at 32 x 32, so that the thinnest pen leaves no beads.
_POINTS = 96
# Letters rendered at once: 64 * 32 * 32 * 96 distances are 25 MB, which stays near the processor.
_CHUNK = 64


@called_as()
def xo(n: int, *, size: int = 32, seed: int = 0) -> Dataset:
    """Draw noughts and crosses as a hand does, white ink on black.

    Strokes bend and wobble, rings stay open or run over their start, letters are small or large, narrow or wide,
    leaning, off the centre; pens are thin or thick and press unevenly. The pen's path never leaves the page.

    Args:
        n: how many, at least 1; half of them crosses, in mixed order.
        size: side of the square image in pixels, at least 8; the pen grows with it.
        seed: the same n, size and seed draw the same bits; a longer draw does not begin with a shorter one.

    Returns:
        Inputs `(n, 1, size, size)` in [0, 1]; label 0 is "X", label 1 is "O".

    Raises:
        ArgumentError: n or size is too small.

    Example:
        >>> letters = xo(4, seed=1)
        >>> tuple(letters.inputs.shape), letters.labels.bincount().tolist(), letters.names
        ((4, 1, 32, 32), [2, 2], ('X', 'O'))
    """
    n, size = whole("n", n), whole("size", size, least=8)
    generator = torch.Generator().manual_seed(check_seed(seed))
    crosses = n // 2
    order = torch.randperm(n, generator=generator)
    points = torch.cat([_crosses(crosses, generator), _noughts(n - crosses, generator)])[order]
    drawn = _place(points, generator), _pens(n, generator), _uniform(0.75, 1, (n, 1, 1), generator)
    chunks = zip(*(part.split(_CHUNK) for part in drawn), strict=True)
    images = [_render(points, pen, ink, size) for points, pen, ink in chunks]
    return Dataset(torch.cat(images)[:, None], (order >= crosses).long(), ("X", "O"))


def _crosses(n: int, generator: Generator) -> Tensor:
    """Return crosses as points, shape `(n, points, 2)`: two strokes, each bent, of its own length and aim."""
    half = _POINTS // 2
    ends = torch.tensor([[[-1, -1], [1, 1]], [[1, -1], [-1, 1]]], dtype=torch.float32)
    ends = ends * _spread(0.13, (n, 2, 1, 1), generator).exp() + _spread(0.13, (n, 2, 2, 2), generator)
    along = ends[:, :, 1:] - ends[:, :, :1]
    across = torch.stack([-along[..., 1], along[..., 0]], dim=-1)
    t = torch.linspace(0, 1, half, dtype=torch.float32)[:, None]
    arc = _spread(0.07, (n, 2, 1, 1), generator) * (4 * t * (1 - t) - 0.5)
    snake = _spread(0.035, (n, 2, 1, 1), generator) * torch.sin(2 * math.pi * t)
    strokes = ends[:, :, :1] + along * t + across * (arc + snake)
    return (strokes + _wobble(0.022, (n, 2, half, 2), generator)).flatten(1, 2)


def _noughts(n: int, generator: Generator) -> Tensor:
    """Return noughts as points, shape `(n, points, 2)`: one round stroke from near the top, not quite to its start."""
    t = torch.linspace(0, 1, _POINTS, dtype=torch.float32)
    turn = 2 * math.pi + _spread(0.3, (n, 1), generator).clamp(-0.7, 0.7)
    angle = -math.pi / 2 + _spread(0.6, (n, 1), generator) - turn * t
    # A superellipse: 2 is round, 4 is nearly a box.
    power = 2 + 2 * _uniform(0, 1, (n, 1), generator) ** 3
    radius = (angle.cos().abs() ** power + angle.sin().abs() ** power) ** (-1 / power)
    for order in (1, 2, 3, 4):
        phase = _uniform(0, 2 * math.pi, (n, 1), generator)
        radius = radius * (1 + _spread(0.12 / order, (n, 1), generator) * torch.cos(order * angle + phase))
    # The ends miss each other by this much.
    radius = radius * (1 + _spread(0.12, (n, 1), generator) * (t - 0.5))
    ring = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1)
    return ring + _wobble(0.025, (n, _POINTS, 2), generator)


def _wobble(size: float, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Return the smooth trembling of a hand: waves of a few lengths along the last dimension but one."""
    t = torch.linspace(0, 2 * math.pi, shape[-2], dtype=torch.float32)[:, None]
    lone = (*shape[:-2], 1, shape[-1])
    waves = [torch.sin(k * t + _uniform(0, 2 * math.pi, lone, generator)) for k in (2, 3.5, 5)]
    return torch.stack([_spread(size / k, lone, generator) * wave for k, wave in enumerate(waves, 1)]).sum(0)


def _place(points: Tensor, generator: Generator) -> Tensor:
    """Return the letters in page coordinates, shape `(n, points, 2)`, page [0, 1]: leaning, scaled, off the centre."""
    n = len(points)
    angle, slant = _spread(0.15, (n, 1), generator), _spread(0.15, (n, 1), generator)
    aspect = _spread(0.12, (n, 1), generator).exp()
    x, y = points[..., 0] * aspect, points[..., 1] / aspect
    x = x - slant * y
    x, y = angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y
    points = torch.stack([x, y], dim=-1)
    low, high = points.amin(1, keepdim=True), points.amax(1, keepdim=True)
    extent = high - low
    # The longer side takes 0.3 to 0.85 of the page; even on a log scale, since small letters are the common ones.
    longer = _uniform(math.log(0.3), math.log(0.85), (n, 1, 1), generator).exp()
    scale = longer / extent.amax(2, keepdim=True)
    room = (0.94 - extent * scale) / 2
    off_centre = room * _spread(0.4, (n, 1, 2), generator).clamp(-1, 1)
    return 0.5 + (points - (low + high) / 2) * scale + off_centre


def _pens(n: int, generator: Generator) -> Tensor:
    """Return the pen's radius at each point, shape `(n, points)`, in shares of the page."""
    radius = 0.022 * _uniform(0, 1, (n, 1), generator).exp()
    pressure = _wobble(0.15, (n, _POINTS, 1), generator)[..., 0]
    return radius * (1 + pressure).clamp(0.5, 1.5)


def _render(points: Tensor, pen: Tensor, ink: Tensor, size: int) -> Tensor:
    """Return images, shape `(n, size, size)`: ink wherever the pen, round and of varying radius, came by."""
    grid = torch.arange(size, dtype=torch.float32) + 0.5
    x, y = (points * size).unsqueeze(1).unbind(-1)
    pen = pen * size
    # d^2 - r^2, least over the line: one sum a pixel and point, where d - r would cost a root as well.
    columns = (grid[:, None] - x).square() - pen.square()[:, None]
    rows = (grid[:, None] - y).square()
    power = (rows[:, :, None] + columns[:, None]).amin(-1)
    radius = pen.mean(1)[:, None, None]
    edge = (power + radius.square()).clamp(min=0).sqrt() - radius
    return ink * (0.5 - edge).clamp(0, 1)


def _uniform(low: float, high: float, shape: tuple[int, ...], generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float32)


def _spread(deviation: float, shape: tuple[int, ...], generator: Generator) -> Tensor:
    return deviation * torch.randn(shape, generator=generator, dtype=torch.float32)
