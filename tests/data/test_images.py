"""The reader of picture folders: every usual kind of picture, and one sentence for each way a folder can be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genrev.data import images, load_splits
from genrev.errors import ArgumentError, FileError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], 2)


def put(folder: Path, name: str, values: np.ndarray | Image.Image, **options: Any) -> Path:
    """Write a picture as `class/file.png`."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(path, **options)
    return path


# What is read


def test_each_folder_is_a_class_and_all_is_in_the_order_of_names(tmp_path: Path):
    for name in ("b/2.png", "b/1.png", "a/9.png"):
        put(tmp_path, name, GREY + int(name[2]))
    data = images(tmp_path)
    assert data.names == ("a", "b")
    assert data.labels.tolist() == [0, 1, 1]
    assert data.inputs.shape == (3, 1, 3, 4)
    expected = torch.from_numpy(np.stack([GREY + 9, GREY + 1, GREY + 2])[:, None].astype(np.float32)) / 255
    torch.testing.assert_close(data.inputs, expected)


@pytest.mark.parametrize("kind", ["png", "bmp", "gif", "tiff", "ppm", "webp"])
def test_kinds_that_lose_nothing_are_read_to_the_bit(tmp_path: Path, kind: str):
    for name in ("a", "b"):
        put(tmp_path, f"{name}/1.{kind}", GREY, **({"lossless": True} if kind == "webp" else {}))
    inputs = images(str(tmp_path)).inputs
    assert torch.equal((inputs[0].mean(0) * 255).round().to(torch.uint8), torch.from_numpy(GREY))


def test_jpeg_is_read_nearly(tmp_path: Path):
    for name in ("a/1.jpg", "b/1.jpeg"):
        put(tmp_path, name, np.full((16, 16), 100, dtype=np.uint8))
    torch.testing.assert_close(images(tmp_path).inputs, torch.full((2, 1, 16, 16), 100 / 255, dtype=torch.float32))


def test_one_picture_in_colour_makes_all_of_three_channels(tmp_path: Path):
    put(tmp_path, "a/1.png", COLOUR)
    put(tmp_path, "b/1.png", GREY)
    inputs = images(tmp_path).inputs
    assert inputs.shape == (2, 3, 3, 4)
    torch.testing.assert_close(inputs[0], torch.from_numpy(COLOUR.transpose(2, 0, 1).astype(np.float32)) / 255)
    torch.testing.assert_close(inputs[1], (torch.from_numpy(GREY.astype(np.float32)) / 255).expand(3, 3, 4))


def test_two_levels_and_sixteen_bits_are_read_over_their_own_range(tmp_path: Path):
    put(tmp_path, "a/1.png", Image.fromarray(GREY > 100))
    put(tmp_path, "b/1.png", Image.fromarray(GREY.astype(np.uint16) * 257))
    inputs = images(tmp_path).inputs[:, 0]
    assert torch.equal(inputs[0], torch.from_numpy((GREY > 100).astype(np.float32)))
    torch.testing.assert_close(inputs[1], torch.from_numpy(GREY.astype(np.float32)) / 255)


def test_a_palette_and_full_opacity_are_colours(tmp_path: Path):
    opaque = np.concatenate([COLOUR, np.full((3, 4, 1), 255, dtype=np.uint8)], 2)
    put(tmp_path, "a/1.png", opaque)
    put(tmp_path, "b/1.png", Image.fromarray(COLOUR).quantize(256))
    inputs = images(tmp_path).inputs
    torch.testing.assert_close(inputs[0], inputs[1])
    torch.testing.assert_close(inputs[0], torch.from_numpy(COLOUR.transpose(2, 0, 1).astype(np.float32)) / 255)


def test_a_camera_held_upright_gives_an_upright_picture(tmp_path: Path):
    turned = Image.Exif()
    turned[0x0112] = 6  # turn it a quarter clockwise to see it as it was
    put(tmp_path, "a/1.png", GREY, exif=turned)
    put(tmp_path, "b/1.png", np.rot90(GREY, -1).copy())
    inputs = images(tmp_path).inputs
    assert torch.equal(inputs[0], inputs[1])


def test_what_begins_with_a_dot_is_left_alone(tmp_path: Path):
    for name in ("a/1.png", "b/1.png"):
        put(tmp_path, name, GREY)
    for name in (".hidden", "a/.DS_Store"):
        (tmp_path / name).write_text("no picture")
    assert len(images(tmp_path)) == 2


def test_it_is_cut_into_four_parts(tmp_path: Path):
    for label in "ab":
        for number in range(20):
            put(tmp_path, f"{label}/{number}.png", GREY)
    parts = load_splits(f"images:{tmp_path}")
    assert [len(part) for part in (parts.train, parts.judge, parts.targets, parts.reference)] == [20, 6, 7, 7]
    assert len(load_splits(f"images:{tmp_path}", n=20).train) == 10


def test_load_splits_asks_for_the_folder():
    with pytest.raises(ArgumentError, match='expected "images:FOLDER", got "images" without a folder'):
        load_splits("images")


# What is refused


def refused(folder: Path) -> str:
    with pytest.raises(FileError) as caught:
        images(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_folder_one_class_and_an_empty_class_are_refused(tmp_path: Path):
    assert "which is none; check the path" in refused(tmp_path / "nowhere")
    assert "got 0 in" in refused(tmp_path)
    put(tmp_path, "a/1.png", GREY)
    assert "for each of at least two classes, got 1 in" in refused(tmp_path)
    (tmp_path / "b").mkdir()
    assert f"expected pictures in {tmp_path / 'b'}, got none" in refused(tmp_path)


def test_mixed_sizes_are_refused_with_both(tmp_path: Path):
    one, other = put(tmp_path, "a/1.png", GREY), put(tmp_path, "b/1.png", GREY[:, :3].copy())
    assert f"expected pictures of one size, got 4 x 3 in {one} and 3 x 3 in {other}" in refused(tmp_path)


def test_what_is_no_picture_is_refused(tmp_path: Path):
    put(tmp_path, "a/1.png", GREY)
    path = put(tmp_path, "b/1.png", GREY)
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 3\n")
    assert f"got {path}, which is none or broken" in refused(tmp_path)
    path.unlink()
    path.mkdir()
    assert f"got {path}" in refused(tmp_path)


def test_transparency_several_frames_and_depths_without_a_range_are_refused(tmp_path: Path):
    put(tmp_path, "a/1.png", GREY)
    clear = np.concatenate([COLOUR, GREY[..., None]], 2)
    path = put(tmp_path, "b/1.png", clear)
    assert f"got {path}, which is transparent in part" in refused(tmp_path)
    path.unlink()
    path = put(tmp_path, "b/1.gif", GREY, save_all=True, append_images=[Image.fromarray(255 - GREY)])
    assert f"expected a single picture, got {path} with several frames" in refused(tmp_path)
    path.unlink()
    put(tmp_path, "b/1.tiff", Image.fromarray(GREY.astype(np.float32)))
    assert "of mode F; save it as a PNG" in refused(tmp_path)


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "bmp", "webp", "tiff"])
def test_a_damaged_picture_is_read_or_refused_in_one_sentence(tmp_path: Path, kind: str):
    put(tmp_path, "a/1.png", GREY)
    path, random, refusals = put(tmp_path, f"b/1.{kind}", GREY), np.random.default_rng(0), []
    whole = path.read_bytes()
    for _ in range(60):
        raw = bytearray(whole)
        for at in random.integers(len(raw), size=3):
            raw[at] = random.integers(256)
        path.write_bytes(raw[: random.integers(len(raw)) if random.random() < 0.3 else None])
        try:
            images(tmp_path)
        except FileError as error:
            refusals.append(str(error))
    assert len(refusals) > 10
    assert not any("\n" in refusal for refusal in refusals)
