"""One's own pictures: a strict reader of a folder that holds a folder of pictures for each class."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from genrev.data.dataset import Dataset
from genrev.errors import FileError

if TYPE_CHECKING:
    from PIL.Image import Image

# Some of the other formats that Pillow knows start a program of their own to be read.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def images(folder: str | Path) -> Dataset:
    """Read pictures, each in the folder of its class.

    Args:
        folder: holds a folder for each class, whose name is the class's, with nothing in it but pictures (BMP, GIF,
            JPEG, PNG, PPM, TIFF or WebP) of one size. What begins with a dot is left alone.

    Returns:
        Inputs `(n, channels, rows, columns)` in [0, 1]: one channel where all pictures are grey, else red, green, blue;
        classes and pictures in the order of their names.

    Raises:
        FileError: there are fewer than two classes, a class is empty, or a file is no picture, broken, of another size,
            partly transparent, or has several frames.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, grey in ("black", 0), ("white", 255):
        ...         Path(folder, name).mkdir()
        ...         Image.new("L", (4, 3), grey).save(Path(folder, name, "1.png"))
        ...     images(folder)
        Dataset(2 inputs (1, 3, 4); classes black, white)
    """
    folder = Path(folder)
    classes = [place for place in _visible(folder) if place.is_dir()]
    if len(classes) < 2:
        raise FileError(
            f"expected a folder with a folder of pictures for each of at least two classes, got {len(classes)} in "
            f"{folder}; make one for each class"
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, place in enumerate(classes):
        held = _visible(place)
        if not held:
            raise FileError(f"expected pictures in {place}, got none; put some there, or remove the folder")
        files += held
        labels += [label] * len(held)
    pictures: list[np.ndarray] = []
    for file in files:
        pictures.append(_read(file))
        (rows, columns), (height, width) = pictures[0].shape[:2], pictures[-1].shape[:2]
        if (height, width) != (rows, columns):
            raise FileError(
                f"expected pictures of one size, got {columns} x {rows} in {files[0]} and "
                f"{width} x {height} in {file}; bring all to one size"
            )
    if any(picture.ndim == 3 for picture in pictures):
        pictures = [np.repeat(one[..., None], 3, axis=2) if one.ndim == 2 else one for one in pictures]
        stacked = np.stack(pictures).transpose(0, 3, 1, 2)
    else:
        stacked = np.stack(pictures)[:, None]
    names = tuple(place.name for place in classes)
    return Dataset(torch.from_numpy(np.ascontiguousarray(stacked)), torch.tensor(labels), names)


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileError(f"expected a folder of pictures, got {folder}, which is none; check the path")
    try:
        return sorted(place for place in folder.iterdir() if not place.name.startswith("."))
    except OSError as error:
        raise FileError(f"expected a folder that can be read, got {folder} ({error}); check its permissions") from error


def _read(file: Path) -> np.ndarray:
    """Return a picture in [0, 1]: `(rows, columns)` where it is grey, else `(rows, columns, 3)`."""
    from PIL import Image, ImageOps, UnidentifiedImageError  # of use here alone

    try:
        with warnings.catch_warnings():
            # A word about odd metadata is no reason to refuse a picture; that it may unpack to more than memory is.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as picture:
                if getattr(picture, "n_frames", 1) > 1:
                    raise FileError(f"expected a single picture, got {file} with several frames; save one of them")
                return _values(ImageOps.exif_transpose(picture), file)
    except FileError:
        raise
    except UnidentifiedImageError:
        raise FileError(
            f"expected a picture ({', '.join(_FORMATS)}), got {file}, which is none or broken; take it out"
        ) from None
    except Exception as error:  # a broken file makes Pillow raise nearly anything
        why = " ".join(str(error).split()) or type(error).__name__
        raise FileError(f"expected a whole picture, got {file} ({why}); save it again, or take it out") from error


def _values(picture: Image, file: Path) -> np.ndarray:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA" if picture.mode not in ("LA", "La") else "LA")
        if np.asarray(picture)[..., -1].min() < 255:
            raise FileError(
                f"expected pictures without transparency, got {file}, which is transparent in part; "
                "lay it on a background first"
            )
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.float32) / 65535
    if picture.mode in ("I", "F"):
        raise FileError(
            f"expected a picture of 8 or 16 bits a value, got {file} of mode {picture.mode}; save it as a PNG"
        )
    grey = picture.mode in ("1", "L", "LA", "La")
    return np.asarray(picture.convert("L" if grey else "RGB")).astype(np.float32) / 255
