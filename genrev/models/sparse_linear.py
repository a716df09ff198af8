"""A linear layer whose weights are mostly zero, by their rows in compressed form (CSR)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from genrev.checks import called_as
from genrev.errors import ArgumentError
from genrev.layers.affine import BLOCK, Affine, Change, affine
from genrev.layers.bounds import Bounds, bounds
from genrev.layers.operators import each_place, operator
from genrev.layers.preimage import inverse
from genrev.layers.preimages.sums import by_operator
from genrev.models.weights import as_weights
from genrev.operators import Operator, Pattern, Sparse, checked_pattern
from genrev.operators.sparse import hush_beta

_ROOM = 2**22
"""Numbers that the slopes of the values may take on their way, a row of them at least."""


class SparseLinear(nn.Module):
    """W x + b with a sparse W, which may be 100,000 wide and more.

    The values that are not zero are a parameter; where they stand is fixed. It is differentiable in x and in the
    values, twice and more.

    Args:
        weight: ``(m, n)``, float32 or float64: a matrix, of which zeros are left out, or a sparse tensor.
        bias: ``(m,)``; none if not given.

    Attributes:
        values: ``(values,)``: of W, row by row.
        row_starts: ``(m + 1,)`` integers: the place of each row's first value.
        columns: ``(values,)`` integers: of each value.

    Raises:
        ArgumentError: the weight is no matrix, its indices are out of range, a value is not finite, or the bias does
            not fit it.

    Example:
        >>> layer = SparseLinear(torch.tensor([[0.0, 2.0, 0.0], [3.0, 0.0, 0.0]]))
        >>> layer(torch.tensor([[1.0, 10.0, 100.0]])).tolist(), len(layer.values)
        ([[20.0, 3.0]], 2)
    """

    values: nn.Parameter
    bias: nn.Parameter | None
    row_starts: Tensor
    columns: Tensor

    @called_as("SparseLinear(weight, bias), W of shape (outputs, inputs)")
    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        matrix = _in_rows(weight)
        pattern = checked_pattern(matrix.crow_indices(), matrix.col_indices(), matrix.shape[1])
        values = as_weights("the weight's values", matrix.values(), (len(pattern.columns),))
        self.out_features, self.in_features = matrix.shape
        self.values = nn.Parameter(values.clone())
        self.register_buffer("row_starts", pattern.starts.clone())
        self.register_buffer("columns", pattern.columns.clone())
        added = None if bias is None else as_weights("bias", bias, (self.out_features,), values)
        self.register_parameter("bias", None if added is None else nn.Parameter(added.clone()))
        self._pattern: tuple[Any, Pattern] | None = None

    @property
    def pattern(self) -> Pattern:
        """Where the values stand."""
        parts = self.row_starts, self.columns
        # A tensor that is written to has another version.
        state = [(part.data_ptr(), part.device, 0 if part.is_inference() else part._version) for part in parts]
        if self._pattern is None or self._pattern[0] != state:
            self._pattern = state, Pattern(*parts, self.in_features)
        return self._pattern[1]

    def forward(self, x: Tensor) -> Tensor:
        """Return W x + b: ``(..., n)`` to ``(..., m)``."""
        y = _Product.apply(x.reshape(-1, self.in_features), self.values, self.pattern, False)
        y = y.reshape(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """Return what a person is told of the layer."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, values={len(self.values)}, "
            f"bias={self.bias is not None}"
        )

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        starts, columns = state.get(f"{prefix}row_starts"), state.get(f"{prefix}columns")
        if starts is not None and columns is not None and starts.shape == self.row_starts.shape:
            try:
                checked_pattern(starts, columns, self.in_features)
            except ArgumentError as error:
                # The last argument is where a module puts what is wrong.
                rest[-1].append(str(error))
                return
        super()._load_from_state_dict(state, prefix, *rest)


def _in_rows(weight: Tensor) -> Tensor:
    """Return a matrix as a sparse tensor by rows."""
    kinds = torch.float32, torch.float64
    if not isinstance(weight, Tensor) or weight.ndim != 2 or 0 in weight.shape or weight.dtype not in kinds:
        got = f"{tuple(weight.shape)} in {weight.dtype}" if isinstance(weight, Tensor) else type(weight).__name__
        raise ArgumentError(f"expected a weight (outputs, inputs) in float32 or float64, got {got}; convert it")
    weight = weight.detach()
    if weight.layout is torch.sparse_csr:
        return weight
    hush_beta()
    # Of a sparse tensor in another form, values of one place are added up on the way.
    return (weight.coalesce() if weight.layout is torch.sparse_coo else weight).to_sparse_csr()


class _Product(torch.autograd.Function):
    """The product of a sparse matrix, or of the transposed one, with rows; linear in them and in the values."""

    @staticmethod
    def forward(x: Tensor, values: Tensor, pattern: Pattern, turned: bool) -> Tensor:
        if turned:
            pattern, order = pattern.transposed
            values = values[order]
        return pattern.product(values, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, values, ctx.pattern, ctx.turned = inputs
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, values)
        ctx.save_for_forward(x, values)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        (slope,), (x, values) = slopes, ctx.saved_tensors
        back = of_values = None
        if ctx.needs_input_grad[0]:
            back = _Product.apply(slope, values, ctx.pattern, not ctx.turned)
        if ctx.needs_input_grad[1]:
            places = ctx.pattern.rows, ctx.pattern.columns
            rows, columns = places[::-1] if ctx.turned else places
            # All rows at once would take as many copies of the weights.
            some = max(1, _ROOM // max(1, len(values)))
            pairs = zip(slope.split(some), x.split(some), strict=True)
            of_values = sum(
                ((one[:, rows] * other[:, columns]).sum(0) for one, other in pairs), torch.zeros_like(values)
            )
        return back, of_values, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (x, values), (step, change) = ctx.saved_tensors, tangents[:2]
        parts = [] if step is None else [_Product.apply(step, values, ctx.pattern, ctx.turned)]
        parts += [] if change is None else [_Product.apply(x, change, ctx.pattern, ctx.turned)]
        return sum(parts)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, values: Tensor, pattern: Pattern, turned: bool) -> Any:
        if in_dims[1] is not None:
            found = [
                _Product.apply(x if in_dims[0] is None else x.select(in_dims[0], place), one, pattern, turned)
                for place, one in enumerate(values.unbind(in_dims[1]))
            ]
            return torch.stack(found), 0
        rows = x.movedim(in_dims[0], 0)
        found = _Product.apply(rows.reshape(-1, rows.shape[-1]), values, pattern, turned)
        return found.reshape(*rows.shape[:-1], -1), 0


@operator.register
def _(layer: SparseLinear, input_shape: tuple[int, ...]) -> tuple[Operator, Tensor]:
    return each_place(Sparse(layer.pattern, layer.values), layer.bias, input_shape)


@affine.register
def _(layer: SparseLinear, input_shape: tuple[int, ...]) -> Affine:
    values, pattern = layer.values.detach(), layer.pattern
    bias = torch.zeros((), dtype=torch.float64) if layer.bias is None else layer.bias.detach().double()

    def product(x: Tensor, change: Change) -> Tensor:
        flat = x.reshape(-1, layer.in_features)
        return _by_parts(flat, values, pattern, change).reshape(*x.shape[:-1], layer.out_features)

    def transposed(y: Tensor) -> Tensor:
        turned, order = pattern.transposed
        flat = y.reshape(-1, layer.out_features)
        return _by_parts(flat, values[order], turned, lambda part: part).reshape(*y.shape[:-1], layer.in_features)

    longest = int(layer.row_starts.diff().amax()) if layer.out_features else 0
    places = math.prod(input_shape[:-1])
    return Affine(product, bias.to(values.device), longest + 1, len(values) * places, transposed=transposed)


def _by_parts(x: Tensor, values: Tensor, pattern: Pattern, change: Change) -> Tensor:
    """Return a product in float64 with some rows of the weights at a time, so that not all are copied."""
    y = x.new_empty(len(x), pattern.height)
    begin = 0
    starts = pattern.starts
    while begin < pattern.height:
        first = int(starts[begin])
        end = max(begin + 1, int(torch.searchsorted(starts, first + BLOCK, right=True)) - 1)
        last = int(starts[end])
        part = Pattern(starts[begin : end + 1] - first, pattern.columns[first:last], pattern.width)
        y[:, begin:end] = part.product(change(values[first:last].double()), x)
        begin = end
    return y


@bounds.register
def _(layer: SparseLinear, input_shape: tuple[int, ...]) -> Bounds:
    return affine(layer, input_shape).bound


inverse.register(SparseLinear)(by_operator)
