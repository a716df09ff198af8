"""Tests of the chain: found in every way of writing one, and refused, with the reason, where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrev.errors import LayerError
from genrev.layers import Chain, Preimage, inverse


class Written(nn.Module):
    """A network whose forward pass is a function of itself and x."""

    def __init__(self, forward: Callable[[Written, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.relu, self.tanh, self.drop, self.flat = nn.ReLU(), nn.Tanh(), nn.Dropout(), nn.Flatten()
        self.inplace = nn.ReLU(inplace=True)
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def chain(module: nn.Module, *shape: int) -> Chain:
    return Chain(module.eval(), torch.randn(8, *(shape or (6,))))


def names(found: Chain) -> list[str]:
    return [link.name for link in found]


def run(found: Chain, x: Tensor) -> Tensor:
    for link in found:
        x = link.module(x.reshape(len(x), *link.input_shape))
    return x


def test_a_sequence_is_a_chain() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 3), nn.ReLU(), nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 2))
    found = chain(module, 1, 2, 3)
    assert names(found) == ["0", "1", "2", "3", "4", "5"]
    assert found.links[0].input_shape == (1, 2, 3)
    assert len(found) == 6


def test_layers_are_called_what_people_call_them() -> None:
    two = nn.Flatten(), nn.Linear(6, 3), nn.ReLU(), nn.BatchNorm1d(3), nn.Linear(3, 2), nn.Softmax(-1)
    assert [title.partition(" (")[0] for title in chain(nn.Sequential(*two), 1, 6).titles()] == [
        "what the input goes through first", *["the hidden layer"] * 3, *["the output layer"] * 2
    ]  # fmt: skip
    deep = chain(nn.Sequential(*[layer for _ in range(13) for layer in (nn.Linear(6, 6), nn.Tanh())]))
    titles = deep.titles()
    assert titles[2] == "the second hidden layer (Linear, '2')"
    assert titles[21] == "hidden layer 11 (Tanh, '21')"
    assert titles[-1] == "the output layer (Tanh, '25')"


def test_nested_sequences_are_a_chain() -> None:
    module = nn.Sequential(nn.Sequential(nn.Linear(6, 3), nn.Sequential(nn.Tanh())), nn.Linear(3, 2))
    assert names(chain(module)) == ["0.0", "0.1.0", "1"]


def test_a_single_layer_is_a_chain() -> None:
    assert names(chain(nn.Linear(6, 2))) == ["Linear"]


WAYS: dict[str, Callable[[Written, Tensor], Tensor]] = {
    "plain": lambda net, x: net.c(net.relu(net.a(x))),
    "reshape": lambda net, x: net.c(net.tanh(net.a(x.reshape(-1, 6)))),
    "view": lambda net, x: net.c(net.tanh(net.a(x)).view(-1, 2, 2).reshape(-1, 4)),
    "flatten": lambda net, x: net.c(net.a(torch.flatten(x, 1))),
    "module flatten": lambda net, x: net.c(net.a(net.flat(x))),
    "dropout": lambda net, x: net.c(net.drop(net.a(x))),
    "in place": lambda net, x: net.c(net.inplace(net.a(x))),
    "flatten at the end": lambda net, x: net.flat(net.c(net.a(x))),
    "detached debris": lambda net, x: (x.sum(), net.c(net.a(x)))[1],
}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_forward_made_of_modules_is_a_chain(way: str) -> None:
    module = Written(WAYS[way])
    x = torch.randn(8, 6)
    torch.testing.assert_close(run(chain(module), x.clone()), module(x))


@pytest.mark.parametrize(
    "layer", [nn.ReLU(inplace=True), nn.LeakyReLU(0.5, inplace=True), nn.ELU(inplace=True)], ids=str
)
@pytest.mark.parametrize("first", [True, False])
def test_a_layer_that_works_in_place_is_a_link(layer: nn.Module, first: bool) -> None:
    module = nn.Sequential(layer, nn.Linear(6, 2)) if first else nn.Sequential(nn.Linear(6, 6), layer, nn.Linear(6, 2))
    x = torch.randn(8, 6)
    before = x.clone()
    assert names(Chain(module, x)) == ["0", "1", "2"][: len(module)]
    assert torch.equal(x, before)


def test_a_head_is_the_last_link() -> None:
    found = Chain(nn.Sequential(nn.Linear(6, 3)), torch.randn(4, 6), head=nn.Softmax(-1))
    assert names(found) == ["0", "head"]
    assert found.links[-1].input_shape == (3,)


NO_CHAINS: dict[str, tuple[str, Callable[[Written, Tensor], Tensor]]] = {
    "a ReLU used twice": ("run twice", lambda net, x: net.c(net.relu(net.b(net.relu(net.a(x)))))),
    "a Linear used twice": ("run twice", lambda net, x: net.b(net.b(net.a(x)))),
    "F.relu": ("function in forward", lambda net, x: net.c(F.relu(net.a(x)))),
    "F.relu at the end": ("function in forward", lambda net, x: F.relu(net.c(net.a(x)))),
    "F.softmax at the end": ("function in forward", lambda net, x: F.softmax(net.c(net.a(x)), -1)),
    "F.relu at the start": ("function in forward", lambda net, x: net.c(net.a(F.relu(x)))),
    "F.relu in place": ("function in forward", lambda net, x: net.c(F.relu_(net.a(x)))),
    "torch.relu": ("function in forward", lambda net, x: net.c(torch.relu(net.a(x)))),
    "a scale": ("function in forward", lambda net, x: net.c(2 * net.a(x))),
    "a skip": ("skip connection", lambda net, x: net.c((h := net.a(x)) + net.b(h))),
    "a skip from the input": ("skip connection", lambda net, x: net.c(net.a(x)) + x[:, :2]),
    "two branches": ("skip connection", lambda net, x: net.c((h := net.a(x)) * net.tanh(net.b(h)))),
    "a transpose": ("expected", lambda net, x: net.c(net.a(x).reshape(-1, 2, 2).transpose(1, 2).reshape(-1, 4))),
    "a part of the input": ("expected", lambda net, x: net.c(net.b(x[:, :4]))),
    "a permutation": ("expected", lambda net, x: net.c(net.a(x).flip(1))),
    "no module at all": ("expected", lambda net, x: x.sin()),
}


@pytest.mark.parametrize("case", sorted(NO_CHAINS))
def test_what_is_no_chain_is_refused_and_says_what_works(case: str) -> None:
    reason, forward = NO_CHAINS[case]
    with pytest.raises(LayerError, match=reason) as error:
        chain(Written(forward))
    message = str(error.value)
    assert message.startswith("expected ")
    assert ", got " in message
    assert all(f"'{name}'" in message for name in ("newton", "gradient", "retrieval", "decoder", "cvae"))
    assert "\n" not in message


def test_a_layer_used_twice_is_named() -> None:
    with pytest.raises(LayerError, match=r"'relu' \(ReLU\)"):
        chain(Written(NO_CHAINS["a ReLU used twice"][1]))


def test_a_square_transpose_is_not_taken_for_a_reshape() -> None:
    class Transposed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x).transpose(1, 2)).flatten(1)

    with pytest.raises(LayerError):
        chain(Transposed(), 3, 3)


def test_a_layer_that_returns_more_than_a_tensor_is_refused() -> None:
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(3, 2, batch_first=True), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.gru(x)[0]).flatten(1)

    with pytest.raises(LayerError, match="newton"):
        chain(First(), 2, 3)


def test_a_registered_type_is_one_layer_even_if_it_has_layers_inside() -> None:
    class Pair(nn.Sequential):
        pass

    module = nn.Sequential(nn.Linear(6, 3), Pair(nn.Tanh(), nn.Identity()))
    assert names(chain(module)) == ["0", "1.0", "1.1"]

    @inverse.register(Pair)
    def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Callable[[Tensor], Preimage]:
        return inverse(nn.Tanh(), input_shape)

    assert names(chain(module)) == ["0", "1"]


def test_no_hooks_are_left() -> None:
    for forward in (WAYS["plain"], NO_CHAINS["a skip"][1]):
        module = Written(forward)
        with contextlib.suppress(LayerError):
            chain(module)
        assert not any(part._forward_hooks for part in module.modules())
