"""Tests of layers whose weights stay on the disk: the same as in memory, for every method that takes a network."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from sentences import assert_one_sentence
from test_bounds import boxes, expect_held, inside
from torch import Tensor, nn

from genrev import BijectiveInverter, GradientInverter, InputSpace, Network, NewtonInverter, PinvInverter
from genrev.errors import ArgumentError, FileError, UnknownNameError
from genrev.layers import Interval, bounds
from genrev.layers.affine import affine
from genrev.layers.operators import operator
from genrev.models import StreamedLinear
from genrev.operators import Streamed


def near(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def make(folder: Path, m: int = 5, n: int = 7, *, dtype: torch.dtype = torch.float64, memory: int = 200) -> Any:
    """A layer on the disk and the same one in memory."""
    layer = nn.Linear(n, m).to(dtype).requires_grad_(False)
    save_file({"w": layer.weight}, folder / "weights")
    bias = layer.bias if dtype.itemsize > 2 else layer.bias.float()
    return StreamedLinear(folder / "weights", "w", bias=bias, memory=memory), layer


def test_a_layer_gives_what_the_one_in_memory_gives(tmp_path: Path) -> None:
    streamed, layer = make(tmp_path)
    for shape in ((3,), (0,), (), (2, 3)):
        x = torch.randn(*shape, 7)
        near(streamed(x), layer(x))
    near(StreamedLinear(tmp_path / "weights", "w")(x), x @ layer.weight.T)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_slopes_are_right_in_every_mode(tmp_path: Path) -> None:
    streamed, layer = make(tmp_path)
    x = torch.randn(2, 7, requires_grad=True)
    assert torch.autograd.gradcheck(streamed, (x,), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: streamed(x).square(), (x,), check_batched_grad=True)
    near(torch.func.vmap(torch.func.jacrev(streamed))(x.detach())[0].detach(), layer.weight)
    streamed(x).sum().backward()
    near(streamed.bias.grad, torch.full((5,), 2.0))


def test_inverters_take_a_network_on_the_disk(tmp_path: Path) -> None:
    streamed, layer = make(tmp_path)
    x = torch.rand(3, 7)
    networks = [Network(nn.Sequential(one, nn.Tanh()), space=InputSpace((7,), -2.0, 2.0)) for one in (streamed, layer)]
    assert networks[0].differentiable
    near(networks[0].evaluate(x), networks[1].evaluate(x))
    for kind in (NewtonInverter, GradientInverter):
        found = [kind(network).reconstruct(networks[1].evaluate(x), seed=0) for network in networks]
        near(found[0].x, found[1].x, 1e-6)
    assert networks[0].until("0").output_shape == (5,)
    assert bool(networks[0].reachable_box().contains(networks[0].evaluate(x)).all())


def test_a_network_of_a_layer_alone_has_its_precision(tmp_path: Path) -> None:
    for dtype in (torch.float32, torch.float64):
        streamed, _ = make(tmp_path, dtype=dtype)
        network = Network(streamed, space=InputSpace((7,)))
        assert network.dtype == dtype
        assert network.evaluate(torch.ones(1, 7)).dtype == dtype
    streamed, layer = make(tmp_path, dtype=torch.float16)
    near(streamed(torch.ones(1, 7).float()), layer.float()(torch.ones(1, 7).float()), 1e-5)


def test_freezing_printing_and_bounds_hold_no_more_than_the_rows_that_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamed, _ = make(tmp_path, m=300, n=50, memory=10_000)
    network = Network(streamed, space=InputSpace((50,), 0.0, 1.0))
    sizes: list[int] = []
    real = torch.empty

    def empty(*size: Any, **keywords: Any) -> Tensor:
        made = real(*size, **keywords)
        sizes.append(made.numel() * made.element_size())
        return made

    passes: list[int] = []
    opened = Streamed._opened
    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(Streamed, "_opened", lambda self: passes.append(1) or opened(self))
    with network.frozen():
        pass
    repr(network)
    assert passes == []
    network.fingerprint()
    network.fingerprint()
    assert len(passes) == 1
    bounds(streamed, (50,))(Interval(torch.zeros(1, 50), torch.ones(1, 50)))
    assert len(passes) == 3
    assert max(sizes) <= 10_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_bounds_are_those_of_the_layer_in_memory(tmp_path: Path, dtype: torch.dtype) -> None:
    streamed, layer = make(tmp_path, dtype=dtype)
    for box in boxes((7,), dtype):
        expect_held(streamed, box, inside(box))
        one, other = (bounds(which, (7,))(box) for which in (streamed, layer))
        torch.testing.assert_close(one.low, other.low)
        torch.testing.assert_close(one.high, other.high)
    rows = torch.randn(3, 2, 5)
    near(affine(streamed, (2, 7)).back(rows, (2, 7)), rows @ layer.weight.double(), 1e-12)


def test_a_layer_is_the_operator_of_its_file(tmp_path: Path) -> None:
    streamed, layer = make(tmp_path)
    weights, bias = operator(streamed, (7,))
    assert weights is streamed.weight
    near(weights.dense(), layer.weight)
    near(bias, layer.bias)
    weights, _ = operator(streamed.float(), (3, 7))
    assert weights.dtype == torch.float32
    assert weights.shape == (15, 21)


def test_a_state_belongs_to_the_weights_that_it_was_saved_with(tmp_path: Path) -> None:
    streamed, _ = make(tmp_path)
    (tmp_path / "copy").write_bytes((tmp_path / "weights").read_bytes())
    again = StreamedLinear(tmp_path / "copy", "w")
    again.load_state_dict(streamed.state_dict())
    near(again.bias, streamed.bias)
    networks = [Network(one, space=InputSpace((7,))) for one in (streamed, again, copy.deepcopy(streamed))]
    assert len({network.fingerprint() for network in networks}) == 1
    (tmp_path / "other").mkdir()
    other, _ = make(tmp_path / "other")
    kept = other.bias.detach().clone()
    with pytest.raises(RuntimeError, match="expected the state of a layer with the weights 'w'"):
        other.load_state_dict(streamed.state_dict())
    near(other.bias, kept)
    assert Network(other, space=InputSpace((7,))).fingerprint() != networks[0].fingerprint()


def test_a_jacobian_by_a_batched_backward_pass_reads_the_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamed, layer = make(tmp_path)
    x = torch.randn(2, 7, requires_grad=True)
    y = streamed(x)
    passes: list[int] = []
    opened = Streamed._opened
    monkeypatch.setattr(Streamed, "_opened", lambda self: passes.append(1) or opened(self))
    units = torch.eye(5)[:, None].expand(5, 2, 5)
    (found,) = torch.autograd.grad(y, x, units, is_grads_batched=True)
    near(found, layer.weight[:, None].expand(5, 2, 7))
    assert len(passes) == 1


def test_what_the_file_or_the_bias_lacks_is_said(tmp_path: Path) -> None:
    make(tmp_path)
    path = tmp_path / "weights"
    for kind, run in (
        (UnknownNameError, lambda: StreamedLinear(path, "v")),
        (FileError, lambda: StreamedLinear(tmp_path / "nowhere", "w")),
        (ArgumentError, lambda: StreamedLinear(path, "w", bias=torch.ones(4))),
        (ArgumentError, lambda: StreamedLinear(path, "w", bias=torch.ones(5).float())),
        (ArgumentError, lambda: StreamedLinear(path, "w", memory=-1)),
        (ArgumentError, lambda: StreamedLinear(path)),
    ):
        with pytest.raises(kind) as caught:
            run()
        assert_one_sentence(caught.value)


def test_a_file_that_changes_under_a_network_is_said(tmp_path: Path) -> None:
    streamed, _ = make(tmp_path)
    network = Network(streamed, space=InputSpace((7,)))
    (tmp_path / "weights").write_bytes(b"other")
    with pytest.raises(FileError, match="changed since") as caught:
        network.evaluate(torch.ones(1, 7))
    assert_one_sentence(caught.value)


def test_a_layer_says_what_it_is(tmp_path: Path) -> None:
    streamed, _ = make(tmp_path)
    assert repr(streamed) == "StreamedLinear(in_features=7, out_features=5, stored=torch.float64)"


@pytest.mark.parametrize("shape", [(5, 5), (5, 7)])
def test_algebra_inverts_it_as_the_layer_in_memory(tmp_path: Path, shape: tuple[int, int]) -> None:
    streamed, layer = make(tmp_path, *shape)
    x = torch.randn(4, shape[1])
    for kind in (PinvInverter, BijectiveInverter):
        one, two = (
            Network(nn.Sequential(part, nn.LeakyReLU(0.1)), space=InputSpace((shape[1],))) for part in (streamed, layer)
        )
        target = one.evaluate(x)
        found, expected = (kind(network).reconstruct(target, seed=0) for network in (one, two))
        assert bool(found.converged.all())
        near(found.best, expected.best, 1e-8)
