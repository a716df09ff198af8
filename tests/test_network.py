"""Tests of the network and its input space: what is read from a module, and that the module is as it was afterwards."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor, nn
from torch.nn import functional as F

from genrev.errors import ArgumentError, GenrevError, LayerError, UnknownNameError
from genrev.network import Network
from genrev.space import InputSpace


class Counting(nn.Module):
    """Counts its calls in a buffer, in place or by a new one, and adds nothing to its input."""

    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("last", torch.full((2,), math.nan))

    def forward(self, x: Tensor) -> Tensor:
        if self.in_place:
            self.calls += 1
            self.last.fill_(3.0)
        else:
            self.calls = self.calls + 1
            self.last = torch.ones(2)
        return x


class Custom(nn.Module):
    """A network with a forward of its own: functions, a skip connection, a softmax that is no module."""

    def __init__(self, softmax: bool = True) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"inner": nn.Sequential(nn.Linear(4, 4), nn.Tanh())})
        self.head = nn.Linear(4, 3)
        self.unused = nn.Linear(4, 3)
        self.shared = nn.Tanh()
        self.softmax = softmax

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.shared(x + self.encoder["inner"](self.shared(x)))
        logits = self.head(F.relu(hidden))
        return F.softmax(logits, -1) if self.softmax else logits


class Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def small(*layers: nn.Module) -> Network:
    return Network(nn.Sequential(nn.Linear(4, 3), *layers).double(), space=InputSpace((4,), -1.0, 1.0))


# The module is as it was


def module_with_everything() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 4),
        nn.BatchNorm1d(4),
        Counting(in_place=True),
        nn.Dropout(0.9),
        Counting(in_place=False),
        nn.Sigmoid(),
    )


def state(module: nn.Module) -> dict[str, Any]:
    return {
        "training": [part.training for part in module.modules()],
        "grad": [parameter.requires_grad for parameter in module.parameters()],
        "gradients": [parameter.grad for parameter in module.parameters()],
        "hooks": [
            (dict(part._forward_hooks), dict(part._forward_pre_hooks), dict(part._backward_hooks))
            for part in module.modules()
        ],
        "buffers": [(name, id(buffer)) for name, buffer in module.named_buffers()],
        "parameters": [(name, id(parameter)) for name, parameter in module.named_parameters()],
        "values": {name: value.clone() for name, value in module.state_dict().items()},
    }


def assert_same_state(before: dict[str, Any], after: dict[str, Any]) -> None:
    for name in before:
        if name != "values":
            assert before[name] == after[name], name
    for name, value in before["values"].items():
        torch.testing.assert_close(after["values"][name], value, rtol=0, atol=0, equal_nan=True)


USES: dict[str, Callable[[Network], Any]] = {
    "call": lambda network: network(torch.rand(3, 4)),
    "gradient": lambda network: network(torch.rand(3, 4).requires_grad_()).sum().backward(),
    "evaluate": lambda network: network.evaluate(torch.rand(3, 4)),
    "before_link": lambda network: network.before_link(torch.rand(3, 4)),
    "until": lambda network: network.until("1")(torch.rand(3, 4)),
    "fingerprint": lambda network: network.fingerprint(),
    "wrap": lambda network: Network(network.module, space=network.space),
}


@pytest.mark.parametrize("use", sorted(USES))
@pytest.mark.parametrize("training", [True, False])
def test_flags_gradients_hooks_and_buffers_are_restored(use: str, training: bool) -> None:
    module = module_with_everything().train(training)
    module[1].eval()
    module[0].weight.requires_grad_(False)
    module[4].register_forward_hook(lambda *call: None)
    before = state(module)
    network = Network(module, space=InputSpace((4,)))
    assert_same_state(before, state(module))
    USES[use](network)
    assert_same_state(before, state(module))


@pytest.mark.parametrize("use", ["call", "evaluate", "before_link"])
def test_they_are_restored_after_an_exception(use: str) -> None:
    module = module_with_everything()
    network = Network(module, space=InputSpace((4,)))
    before = state(module)

    def fail(*call: Any) -> None:
        raise KeyboardInterrupt

    handle = module[-1].register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        USES[use](network)
    handle.remove()
    assert_same_state(before, state(module))
    USES[use](network)
    assert_same_state(before, state(module))


def test_they_are_restored_after_nested_calls() -> None:
    module = module_with_everything()
    network = Network(module, space=InputSpace((4,)))
    part = Network(module[0], space=InputSpace((4,)))
    before = state(module)
    with network.frozen(), part.frozen(), network.frozen():
        assert not module.training
        network(torch.rand(2, 4))
        part(torch.rand(2, 4))
        assert not module.training
    assert_same_state(before, state(module))


def test_it_runs_in_eval_mode() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    x = torch.rand(6, 4)
    network = Network(module, space=InputSpace((4,)))
    assert torch.equal(network(x), copy.deepcopy(module).eval()(x))
    assert torch.equal(network.evaluate(x), network(x))


def test_no_weights_are_copied_and_changed_weights_count() -> None:
    module = nn.Linear(4, 2)
    network = Network(module, space=InputSpace((4,)))
    before = network(torch.ones(1, 4))
    with torch.no_grad():
        module.weight.add_(1.0)
    torch.testing.assert_close(network(torch.ones(1, 4)), before + 4)


def test_gradients_flow_to_the_input_and_not_to_the_weights() -> None:
    network = small(nn.Tanh())
    x = torch.rand(2, 4, requires_grad=True)
    network(x).sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in network.module.parameters())


@pytest.mark.parametrize("first", [nn.ReLU(inplace=True), nn.LeakyReLU(0.5, inplace=True), Lambda(torch.tanh_)])
def test_the_caller_s_inputs_survive_a_module_that_overwrites_its_own(first: nn.Module) -> None:
    network = Network(nn.Sequential(first, nn.Linear(4, 2)), space=InputSpace((4,), -1.0, 1.0))
    x = torch.randn(5, 4)
    before = x.clone()
    network(x)
    network.evaluate(x)
    network.before_link(x)
    assert torch.equal(x, before)
    leaf = before.clone().requires_grad_()
    network(leaf).sum().backward()
    assert leaf.grad is not None


# Precision


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_is_that_of_the_weights(dtype: torch.dtype) -> None:
    network = Network(nn.Linear(4, 2).to(dtype), space=InputSpace((4,)))
    assert network.dtype == dtype
    assert network.evaluate(torch.rand(3, 4, dtype=torch.float64)).dtype == dtype
    assert network.evaluate(torch.rand(3, 4, dtype=torch.float32)).dtype == dtype


def test_a_module_without_parameters_is_float32_on_the_cpu() -> None:
    network = Network(nn.Flatten(), space=InputSpace((2, 2)))
    assert network.dtype == torch.float32
    assert network.device == torch.device("cpu")


def test_evaluate_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small(nn.Sigmoid())
    x = torch.rand(23, 4)
    whole = network.evaluate(x)
    monkeypatch.setattr("genrev.network.MEMORY", 5 * network.row_bytes)
    assert network.rows_at_once() == 5
    torch.testing.assert_close(network.evaluate(x), whole, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("count", [1, 3, 8, 13])
@pytest.mark.parametrize("last", [(), (nn.Sigmoid(),), (nn.ReLU(),), (nn.Softmax(-1),)])
def test_rows_go_through_in_even_numbers_whatever_was_asked_for(last: tuple[nn.Module, ...], count: int) -> None:
    network = small(*last)
    x = torch.rand(count, 4, dtype=torch.float64, requires_grad=True)
    seen: list[int] = []
    network.module[0].register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    for ask in (network.evaluate, network.rowwise, lambda x: network.before_link(x)[0]):
        y = ask(x)
        assert len(y) == count
        assert seen.pop() % 8 == 0
    torch.testing.assert_close(network.rowwise(x), network(x), rtol=1e-14, atol=1e-15)
    (slopes,) = torch.autograd.grad(network.rowwise(x).square().sum(), x)
    torch.testing.assert_close(slopes, torch.autograd.grad(network(x).square().sum(), x)[0], rtol=1e-13, atol=1e-15)


def test_no_row_is_added_where_one_is_heavy() -> None:
    network = Network(nn.Sequential(nn.Linear(4, 20_000), nn.Linear(20_000, 2)), space=InputSpace((4,)))
    seen: list[int] = []
    network.module[0].register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    assert len(network.evaluate(torch.rand(3, 4))) == seen[0] == 3


def test_evaluate_takes_no_rows() -> None:
    assert small().evaluate(torch.rand(0, 4)).shape == (0, 3)


# Outputs


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ((), "values"),
        ((nn.Sigmoid(),), "sigmoid"),
        ((nn.Softmax(-1),), "softmax"),
        ((nn.Softmax(1),), "softmax"),
        ((nn.LogSoftmax(-1),), "values"),
        ((nn.Tanh(),), "values"),
        ((nn.Sigmoid(), nn.Dropout(), nn.Identity()), "sigmoid"),
        ((nn.Sigmoid(), nn.Linear(3, 3)), "values"),
        ((nn.Sigmoid(), Lambda(lambda y: 2 * y)), "values"),
        ((nn.Sigmoid(), Lambda(lambda y: y.mul_(2))), "values"),
    ],
)
def test_outputs_are_read_from_the_last_module(last: tuple[nn.Module, ...], expected: str) -> None:
    assert small(*last).outputs == expected


def test_a_softmax_that_is_no_module_is_values_unless_told() -> None:
    module, space = Custom(), InputSpace((4,))
    assert Network(module, space=space).outputs == "values"
    told = Network(module, space=space, outputs="softmax")
    assert told.outputs == "softmax"
    x = torch.rand(5, 4)
    logits, link = told.before_link(x)
    assert link is not None
    torch.testing.assert_close(link(logits), told(x))


def test_with_softmax_and_with_sigmoid_put_one_behind() -> None:
    network = small()
    x = torch.rand(5, 4)
    y = network(x)
    for changed, outputs, expected in (
        (network.with_softmax(), "softmax", y.softmax(-1)),
        (network.with_sigmoid(), "sigmoid", y.sigmoid()),
    ):
        assert changed.outputs == outputs
        torch.testing.assert_close(changed(x), expected)
        torch.testing.assert_close(changed.evaluate(x), expected)
        value, link = changed.before_link(x)
        torch.testing.assert_close(value, y)
        assert link is changed.link
    assert network.outputs == "values"


def test_a_second_softmax_gives_one_sentence() -> None:
    with pytest.raises(ArgumentError) as error:
        small(nn.Softmax(-1)).with_sigmoid()
    assert_one_sentence(error.value)


LINKS = [
    nn.Sigmoid(),
    nn.Tanh(),
    nn.LeakyReLU(),
    nn.ReLU(),
    nn.ELU(),
    nn.Softplus(),
    nn.Softmax(-1),
    nn.LogSoftmax(-1),
    nn.ReLU(inplace=True),
    nn.LeakyReLU(inplace=True),
    nn.ELU(inplace=True),
]


@pytest.mark.parametrize("last", LINKS, ids=str)
def test_before_link_gives_what_enters_the_last_activation(last: nn.Module) -> None:
    network = small(last)
    x = torch.randn(5, 4)
    value, link = network.before_link(x)
    torch.testing.assert_close(value, network.module[0](x))
    assert link is last
    torch.testing.assert_close(link(value.clone()), network(x))


@pytest.mark.parametrize("last", LINKS, ids=str)
def test_before_link_is_differentiable(last: nn.Module) -> None:
    network = small(last)
    x = torch.randn(2, 4, requires_grad=True)
    value, _ = network.before_link(x)
    (slope,) = torch.autograd.grad(value[:, 0].sum(), x)
    torch.testing.assert_close(slope, network.module[0].weight[0].expand(2, 4))


def test_before_link_without_an_activation_gives_the_outputs() -> None:
    network = small()
    value, link = network.before_link(x := torch.rand(2, 4))
    assert link is None
    assert torch.equal(value, network(x))


def test_an_activation_that_runs_twice_is_the_link_where_it_runs_last() -> None:
    twice = nn.Sigmoid()
    network = Network(nn.Sequential(nn.Linear(4, 3), twice, nn.Linear(3, 2), twice), space=InputSpace((4,)))
    x = torch.rand(5, 4)
    value, link = network.before_link(x)
    assert link is twice
    torch.testing.assert_close(value, network.module[:3](x))


def test_an_activation_that_is_called_by_keyword_is_still_the_link() -> None:
    class ByKeyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.last = nn.Linear(4, 2), nn.Sigmoid()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(input=self.body(x))

    network = Network(module := ByKeyword(), space=InputSpace((4,)))
    assert network.outputs == "sigmoid"
    value, link = network.before_link(x := torch.rand(2, 4))
    assert link is module.last
    torch.testing.assert_close(value, module.body(x))


@pytest.mark.parametrize("outputs", ["softmax", "sigmoid"])
def test_before_link_of_outputs_that_the_user_named_stays_finite_when_saturated(outputs: str) -> None:
    function = {"softmax": lambda v: torch.softmax(v, -1), "sigmoid": torch.sigmoid}[outputs]
    network = Network(Lambda(lambda x: function(1e4 * x)), space=InputSpace((2,)), outputs=outputs)
    x = torch.tensor([[1.0, -1.0], [0.0, 0.0]], dtype=network.dtype, requires_grad=True)
    value, _ = network.before_link(x)
    assert bool(value.isfinite().all())
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert bool(slope.isfinite().all())


def test_an_unknown_kind_of_outputs_names_the_nearest() -> None:
    with pytest.raises(ArgumentError, match="did you mean 'softmax'") as error:
        Network(nn.Linear(2, 2), space=InputSpace((2,)), outputs="sofmax")
    assert_one_sentence(error.value)


# Parts


def test_until_gives_the_output_of_a_module_of_a_custom_forward() -> None:
    module = Custom()
    network = Network(module, space=InputSpace((4,)))
    x = torch.rand(5, 4)
    for name, shape in (("encoder.inner.0", (4,)), ("encoder.inner.1", (4,)), ("encoder.inner", (4,)), ("head", (3,))):
        part = network.until(name)
        kept: list[Tensor] = []
        handle = module.get_submodule(name).register_forward_hook(lambda *call, kept=kept: kept.append(call[2]))
        network(x)
        handle.remove()
        assert part.output_shape == shape
        torch.testing.assert_close(part(x), kept[0])
        torch.testing.assert_close(part.evaluate(x), kept[0])
    assert network.until("head").with_softmax().outputs == "softmax"
    torch.testing.assert_close(network.until("head").with_softmax()(x), network(x))


def test_until_reads_the_outputs_of_its_last_module() -> None:
    network = small(nn.Sigmoid(), nn.Linear(3, 2), nn.Softmax(-1))
    assert [network.until(name).outputs for name in "0123"] == ["values", "sigmoid", "values", "softmax"]
    value, link = network.until("1").before_link(x := torch.rand(2, 4))
    assert link is network.module[1]
    torch.testing.assert_close(value, network.module[0](x))


def test_until_of_until_is_until() -> None:
    network = small(nn.Sigmoid(), nn.Linear(3, 2))
    x = torch.rand(2, 4)
    torch.testing.assert_close(network.until("1").until("0")(x), network.until("0")(x))


@pytest.mark.parametrize("later", ["head", "encoder.inner", "encoder"])
def test_until_what_is_not_done_before_the_end_gives_one_sentence(later: str) -> None:
    part = Network(Custom(), space=InputSpace((4,))).until("encoder.inner.0")
    with pytest.raises(LayerError, match=r"done before 'encoder\.inner\.0'.*take it from the whole network") as error:
        part.until(later)
    assert_one_sentence(error.value)
    assert part.until("encoder.inner.0").stop == "encoder.inner.0"


def test_until_does_not_run_what_comes_after() -> None:
    network = small(Counting(in_place=True), Lambda(lambda y: y))
    part = network.until("1")
    network.module[2].function = lambda y: pytest.fail("ran")
    part(torch.rand(2, 4))


def test_until_a_module_that_is_shared_gives_one_sentence() -> None:
    with pytest.raises(LayerError, match="2 times") as error:
        Network(Custom(), space=InputSpace((4,))).until("shared")
    assert_one_sentence(error.value)


def test_until_a_module_that_does_not_run_gives_one_sentence() -> None:
    with pytest.raises(LayerError, match="0 times") as error:
        Network(Custom(), space=InputSpace((4,))).until("unused")
    assert_one_sentence(error.value)


@pytest.mark.parametrize("name", ["encoder.iner.0", "", "7", 3, None])
def test_until_an_unknown_name_gives_one_sentence(name: Any) -> None:
    with pytest.raises(UnknownNameError) as error:
        Network(Custom(), space=InputSpace((4,))).until(name)
    assert_one_sentence(error.value)


def test_until_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'encoder\.inner\.0'"):
        Network(Custom(), space=InputSpace((4,))).until("encoder.iner.0")


def test_until_leaves_no_hook() -> None:
    network = Network(Custom(), space=InputSpace((4,)))
    before = state(network.module)
    part = network.until("head")
    part(torch.rand(2, 4))
    with pytest.raises(ArgumentError):
        part(torch.rand(2, 5))
    assert_same_state(before, state(network.module))


# What is no network


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x, x),
        lambda x: {"y": x},
        lambda x: x.sum(),
        lambda x: x.sum(1),
        lambda x: x.argmax(1, keepdim=True),
        lambda x: x.T,
        lambda x: None,
        lambda x: x.to(torch.complex64),
    ],
)
def test_a_module_that_returns_no_batch_of_numbers_gives_one_sentence(function: Callable[[Tensor], Any]) -> None:
    with pytest.raises(ArgumentError) as error:
        Network(Lambda(function), space=InputSpace((4,)))
    assert_one_sentence(error.value)


@pytest.mark.parametrize("shape", [(5,), (1, 4, 1), (2, 2)])
def test_a_space_of_the_wrong_shape_gives_one_sentence(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="check the input space's shape") as error:
        Network(nn.Linear(4, 2), space=InputSpace(shape))
    assert_one_sentence(error.value)


def test_a_network_without_its_space_shows_what_to_write() -> None:
    with pytest.raises(ArgumentError, match=r"expected space= .*write Network\(module, space=InputSpace\(") as error:
        Network(nn.Linear(4, 2))  # type: ignore[call-arg]
    assert_one_sentence(error.value)
    with pytest.raises(ArgumentError, match="give the others by name: space=, outputs=") as error:
        Network(nn.Linear(4, 2), InputSpace((4,)))  # type: ignore[misc]
    assert_one_sentence(error.value)
    with pytest.raises(ArgumentError, match="did you mean 'outputs'") as error:
        Network(nn.Linear(4, 2), space=InputSpace((4,)), output="softmax")  # type: ignore[call-arg]
    assert_one_sentence(error.value)
    with pytest.raises(ArgumentError, match="expected biases") as error:
        Network.from_weights([np.eye(2)])  # type: ignore[call-arg]
    assert_one_sentence(error.value)


@pytest.mark.parametrize(
    ("weights", "biases", "activation"),
    [
        (None, None, "tanh"),
        (3, 4, "tanh"),
        ([np.eye(2) * 1j], [np.zeros(2)], "tanh"),
        ([["a"]], [[0]], "tanh"),
        ([np.eye(2)], [np.zeros(2)], 3),
        ([np.eye(2)], [np.zeros(2)], None),
        ([np.eye(2)], [np.zeros(2)], "zigzag"),
    ],
)
def test_weights_and_activations_that_are_none_give_one_sentence(weights: Any, biases: Any, activation: Any) -> None:
    with pytest.raises(GenrevError) as error:
        Network.from_weights(weights, biases, activation=activation)
    assert_one_sentence(error.value)


@pytest.mark.parametrize("module", [nn.Sequential(nn.LazyLinear(3)), nn.Linear(4, 2, device="meta")])
def test_a_module_whose_weights_are_not_there_gives_one_sentence(module: nn.Module) -> None:
    with pytest.raises(ArgumentError, match="expected a module whose weights are") as error:
        Network(module, space=InputSpace((4,)))
    assert_one_sentence(error.value)


def test_a_class_in_the_place_of_a_module_is_named() -> None:
    with pytest.raises(ArgumentError, match="got the class Linear") as error:
        Network(nn.Linear, space=InputSpace((4,)))  # type: ignore[arg-type]
    assert_one_sentence(error.value)


# What is no input


def test_lists_and_arrays_are_evaluated_as_tensors_are() -> None:
    network = small(nn.Sigmoid())
    x = torch.rand(3, 4)
    for given in (x.tolist(), x.numpy(), list(x), x.to_sparse(), x.double().requires_grad_()):
        torch.testing.assert_close(network.evaluate(given), network.evaluate(x))


WRONG_INPUTS: dict[str, tuple[Any, str]] = {
    "another size": (torch.rand(3, 5), r"expected x of shape \(n, 4\), got \(3, 5\); give inputs of this network"),
    "another order": (torch.rand(3, 2, 2), r"write x\.reshape\(-1, 4\)"),
    "outputs": (torch.rand(3, 3), "the shape of the network's outputs; give inputs"),
    "a lone input": (torch.rand(4), r"x\[None\]"),
    "words": (["a", "b"], "real numbers"),
    "numbers in words": ([["1", "2", "3", "4"]], "real numbers"),
    "complex numbers": (torch.zeros(1, 4, dtype=torch.complex64), "got torch.complex64"),
    "a complex array": (np.zeros((1, 4), dtype=complex), "real numbers"),
    "nothing": (None, "got None"),
    "ragged rows": ([[1.0], [1.0, 2.0]], "regular shape"),
    "ragged tensors": ([torch.zeros(3), torch.zeros(4)], "regular shape"),
    "a dictionary": ({"x": 1}, "real numbers"),
    "what is nowhere": (torch.zeros(1, 4, device="meta"), "on meta"),
}


@pytest.mark.parametrize("case", WRONG_INPUTS)
def test_what_is_no_batch_of_inputs_gives_one_sentence(case: str) -> None:
    values, words = WRONG_INPUTS[case]
    with pytest.raises(ArgumentError, match=words) as error:
        small(nn.Sigmoid()).evaluate(values)
    assert_one_sentence(error.value)


@pytest.mark.parametrize("x", [torch.rand(2, 5), torch.rand(2, 4).half(), [[0.1, 0.2, 0.3, 0.4]], None])
def test_a_call_on_what_the_module_can_not_take_gives_one_sentence(x: Any) -> None:
    with pytest.raises(ArgumentError) as error:
        Network(nn.Linear(4, 3), space=InputSpace((4,)))(x)
    assert_one_sentence(error.value)


def test_an_error_of_the_module_s_own_stays_what_it_is() -> None:
    module = Lambda(lambda y: y)
    network = Network(module, space=InputSpace((4,)))
    module.function = lambda y: 1 / 0
    with pytest.raises(ZeroDivisionError):
        network(torch.rand(2, 4).float())


def test_what_is_no_module_or_no_space_gives_one_sentence() -> None:
    with pytest.raises(ArgumentError) as error:
        Network(torch.sin, space=InputSpace((4,)))  # type: ignore[arg-type]
    assert_one_sentence(error.value)
    with pytest.raises(ArgumentError) as error:
        Network(nn.Linear(4, 2), space=(4,))  # type: ignore[arg-type]
    assert_one_sentence(error.value)


def test_a_module_that_makes_something_up_gives_one_sentence() -> None:
    with pytest.raises(ArgumentError, match="the same output each time") as error:
        Network(Lambda(lambda x: x + torch.rand_like(x)), space=InputSpace((2,)))
    assert_one_sentence(error.value)


@pytest.mark.parametrize(
    ("last", "outputs", "remedy"),
    [(5.0, "softmax", "with_softmax"), (5.0, "sigmoid", "with_sigmoid"), (0.9, "softmax", "outputs='sigmoid'")],
)
def test_outputs_that_are_not_what_is_said_give_one_sentence(last: float, outputs: str, remedy: str) -> None:
    with pytest.raises(ArgumentError, match=remedy) as error:
        Network(Lambda(lambda x: 0 * x + last), space=InputSpace((2,)), outputs=outputs)
    assert_one_sentence(error.value)


@pytest.mark.parametrize(
    ("function", "reach"),
    [
        (lambda x: x.square(), True),
        (lambda x: x.detach().square(), False),
        (lambda x: torch.from_numpy(x.detach().numpy() ** 2), False),
        (lambda x: torch.ones(len(x), 2), True),
    ],
)
def test_it_knows_whether_gradients_reach_the_input(function: Callable[[Tensor], Tensor], reach: bool) -> None:
    assert Network(Lambda(function), space=InputSpace((2,))).differentiable == reach


def test_a_failed_network_leaves_the_module_as_it_was() -> None:
    module = module_with_everything()
    before = state(module)
    with pytest.raises(ArgumentError):
        Network(module, space=InputSpace((5,)))
    assert_same_state(before, state(module))


def test_it_can_be_made_and_used_in_inference_mode() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())
    with torch.inference_mode():
        network = Network(module, space=InputSpace((4,), 0.0, 1.0))
        y = network.evaluate(torch.rand(2, 4))
    assert y.shape == (2, 3)
    assert network.outputs == "sigmoid"


# Chains


def test_the_chain_has_the_layers_in_order_and_the_head() -> None:
    network = small(nn.Sigmoid(), nn.Linear(3, 2)).with_softmax()
    assert [link.name for link in network.chain()] == ["0", "1", "2", "head"]
    assert [link.name for link in network.until("1").chain()] == ["0", "1"]


def test_a_chain_is_found_in_unbounded_and_half_bounded_spaces() -> None:
    for low, high in ((-math.inf, math.inf), (0.0, math.inf), (-math.inf, 5.0)):
        network = Network(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), space=InputSpace((4,), low, high))
        assert len(network.chain()) == 2


# Fingerprints


def test_a_fingerprint_is_of_structure_weights_buffers_space_and_outputs() -> None:
    def build(*, weight: float = 1.0, dtype: torch.dtype = torch.float64) -> nn.Module:
        module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Sigmoid()).to(dtype)
        with torch.no_grad():
            module[0].weight.fill_(weight)
            module[0].bias.zero_()
        return module

    space = InputSpace((2,), 0.0, 1.0)
    one = Network(build(), space=space)
    assert one.fingerprint() == Network(build(), space=InputSpace((2,), 0.0, 1.0)).fingerprint()
    assert len(one.fingerprint()) == 64
    buffer = build()
    buffer[1].running_mean.add_(1e-9)
    tail = build()
    tail[2] = nn.Tanh()
    others = [
        Network(build(weight=1.0 + 1e-15), space=space),
        Network(build(dtype=torch.float32), space=space),
        Network(build(), space=InputSpace((2,), 0.0, 2.0)),
        Network(build(), space=InputSpace((2,), torch.tensor([0.0, 1e-9]), 1.0)),
        Network(build(), space=space, outputs="values"),
        Network(buffer, space=space),
        Network(tail, space=space),
        one.until("0"),
        one.until("1"),
        one.until("0").with_sigmoid(),
        one.until("0").with_softmax(),
    ]
    assert len({network.fingerprint() for network in [one, *others]}) == len(others) + 1


def test_a_fingerprint_is_not_of_training_flags_gradients_or_where_it_was_asked() -> None:
    module = module_with_everything()
    network = Network(module, space=InputSpace((4,)))
    before = network.fingerprint()
    module.eval()
    module.requires_grad_(False)
    network.evaluate(torch.rand(3, 4))
    with network.frozen():
        assert network.fingerprint() == before
    assert network.fingerprint() == before
    assert Network(copy.deepcopy(module), space=InputSpace((4,))).fingerprint() == before


def test_a_fingerprint_knows_half_precision_and_numbers() -> None:
    module = nn.Linear(2, 1).to(torch.bfloat16)
    module.register_buffer("count", torch.tensor(3))
    module.register_buffer("flag", torch.tensor([True]))
    one = Network(module, space=InputSpace((2,))).fingerprint()
    module.count += 1
    assert Network(module, space=InputSpace((2,))).fingerprint() != one
