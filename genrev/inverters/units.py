"""The scale that a decoder draws in: inputs less their mean, in units of the spread of all their values, or of each."""

from __future__ import annotations

import torch
from torch import Tensor

from genrev.space import InputSpace

_LEAST = 0.01
"""The least spread of a value, in widths of its bounds."""


class Units:
    """Turns inputs into flat values of unit scale, and back.

    Args:
        centre: ``(size,)``: the mean input.
        unit: ``()`` or ``(size,)``, positive: the spread of all values, or of each.
        shape: of one input.

    Example:
        >>> import torch
        >>> from genrev.space import InputSpace
        >>> units = Units.fit(torch.tensor([[[1.0], [2.0]], [[3.0], [8.0]]]), InputSpace((2, 1)))
        >>> units.inputs(units.of(torch.ones(1, 2, 1))).tolist()
        [[[1.0], [1.0]]]
    """

    def __init__(self, centre: Tensor, unit: Tensor, shape: tuple[int, ...]) -> None:
        self.centre, self.unit, self.shape = centre, unit, shape

    @classmethod
    def fit(cls, inputs: Tensor, space: InputSpace) -> Units:
        """Return the scale of some inputs: one for all values where they are alike, else one for each.

        Args:
            inputs: ``(n, *shape)``, n >= 2, not all the same.
            space: that they live in.
        """
        flat = inputs.flatten(1)
        if space.alike:
            return cls(flat.mean(0), flat.std(), space.shape)
        spread, width = flat.std(0), space.unit.flatten().to(flat)
        # What hardly ever varies would be a number beyond all others when it does.
        return cls(flat.mean(0), torch.maximum(spread, _LEAST * width), space.shape)

    def of(self, inputs: Tensor) -> Tensor:
        """Return values of unit scale, ``(rows, size)``.

        Args:
            inputs: ``(rows, *shape)``.
        """
        return (inputs.flatten(1) - self.centre) / self.unit

    def inputs(self, units: Tensor) -> Tensor:
        """Return inputs, ``(rows, *shape)``.

        Args:
            units: ``(rows, size)``.
        """
        return (units * self.unit + self.centre).reshape(-1, *self.shape)
