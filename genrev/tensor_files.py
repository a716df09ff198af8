"""Files of tensors: safetensors with a JSON header and a digest of both; nothing is ever pickled.

It knows no class of genrev but its errors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genrev.checks import as_json
from genrev.errors import ArgumentError, FileError, UnknownNameError, nearest
from genrev.files import expect_file, reason, shown, unreadable, write_bytes

if TYPE_CHECKING:
    from torch import Tensor

_KEY = "genrev"
_FORMAT = 1


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header as one safetensors file, whole or not at all.

    The same tensors and header always give the same bytes.

    Args:
        path: of a file, or free; its folder must exist.
        tensors: by name; of any shape and device, and free to share memory, which they no longer do once read.
        header: whatever ``json`` writes; tuples come back as lists, and names that are numbers as strings.

    Raises:
        ArgumentError: the header isn't JSON, or a tensor is of a kind that safetensors doesn't hold.
        FileError: as in :func:`genrev.files.write_bytes`.

    Example:
        >>> import pathlib, tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "weights.safetensors")
        ...     write_tensors(path, {"bias": torch.tensor([1, 2])}, {"class": "Linear"})
        ...     read_tensors(path)
        ({'bias': tensor([1, 2])}, {'class': 'Linear'})
    """
    import torch
    from safetensors.torch import save

    plain = as_json("the header", header)
    # Safetensors keeps its own metadata under this name, and would write a file that nobody can read.
    if "__metadata__" in tensors:
        raise ArgumentError("expected tensor names other than '__metadata__', got it; rename that tensor")
    try:
        # Always copied, because safetensors refuses tensors that share memory.
        dense = torch.contiguous_format
        own = {name: tensor.detach().to("cpu", copy=True, memory_format=dense) for name, tensor in tensors.items()}
        document = {"format": _FORMAT, "header": plain, "digest": _digest(own, plain)}
        data = save(own, {_KEY: json.dumps(document)})
    except Exception as error:
        # Safetensors raises many types here: KeyError for a dtype, NotImplementedError for a meta tensor, ...
        raise ArgumentError(
            f"expected dense tensors of a real type under string names, got '{reason(error)}'; convert them first"
        ) from error
    write_bytes(path, data)


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote.

    Args:
        path: of a file that genrev wrote.

    Returns:
        The tensors by name, on the CPU, and the header.

    Raises:
        FileError: the file is missing, damaged, not genrev's, or of a newer format.

    Example:
        >>> import pathlib, tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "codes.safetensors")
        ...     write_tensors(path, {"z": torch.zeros(2, dtype=torch.int64)}, {})
        ...     read_tensors(path)
        ({'z': tensor([0, 0])}, {})
    """
    return _read(path, tensors=True)


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the header that :func:`write_tensors` wrote and leave the tensors on the disk.

    Args:
        path: of a file that genrev wrote.

    Returns:
        The header.

    Raises:
        FileError: as in :func:`read_tensors`.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "empty.safetensors")
        ...     write_tensors(path, {}, {"seed": 0})
        ...     read_header(path)
        {'seed': 0}
    """
    return _read(path, tensors=False)[1]


@dataclass(frozen=True)
class Place:
    """Where one tensor of a safetensors file stands, for readers of a part of it.

    Args:
        offset: of its first byte in the file.
        shape: its own.
        dtype: as the file has it: "F32".
        size: of the whole file, in bytes.
        changed: when the file was last written to, in nanoseconds.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: str
    size: int
    changed: int


def find_tensor(path: str | os.PathLike[str], name: str) -> Place:
    """Find a tensor in a safetensors file, of genrev's or any other, and leave its values on the disk.

    Args:
        path: of the file.
        name: of the tensor.

    Raises:
        ArgumentError: the path is none.
        FileError: the file is missing, damaged, cut short or of another format.
        UnknownNameError: it holds no tensor of that name.

    Example:
        >>> import pathlib, tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "weights.safetensors")
        ...     write_tensors(path, {"weight": torch.zeros(2, 3)}, {})
        ...     place = find_tensor(path, "weight")
        >>> place.shape, place.dtype, place.size - place.offset
        ((2, 3), 'F32', 24)
    """
    from safetensors import SafetensorError, safe_open

    expect_file(path)
    try:
        # It checks the header, and that the file is as long as it says.
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
        state = os.stat(path)
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
    except SafetensorError as error:
        raise FileError(
            f"expected {shown(path)} to be a whole safetensors file, got damage or another format ({reason(error)}); "
            "check the path or get an undamaged copy"
        ) from error
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if name not in names:
        raise UnknownNameError(
            f"expected a tensor that {shown(path)} holds ({', '.join(names)[:200]}), got {name!r}"
            f"{nearest(str(name), names) or '; choose one of them'}"
        )
    entry = header[name]
    offset = 8 + length + entry["data_offsets"][0]
    return Place(offset, tuple(entry["shape"]), entry["dtype"], state.st_size, state.st_mtime_ns)


def _digest(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """Return what tells a file from a damaged one: safetensors has no checksum of its own."""
    from genrev.digest import digest

    return digest(dict(sorted(tensors.items())), json.dumps(header))


def _read(path: str | os.PathLike[str], *, tensors: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    expect_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            header, digest = _header(path, (file.metadata() or {}).get(_KEY))
            # Copies, because the file's own memory changes or fails when someone else writes to the file.
            found = {name: file.get_tensor(name).clone() for name in file.keys() if tensors}  # noqa: SIM118
    except FileError:
        raise
    except SafetensorError as error:
        raise _foreign(path, f"damage or another format ({reason(error)})") from error
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    # Files of before it was kept have none.
    if tensors and digest is not None and digest != _digest(found, header):
        raise FileError(
            f"expected {shown(path)} as genrev wrote it, got a file whose values have changed since; get an undamaged "
            "copy, or save it anew"
        )
    return found, header


def _header(path: str | os.PathLike[str], text: str | None) -> tuple[dict[str, Any], Any]:
    """Return the header that stands in a file's metadata, and the digest of header and tensors."""
    if text is None:
        raise _foreign(path, "a safetensors file without genrev's header")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _foreign(path, "a header that isn't JSON") from error
    version = document.get("format") if isinstance(document, dict) else None
    if type(version) is not int or version < 1:
        raise _foreign(path, "a header without a format version")
    if version > _FORMAT:
        raise FileError(f"expected {shown(path)} in format {_FORMAT}, got format {version}; update genrev to read it")
    header = document.get("header")
    if not isinstance(header, dict):
        raise _foreign(path, "a header that isn't a dict")
    return header, document.get("digest")


def _foreign(path: str | os.PathLike[str], got: str) -> FileError:
    return FileError(
        f"expected {shown(path)} to be a file that genrev wrote, got {got}; check the path or save it anew"
    )
