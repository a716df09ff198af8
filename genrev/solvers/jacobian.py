"""The Jacobians of a batch of independent rows, by as few backward passes as are fastest."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Function = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From ``(rows, n)`` to residuals ``(rows, m)`` and, for each row, the distance left as a share of the tolerance."""

_SMALL = 2**18
"""Up to how many slopes a copy of its row for each residual, and one backward pass for all, are fastest."""

_FEW = 16
"""Up to how many residuals one backward pass each is as fast as a batched one, which needs a rule for every operation
and imports a compiler."""


def jacobian(
    function: Callable[[Tensor], Function], index: Tensor, x: Tensor, *, out: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the residuals, the distances left, and the Jacobian of each row.

    Rows are independent, so one cotangent for each residual, shared by all rows, gives every row's Jacobian; the
    forward pass is an ordinary one, so a network with a forward of its own works as it does in training.

    Args:
        function: from row numbers ``(k,)`` to the `Function` of those rows.
        index: ``(rows,)``: the numbers of the rows.
        x: ``(rows, n)``.
        out: ``(rows, m, n)``: where to put the Jacobians; new memory if not given.

    Returns:
        ``(rows, m)``, ``(rows,)``, ``(rows, m, n)``.

    Example:
        >>> def square(index):
        ...     return lambda x: (x**2, x[:, 0])
        >>> jacobian(square, torch.tensor([0]), torch.tensor([[1.0, 2.0]]))[2].tolist()
        [[[2.0, 0.0], [0.0, 4.0]]]
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        residual, share = function(index)(x)
        rows, m = residual.shape
        slopes = x.new_empty(rows, m, x.shape[1]) if out is None else out
        if not residual.requires_grad:
            # It does not depend on x at all.
            slopes.zero_()
        elif slopes.numel() <= _SMALL:
            slopes.copy_(_by_copies(function, index, x, m))
        elif m <= _FEW:
            # The gradient of a sum: for one of a vector torch imports a compiler, to check a shape.
            for position in range(m):
                slopes[:, position] = torch.autograd.grad(residual[:, position].sum(), x, retain_graph=True)[0]
        else:
            # What torch.func.vmap(vjp) does, with half of the second that its first call takes to import a compiler.
            cotangents = torch.eye(m, dtype=x.dtype, device=x.device)[:, None].expand(m, rows, m)
            try:
                (columns,) = torch.autograd.grad(residual, x, cotangents, retain_graph=True, is_grads_batched=True)
                slopes.copy_(columns.transpose(0, 1))
            except NotImplementedError:
                # What runs on several processes can't be batched by torch itself.
                slopes.copy_(_by_copies(function, index, x, m))
        return residual.detach(), share, slopes


def _by_copies(function: Callable[[Tensor], Function], index: Tensor, x: Tensor, m: int) -> Tensor:
    """Return the Jacobians by one backward pass through a copy of its row for each residual."""
    rows, n = x.shape
    copies = x.detach().repeat_interleave(m, dim=0).requires_grad_()
    each = function(index.repeat_interleave(m))(copies)[0].view(rows, m, m)
    (gradients,) = torch.autograd.grad(each.diagonal(dim1=1, dim2=2).sum(), copies)
    return gradients.view(rows, m, n)
