"""Activations that act on each value alone: their bounds, and the straight lines that hold them from both sides."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers.bounds import FLOAT64, Bounds, Interval, bounds, eps, outward

Function = Callable[[Tensor], Tensor]

_ULPS = 8
"""How many eps of its value a computed activation may be off; the libraries promise between one and four."""

_ROUNDS = 30
"""Halvings that place a tangent; where it is placed matters for how near it is, and not for whether it holds."""


class Lines(NamedTuple):
    """Two straight lines for each value, one nowhere above a function on its interval, one nowhere below.

    Args:
        low_slope: ``(batch or 1, *shape)``, as are all.
        low: the value of the lower line at 0.
        high_slope: of the upper line.
        high: the value of the upper line at 0.
    """

    low_slope: Tensor
    low: Tensor
    high_slope: Tensor
    high: Tensor


@dataclass(frozen=True, eq=False)
class Curve:
    """An activation that acts on each value alone.

    Args:
        function: in float64, with its limits at the infinities.
        turns: where it may change direction; between them it is monotone.
        least: no computed value is smaller.
        most: no computed value is greater.
        scale: of its absolute rounding errors: how large the numbers are that it adds up.
        step: how far a value may be lower than the function.
        exact: whether it rounds nothing.
        slope: for a function of two straight pieces that meet at 0, x for x > 0, its slope below: a tensor that
            broadcasts to ``(1, *shape)``.
        derivative: for a function that is convex below 0 and concave above.
    """

    function: Function
    turns: tuple[float, ...] = ()
    least: float = -math.inf
    most: float = math.inf
    scale: float = 1.0
    step: float = 0.0
    exact: bool = False
    slope: Tensor | None = None
    derivative: Function | None = None

    def bound(self, x: Interval) -> Interval:
        """Return the bounds of the outputs: the values at the ends, and at the turns between them.

        Args:
            x: ``(batch or 1, *shape)``.
        """
        ends = self.function(x.low), self.function(x.high)
        low, high = torch.minimum(*ends), torch.maximum(*ends)
        for turn in self.turns:
            # A turn other than 0 is known to rounding only.
            near = 1e-6 * abs(turn)
            between = (x.low <= turn + near) & (x.high >= turn - near)
            value = self.function(torch.full_like(low[:1].flatten()[:1], turn))
            low, high = (
                torch.where(between, torch.minimum(low, value), low),
                torch.where(between, torch.maximum(high, value), high),
            )
        low, high = low - self.step - self.slack(low.abs(), x.dtype), high + self.slack(high.abs(), x.dtype)
        box = outward(low, high, x.dtype)
        return Interval(box.low.clamp(min=self.least), box.high.clamp(max=self.most), x.dtype)

    def slack(self, size: Tensor, dtype: torch.dtype) -> Tensor:
        """Return how far rounding may move a value.

        Args:
            size: ``(batch or 1, *shape)``: its greatest absolute value.
            dtype: in which the network computes.
        """
        if self.exact:
            return torch.zeros_like(size)
        return _ULPS * (eps(dtype) * (size + self.scale) + torch.finfo(dtype).tiny)

    def lines(self, x: Interval) -> Lines | None:
        """Return straight lines that hold the function on intervals, rounding included; None where it has none.

        Args:
            x: ``(batch or 1, *shape)``, all of it finite.
        """
        if self.slope is not None:
            lines = _kinked(self.function, self.slope, x.low, x.high)
        elif self.derivative is not None:
            lines = _s_shaped(self.function, self.derivative, x.low, x.high)
        else:
            return None
        ends = self.function(x.low).abs(), self.function(x.high).abs()
        slack = self.slack(torch.maximum(*ends), x.dtype)
        return lines._replace(low=lines.low - slack, high=lines.high + slack)


def _above(slope: Tensor, points: Tensor, values: Tensor) -> Tensor:
    """Return where a line of this slope must stand at 0 to pass above a function at all of some points.

    Args:
        slope: ``(...)``.
        points: ``(count, ...)``.
        values: ``(count, ...)``: of the function there.
    """
    # Slopes are rounded, and so are tangent points: over the whole interval that moves a line by a few eps.
    rounded = values.abs().amax(0) + (slope.abs() + 1) * points.abs().amax(0)
    return (values - slope * points).amax(0) + 64 * FLOAT64 * rounded


def _kinked(function: Function, slope: Tensor, low: Tensor, high: Tensor) -> Lines:
    """Hold x above 0 and slope x below: on the side of the bend by the chord, on the other by a line through 0."""
    points = torch.stack([low, torch.zeros_like(low).clamp(low, high), high])
    values = function(points)
    chord = (values[2] - values[0]) / (high - low).clamp(min=torch.finfo(low.dtype).tiny)
    slope = slope.expand_as(chord)
    through = torch.where(high >= -low, 1.0, slope)
    # What is on one side only is straight.
    chord, through = (torch.where(low >= 0, 1.0, torch.where(high <= 0, slope, side)) for side in (chord, through))
    convex = slope <= 1
    up, down = torch.where(convex, chord, through), torch.where(convex, through, chord)
    # The difference to a line is made of straight pieces: it is greatest at an end of one.
    return Lines(down, -_above(-down, points, -values), up, _above(up, points, values))


def _s_shaped(function: Function, derivative: Function, low: Tensor, high: Tensor) -> Lines:
    """Hold a function that is convex below 0 and concave above, by chords and tangents.

    Reference:
        Zhang, Weng, Chen, Hsieh and Daniel, 2018, "Efficient Neural Network Robustness Certification with General
        Activation Functions".
    """
    up, above = _upper_line(function, derivative, low, high)
    # Turned about the origin it is of the same shape, and its lower line is the upper one.
    down, below = _upper_line(lambda x: -function(-x), lambda x: derivative(-x), -high, -low)
    return Lines(down, -below, up, above)


def _upper_line(function: Function, derivative: Function, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return slope and height at 0 of a line above the function: a tangent where it is concave, else the chord.

    A tangent at a point from 0 on is above all that is concave, and above what is convex if it is so at the low end.
    The difference of the function to a line is greatest at an end, or where the slopes agree on the concave side.
    """

    def clears(point: Tensor) -> Tensor:
        return function(point) - derivative(point) * (point - low) >= function(low)

    near, far = torch.zeros_like(low), high.clamp(min=0)
    chord = (function(high) - function(low)) / (high - low).clamp(min=torch.finfo(low.dtype).tiny)
    chord = torch.where(high > low, chord, derivative(low))
    by_chord = (high <= 0) | ((low < 0) & ~clears(far))
    for _ in range(_ROUNDS):
        middle = (near + far) / 2
        clear = clears(middle)
        near, far = torch.where(clear, near, middle), torch.where(clear, middle, far)
    tangent = torch.where(low >= 0, (low + high) / 2, far)
    slope = torch.where(by_chord, chord, derivative(tangent))
    points = torch.stack([low, high, torch.where(by_chord, high, tangent)])
    return slope, _above(slope, points, function(points))


@singledispatch
def curve(layer: nn.Module, input_shape: tuple[int, ...]) -> Curve:
    """Return an activation as a curve.

    Args:
        layer: the module.
        input_shape: of one input.

    Raises:
        LayerError: it is none, or not with these settings.

    Example:
        >>> curve(nn.Tanh(), (3,)).most
        1.0
    """
    raise LayerError(f"expected an activation of single values, got {type(layer).__name__}; use its bounds instead")


@curve.register
def _(layer: nn.Sigmoid, input_shape: tuple[int, ...]) -> Curve:
    # 1 - p loses its digits where p is near one.
    return Curve(torch.sigmoid, least=0.0, most=1.0, derivative=lambda x: torch.sigmoid(x) * torch.sigmoid(-x))


@curve.register
def _(layer: nn.Tanh, input_shape: tuple[int, ...]) -> Curve:
    # 1 - y^2 loses its digits where y is near one.
    def slope(x: Tensor) -> Tensor:
        return 4 * torch.sigmoid(2 * x) * torch.sigmoid(-2 * x)

    return Curve(torch.tanh, least=-1.0, most=1.0, derivative=slope)


def _bent(slope: Tensor) -> Curve:
    def function(x: Tensor) -> Tensor:
        # A slope of zero sees nothing of an infinite value.
        return torch.where(x >= 0, x, torch.where(slope == 0, 0.0, slope * x))

    return Curve(function, (0.0,), scale=0.0, slope=slope)


@curve.register
def _(layer: nn.ReLU, input_shape: tuple[int, ...]) -> Curve:
    slope = torch.zeros((), dtype=torch.float64)
    return Curve(lambda x: x.clamp(min=0), scale=0.0, exact=True, slope=slope)


@curve.register
def _(layer: nn.LeakyReLU, input_shape: tuple[int, ...]) -> Curve:
    return _bent(torch.tensor(float(layer.negative_slope), dtype=torch.float64))


@curve.register
def _(layer: nn.PReLU, input_shape: tuple[int, ...]) -> Curve:
    slope = layer.weight.detach().double()
    # Channels are the first dimension of one input.
    return _bent(slope.reshape(1, -1, *(1,) * (len(input_shape) - 1)) if slope.numel() > 1 else slope.reshape(()))


@curve.register
def _(layer: nn.Hardtanh, input_shape: tuple[int, ...]) -> Curve:
    low, high = float(layer.min_val), float(layer.max_val)
    # Ends that are no numbers of its precision are rounded to some that are.
    return Curve(lambda x: x.clamp(low, high), least=0.0 if low == 0 else -math.inf, scale=0.0)


@curve.register
def _(layer: nn.ELU, input_shape: tuple[int, ...]) -> Curve:
    return _exponential(1.0, float(layer.alpha), 1.0)


@curve.register
def _(layer: nn.CELU, input_shape: tuple[int, ...]) -> Curve:
    alpha = float(layer.alpha)
    if alpha <= 0:
        raise LayerError(f"expected a CELU of positive alpha, got {alpha}; use a positive one")
    return _exponential(1.0, alpha, alpha)


@curve.register
def _(layer: nn.SELU, input_shape: tuple[int, ...]) -> Curve:
    return _exponential(1.0507009873554805, 1.6732632423543772, 1.0)


def _exponential(scale: float, alpha: float, width: float) -> Curve:
    """Return x above 0 and alpha (exp(x / width) - 1) below, times a scale."""

    def function(x: Tensor) -> Tensor:
        return scale * torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0) / width))

    return Curve(function, (0.0,), scale=scale * max(1.0, abs(alpha)))


@curve.register
def _(layer: nn.Softplus, input_shape: tuple[int, ...]) -> Curve:
    beta, threshold = float(layer.beta), float(layer.threshold)
    if beta <= 0:
        raise LayerError(f"expected a Softplus of positive beta, got {beta}; use a positive one")
    # Above the threshold it is x itself, a step below what the formula gives.
    step = float(torch.logaddexp(torch.tensor(-threshold, dtype=torch.float64), torch.zeros(()))) / beta
    least = 0.0 if threshold >= 0 else -math.inf
    return Curve(lambda x: torch.logaddexp(beta * x, torch.zeros_like(x)) / beta, (), least, scale=1 / beta, step=step)


@curve.register
def _(layer: nn.LogSigmoid, input_shape: tuple[int, ...]) -> Curve:
    return Curve(lambda x: -torch.logaddexp(-x, torch.zeros_like(x)), most=0.0)


@curve.register
def _(layer: nn.Softsign, input_shape: tuple[int, ...]) -> Curve:
    return Curve(lambda x: torch.where(x.isinf(), x.sign(), x / (1 + x.abs())), least=-1.0, most=1.0)


@curve.register
def _(layer: nn.Hardsigmoid, input_shape: tuple[int, ...]) -> Curve:
    return Curve(lambda x: (x / 6 + 0.5).clamp(0, 1), least=0.0, most=1.0)


def _gated(gate: Function, turn: float) -> Curve:
    """Return x times a gate from 0 to 1, whose one minimum is at the turn."""
    return Curve(lambda x: torch.where(x == -math.inf, 0.0, x * gate(x)), (turn,), scale=10.0)


@curve.register
def _(layer: nn.GELU, input_shape: tuple[int, ...]) -> Curve:
    if layer.approximate == "tanh":
        # x^3 may overflow where x does not, which the hyperbolic tangent does not mind.
        root = math.sqrt(2 / math.pi)
        return _gated(lambda x: torch.sigmoid(2 * root * (x + 0.044715 * x**3)), -0.7524614220710163)
    return _gated(torch.special.ndtr, -0.7517915246935645)


@curve.register
def _(layer: nn.SiLU, input_shape: tuple[int, ...]) -> Curve:
    return _gated(torch.sigmoid, -1.2784645427610737)


@curve.register
def _(layer: nn.Mish, input_shape: tuple[int, ...]) -> Curve:
    return _gated(lambda x: torch.tanh(torch.logaddexp(x, torch.zeros_like(x))), -1.1924312145154952)


@curve.register
def _(layer: nn.Hardswish, input_shape: tuple[int, ...]) -> Curve:
    return _gated(lambda x: (x / 6 + 0.5).clamp(0, 1), -1.5)


def _curve_bounds(layer: nn.Module, input_shape: tuple[int, ...]) -> Bounds:
    return curve(layer, input_shape).bound


for _kind in list(curve.registry):
    if _kind is not object:
        bounds.register(_kind)(_curve_bounds)
