"""Convolutional decoders and VAEs keep the contract, and every method inverts a convolutional network."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor, nn

import genrev
from genrev import INVERTERS, CVAEInverter, DecoderInverter, InputSpace, Inverter, Network, build
from genrev.errors import ArgumentError, GenrevError, LayerError
from genrev.models import ConvNet

QUICK: dict[str, dict[str, Any]] = {
    "gradient": {"steps": 20},
    "decoder": {"steps": 10, "hidden": 8},
    "cvae": {"steps": 10, "hidden": 8, "latent": 3},
    "rbm": {"steps": 10, "hidden": 8, "gibbs": 5},
    "dbn": {"steps": 10, "hidden": (8, 8), "gibbs": 5},
}
LEARNERS = ["decoder", "cvae"]

each = pytest.mark.parametrize("name", LEARNERS)


def network(shape: tuple[int, ...] = (1, 5, 6), *, outputs: int = 3, low: float = 0.0, high: float = 1.0) -> Network:
    torch.manual_seed(3)
    module = ConvNet(shape, (3, 4, outputs), ("tanh", "tanh", "softmax"))
    return Network(module, space=InputSpace(shape, low, high))


def images(shape: tuple[int, ...] = (1, 5, 6), n: int = 24, *, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64).to(dtype)


def fitted(name: str, **keywords: Any) -> Inverter:
    return INVERTERS[name](network(), arch="conv", **QUICK[name], **keywords).fit(images(), seed=1)


def near(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-7)


SHAPES = [(1, 1, 1), (1, 1, 5), (1, 6, 1), (1, 3, 5), (3, 4, 4), (1, 8, 8), (2, 9, 7), (1, 17, 33)]


@each
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_image_of_any_size_is_learned_and_drawn(name: str, shape: tuple[int, int, int]) -> None:
    net = network(shape)
    inverter = INVERTERS[name](net, arch="conv", **QUICK[name]).fit(images(shape))
    found = inverter.reconstruct(net.evaluate(images(shape)[:2]), seed=0)
    assert found.x.shape == (2, 1, *shape)
    assert bool(found.residual.isfinite().all())


@each
def test_a_target_gets_the_same_answer_alone_in_any_batch_and_in_chunks(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inverter, target = fitted(name), network().evaluate(images()[:5])
    whole = inverter.reconstruct(target, samples=3, seed=2).x
    assert near(inverter.reconstruct(target[3], samples=3, seed=2).x[0], whole[3])
    assert near(inverter.reconstruct(target.flip(0), samples=3, seed=2).x.flip(0), whole)
    monkeypatch.setattr("genrev.network.MEMORY", 1)
    assert near(inverter.reconstruct(target, samples=3, seed=2).x, whole)


@each
def test_what_is_fitted_in_chunks_is_what_is_fitted_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted(name)._tensors()
    monkeypatch.setattr("genrev.network.MEMORY", 1)
    chunked = fitted(name)._tensors()
    assert chunked.keys() == whole.keys()
    assert all(near(chunked[key], whole[key]) for key in whole)


@each
def test_a_saved_one_gives_the_same_samples(name: str, tmp_path: Any) -> None:
    inverter, target = fitted(name), [[0.2, math.nan, 0.5]]
    before = inverter.reconstruct(target, samples=2, seed=4).x
    genrev.save(inverter, tmp_path / "inverter.safetensors")
    again = genrev.load(tmp_path / "inverter.safetensors")
    assert again.arch == "conv"
    assert type(again.network.module) is ConvNet
    assert torch.equal(again.reconstruct(target, samples=2, seed=4).x, before)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answers_come_in_the_precision_of_the_network(name: str, dtype: torch.dtype) -> None:
    net = Network(ConvNet((1, 5, 6), (3, 3), ("elu", "softmax")).to(dtype), space=InputSpace((1, 5, 6)))
    inverter = INVERTERS[name](net, arch="conv", **QUICK[name]).fit(images(dtype=dtype))
    assert inverter.reconstruct([[0.2, 0.3, 0.5]], seed=0).x.dtype == dtype


@each
def test_constant_pixels_and_two_images_of_one_class_are_enough(name: str) -> None:
    few = images(n=2)
    few[:, :, 2:] = 0.5
    found = INVERTERS[name](network(), arch="conv", **QUICK[name]).fit(few).reconstruct([[0.8, 0.1, 0.1]], seed=0)
    assert bool(found.x.isfinite().all())


@each
def test_hidden_maps_and_unbounded_spaces_are_inverted_too(name: str) -> None:
    hidden = network(low=-math.inf, high=math.inf).until("2")
    assert hidden.output_shape == (3, 3, 3)
    inverter = INVERTERS[name](hidden, arch="conv", **QUICK[name]).fit(images())
    found = inverter.reconstruct(hidden.evaluate(images()[:2]), seed=0)
    assert bool(found.residual.isfinite().all())


@pytest.mark.parametrize("name", [name for name in INVERTERS if name not in ("recurrent", "bijective")])
def test_every_method_runs_on_a_convolutional_network(name: str) -> None:
    net = network()
    target = net.evaluate(images()[:3])
    found = build(name, net, **QUICK.get(name, {})).fit(images()).reconstruct(target, seed=0)
    assert bool(found.residual.isfinite().all())
    if name == "newton":
        assert bool(found.converged.all())


def test_newton_meets_hidden_maps_of_a_convolutional_network() -> None:
    hidden = network(low=-math.inf, high=math.inf).until("1")
    target = hidden.evaluate(images()[:2])[:, :1]
    asked = torch.cat([target, torch.full((2, 2, 5, 6), math.nan)], 1)
    assert bool(build("newton", hidden).reconstruct(asked, seed=0).converged.all())


def test_pinv_says_which_layer_it_can_not_undo_and_what_to_use() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.RReLU(), nn.Flatten())
    with pytest.raises(LayerError, match=r"^layer '1': expected .*, got RReLU; .*'newton'"):
        build("pinv", Network(module.double(), space=InputSpace((1, 5, 6))))


def test_pinv_meets_hidden_maps_of_a_convolution_that_can_give_them() -> None:
    module = nn.Sequential(nn.Conv2d(2, 1, 3, stride=2), nn.Tanh(), nn.MaxPool2d(2)).double()
    net = Network(module, space=InputSpace((2, 9, 9)))
    found = build("pinv", net).reconstruct(net.evaluate(torch.randn(3, 2, 9, 9)))
    assert bool(found.converged.all())


# Which body is built


@each
def test_dense_layers_are_the_default_and_auto_takes_convolutions_for_larger_images(name: str) -> None:
    def arch(shape: tuple[int, ...], **keywords: Any) -> str:
        module = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 2))
        inverter: Any = INVERTERS[name](Network(module, space=InputSpace(shape)), **keywords)
        return inverter.arch

    assert arch((1, 32, 32)) == "mlp"
    assert arch((1, 32, 32), arch="auto") == arch((3, 17, 20), arch="auto") == "conv"
    assert arch((1, 8, 8), arch="auto") == arch((1, 1, 400), arch="auto") == arch((400,), arch="auto") == "mlp"
    assert arch((9, 8), arch="conv") == "conv"


@pytest.mark.parametrize("kind", [CVAEInverter, DecoderInverter])
def test_convolutions_over_what_is_no_image_are_refused_in_a_sentence(kind: Any) -> None:
    vectors = Network(nn.Linear(4, 2), space=InputSpace((4,)))
    with pytest.raises(ArgumentError, match=r"expected images .* got inputs of shape \(4,\)") as error:
        kind(vectors, arch="conv")
    assert_one_sentence(error.value)
    for wrong in ("convv", None, 3):
        with pytest.raises(ArgumentError, match=r"expected arch to be one of mlp, conv, auto") as unknown:
            kind(vectors, arch=wrong)
        assert_one_sentence(unknown.value)


@each
def test_what_has_a_pattern_is_learned(name: str) -> None:
    inverter: Any = INVERTERS[name](network(), arch="conv", **(QUICK[name] | {"steps": 200, "hidden": 16}))
    pattern = torch.linspace(0, 0.9, 30).reshape(1, 5, 6)
    inverter.fit(images((1, 1, 1), 200) * pattern + 0.1 * images(n=200), seed=0)
    losses = inverter.history.validation
    assert losses[inverter.history.best] < losses[0]


@each
def test_a_first_fit_that_fails_leaves_the_inverter_unfitted(name: str) -> None:
    inverter = INVERTERS[name](network(), arch="conv", **QUICK[name], rate=1e200)
    with pytest.raises(GenrevError, match="finite training loss"):
        inverter.fit(images())
    assert not inverter.fitted
