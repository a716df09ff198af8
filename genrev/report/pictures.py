"""Inputs as pictures: images become PNG data URIs, vectors become bars in a small drawing; large ones are shrunk."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_BROKEN = (214, 39, 110)
"""The colour of a pixel that is not finite: none that a scan has."""

SIDE = 96
"""Images of more pixels a side are drawn with fewer, each the mean of a square of them, so that a page stays small."""

VALUES = 256
"""Vectors of more values are drawn with fewer bars, each the longest of several neighbours."""

_GAP = 32
"""Up to how many bars have gaps between them."""


@dataclass(frozen=True)
class Picture:
    """One input, ready to be shown; either an image or bars.

    Args:
        source: data URI of a PNG; empty where there are bars.
        width: of the image in pixels, or of the drawing in its units, ten a value.
        height: likewise; 100 for bars.
        bars: SVG path of the bars.
        broken: SVG path of those that are not finite.
    """

    source: str
    width: int
    height: int
    bars: str = ""
    broken: str = ""


def picture(x: Array, low: Array, high: Array) -> Picture:
    """Draw one input.

    Images are grey from black, the least value, to white, or in colour; other numbers of channels than 1 and 3 stand
    side by side. Vectors are bars from 0, or from the end of their range nearest to it, each in its own range. Values
    beyond the range are drawn at its ends. What is larger than `SIDE` or `VALUES` is drawn smaller.

    Args:
        x: ``input_shape``: (H, W), (C, H, W) or any other, which is drawn as a vector.
        low: ``input_shape``: where the range of each value begins.
        high: ``input_shape``: where it ends.

    Returns:
        The picture.

    Example:
        >>> picture(np.array([1.0, 0.5]), np.zeros(2), np.ones(2)).bars
        'M1,100V0H9V100zM11,100V50H19V100z'
    """
    if x.ndim not in (2, 3):
        return _bars(x.reshape(-1), low.reshape(-1), high.reshape(-1))
    shades = pixels(_smaller(x), float(low.min()), float(high.max()))
    uri = "data:image/png;base64," + base64.b64encode(png(shades)).decode()
    return Picture(uri, shades.shape[1], shades.shape[0])


def pixels(x: Array, low: float, high: float) -> NDArray[np.uint8]:
    """Return the shades of an image.

    Args:
        x: ``(H, W)`` or ``(C, H, W)``.
        low: the value that is black.
        high: the value that is white.

    Returns:
        ``(H, W)`` from 0 to 255, or ``(H, W, 3)`` where there are three channels, or where a value is not finite.

    Example:
        >>> pixels(np.array([[0.0, 0.5, 2.0]]), 0.0, 1.0).tolist()
        [[0, 128, 255]]
    """
    finite: NDArray = np.isfinite(x)
    shades = np.rint(255 * _scaled(x, low, high)).astype(np.uint8)
    if x.ndim == 3:
        shades, finite = _channels(shades), _channels(finite)
    if bool(finite.all()):
        return shades
    finite = np.asarray(finite.all(2)) if finite.ndim == 3 else finite
    coloured = shades if shades.ndim == 3 else np.repeat(shades[..., None], 3, 2)
    return np.where(finite[..., None], coloured, np.array(_BROKEN, np.uint8))


def _smaller(x: Array) -> Array:
    """Take the mean of squares of pixels, as many as it needs; those at the edges may be cut."""
    factor = -(-max(x.shape[-2:]) // SIDE)
    if factor == 1:
        return x
    # Infinity on both sides of zero has no mean, and is drawn as what is not finite.
    with np.errstate(invalid="ignore"):
        for axis in (-2, -1):
            begins = np.arange(0, x.shape[axis], factor)
            sizes = np.diff(np.append(begins, x.shape[axis]))
            shape = (-1, 1) if axis == -2 else (-1,)
            x = np.add.reduceat(x, begins, axis=axis) / sizes.reshape(shape)
    return x


def png(shades: NDArray[np.uint8]) -> bytes:
    """Return an image as the bytes of a PNG file.

    Args:
        shades: ``(H, W)`` grey or ``(H, W, 3)`` red, green and blue; at least one pixel.

    Returns:
        The file.

    Reference:
        ISO/IEC 15948, "Portable Network Graphics (PNG): functional specification".

    Example:
        >>> png(np.zeros((1, 1), np.uint8))[1:4]
        b'PNG'
    """
    height, width = shades.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if shades.ndim == 3 else 0, 0, 0, 0)
    # Each line begins with the number of its filter: 0, none.
    lines = np.pad(shades.reshape(height, -1), ((0, 0), (1, 0))).tobytes()
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _channels(values: NDArray) -> NDArray:
    """Bring channels last, or side by side where they are no colours."""
    return np.moveaxis(values, 0, 2) if len(values) == 3 else np.concatenate(list(values), axis=1)


def _scaled(x: Array, low: Array | float, high: Array | float) -> Array:
    """Where values lie in their range, from 0 to 1; what has no range is at its beginning."""
    width = np.asarray(high - low, dtype=np.float64)
    width = np.where(width > 0, width, 1.0)
    # Before it is scaled: infinity over a narrow range is no number any more.
    within = np.clip(np.nan_to_num(x), low, low + width)
    return np.clip((within - low) / width, 0.0, 1.0)


def _bars(x: Array, low: Array, high: Array) -> Picture:
    finite = np.isfinite(x)
    tops = np.rint(100 - 100 * _scaled(x, low, high)).astype(int)
    feet = np.rint(100 - 100 * _scaled(np.zeros_like(x), low, high)).astype(int)
    tops, feet, finite = _fewer(tops, feet, finite)
    gap = 1 if len(tops) <= _GAP else 0
    bars, broken = [], []
    for place, (top, foot, good) in enumerate(zip(tops.tolist(), feet.tolist(), finite.tolist(), strict=True)):
        left, right = 10 * place + gap, 10 * (place + 1) - gap
        if good:
            bars.append(f"M{left},{foot}V{_seen(top, foot)}H{right}V{foot}z")
        else:
            broken.append(f"M{left},100V0H{right}V100z")
    return Picture("", 10 * len(tops), 100, "".join(bars), "".join(broken))


def _fewer(tops: NDArray, feet: NDArray, finite: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Keep the longest of neighbouring bars; one that is not finite is longer than any."""
    size = -(-len(tops) // VALUES)
    length = np.where(finite, np.abs(tops - feet), 101)
    begins = range(0, len(tops), size)
    kept = np.array([begin + int(length[begin : begin + size].argmax()) for begin in begins])
    return tops[kept], feet[kept], finite[kept]


def _seen(top: int, foot: int) -> int:
    """A bar of no height would look like no bar at all."""
    if abs(top - foot) >= 2:
        return top
    return foot - 2 if foot >= 2 else foot + 2
