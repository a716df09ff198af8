"""The inverses of convolutions, transposed or not, and of other sums W x + b that are known by their products alone."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers.affine import Affine, affine
from genrev.layers.operators import operator
from genrev.layers.preimage import AffineSet, Inverse, Point, Preimage, expect_usable, inverse
from genrev.layers.preimages.linear import PseudoInverse, reshaped
from genrev.operators import prepare
from genrev.rows import rowwise

DENSE = 2**22
"""How many entries a matrix may have to be factored."""


@inverse.register(nn.Conv1d)
@inverse.register(nn.Conv2d)
@inverse.register(nn.Conv3d)
@inverse.register(nn.ConvTranspose1d)
@inverse.register(nn.ConvTranspose2d)
@inverse.register(nn.ConvTranspose3d)
def _(layer: Any, input_shape: tuple[int, ...]) -> Inverse:
    """The shortest of the inputs that come nearest to y, as for a linear layer."""
    expect_usable(layer)
    part = affine(layer, input_shape)
    zero = torch.zeros(1, *input_shape, dtype=torch.float64, device=layer.weight.device)
    output_shape = tuple(part.product(zero, _same).shape[1:])
    if math.prod(input_shape) * math.prod(output_shape) > DENSE:
        return by_operator(layer, input_shape)
    return of_sum(part, input_shape, output_shape)


def by_operator(layer: nn.Module, input_shape: tuple[int, ...]) -> Inverse:
    """Return the inverse of a sum that is a linear operator: by its structure, or by its products alone.

    Register it for a type of your own that has an operator: ``inverse.register(MyLayer)(by_operator)``.

    Args:
        layer: of a type that `genrev.layers.operators.operator` knows.
        input_shape: of one input.

    Raises:
        LayerError: a weight is not finite, or there is none.

    Example:
        >>> back = by_operator(nn.Linear(3, 2), (3,))
        >>> back(torch.zeros(1, 2)).x.shape
        torch.Size([1, 3])
    """
    expect_usable(layer)
    weights, bias = operator(layer, input_shape)
    solver = prepare(weights)
    m, n = weights.shape
    unique = m >= n and solver.rank in (n, None)

    def shortest(values: Tensor) -> Tensor:
        return rowwise(lambda rows: solver.solve(rows).x, values)

    def invert(y: Tensor) -> Preimage:
        rows, dtype = len(y), y.dtype
        asked = y.reshape(rows, m).double() - bias.to(y.device).double()
        x = shortest(asked)
        slack = torch.finfo(dtype).eps ** 0.5 * asked.abs().amax(1, keepdim=True)
        clamped = (solver.residual(x, asked).abs() > slack).reshape(y.shape)
        found = x.to(dtype).reshape(rows, *input_shape)
        if unique:
            return Point(found, clamped)

        def along(z: Tensor) -> Tensor:
            flat = z.reshape(len(z), n).double()
            seen = shortest(-solver.residual(flat, torch.zeros_like(flat[:, :1]).expand(-1, m)))
            return (flat - seen).to(z.dtype).reshape(z.shape)

        return AffineSet(found, along, clamped)

    return invert


def of_sum(part: Affine, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Inverse:
    """Return the inverse of a sum: by its matrix where that is small.

    Args:
        part: the sum.
        input_shape: of one input.
        output_shape: of one output.

    Raises:
        LayerError: its matrix is too large to be factored.
    """
    n, m = math.prod(input_shape), math.prod(output_shape)
    if n * m > DENSE:
        raise LayerError(
            f"expected a layer whose matrix has at most {DENSE} entries, got one of {m} by {n}; use an inverter that "
            "needs no matrix, such as 'newton'"
        )
    bias = part.bias.expand(1, *output_shape).reshape(1, m)
    eye = torch.eye(n, dtype=torch.float64, device=part.bias.device).reshape(n, *input_shape)
    weight = part.product(eye, _same).reshape(n, m).T.contiguous()
    back = PseudoInverse.of(weight)

    def invert(y: Tensor) -> Preimage:
        found = back.preimage((y.reshape(len(y), m).double() - bias.to(y.device)).to(y.dtype), weight.to(y.dtype))
        return reshaped(found, input_shape, tuple(y.shape))

    return invert


def _same(weight: Tensor) -> Tensor:
    return weight
