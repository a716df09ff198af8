"""The inverse of a linear layer: W+ (y - b), by one factor that serves all targets, and all that W does not see."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genrev.layers.preimage import AffineSet, Inverse, Point, Preimage, expect_usable, inverse
from genrev.rows import rowwise

_MARGIN = 10
"""How far from singular a matrix must be seen to be, in what would count as singular, for QR to do."""

_ROUNDS = 8
"""Of the power iteration: what it finds of the greatest singular value is short by much less than the margin."""


@dataclass(frozen=True, eq=False)
class PseudoInverse:
    """W+ in two parts: from outputs to coordinates, and from coordinates to inputs.

    Args:
        core: ``(rank, m)``: from outputs to coordinates along the basis.
        basis: ``(n, rank)``: orthonormal columns that span the inputs that W sees; None where these are all, and the
            coordinates are the inputs themselves.
        onto: whether W gives every output.

    Reference:
        Golub and Van Loan, 2013, "Matrix Computations", sections 5.3 and 5.5.
    """

    core: Tensor
    basis: Tensor | None
    onto: bool

    @classmethod
    def of(cls, weight: Tensor) -> PseudoInverse:
        """Factor a matrix: by QR where its rank is full beyond doubt, else by its singular values.

        A singular value of at most the greatest times max(m, n) eps counts as zero.

        Args:
            weight: ``(m, n)``, of at least float32.

        Example:
            >>> weight = torch.tensor([[3.0, 4.0]])
            >>> PseudoInverse.of(weight)(torch.tensor([[25.0]])).tolist()
            [[3.0, 4.0]]
        """
        m, n = weight.shape
        wide = m <= n
        q, r = torch.linalg.qr(weight.T if wide else weight)
        diagonal = r.diagonal().abs()
        share = max(m, n) * torch.finfo(weight.dtype).eps
        if bool((diagonal > share * diagonal.max()).all()):
            back = torch.linalg.solve_triangular(r, torch.eye(len(r)).to(r), upper=True)
            if _greatest(r) * _greatest(back) * share * _MARGIN < 1:
                return cls(back.T.contiguous(), q, onto=True) if wide else cls(back @ q.T, None, onto=False)
        u, s, v = torch.linalg.svd(weight, full_matrices=False)
        rank = int((s > share * s.max()).sum())
        core = u[:, :rank].T / s[:rank, None]
        return cls(core, v[:rank].T.contiguous(), onto=rank == m)

    def __call__(self, y: Tensor) -> Tensor:
        """Return the shortest of the inputs that come nearest to y.

        Args:
            y: ``(..., m)``.
        """
        coordinates = y @ self.core.T
        return coordinates if self.basis is None else coordinates @ self.basis.T

    def along(self, x: Tensor) -> Tensor:
        """Return the part of inputs that W does not see.

        Args:
            x: ``(..., n)``.
        """
        assert self.basis is not None
        return x - (x @ self.basis) @ self.basis.T

    def preimage(self, asked: Tensor, weight: Tensor) -> Preimage:
        """Return the inputs that W takes nearest to what is asked.

        Args:
            asked: ``(batch, ..., m)``.
            weight: ``(m, n)``.
        """
        dtype = asked.dtype
        x = rowwise(lambda rows: self(rows.to(self.core)).to(asked), asked)
        clamped = torch.zeros_like(asked, dtype=torch.bool)
        if not self.onto:
            # More outputs than inputs can't be had in every combination: all that the nearest one moves are clamped.
            slack = torch.finfo(dtype).eps ** 0.5 * asked.abs().amax(-1, keepdim=True)
            clamped = (x @ weight.to(x).T - asked).abs() > slack
        if self.basis is None or self.basis.shape[0] == self.basis.shape[1]:
            return Point(x, clamped)
        return AffineSet(x, lambda z: rowwise(lambda rows: self.along(rows.to(self.core)).to(asked), z), clamped)


def _greatest(matrix: Tensor) -> float:
    """Return the greatest singular value, or a little less."""
    start = torch.randn(matrix.shape[1], 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = start.to(matrix)
    for _ in range(_ROUNDS):
        x = matrix.T @ (matrix @ (x / x.norm(dim=0).clamp(min=torch.finfo(x.dtype).tiny)))
    return float((matrix @ x).norm(dim=0).div(x.norm(dim=0)).nan_to_num(0.0).amax())


@inverse.register
def _(layer: nn.Linear, input_shape: tuple[int, ...]) -> Inverse:
    """W+ (y - b): the shortest of the inputs that come nearest to y, and all that W sees alike."""
    expect_usable(layer)
    weight = layer.weight.detach()
    # Torch has no factors in half precision.
    back = PseudoInverse.of(weight if weight.dtype.itemsize > 2 else weight.float())
    bias = 0.0 if layer.bias is None else layer.bias.detach()
    return lambda y: back.preimage(y - bias, weight)


def reshaped(preimage: Preimage, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Preimage:
    """Return the same set of inputs in another shape, rows of it made one where there are more of them.

    Args:
        preimage: a point or an affine set.
        input_shape: of one input.
        output_shape: of all outputs, with the batch.
    """
    rows, inner = output_shape[0], preimage.x.shape
    x, clamped = preimage.x.reshape(rows, *input_shape), preimage.clamped.reshape(output_shape)
    if not isinstance(preimage, AffineSet):
        return Point(x, clamped)
    along = preimage.along
    return AffineSet(x, lambda z: along(z.reshape(inner)).reshape(rows, *input_shape), clamped)
