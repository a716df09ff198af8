"""Tests of matrices that stay on the disk: the same as in memory, some rows at a time, and files not theirs."""

from __future__ import annotations

import copy
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from sentences import assert_one_sentence
from torch import Tensor

from genrev.errors import ArgumentError, FileError, UnknownNameError
from genrev.operators import BlockJacobi, ColumnScaling, Dense, Streamed, cgnr, lsmr, prepare
from genrev.tensor_files import find_tensor

MEMORIES = [1, 300, 1000, 2**20]
"""Bytes: of one row at a time, of a few, and of all."""


def near(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Tensor]:
    """A file with a matrix between other tensors."""
    weight = torch.randn(13, 7)
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.ones(3), "layer.weight": weight, "z": torch.ones(2, 2, dtype=torch.int64)}, path)
    return path, weight


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_products_are_those_of_the_matrix(saved: Any, memory: int, rows: int) -> None:
    path, weight = saved
    operator = Streamed(path, "layer.weight", memory=memory)
    x, y = torch.randn(rows, 7), torch.randn(rows, 13)
    near(operator(x), x @ weight.T)
    near(operator.adjoint(y), y @ weight)
    near(operator.normal(x), x @ weight.T @ weight)
    near(operator.forth_and_back(x)[0], x @ weight.T)
    near((operator(x) * y).sum(1), (x * operator.adjoint(y)).sum(1))
    near(operator.dense(), weight)


@pytest.mark.parametrize("memory", MEMORIES)
def test_sums_of_squares_and_blocks_are_those_of_the_matrix(saved: Any, memory: int) -> None:
    path, weight = saved
    operator, dense = Streamed(path, "layer.weight", memory=memory), Dense(weight)
    near(operator.column_squares(), dense.column_squares())
    near(operator.row_squares(), dense.row_squares())
    for size in (1, 3, 7):
        near(operator.normal_blocks(size), dense.normal_blocks(size))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_every_floating_type_is_read_as_it_is(tmp_path: Path, dtype: torch.dtype) -> None:
    weight = torch.randn(5, 4).to(dtype)
    save_file({"w": weight}, tmp_path / "w")
    operator = Streamed(tmp_path / "w", "w", memory=50)
    assert operator.stored == dtype
    assert operator.dtype == (dtype if dtype.itemsize > 2 else torch.float32)
    near(operator.dense(), weight.to(operator.dtype), 1e-6)
    # In the precision of what is multiplied.
    near(operator(torch.eye(4)), weight.double().T)
    assert Streamed(tmp_path / "w", "w", dtype=torch.float64).column_squares().dtype == torch.float64


def test_no_more_rows_are_in_memory_than_may_be(saved: Any) -> None:
    path, _ = saved
    for memory, some in ((1, 1), (2 * 8 * 7, 1), (4 * 8 * 7, 2), (10**9, 13)):
        operator = Streamed(path, "layer.weight", memory=memory)
        counts = [len(block) for _, block in operator.blocks(torch.ones(1))]
        assert max(counts) == some
        assert sum(counts) == 13
    # Copies in another type count.
    operator = Streamed(path, "layer.weight", memory=(2 * 8 + 4) * 7 * 3)
    assert len(next(operator.blocks(torch.ones(1).float()))[1]) == 3


@pytest.mark.parametrize("method", [cgnr, lsmr])
def test_a_system_on_the_disk_is_solved(tmp_path: Path, method: Any) -> None:
    weight = torch.randn(40, 40) / 40**0.5 + 2 * torch.eye(40)
    save_file({"w": weight}, tmp_path / "w")
    operator = Streamed(tmp_path / "w", "w", memory=2000)
    x = torch.randn(2, 40)
    for preconditioner in (None, ColumnScaling(operator), BlockJacobi(operator, size=8)):
        found = method(operator, x @ weight.T, preconditioner=preconditioner, tolerance=1e-11)
        near(found.x, x, 1e-8)
        assert bool(found.converged.all())


def test_conjugate_gradients_read_the_file_once_an_iteration(saved: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, weight = saved
    opened: list[int] = []
    real = Streamed._opened
    monkeypatch.setattr(Streamed, "_opened", lambda self: opened.append(1) or real(self))
    found = cgnr(Streamed(path, "layer.weight"), torch.randn(1, 7) @ weight.T)
    # A product for the first slope and one for what is left at the end.
    assert len(opened) == int(found.iterations) + 2


def test_reading_leaves_no_thread_and_no_open_file(saved: Any) -> None:
    path, _ = saved
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    operator = Streamed(path, "layer.weight", memory=1)
    operator(torch.ones(1, 7))
    blocks = operator.blocks(torch.ones(1))
    next(blocks)
    blocks.close()
    with pytest.raises(RuntimeError):
        operator(torch.ones(1, 8))
    assert threading.active_count() == threads
    if files:
        assert len(os.listdir("/proc/self/fd")) == files


def test_a_copy_and_another_folder_read_the_same_file(saved: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, weight = saved
    monkeypatch.chdir(path.parent)
    operator = Streamed(path.name, "layer.weight")
    monkeypatch.chdir(path.parent.parent)
    near(copy.deepcopy(operator).dense(), weight)


def test_a_digest_tells_matrices_apart_whatever_the_blocks(saved: Any, tmp_path: Path) -> None:
    path, weight = saved
    digests = {Streamed(path, "layer.weight", memory=memory).digest() for memory in MEMORIES}
    assert len(digests) == 1
    weight[3, 3] += 1
    save_file({"w": weight}, tmp_path / "w")
    save_file({"w": weight.reshape(7, 13)}, tmp_path / "turned")
    digests |= {Streamed(tmp_path / name, "w").digest() for name in ("w", "turned")}
    assert len(digests) == 3


def test_what_stays_on_the_disk_is_solved_by_one_pass_an_iteration(saved: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, weight = saved
    operator = Streamed(path, "layer.weight", memory=200)
    monkeypatch.setattr("genrev.operators.solver._FORMED", 0)
    passes: list[int] = []
    opened = Streamed._opened
    monkeypatch.setattr(Streamed, "_opened", lambda self: passes.append(1) or opened(self))
    ready = prepare(operator)
    b = torch.randn(2, 7) @ weight.T
    found = ready.solve(b)
    assert ready.kind == "cgnr"
    assert len(passes) <= int(found.iterations.max()) + 12
    near(found.x, torch.linalg.lstsq(weight, b.T, driver="gelsd").solution.T, 1e-8)
    near(operator.rows(3, 5), weight[3:5], 0)


# Files that are not theirs


def refused(kind: type[Exception], words: str, run: Any) -> None:
    with pytest.raises(kind, match=words) as caught:
        run()
    assert_one_sentence(caught.value)


def test_what_the_file_does_not_hold_is_refused(saved: Any, tmp_path: Path) -> None:
    path, _ = saved
    refused(UnknownNameError, "did you mean 'layer.weight'", lambda: Streamed(path, "layer.weigth"))
    refused(UnknownNameError, "a, layer.weight, z", lambda: Streamed(path, 3))
    refused(FileError, "to be a matrix", lambda: Streamed(path, "a"))
    refused(FileError, "I64", lambda: Streamed(path, "z"))
    refused(FileError, "No such file", lambda: Streamed(tmp_path / "nowhere", "w"))
    refused(FileError, "folder", lambda: Streamed(tmp_path, "w"))
    refused(ArgumentError, "path", lambda: Streamed(None, "w"))
    refused(ArgumentError, "memory", lambda: Streamed(path, "layer.weight", memory=0))
    save_file({"w": torch.ones(0, 3)}, tmp_path / "empty")
    refused(FileError, r"\(0, 3\)", lambda: Streamed(tmp_path / "empty", "w"))


def test_a_file_that_is_cut_short_or_no_safetensors_is_refused_at_once(saved: Any) -> None:
    path, _ = saved
    data = path.read_bytes()
    for cut in (0, 4, 8, 20, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        refused(FileError, "whole safetensors file", lambda: Streamed(path, "layer.weight"))
    path.write_bytes(data + b"more")
    refused(FileError, "whole safetensors file", lambda: Streamed(path, "layer.weight"))
    path.write_bytes(b"not a file of tensors at all, but some words that go on for a while")
    refused(FileError, "whole safetensors file", lambda: Streamed(path, "layer.weight"))


def test_a_header_that_tells_lies_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w"
    for entry in (
        {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 10**9]},
        {"dtype": "F99", "shape": [2, 2], "data_offsets": [0, 16]},
    ):
        header = json.dumps({"w": entry}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
        refused(FileError, "whole safetensors file", lambda: Streamed(path, "w"))


def test_a_file_that_changes_afterwards_is_noticed(saved: Any) -> None:
    path, _ = saved
    operator = Streamed(path, "layer.weight", memory=200)
    data = path.read_bytes()
    path.write_bytes(data[:-60])
    for run in (operator, operator.normal):
        refused(FileError, "changed since", lambda run=run: run(torch.ones(1, 7)))
    path.unlink()
    refused(FileError, "No such file", lambda: operator(torch.ones(1, 7)))


def test_a_file_that_is_cut_short_while_it_is_read_is_noticed(saved: Any) -> None:
    path, _ = saved
    blocks = Streamed(path, "layer.weight", memory=1).blocks(torch.ones(1))
    next(blocks)
    os.truncate(path, find_tensor(path, "layer.weight").offset + 3 * 7 * 8)

    def rest() -> None:
        for _ in blocks:
            pass

    refused(FileError, "changed since", rest)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_named_when_they_are_read(tmp_path: Path, wrong: float) -> None:
    weight = torch.randn(9, 5)
    weight[6, 2] = wrong
    save_file({"w": weight}, tmp_path / "w")
    operator = Streamed(tmp_path / "w", "w", memory=200)
    for run in (
        lambda: operator(torch.zeros(2, 5)),
        lambda: operator.adjoint(torch.zeros(1, 9)),
        lambda: operator.normal(torch.ones(2, 5)),
        operator.column_squares,
        lambda: cgnr(operator, torch.ones(1, 9)),
    ):
        refused(FileError, "row 6", run)


def test_products_that_overflow_and_rows_that_are_not_finite_are_no_fault_of_the_file(saved: Any) -> None:
    path, weight = saved
    operator = Streamed(path, "layer.weight", memory=200)
    x = torch.ones(3, 7)
    x[1, 2] = torch.nan
    found = operator(x)
    near(found[[0, 2]], x[[0, 2]] @ weight.T)
    assert bool(found[1].isnan().all())
    assert not bool(operator(torch.full((1, 7), 1e308)).isfinite().all())
