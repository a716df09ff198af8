"""The drawn noughts and crosses: reproducible, in range, balanced, varied, and enough to learn to read from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from genrev.data import xo
from genrev.errors import ArgumentError


def test_a_draw_has_the_promised_shape_type_and_names():
    drawn = xo(10, seed=1)
    assert drawn.inputs.shape == (10, 1, 32, 32)
    assert drawn.inputs.dtype == torch.float32
    assert drawn.labels.dtype == torch.int64
    assert drawn.names == ("X", "O")


def test_the_same_seed_draws_the_same_letters():
    first, second = xo(150, seed=7), xo(150, seed=7)
    assert torch.equal(first.inputs, second.inputs)
    assert torch.equal(first.labels, second.labels)


def test_the_default_dtype_changes_no_letter():
    in_float64 = xo(20).inputs
    torch.set_default_dtype(torch.float32)
    in_float32 = xo(20).inputs
    torch.set_default_dtype(torch.float64)
    assert torch.equal(in_float64, in_float32)


def test_another_seed_draws_other_letters():
    assert not torch.equal(xo(20, seed=0).inputs, xo(20, seed=1).inputs)


def test_no_letter_is_drawn_twice():
    flat = xo(500).inputs.flatten(1)
    assert len(flat.unique(dim=0)) == 500


def test_drawing_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    xo(20)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("n", [1, 2, 65, 130])
def test_half_of_the_letters_are_crosses(n: int):
    assert xo(n).labels.bincount(minlength=2).tolist() == [n // 2, n - n // 2]


def test_the_labels_come_in_mixed_order():
    labels = xo(400).labels
    assert 50 < int(labels[:200].sum()) < 150


@pytest.mark.parametrize("size", [8, 28, 32, 48])
def test_every_letter_is_ink_on_an_empty_page(size: int):
    images = xo(300, size=size).inputs
    assert images.shape[2:] == (size, size)
    assert float(images.min()) == 0
    assert float(images.max()) <= 1
    assert float((images == 0).double().mean((1, 2, 3)).min()) > 0.4, "most of each page is black"
    assert float(images.amax((1, 2, 3)).min()) > 0.3, "each page has ink"


def test_edges_are_soft():
    images = xo(100).inputs
    between = (images > 0) & (images < 0.7)
    assert bool(between.any(dim=-1).any(dim=-1).all())


def test_the_size_is_the_fineness_of_one_and_the_same_drawing():
    coarse, fine = xo(40, size=32, seed=3), xo(40, size=64, seed=3)
    assert torch.equal(coarse.labels, fine.labels)
    shrunk = nn.functional.avg_pool2d(fine.inputs, 2)
    assert float((shrunk - coarse.inputs).abs().mean()) < 0.02


def test_crosses_have_ink_at_their_middle_and_noughts_have_a_hole():
    drawn = xo(400, seed=2)
    middles = torch.stack([_ink_in_the_middle(image[0]) for image in drawn.inputs])
    assert float((middles[drawn.labels == 0] > 0.3).double().mean()) > 0.9
    assert float((middles[drawn.labels == 1] > 0.3).double().mean()) < 0.1


def _ink_in_the_middle(image: Tensor) -> Tensor:
    """Return the most ink in the middle ninth of the box around the letter."""
    rows, columns = (image > 0.3).nonzero().unbind(1)
    top, bottom, left, right = (int(t) for t in (rows.min(), rows.max(), columns.min(), columns.max()))
    height, width = bottom - top, right - left
    middle = image[
        top + height * 3 // 7 : bottom + 1 - height * 3 // 7, left + width * 3 // 7 : right + 1 - width * 3 // 7
    ]
    return middle.mean()


def test_letters_vary_in_size_place_and_pen():
    images = xo(1000).inputs[:, 0]
    ink = images.mean((1, 2))
    extents = (images.amax(1) > 0.3).sum(1)
    x = torch.arange(32) + 0.5
    places = (images.sum(1) * x).sum(1) / images.sum((1, 2))
    low, high = torch.tensor([0.05, 0.95], dtype=torch.float32)
    assert extents.float().quantile(high) > 1.8 * extents.float().quantile(low)
    assert places.float().quantile(high) - places.float().quantile(low) > 5
    assert ink.quantile(high) > 2.5 * ink.quantile(low)


def test_a_small_network_trained_on_one_draw_reads_another():
    drawn, fresh = xo(3000, seed=0), xo(500, seed=1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 16), nn.Sigmoid(), nn.Linear(16, 2)).float()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for batch in torch.arange(3000).repeat(15).split(100):
        loss = nn.functional.cross_entropy(network(drawn.inputs[batch]), drawn.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    read = network(fresh.inputs).argmax(1)
    assert float((read == fresh.labels).double().mean()) > 0.9


@pytest.mark.parametrize(("n", "size"), [(0, 32), (-1, 32), (4, 7), ("a", 32), (4.0, 32)])
def test_too_few_letters_or_pixels_are_refused(n: int, size: int):
    with pytest.raises(ArgumentError, match=r"expected (n|size) to be a whole number of at least (1|8), got"):
        xo(n, size=size)
