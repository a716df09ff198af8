"""The inverses of normalisations: by fixed statistics, and within an input, where mean and scale get lost.

Of normalised values z = (x - m) / s, with s^2 = v + eps, the mean m is gone. The scale is not quite: the mean square of
the z is r = v / (v + eps), so s^2 = eps / (1 - r). Where r is 1 to rounding, any greater scale gives the same values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers.preimage import Box, Inverse, Preimage, expect_usable, inverse

_HALVINGS = 100
"""That find the scale nearest to what is wanted; each but the first few gains a binary digit."""


@inverse.register(nn.BatchNorm1d)
@inverse.register(nn.BatchNorm2d)
@inverse.register(nn.BatchNorm3d)
def _(layer: Any, input_shape: tuple[int, ...]) -> Inverse:
    kind = type(layer).__name__
    if layer.running_mean is None or layer.running_var is None:
        raise LayerError(
            f"expected a {kind} with running statistics, got one with track_running_stats=False, whose output "
            "depends on the batch; train it with running statistics"
        )
    expect_usable(layer)
    # Channels are the first dimension of one input, with or without others behind them.
    shape = (-1,) + (1,) * (len(input_shape) - 1)
    mean, deviation = layer.running_mean.reshape(shape), (layer.running_var + layer.eps).sqrt().reshape(shape)
    weight = torch.ones_like(mean) if layer.weight is None else layer.weight.detach().reshape(shape)
    bias = torch.zeros_like(mean) if layer.bias is None else layer.bias.detach().reshape(shape)

    def invert(y: Tensor) -> Preimage:
        # A weight of zero gives the bias whatever comes in: any input, or none.
        lost = (weight == 0).expand_as(y)
        x = torch.where(lost, mean, (y - bias) / torch.where(weight == 0, 1, weight) * deviation + mean)
        return Box(torch.where(lost, -math.inf, x), torch.where(lost, math.inf, x), lost & (y != bias.expand_as(y)))

    return invert


@inverse.register
def _(layer: nn.LayerNorm, input_shape: tuple[int, ...]) -> Inverse:
    expect_usable(layer)
    size = math.prod(layer.normalized_shape)
    weight, bias = (None if one is None else one.detach().reshape(1, size) for one in (layer.weight, layer.bias))
    return _within(input_shape, math.prod(input_shape) // size, size, weight, bias, layer.eps)


@inverse.register
def _(layer: nn.GroupNorm, input_shape: tuple[int, ...]) -> Inverse:
    expect_usable(layer)
    groups, size = layer.num_groups, math.prod(input_shape) // layer.num_groups
    # A channel's weight is that of all its values.
    area = math.prod(input_shape[1:])
    weight, bias = (
        None if one is None else one.detach().repeat_interleave(area).reshape(groups, size)
        for one in (layer.weight, layer.bias)
    )
    return _within(input_shape, groups, size, weight, bias, layer.eps)


def _within(
    input_shape: tuple[int, ...], groups: int, size: int, weight: Tensor | None, bias: Tensor | None, small: float
) -> Inverse:
    """Return the inverse of a normalisation over groups of values.

    Args:
        input_shape: of one input.
        groups: in one input.
        size: of a group.
        weight: ``(groups or 1, size)``, or None for ones.
        bias: likewise, or None for zeros.
        small: eps, which is added to the variance.
    """
    if small <= 0:
        raise LayerError(f"expected a normalisation of positive eps, got {small}; give it one, such as 1e-5")
    seen = torch.ones(1, size, dtype=torch.bool) if weight is None else weight != 0

    def invert(y: Tensor) -> Preimage:
        values = y.double().reshape(len(y), groups, size)
        moved = values if bias is None else values - bias.double()
        scale = values.new_ones(()) if weight is None else weight.double()
        known = seen.to(y.device).expand_as(moved)
        z = torch.where(known, moved / torch.where(known, scale, 1.0), 0.0)
        # What rounding y by a last digit does to z.
        unit = torch.finfo(y.dtype).eps * torch.where(known, values.abs() / scale.abs().clamp(min=1e-300), 0.0)
        rounding = 4 * unit.amax(-1, keepdim=True) + 8 * torch.finfo(y.dtype).eps
        found, off = _Normalised.of(z, known, rounding, small)
        unseen = ~known & (moved.abs() > 4 * torch.finfo(y.dtype).eps * values.abs())
        return Normalised(found, input_shape, y.dtype, (off | unseen).reshape(y.shape))

    return invert


@dataclass(frozen=True, eq=False)
class _Normalised:
    """Groups of values whose normalised ones are known, all or some.

    Those that a weight of zero hides may be anything that makes up the mean and the variance: they lie on a sphere
    whose radius, of a mean square of `spare` s^2 - eps, goes with the scale s.

    Args:
        z: ``(batch, groups, size)``, zero where hidden.
        known: of bool: where it is not.
        low: ``(batch, groups, 1)``: the least scale.
        high: the greatest, inf where rounding hides it.
        spare: the part of the mean square that is left for the hidden values, at most 1.
        small: eps.
    """

    z: Tensor
    known: Tensor
    low: Tensor
    high: Tensor
    spare: Tensor
    small: float

    @classmethod
    def of(cls, z: Tensor, known: Tensor, rounding: Tensor, small: float) -> tuple[_Normalised, Tensor]:
        """Return the groups, and which of the values are moved to the nearest that can be.

        Args:
            z: ``(batch, groups, size)``.
            known: of bool.
            rounding: ``(batch, groups, 1)``: of a value.
            small: eps.
        """
        size = z.shape[-1]
        count = known.sum(-1, keepdim=True)
        hidden = size - count
        asked = z
        # The mean is zero: of what is known, or with what is hidden.
        z = torch.where((hidden == 0) & known, z - z.mean(-1, keepdim=True), z)
        # The hidden values take at least the square of their sum, in equal parts.
        taken = (z.square().sum(-1, keepdim=True) + z.sum(-1, keepdim=True).square() / hidden.clamp(min=1)) / size
        # All values scale alike: a mean square above 1 comes of no variance.
        z = z / taken.clamp(min=1.0).sqrt()
        spare = 1 - taken.clamp(max=1.0)
        # A mean far from zero rounds each value by more than its own last digits.
        off = (z - asked).abs() > rounding.sqrt() * asked.abs().clamp(min=1.0)
        blur = rounding * (2 - spare)
        low = (small / (spare + blur)).sqrt()
        high = torch.where(spare > blur, (small / (spare - blur).clamp(min=1e-300)).sqrt(), math.inf)
        # Two hidden values and more make up any variance.
        high = torch.where(hidden > 1, math.inf, high)
        return cls(z, known, low, high, spare, small), off & known

    def nearest(self, x: Tensor) -> Tensor:
        """Return the nearest values that are normalised to these; the mean stays.

        Args:
            x: ``(batch, groups, size)``.
        """
        size = x.shape[-1]
        mean = x.mean(-1, keepdim=True)
        away = x - mean
        hidden = (~self.known).sum(-1, keepdim=True)
        total = self.z.sum(-1, keepdim=True)
        # Hidden values apart: their mean balances the known ones, what is left of them goes its own way.
        middle = torch.where(self.known, 0.0, away).sum(-1, keepdim=True) / hidden.clamp(min=1)
        rest = torch.where(self.known, 0.0, away - middle)
        length = rest.norm(dim=-1, keepdim=True)
        along = (away * self.z).sum(-1, keepdim=True) - middle * total
        taken = size * (1 - self.spare)
        scale = self._scale(along, taken, torch.where(hidden > 1, length, 0.0), hidden, size)
        radius = (size * (self.spare * scale.square() - self.small)).clamp(min=0).sqrt()
        radius = torch.where(hidden > 1, radius, 0.0)
        # Where nothing says in which direction, the first two hidden values part.
        direction = torch.where(length > 0, rest / length.clamp(min=1e-300), self._first())
        balance = -scale * total / hidden.clamp(min=1) + radius * direction
        return mean + torch.where(self.known, scale * self.z, balance)

    def _first(self) -> Tensor:
        place = (~self.known).cumsum(-1)
        apart = torch.where(place == 1, 1.0, torch.where(place == 2, -1.0, 0.0)).to(self.z)
        return torch.where(self.known, 0.0, apart) / math.sqrt(2)

    def _scale(self, along: Tensor, taken: Tensor, length: Tensor, hidden: Tensor, size: int) -> Tensor:
        """Return the scale between its bounds that comes nearest.

        The squared distance is convex in it: ``taken s^2 - 2 along s`` of the known values and of the mean of the
        hidden ones, and ``(radius(s) - length)^2`` of what is left of these.
        """
        plain = (along / taken.clamp(min=1e-300)).clamp(self.low, self.high)
        plain = torch.where(plain.isfinite(), plain, self.low)
        if not bool((hidden > 1).any()):
            return plain
        near = self.low
        far = 2 * near + 2 * (along.abs() / size + length * self.spare.sqrt() / math.sqrt(size))
        for _ in range(_HALVINGS):
            middle = (near + far) / 2
            radius = (size * (self.spare * middle.square() - self.small)).clamp(min=0).sqrt()
            # Of size s^2 - 2 along s - 2 length radius, and the radius grows by size spare s over itself.
            slope = size * middle - along - length * size * self.spare * middle / radius.clamp(min=1e-300)
            near, far = torch.where(slope < 0, middle, near), torch.where(slope < 0, far, middle)
        return torch.where(hidden > 1, (near + far) / 2, plain)


@dataclass(frozen=True, eq=False)
class Normalised(Preimage):
    """All inputs that are normalised to the same values: any mean, and a scale between two bounds.

    Args:
        groups: the values by their groups.
        input_shape: of one input.
        dtype: of the inputs.
        clamped: see `Preimage`.
    """

    groups: _Normalised
    input_shape: tuple[int, ...]
    dtype: torch.dtype
    clamped: Tensor

    @property
    def scales(self) -> tuple[Tensor, Tensor]:
        """``(batch, groups)`` each: least and greatest root of variance plus eps, inf where rounding hides it."""
        return self.groups.low[..., 0], self.groups.high[..., 0]

    @property
    def x(self) -> Tensor:  # noqa: D102
        return self.nearest(
            torch.zeros(len(self.clamped), *self.input_shape, dtype=self.dtype).to(self.groups.z.device)
        )

    def nearest(self, z: Tensor) -> Tensor:  # noqa: D102
        return self.groups.nearest(z.double().reshape(self.groups.z.shape)).to(self.dtype).reshape(z.shape)
