"""The product of a linear operator with rows, as a step of a network that can be differentiated in the rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genrev.operators import Operator


class Product(torch.autograd.Function):
    """The product of an operator, or of its adjoint, with rows: each is the other's derivative.

    Example:
        >>> from genrev.operators import Dense
        >>> x = torch.ones(1, 2, requires_grad=True)
        >>> Product.apply(x, Dense(torch.tensor([[2.0, 3.0]])), False).sum().backward()
        >>> x.grad.tolist()
        [[2.0, 3.0]]
    """

    @staticmethod
    def forward(x: Tensor, weight: Operator, turned: bool) -> Tensor:
        """Return W x for each row, or W'x where it is turned."""
        return weight.adjoint(x) if turned else weight(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep what the derivatives need."""
        _, ctx.weight, ctx.turned = inputs

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        """Return the slopes in the rows."""
        return Product.apply(slopes[0], ctx.weight, not ctx.turned), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """Return the change that goes with a change of the rows."""
        return Product.apply(tangents[0], ctx.weight, ctx.turned)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, weight: Operator, turned: bool) -> Any:
        """Take batches of rows as more rows."""
        rows = x.movedim(in_dims[0], 0)
        found = Product.apply(rows.reshape(-1, rows.shape[-1]), weight, turned)
        return found.reshape(*rows.shape[:-1], -1), 0
