"""Tests of the inverses of layers: the round trip, the box they report, and what no input gives."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers import Box, Preimage, inverse, is_invertible

DTYPES = [torch.float32, torch.float64]

# An activation, and the open interval of what it gives.
ACTIVATIONS: list[tuple[nn.Module, float, float]] = [
    (nn.Sigmoid(), 0.0, 1.0),
    (nn.Tanh(), -1.0, 1.0),
    (nn.LeakyReLU(), -math.inf, math.inf),
    (nn.LeakyReLU(0.3), -math.inf, math.inf),
    (nn.LeakyReLU(2.0), -math.inf, math.inf),
    (nn.ELU(), -1.0, math.inf),
    (nn.ELU(0.1), -0.1, math.inf),
    (nn.ELU(30.0), -30.0, math.inf),
    (nn.Softplus(), 0.0, math.inf),
    (nn.Softplus(3.0, 5.0), 0.0, math.inf),
    (nn.Identity(), -math.inf, math.inf),
    (nn.Dropout(0.7).eval(), -math.inf, math.inf),
]
IDS = [str(layer) for layer, _, _ in ACTIVATIONS]


def between(low: float, high: float, dtype: torch.dtype, shape: tuple[int, ...] = (64, 5)) -> Tensor:
    least, most = max(low, -8.0), min(high, 8.0)
    return (least + (most - least) * (0.001 + 0.998 * torch.rand(shape))).to(dtype)


def contains(preimage: Preimage, x: Tensor, slack: float) -> Tensor:
    room = slack * (1 + x.abs())
    assert isinstance(preimage, Box)
    return (preimage.low - room <= x) & (x <= preimage.high + room)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("layer", "low", "high"), ACTIVATIONS, ids=IDS)
def test_what_an_activation_can_give_comes_back(layer: nn.Module, low: float, high: float, dtype: torch.dtype) -> None:
    y = between(low, high, dtype)
    preimage = inverse(layer, (5,))(y)
    assert preimage.x.dtype == dtype
    assert not bool(preimage.clamped.any())
    torch.testing.assert_close(layer(preimage.x), y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("layer", "low", "high"), ACTIVATIONS, ids=IDS)
def test_the_box_of_an_activation_contains_the_input(
    layer: nn.Module, low: float, high: float, dtype: torch.dtype
) -> None:
    x = torch.randn(64, 5, dtype=dtype)
    preimage = inverse(layer, (5,))(layer(x))
    slack = 1e-3 if dtype == torch.float32 else 1e-9
    assert bool((preimage.low <= preimage.high).all())
    assert bool(contains(preimage, x, slack).all())


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_linear_layer_is_clamped_exactly_where_no_input_gives_the_values_together(dtype: torch.dtype) -> None:
    tall = nn.Linear(3, 5).to(dtype)
    x = torch.randn(9, 3, dtype=dtype)
    y = tall(x).detach()
    assert not bool(inverse(tall, (3,))(y).clamped.any())
    assert bool(inverse(tall, (3,))(y + torch.randn(9, 5, dtype=dtype)).clamped.any(1).all())
    flat = nn.Linear(4, 2).to(dtype)
    with torch.no_grad():
        flat.weight[1] = 2 * flat.weight[0]
        flat.bias.zero_()
    wanted = torch.tensor([[1.0, 2.0], [1.0, -2.0]], dtype=dtype)
    assert inverse(flat, (4,))(wanted).clamped.any(1).tolist() == [False, True]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("layer", "low", "high"), [*ACTIVATIONS, (nn.ReLU(), 0.0, math.inf)], ids=[*IDS, "ReLU()"])
def test_values_are_clamped_exactly_where_no_input_gives_them(
    layer: nn.Module, low: float, high: float, dtype: torch.dtype
) -> None:
    tiny = 1e-4
    values, impossible = [], []
    for edge, outwards in ((low, -1), (high, 1)):
        if math.isfinite(edge):
            # A ReLU gives its edge itself, the others only come near.
            values += [edge - outwards * tiny, edge, edge + outwards * tiny, edge + outwards * 1e3]
            impossible += [False, not isinstance(layer, nn.ReLU), True, True]
        else:
            values += [outwards * 1e6]
            impossible += [False]
    y = torch.tensor([values], dtype=dtype)
    preimage = inverse(layer, (len(values),))(y)
    assert preimage.clamped.tolist() == [impossible]
    assert bool(preimage.x.isfinite().all())
    # What is clamped becomes the nearest value that some input gives.
    finite_low, finite_high = max(low, -1e9), min(high, 1e9)
    expected = y.clamp(finite_low, finite_high)
    torch.testing.assert_close(layer(preimage.x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("layer", "low", "high"), [*ACTIVATIONS, (nn.ReLU(), 0.0, math.inf)], ids=[*IDS, "ReLU()"])
def test_the_next_number_to_an_edge_is_still_possible(
    layer: nn.Module, low: float, high: float, dtype: torch.dtype
) -> None:
    edges = [(edge, middle) for edge, middle in ((low, high), (high, low)) if math.isfinite(edge)]
    for edge, towards in edges:
        y = torch.nextafter(torch.tensor([[edge]], dtype=dtype), torch.tensor([[towards]], dtype=dtype))
        if 0 < float(y.abs()) < torch.finfo(dtype).tiny:
            y = y.sign() * torch.finfo(dtype).tiny
        preimage = inverse(layer, (1,))(y)
        assert not bool(preimage.clamped.any())
        assert bool(preimage.x.isfinite().all())


@pytest.mark.parametrize(("layer", "low", "high"), [*ACTIVATIONS, (nn.ReLU(), 0.0, math.inf)], ids=[*IDS, "ReLU()"])
def test_an_inverse_leaves_its_argument_alone(layer: nn.Module, low: float, high: float) -> None:
    y = torch.randn(8, 5)
    before = y.clone()
    _ = inverse(layer, (5,))(y).x
    assert torch.equal(y, before)


def test_a_tiny_probability_keeps_its_own_logit() -> None:
    y = torch.tensor([[1e-300, 1e-20, 0.5, 1 - 1e-12]])
    torch.testing.assert_close(
        inverse(nn.Sigmoid(), (4,))(y).x,
        torch.tensor([[math.log(1e-300), math.log(1e-20), 0.0, math.log(1e12)]]),
        rtol=1e-4,
        atol=0,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_after_a_relu_comes_from_a_half_line(dtype: torch.dtype) -> None:
    preimage = inverse(nn.ReLU(), (4,))(torch.tensor([[0.0, 2.0, -3.0, -0.0]], dtype=dtype))
    assert preimage.low.tolist() == [[-math.inf, 2.0, -math.inf, -math.inf]]
    assert preimage.high.tolist() == [[0.0, 2.0, 0.0, 0.0]]
    assert preimage.clamped.tolist() == [[False, False, True, False]]
    assert preimage.x.tolist() == [[0.0, 2.0, 0.0, 0.0]]


def test_the_nearest_input_to_zero_is_picked_from_a_box() -> None:
    low, high = torch.tensor([[-2.0, 1.0, -4.0, -math.inf]]), torch.tensor([[3.0, 2.0, -1.0, math.inf]])
    assert Box(low, high, low > high).x.tolist() == [[0.0, 1.0, -1.0, 0.0]]


# Linear


@pytest.mark.parametrize("rank", [1, 2, None])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "outputs"), [(7, 3), (3, 7), (4, 4), (1, 1), (1, 5), (5, 1)])
def test_a_linear_layer_is_inverted_as_numpy_does(inputs: int, outputs: int, bias: bool, rank: int | None) -> None:
    layer = nn.Linear(inputs, outputs, bias=bias)
    if rank is not None:
        with torch.no_grad():
            layer.weight.copy_(torch.randn(outputs, rank) @ torch.randn(rank, inputs))
    y = torch.randn(6, outputs)
    found = inverse(layer, (inputs,))(y).x.numpy()
    weight = layer.weight.detach().numpy()
    right = y.numpy() - (layer.bias.detach().numpy() if bias else 0.0)
    np.testing.assert_allclose(found, right @ np.linalg.pinv(weight).T, atol=1e-10)
    # The shortest of the least-squares solutions.
    np.testing.assert_allclose(found.T, np.linalg.lstsq(weight, right.T, rcond=None)[0], atol=1e-10)


def test_a_linear_layer_that_can_give_everything_gives_it_back() -> None:
    layer = nn.Linear(9, 4)
    y = 100 * torch.randn(6, 4)
    torch.testing.assert_close(layer(inverse(layer, (9,))(y).x), y)


def test_a_linear_layer_of_zeros_has_the_shortest_input() -> None:
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    assert inverse(layer, (3,))(torch.randn(4, 2)).x.tolist() == [[0.0] * 3] * 4


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_linear_layer_keeps_its_precision(dtype: torch.dtype) -> None:
    layer = nn.Linear(5, 3).to(dtype)
    x = inverse(layer, (5,))(torch.randn(2, 3, dtype=dtype)).x
    assert x.dtype == dtype
    assert not x.requires_grad


def test_a_linear_layer_works_on_the_last_of_several_dimensions() -> None:
    layer = nn.Linear(5, 3)
    y = torch.randn(2, 4, 3)
    torch.testing.assert_close(layer(inverse(layer, (4, 5))(y).x), y)


# Batch norm


def batch_norm(channels: int, **keywords: Any) -> nn.BatchNorm1d:
    layer = nn.BatchNorm1d(channels, **keywords)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.1, 3.0)
    if layer.affine:
        with torch.no_grad():
            layer.weight.normal_()
            layer.bias.normal_()
    return layer.eval()


@pytest.mark.parametrize("shape", [(4,), (4, 6)])
@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_is_undone(affine: bool, shape: tuple[int, ...]) -> None:
    layer = batch_norm(4, affine=affine)
    x = torch.randn(9, *shape)
    preimage = inverse(layer, shape)(layer(x).detach())
    torch.testing.assert_close(preimage.x, x)
    assert not bool(preimage.clamped.any())
    assert not preimage.x.requires_grad


def test_a_batch_norm_of_weight_zero_takes_any_input_or_none() -> None:
    layer = batch_norm(3)
    with torch.no_grad():
        layer.weight[1] = 0.0
    x = torch.randn(5, 3)
    y = layer(x).detach()
    preimage = inverse(layer, (3,))(y)
    assert not bool(preimage.clamped.any())
    assert bool((preimage.low[:, 1] == -math.inf).all())
    assert bool((preimage.high[:, 1] == math.inf).all())
    torch.testing.assert_close(preimage.x[:, [0, 2]], x[:, [0, 2]])
    torch.testing.assert_close(layer(preimage.x), y)
    y[:, 1] += 1
    assert inverse(layer, (3,))(y).clamped.tolist() == [[False, True, False]] * 5


def test_a_batch_norm_without_statistics_gives_one_sentence() -> None:
    with pytest.raises(LayerError, match="running statistics"):
        inverse(nn.BatchNorm1d(3, track_running_stats=False), (3,))


# Flatten, softmax


def test_a_flattened_value_is_unflattened() -> None:
    x = torch.randn(4, 2, 3, 5)
    assert torch.equal(inverse(nn.Flatten(), (2, 3, 5))(x.flatten(1)).x, x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer", [nn.Softmax(-1), nn.LogSoftmax(-1), nn.Softmax(1), nn.LogSoftmax(1)], ids=str)
def test_logits_come_back_up_to_their_constant(layer: nn.Module, dtype: torch.dtype) -> None:
    logits = 5 * torch.randn(20, 6, dtype=dtype)
    preimage = inverse(layer, (6,))(layer(logits))
    torch.testing.assert_close(preimage.x, logits - logits.mean(-1, keepdim=True), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer(preimage.x), layer(logits), rtol=1e-4, atol=1e-5)
    assert not bool(preimage.clamped.any())


def test_probabilities_that_no_logits_give_are_clamped() -> None:
    preimage = inverse(nn.Softmax(-1), (3,))(torch.tensor([[0.0, 0.4, 0.6], [-0.1, 0.1, 1.0], [0.2, 0.3, 0.5]]))
    assert preimage.clamped.tolist() == [[True, False, False], [True, False, False], [False, False, False]]
    assert bool(preimage.x.isfinite().all())
    assert inverse(nn.LogSoftmax(-1), (2,))(torch.tensor([[0.1, -1.0]])).clamped.tolist() == [[True, False]]


@pytest.mark.parametrize("layer", [nn.Softmax(0), nn.LogSoftmax(1), nn.Softmax(-2)], ids=str)
def test_a_softmax_over_another_dimension_gives_one_sentence(layer: nn.Module) -> None:
    with pytest.raises(LayerError, match="over the last dimension"):
        inverse(layer, (3, 4))


# Types


ODD = [nn.LeakyReLU(0.0), nn.LeakyReLU(-1.0), nn.ELU(0.0), nn.ELU(-1.0), nn.Softplus(-1.0)]


@pytest.mark.parametrize("layer", ODD, ids=str)
def test_an_activation_of_an_odd_constant_gives_one_sentence(layer: nn.Module) -> None:
    with pytest.raises(LayerError, match=r"expected .* of positive .*, got "):
        inverse(layer, (3,))


def test_an_unknown_layer_names_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(LayerError, match=r"did you mean '\w*ReLU'") as error:
        inverse(nn.RReLU(), (3,))
    message = str(error.value)
    assert message.startswith("expected a layer with a registered inverse")
    assert "got RReLU" in message
    assert "register" in message
    assert all(name in message for name in ("BatchNorm1d", "Linear", "Softmax", "newton"))


def test_a_type_can_be_registered_from_outside() -> None:
    class Cube(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x**3

    class Child(Cube):
        pass

    assert not is_invertible(Cube())

    @inverse.register(Cube)
    def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Any:
        return lambda y: Box.at(y.sign() * y.abs() ** (1 / 3))

    assert is_invertible(Cube())
    assert is_invertible(Child())
    x = torch.randn(4, 3)
    torch.testing.assert_close(inverse(Child(), (3,))(Cube()(x)).x, x)


def test_what_is_known_is_what_the_issue_asks_for() -> None:
    known = [
        *(nn.Linear(2, 2), nn.Flatten(), nn.Dropout(), nn.BatchNorm1d(2), nn.Sigmoid(), nn.Tanh(), nn.LeakyReLU()),
        *(nn.ReLU(), nn.ELU(), nn.Softplus(), nn.Identity(), nn.Softmax(-1), nn.LogSoftmax(-1)),
    ]
    assert all(is_invertible(layer) for layer in known)
    assert not any(is_invertible(layer) for layer in (nn.Sequential(), nn.RReLU(), nn.GRU(1, 1), nn.Bilinear(1, 1, 1)))


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.combinations([nn.Sigmoid(), nn.Tanh(), nn.ELU()], 2)), ids=str
)
def test_inverses_compose_in_reverse(first: nn.Module, second: nn.Module) -> None:
    x = torch.randn(8, 3)
    y = second(first(x))
    torch.testing.assert_close(inverse(first, (3,))(inverse(second, (3,))(y).x).x, x)
