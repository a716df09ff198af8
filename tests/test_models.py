"""Tests of the models: fully connected networks, from widths and from arrays, and convolutional ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor, nn
from torch.nn import functional

from genrev.errors import ArgumentError, UnknownNameError
from genrev.models import (
    ACTIVATIONS,
    MLP,
    ConvNet,
    UpConvDecoder,
    fold_scale,
    mlp_from_weights,
    weights_from,
    with_weights,
)
from genrev.models.convolutional import ConvEncoder, UpConv2d
from genrev.network import Network
from genrev.space import InputSpace

IN_NUMPY: dict[str, Callable[[Any], Any]] = {
    "identity": lambda v: v,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "tanh": np.tanh,
    "relu": lambda v: np.maximum(v, 0),
    "leaky_relu": lambda v: np.where(v > 0, v, 0.01 * v),
    "elu": lambda v: np.where(v > 0, v, np.expm1(v)),
    "softplus": lambda v: np.log1p(np.exp(v)),
    "softmax": lambda v: np.exp(v) / np.exp(v).sum(-1, keepdims=True),
    "log_softmax": lambda v: v - np.log(np.exp(v).sum(-1, keepdims=True)),
}


def arrays(*widths: int, dtype: Any = np.float64) -> tuple[list[Any], list[Any]]:
    generator = np.random.default_rng(0)
    pairs = list(itertools.pairwise(widths))
    weights = [generator.normal(size=(after, before)).astype(dtype) for before, after in pairs]
    return weights, [generator.normal(size=after).astype(dtype) for _, after in pairs]


def test_every_activation_has_an_oracle() -> None:
    assert set(IN_NUMPY) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_arrays_give_the_network_that_numpy_computes(name: str) -> None:
    weights, biases = arrays(5, 4, 3)
    network = Network.from_weights(weights, biases, activation=name)
    x = np.random.default_rng(1).normal(size=(7, 5))
    value = x
    for weight, bias in zip(weights, biases, strict=True):
        value = IN_NUMPY[name](value @ weight.T + bias)
    np.testing.assert_allclose(network(torch.from_numpy(x)).numpy(), value, rtol=1e-12, atol=1e-12)


def test_each_layer_can_have_an_activation_of_its_own() -> None:
    weights, biases = arrays(5, 4, 3)
    network = Network.from_weights(weights, biases, activation=["tanh", "softmax"])
    x = np.random.default_rng(1).normal(size=(7, 5))
    value = IN_NUMPY["softmax"](np.tanh(x @ weights[0].T + biases[0]) @ weights[1].T + biases[1])
    np.testing.assert_allclose(network(torch.from_numpy(x)).numpy(), value, rtol=1e-12)
    assert network.outputs == "softmax"


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.float32, torch.float32), (np.float64, torch.float64), (np.int64, torch.float64), (np.float16, torch.float64)],
)
def test_the_precision_is_that_of_the_arrays(dtype: Any, expected: torch.dtype) -> None:
    weights, biases = arrays(3, 2, dtype=dtype)
    network = Network.from_weights(weights, biases)
    assert network.dtype == expected
    assert network(torch.zeros(1, 3, dtype=expected)).dtype == expected


def test_lists_and_tensors_are_as_good_as_arrays() -> None:
    weights, biases = arrays(3, 4, 2)
    x = torch.rand(5, 3)
    expected = Network.from_weights(weights, biases)(x)
    lists = Network.from_weights([weight.tolist() for weight in weights], [bias.tolist() for bias in biases])
    tensors = Network.from_weights(list(map(torch.from_numpy, weights)), list(map(torch.from_numpy, biases)))
    assert torch.equal(lists(x), expected)
    assert torch.equal(tensors(x), expected)


def test_the_arrays_are_copied() -> None:
    weights, biases = arrays(3, 2)
    network = Network.from_weights(weights, biases)
    before = network(torch.ones(1, 3))
    weights[0][:] = 0
    assert torch.equal(network(torch.ones(1, 3)), before)


def test_the_space_is_unbounded_unless_given() -> None:
    weights, biases = arrays(4, 2)
    assert Network.from_weights(weights, biases).space.shape == (4,)
    assert not Network.from_weights(weights, biases).space.low.isfinite().any()
    network = Network.from_weights(weights, biases, space=InputSpace((1, 2, 2), 0.0, 1.0))
    assert network(torch.zeros(3, 1, 2, 2)).shape == (3, 2)


@pytest.mark.parametrize(
    ("weights", "biases"),
    [
        ([], []),
        ([np.eye(2)], []),
        ([np.eye(2), np.eye(2)], [np.zeros(2)]),
        ([np.ones((3, 2)), np.ones((2, 2))], [np.zeros(3), np.zeros(2)]),
        ([np.ones((3, 2))], [np.zeros(2)]),
        ([np.ones((3, 2))], [np.zeros((3, 1))]),
        ([np.ones(3)], [np.zeros(3)]),
        ([np.ones((3, 2, 1))], [np.zeros(3)]),
        ([np.float64(3.0)], [np.zeros(1)]),
        ([np.full((2, 2), np.nan)], [np.zeros(2)]),
        ([np.eye(2)], [np.array([0.0, np.inf])]),
        ([[[1.0, 2.0], [3.0]]], [[0.0, 0.0]]),
        ([[["a", "b"]]], [[0.0]]),
        ([np.zeros((0, 2))], [np.zeros(0)]),
    ],
)
def test_arrays_that_do_not_fit_give_one_sentence(weights: Any, biases: Any) -> None:
    with pytest.raises(ArgumentError) as error:
        Network.from_weights(weights, biases)
    assert_one_sentence(error.value)


def test_an_unknown_activation_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'sigmoid'") as error:
        Network.from_weights(*arrays(3, 2), activation="sigmod")
    assert_one_sentence(error.value)


@pytest.mark.parametrize("activation", [["tanh"], ["tanh", "tanh", "tanh"], []])
def test_a_wrong_number_of_activations_gives_one_sentence(activation: list[str]) -> None:
    with pytest.raises(ArgumentError) as error:
        Network.from_weights(*arrays(3, 4, 2), activation=activation)
    assert_one_sentence(error.value)


@pytest.mark.parametrize("widths", [(), (3,), (3, 0), (3, -1, 2)])
def test_widths_that_make_no_network_give_one_sentence(widths: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError) as error:
        MLP(widths)
    assert_one_sentence(error.value)


def test_its_arguments_build_the_same_network_again() -> None:
    first = MLP((6, 5, 3), ["relu", "identity"])
    second = MLP(**first.arguments)
    second.load_state_dict(first.state_dict())
    x = torch.rand(4, 2, 3)
    assert torch.equal(second(x), first(x))
    assert second.arguments == first.arguments


def test_it_is_the_students_network() -> None:
    layers = [type(layer) for layer in MLP((1024, 8, 8, 2), "sigmoid")]
    assert layers == [nn.Flatten, *[nn.Linear, nn.Sigmoid] * 3]


def test_a_part_of_it_is_a_plain_sequence_of_its_layers() -> None:
    model = MLP((4, 3, 2))
    assert isinstance(model[1], nn.Linear)
    assert torch.equal(model[3:](model[:3](torch.ones(1, 4))), model(torch.ones(1, 4)))


def test_mlp_from_weights_reads_images_of_any_shape() -> None:
    model = mlp_from_weights(*arrays(6, 2))
    assert model(torch.zeros(2, 1, 2, 3)).shape == (2, 2)


# Arrays by name


def named(weights: list[Any], biases: list[Any], first: int = 1) -> dict[str, Any]:
    pairs = enumerate(zip(weights, biases, strict=True), first)
    return {name: array for k, (w, b) in pairs for name, array in ((f"b{k}", b), (f"W{k}", w))}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("widths", [(4, 3), (4, 3, 5), (3, 3, 3), (4, 3, 4), (1, 1), tuple(range(2, 15))])
def test_weights_are_found_by_name_in_their_order(widths: tuple[int, ...], first: int) -> None:
    weights, biases = arrays(*widths)
    found = weights_from(named(weights, biases, first))
    for ours, theirs in zip(found, (weights, biases), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert mlp_from_weights(*found).widths == list(widths)


@pytest.mark.parametrize("shape", [(-1, 1), (1, -1)])
def test_a_bias_may_be_a_row_or_a_column(shape: tuple[int, int]) -> None:
    weights, biases = arrays(4, 3, 2)
    _, found = weights_from(named(weights, [bias.reshape(shape) for bias in biases]))
    assert all(np.array_equal(a, b) for a, b in zip(found, biases, strict=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {}, "expected arrays W1, b1, W2, b2, ... and no others, got none"),
        (lambda a: {**a, "x": a["W1"]}, "and no others, got 'x'; give a weight and a bias"),
        (lambda a: {**a, "W_3": a["W1"]}, "got 'W_3'"),
        (lambda a: {**a, "W03": a["W1"]}, "got 'W03'"),
        (lambda a: {name: a[name] for name in ("W1", "W2", "b2")}, "up to 2, got no b1; number the layers"),
        (lambda a: {name: a[name] for name in ("b1", "W2", "b2")}, "got no W1"),
        (lambda a: {name: a[name] for name in ("W2", "b2")}, "got no W1"),
        (lambda a: {**a, "W4": a["W1"], "b4": a["b1"]}, "up to 4, got no W3"),
        (lambda a: {**a, "W0": a["W1"]}, "got no b0"),
        (
            lambda a: {name: array.T for name, array in a.items()},
            r"expected W1 of shape \(outputs, inputs\), \(3, 4\), got \(4, 3\); transpose",
        ),
    ],
)
def test_arrays_of_other_names_or_turned_are_refused_in_one_sentence(change: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words) as caught:
        weights_from(change(named(*arrays(4, 3, 2))))
    assert_one_sentence(caught.value)


def test_biases_tell_which_way_up_weights_are_that_fit_one_another_both_ways() -> None:
    weights, biases = arrays(4, 3, 4)
    with pytest.raises(ArgumentError, match="transpose"):
        weights_from(named([weight.T for weight in weights], biases))


def test_what_fits_neither_way_is_left_to_the_builder() -> None:
    (first, second), biases = arrays(4, 3, 2)
    with pytest.raises(ArgumentError, match="expected layer 2 to have weights"):
        mlp_from_weights(*weights_from(named([first, second[:, :2]], biases)))


# A scale that is folded into the first layer


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_a_folded_network_gives_what_scaling_first_gives(dtype: torch.dtype, atol: float) -> None:
    generator = torch.Generator().manual_seed(0)
    deviation = torch.tensor([1e-4, 1.0, 1e5, 3.0])
    centre, factor = 50 * deviation * torch.randn(4, generator=generator), 1 / deviation
    factor[3] = 0
    x = centre + deviation * torch.randn(100, 4, generator=generator)
    model = MLP((4, 8, 3), ("tanh", "softmax"))
    expected = model((x - centre) * factor)
    model = model.to(dtype)
    fold_scale(model[1], centre, factor)
    assert model[1].weight.dtype == dtype
    assert bool((model[1].weight[:, 3] == 0).all())
    assert all(parameter.requires_grad for parameter in model.parameters())
    torch.testing.assert_close(model(x.to(dtype)).double(), expected, rtol=0, atol=atol)


# Convolutions

SIZES = [(1, 1), (1, 7), (5, 1), (2, 2), (3, 5), (8, 8), (28, 28), (33, 17)]


def correlated(x: Any, weight: Any, bias: Any) -> Any:
    """What a convolution of 3 x 3 is, written out: each pixel sees its eight neighbours, and zeros beyond the edge."""
    batch, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.zeros((batch, len(weight), height, width)) + bias[:, None, None]
    for row, column in itertools.product(range(3), range(3)):
        part = padded[:, :, row : row + height, column : column + width]
        y += np.einsum("oc,bchw->bohw", weight[:, :, row, column], part)
    return y


def pooled(x: Any) -> Any:
    """The means of blocks of four pixels, of fewer at the far edges."""
    height, width = x.shape[2:]
    blocks = [
        x[:, :, row : row + 2, column : column + 2].mean((2, 3))
        for row in range(0, height, 2)
        for column in range(0, width, 2)
    ]
    return np.stack(blocks, -1).reshape(*x.shape[:2], -(-height // 2), -(-width // 2))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_convolutional_network_is_what_numpy_computes(size: tuple[int, int]) -> None:
    model = ConvNet((2, *size), (3, 4, 5), ("tanh", "relu", "softmax"))
    x = torch.rand(3, 2, *size)
    value = x.numpy()
    for layer, name in ((model[0], "tanh"), (model[3], "relu")):
        value = pooled(IN_NUMPY[name](correlated(value, *(p.detach().numpy() for p in (layer.weight, layer.bias)))))
    last = model[7]
    logits = value.reshape(3, -1) @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(model(x).detach().numpy(), IN_NUMPY["softmax"](logits), rtol=1e-10)


def test_a_convolutional_network_is_a_plain_chain_and_its_arguments_build_it_again() -> None:
    first = ConvNet((1, 6, 5), (3, 2), ["elu", "sigmoid"])
    assert [type(layer) for layer in first] == [
        nn.Conv2d, nn.ELU, nn.AvgPool2d, nn.Flatten, nn.Linear, nn.Sigmoid,
    ]  # fmt: skip
    second = ConvNet(**first.arguments)
    second.load_state_dict(first.state_dict())
    x = torch.rand(4, 1, 6, 5)
    assert torch.equal(second(x), first(x))
    assert torch.equal(first[3:](first[:3](x)), first(x))
    assert type(first[:2]) is nn.Sequential
    assert len(Network(first, space=InputSpace((1, 6, 5))).chain()) == len(first)


@pytest.mark.parametrize("shape", [(4,), (8, 8), (0, 8, 8), (1, 8.0, 8), (1, 2, 8, 8), 3, "abc", None, (True, 8, 8)])
def test_a_convolutional_network_of_no_image_gives_one_sentence(shape: Any) -> None:
    with pytest.raises(ArgumentError, match="expected images of shape") as error:
        ConvNet(shape, (4, 2))
    assert_one_sentence(error.value)


@pytest.mark.parametrize(
    ("widths", "activation", "words"),
    [
        ((), "relu", "at least one convolution"),
        ((2,), "relu", "at least one convolution"),
        ((4, 0), "relu", "all positive"),
        ((4, 2), ["relu"], "one for each of 2 layers"),
        ((4, 2), "softmax", "behind the last layer alone"),
        ((4, 2), ("log_softmax", "softmax"), "behind the last layer alone"),
    ],
)
def test_what_makes_no_convolutional_network_gives_one_sentence(widths: Any, activation: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words) as error:
        ConvNet((1, 8, 8), widths, activation)
    assert_one_sentence(error.value)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (7, 5)], ids=str)
def test_upsampling_on_the_small_map_is_upsampling_and_then_a_convolution(size: tuple[int, int]) -> None:
    layer = UpConv2d(3, 2, (2 * size[0], 2 * size[1]))
    x = torch.randn(4, 3, *size, requires_grad=True)

    def plain(x: Tensor) -> Tensor:
        large = functional.interpolate(x, scale_factor=2, mode="nearest")
        return functional.conv2d(large, layer.weight, layer.bias, padding=1)

    torch.testing.assert_close(layer(x), plain(x), rtol=0, atol=1e-12)
    for wanted in (x, layer.weight, layer.bias):
        slopes = [torch.autograd.grad(run(x).square().sum(), wanted)[0] for run in (layer, plain)]
        torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-12)
    cropped = UpConv2d(3, 2, (2 * size[0] - 1, 2 * size[1] - 1))
    cropped.load_state_dict(layer.state_dict())
    assert torch.equal(cropped(x), layer(x)[:, :, :-1, :-1])


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_halves_of_an_autoencoder_take_and_give_images_of_any_size(size: tuple[int, int]) -> None:
    shape = (3, *size)
    values = 3 * size[0] * size[1]
    assert ConvEncoder(shape, 2, 8, 4)(torch.rand(5, values + 2)).shape == (5, 4)
    assert UpConvDecoder(6, 8, shape)(torch.rand(5, 6)).shape == (5, values)


def test_an_encoder_sees_every_pixel_and_what_stands_beside_them() -> None:
    encoder = ConvEncoder((1, 9, 7), 2, 8, 3)
    joined = torch.rand(1, 65, requires_grad=True)
    (slopes,) = torch.autograd.grad(encoder(joined).sum(), joined)
    assert bool((slopes != 0).all())


def test_a_decoder_moves_every_pixel() -> None:
    decoder = UpConvDecoder(4, 8, (1, 9, 7))
    moved = decoder(torch.rand(1, 4)) - decoder(torch.rand(1, 4))
    assert bool((moved != 0).all())


# Weights from a file.


def test_no_room_is_made_for_widths_that_the_weights_do_not_have() -> None:
    weights = MLP((3, 2)).state_dict()
    for widths in ([3, 10**9, 2], [10**9, 10**9], [3, 10**18], [3, 4]):
        with pytest.raises((ArgumentError, RuntimeError)):
            with_weights(lambda widths=widths: MLP(widths), weights, torch.float64)


def test_given_weights_are_taken_and_the_global_generator_is_left_alone() -> None:
    model = MLP((3, 2))
    before = torch.random.get_rng_state()
    again = with_weights(lambda: MLP((3, 2)), model.state_dict(), torch.float64)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize("change", [lambda w: w.pop("1.bias"), lambda w: w.update(x=w["1.bias"]),
                                    lambda w: w.update({"1.bias": w["1.bias"].float()}),
                                    lambda w: w.update({"1.bias": w["1.bias"][None]})])  # fmt: skip
def test_weights_of_another_module_are_refused(change: Any) -> None:
    weights = dict(MLP((3, 2)).state_dict())
    change(weights)
    with pytest.raises(ArgumentError) as caught:
        with_weights(lambda: MLP((3, 2)), weights, torch.float64)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("build", [MLP, lambda widths: ConvNet((1, 4, 4), widths)])
@pytest.mark.parametrize("widths", [(3, 2.5), (3, True), (3, "2"), (3, float("nan")), 3, "32", (3, 0), (3, -1)])
def test_widths_that_are_no_whole_numbers_are_refused(build: Any, widths: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        build(widths)
    assert_one_sentence(str(caught.value))
