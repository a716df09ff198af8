"""NumPy's files: a strict reader of `.npy` and `.npz`, which unpickles nothing and believes no size unchecked."""

from __future__ import annotations

import math
import os
import warnings
import zipfile
from collections.abc import Sequence
from typing import IO

import numpy as np

from genrev.errors import FileError
from genrev.files import check_path, reason

_UNPACKED = 2**28
"""How many bytes any archive may unpack to: 256 MiB."""

_RATIO = 100
"""How often its own size a larger one may unpack to: pictures on white paper pack to a thirtieth at best."""

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """Read the array that `numpy.save` wrote.

    Args:
        path: of a `.npy` file.

    Returns:
        The array; of any type but objects and records.

    Raises:
        ArgumentError: the path is none.
        FileError: the file is missing, damaged, holds pickled objects, or is no array.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/start.npy", [0.5, 1.0])
        ...     read_npy(f"{folder}/start.npy").tolist()
        [0.5, 1.0]
    """
    _expect_file(path, "numpy.save")
    try:
        with open(path, "rb") as file:
            return _array(file, os.fstat(file.fileno()).st_size)
    except Exception as error:  # a broken header makes NumPy raise nearly anything
        raise FileError(
            f"expected an array of numbers written by numpy.save, got {os.fsdecode(path)} ({_why(error)}); "
            "write it again"
        ) from error


def npz_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the arrays that `numpy.savez` wrote, and leave the arrays on the disk.

    Args:
        path: of a `.npz` file.

    Raises:
        ArgumentError: the path is none.
        FileError: the file is missing, damaged, or no archive.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/weights.npz", W1=np.eye(2), b1=np.zeros(2))
        ...     npz_names(f"{folder}/weights.npz")
        ['W1', 'b1']
    """
    _expect_file(path, "numpy.savez")
    try:
        with zipfile.ZipFile(path) as archive:
            return list(_members(archive))
    except Exception as error:
        raise _foreign(path, error) from error


def read_npz(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Read the arrays that `numpy.savez` or `numpy.savez_compressed` wrote.

    Args:
        path: of a `.npz` file.
        names: of the arrays that are wanted; the others are left alone. All if not given.

    Returns:
        The arrays by name; of any type but objects and records.

    Raises:
        ArgumentError: the path is none.
        FileError: the file is missing, damaged, lacks a name, holds pickled objects among what is wanted, or unpacks
            to more than 256 MiB and a hundred times its size.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/weights.npz", W1=np.eye(2), b1=np.zeros(2))
        ...     sorted(read_npz(f"{folder}/weights.npz"))
        ['W1', 'b1']
    """
    _expect_file(path, "numpy.savez")
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            wanted = list(members) if names is None else list(names)
            missing = [name for name in wanted if name not in members]
            if missing:
                raise ValueError(f"it holds no array {missing[0]}")
            # Together, because several members may share the same bytes of the file.
            _expect_modest(sum(members[name].file_size for name in wanted), os.path.getsize(path))
            return {name: _member(archive, members[name]) for name in wanted}
    except Exception as error:  # a broken archive makes zipfile, zlib and NumPy raise nearly anything
        raise _foreign(path, error) from error


def _expect_file(path: str | os.PathLike[str], writer: str) -> None:
    check_path(path)
    # Opening a pipe would wait for ever.
    if not os.path.isfile(path):
        raise FileError(
            f"expected a file written by {writer}, got {os.fsdecode(path)}, which is no file; check the path"
        )


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the arrays of an archive by name."""
    infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    return {info.filename.removesuffix(".npy"): info for info in infos}


def _expect_modest(unpacked: int, packed: int) -> None:
    if unpacked > max(_UNPACKED, _RATIO * packed):
        raise ValueError(f"it says that its {packed} bytes unpack to {unpacked}")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is packed in a way that NumPy does not use")
    with archive.open(info) as file:
        return _array(file, info.file_size)


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """Return the array of an open `.npy` file of a given size, which its header has to agree with."""
    with warnings.catch_warnings():
        # A word about an old or odd header is none that a user can act on.
        warnings.simplefilter("ignore")
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"version {version[0]}.{version[1]} of the format, which no plain array needs")
        shape, fortran, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never loaded")
    if dtype.names is not None or dtype.itemsize == 0:
        raise ValueError(f"it holds {dtype}, which is no type of number or text")
    if min(shape, default=0) < 0:
        raise ValueError(f"it says that its shape is {shape}")
    expected, left = math.prod(shape) * dtype.itemsize, size - file.tell()
    if expected != left:
        raise ValueError(f"its shape {shape} takes {expected} bytes, and it holds {left}")
    data = bytearray(file.read(expected))
    if len(data) != expected:
        raise ValueError(f"its shape {shape} takes {expected} bytes, and it holds {len(data)}")
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def _foreign(path: str | os.PathLike[str], error: Exception) -> FileError:
    return FileError(
        f"expected arrays of numbers written by numpy.savez, got {os.fsdecode(path)} ({_why(error)}); write it again"
    )


def _why(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it is larger than memory"
    return reason(error)[:200]
