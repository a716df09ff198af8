"""A linear layer whose rows of weights are spread over several processes, and networks with such layers.

Run by ``torchrun --nproc-per-node 2 script.py``, this script inverts a network with two processes, each of which holds
half of the weights of the wide layers and gets all of each answer::

    import torch.distributed as dist
    from genrev import BijectiveInverter, InputSpace, Network, shard

    dist.init_process_group("gloo")  # "nccl" where each process has a GPU of its own
    network = Network(shard(module), space=InputSpace((8000,)))
    found = BijectiveInverter(network).reconstruct(targets)
    if dist.get_rank() == 0:
        print(found)
    dist.destroy_process_group()

All processes run the same lines on the same values; only printing is for one of them.
"""

from __future__ import annotations

import copy
import math
import os
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrev.checks import called_as, whole
from genrev.errors import ArgumentError, LayerError
from genrev.layers.affine import BLOCK, Affine, Change, affine
from genrev.layers.bounds import Bounds, bounds
from genrev.layers.operators import each_place, operator
from genrev.layers.preimage import Inverse, inverse
from genrev.layers.preimages.sums import by_operator
from genrev.models.operator_products import Product
from genrev.models.weights import all_finite, as_weights
from genrev.operators import Gathered, Operator, Sharded, Streamed
from genrev.operators.processes import Processes, is_spread, own_part

Module = TypeVar("Module", bound=nn.Module)

_CODES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class ShardedLinear(nn.Module):
    """W x + b with a dense W of which each process holds some rows; x, b and the result are whole on each.

    Where a process group is initialised W is a DTensor, ``Shard(0)``: so it stands in the layer's state, and
    ``full_tensor()`` brings it together. All processes run the same calls with the same inputs: a forward pass gathers
    the values of the outputs, a backward pass adds up the slopes of the inputs. W has no gradients. Without a group it
    is the layer of a single process. A state with the whole W loads as well: each process takes its rows.

    Args:
        rows: ``(own, n)``: the rows of W that this process holds, as `share` tells; copied where they are a view of
            more than these.
        bias: ``(m,)``, the same on all processes; zeros if not given.
        group: of ``torch.distributed``; the default one if not given.

    Raises:
        ArgumentError: the rows or the bias are not what they should be, on this process or another, or not the share
            of this process; or there is no group where there should be one.

    Example:
        >>> layer = ShardedLinear(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> layer(torch.tensor([[1.0, 1.0]])).tolist()
        [[3.0, 7.0]]
    """

    weight: nn.Parameter
    bias: nn.Parameter

    @called_as("ShardedLinear(rows, bias), or ShardedLinear.of(nn.Linear(n, m))")
    def __init__(self, rows: Tensor, bias: Tensor | None = None, *, group: Any = None) -> None:
        super().__init__()
        processes = Processes(group)
        own = processes.together(lambda: _expect_rows(rows))
        total = _expect_shares(processes, own)
        zeros = torch.zeros(total, dtype=own.dtype, device=own.device)
        added = processes.together(lambda: zeros if bias is None else as_weights("bias", bias, (total,), own))
        _expect_same(processes, "bias", added)
        self.in_features, self.out_features = own.shape[1], total
        if own.untyped_storage().nbytes() > own.numel() * own.element_size():
            # A view would keep all that it is of.
            own = own.clone()
        self.weight = nn.Parameter(processes.spread(own, total), requires_grad=False)
        # There even where it is zero, because a network's precision is that of its parameters.
        self.bias = nn.Parameter(added.clone())

    @staticmethod
    def share(outputs: int, *, group: Any = None) -> slice:
        """Return which rows of W are this process's: as many as any other's, but for the last ones.

        Args:
            outputs: rows of W.
            group: of ``torch.distributed``; the default one if not given.

        Example:
            >>> ShardedLinear.share(5)
            slice(0, 5, None)
        """
        return Processes(group).rows(whole("outputs", outputs))

    @classmethod
    @called_as("ShardedLinear.of(nn.Linear(n, m))")
    def of(cls, layer: nn.Linear, *, group: Any = None) -> ShardedLinear:
        """Make the layer of one that is whole, and the same, on each process.

        Args:
            layer: of which each process keeps its rows alone; it may be deleted afterwards.
            group: of ``torch.distributed``; the default one if not given.

        Raises:
            ArgumentError: it is none of the kind, or not the same on all processes.

        Example:
            >>> layer = nn.Linear(3, 2)
            >>> torch.equal(ShardedLinear.of(layer).weight, layer.weight)
            True
        """
        processes = Processes(group)
        if type(layer) is not nn.Linear:
            raise ArgumentError(f"expected an nn.Linear, got {type(layer).__name__}; give a layer of that type itself")
        _expect_same(processes, "weights", layer.weight)
        bias = None if layer.bias is None else layer.bias.detach()
        made = cls(layer.weight.detach()[processes.rows(layer.out_features)], bias, group=group)
        return made.train(layer.training)

    @classmethod
    @called_as('ShardedLinear.from_file("weights.safetensors", "layer.weight")')
    def from_file(
        cls, path: str | os.PathLike[str], name: str, *, bias: Tensor | None = None, group: Any = None
    ) -> ShardedLinear:
        """Make the layer of a matrix in a safetensors file, of which each process reads its own rows alone.

        Args:
            path: of the file.
            name: of W in it, ``(m, n)``.
            bias: ``(m,)``, in the type of W; zeros if not given.
            group: of ``torch.distributed``; the default one if not given.

        Raises:
            ArgumentError: the bias or W is not what it should be, on this process or another.
            FileError: the file is missing, damaged or cut short, or W is no matrix.
            UnknownNameError: the file holds no tensor of that name.

        Example:
            >>> import pathlib, tempfile
            >>> from genrev.tensor_files import write_tensors
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     path = pathlib.Path(folder, "weights.safetensors")
            ...     write_tensors(path, {"weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}, {})
            ...     ShardedLinear.from_file(path, "weight")(torch.tensor([[1.0, 1.0]])).tolist()
            [[3.0, 7.0]]
        """
        processes = Processes(group)

        def read() -> Tensor:
            stored = Streamed(path, name)
            held = processes.rows(stored.shape[0])
            return stored.rows(held.start, held.stop)

        return cls(processes.together(read), bias, group=group)

    @property
    def matrix(self) -> Gathered:
        """W as a linear operator that gives all outputs on each process."""
        return Gathered(Sharded(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        """Return W x + b: ``(..., n)`` to ``(..., m)``, whole on each process."""
        y = Product.apply(x.reshape(-1, self.in_features), self.matrix, False)
        return y.reshape(*x.shape[:-1], self.out_features) + self.bias

    def extra_repr(self) -> str:
        """Return what a person is told of the layer."""
        # Not the number of processes: the same weights on others make the same network.
        return f"in_features={self.in_features}, out_features={self.out_features}"

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        given = state.get(f"{prefix}weight")
        shape = (self.out_features, self.in_features)
        if is_spread(self.weight) and isinstance(given, Tensor) and given.shape == shape and not is_spread(given):
            processes = Processes.of(self.weight)
            own = given.detach()[processes.rows(self.out_features)].to(own_part(self.weight))
            state = {**state, f"{prefix}weight": processes.spread(own, self.out_features)}
        super()._load_from_state_dict(state, prefix, *rest)


def shard(module: Module, *, width: int = 1024, group: Any = None) -> Module:
    """Return a copy of a network whose wide linear layers hold the rows of this process alone.

    The answers of inverters are those of the network itself, on every process, but for rounding.

    Args:
        module: the same on all processes; it stays as it is.
        width: outputs of a layer from which on it is spread.
        group: of ``torch.distributed``; the default one if not given.

    Raises:
        ArgumentError: the weights are not the same on all processes, or there is no group where there should be one.

    Example:
        >>> module = nn.Sequential(nn.Linear(4, 2000), nn.Tanh(), nn.Linear(2000, 3))
        >>> [type(layer).__name__ for layer in shard(module)]
        ['ShardedLinear', 'Tanh', 'Linear']
    """
    least = whole("width", width)
    if not isinstance(module, nn.Module):
        raise ArgumentError(f"expected a torch.nn.Module, got {type(module).__name__}; give the network to be copied")
    wide = [layer for layer in module.modules() if type(layer) is nn.Linear and layer.out_features >= least]
    # What the copy is told to have copied already.
    made: dict[int, Any] = {id(layer): ShardedLinear.of(layer, group=group) for layer in wide}
    return copy.deepcopy(module, made)


def _expect_rows(rows: Tensor) -> Tensor:
    """Return this process's rows, if they are any; a process may be left without."""
    height = rows.shape[0] if isinstance(rows, Tensor) and rows.ndim == 2 else None
    own = as_weights("rows", rows, (height, None))
    if own.dtype not in _CODES:
        raise ArgumentError(f"expected rows in float64, float32 or half precision, got {own.dtype}; convert them")
    return own


def _expect_shares(processes: Processes, own: Tensor) -> int:
    """Return how many rows there are, if those of all processes fit one another."""
    found = processes.numbers(*own.shape, _CODES.index(own.dtype))
    for rank, (_, width, code) in enumerate(found):
        if (width, code) != tuple(found[0][1:]):
            raise ArgumentError(
                f"expected rows as wide and of the same type on all processes, got {found[0][1]} values in "
                f"{_CODES[found[0][2]]} on process 0 and {width} in {_CODES[code]} on process {rank}; give each its "
                "rows of one matrix"
            )
    heights = [height for height, _, _ in found]
    total = sum(heights)
    shares = [processes.rows(total, rank) for rank in range(processes.count)]
    if heights != [held.stop - held.start for held in shares] or not total:
        raise ArgumentError(
            f"expected {', '.join(str(held.stop - held.start) for held in shares)} of {total} rows on the processes in "
            f"turn, got {', '.join(map(str, heights))}; give each weight[ShardedLinear.share(len(weight))]"
        )
    return total


def _expect_same(processes: Processes, name: str, values: Tensor) -> None:
    """Refuse values that are not the same on all processes."""
    said = [(*values.shape[:2], _bits(values)) for _ in range(processes.count > 1)]
    found = processes.numbers(*said[0]) if said else []
    for rank, one in enumerate(found):
        if one != found[0]:
            raise ArgumentError(
                f"expected the same {name} on all processes, got others on process {rank} than on process 0; load "
                "them from one file, or draw them from one seed"
            )


def _bits(values: Tensor) -> int:
    """Return the sum of the bits of values, which no order of summing changes."""
    kind: Any = {2: torch.int16, 4: torch.int32, 8: torch.int64}[values.dtype.itemsize]
    parts = values.detach().flatten().split(2**20)
    return sum(int(part.view(kind).sum(dtype=torch.int64)) for part in parts) % 2**62


@operator.register
def _(layer: ShardedLinear, input_shape: tuple[int, ...]) -> tuple[Operator, Tensor]:
    return each_place(layer.matrix, layer.bias, input_shape)


@affine.register
def _(layer: ShardedLinear, input_shape: tuple[int, ...]) -> Affine:
    part = layer.matrix.part
    weight = part.dense()
    some = max(1, BLOCK // layer.in_features)

    def product(x: Tensor, change: Change) -> Tensor:
        flat = x.reshape(-1, layer.in_features)
        y = flat.new_empty(len(flat), len(weight))
        for begin in range(0, len(weight), some):
            y[:, begin : begin + some] = F.linear(flat, change(weight[begin : begin + some].double()))
        return part.whole(y).reshape(*x.shape[:-1], layer.out_features)

    def transposed(y: Tensor) -> Tensor:
        own = part.own(y.reshape(-1, layer.out_features))
        x = own.new_zeros(len(own), layer.in_features)
        for begin in range(0, len(weight), some):
            x += own[:, begin : begin + some] @ weight[begin : begin + some].double()
        return part.processes.add(x)[0].reshape(*y.shape[:-1], layer.in_features)

    work = layer.out_features * math.prod(input_shape)
    return Affine(product, layer.bias.detach().double(), layer.in_features + 1, work, transposed=transposed)


@bounds.register
def _(layer: ShardedLinear, input_shape: tuple[int, ...]) -> Bounds:
    return affine(layer, input_shape).bound


@inverse.register
def _(layer: ShardedLinear, input_shape: tuple[int, ...]) -> Inverse:
    # Each process sees its own rows, and all must refuse the layer or none.
    part = layer.matrix.part
    spoilt = part.processes.numbers(int(not all_finite(part.dense())))
    if [1] in spoilt:
        raise LayerError(
            f"expected finite weights, got a ShardedLinear that has NaN or infinity in the rows of process "
            f"{spoilt.index([1])}; train or load it again"
        )
    return by_operator(layer, input_shape)
