"""Products with the Jacobians of a batch of independent rows, which are never formed."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad

from genrev.rows import filled
from genrev.solvers.jacobian import Function


class Products:
    """The Jacobians J of rows where they now are, known by J d and J'w alone.

    J'w is a backward pass, and J d the backward pass of that one: J'w is linear in w, so its derivative in w is J
    again. Both passes keep the values of one forward pass, while forward mode computes them anew each time; that is
    left to functions that can't be differentiated twice.

    Args:
        function: from row numbers ``(k,)`` to the `Function` of those rows.
        index: ``(rows,)``: the numbers of the rows.
        x: ``(rows, n)``.
        free: ``(rows, n)`` of bool: the other values count as having no slope; all are free if not given.

    Example:
        >>> def square(index):
        ...     return lambda x: (x**2, x[:, 0])
        >>> products = Products(square, torch.tensor([0]), torch.tensor([[1.0, 2.0]]))
        >>> products.forth(torch.ones(1, 2)).tolist(), products.back(torch.ones(1, 2)).tolist()
        ([[2.0, 4.0]], [[2.0, 4.0]])
    """

    def __init__(
        self, function: Callable[[Tensor], Function], index: Tensor, x: Tensor, free: Tensor | None = None
    ) -> None:
        self._function, self._index, self._free, self._rows = function(filled(index)), index, free, len(x)
        with torch.enable_grad():
            # Rows in even numbers are rounded alike beside any others.
            self._x = filled(x.detach()).requires_grad_()
            self._residual = self._function(self._x)[0]
            self.outputs = self._residual.shape[1]
            self._duals = torch.zeros_like(self._residual, requires_grad=True)
            self._pull = self._pulled(self._duals, create_graph=True)
        self._twice: bool | None = None

    def back(self, duals: Tensor) -> Tensor:
        """Return J'w for each row: ``(rows, m)`` to ``(rows, n)``."""
        pull = self._pulled(filled(duals))[: self._rows]
        return pull if self._free is None else pull * self._free

    def forth(self, step: Tensor) -> Tensor:
        """Return J d for each row: ``(rows, n)`` to ``(rows, m)``."""
        step = filled(step if self._free is None else step * self._free)
        if self._twice is None:
            self._twice = self._differentiable_twice(step)
        return (self._backward_of_backward if self._twice else self._forward)(step)[: self._rows]

    def _differentiable_twice(self, step: Tensor) -> bool:
        """Whether the derivative of the derivative is there: w'(J d) must be (J'w)'d.

        Some operations have none, and say so; what is marked `once_differentiable` may count as zero instead.
        """
        try:
            forth = self._backward_of_backward(step)
        except (NotImplementedError, RuntimeError):
            return False
        duals = torch.ones_like(forth)
        duals[:, ::2] = -2.0
        pull = self._pulled(duals)
        one, other = (forth * duals).sum(1), (pull * step).sum(1)
        size = forth.norm(dim=1) * duals.norm(dim=1) + pull.norm(dim=1) * step.norm(dim=1)
        # What is not finite can't be compared.
        return not bool(((one - other).abs() > 1e-3 * size).any())

    def _pulled(self, duals: Tensor, *, create_graph: bool = False) -> Tensor:
        if not self._residual.requires_grad:
            # It does not depend on x at all.
            return torch.zeros_like(self._x)
        (pull,) = torch.autograd.grad(
            self._residual, self._x, duals, retain_graph=True, create_graph=create_graph, materialize_grads=True
        )
        return pull

    def _backward_of_backward(self, step: Tensor) -> Tensor:
        if not self._pull.requires_grad:
            return torch.zeros_like(self._duals)
        (forth,) = torch.autograd.grad(self._pull, self._duals, step, retain_graph=True, materialize_grads=True)
        return forth

    def _forward(self, step: Tensor) -> Tensor:
        with forward_ad.dual_level(), warnings.catch_warnings():
            # Its first use imports what torch itself warns of.
            warnings.simplefilter("ignore", DeprecationWarning)
            residual = self._function(forward_ad.make_dual(self._x.detach(), step))[0]
            tangent = forward_ad.unpack_dual(residual).tangent
        return torch.zeros_like(residual) if tangent is None else tangent.detach()
