"""Damage to files that genrev saved: bytes as a disk or a transfer spoils them, and headers as a hand edits them."""

from __future__ import annotations

import contextlib
import json
import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from genrev.tensor_files import _digest

_DEEP = "DEEP"
"""Stands in a document for a nesting that json would not write."""

ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2, 2.5, 10**6, 10**9, 10**18, 10**400, -(10**18), 1e308, -0.5, float("nan"),
    float("inf"), "", "x", "16", "relu", "softmax", "newton", "cvae", "comparison", "network",
    "line\nend \ud800 \x1b[2J", "__class__", [], [1], [0, 3], [1, 4, 4], [16, 5, 3], ["a", "b"], [10**9, 10**9],
    [16, 10**9, 3], [16, 20000, 20000, 3], [1, 10**9, 10**9], [1.5, 2], ["relu", "softmax"], [[1], [2]], {}, {"a": 1},
    {"steps": 10**18}, {"network": None}, _DEEP,
]  # fmt: skip

_KINDS = {"F64": np.float64, "F32": np.float32, "I64": np.int64, "BF16": np.uint16, "U8": np.uint8}


class Parts:
    """What a file is made of: the table of its tensors, their bytes, and the document that genrev keeps beside them."""

    def __init__(self, data: bytes) -> None:
        (length,) = struct.unpack("<Q", data[:8])
        self.table: dict[str, Any] = json.loads(data[8 : 8 + length])
        self.document: Any = json.loads(self.table.pop("__metadata__")["genrev"])
        rest = data[8 + length :]
        self.values = {name: rest[slice(*entry["data_offsets"])] for name, entry in self.table.items()}

    def bytes(self, *, digest: bool) -> bytes:
        """The file again, with the digest of what now stands in it, or without one."""
        rest, place = b"", 0
        for name, entry in self.table.items():
            if "data_offsets" in entry:
                entry["data_offsets"] = [place, place + len(self.values[name])]
                place += len(self.values[name])
                rest += self.values[name]
        if isinstance(self.document, dict):
            self.document.pop("digest", None)
            if digest:
                self.document["digest"] = self._digest(rest)
        text = json.dumps(self.document).replace(json.dumps(_DEEP), "[" * 3000 + "]" * 3000)
        head = json.dumps({**self.table, "__metadata__": {"genrev": text}}).encode()
        return struct.pack("<Q", len(head)) + head + rest

    def _digest(self, rest: bytes) -> str:
        from safetensors.torch import load

        head = json.dumps(self.table).encode()
        try:
            return _digest(load(struct.pack("<Q", len(head)) + head + rest), self.document.get("header"))
        except Exception:
            return "unknown"


# Bytes.


def flipped(data: bytes, draw: random.Random, end: int | None = None) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 8])):
        changed[draw.randrange(end or len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def flipped_in_the_header(data: bytes, draw: random.Random) -> bytes:
    return flipped(data, draw, 8 + struct.unpack("<Q", data[:8])[0])


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def extended(data: bytes, draw: random.Random) -> bytes:
    return data + draw.randbytes(draw.choice([1, 8, 4096]))


def swapped(data: bytes, draw: random.Random) -> bytes:
    one, two, three = sorted(draw.sample(range(len(data) + 1), 3))
    return data[:one] + data[two:three] + data[one:two] + data[three:]


def overwritten(data: bytes, draw: random.Random) -> bytes:
    begin = draw.randrange(len(data))
    size = min(draw.choice([1, 8, 64, 512]), len(data) - begin)
    return data[:begin] + draw.choice([bytes(size), b"\xff" * size, draw.randbytes(size)]) + data[begin + size :]


BYTES: list[Callable[[bytes, random.Random], bytes]] = [
    flipped, flipped_in_the_header, cut, extended, swapped, overwritten,
]  # fmt: skip


# What stands in the file.


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all that stands in a document."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def _owner(root: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        root = root[key]
    return root


def _place(parts: Parts, draw: random.Random) -> tuple[Any, ...]:
    # The header itself more often than the losses in it.
    short = [path for path in places(parts.document) if path and not isinstance(path[-1], int)]
    return draw.choice(short)


def deleted(parts: Parts, draw: random.Random) -> None:
    path = _place(parts, draw)
    del _owner(parts.document, path)[path[-1]]


def replaced(parts: Parts, draw: random.Random) -> None:
    path = draw.choice(places(parts.document)[1:]) if draw.random() < 0.2 else _place(parts, draw)
    _owner(parts.document, path)[path[-1]] = draw.choice(ODD)


def added(parts: Parts, draw: random.Random) -> None:
    path = _place(parts, draw)
    owner = _owner(parts.document, path)
    owner[draw.choice(["x", "network", "steps", "parts", "self", path[-1] + "_"])] = draw.choice(
        [*ODD, owner[path[-1]]]
    )


def exchanged(parts: Parts, draw: random.Random) -> None:
    one, two = _place(parts, draw), _place(parts, draw)
    a, b = (json.loads(json.dumps(_owner(parts.document, path)[path[-1]])) for path in (one, two))
    _owner(parts.document, one)[one[-1]] = b
    # The second may have stood within the first.
    with contextlib.suppress(KeyError, TypeError, IndexError):
        _owner(parts.document, two)[two[-1]] = a


def _told(parts: Parts) -> None:
    """Have the header tell the shapes that the tensors now have."""
    header = parts.document["header"]
    if "shapes" in header:
        header["shapes"] = {name: entry["shape"] for name, entry in parts.table.items()}


def renamed_tensor(parts: Parts, draw: random.Random) -> None:
    old = draw.choice(list(parts.table))
    new = draw.choice([f"{old}x", old.replace(".", "_"), "x", "", f"first.{old}", draw.choice(list(parts.table))])
    parts.table[new], parts.values[new] = parts.table.pop(old), parts.values.pop(old)
    _told(parts)


def lost_tensor(parts: Parts, draw: random.Random) -> None:
    old = draw.choice(list(parts.table))
    del parts.table[old], parts.values[old]
    _told(parts)


def doubled_tensor(parts: Parts, draw: random.Random) -> None:
    old = draw.choice(list(parts.table))
    parts.table[f"{old}.again"], parts.values[f"{old}.again"] = dict(parts.table[old]), parts.values[old]
    _told(parts)


def swapped_tensors(parts: Parts, draw: random.Random) -> None:
    one, two = draw.choice(list(parts.table)), draw.choice(list(parts.table))
    for table in (parts.table, parts.values):
        table[one], table[two] = table[two], table[one]  # type: ignore[index]
    _told(parts)


def reshaped_tensor(parts: Parts, draw: random.Random) -> None:
    name = draw.choice(list(parts.table))
    entry, shape = parts.table[name], parts.table[name]["shape"]
    count = int(np.prod(shape))
    entry["shape"] = draw.choice(
        [[count], [1, *shape], [*shape, 1], shape[::-1], [], [0], [-1], [10**12], [2**63], "x"]
    )
    if draw.random() < 0.7 and isinstance(entry["shape"], list) and all(0 <= size < 100 for size in entry["shape"]):
        width = len(parts.values[name]) // max(count, 1)
        parts.values[name] = (parts.values[name] * 40)[: width * int(np.prod(entry["shape"]))]
        _told(parts)


def retyped_tensor(parts: Parts, draw: random.Random) -> None:
    name = draw.choice(list(parts.table))
    entry, new = parts.table[name], draw.choice([*_KINDS, "F16", "BOOL", "I8", "C64", "F8_E4M3", "F4", "NONE", 3])
    if new in _KINDS and entry["dtype"] in _KINDS:
        old = np.frombuffer(parts.values[name], _KINDS[entry["dtype"]])
        with np.errstate(all="ignore"):
            parts.values[name] = old.astype(_KINDS[new]).tobytes()
    entry["dtype"] = new


def refilled_tensor(parts: Parts, draw: random.Random) -> None:
    name = draw.choice(list(parts.table))
    kind = _KINDS.get(parts.table[name]["dtype"], np.uint8)
    values = np.frombuffer(parts.values[name], kind).copy()
    some = slice(None) if draw.random() < 0.5 else slice(draw.randrange(max(len(values), 1)), None, 3)
    with np.errstate(all="ignore"):
        values[some] = np.array(draw.choice([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, -1e300, 1e-300])).astype(kind)
    parts.values[name] = values.tobytes()


def crooked_table(parts: Parts, draw: random.Random) -> None:
    name = draw.choice(list(parts.table))
    key = draw.choice(["dtype", "shape", "data_offsets"])
    if draw.random() < 0.3:
        del parts.table[name][key]
    else:
        parts.table[name][key] = draw.choice([one for one in ODD if one != _DEEP])


EDITS: list[Callable[[Parts, random.Random], None]] = [
    deleted, replaced, replaced, replaced, added, exchanged, renamed_tensor, lost_tensor, doubled_tensor,
    swapped_tensors, reshaped_tensor, retyped_tensor, refilled_tensor, refilled_tensor, crooked_table,
]  # fmt: skip


def spoiled(data: bytes, draw: random.Random) -> bytes:
    """The file with random bytes changed; its digest is that of what was saved."""
    return draw.choice(BYTES)(data, draw)


def edited(data: bytes, draw: random.Random) -> bytes:
    """The file with an entry changed, and a digest that fits, or with values changed and no digest."""
    parts = Parts(data)
    if draw.random() < 0.15:
        return spoiled(parts.bytes(digest=False), draw)
    draw.choice(EDITS)(parts, draw)
    return parts.bytes(digest=draw.random() < 0.7)
