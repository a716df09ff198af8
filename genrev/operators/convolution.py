"""The operators of convolutions, whose adjoint is the transposed convolution, and of those the other way round."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from genrev.operators.base import Operator


@final
class Convolution(Operator):
    """A convolution, transposed or not and of any padding, by two functions of its weights that are adjoint.

    Args:
        forth: from x ``(rows, *input_shape)`` and weights to ``(rows, *output_shape)``, linear in each.
        back: its adjoint in x, from y ``(rows, *output_shape)`` and weights to ``(rows, *input_shape)``; found by
            automatic differentiation if not given.
        weight: the weights.
        input_shape: of one input.
        covers: whether each weight meets a value once at most, as it does unless values are repeated by the padding;
            sums of squares are products with the squared weights then.

    Example:
        >>> from torch.nn import functional as F
        >>> operator = Convolution(F.conv1d, F.conv_transpose1d, torch.tensor([[[1.0, 2.0]]]), (1, 3))
        >>> operator.dense().tolist()
        [[1.0, 2.0, 0.0], [0.0, 1.0, 2.0]]
    """

    def __init__(
        self,
        forth: Callable[[Tensor, Tensor], Tensor],
        back: Callable[[Tensor, Tensor], Tensor] | None,
        weight: Tensor,
        input_shape: tuple[int, ...],
        *,
        covers: bool = True,
    ) -> None:
        self._forth, self._weight, self._input_shape, self._covers = forth, weight.detach(), input_shape, covers
        self._back = back or self._differentiated
        plan = forth(torch.empty(1, *input_shape, device="meta", dtype=weight.dtype), self._weight.to("meta"))
        self._output_shape = tuple(plan.shape[1:])
        super().__init__((plan.numel(), math.prod(input_shape)), weight.dtype, weight.device)

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x for each row."""
        return self._run(x, self._weight)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A'y for each row."""
        return self._turn(y, self._weight)

    def column_squares(self) -> Tensor:
        """Return the sum of squares of each column."""
        if not self._covers:
            parts = [columns.square().sum(1) for columns in self.columns()]
            return torch.cat(parts) if parts else self._weight.new_zeros(0)
        return self._turn(self._weight.new_ones(1, self.shape[0]), self._weight.square())[0]

    def row_squares(self) -> Tensor:
        """Return the sum of squares of each row."""
        if not self._covers:
            return sum((columns.square().sum(0) for columns in self.columns()), self._weight.new_zeros(self.shape[0]))
        return self._run(self._weight.new_ones(1, self.shape[1]), self._weight.square())[0]

    def _run(self, x: Tensor, weight: Tensor) -> Tensor:
        return self._forth(x.reshape(len(x), *self._input_shape), weight).reshape(len(x), self.shape[0])

    def _turn(self, y: Tensor, weight: Tensor) -> Tensor:
        return self._back(y.reshape(len(y), *self._output_shape), weight).reshape(len(y), self.shape[1])

    def _differentiated(self, y: Tensor, weight: Tensor) -> Tensor:
        with torch.enable_grad():
            x = y.new_zeros(len(y), *self._input_shape).requires_grad_()
            return torch.autograd.grad(self._forth(x, weight), x, y)[0]
