"""A linear layer whose weights stay on the disk."""

from __future__ import annotations

import math
import os
from contextlib import closing
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrev.checks import called_as
from genrev.layers.affine import Affine, Change, affine
from genrev.layers.bounds import Bounds, bounds
from genrev.layers.operators import each_place, operator
from genrev.layers.preimage import inverse
from genrev.layers.preimages.sums import by_operator
from genrev.models.operator_products import Product
from genrev.models.weights import as_weights
from genrev.operators import Operator
from genrev.operators.streamed import MEMORY, Streamed


class StreamedLinear(nn.Module):
    """W x + b with a dense W in a safetensors file, of which a few rows at a time are in memory.

    Each forward pass reads the file once, and so does each backward pass; W has no gradients. Its state holds b and a
    digest of W, for which the file is read once, and loads beside the same W alone.

    Args:
        path: of the file, which must stay as it is.
        name: of W in it, ``(m, n)``.
        bias: ``(m,)``, which is a parameter; zeros if not given.
        memory: bytes that the rows in memory may take.

    Raises:
        ArgumentError: the bias does not fit W.
        FileError: the file is missing, damaged or cut short, or W is no matrix; in use, also that it has changed or
            holds NaN or infinity.
        UnknownNameError: the file holds no tensor of that name.

    Example:
        >>> import pathlib, tempfile
        >>> from genrev.tensor_files import write_tensors
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "weights.safetensors")
        ...     write_tensors(path, {"weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}, {})
        ...     StreamedLinear(path, "weight")(torch.tensor([[1.0, 1.0]])).tolist()
        [[3.0, 7.0]]
    """

    bias: nn.Parameter

    @called_as('StreamedLinear("weights.safetensors", "layer.weight")')
    def __init__(
        self, path: str | os.PathLike[str], name: str, *, bias: Tensor | None = None, memory: int = MEMORY
    ) -> None:
        super().__init__()
        self.weight = Streamed(path, name, memory=memory)
        self.out_features, self.in_features = self.weight.shape
        zeros = torch.zeros(self.out_features, dtype=self.weight.dtype)
        added = zeros if bias is None else as_weights("bias", bias, (self.out_features,), zeros)
        # There even where it is zero, because a network's precision is that of its parameters.
        self.bias = nn.Parameter(added.clone())
        self._digest: str | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return W x + b: ``(..., n)`` to ``(..., m)``."""
        y = Product.apply(x.reshape(-1, self.in_features), self.weight, False)
        return y.reshape(*x.shape[:-1], self.out_features) + self.bias

    def extra_repr(self) -> str:
        """Return what a person is told of the layer."""
        # Not the path: the same weights elsewhere make the same network.
        return f"in_features={self.in_features}, out_features={self.out_features}, stored={self.weight.stored}"

    def get_extra_state(self) -> Tensor:
        """Return a digest of W, ``(32,)`` bytes."""
        if self._digest is None:
            self._digest = self.weight.digest()
        return torch.frombuffer(bytearray.fromhex(self._digest), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:
        """Keep W, which is that of the state: see `_load_from_state_dict`."""

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        key = f"{prefix}{torch.nn.modules.module._EXTRA_STATE_KEY_SUFFIX}"
        found = state.get(key)
        if found is not None and not torch.equal(torch.as_tensor(found).cpu(), self.get_extra_state()):
            # The last argument is where a module puts what is wrong.
            rest[-1].append(
                f"expected the state of a layer with the weights {self.weight.name!r} of {self.weight.path!r}, got "
                "that of one with others; make the layer of the file that belongs to the state"
            )
            return
        super()._load_from_state_dict(state, prefix, *rest)


@operator.register
def _(layer: StreamedLinear, input_shape: tuple[int, ...]) -> tuple[Operator, Tensor]:
    weight = layer.weight
    bias = layer.bias
    if (weight.dtype, weight.device) != (bias.dtype, bias.device):
        weight = Streamed(weight.path, weight.name, memory=weight.memory, dtype=bias.dtype, device=bias.device)
    return each_place(weight, bias, input_shape)


@affine.register
def _(layer: StreamedLinear, input_shape: tuple[int, ...]) -> Affine:
    weight = layer.weight

    def product(x: Tensor, change: Change) -> Tensor:
        y = x.new_empty(*x.shape[:-1], layer.out_features)
        with closing(weight.blocks(x, copies=2)) as blocks:
            for begin, block in blocks:
                y[..., begin : begin + len(block)] = F.linear(x, change(block))
        return y

    def transposed(y: Tensor) -> Tensor:
        return weight.adjoint(y.reshape(-1, layer.out_features)).reshape(*y.shape[:-1], layer.in_features)

    work = layer.out_features * math.prod(input_shape)
    bias = layer.bias.detach().double()
    return Affine(product, bias, layer.in_features + 1, work, transposed=transposed)


@bounds.register
def _(layer: StreamedLinear, input_shape: tuple[int, ...]) -> Bounds:
    return affine(layer, input_shape).bound


inverse.register(StreamedLinear)(by_operator)
