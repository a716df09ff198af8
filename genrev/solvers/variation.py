"""Total variation: how much the pixels of an image differ from their neighbours."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def total_variation(images: Tensor, *, smoothing: float | Tensor = 0.0) -> Tensor:
    """Return the mean length of the step from each pixel to its right and its lower neighbour.

    It is isotropic: the length is the root of both differences squared, so that edges of any direction cost nearly the
    same. Beyond the border nothing differs.

    Args:
        images: ``(rows, ..., height, width)``; each channel counts for itself.
        smoothing: steps well below it cost their square, so that a flat image has a gradient; in units of the pixels.

    Returns:
        ``(rows,)``, in units of the pixels; 0 where all pixels of a channel are the same.

    Reference:
        Rudin, Osher and Fatemi, 1992, "Nonlinear total variation based noise removal algorithms".

    Example:
        >>> import torch
        >>> edge = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
        >>> total_variation(edge).tolist()
        [0.5]
    """
    right = functional.pad(images.diff(dim=-1), (0, 1))
    down = functional.pad(images.diff(dim=-2), (0, 0, 0, 1))
    step = (right.square() + down.square() + smoothing**2).sqrt() - smoothing
    return step.flatten(1).mean(1)
