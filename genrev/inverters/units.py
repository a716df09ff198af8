"""The scale that a decoder draws in: inputs less their mean, in units of the spread of all their values."""

from __future__ import annotations

from torch import Tensor


class Units:
    """Turns inputs into flat values of unit scale, and back.

    Args:
        centre: ``(size,)``: the mean input.
        unit: ``()``, positive: the spread of all values.
        shape: of one input.

    Example:
        >>> import torch
        >>> units = Units.fit(torch.tensor([[[1.0], [2.0]], [[3.0], [8.0]]]))
        >>> units.inputs(units.of(torch.ones(1, 2, 1))).tolist()
        [[[1.0], [1.0]]]
    """

    def __init__(self, centre: Tensor, unit: Tensor, shape: tuple[int, ...]) -> None:
        self.centre, self.unit, self.shape = centre, unit, shape

    @classmethod
    def fit(cls, inputs: Tensor) -> Units:
        """Return the scale of some inputs.

        Args:
            inputs: ``(n, *shape)``, n >= 2, not all the same.
        """
        flat = inputs.flatten(1)
        return cls(flat.mean(0), flat.std(), tuple(inputs.shape[1:]))

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
