"""The IDX reader: a round trip through files written here, and one sentence for each way a file can be wrong."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genrev.data import idx, load_splits
from genrev.errors import ArgumentError, FileError

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def encode(values: Tensor) -> bytes:
    """Write a tensor of bytes as the IDX format's own description says."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + bytes(values.flatten().tolist())


def write(folder: Path, prefix: str, n: int, *, packed: bool = False) -> tuple[Tensor, Tensor]:
    images = torch.randint(0, 256, (n, 28, 28), dtype=torch.uint8)
    labels = (torch.arange(n) % 10).to(torch.uint8)
    for name, values in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
        raw = encode(values)
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(raw) if packed else raw)
    return images, labels


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("part", "prefix"), [("train", "train"), ("test", "t10k")])
def test_what_was_written_is_read(tmp_path: Path, part: str, prefix: str, packed: bool):
    images, labels = write(tmp_path, prefix, 13, packed=packed)
    data = idx(tmp_path, part)
    assert data.inputs.shape == (13, 1, 28, 28)
    assert data.inputs.dtype == torch.float32
    assert torch.equal((data.inputs[:, 0].double() * 255).round().to(torch.uint8), images)
    assert data.labels.tolist() == labels.tolist()
    assert data.names == tuple("0123456789")


def test_black_is_0_and_white_is_1(tmp_path: Path):
    write(tmp_path, "train", 2)
    (tmp_path / IMAGES).write_bytes(encode(torch.tensor([[[0, 255]], [[255, 0]]])))
    assert idx(str(tmp_path), "train").inputs.tolist() == [[[[0, 1]]], [[[1, 0]]]]


def test_labels_beyond_nine_get_names_too(tmp_path: Path):
    write(tmp_path, "train", 2)
    (tmp_path / LABELS).write_bytes(encode(torch.tensor([0, 25])))
    assert idx(tmp_path, "train").names == tuple(str(i) for i in range(26))


def test_reading_leaves_the_global_random_state_alone(tmp_path: Path):
    write(tmp_path, "train", 2)
    before = torch.get_rng_state()
    idx(tmp_path, "train")
    assert torch.equal(torch.get_rng_state(), before)


def test_another_part_is_refused(tmp_path: Path):
    with pytest.raises(ArgumentError, match='expected part "train" or "test", got \'valid\''):
        idx(tmp_path, "valid")


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(FileError, match=r"expected a folder .* got .*nowhere.*; check the path"):
        idx(tmp_path / "nowhere", "train")


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_missing_file_is_named(tmp_path: Path, name: str):
    write(tmp_path, "train", 3)
    (tmp_path / name).unlink()
    with pytest.raises(FileError, match=rf"expected {name} or {name}.gz in .*, got neither; put"):
        idx(tmp_path, "train")


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda raw: b"", "it is empty"),
    "magic alone": (lambda raw: raw[:4], r"expected a header of \d+ bytes, got 4"),
    "header cut short": (lambda raw: raw[:7], r"expected a header of \d+ bytes, got 7"),
    "data cut short": (lambda raw: raw[:-1], r"expected \d+ bytes for the dimensions .* download it again"),
    "data too long": (lambda raw: raw + b"\0", r"expected \d+ bytes for the dimensions .* download it again"),
    "no zeros first": (lambda raw: b"\1" + raw[1:], "expected an IDX file of unsigned bytes"),
    "floats": (lambda raw: raw[:2] + b"\x0d" + raw[3:], "expected an IDX file of unsigned bytes"),
    "other number of dimensions": (lambda raw: raw[:3] + b"\2" + raw[4:], r"in [13] dimensions"),
    "no examples": (lambda raw: raw[:4] + bytes(4) + raw[8:], "expected dimensions of at least 1"),
    "foreign": (lambda raw: b"\x89PNG\r\n\x1a\n" + bytes(100), "which begins 89 50 4e 47"),
    "plain text": (lambda raw: b"<html>not found</html>", "expected an IDX file of unsigned bytes"),
    "absurd dimensions": (lambda raw: raw[:4] + b"\xff" * 4 + raw[8:], r"expected \d+ bytes for the dimensions"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", [IMAGES, LABELS])
@pytest.mark.parametrize("case", BAD)
def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path, case: str, name: str, packed: bool):
    spoil, message = BAD[case]
    write(tmp_path, "train", 3)
    path = tmp_path / name
    raw = spoil(path.read_bytes())
    if packed:
        path.unlink()
        path, raw = path.with_name(f"{name}.gz"), gzip.compress(raw)
    path.write_bytes(raw)
    with pytest.raises(FileError, match=message) as caught:
        idx(tmp_path, "train")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


GZIP: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda raw: raw[: len(raw) // 2],
    "cut in its header": lambda raw: raw[:5],
    "not gzip at all": lambda raw: b"<html>not found</html>",
    "a damaged stream": lambda raw: raw[:12] + bytes(len(raw) - 20) + raw[-8:],
    "a wrong checksum": lambda raw: raw[:-8] + bytes(4) + raw[-4:],
    "rubbish behind": lambda raw: raw + b"rubbish",
}


@pytest.mark.parametrize("case", GZIP)
def test_a_broken_gzip_file_is_refused(tmp_path: Path, case: str):
    write(tmp_path, "train", 30, packed=True)
    path = tmp_path / f"{IMAGES}.gz"
    path.write_bytes(GZIP[case](path.read_bytes()))
    with pytest.raises(FileError, match=r"expected a whole gzip file, got .*; download it again"):
        idx(tmp_path, "train")


def test_counts_of_images_and_labels_must_agree(tmp_path: Path):
    write(tmp_path, "train", 3)
    (tmp_path / LABELS).write_bytes(encode(torch.tensor([1, 2])))
    with pytest.raises(FileError, match=r"expected as many labels as images, got 2 in .* and 3 in"):
        idx(tmp_path, "train")


def test_load_splits_keeps_the_test_file_for_the_held_out_parts(tmp_path: Path):
    write(tmp_path, "train", 60, packed=True)
    write(tmp_path, "t10k", 20)
    parts = load_splits(f"idx:{tmp_path}")
    assert [len(p) for p in (parts.train, parts.judge, parts.targets, parts.reference)] == [50, 10, 10, 10]
    held_out = torch.cat([parts.targets.inputs, parts.reference.inputs])
    assert _rows(held_out) == _rows(idx(tmp_path, "test").inputs)
    assert _rows(torch.cat([parts.train.inputs, parts.judge.inputs])) == _rows(idx(tmp_path, "train").inputs)


def _rows(inputs: Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in inputs}


def test_load_splits_takes_n_examples_in_the_same_shares(tmp_path: Path):
    write(tmp_path, "train", 60)
    write(tmp_path, "t10k", 20)
    parts = load_splits(f"idx:{tmp_path}", n=40)
    assert [len(p) for p in (parts.train, parts.judge, parts.targets, parts.reference)] == [25, 5, 5, 5]


def test_load_splits_refuses_more_examples_than_there_are(tmp_path: Path):
    write(tmp_path, "train", 6)
    write(tmp_path, "t10k", 4)
    with pytest.raises(ArgumentError, match="expected n of at most 10"):
        load_splits(f"idx:{tmp_path}", n=11)


def test_load_splits_refuses_a_single_class(tmp_path: Path):
    write(tmp_path, "train", 60)
    write(tmp_path, "t10k", 20)
    (tmp_path / LABELS).write_bytes(encode(torch.full((60,), 7)))
    with pytest.raises(ArgumentError, match=r"expected at least two classes among the training .*, got 7 alone"):
        load_splits(f"idx:{tmp_path}")


def test_load_splits_asks_for_the_folder():
    with pytest.raises(ArgumentError, match='expected "idx:FOLDER", got "idx" without a folder'):
        load_splits("idx")
