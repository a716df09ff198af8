"""Tests of files of tensors: what comes back, and what is refused."""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor

from genrev.errors import ArgumentError, FileError, GenrevError
from genrev.tensor_files import read_header, read_tensors, write_tensors


def safetensors(header: object, data: bytes = b"") -> bytes:
    """The file format by hand: length, JSON, data."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def with_header(text: str) -> bytes:
    return safetensors({"__metadata__": {"genrev": text}})


TENSORS = {
    "bool": torch.tensor([True, False]),
    "int64": torch.tensor([-(2**62), 3]),
    "uint8": torch.arange(256, dtype=torch.uint8),
    "float32": torch.tensor([[0.1, math.pi]], dtype=torch.float32),
    "float64": torch.tensor([0.1, 5e-324], dtype=torch.float64),
    "bfloat16": torch.tensor([1.5], dtype=torch.bfloat16),
    "not finite": torch.tensor([math.inf, -math.inf, -0.0], dtype=torch.float64),
    "no dimension": torch.tensor(7.0, dtype=torch.float64),
    "no size": torch.zeros(3, 0, 2, dtype=torch.float32),
    "transposed": torch.arange(6).reshape(2, 3).T,
    "strided": torch.arange(10)[::3],
    "expanded": torch.ones(1, dtype=torch.float64).expand(4),
    "a.b/c ü": torch.zeros(1),
}


def assert_same(a: Tensor, b: Tensor) -> None:
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert a.device == torch.device("cpu")
    assert torch.equal(a, b)


@pytest.mark.parametrize("name", TENSORS)
def test_every_kind_of_tensor_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    write_tensors(tmp_path / "file", {name: TENSORS[name]}, {})
    tensors, header = read_tensors(tmp_path / "file")
    assert list(tensors) == [name]
    assert_same(tensors[name], TENSORS[name])
    assert header == {}


@pytest.mark.parametrize("path", [None, 3, 1.5, ["folder"]])
@pytest.mark.parametrize("read", [read_header, read_tensors])
def test_what_is_no_path_is_an_argument_error(path: Any, read: Callable[[Any], object]) -> None:
    with pytest.raises(ArgumentError, match=r"expected a path as a string or a pathlib\.Path") as caught:
        read(path)
    assert_one_sentence(str(caught.value))


def test_many_tensors_come_back_together_and_a_header_alone(tmp_path: Path) -> None:
    header = {
        "class": "Linear",
        "seed": 0,
        "deep": {"list": [1, 2.5, None, True], "text": "ü\n\ud800"},
        "inf": math.inf,
    }
    write_tensors(tmp_path / "file", TENSORS, header)
    tensors, found = read_tensors(tmp_path / "file")
    assert tensors.keys() == TENSORS.keys()
    for name in TENSORS:
        assert_same(tensors[name], TENSORS[name])
    assert found == header
    assert read_header(tmp_path / "file") == header


def test_no_tensors_at_all_are_allowed(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", {}, {"only": "this"})
    assert read_tensors(tmp_path / "file") == ({}, {"only": "this"})


def test_tensors_that_share_memory_come_back_apart(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    shared = {"whole": whole, "again": whole, "half": whole[:3], "folded": whole.view(2, 3)}
    write_tensors(tmp_path / "file", shared, {})
    tensors, _ = read_tensors(tmp_path / "file")
    for name in shared:
        assert_same(tensors[name], shared[name])
    tensors["whole"].zero_()
    assert_same(tensors["again"], whole)
    assert_same(tensors["half"], whole[:3])


def test_parameters_are_written_and_neither_changed_nor_tracked(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    write_tensors(tmp_path / "file", dict(layer.named_parameters()), {})
    tensors, _ = read_tensors(tmp_path / "file")
    assert_same(tensors["weight"], layer.weight.detach())
    assert layer.weight.requires_grad
    assert not tensors["weight"].requires_grad


def test_what_was_read_outlives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_tensors(path, {"x": torch.ones(1000)}, {})
    tensors, _ = read_tensors(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert_same(tensors["x"], torch.ones(1000))


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", TENSORS, {"x": 1})
    write_tensors(tmp_path / "b", dict(reversed(TENSORS.items())), {"x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_anyone_with_safetensors_can_read_the_file(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    write_tensors(tmp_path / "file", {"x": torch.arange(3)}, {"seed": 0})
    assert_same(load_file(tmp_path / "file")["x"], torch.arange(3))


@pytest.mark.parametrize(
    "tensors",
    [
        {"x": torch.zeros(2, dtype=torch.complex128)},
        {"x": torch.eye(2).to_sparse()},
        {"x": torch.zeros(2, device="meta")},
        {"x": [1.0, 2.0]},
        {3: torch.zeros(1)},
        {"__metadata__": torch.zeros(1)},
        {"\udcff": torch.zeros(1)},
    ],
    ids=["complex", "sparse", "meta", "list", "number as name", "reserved name", "half a surrogate as name"],
)
def test_a_tensor_that_cannot_be_held_is_an_argument_error(tmp_path: Path, tensors: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        write_tensors(tmp_path / "file", tensors, {})
    assert_one_sentence(str(caught.value))
    assert os.listdir(tmp_path) == []


def circular() -> dict[str, Any]:
    header: dict[str, Any] = {}
    header["self"] = header
    return header


@pytest.mark.parametrize(
    "header", [{"x": torch.zeros(1)}, {"x": {1, 2}}, {(1, 2): 3}, circular()], ids=["tensor", "set", "key", "circle"]
)
def test_a_header_that_json_cannot_hold_is_an_argument_error(tmp_path: Path, header: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        write_tensors(tmp_path / "file", {}, header)
    assert_one_sentence(str(caught.value))
    assert os.listdir(tmp_path) == []


FOREIGN = {
    "an empty file": b"",
    "a text file": b"# a title\n\nand a paragraph that is longer than a length\n",
    "a pickle": pickle.dumps({"weight": [1.0] * 100}),
    "a safetensors file without metadata": safetensors({}),
    "a safetensors file of someone else": safetensors({"__metadata__": {"format": "pt"}}),
    "a header that isn't a string": safetensors({"__metadata__": {"genrev": 3}}),
    "a header that isn't JSON": with_header("{"),
    "a header that is nested too deep": with_header("[" * 100_000),
    "a header that is a list": with_header("[]"),
    "a header without a version": with_header('{"header": {}}'),
    "a header with a word for a version": with_header('{"format": "1", "header": {}}'),
    "a header with true for a version": with_header('{"format": true, "header": {}}'),
    "a version before the first": with_header('{"format": 0, "header": {}}'),
    "a version without a header": with_header('{"format": 1}'),
    "a version with a list for a header": with_header('{"format": 1, "header": []}'),
    "a length beyond all memory": struct.pack("<Q", 2**62) + b"{}",
    "a length beyond the end": struct.pack("<Q", 90_000_000) + b"{}",
}


@pytest.mark.parametrize("read", [read_header, read_tensors])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_a_file_error(tmp_path: Path, kind: str, read: Callable[[Path], object]) -> None:
    (tmp_path / "file").write_bytes(FOREIGN[kind])
    with pytest.raises(FileError) as caught:
        read(tmp_path / "file")
    assert_one_sentence(str(caught.value))
    assert str(tmp_path / "file") in str(caught.value)


@pytest.mark.parametrize("read", [read_header, read_tensors])
def test_a_newer_format_is_a_file_error_that_says_update(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "file").write_bytes(with_header('{"format": 2, "header": []}'))
    with pytest.raises(FileError, match="got format 2; update genrev") as caught:
        read(tmp_path / "file")
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("read", [read_header, read_tensors])
def test_a_missing_file_a_folder_and_a_null_are_file_errors(tmp_path: Path, read: Callable[[Any], object]) -> None:
    for path in [tmp_path / "missing", tmp_path, tmp_path / "missing" / "below", f"{tmp_path}/a\0b"]:
        with pytest.raises(FileError) as caught:
            read(path)
        assert_one_sentence(str(caught.value))


def test_a_file_that_may_not_be_read_is_a_file_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    write_tensors(tmp_path / "file", {}, {})
    monkeypatch.setattr(safetensors, "safe_open", forbidden)
    with pytest.raises(FileError, match="Permission denied") as caught:
        read_header(tmp_path / "file")
    assert_one_sentence(str(caught.value))


def test_a_file_cut_off_anywhere_is_a_file_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_tensors(path, {"x": torch.arange(3.0), "y": torch.tensor(True)}, {"seed": 0})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError):
            read_tensors(path)


def test_a_damaged_file_raises_nothing_but_file_errors(tmp_path: Path) -> None:
    path, draw = tmp_path / "file", random.Random(0)
    write_tensors(path, {"x": torch.arange(3.0), "y": torch.tensor(True)}, {"seed": 0})
    whole = path.read_bytes()
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(damaged))] = draw.choice(b'0123456789[]{}",:\\FIBx\xff\x00')
        path.write_bytes(damaged)
        try:
            read_tensors(path)
        except FileError as error:
            assert_one_sentence(str(error))


def test_a_file_error_is_also_what_callers_of_open_expect(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="expected") as caught:
        read_header(tmp_path / "missing")
    assert isinstance(caught.value, GenrevError)


# What changed since it was written.


def test_every_single_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_tensors(path, {"x": torch.tensor([1.5, -2.0]), "n": torch.tensor([3])}, {"seed": 0})
    whole, read = path.read_bytes(), []
    for place in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            tensors, header = read_tensors(path)
        except FileError as error:
            assert_one_sentence(str(error))
        else:
            read.append(({name: values.tolist() for name, values in tensors.items()}, header))
    # A bit of the digest's own name leaves a file like those of before there was one.
    assert all(found == ({"x": [1.5, -2.0], "n": [3]}, {"seed": 0}) for found in read)


def test_a_file_of_before_there_was_a_digest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(with_header('{"format": 1, "header": {"seed": 0}}'))
    assert read_tensors(path) == ({}, {"seed": 0})


@pytest.mark.parametrize("digest", ['""', "3", '["a"]', '"' + "0" * 64 + '"'])
def test_a_digest_of_other_values_is_refused(tmp_path: Path, digest: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(with_header(f'{{"format": 1, "header": {{"seed": 0}}, "digest": {digest}}}'))
    with pytest.raises(FileError, match="values have changed since") as caught:
        read_tensors(path)
    assert_one_sentence(str(caught.value))


def test_names_that_json_turns_into_one_are_read_again(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", {}, {1: "a", "1": "b", "pair": (1, 2)})  # type: ignore[dict-item]
    assert read_header(tmp_path / "file") == {"1": "b", "pair": [1, 2]}
    read_tensors(tmp_path / "file")
