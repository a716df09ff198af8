"""MNIST and its kin: a strict reader of the IDX format, which believes no header that the file's length contradicts."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

from genrev.data.dataset import Dataset
from genrev.errors import ArgumentError, FileError

_PREFIXES = {"train": "train", "test": "t10k"}
_UNSIGNED_BYTE = 0x08


def idx(folder: str | Path, part: str) -> Dataset:
    """Read one part of a data set in MNIST's format.

    Args:
        folder: holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
            `t10k-labels-idx1-ubyte`, each plain or with `.gz`; the plain one is read where both are there.
        part: "train" or "test".

    Returns:
        Inputs `(n, 1, rows, columns)` in [0, 1], for MNIST `(n, 1, 28, 28)`; at least the ten classes "0" to "9".

    Raises:
        ArgumentError: part is neither "train" nor "test".
        FileError: the folder or a file is missing, cut short, not in this format, or the two files disagree.

    Reference:
        LeCun, Cortes and Burges, 1998, "The MNIST database of handwritten digits".

    Example:
        >>> import tempfile
        >>> images = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255])
        >>> labels = bytes([0, 0, 8, 1, 0, 0, 0, 1, 7])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "t10k-images-idx3-ubyte").write_bytes(images)
        ...     _ = Path(folder, "t10k-labels-idx1-ubyte").write_bytes(labels)
        ...     test = idx(folder, "test")
        >>> test.inputs.tolist(), test.labels.tolist()
        ([[[[0.0, 1.0]]]], [7])
    """
    if part not in _PREFIXES:
        raise ArgumentError(f'expected part "train" or "test", got {part!r}; choose one of them')
    prefix = _PREFIXES[part]
    image_file = _find(Path(folder), f"{prefix}-images-idx3-ubyte")
    label_file = _find(Path(folder), f"{prefix}-labels-idx1-ubyte")
    images, labels = _parse(image_file, ndim=3), _parse(label_file, ndim=1)
    if len(images) != len(labels):
        raise FileError(
            f"expected as many labels as images, got {len(labels)} in {label_file} and {len(images)} in {image_file}; "
            "take both files from one data set"
        )
    names = tuple(str(name) for name in range(max(10, int(labels.max()) + 1)))
    return Dataset(images[:, None].to(torch.float32).div_(255), labels.long(), names)


def _find(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise FileError(f"expected a folder with MNIST's four files, got {folder}, which is none; check the path")
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileError(f"expected {name} or {name}.gz in {folder}, got neither; put the file there under this name")


def _read(path: Path) -> bytearray:
    """Return a file's bytes, unpacked where its name ends in `.gz`."""
    try:
        raw = path.read_bytes()
        return bytearray(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(f"expected a whole gzip file, got {path} ({error}); download it again") from error
    except OSError as error:
        raise FileError(f"expected a file that can be read, got {path} ({error}); check its permissions") from error


def _parse(path: Path, *, ndim: int) -> Tensor:
    """Return the bytes of an IDX file, uint8, in the shape that its header gives."""
    raw = _read(path)
    header = 4 + 4 * ndim
    magic = bytes([0, 0, _UNSIGNED_BYTE, ndim])
    if raw[:4] != magic:
        raise FileError(
            f"expected an IDX file of unsigned bytes in {ndim} dimensions (it begins {magic.hex(' ')}), got {path}, "
            f"which begins {raw[:4].hex(' ') or 'nowhere: it is empty'}; check that this is the right file"
        )
    if len(raw) < header:
        raise FileError(f"expected a header of {header} bytes, got {len(raw)} in {path}; download it again")
    shape = [int.from_bytes(raw[at : at + 4], "big") for at in range(4, header, 4)]
    if min(shape) < 1:
        raise FileError(f"expected dimensions of at least 1, got {shape} in {path}; take a file that holds examples")
    if len(raw) != header + math.prod(shape):
        raise FileError(
            f"expected {header + math.prod(shape)} bytes for the dimensions {shape}, got {len(raw)} in {path}; "
            "download it again"
        )
    return torch.frombuffer(raw, dtype=torch.uint8, offset=header).reshape(shape)
