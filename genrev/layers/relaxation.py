"""Bounds of a whole chain: boxes layer by layer, made tighter by straight lines through several layers where cheap.

A box forgets that the values in it come from the same input. Straight lines remember it: each activation is held
between two of them, so that an output is at least a sum of the inputs, and that has a least value on their box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genrev.errors import LayerError
from genrev.layers.affine import Affine, affine
from genrev.layers.bounds import FLOAT64, Interval, bounds, holds_for, outward
from genrev.layers.chain import Link
from genrev.layers.elementwise import Lines, curve

WORK = 2**26
"""Multiplications up to which lines are drawn: values that they bound, times the weights before those."""

_ROOM = 2**22
"""Numbers that the lines through one layer may take."""


@dataclass(frozen=True, eq=False)
class _Sum:
    """A layer of sums that lines run through.

    Args:
        layer: the sums.
        input_shape: of one input.
        slack: ``(1, *output_shape)``: how far rounding may move each output, that of the way back included.
    """

    layer: Affine
    input_shape: tuple[int, ...]
    slack: Tensor

    @property
    def work(self) -> int:
        return self.layer.work + self.slack.numel()

    def back(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows of factors of the inputs, and the least of what is left over.

        Args:
            rows: ``(n, *output_shape)``: factors of the outputs.
        """
        rows = rows.reshape(len(rows), *self.slack.shape[1:])
        constant = (rows * self.layer.bias - rows.abs() * self.slack).flatten(1).sum(1)
        return self.layer.back(rows, self.input_shape), constant


@dataclass(frozen=True, eq=False)
class _Bend:
    """An activation that lines run through.

    Args:
        lines: that hold it.
        reach: ``(1, *shape)``: the greatest absolute value of what comes in.
    """

    lines: Lines
    reach: Tensor

    @property
    def work(self) -> int:
        return 16 * self.reach.numel()

    def back(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows of factors of the inputs, and the least of what is left over.

        Args:
            rows: ``(n, *shape)``: factors of the outputs.
        """
        rows = rows.reshape(len(rows), *self.reach.shape[1:])
        up, down = rows.clamp(min=0), rows.clamp(max=0)
        low_slope, low, high_slope, high = self.lines
        share = (4 + 2 * self.reach.numel()) * FLOAT64
        # Of this product, and of the sum of the constants, in our own arithmetic.
        rounded = share * (torch.maximum(low.abs(), high.abs()) + (low_slope.abs() + high_slope.abs()) * self.reach)
        constant = (up * low + down * high - rows.abs() * rounded).flatten(1).sum(1)
        return up * low_slope + down * high_slope, constant


def reach(links: Sequence[Link], box: Interval, output_shape: tuple[int, ...]) -> Interval:
    """Return bounds of what layers that run one after another give.

    A layer whose type has no registered bounds, or that does not run as its type does, may give anything.

    Args:
        links: the layers, in eval mode.
        box: ``(1, *input_shape)``: the inputs.
        output_shape: of one output.

    Returns:
        ``(1, *output_shape)``.

    Raises:
        LayerError: a layer's registered bounds have another shape than its outputs.

    Example:
        >>> box = Interval(torch.zeros(1, 2), torch.ones(1, 2))
        >>> reach([Link("0", torch.nn.ReLU(), (2,))], box, (2,)).high.tolist()
        [[1.0, 1.0]]
    """
    walk = _Walk(box)
    shapes = [link.input_shape for link in links[1:]] + [output_shape] * bool(links)
    sums = [place for place, link in enumerate(links) if holds_for(affine.registry, link.module)]
    for place, (link, shape) in enumerate(zip(links, shapes, strict=True)):
        walk.step(link, shape, last=place > max(sums, default=0))
    walk.tighten(last=True)
    return walk.box.reshape(1, *output_shape)


class _Walk:
    """The boxes of a network's values, layer by layer, and what lines have to run through back to their start.

    Args:
        box: ``(1, *input_shape)``: the inputs.
    """

    def __init__(self, box: Interval) -> None:
        self._spent = 0
        self._begin(box)

    def _begin(self, box: Interval) -> None:
        """Go on from a box of which nothing else is known: lines end here."""
        self.box = self._start = box
        self._passed: list[_Sum | _Bend] = []

    def _pass(self, part: _Sum | _Bend | None, box: Interval) -> None:
        """Go on behind a layer that lines can run through; without bounds they can't."""
        if part is None or not box.finite or not self._start.finite:
            self._begin(box)
        else:
            self._passed.append(part)
            self.box = box

    def step(self, link: Link, shape: tuple[int, ...], *, last: bool) -> None:
        """Go through a layer.

        Args:
            link: the layer.
            shape: of one of its outputs.
            last: whether no sums follow.
        """
        layer, given = link.module, link.input_shape
        try:
            if holds_for(affine.registry, layer):
                self._sum(affine(layer, given), self.box.reshape(1, *given), link)
            elif holds_for(bounds.registry, layer):
                self.tighten(last=last)
                x = self.box.reshape(1, *given)
                after = replace(bounds(layer, given)(x), dtype=x.dtype)
                self._pass(_bend(link, x) if holds_for(curve.registry, layer) else None, after)
            else:
                raise LayerError(f"expected a layer that runs as its type does, got {layer}; register its bounds")
        except LayerError:
            self._begin(everything(shape, self.box.dtype, self.box.low.device))
        if self.box.low.shape[0] != 1 or self.box.low.numel() != math.prod(shape):
            raise LayerError(
                f"expected bounds of shape {(1, *shape)} of layer {link.name!r} ({type(layer).__name__}), got "
                f"{tuple(self.box.low.shape)}; have its registered bounds return those of one output for one input"
            )

    def _sum(self, layer: Affine, x: Interval, link: Link) -> None:
        if layer.terms == 0:
            after = bounds(link.module, link.input_shape)(x)
            self._pass(_Sum(layer, link.input_shape, torch.zeros_like(after.low)), after)
            return
        low, high, mass = layer.enclose(x)
        slack = layer.slack(mass, x)
        after = outward(low - slack, high + slack, x.dtype)
        # Of the way back, which sums over the outputs, and of the constants there, in our own arithmetic.
        back = 2 * (mass.numel() + 16) * FLOAT64 * mass
        self._pass(_Sum(layer, link.input_shape, (slack + back) * (1 + 1e-6)), after)

    def tighten(self, *, last: bool) -> None:
        """Bound the values at which the walk has arrived by lines from its start, if that is cheap and may say more.

        Args:
            last: whether no sums follow; all before them share one limit of work.
        """
        sums = [part for part in self._passed if isinstance(part, _Sum) and part.layer.terms]
        count = self.box.low.numel()
        work = sum(part.work for part in self._passed)
        # One layer of sums alone is exact as it is.
        if len(sums) < 2 or count * work + (0 if last else self._spent) > WORK:
            return
        widest = max(part.slack.numel() if isinstance(part, _Sum) else part.reach.numel() for part in self._passed)
        if 2 * count * max(widest, self._start.low.numel()) > _ROOM:
            return
        self._spent += count * work
        least = self._least(torch.eye(count, dtype=torch.float64, device=self.box.low.device))
        low, high = least[:count], -least[count:]
        shape = self.box.low.shape
        self.box = self.box.meet(Interval(low.reshape(shape), high.reshape(shape), self.box.dtype))

    def _least(self, ones: Tensor) -> Tensor:
        """Return the least of each value and of its negative, ``(2 n,)``."""
        rows, total = torch.cat([ones, -ones]), torch.zeros(2 * len(ones), dtype=ones.dtype, device=ones.device)
        for part in reversed(self._passed):
            rows, constant = part.back(rows)
            total = total + constant - 8 * FLOAT64 * (constant.abs() + total.abs())
        rows, low, high = rows.flatten(1), self._start.low.flatten(), self._start.high.flatten()
        least = rows.clamp(min=0) @ low + rows.clamp(max=0) @ high
        rounded = (len(low) + 8) * FLOAT64 * (rows.abs() @ self._start.magnitude.flatten())
        return total + least - rounded - 8 * FLOAT64 * (total.abs() + least.abs())


def _bend(link: Link, x: Interval) -> _Bend | None:
    lines = curve(link.module, link.input_shape).lines(x) if x.finite else None
    return None if lines is None else _Bend(lines, x.magnitude)


def everything(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Interval:
    """Return the box of all values: what is known where nothing is.

    Args:
        shape: of one value, without the batch.
        dtype: in which the network computes.
        device: of the box.
    """
    low = torch.full((1, *shape), -math.inf, dtype=torch.float64, device=device)
    return Interval(low, -low, dtype)
