"""Damaged files of every kind: they are read as a valid data set or refused in one sentence, and nothing else."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sentences import assert_one_sentence

from genrev.data import Dataset, idx, images, load_splits, npz, table
from genrev.errors import ArgumentError, FileError

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(20, 3)) * [1, 100, 0.01]
PIXELS = RANDOM.integers(0, 256, (20, 4, 4), dtype=np.uint8)
LABELS = np.arange(20) % 2


def write_csv(folder: Path) -> Path:
    rows = "".join(f"{a:.3f},{b:.3f},{c:.3f},{label}\n" for (a, b, c), label in zip(FEATURES, LABELS, strict=True))
    (folder / "own.csv").write_text("width,height,depth,kind\n" + rows)
    return folder / "own.csv"


def write_npz(folder: Path) -> Path:
    np.savez(folder / "own.npz", x=FEATURES, y=LABELS)
    return folder / "own.npz"


def write_packed_npz(folder: Path) -> Path:
    np.savez_compressed(folder / "own.npz", x_train=PIXELS, y_train=LABELS, x_test=PIXELS, y_test=LABELS)
    return folder / "own.npz"


def write_idx(folder: Path, pack: Callable[[bytes], bytes] = bytes, end: str = "") -> Path:
    for prefix in ("train", "t10k"):
        for name, values in (("images-idx3", PIXELS), ("labels-idx1", LABELS.astype(np.uint8))):
            sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
            raw = bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()
            (folder / f"{prefix}-{name}-ubyte{end}").write_bytes(pack(raw))
    return folder / f"train-images-idx3-ubyte{end}"


def write_packed_idx(folder: Path) -> Path:
    return write_idx(folder, gzip.compress, ".gz")


def write_labels(folder: Path) -> Path:
    write_idx(folder)
    return folder / "train-labels-idx1-ubyte"


def write_pictures(folder: Path) -> Path:
    for number, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        (folder / f"{label}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{label}" / f"{number}.png")
    return folder / "1" / "3.png"


KINDS: dict[str, tuple[Callable[[Path], Path], str, Callable[[Path], object]]] = {
    "csv": (write_csv, "csv:{file}", table),
    "npz": (write_npz, "npz:{file}", npz),
    "packed npz": (write_packed_npz, "npz:{file}", npz),
    "idx": (write_idx, "idx:{folder}", lambda path: idx(path.parent, "train")),
    "packed idx": (write_packed_idx, "idx:{folder}", lambda path: idx(path.parent, "train")),
    "labels": (write_labels, "idx:{folder}", lambda path: idx(path.parent, "train")),
    "pictures": (write_pictures, "images:{folder}", lambda path: images(path.parent.parent)),
}


def damaged(whole: bytes, times: int) -> Iterator[bytes]:
    """Give a file with bits flipped, bytes replaced, a piece cut out, its end cut off, two pieces swapped, or more."""
    random = np.random.default_rng(1)
    for _ in range(times):
        raw = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            low, middle, high = sorted(random.integers(len(raw) + 1, size=3).tolist())
            kind = random.integers(6)
            if kind == 0 and low < len(raw):
                raw[low] ^= 1 << int(random.integers(8))
            elif kind == 1 and low < len(raw):
                raw[low] = int(random.integers(256))
            elif kind == 2:
                del raw[low : min(middle, low + 20)]
            elif kind == 3 and random.random() < 0.3:
                del raw[high:]
            elif kind == 4:
                raw[low:high] = raw[middle:high] + raw[low:middle]
            elif kind == 5:
                raw[low:low] = random.bytes(int(random.integers(1, 9)))
        yield bytes(raw)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
def test_three_hundred_damaged_files_are_read_rightly_or_refused_in_one_sentence(tmp_path: Path, kind: str):
    write, spec, read = KINDS[kind]
    path = write(tmp_path)
    spec = spec.format(file=path, folder=path.parents[1] if kind == "pictures" else path.parent)
    whole, refusals = path.read_bytes(), 0
    load_splits(spec)
    for raw in damaged(whole, 300):
        path.write_bytes(raw)
        try:
            found = read(path)
            load_splits(spec)
        except (FileError, ArgumentError) as error:
            assert_one_sentence(error)
            refusals += 1
        else:
            sets = found if isinstance(found, tuple) else (found,)
            assert all(isinstance(one, Dataset) and bool(one.space.contains(one.inputs).all()) for one in sets)
    assert refusals > 30
