"""What inputs of one layer give an output, as a set, and the rules that find it, registered by type.

The rules themselves stand in `genrev.layers.preimages`, one file a family.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import singledispatch
from typing import Self, final

import torch
from torch import Tensor, nn

from genrev.errors import LayerError, nearest


class Preimage(ABC):
    """The set of inputs of a layer that give an output, one set for each row.

    Attributes:
        clamped: ``(batch, *output_shape)`` of bool, where no input gives the value and the nearest possible one was
            used instead.

    Example:
        >>> zero = inverse(nn.ReLU(), (1,))(torch.tensor([[0.0]]))
        >>> zero.x.tolist(), zero.nearest(torch.tensor([[-3.0]])).tolist()
        ([[0.0]], [[-3.0]])
        >>> zero.contains(torch.tensor([[1.0]])).tolist()
        [False]
    """

    clamped: Tensor

    @property
    @abstractmethod
    def x(self) -> Tensor:
        """``(batch, *input_shape)``: the point of the set that is nearest to zero."""

    @abstractmethod
    def nearest(self, z: Tensor) -> Tensor:
        """Return the point of the set that is nearest to z, ``(batch, *input_shape)``.

        Args:
            z: ``(batch, *input_shape)``.
        """

    @property
    def box(self) -> Box:
        """A box of inputs that all give the output: the set itself where it is one, else its point nearest to zero."""
        return Box(self.x, self.x, self.clamped)

    def with_clamped(self, clamped: Tensor) -> Self:
        """Return the same set, of which other values count as clamped.

        Args:
            clamped: see `Preimage`.
        """
        other = copy(self)
        # The sets themselves are frozen.
        object.__setattr__(other, "clamped", clamped)
        return other

    def contains(self, x: Tensor, slack: float | None = None) -> Tensor:
        """Return whether inputs lie in the set, ``(batch,)`` of bool; one with a NaN does not.

        Args:
            x: ``(batch, *input_shape)``.
            slack: how far a value may be from that of the nearest point of the set, in the units of the layer's
                inputs; if not given, the root of the precision's eps, times the greatest value of the input where
                that is above 1.
        """
        away = (self.nearest(x) - x).abs().flatten(1)
        return (away <= self.room(x, slack)[:, None]).all(1)

    @staticmethod
    def room(x: Tensor, slack: float | None) -> Tensor:
        """Return the slack of each row of `contains`, ``(batch,)``.

        Args:
            x: ``(batch, *input_shape)``.
            slack: that of all rows, if given.
        """
        if slack is not None or x[:1].numel() == 0:
            return torch.full((len(x),), slack or 0.0, dtype=x.dtype, device=x.device)
        return torch.finfo(x.dtype).eps ** 0.5 * x.flatten(1).abs().amax(1).clamp(min=1.0)


@final
@dataclass(frozen=True, eq=False)
class Box(Preimage):
    """An interval for each value by itself; one value where its ends are equal.

    Args:
        low: ``(batch, *input_shape)``, the least input, -inf where there is none.
        high: ``(batch, *input_shape)``, the greatest input, inf where there is none.
        clamped: see `Preimage`.
    """

    low: Tensor
    high: Tensor
    clamped: Tensor

    @classmethod
    def at(cls, x: Tensor, clamped: Tensor | None = None) -> Box:
        """Return the box of one value each.

        Args:
            x: ``(batch, *input_shape)``.
            clamped: of the same shape; nowhere if not given.
        """
        return cls(x, x, torch.zeros_like(x, dtype=torch.bool) if clamped is None else clamped)

    @property
    def x(self) -> Tensor:  # noqa: D102
        return self.nearest(torch.zeros_like(self.low))

    def nearest(self, z: Tensor) -> Tensor:  # noqa: D102
        return z.clamp(self.low, self.high)

    @property
    def box(self) -> Box:  # noqa: D102
        return self


@final
@dataclass(frozen=True, eq=False)
class Point(Preimage):
    """One input alone, whose values belong together.

    Args:
        point: ``(batch, *input_shape)``.
        clamped: see `Preimage`.
    """

    point: Tensor
    clamped: Tensor

    @property
    def x(self) -> Tensor:  # noqa: D102
        return self.point

    def nearest(self, z: Tensor) -> Tensor:  # noqa: D102
        return self.point


@final
@dataclass(frozen=True, eq=False)
class AffineSet(Preimage):
    """One input and all that differ from it along free directions.

    Args:
        point: ``(batch, *input_shape)``: that which is nearest to zero.
        along: from differences of inputs, ``(batch, *input_shape)``, to the part of them that is free.
        clamped: see `Preimage`.
    """

    point: Tensor
    along: Callable[[Tensor], Tensor]
    clamped: Tensor

    @property
    def x(self) -> Tensor:  # noqa: D102
        return self.point

    def nearest(self, z: Tensor) -> Tensor:  # noqa: D102
        return self.point + self.along(z - self.point)


@final
@dataclass(frozen=True, eq=False)
class Branches(Preimage):
    """Two intervals for each value by itself, of a function that falls and rises.

    Args:
        main: least and greatest; there always is one.
        other: likewise, NaN where there is none.
        clamped: see `Preimage`.
    """

    main: tuple[Tensor, Tensor]
    other: tuple[Tensor, Tensor]
    clamped: Tensor

    @property
    def x(self) -> Tensor:  # noqa: D102
        return self.nearest(torch.zeros_like(self.main[0]))

    def nearest(self, z: Tensor) -> Tensor:  # noqa: D102
        one, two = z.clamp(*self.main), z.clamp(*self.other)
        # A NaN compares false.
        return torch.where((two - z).abs() < (one - z).abs(), two, one)


Inverse = Callable[[Tensor], Preimage]


@singledispatch
def inverse(layer: nn.Module, input_shape: tuple[int, ...]) -> Inverse:
    """Prepare the inverse of a layer: what depends on the layer alone is computed here, once.

    Register a type of your own with ``@inverse.register``.

    Args:
        layer: the module, in eval mode.
        input_shape: of one input, without the batch.

    Returns:
        A function from outputs ``(batch, *output_shape)`` to their `Preimage`.

    Raises:
        LayerError: the type of the layer has no registered inverse, or not with these settings or weights.

    Example:
        >>> inverse(nn.Sigmoid(), (2,))(torch.tensor([[0.5, 1.3]])).clamped.tolist()
        [[False, True]]
    """
    known = sorted(kind.__name__ for kind in inverse.registry if kind is not object)
    name = type(layer).__name__
    raise LayerError(
        f"expected a layer with a registered inverse ({', '.join(known)}), got {name}{nearest(name, known)}; "
        "register one with @genrev.layers.inverse.register, or use an inverter that needs none, such as 'newton'"
    )


def is_invertible(layer: nn.Module) -> bool:
    """Return whether the layer's type, or a parent of it, has a registered inverse.

    Args:
        layer: any module.

    Example:
        >>> is_invertible(nn.Sigmoid()), is_invertible(nn.Bilinear(1, 1, 1))
        (True, False)
    """
    return inverse.dispatch(type(layer)) is not inverse.dispatch(object)


def expect_usable(layer: nn.Module) -> None:
    """Refuse a layer whose weights are no numbers, or that has none where it should.

    Args:
        layer: the module.

    Raises:
        LayerError: a weight or buffer is NaN or infinite, or holds no value.

    Example:
        >>> expect_usable(nn.Linear(2, 1))
    """
    for name, values in [*layer.named_parameters(), *layer.named_buffers()]:
        kind = f"{type(layer).__name__} with {name!r}"
        if values.numel() == 0:
            raise LayerError(
                f"expected a layer with at least one input and one output, got a {kind} of shape "
                f"{tuple(values.shape)}; leave the layer out, or give it a width"
            )
        if values.is_floating_point() and not bool(values.isfinite().all()):
            raise LayerError(f"expected finite weights, got a {kind} that has NaN or infinity; train or load it again")
