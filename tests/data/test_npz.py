"""The reader of .npz files: what NumPy wrote is read, and one sentence for each way a file can be wrong."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from genrev.data import load_splits, npz
from genrev.errors import ArgumentError, FileError

X, Y = np.linspace(0, 1, 24).reshape(6, 4), np.array([0, 1, 2, 0, 1, 2])
IMAGES = X.reshape(6, 2, 2)


def write(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "own.npz", **arrays)
    return folder / "own.npz"


# What is read


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8", np.longdouble])
def test_inputs_and_labels_come_back_as_they_were_written(tmp_path: Path, dtype: Any, packed: bool):
    (np.savez_compressed if packed else np.savez)(tmp_path / "own.npz", x=X.astype(dtype), y=Y)
    (data,) = npz(tmp_path / "own.npz")
    assert data.inputs.dtype == torch.float32
    np.testing.assert_array_equal(data.inputs.numpy(), X.astype(dtype).astype(np.float32))
    assert data.labels.tolist() == Y.tolist()
    assert data.names == ("0", "1", "2")


def test_bytes_are_divided_by_255_and_truth_is_one(tmp_path: Path):
    (pixels,) = npz(write(tmp_path, x=np.array([[0, 51], [255, 1]], dtype=np.uint8), y=[0, 1]))
    torch.testing.assert_close(pixels.inputs, torch.tensor([[0, 0.2], [1, 1 / 255]], dtype=torch.float32))
    (truth,) = npz(write(tmp_path, x=np.array([[True, False], [False, False]]), y=[0, 1]))
    assert truth.inputs.tolist() == [[1.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("shape", "expected"), [((6, 4), (4,)), ((6, 5, 4), (1, 5, 4)), ((6, 3, 5, 4), (3, 5, 4)), ((6, 1), (1,))]
)
def test_images_without_a_channel_get_one(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]):
    (data,) = npz(write(tmp_path, x=np.zeros(shape), y=Y))
    assert tuple(data.inputs.shape[1:]) == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, ">i4"])
def test_labels_may_be_of_any_whole_type_and_a_column(tmp_path: Path, dtype: Any):
    (data,) = npz(write(tmp_path, x=X, y=Y.astype(dtype)[:, None]))
    assert data.labels.dtype == torch.int64
    assert data.labels.tolist() == Y.tolist()


def test_names_are_sorted(tmp_path: Path):
    (data,) = npz(write(tmp_path, x=X, y=["O", "X", "O", "X", "A", "A"]))
    assert data.names == ("A", "O", "X")
    assert [data.names[label] for label in data.labels] == ["O", "X", "O", "X", "A", "A"]


def test_a_test_part_has_the_classes_of_the_training_part(tmp_path: Path):
    train, test = npz(write(tmp_path, x_train=X, y_train=list("bcabca"), x_test=X[:2], y_test=["c", "c"]))
    assert train.names == test.names == ("a", "b", "c")
    assert train.labels.tolist() == [1, 2, 0, 1, 2, 0]
    assert test.labels.tolist() == [2, 2]


def test_other_arrays_are_left_alone(tmp_path: Path):
    assert len(npz(write(tmp_path, x=X, y=Y, x_train=X, comment="mine"))) == 1


@pytest.mark.parametrize("dtype", [np.int16, np.float32, ">f8"])
def test_features_keep_their_units_and_live_in_the_box_that_they_span(tmp_path: Path, dtype: Any):
    x = (np.arange(24).reshape(6, 4) - 3) * [1, 10, 100, 0] + [0, 0, 0, 7]
    (data,) = npz(write(tmp_path, x=x.astype(dtype), y=Y))
    np.testing.assert_array_equal(data.inputs.numpy(), x.astype(np.float32))
    np.testing.assert_array_equal(data.space.low.numpy(), x.min(0))
    np.testing.assert_array_equal(data.space.high.numpy(), x.max(0))


def test_features_for_tests_share_the_box_of_those_for_training(tmp_path: Path):
    train, test = npz(write(tmp_path, x_train=X, y_train=Y, x_test=5 * X - 1, y_test=Y))
    assert train.space is test.space
    np.testing.assert_array_equal(train.space.low.numpy(), (5 * X - 1).min(0).astype(np.float32))
    load_splits(f"npz:{write(tmp_path, x_train=X, y_train=Y, x_test=5 * X - 1, y_test=Y)}")


def test_vectors_in_the_unit_box_stay_in_it(tmp_path: Path):
    (data,) = npz(write(tmp_path, x=X / 2, y=Y))
    assert (float(data.space.low.max()), float(data.space.high.min())) == (0.0, 1.0)


# What is cut from it


def test_a_class_too_small_for_four_parts_is_refused(tmp_path: Path):
    with pytest.raises(ArgumentError, match=r"expected at least 4 examples of each class, .* got 2 of '0'"):
        load_splits(f"npz:{write(tmp_path, x=X, y=Y)}")


def test_one_set_is_cut_into_four_parts(tmp_path: Path):
    parts = load_splits(f"npz:{write(tmp_path, x=np.random.default_rng(0).random((200, 4)), y=np.arange(200) % 2)}")
    assert [len(part) for part in (parts.train, parts.judge, parts.targets, parts.reference)] == [100, 30, 35, 35]


def test_what_the_maker_held_out_stays_held_out(tmp_path: Path):
    labels = np.arange(60) % 2
    path = write(tmp_path, x_train=np.zeros((60, 4)), y_train=labels, x_test=np.ones((8, 4)), y_test=labels[:8])
    parts = load_splits(f"npz:{path}")
    assert [len(part) for part in (parts.train, parts.judge, parts.targets, parts.reference)] == [50, 10, 4, 4]
    assert bool((parts.train.inputs == 0).all() and (parts.judge.inputs == 0).all())
    assert bool((parts.targets.inputs == 1).all() and (parts.reference.inputs == 1).all())
    assert len(load_splits(f"npz:{path}", n=34).train) == 25


def test_load_splits_asks_for_the_file():
    with pytest.raises(ArgumentError, match='expected "npz:FILE", got "npz" without a file; name the file'):
        load_splits("npz")


# What is refused


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X}, "expected the arrays x, y, or x_train, y_train, x_test, y_test, got x in"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "got x_test, x_train, y_train in"),
        ({"x": X, "y": Y[:5]}, "expected as many inputs as labels, got 6 in x and 5 labels"),
        ({"x": X[:, 0], "y": Y}, r"expected x as numbers of shape \(n, \*input_shape\), got float64 of shape \(6,\)"),
        ({"x": X[:, :0], "y": Y}, r"got float64 of shape \(6, 0\)"),
        ({"x": X * 1j, "y": Y}, "got complex128"),
        ({"x": X.astype(str), "y": Y}, "expected x as numbers"),
        ({"x": 300 * IMAGES, "y": Y}, r"expected x in \[0, 1\], or bytes from 0 to 255, got 0 to 300"),
        ({"x": IMAGES - 1, "y": Y}, "got -1 to 0"),
        ({"x": np.where(IMAGES > 0.9, np.nan, IMAGES), "y": Y}, "got nan to nan"),
        ({"x": IMAGES + np.inf, "y": Y}, "got inf to inf"),
        ({"x": np.where(X > 0.9, np.nan, X), "y": Y}, "got nan in feature 1 of example 5 in .*, counted from 0"),
        ({"x": X + np.inf, "y": Y}, "expected finite numbers, got inf in feature 0 of example 0"),
        ({"x": 1e16 * X, "y": Y}, r"expected values up to 1e\+15, got .* in feature 0"),
        ({"x": 1e9 + X, "y": Y}, r"expected values that single precision tells apart, .* subtract 1e\+09"),
        ({"x": X[:, 0:1] * [[1e-18, 2]], "y": Y}, "differ by 1e-15 or not at all, got .* in feature 0"),
        ({"x": X, "y": Y / 2}, r"expected y as whole numbers or names of shape \(n,\), got float64"),
        ({"x": X, "y": np.eye(6, 3, dtype=int)}, r"got int64 of shape \(6, 3\)"),
        ({"x": X, "y": 1 + Y}, "expected the labels in y to be 0 to 2 without a gap, got 1, 2, 3 in"),
        ({"x": X, "y": 2 * Y}, "got 0, 2, 4 in"),
        ({"x": X, "y": Y - 1}, "got -1, 0, 1 in"),
        ({"x": X, "y": 10 * np.arange(6) + 100}, "got 100, 110, 120, 130, 140, 150 in"),
        ({"x": X, "y": 0 * Y}, "expected at least two classes in y, got 0 alone"),
        ({"x": X[:0], "y": Y[:0]}, r"expected y as whole numbers or names of shape \(n,\), got int64 of shape \(0,\)"),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1},
            "expected the classes of y_train alone in y_test, got 3",
        ),
        ({"x_train": X, "y_train": Y, "x_test": X[:1], "y_test": ["0"]}, "both as numbers or both as names"),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:, :3], "y_test": Y},
            r"of one shape, got \(4,\) in x_train and \(3,\)",
        ),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_sentence(tmp_path: Path, arrays: dict[str, Any], words: str):
    with pytest.raises(FileError, match=words) as caught:
        npz(write(tmp_path, **arrays))
    assert str(tmp_path / "own.npz") in str(caught.value)
    assert "\n" not in str(caught.value)


class Trap:
    """An object that would say so if it were unpickled."""

    sprung: ClassVar[list[int]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return self.sprung.append, (1,)


def test_pickled_objects_are_never_loaded(tmp_path: Path):
    path = write(tmp_path, x=X, y=np.array([Trap(), Trap()], dtype=object))
    with pytest.raises(FileError, match="it holds pickled objects, which are never loaded"):
        npz(path)
    (tmp_path / "own.npz").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(FileError, match="expected arrays of numbers written by"):
        npz(path)
    assert Trap.sprung == []


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(FileError, match="which is no file; check the path"):
            npz(path)


def test_a_header_that_promises_more_than_memory_is_refused(tmp_path: Path):
    path, header = tmp_path / "own.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header.getvalue() + b"\0" * 64)
        archive.writestr("y.npy", header.getvalue())
    with pytest.raises(FileError, match="expected arrays of numbers"):
        npz(path)


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_file_is_read_rightly_or_refused_in_one_sentence(tmp_path: Path, packed: bool):
    path, random = tmp_path / "own.npz", np.random.default_rng(0)
    (np.savez_compressed if packed else np.savez)(path, x=X, y=Y)
    whole, refusals = path.read_bytes(), []
    for _ in range(300):
        raw = bytearray(whole)
        for at in random.integers(len(raw), size=random.integers(1, 4)):
            raw[at] = random.integers(256)
        path.write_bytes(raw[: random.integers(len(raw)) if random.random() < 0.2 else None])
        try:
            (data,) = npz(path)
        except FileError as error:
            refusals.append(str(error))
        else:
            torch.testing.assert_close(data.inputs, torch.from_numpy(X).float())
    assert len(refusals) > 200
    assert not any("\n" in refusal for refusal in refusals)
