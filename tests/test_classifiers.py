"""Standard classifiers learn their data, from a seed alone, and are what their table says."""

from __future__ import annotations

import pytest
import torch
from sentences import assert_one_sentence
from torch import nn

from genrev import load, save
from genrev.classifiers import STANDARD, accuracy, train_classifier
from genrev.data import DATASETS, Dataset, load_splits, xo
from genrev.data.features import box
from genrev.errors import ArgumentError, GenrevError, UnknownNameError
from genrev.models import ConvNet

LETTERS = xo(60)


def test_every_kind_of_data_but_one_s_own_has_a_standard_network():
    assert set(STANDARD) == set(DATASETS) - {"npz", "images", "csv"}


def test_the_xo_network_is_1024_8_8_2_with_sigmoids_throughout():
    network = STANDARD["xo"].train(LETTERS)
    kinds = [type(layer) for layer in network.module]
    assert kinds == [nn.Flatten, nn.Linear, nn.Sigmoid, nn.Linear, nn.Sigmoid, nn.Linear, nn.Sigmoid]
    assert [layer.out_features for layer in network.module if isinstance(layer, nn.Linear)] == [8, 8, 2]
    assert network.outputs == "sigmoid"


def test_a_network_lives_in_the_unit_box_of_its_data_in_their_precision():
    network = train_classifier(LETTERS, layers=(1024, 4, 2), activation=("relu", "softmax"), epochs=1)
    assert network.space.shape == (1, 32, 32)
    assert (float(network.space.low.min()), float(network.space.high.max())) == (0.0, 1.0)
    assert network.dtype == torch.float32
    assert network.outputs == "softmax"


def test_the_same_seed_trains_the_same_network_and_another_seed_another():
    prints = [
        train_classifier(
            LETTERS, layers=(1024, 4, 2), activation="sigmoid", epochs=2, noise=0.1, seed=seed
        ).fingerprint()
        for seed in (0, 0, 1)
    ]
    assert prints[0] == prints[1] != prints[2]


def test_the_digits_network_reads_held_out_digits():
    parts = load_splits("digits", seed=1)
    assert accuracy(STANDARD["digits"].train(parts.train, seed=1), parts.targets) > 0.95


@pytest.mark.slow
def test_the_xo_network_reads_held_out_letters():
    parts = load_splits("xo", seed=0)
    assert accuracy(STANDARD["xo"].train(parts.train), parts.targets) > 0.94


@pytest.mark.parametrize("layers", [(1024,), (64, 8, 2), (1024, 8, 3)])
def test_widths_that_do_not_fit_the_data_are_refused(layers):
    with pytest.raises(ArgumentError, match=r"expected layers from 1024 input values to 2 classes"):
        train_classifier(LETTERS, layers=layers, activation="sigmoid")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"layers": 3}, r"layers as a tuple of widths, got 3"),
        ({"layers": 3, "arch": "conv"}, r"layers as a tuple of widths, got 3"),
        (
            {"layers": (8, 3), "arch": "conv"},
            r"from the channels of a convolution to 2 classes, got \(8, 3\); write \(\.\.\., 2\)",
        ),
        ({"layers": (2,), "arch": "conv"}, r"from the channels of a convolution to 2 classes"),
        ({"arch": "con"}, "did you mean 'conv'"),
        ({"arch": ["conv"]}, "arch to be one of mlp, conv, got"),
        ({"arch": None}, "arch to be one of mlp, conv, got None; choose one"),
        ({"dataset": LETTERS.inputs}, r"expected a Dataset, got Tensor"),
        ({"epochs": "many"}, "epochs to be a whole number"),
        ({"batch_size": 0}, "batch_size to be a whole number"),
        ({"rate": 0.0}, "rate to be a finite number above 0"),
        ({"weight_decay": -1.0}, "weight_decay to be"),
        ({"seed": -1}, "a seed"),
        ({"layer": (1024, 2)}, "did you mean 'layers'"),
    ],
)
def test_what_can_not_train_is_refused(wrong, words):
    right = {"dataset": LETTERS, "layers": (1024, 2), "activation": "sigmoid", "epochs": 1}
    with pytest.raises(GenrevError, match=words):
        train_classifier(**{**right, **wrong})


def test_what_a_training_lacks_is_named():
    with pytest.raises(ArgumentError, match="expected dataset in a call of train_classifier"):
        train_classifier()


def test_a_last_activation_without_probabilities_is_refused():
    with pytest.raises(ArgumentError, match="softmax or sigmoid"):
        train_classifier(LETTERS, layers=(1024, 8, 2), activation="relu")


def test_an_unknown_activation_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'sigmoid'"):
        train_classifier(LETTERS, layers=(1024, 8, 2), activation="sigmoidd")


# Features in units of their own


def features(n: int = 200, seed: int = 0) -> Dataset:
    """Two classes of three values, of very different units and places, and one that never varies."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    z = torch.randn(n, 3, generator=generator) + 2 * labels[:, None]
    x = torch.cat([z * torch.tensor([1e-3, 1.0, 1e4]) + torch.tensor([0.0, -50.0, 3e5]), torch.full((n, 1), 7.0)], 1)
    x = x.float()
    return Dataset(x, labels, ("a", "b"), box(x))


@pytest.mark.parametrize("activation", ["sigmoid", ("tanh", "softmax")])
def test_features_are_learned_whatever_their_units(activation):
    data = features()
    network = train_classifier(data, layers=(4, 8, 2), activation=activation, epochs=20)
    assert accuracy(network, data) > 0.95
    assert network.space is data.space
    assert network.dtype == torch.float32


def test_units_change_nothing_that_is_learned():
    data, factor = features(), torch.tensor([2.0**20, 0.5, 2.0**-10, 8.0]).float()
    x = data.inputs * factor
    other = Dataset(x, data.labels, data.names, box(x))
    one, two = (train_classifier(each, layers=(4, 8, 2), activation="sigmoid", epochs=5) for each in (data, other))
    torch.testing.assert_close(one.evaluate(data.inputs), two.evaluate(x), rtol=0, atol=1e-5)


def test_what_never_varies_is_not_looked_at():
    data = features()
    network = train_classifier(data, layers=(4, 8, 2), activation="sigmoid", epochs=3)
    moved = data.inputs.clone()
    moved[:, 3] = -1e6
    assert torch.equal(network.evaluate(moved), network.evaluate(data.inputs))
    constant = Dataset(data.inputs[:, 3:], data.labels, data.names, box(data.inputs[:, 3:]))
    network = train_classifier(constant, layers=(1, 4, 2), activation="sigmoid", epochs=3)
    assert bool(network.evaluate(constant.inputs).isfinite().all())


def test_a_convolutional_network_of_the_default_widths_reads_held_out_digits():
    parts = load_splits("digits", seed=1)
    network = train_classifier(parts.train, arch="conv", seed=1)
    assert isinstance(network.module, ConvNet)
    assert network.outputs == "softmax"
    assert accuracy(network, parts.targets) > 0.95


def test_default_widths_run_from_the_values_of_an_input_to_the_classes():
    network = train_classifier(LETTERS, epochs=1)
    assert network.module.widths == [1024, 128, 64, 2]
    assert network.module.activation == ["relu", "relu", "softmax"]


def test_the_seed_decides_a_convolutional_network_and_a_file_brings_it_back(tmp_path):
    networks = [
        train_classifier(LETTERS, arch="conv", layers=(2, 2), activation="sigmoid", epochs=1, seed=seed)
        for seed in (0, 0, 1)
    ]
    prints = [network.fingerprint() for network in networks]
    assert prints[0] == prints[1] != prints[2]
    save(networks[0], tmp_path / "network.safetensors")
    again = load(tmp_path / "network.safetensors")
    assert again.fingerprint() == prints[0]
    assert torch.equal(again.evaluate(LETTERS.inputs), networks[0].evaluate(LETTERS.inputs))


def test_a_class_without_examples_is_no_obstacle_to_convolutions():
    one = Dataset(LETTERS.inputs[LETTERS.labels == 0], LETTERS.labels[LETTERS.labels == 0], (*LETTERS.names, "third"))
    network = train_classifier(one, arch="conv", layers=(2, 3), epochs=1)
    assert network.output_shape == (3,)
    assert bool(network.evaluate(LETTERS.inputs).isfinite().all())


def test_convolutions_over_rows_of_numbers_are_refused_in_a_sentence():
    rows = Dataset(LETTERS.inputs.flatten(1), LETTERS.labels, LETTERS.names)
    with pytest.raises(ArgumentError, match=r"expected images .*, got inputs of shape \(1024,\); reshape") as error:
        train_classifier(rows, arch="conv")
    assert_one_sentence(error.value)
