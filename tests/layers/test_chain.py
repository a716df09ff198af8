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
from genrev.network import Network
from genrev.space import InputSpace


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
    "F.relu": lambda net, x: net.c(F.relu(net.a(x))),
    "F.relu at the end": lambda net, x: F.relu(net.c(net.a(x))),
    "F.softmax at the end": lambda net, x: F.softmax(net.c(net.a(x)), -1),
    "F.relu at the start": lambda net, x: net.c(net.a(F.relu(x))),
    "F.relu in place": lambda net, x: net.c(F.relu_(net.a(x))),
    "torch.relu": lambda net, x: net.c(torch.relu(net.a(x))),
    "methods": lambda net, x: net.c(net.a(x).relu()).sigmoid(),
    "a scale": lambda net, x: net.c(2 * net.a(x)),
    "a skip": lambda net, x: net.c((h := net.a(x)) + net.b(h)),
    "a skip the other way round": lambda net, x: net.c(net.b(h := net.a(x)) + h),
    "a skip in place": lambda net, x: net.c(net.b(h := net.a(x)).add_(h)),
    "a skip that takes away": lambda net, x: net.c((h := net.a(x)) - net.b(h).tanh()),
    "a skip in a skip": lambda net, x: net.c((h := net.a(x)) + net.b((k := h.tanh()) + F.relu(k))),
    "a skip of nothing": lambda net, x: net.c((h := net.a(x)) + h),
    "two skips": lambda net, x: net.c((k := (h := net.a(x)) + net.b(h)) + F.relu(k)),
    "a skip from the input to the end": lambda net, x: x + F.linear(net.a(x), net.a.weight.T),
    "an image scaled": lambda net, x: net.c(net.a((x / 255 - 0.5) * 2)),
    "a constant less": lambda net, x: net.c(1 - net.a(x)),
    "a negative": lambda net, x: net.c(-net.a(x)),
    "a tensor added": lambda net, x: net.c(net.a(x) + net.b.bias),
    "weights of one's own": lambda net, x: torch.tanh(x @ net.a.weight.T + net.a.bias) @ net.b.weight,
    "F.linear": lambda net, x: F.linear(F.linear(x, net.a.weight, net.a.bias), net.c.weight),
    "addmm": lambda net, x: net.c(torch.addmm(net.a.bias, x, net.a.weight.T)),
    "a length asked for": lambda net, x: net.c(net.a(x.reshape(len(x), int(x[0].numel())))),
    "a branch on a shape": lambda net, x: net.c(net.a(x.flatten(1)) if x.shape[1] > 1 else net.b(x)),
    "a new dimension": lambda net, x: net.c(net.a(x[:, None]).squeeze(1)),
    "a shape at the end": lambda net, x: net.a(x).view(-1, 2, 2),
    "a flat end": lambda net, x: net.a(x).view(-1, 2, 2).tanh().flatten(1),
    "a pool": lambda net, x: net.c(net.a(F.max_pool1d(x[:, None], 3, 1, 1).flatten(1))),
    "dropout that rests": lambda net, x: net.c(F.dropout(net.a(x), 0.5, net.training)),
    "clamped": lambda net, x: net.c(net.a(x).clamp(min=0).clamp_(-0.5, 0.5)),
    "normalised": lambda net, x: net.c(F.layer_norm(net.a(x), (4,))),
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
    "a Linear used twice": ("run twice", lambda net, x: net.b(net.b(net.a(x)))),
    "a function that is no layer": ("function in forward", lambda net, x: net.c(torch.cumsum(net.a(x), 1))),
    "a function at the end": ("function in forward", lambda net, x: net.c(net.a(x)).sin()),
    "a function in place": ("function in forward", lambda net, x: net.c(net.a(x).sin_())),
    "a skip that is doubled": ("skip connection", lambda net, x: net.c(torch.add(h := net.a(x), net.b(h), alpha=2))),
    "a skip from the input": ("skip connection", lambda net, x: net.c(net.a(x)) + x[:, :2]),
    "two branches": ("skip connection", lambda net, x: net.c((h := net.a(x)) * net.tanh(net.b(h)))),
    "a transpose": ("expected", lambda net, x: net.c(net.a(x).reshape(-1, 2, 2).transpose(1, 2).reshape(-1, 4))),
    "a part of the input": ("expected", lambda net, x: net.c(net.b(x[:, :4]))),
    "a permutation": ("expected", lambda net, x: net.c(net.a(x).flip(1))),
    "a difference the wrong way round": ("skip connection", lambda net, x: net.c(net.b(h := net.a(x)) - h)),
    "a skip that broadcasts": ("skip connection", lambda net, x: net.c(net.a(x)) + net.c(net.a(x))[:, :1]),
    "a square": ("skip connection", lambda net, x: net.c((h := net.a(x)) * h)),
    "an input kept aside": ("skip connection", lambda net, x: torch.cat([net.c(net.a(x)), x], 1)),
    "a gate": ("function in forward", lambda net, x: net.c(net.a(x) ** 2)),
    "rows that meet": ("expected", lambda net, x: net.c(net.a(x) - net.a(x).mean(0))),
    "other constants for other rows": ("for other rows", lambda net, x: net.c(net.a(x) + torch.arange(8.0)[:, None])),
    "a number read off the batch": ("differs", lambda net, x: net.c(net.a(x / x.abs().max().item()))),
    "rows cut in two": ("first dimension", lambda net, x: net.c(net.a(x).reshape(16, 2).tanh().reshape(8, 4))),
    "another precision": ("float32", lambda net, x: net.c(net.a(x).float().double())),
    "a dropout that never rests": ("drops values out", lambda net, x: net.c(F.dropout(net.a(x), 0.5))),
    "a view written on": ("in place", lambda net, x: ((h := net.a(x)), h.view(-1).relu_(), net.c(h))[-1]),
    "a part written on": ("in place", lambda net, x: ((h := net.a(x)), h[:, 0].zero_(), net.c(h))[-1]),
    "NumPy": ("can't be followed", lambda net, x: torch.from_numpy(net.c(net.a(x)).detach().numpy() * 2)),
    "weights that depend on the input": ("the weights", lambda net, x: F.linear(net.a.weight, x)),
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


STEPS = {
    "a function that is no layer": "'cumsum' (torch.cumsum)",
    "a function in place": "'sin' (torch.Tensor.sin_)",
    "a skip from the input": "'add' (torch.Tensor.add)",
    "two branches": "'mul' (torch.Tensor.mul)",
    "a permutation": "'flip' (torch.Tensor.flip)",
    "another precision": "'float' (torch.Tensor.float)",
    "a view written on": "'c' (Linear)",
    "NumPy": "the output",
}


@pytest.mark.parametrize("case", STEPS)
def test_the_step_that_is_no_layer_is_named(case: str) -> None:
    with pytest.raises(LayerError) as error:
        chain(Written(NO_CHAINS[case][1]))
    assert f", got {STEPS[case]}" in str(error.value).replace("'output' (the output)", "the output")


def test_functions_are_the_layers_of_their_kind() -> None:
    def forward(net: Written, x: Tensor) -> Tensor:
        x = F.relu(x @ net.a.weight.T + net.a.bias)
        return F.relu(net.b(x) / 2)

    net = Written(forward)
    found = chain(net)
    # There is a module of the name "relu".
    assert names(found) == ["matmul", "relu_1", "b", "div", "relu_2"]
    kinds = [type(link.module).__name__ for link in found]
    assert kinds == ["Linear", "ReLU", "Linear", "Scaled", "ReLU"]
    # On the network's own weights.
    first = found.links[0].module
    assert isinstance(first, nn.Linear)
    assert first.weight.data_ptr() == net.a.weight.data_ptr()
    assert [title.partition(" (")[0] for title in found.titles()] == ["the hidden layer"] * 2 + ["the output layer"] * 3


ACTIVATIONS: list[Callable[[Tensor], Tensor]] = [
    F.relu, F.relu6, F.leaky_relu, lambda x: F.leaky_relu(x, 0.3, inplace=True), F.elu, lambda x: F.elu(x, alpha=0.5),
    F.selu, F.celu, F.softplus, lambda x: F.softplus(x, 2.0), F.logsigmoid, F.softsign, F.hardtanh, F.hardsigmoid,
    F.hardswish, F.gelu, lambda x: F.gelu(x, approximate="tanh"), F.silu, F.mish, F.sigmoid, torch.sigmoid, F.tanh,
    Tensor.tanh, Tensor.sigmoid, torch.special.expit, lambda x: F.threshold(x, 0.1, -2.0), lambda x: x.clamp(-1, 1),
    lambda x: torch.clamp(x, max=0.3), lambda x: x.clamp_min(0.2), lambda x: torch.clip(x, -0.1, 3),
    lambda x: F.softmax(input=x, dim=1), lambda x: x.log_softmax(-1), lambda x: F.prelu(x, torch.tensor([0.2])),
    lambda x: F.group_norm(x, 2, torch.ones(6), torch.zeros(6)), lambda x: F.dropout(x, training=False),
]  # fmt: skip


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_a_function_s_layer_is_the_function_itself(function: Callable[[Tensor], Tensor]) -> None:
    net = Written(lambda net, x: function(x))
    x = 2 * torch.randn(8, 6)
    found = Chain(net.eval(), x)
    torch.testing.assert_close(run(found, x.clone()), function(x.clone()), rtol=0, atol=1e-15)
    for link in found:
        preimage = inverse(link.module, link.input_shape)(link.module(x))
        torch.testing.assert_close(link.module(preimage.x), link.module(x), rtol=1e-8, atol=1e-8)


IMAGES: list[Callable[[Tensor], Tensor]] = [
    lambda x: F.conv2d(x, torch.linspace(-1, 1, 54).reshape(3, 2, 3, 3), torch.ones(3), padding=1),
    lambda x: F.conv2d(x, torch.linspace(-1, 1, 36).reshape(4, 1, 3, 3), groups=2, stride=2),
    lambda x: F.conv_transpose2d(x, torch.linspace(-1, 1, 24).reshape(2, 3, 2, 2), stride=2),
    lambda x: F.max_pool2d(x, 2), lambda x: F.max_pool2d(x, 3, stride=2, padding=1), lambda x: F.avg_pool2d(x, 2),
    lambda x: F.adaptive_avg_pool2d(x, 1), lambda x: F.adaptive_avg_pool2d(x, (2, 3)),
    lambda x: F.pixel_unshuffle(x, 2), lambda x: F.interpolate(x, scale_factor=2), lambda x: F.interpolate(x, (3, 3)),
    lambda x: F.layer_norm(x, (4, 6)),
]  # fmt: skip


@pytest.mark.parametrize("function", IMAGES)
def test_a_function_of_images_is_a_layer_too(function: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(8, 2, 4, 6)
    found = Chain(Written(lambda net, x: function(x)), x)
    assert len(found) == 1
    torch.testing.assert_close(found.links[0].module(x), function(x))
    preimage = inverse(found.links[0].module, (2, 4, 6))(function(x))
    torch.testing.assert_close(function(preimage.x), function(x), rtol=1e-8, atol=1e-8)


def test_what_a_module_of_one_s_own_does_is_followed() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(x @ self.weight + self.bias)

    assert names(chain(nn.Sequential(Dense(), nn.Linear(4, 2)))) == ["matmul", "sigmoid", "1"]
    assert names(chain(Dense())) == ["matmul", "sigmoid"]


def test_a_module_of_one_s_own_that_is_no_chain_inside_is_one_layer() -> None:
    class Sine(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sin()

    assert names(chain(nn.Sequential(nn.Linear(6, 4), Sine(), nn.Linear(4, 2)))) == ["0", "1", "2"]
    with pytest.raises(LayerError, match=r"'sin' \(torch.Tensor.sin\)"):
        chain(Sine())


def test_a_custom_function_of_autograd_is_followed_or_refused_and_never_left_out() -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return 2 * x

    class Hidden(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return torch.from_numpy(2 * x.numpy())

    module = Written(lambda net, x: net.c(Double.apply(net.a(x))))
    x = torch.randn(8, 6)
    torch.testing.assert_close(run(chain(module), x), module(x))
    with pytest.raises(LayerError, match="can't be followed"):
        chain(Written(lambda net, x: Hidden.apply(net.c(net.a(x)))))
    with pytest.raises(LayerError):
        chain(Written(lambda net, x: net.c(Hidden.apply(net.a(x)))))


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_compiled_script_is_not_followed() -> None:
    script = torch.jit.trace(nn.Sequential(nn.Linear(6, 4), nn.ReLU()), torch.randn(8, 6))
    with pytest.raises(LayerError, match="can't be followed"):
        chain(script)
    with pytest.raises(LayerError, match="can't be followed"):
        chain(nn.Sequential(script, nn.Linear(4, 2)))


def test_a_residual_network_of_images_is_a_chain() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = (nn.Conv2d(2, 2, 3, padding=1) for _ in range(2))
            self.norms, self.last = nn.ModuleList(nn.BatchNorm2d(2) for _ in range(2)), nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = F.relu(self.norms[0](self.first(x)))
            x = F.relu(x + self.norms[1](self.second(h)))
            return F.log_softmax(self.last(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)), dim=1)

    x = torch.randn(8, 2, 5, 5)
    found = Chain(net := Net().eval(), x)
    assert names(found) == ["add", "relu_1", "adaptive_avg_pool2d", "last", "log_softmax"]
    torch.testing.assert_close(run(found, x), net(x))


def test_a_part_of_a_network_is_a_chain_up_to_where_it_ends() -> None:
    module = Written(lambda net, x: net.c(torch.tanh(net.b(F.relu(net.a(x))))))
    network = Network(module, space=InputSpace((6,)))
    assert [link.name for link in network.until("b").chain()] == ["a", "relu_1", "b"]
    assert [link.name for link in network.chain()] == ["a", "relu_1", "b", "tanh_1", "c"]
    assert bool(network.reachable_box().low.isfinite().all())


def test_bounds_of_a_forward_pass_with_functions_are_those_of_its_layers() -> None:
    torch.manual_seed(1)
    module = Written(lambda net, x: torch.sigmoid(net.c(torch.tanh(net.a(x / 255) * 2))))
    same = nn.Sequential(module.a, nn.Tanh(), module.c, nn.Sigmoid())
    with torch.no_grad():
        module.a.weight.mul_(2 / 255), module.a.bias.mul_(2)
        box = Network(same, space=InputSpace((6,), 0.0, 255.0)).reachable_box()
        module.a.weight.mul_(255 / 2), module.a.bias.div_(2)
    found = Network(module, space=InputSpace((6,), 0.0, 255.0)).reachable_box()
    torch.testing.assert_close(found.low, box.low, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.high, box.high, rtol=1e-6, atol=1e-6)


def test_a_chain_is_found_without_leaving_a_trace() -> None:
    module = Written(lambda net, x: F.relu_(net.a(x)))
    module.a.register_forward_hook(lambda *call: None)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    x = torch.randn(8, 6, requires_grad=True)
    Chain(module, x)
    assert len(module.a._forward_hooks) == 1
    assert not module.a._forward_pre_hooks
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_a_layer_of_weights_used_twice_is_named_and_one_without_is_a_layer_each_time() -> None:
    with pytest.raises(LayerError, match=r"'b' \(Linear\)"):
        chain(Written(NO_CHAINS["a Linear used twice"][1]))
    found = chain(Written(lambda net, x: net.c(net.relu(net.b(net.relu(net.a(x)))))))
    assert [link.name for link in found] == ["a", "relu", "b", "relu", "c"]


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
    for forward in (WAYS["plain"], NO_CHAINS["two branches"][1]):
        module = Written(forward)
        with contextlib.suppress(LayerError):
            chain(module)
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
