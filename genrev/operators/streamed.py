"""The operator of a dense matrix that stays on the disk, and is read some rows at a time while others are multiplied.

It is read and not mapped: a map waits for the disk a page at a time, and a file that is cut short meanwhile would end
the process.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from io import FileIO
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from genrev.checks import whole
from genrev.errors import FileError
from genrev.files import shown, unreadable
from genrev.operators.base import Operator
from genrev.tensor_files import find_tensor

MEMORY = 2**26
"""Bytes that the rows in memory take, those that are being read included."""

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@final
class Streamed(Operator):
    """A matrix in a safetensors file, of which a few rows at a time are in memory.

    A thread reads the next rows while these are multiplied. Products are computed in the type and on the device of what
    is multiplied.

    Args:
        path: of the file, which must stay as it is.
        name: of the matrix in it, ``(m, n)``: float64, float32, float16 or bfloat16.
        memory: bytes that the rows in memory may take, one row at a time being the least.
        dtype: of the values that solvers work with; the file's own if not given, float32 for half precision.
        device: of those.

    Raises:
        ArgumentError: the memory is no positive whole number.
        FileError: the file is missing, damaged or cut short, or the tensor is no such matrix; while it is read, also
            that it has changed or holds NaN or infinity.
        UnknownNameError: the file holds no tensor of that name.

    Example:
        >>> import pathlib, tempfile
        >>> from genrev.tensor_files import write_tensors
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "weights.safetensors")
        ...     write_tensors(path, {"weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}, {})
        ...     Streamed(path, "weight").normal(torch.tensor([[1.0, 0.0]])).tolist()
        [[10.0, 14.0]]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        name: str,
        *,
        memory: int = MEMORY,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._place = place = find_tensor(path, name)
        # Where it is, wherever the program goes.
        self.path, self.name, self.memory = os.path.abspath(path), name, whole("memory", memory)
        if place.dtype not in _DTYPES or len(place.shape) != 2 or 0 in place.shape:
            raise FileError(
                f"expected {name!r} of {shown(path)} to be a matrix in {', '.join(_DTYPES)}, got {place.shape} in "
                f"{place.dtype}; choose another tensor, or convert it"
            )
        self.stored = _DTYPES[place.dtype]
        dtype = dtype or (self.stored if self.stored.itemsize > 2 else torch.float32)
        super().__init__((place.shape[0], place.shape[1]), dtype, torch.device(device))

    def __call__(self, x: Tensor) -> Tensor:
        """Return W x for each row, in one pass over the file."""
        y = x.new_empty(len(x), self.shape[0])
        with closing(self.blocks(x)) as blocks:
            for begin, block in blocks:
                y[:, begin : begin + len(block)] = part = F.linear(x, block)
                self._check(x, part, begin, block)
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        """Return W'y for each row, in one pass over the file."""
        x = y.new_zeros(len(y), self.shape[1])
        with closing(self.blocks(y)) as blocks:
            for begin, block in blocks:
                given = y[:, begin : begin + len(block)]
                x += (part := given @ block)
                self._check(given, part, begin, block)
        return x

    def forth_and_back(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return W x and W'W x for each row, in one pass over the file."""
        y, back = x.new_empty(len(x), self.shape[0]), torch.zeros_like(x)
        with closing(self.blocks(x)) as blocks:
            for begin, block in blocks:
                y[:, begin : begin + len(block)] = part = F.linear(x, block)
                back += part @ block
                self._check(x, part, begin, block)
        return y, back

    def column_squares(self) -> Tensor:
        """Return the sum of squares of each column; the file is read for it once."""
        return self._squares[0].to(self.dtype)

    def row_squares(self) -> Tensor:
        """Return the sum of squares of each row; the file is read for it once."""
        return self._squares[1].to(self.dtype)

    @cached_property
    def _squares(self) -> tuple[Tensor, Tensor]:
        columns = torch.zeros(self.shape[1], dtype=torch.float64, device=self.device)
        rows = []
        like = torch.zeros(1, 1, dtype=torch.float64, device=self.device)
        with closing(self.blocks(like, copies=1)) as blocks:
            for begin, block in blocks:
                squares = block.square()
                rows.append(squares.sum(1))
                columns += squares.sum(0)
                self._check(like, rows[-1][None], begin, block)
        return columns, torch.cat(rows)

    def normal_blocks(self, size: int) -> Tensor:
        """Return the blocks on the diagonal of W'W, in one pass over the file."""
        found = self._no_blocks(size)
        spare = len(found) * size - self.shape[1]
        like = torch.zeros((), dtype=self.dtype, device=self.device)
        with closing(self.blocks(like, copies=2)) as blocks:
            for _, block in blocks:
                parts = F.pad(block, (0, spare)).reshape(len(block), len(found), size).transpose(0, 1)
                found += parts.mT @ parts
        return found

    def digest(self) -> str:
        """Return a hash of the matrix, of its shape and type; 64 hexadecimal digits, in one pass over the file."""
        found = hashlib.sha256(f"{self.stored} {self.shape}".encode())
        with closing(self.blocks(torch.zeros((), dtype=self.stored), copies=0)) as blocks:
            for _, block in blocks:
                found.update(block.flatten().view(torch.uint8).numpy().data)
        return found.hexdigest()

    def rows(self, begin: int, end: int) -> Tensor:
        """Read some of the rows, ``(end - begin, n)`` on the CPU, in the type that they are stored in.

        Args:
            begin: the first.
            end: the one behind the last.

        Raises:
            FileError: the file can't be read, or has changed.
        """
        found = torch.empty(end - begin, self.shape[1], dtype=self.stored)
        with self._opened() as file:
            file.seek(self._place.offset + begin * self.shape[1] * self.stored.itemsize)
            self._read(file, found)
        return found

    def blocks(self, like: Tensor, *, copies: int = 0) -> Generator[tuple[int, Tensor], None, None]:
        """Read the matrix some rows after others: the number of the first, and the rows ``(some, n)``.

        A block is good until the next one is asked for.

        Args:
            like: of whose type, and on whose device, the rows are to be.
            copies: how many of the rows, of that type, the work on them takes, which counts as memory too.

        Raises:
            FileError: the file can't be read, or has changed.
        """
        m, n = self.shape
        same = like.dtype == self.stored and like.device.type == "cpu"
        width = n * (2 * self.stored.itemsize + (copies + (not same)) * like.dtype.itemsize)
        some = min(m, max(1, self.memory // width))
        buffers = [torch.empty(some, n, dtype=self.stored) for _ in range(1 if some == m else 2)]
        begins = range(0, m, some)
        with self._opened() as file, ThreadPoolExecutor(1, "genrev-read") as reader:
            ahead = reader.submit(self._read, file, buffers[0][: min(some, m)])
            for number, begin in enumerate(begins):
                ahead.result()
                block = buffers[number % 2][: min(some, m - begin)]
                following = begin + some
                if following < m:
                    ahead = reader.submit(self._read, file, buffers[1 - number % 2][: min(some, m - following)])
                yield begin, block.to(like.device, like.dtype)

    def _opened(self) -> FileIO:
        """Open the file where the matrix begins, if it is still the one that was there."""
        try:
            file = FileIO(self.path)
            state = os.fstat(file.fileno())
            file.seek(self._place.offset)
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from error
        if (state.st_size, state.st_mtime_ns) != (self._place.size, self._place.changed):
            file.close()
            raise self._changed()
        return file

    def _changed(self) -> FileError:
        return FileError(
            f"expected {shown(self.path)} as it was when the layer was made, got a file that has changed since; make "
            "the layer anew"
        )

    def _read(self, file: FileIO, rows: Tensor) -> None:
        """Fill rows with the next ones of the file."""
        room = memoryview(rows.view(-1).view(torch.uint8).numpy().data)
        while len(room):
            try:
                count = file.readinto(room)
            except OSError as error:
                raise unreadable(self.path, error) from error
            if not count:
                raise self._changed()
            room = room[count:]

    def _check(self, given: Tensor, found: Tensor, begin: int, block: Tensor) -> None:
        """Refuse weights that are not finite: no product with them is."""
        try:
            # Where the weights are finite, a sum of products may overflow all the same, which is for others to see.
            if math.isfinite(float(found.sum())) or bool(block.isfinite().all()):
                return
            spoilt = bool((given.isfinite().all(1) & ~found.isfinite().all(1)).any())
        except RuntimeError:
            # Rows that torch has batched by itself, for a Jacobian, have no numbers to look at.
            spoilt = not bool(block.isfinite().all())
        if spoilt:
            row = begin + int((~block.isfinite().all(1)).nonzero()[0])
            raise FileError(
                f"expected finite weights in {self.name!r} of {shown(self.path)}, got NaN or infinity in row {row}; "
                "get an undamaged copy, or train the network again"
            )
