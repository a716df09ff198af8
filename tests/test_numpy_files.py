"""The reader of NumPy's files: what NumPy wrote comes back, and one sentence for each way a file can be wrong."""

from __future__ import annotations

import io
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from sentences import assert_one_sentence

from genrev.errors import ArgumentError, FileError
from genrev.numpy_files import npz_names, read_npy, read_npz

ARRAYS: dict[str, np.ndarray] = {
    "float64": np.linspace(0, 1, 12).reshape(3, 4),
    "big-endian": np.arange(6, dtype=">f4").reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
    "bool": np.array([True, False]),
    "text": np.array([["O", "Xx"]]),
    "bytes": np.array([b"a", b"bc"]),
    "scalar": np.array(3.5),
    "empty": np.zeros((3, 0)),
    "complex": np.array([1j, 2]),
}


def npy(shape: Any, descr: Any = "<f8", data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """Return the bytes of a file whose header says what it is told to."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    size = len(header).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + header + data


def put(folder: Path, raw: bytes, name: str = "own.npy") -> Path:
    (folder / name).write_bytes(raw)
    return folder / name


# What is read


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_comes_back_as_it_was_written(tmp_path: Path, kind: str):
    np.save(tmp_path / "own.npy", ARRAYS[kind])
    found = read_npy(tmp_path / "own.npy")
    assert (found.dtype, found.shape) == (ARRAYS[kind].dtype, ARRAYS[kind].shape)
    np.testing.assert_array_equal(found, ARRAYS[kind])


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_come_back_by_name_and_can_be_written_to(tmp_path: Path, write: Any):
    write(tmp_path / "own.npz", **ARRAYS)
    assert npz_names(tmp_path / "own.npz") == list(ARRAYS)
    found = read_npz(str(tmp_path / "own.npz"))
    assert list(found) == list(ARRAYS)
    for name, array in found.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
    found["float64"][:] = 0


def test_the_longer_header_is_read(tmp_path: Path):
    assert read_npy(put(tmp_path, npy((1,), "<i8", bytes(8), (2, 0)))).tolist() == [0]


def test_only_what_is_wanted_is_read(tmp_path: Path):
    np.savez(tmp_path / "own.npz", x=np.ones(2), trap=np.array([Trap()], dtype=object))
    assert list(read_npz(tmp_path / "own.npz", ["x"])) == ["x"]


def test_what_packs_very_well_is_read(tmp_path: Path):
    np.savez_compressed(tmp_path / "own.npz", x=np.zeros((1000, 1000)))
    assert read_npz(tmp_path / "own.npz")["x"].shape == (1000, 1000)


# What is refused


def refused(path: Any) -> str:
    read = read_npz if str(path).endswith("npz") else read_npy
    with pytest.raises(FileError) as caught:
        read(path)
    assert_one_sentence(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("read", [read_npy, read_npz, npz_names])
def test_a_missing_file_a_folder_a_pipe_and_no_path_are_refused(tmp_path: Path, read: Any):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe", "no\0name"):
        with pytest.raises(FileError, match="which is no file; check the path"):
            read(path)
    with pytest.raises(ArgumentError, match="expected a path"):
        read(0)


class Trap:
    """An object that would say so if it were unpickled."""

    sprung: ClassVar[list[int]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return self.sprung.append, (1,)


def test_pickled_objects_are_never_loaded(tmp_path: Path):
    objects = np.array([Trap()], dtype=object)
    np.save(tmp_path / "own.npy", objects)
    np.savez(tmp_path / "own.npz", x=objects)
    records = np.zeros(2, dtype=[("a", "O"), ("b", "<f8")])
    np.save(tmp_path / "records.npy", records)
    for name in ("own.npy", "own.npz", "records.npy"):
        assert "it holds pickled objects, which are never loaded" in refused(tmp_path / name)
    for name in ("own.npy", "own.npz"):
        refused(put(tmp_path, pickle.dumps(Trap()), name))
    assert Trap.sprung == []


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "magic"),
    "another format": (b"\x89PNG\r\n\x1a\n" + bytes(90), "magic"),
    "another version": (npy((1,), data=bytes(8), version=(3, 0)), "version 3.0 of the format"),
    "cut short": (npy((3,), data=bytes(16)), r"its shape \(3,\) takes 24 bytes, and it holds 16"),
    "too long": (npy((3,), data=bytes(25)), r"takes 24 bytes, and it holds 25"),
    "a hundred gigabytes": (npy((10**6, 12500)), "takes 100000000000 bytes, and it holds 0"),
    "more than can be counted": (npy((10**30, 10**30)), "and it holds 0"),
    "a negative size": (npy((-1, -1), data=bytes(8)), r"it says that its shape is \(-1, -1\)"),
    "none of very many": (npy((0, 10**30)), "it says|large|big|dimension"),
    "nothing very often": (npy((10**15,), "<U0"), "which is no type of number or text"),
    "records": (npy((1,), [("a", "<f8")], bytes(8)), "which is no type of number or text"),
    "a type that is none": (npy((1,), "<f7", bytes(7)), "f7|descr"),
    "a program": (npy((1,), data=bytes(8)).replace(b"(1,)", b"f(1)"), "header"),
    "brackets without end": (npy("X", data=bytes(8)).replace(b"'X'", b"(" * 5000), "header|paren|nest"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_whose_header_is_wrong_is_refused_in_one_sentence(tmp_path: Path, case: str):
    raw, words = BAD[case]
    assert re.search(words, refused(put(tmp_path, raw)))
    with zipfile.ZipFile(tmp_path / "own.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", raw)
    refused(tmp_path / "own.npz")


def test_an_archive_that_says_that_it_unpacks_to_very_much_is_refused_unread(tmp_path: Path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        member.write(npy((2**26,), data=b""))
        for _ in range(2**9):
            member.write(bytes(2**20))
    raw = data.getvalue()
    assert len(raw) < 2**20
    assert "bytes unpack to" in refused(put(tmp_path, raw, "own.npz"))


def test_an_archive_whose_list_lies_about_a_size_is_refused(tmp_path: Path):
    path = tmp_path / "own.npz"
    np.savez_compressed(path, x=np.zeros(100))
    raw, size = path.read_bytes(), zipfile.ZipFile(path).getinfo("x.npy").file_size
    for lie in (10**9, 10**8, size - 8, size + 8, 1, 0):
        at = raw.rindex(b"PK\x01\x02") + 24
        refused(put(tmp_path, raw[:at] + lie.to_bytes(4, "little") + raw[at + 4 :], "own.npz"))


def test_members_that_are_no_arrays_or_packed_otherwise_are_no_arrays(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        archive.writestr("readme.txt", "x")
    assert read_npz(tmp_path / "own.npz") == {}
    assert npz_names(tmp_path / "own.npz") == []
    with zipfile.ZipFile(tmp_path / "own.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy((1,), data=bytes(8)))
    assert "packed in a way that NumPy does not use" in refused(tmp_path / "own.npz")


def test_a_name_that_is_not_there_is_named(tmp_path: Path):
    np.savez(tmp_path / "own.npz", x=np.ones(2))
    with pytest.raises(FileError, match="it holds no array z"):
        read_npz(tmp_path / "own.npz", ["z"])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["npy", "stored", "packed"])
def test_a_damaged_file_is_read_or_refused_in_one_sentence(tmp_path: Path, kind: str):
    path, random, refusals = tmp_path / ("own.npy" if kind == "npy" else "own.npz"), np.random.default_rng(0), 0
    if kind == "npy":
        np.save(path, ARRAYS["float64"])
    else:
        (np.savez if kind == "stored" else np.savez_compressed)(path, **ARRAYS)
    whole = path.read_bytes()
    for _ in range(300):
        raw = bytearray(whole)
        for at in random.integers(len(raw), size=random.integers(1, 4)):
            raw[at] = random.integers(256)
        path.write_bytes(raw[: random.integers(len(raw)) if random.random() < 0.2 else None])
        try:
            (read_npy if kind == "npy" else read_npz)(path)
        except FileError as error:
            assert_one_sentence(error)
            refusals += 1
    assert refusals > 50
