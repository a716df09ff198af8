"""Tests of total variation: against sums over pixels, and its gradient against autograd's own check."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from genrev.solvers.variation import total_variation


def by_pixels(image: np.ndarray, smoothing: float) -> float:
    """The definition, pixel by pixel."""
    channels, height, width = image.shape
    total = 0.0
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                right = image[c, i, j + 1] - image[c, i, j] if j + 1 < width else 0.0
                down = image[c, i + 1, j] - image[c, i, j] if i + 1 < height else 0.0
                total += math.sqrt(right**2 + down**2 + smoothing**2) - smoothing
    return total / image.size


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 2, 2), (2, 1, 6), (1, 6, 1), (1, 1, 1)])
def test_it_is_the_mean_step_to_the_right_and_the_lower_neighbour(shape: tuple[int, ...], smoothing: float) -> None:
    images = torch.randn(4, *shape)
    expected = [by_pixels(image.numpy(), smoothing) for image in images]
    torch.testing.assert_close(total_variation(images, smoothing=smoothing), torch.tensor(expected))


def test_an_image_without_channels_counts_as_one_channel() -> None:
    images = torch.randn(3, 4, 5)
    torch.testing.assert_close(total_variation(images), total_variation(images[:, None]))


@pytest.mark.parametrize("shape", [(2, 3, 4), (4, 4), (1, 1, 1)])
def test_its_gradient_is_that_of_finite_differences(shape: tuple[int, ...]) -> None:
    images = torch.randn(2, *shape, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: total_variation(x, smoothing=0.1), images)


def test_a_flat_image_has_neither_variation_nor_slope() -> None:
    flat = torch.full((2, 1, 3, 3), 0.7, requires_grad=True)
    value = total_variation(flat, smoothing=0.01)
    (slope,) = torch.autograd.grad(value.sum(), flat)
    assert value.tolist() == [0.0, 0.0]
    assert torch.equal(slope, torch.zeros_like(flat))


def test_it_scales_with_the_pixels_and_does_not_see_their_mean() -> None:
    images = torch.randn(3, 1, 4, 4)
    torch.testing.assert_close(total_variation(5 * images + 2), 5 * total_variation(images))
