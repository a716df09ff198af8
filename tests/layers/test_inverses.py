"""Tests of the inverses by type: the round trip, the set that holds the input, and where no input gives the value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrev.errors import LayerError
from genrev.layers import Branches, inverse
from genrev.layers.preimages.normalised import Normalised

DTYPES = [torch.float32, torch.float64]


def prelu(*slopes: float) -> nn.PReLU:
    layer = nn.PReLU(len(slopes))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(slopes))
    return layer


def norm(kind: Callable[..., Any], *arguments: Any, **keywords: Any) -> nn.Module:
    layer = kind(*arguments, **keywords).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
        for name, buffer in layer.named_buffers():
            if name.startswith("running"):
                buffer.uniform_(0.2, 3.0)
    return layer


# A layer, the shape of an input, and whether its inputs are single.
LAYERS: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {
    "prelu": lambda: (prelu(0.3), (5,)),
    "prelu by channel": lambda: (prelu(0.3, 2.0, 1e-3), (3, 4)),
    "prelu by channel of an image": lambda: (prelu(0.3, 2.0), (2, 3, 4)),
    "selu": lambda: (nn.SELU(), (5,)),
    "celu": lambda: (nn.CELU(), (5,)),
    "celu 0.3": lambda: (nn.CELU(0.3), (5,)),
    "log-sigmoid": lambda: (nn.LogSigmoid(), (5,)),
    "softsign": lambda: (nn.Softsign(), (5,)),
    "hardtanh": lambda: (nn.Hardtanh(), (5,)),
    "hardtanh -0.3 0.7": lambda: (nn.Hardtanh(-0.3, 0.7), (5,)),
    "relu6": lambda: (nn.ReLU6(), (5,)),
    "hardsigmoid": lambda: (nn.Hardsigmoid(), (5,)),
    "threshold": lambda: (nn.Threshold(0.2, -1.0), (5,)),
    "threshold that fills above": lambda: (nn.Threshold(0.2, 0.5), (5,)),
    "threshold as a relu": lambda: (nn.Threshold(0.0, 0.0), (5,)),
    "gelu": lambda: (nn.GELU(), (5,)),
    "gelu tanh": lambda: (nn.GELU(approximate="tanh"), (5,)),
    "silu": lambda: (nn.SiLU(), (5,)),
    "mish": lambda: (nn.Mish(), (5,)),
    "hardswish": lambda: (nn.Hardswish(), (5,)),
    "batch norm 1d": lambda: (norm(nn.BatchNorm1d, 3), (3, 4)),
    "batch norm 2d": lambda: (norm(nn.BatchNorm2d, 3), (3, 4, 2)),
    "batch norm 3d": lambda: (norm(nn.BatchNorm3d, 2), (2, 3, 2, 2)),
    "batch norm 2d without weights": lambda: (norm(nn.BatchNorm2d, 3, affine=False), (3, 4, 2)),
    "layer norm": lambda: (norm(nn.LayerNorm, 6), (6,)),
    "layer norm of two values": lambda: (norm(nn.LayerNorm, 2), (2,)),
    "layer norm of one value": lambda: (norm(nn.LayerNorm, 1), (1,)),
    "layer norm of the last": lambda: (norm(nn.LayerNorm, 6), (3, 6)),
    "layer norm of two dimensions": lambda: (norm(nn.LayerNorm, (3, 4)), (2, 3, 4)),
    "layer norm without weights": lambda: (norm(nn.LayerNorm, 6, elementwise_affine=False), (6,)),
    "layer norm without bias": lambda: (norm(nn.LayerNorm, 6, bias=False), (6,)),
    "group norm": lambda: (norm(nn.GroupNorm, 2, 6), (6, 3, 2)),
    "group norm of vectors": lambda: (norm(nn.GroupNorm, 3, 6), (6,)),
    "group norm without weights": lambda: (norm(nn.GroupNorm, 2, 4, affine=False), (4, 5)),
    "unflatten": lambda: (nn.Unflatten(1, (2, 3)), (6,)),
    "unflatten inside": lambda: (nn.Unflatten(2, (3, 2)), (2, 6, 2)),
    "flatten inside": lambda: (nn.Flatten(2), (2, 3, 2)),
    "pixel shuffle": lambda: (nn.PixelShuffle(2), (8, 2, 3)),
    "pixel unshuffle": lambda: (nn.PixelUnshuffle(2), (2, 4, 6)),
    "channel shuffle": lambda: (nn.ChannelShuffle(2), (6, 2, 2)),
    "upsample": lambda: (nn.Upsample(scale_factor=2), (2, 3, 2)),
    "upsample oddly": lambda: (nn.Upsample(size=7), (2, 3)),
    "upsample exactly": lambda: (nn.Upsample(size=(5, 7), mode="nearest-exact"), (2, 3, 4)),
    "downsample": lambda: (nn.Upsample(size=2), (2, 5)),
    "dropout": lambda: (nn.Dropout(0.5).eval(), (4,)),
    "dropout 1d": lambda: (nn.Dropout1d(0.5).eval(), (4, 2)),
    "dropout 2d": lambda: (nn.Dropout2d(0.5).eval(), (2, 2, 2)),
    "dropout 3d": lambda: (nn.Dropout3d(0.5).eval(), (2, 2, 2, 2)),
    "conv 1d": lambda: (nn.Conv1d(2, 3, 3), (2, 6)),
    "conv 2d": lambda: (nn.Conv2d(1, 2, 3, padding=1), (1, 4, 5)),
    "conv 2d that loses": lambda: (nn.Conv2d(3, 2, 3, stride=2), (3, 7, 5)),
    "conv 2d that is tall": lambda: (nn.Conv2d(1, 5, 2), (1, 4, 3)),
    "conv 2d of groups": lambda: (nn.Conv2d(4, 2, 3, groups=2, bias=False), (4, 4, 4)),
    "conv 2d of holes": lambda: (nn.Conv2d(2, 2, 3, dilation=2), (2, 6, 5)),
    "conv 2d around": lambda: (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), (1, 4, 4)),
    "conv 2d mirrored": lambda: (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), (1, 4, 4)),
    "conv 3d": lambda: (nn.Conv3d(1, 2, 2), (1, 3, 3, 2)),
    "conv transpose 1d": lambda: (nn.ConvTranspose1d(3, 1, 3, stride=2, output_padding=1), (3, 4)),
    "conv transpose 2d": lambda: (nn.ConvTranspose2d(2, 1, 3, padding=1), (2, 3, 4)),
    "conv transpose 3d": lambda: (nn.ConvTranspose3d(1, 1, 2), (1, 2, 2, 2)),
    "average pool 1d": lambda: (nn.AvgPool1d(2), (3, 7)),
    "average pool 2d": lambda: (nn.AvgPool2d(2), (2, 4, 5)),
    "average pool 2d padded": lambda: (nn.AvgPool2d(3, padding=1, count_include_pad=False), (2, 6, 6)),
    "average pool 2d overlapping": lambda: (nn.AvgPool2d(3, stride=1), (2, 4, 5)),
    "average pool 2d over the edge": lambda: (nn.AvgPool2d(2, ceil_mode=True), (2, 5, 5)),
    "average pool 3d": lambda: (nn.AvgPool3d(2), (1, 2, 4, 2)),
    "global average": lambda: (nn.AdaptiveAvgPool2d(1), (3, 4, 5)),
    "adaptive average": lambda: (nn.AdaptiveAvgPool2d((2, 3)), (2, 5, 4)),
    "max pool 1d": lambda: (nn.MaxPool1d(2), (3, 7)),
    "max pool 2d": lambda: (nn.MaxPool2d(2), (2, 4, 6)),
    "max pool 2d padded": lambda: (nn.MaxPool2d(2, padding=1), (2, 4, 6)),
    "max pool 2d of holes": lambda: (nn.MaxPool2d(2, stride=4, dilation=3), (2, 8, 8)),
    "max pool 2d over the edge": lambda: (nn.MaxPool2d(2, ceil_mode=True), (2, 5, 5)),
    "max pool 3d": lambda: (nn.MaxPool3d(2), (1, 2, 4, 2)),
    "max pool overlapping": lambda: (nn.MaxPool2d(3, stride=1), (2, 5, 6)),
    "max pool overlapping and padded": lambda: (nn.MaxPool2d(3, stride=2, padding=1), (2, 6, 5)),
    "adaptive maximum": lambda: (nn.AdaptiveMaxPool2d((2, 3)), (2, 5, 4)),
    "global maximum": lambda: (nn.AdaptiveMaxPool1d(1), (2, 5)),
    "alpha dropout": lambda: (nn.AlphaDropout(0.5).eval(), (4,)),
}
each = pytest.mark.parametrize("name", LAYERS)


@each
@pytest.mark.parametrize("rows", [1, 20])
def test_what_a_layer_gives_comes_back_and_the_set_contains_what_made_it(name: str, rows: int) -> None:
    layer, shape = LAYERS[name]()
    x, z = 1.5 * torch.randn(rows, *shape), 3 * torch.randn(rows, *shape)
    with torch.no_grad():
        y = layer(x)
        preimage = inverse(layer, shape)(y)
        assert not bool(preimage.clamped.any())
        assert preimage.clamped.shape == y.shape
        assert preimage.x.shape == x.shape
        torch.testing.assert_close(layer(preimage.x), y, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(layer(preimage.nearest(z)), y, rtol=1e-9, atol=1e-9)
    assert bool(preimage.contains(x, slack=1e-6).all())
    torch.testing.assert_close(preimage.nearest(torch.zeros_like(x)), preimage.x, rtol=1e-9, atol=1e-9)


# Of which one value may serve two windows at once.
SHARED = {"max pool overlapping", "max pool overlapping and padded", "adaptive maximum"}


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - SHARED))
def test_the_nearest_point_is_nearer_than_what_made_the_output_and_is_its_own_nearest(name: str) -> None:
    layer, shape = LAYERS[name]()
    x, z = 1.5 * torch.randn(30, *shape), 1.5 * torch.randn(30, *shape)
    with torch.no_grad():
        preimage = inverse(layer, shape)(layer(x))
    found = preimage.nearest(z)
    away, back = ((one - z).flatten(1).norm(dim=1) for one in (found, x))
    assert bool((away <= back + 1e-7).all())
    torch.testing.assert_close(preimage.nearest(found), found, rtol=1e-7, atol=1e-7)


@each
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_layer_keeps_its_precision_and_its_arguments(name: str, dtype: torch.dtype) -> None:
    layer, shape = LAYERS[name]()
    layer, x = layer.to(dtype), torch.randn(20, *shape, dtype=dtype)
    y = layer(x).detach()
    before = y.clone()
    preimage = inverse(layer, shape)(y)
    found = preimage.nearest(x.mT.contiguous().mT if x.ndim > 2 else x)
    assert preimage.x.dtype == found.dtype == dtype
    assert not found.requires_grad
    assert torch.equal(y, before)
    torch.testing.assert_close(layer(preimage.x), y, rtol=1e-3, atol=1e-4)
    # Output that is not contiguous.
    if y.ndim > 2:
        torch.testing.assert_close(inverse(layer, shape)(y.mT.contiguous().mT).x, preimage.x)


# Activations

# With the open or closed interval of what they give.
RANGES: list[tuple[nn.Module, float, float, bool]] = [
    (nn.SELU(), -1.7580993408473766, math.inf, False),
    (nn.CELU(), -1.0, math.inf, False),
    (nn.CELU(0.3), -0.3, math.inf, False),
    (nn.LogSigmoid(), -math.inf, 0.0, False),
    (nn.Softsign(), -1.0, 1.0, False),
    (nn.Hardtanh(), -1.0, 1.0, True),
    (nn.Hardtanh(-0.5, 3.0), -0.5, 3.0, True),
    (nn.ReLU6(), 0.0, 6.0, True),
    (nn.Hardsigmoid(), 0.0, 1.0, True),
    (nn.GELU(), -0.16997120747990369, math.inf, True),
    (nn.GELU(approximate="tanh"), -0.17004075057125412, math.inf, True),
    (nn.SiLU(), -0.27846454276107373, math.inf, True),
    (nn.Hardswish(), -0.375, math.inf, True),
    (prelu(0.2), -math.inf, math.inf, True),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("layer", "low", "high", "closed"), RANGES, ids=str)
def test_values_are_clamped_exactly_where_no_input_gives_them(
    layer: nn.Module, low: float, high: float, closed: bool, dtype: torch.dtype
) -> None:
    layer = layer.to(dtype)
    values, impossible = [], []
    for edge, outwards in ((low, -1), (high, 1)):
        if math.isfinite(edge):
            values += [edge - outwards * 1e-4, edge, edge + outwards * 1e-4, edge + outwards * 1e3]
            impossible += [False, not closed, True, True]
        else:
            values += [outwards * 1e6]
            impossible += [False]
    y = torch.tensor([values], dtype=dtype)
    preimage = inverse(layer, (len(values),))(y)
    assert preimage.clamped.tolist() == [impossible]
    assert bool(preimage.x.isfinite().all())
    torch.testing.assert_close(layer(preimage.x), y.clamp(low, high), rtol=1e-5, atol=1e-6)


def test_the_ends_of_a_clipped_line_are_half_lines() -> None:
    for layer, ends, x in (
        (nn.Hardtanh(-0.5, 3.0), (-0.5, 3.0), (-0.5, 3.0)),
        (nn.ReLU6(), (0.0, 6.0), (0.0, 6.0)),
        (nn.Hardsigmoid(), (0.0, 1.0), (-3.0, 3.0)),
    ):
        box = inverse(layer, (2,))(torch.tensor([ends])).box
        assert box.low.tolist() == [[-math.inf, x[1]]]
        assert box.high.tolist() == [[x[0], math.inf]]


def test_a_threshold_s_value_comes_from_all_below_and_from_itself() -> None:
    invert = inverse(nn.Threshold(0.2, 0.5), (4,))
    preimage = invert(torch.tensor([[0.5, 0.9, 0.1, -3.0]]))
    assert preimage.clamped.tolist() == [[False, False, True, True]]
    assert preimage.nearest(torch.tensor([[-4.0, 0.0, 0.0, 0.0]]))[0, :2].tolist() == [-4.0, 0.9]
    assert preimage.nearest(torch.tensor([[0.4, 0.0, 0.0, 0.0]]))[0, 0].tolist() == 0.5
    # What is not given is read as the first number above the threshold.
    assert preimage.x[0, 2:].tolist() == pytest.approx([0.2, 0.2], abs=1e-12)


@pytest.mark.parametrize(
    ("layer", "turn"),
    [
        (nn.GELU(), -0.7517915246935645),
        (nn.GELU(approximate="tanh"), -0.7524614220710163),
        (nn.SiLU(), -1.2784645427610737),
        (nn.Mish(), -1.1924312145154952),
        (nn.Hardswish(), -1.5),
    ],
    ids=str,
)
def test_both_branches_of_a_valley_are_found_to_rounding(layer: nn.Module, turn: float) -> None:
    left, right = torch.linspace(-2.9, turn - 0.01, 40)[None], torch.linspace(turn + 0.01, 50.0, 40)[None]
    for x in (left, right):
        preimage = inverse(layer, (40,))(layer(x))
        assert isinstance(preimage, Branches)
        torch.testing.assert_close(preimage.nearest(x), x, rtol=1e-9, atol=1e-9)
    # From 0 on there is one branch, and at the least value both meet.
    assert bool(inverse(layer, (3,))(torch.tensor([[1e-9, 0.5, 7.0]])).other[1].isnan().all())
    least = inverse(layer, (1,))(layer(torch.tensor([[turn]])))
    torch.testing.assert_close(least.x, torch.tensor([[turn]]), rtol=0, atol=1e-6)
    assert not bool(least.clamped.any())


@pytest.mark.parametrize("layer", [nn.GELU(), nn.SiLU(), nn.Mish()], ids=str)
def test_a_tiny_value_of_a_valley_keeps_its_digits(layer: nn.Module) -> None:
    y = torch.tensor([[0.0, 1e-300, 1e-20, -1e-20, -1e-12]])
    preimage = inverse(layer, (5,))(y)
    torch.testing.assert_close(layer(preimage.x), y, rtol=1e-12, atol=0)
    far = preimage.nearest(torch.full_like(y, -1e9))
    # Torch's own GELU is rounded to nothing that far down.
    again = far * torch.special.log_ndtr(far).exp() if isinstance(layer, nn.GELU) else layer(far)
    torch.testing.assert_close(again[:, 3:], y[:, 3:], rtol=1e-6, atol=0)
    assert bool((far[:, 3:] < -5).all())


def test_nan_stays_nan_in_a_valley() -> None:
    assert bool(inverse(nn.GELU(), (1,))(torch.tensor([[math.nan]])).x.isnan())


@pytest.mark.parametrize(
    "layer", [prelu(0.0), prelu(0.3, -1.0), nn.CELU(-1.0), nn.Upsample(size=3, mode="linear")], ids=str
)
def test_settings_that_are_not_one_to_one_give_one_sentence(layer: nn.Module) -> None:
    with pytest.raises(LayerError, match=r"expected .*, got .*"):
        inverse(layer, (2, 3))


# Values that move


def test_copies_that_differ_are_clamped_to_their_mean() -> None:
    preimage = inverse(nn.Upsample(scale_factor=2), (1, 2))(torch.tensor([[[1.0, 3.0, 5.0, 5.0]]]))
    assert preimage.x.tolist() == [[[2.0, 5.0]]]
    assert preimage.clamped.tolist() == [[[True, True, False, False]]]


def test_an_input_that_no_output_shows_is_free() -> None:
    preimage = inverse(nn.Upsample(size=2), (1, 4))(torch.tensor([[[1.0, 3.0]]]))
    assert preimage.x.tolist() == [[[1.0, 0.0, 3.0, 0.0]]]
    assert preimage.nearest(torch.full((1, 1, 4), 9.0)).tolist() == [[[1.0, 9.0, 3.0, 9.0]]]


# Sums


@pytest.mark.parametrize("name", [name for name in LAYERS if "conv" in name or "average" in name])
def test_a_sum_is_inverted_as_numpy_does(name: str) -> None:
    layer, shape = LAYERS[name]()
    n = math.prod(shape)
    with torch.no_grad():
        zero = layer(torch.zeros(1, *shape))
        matrix = (layer(torch.eye(n).reshape(n, *shape)) - zero).flatten(1).T.numpy()
    # Not what the layer gives: any values.
    y, z = torch.randn(5, *zero.shape[1:]), torch.randn(5, *shape)
    right = (y - zero).flatten(1).T.numpy()
    preimage = inverse(layer, shape)(y)
    shortest = np.linalg.lstsq(matrix, right, rcond=1e-12)[0]
    np.testing.assert_allclose(preimage.x.flatten(1).T, shortest, atol=1e-9)
    free = np.eye(n) - np.linalg.pinv(matrix, rcond=1e-12) @ matrix
    np.testing.assert_allclose(preimage.nearest(z).flatten(1).T, shortest + free @ z.flatten(1).T.numpy(), atol=1e-9)
    missed = np.abs(matrix @ shortest - right).T.reshape(y.shape) > 1e-6
    assert (preimage.clamped.numpy() == missed).all()


def test_an_average_over_all_of_a_large_image_takes_no_matrix() -> None:
    layer = nn.AvgPool2d(2)
    y = torch.randn(1, 2, 128, 128)
    preimage = inverse(layer, (2, 256, 256))(y)
    torch.testing.assert_close(preimage.x, y.repeat_interleave(2, 2).repeat_interleave(2, 3))
    z = torch.randn(1, 2, 256, 256)
    torch.testing.assert_close(layer(preimage.nearest(z)), y)


# Maxima


def test_a_maximum_stands_in_one_place_and_nothing_above_it() -> None:
    invert = inverse(nn.MaxPool1d(2), (1, 5))
    preimage = invert(torch.tensor([[[2.0, -1.0]]]))
    assert preimage.x.tolist() == [[[2.0, 0.0, -1.0, -1.0, 0.0]]]
    assert preimage.nearest(torch.tensor([[[0.5, 1.0, 3.0, -7.0, 9.0]]])).tolist() == [[[0.5, 2.0, -1.0, -7.0, 9.0]]]
    assert preimage.contains(torch.tensor([[[2.0, 2.0, -3.0, -1.0, 4.0]]])).tolist() == [True]
    assert preimage.contains(torch.tensor([[[2.1, 2.0, -3.0, -1.0, 4.0]]])).tolist() == [False]
    assert preimage.contains(torch.tensor([[[1.9, 1.9, -3.0, -1.0, 4.0]]])).tolist() == [False]
    assert preimage.contains(torch.tensor([[[1.9, 1.9, -3.0, -1.0, 4.0]]]), slack=0.2).tolist() == [True]


def test_maxima_of_overlapping_windows_that_can_not_be_had_together_are_clamped() -> None:
    # The middle window shares each of its values with one whose maximum is less.
    y = torch.tensor([[[1.0, 5.0, 2.0]]])
    preimage = inverse(nn.MaxPool1d(2, stride=1), (1, 4))(y)
    assert preimage.clamped.tolist() == [[[False, True, False]]]
    x = preimage.nearest(torch.full((1, 1, 4), 9.0))
    assert nn.MaxPool1d(2, stride=1)(x).tolist() == [[[1.0, 2.0, 2.0]]]


def test_every_maximum_of_overlapping_windows_is_reached_from_anywhere() -> None:
    layer = nn.MaxPool2d(3, stride=2, padding=1)
    with torch.no_grad():
        y = layer(torch.randn(50, 3, 9, 9))
    preimage = inverse(layer, (3, 9, 9))(y)
    for z in (torch.randn(50, 3, 9, 9), torch.full((50, 3, 9, 9), 9.0), torch.full((50, 3, 9, 9), -9.0)):
        found = preimage.nearest(z)
        assert torch.equal(layer(found), y)
        assert bool(preimage.contains(found, slack=0.0).all())


def test_a_pool_that_returns_places_too_gives_one_sentence() -> None:
    with pytest.raises(LayerError, match="return_indices=True"):
        inverse(nn.MaxPool1d(2, return_indices=True), (1, 4))


# Normalisation


def scales(preimage: Any) -> tuple[Tensor, Tensor]:
    assert isinstance(preimage, Normalised)
    return preimage.scales


def test_the_scale_of_a_layer_norm_comes_from_eps_alone() -> None:
    layer = norm(nn.LayerNorm, 6, eps=1e-3)
    x = torch.randn(30, 6)
    low, high = scales(inverse(layer, (6,))(layer(x).detach()))
    true = (x.var(1, correction=0) + 1e-3).sqrt()[:, None]
    torch.testing.assert_close(low, true, rtol=1e-8, atol=0)
    torch.testing.assert_close(high, true, rtol=1e-8, atol=0)


def test_a_mean_is_free_and_stays_that_of_what_is_near() -> None:
    layer = norm(nn.LayerNorm, 6)
    x, z = torch.randn(30, 6), torch.randn(30, 6)
    preimage = inverse(layer, (6,))(layer(x).detach())
    torch.testing.assert_close(preimage.nearest(z), x - x.mean(1, keepdim=True) + z.mean(1, keepdim=True))
    torch.testing.assert_close(preimage.x, x - x.mean(1, keepdim=True))
    assert bool(preimage.contains(x + 5.0).all())
    assert not bool(preimage.contains(1.01 * x).any())


def test_a_scale_that_rounding_hides_is_free() -> None:
    layer = nn.LayerNorm(6, eps=1e-5)
    x = 1e7 * torch.randn(30, 6)
    preimage = inverse(layer, (6,))(layer(x).detach())
    low, high = scales(preimage)
    assert bool(high.isinf().all())
    assert bool((low <= x.std(1, correction=0)[:, None]).all())
    for factor in (1.0, 10.0, 1e5):
        assert bool(preimage.contains(factor * x + 3.0, slack=1e-4 * factor).all())
    torch.testing.assert_close(layer(preimage.x), layer(x), rtol=1e-9, atol=1e-9)
    # In float32 less of it is seen.
    y = nn.LayerNorm(6, dtype=torch.float32)((300 * torch.randn(5, 6)).float()).detach()
    assert bool(scales(inverse(nn.LayerNorm(6), (6,))(y))[1].isinf().all())


@pytest.mark.parametrize("zeros", [1, 2, 3, 5])
def test_values_that_a_weight_of_zero_hides_may_be_anything_that_makes_up_mean_and_variance(zeros: int) -> None:
    layer = norm(nn.LayerNorm, 6, eps=0.1)
    with torch.no_grad():
        layer.weight[:zeros] = 0.0
    x, z = torch.randn(40, 6), torch.randn(40, 6)
    with torch.no_grad():
        y = layer(x)
        preimage = inverse(layer, (6,))(y)
        assert not bool(preimage.clamped.any())
        found = preimage.nearest(z)
        torch.testing.assert_close(layer(found), y, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(layer(preimage.x), y, rtol=1e-8, atol=1e-8)
        assert bool(preimage.contains(x, slack=1e-6).all())
        # By brute force: none of many others that give the output is nearer.
        least = (found - z).norm(dim=1)
        for _ in range(300):
            other = preimage.nearest(found + 0.3 * torch.randn(40, 6))
            torch.testing.assert_close(layer(other), y, rtol=1e-8, atol=1e-8)
            assert bool(((other - z).norm(dim=1) >= least - 1e-9).all())
        y[:, 0] += 1.0
        assert inverse(layer, (6,))(y).clamped[:, :zeros].any(1).tolist() == [True] * 40


def test_values_that_all_weights_hide_are_what_they_like() -> None:
    layer = nn.LayerNorm(4)
    nn.init.zeros_(layer.weight)
    z = torch.randn(5, 4)
    preimage = inverse(layer, (4,))(torch.zeros(5, 4))
    torch.testing.assert_close(preimage.nearest(z), z)
    torch.testing.assert_close(layer(preimage.x), torch.zeros(5, 4))
    assert not bool(preimage.clamped.any())


def test_values_that_no_input_is_normalised_to_are_moved_to_the_nearest() -> None:
    layer = nn.LayerNorm(3)
    y = torch.tensor([[1.0, 1.0, 1.0], [3.0, 0.0, -3.0], [0.5, 0.0, -0.5], [0.0, 0.0, 0.0]])
    preimage = inverse(layer, (3,))(y)
    assert preimage.clamped.any(1).tolist() == [True, True, False, False]
    assert bool(preimage.x.isfinite().all())
    root = math.sqrt(1.5)
    expected = torch.tensor([[0.0, 0.0, 0.0], [root, 0.0, -root], [0.5, 0.0, -0.5], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(layer(preimage.x), expected, rtol=1e-6, atol=1e-6)


def test_groups_are_normalised_each_by_itself() -> None:
    layer = norm(nn.GroupNorm, 2, 4)
    x = torch.randn(7, 4, 3)
    preimage = inverse(layer, (4, 3))(layer(x).detach())
    moved = x.reshape(7, 2, 6) + torch.tensor([5.0, -2.0])[:, None]
    assert bool(preimage.contains(moved.reshape(7, 4, 3)).all())
    assert preimage.scales[0].shape == (7, 2)


def test_a_normalisation_without_eps_gives_one_sentence() -> None:
    with pytest.raises(LayerError, match="positive eps"):
        inverse(nn.LayerNorm(3, eps=0.0), (3,))
    with pytest.raises(LayerError, match="BatchNorm2d with running statistics"):
        inverse(nn.BatchNorm2d(3, track_running_stats=False), (3, 2, 2))


def test_selu_and_friends_are_torch_s_own_formulas() -> None:
    x = torch.linspace(-6, 6, 101)[None]
    for layer, function in ((nn.SELU(), F.selu), (nn.CELU(0.7), lambda v: F.celu(v, 0.7)), (nn.Softsign(), F.softsign)):
        np.testing.assert_allclose(inverse(layer, (101,))(function(x)).x, x, atol=1e-9)
