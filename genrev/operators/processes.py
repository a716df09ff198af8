"""The processes that hold the rows of one matrix between them, and what they do together: add up, gather, agree."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from genrev.errors import ArgumentError, GenrevError

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

Found = TypeVar("Found")

_BLOCK = 2**22
"""Numbers of a matrix that go from one process to the others at once."""


class Processes:
    """The processes of a group, each of which holds some of the rows of a matrix, the first ones the first rows.

    All of them call the same methods in the same order. What comes back is the same on each to the last bit.

    Args:
        group: of ``torch.distributed``; the default one if not given, this process alone where none was initialised.

    Attributes:
        group: None for a process alone.
        count: how many there are.
        rank: which of them this one is, from 0.

    Raises:
        ArgumentError: this process is none of the group, or was started as one of several that know no group yet.

    Example:
        >>> processes = Processes()
        >>> processes.count, processes.rows(5)
        (1, slice(0, 5, None))
    """

    def __init__(self, group: Any = None) -> None:
        initialised = dist.is_available() and dist.is_initialized()
        if not initialised and (group is not None or os.environ.get("WORLD_SIZE", "1") != "1"):
            world = os.environ.get("WORLD_SIZE", "1")
            raise ArgumentError(
                f"expected the group of the {world} processes to be initialised, got none; call "
                "torch.distributed.init_process_group() in each of them first"
                if group is None
                else f"expected a group of torch.distributed, got {type(group).__name__} before any was initialised; "
                "call torch.distributed.init_process_group() first"
            )
        self.group: dist.ProcessGroup | None = dist.group.WORLD if initialised and group is None else group
        if self.group is not None and not isinstance(self.group, dist.ProcessGroup):
            raise ArgumentError(
                f"expected a group of torch.distributed that this process is one of, got {type(group).__name__}; make "
                "it by torch.distributed.new_group, and leave out processes that are none of it"
            )
        self.count = 1 if self.group is None else self.group.size()
        self.rank = 0 if self.group is None else self.group.rank()

    @classmethod
    def of(cls, values: Tensor) -> Processes:
        """Return the processes that hold a tensor, this one alone where it is no DTensor.

        Args:
            values: the tensor.

        Raises:
            ArgumentError: it is a DTensor that is not spread by rows alone.
        """
        spread: Any = values
        if not is_spread(values):
            alone = cls.__new__(cls)
            alone.group, alone.count, alone.rank = None, 1, 0
            return alone
        if spread.device_mesh.ndim != 1 or not spread.placements[0].is_shard(0):
            raise ArgumentError(
                f"expected a DTensor that is spread by rows, Shard(0) on a mesh of one dimension, got "
                f"{spread.placements}; redistribute it"
            )
        return cls(spread.device_mesh.get_group())

    def most(self, total: int) -> int:
        """Return how many rows a process holds at most.

        Args:
            total: rows of the matrix.
        """
        return -(-total // self.count)

    def rows(self, total: int, rank: int | None = None) -> slice:
        """Return which rows a process holds: as many as any other, the last ones what is left.

        Args:
            total: rows of the matrix.
            rank: of the process; this one if not given.
        """
        begin = min(total, (self.rank if rank is None else rank) * self.most(total))
        return slice(begin, min(total, begin + self.most(total)))

    def spread(self, own: Tensor, total: int) -> Tensor:
        """Return the matrix of which each process has its own rows: a DTensor, or just these of a process alone.

        Args:
            own: ``(rows, n)``.
            total: rows of the matrix.
        """
        if self.group is None:
            return own
        # It takes longer to import than a small network takes to run.
        from torch.distributed.device_mesh import DeviceMesh
        from torch.distributed.tensor import DTensor, Shard

        mesh = DeviceMesh.from_group(self.group, own.device.type)
        shape = torch.Size((total, own.shape[1]))
        return DTensor.from_local(
            own.contiguous(), mesh, [Shard(0)], run_check=False, shape=shape, stride=(own.shape[1], 1)
        )

    def add(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """Return the sums over all processes, in double precision on their way; one message for all of them.

        Args:
            parts: ``(rows, k)`` each.

        Raises:
            GenrevError: another process is gone.
        """
        if self.count == 1:
            return parts
        _expect_plain(parts[0])
        packed = torch.cat([part.double() for part in parts], 1)
        self._call(lambda: dist.all_reduce(packed, group=self.group))
        found = packed.split([part.shape[1] for part in parts], 1)
        return tuple(one.to(part.dtype) for one, part in zip(found, parts, strict=True))

    def gather(self, own: Tensor, total: int) -> Tensor:
        """Return the values of all processes side by side, ``(rows, total)``.

        Args:
            own: ``(rows, k)``: for the rows of the matrix that this process holds.
            total: rows of the matrix.

        Raises:
            GenrevError: another process is gone.
        """
        if self.count == 1:
            return own
        _expect_plain(own)
        most = self.most(total)
        padded = torch.nn.functional.pad(own, (0, most - own.shape[1])).contiguous()
        found = own.new_empty(self.count, len(own), most)
        self._call(lambda: dist.all_gather(list(found.unbind(0)), padded, group=self.group))
        # Only the last ones are not full.
        return found.transpose(0, 1).reshape(len(own), self.count * most)[:, :total]

    def numbers(self, *own: int) -> list[list[int]]:
        """Return the whole numbers of each process, by its rank.

        Args:
            own: as many on each process.
        """
        if self.count == 1:
            return [list(own)]
        device = "cuda" if dist.get_backend(self.group) == "nccl" else "cpu"
        given = torch.tensor([own], dtype=torch.int64, device=device)
        found = given.new_empty(self.count, *given.shape)
        self._call(lambda: dist.all_gather(list(found.unbind(0)), given, group=self.group))
        return found[:, 0].tolist()

    def blocks(self, own: Tensor, total: int) -> Iterator[Tensor]:
        """Return the whole matrix on each process, some rows ``(some, n)`` after others.

        Args:
            own: ``(rows, n)``.
            total: rows of the matrix.

        Raises:
            GenrevError: another process is gone.
        """
        some = max(1, _BLOCK // max(1, own.shape[1]))
        for rank in range(self.count):
            held = self.rows(total, rank)
            for begin in range(held.start, held.stop, some):
                end = min(held.stop, begin + some)
                if rank == self.rank:
                    block = own[begin - held.start : end - held.start].contiguous()
                else:
                    block = own.new_empty(end - begin, own.shape[1])
                self._send(block, rank)
                yield block

    def _send(self, block: Tensor, rank: int) -> None:
        """Bring a block of one process to the others."""
        if self.group is not None and self.count > 1:
            group, source = self.group, dist.get_global_rank(self.group, rank)
            self._call(lambda: dist.broadcast(block, source, group=group))

    def together(self, work: Callable[[], Found]) -> Found:
        """Return what work gives if it is done on all processes; where it fails on one, all raise.

        Args:
            work: on this process, without the others; of its errors those of genrev count.

        Raises:
            ArgumentError: another process has raised an error.
        """
        error: GenrevError | None = None
        try:
            found = work()
        except GenrevError as caught:
            error = caught
        failed = [rank for rank, (one,) in enumerate(self.numbers(int(error is not None))) if one]
        if error is not None:
            raise error
        if failed:
            raise ArgumentError(
                f"expected every process to make its part of the layer, got an error on process {failed[0]} of "
                f"{self.count}; see what it says"
            )
        return found

    def _call(self, send: Callable[[], Any]) -> None:
        try:
            send()
        except RuntimeError as error:
            cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise GenrevError(
                f"expected all {self.count} processes to take part, got none of an answer from another ({cause:.150}); "
                "see which of them ended first and why, and start all again"
            ) from error


def is_spread(values: Tensor) -> bool:
    """Return whether a tensor is a DTensor, of which this process holds a part.

    Args:
        values: the tensor.

    Example:
        >>> is_spread(torch.zeros(2))
        False
    """
    # Where nobody has imported it, there is none.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(values, module.DTensor)


def own_part(values: Tensor) -> Tensor:
    """Return the rows of a tensor that this process holds, without gradients: all of them where it is no DTensor.

    Args:
        values: the tensor.
    """
    if not is_spread(values):
        return values.detach()
    spread: DTensor = values  # type: ignore[assignment]
    with torch.no_grad():
        return spread.to_local()


def whole_blocks(values: Tensor) -> Iterator[Tensor]:
    """Return all values of a tensor in their order, on each of the processes that hold them, some after others.

    Args:
        values: of any shape.

    Example:
        >>> [block.tolist() for block in whole_blocks(torch.ones(2))]
        [[1.0, 1.0]]
    """
    if not is_spread(values):
        yield values.detach()
        return
    yield from Processes.of(values).blocks(own_part(values), values.shape[0])


def agreed(number: int, tensors: Iterable[Tensor]) -> int:
    """Return a number that is the same in all processes that share one of the tensors: that of the first of them.

    Args:
        number: of this process.
        tensors: the weights of a network.

    Example:
        >>> agreed(3, [torch.zeros(2)])
        3
    """
    spread = next((values for values in tensors if is_spread(values)), None)
    return number if spread is None else Processes.of(spread).numbers(number)[0][0]


def _expect_plain(values: Tensor) -> None:
    """Refuse rows that torch has batched by itself, for a Jacobian: they have no memory to be sent."""
    try:
        values.data_ptr()
    except RuntimeError as error:
        raise NotImplementedError("batched rows can't be added up over processes") from error
