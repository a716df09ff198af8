"""Tests of unrolled recurrent modules: what they give is what the module gives, run by hand, in any variant."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor, nn

import genrev
from genrev import InputSpace, Network, NewtonInverter, PinvInverter, RetrievalInverter, unroll
from genrev.errors import ArgumentError, LayerError
from genrev.layers import Interval, bounds, inverse

STACKS = {
    "RNN": (nn.RNN, {}),
    "RNN of relu": (nn.RNN, {"nonlinearity": "relu"}),
    "LSTM": (nn.LSTM, {}),
    "GRU": (nn.GRU, {}),
    "several layers": (nn.LSTM, {"num_layers": 3}),
    "layers with dropout": (nn.GRU, {"num_layers": 2, "dropout": 0.5}),
    "no bias": (nn.RNN, {"bias": False}),
    "both directions": (nn.GRU, {"bidirectional": True}),
    "both directions, two layers": (nn.LSTM, {"bidirectional": True, "num_layers": 2}),
    "projected": (nn.LSTM, {"proj_size": 2}),
    "projected, both directions": (nn.LSTM, {"proj_size": 2, "bidirectional": True, "num_layers": 2}),
}
CELLS = {"RNNCell": nn.RNNCell, "LSTMCell": nn.LSTMCell, "GRUCell": nn.GRUCell}


def stack(case: str, *, batch_first: bool) -> Any:
    kind, keywords = STACKS[case]
    return kind(3, 5, batch_first=batch_first, **keywords).eval()


def state_of(module: Any) -> Any:
    """A state that is not zero, without a batch."""
    copies = module.num_layers * (2 if module.bidirectional else 1)
    hidden = torch.rand(copies, module.proj_size or 5)
    return (hidden, torch.rand(copies, 5)) if isinstance(module, nn.LSTM) else hidden


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("case", STACKS)
def test_an_unrolled_module_gives_what_the_module_gives(case: str, batch_first: bool) -> None:
    module, x = stack(case, batch_first=batch_first), torch.randn(4, 6, 3)
    expected = module(x if batch_first else x.transpose(0, 1))[0]
    y = unroll(module, steps=6).eval()(x)
    torch.testing.assert_close(y, expected if batch_first else expected.transpose(0, 1))


@pytest.mark.parametrize("case", STACKS)
def test_a_state_is_the_one_every_sequence_begins_in(case: str) -> None:
    module, x = stack(case, batch_first=True), torch.randn(4, 6, 3)
    state = state_of(module)
    each = tuple(part[:, None].repeat(1, 4, 1) for part in state) if isinstance(state, tuple) else None
    expected = module(x, state[:, None].repeat(1, 4, 1) if each is None else each)[0]
    unrolled = unroll(module, steps=6, state=state).eval()
    torch.testing.assert_close(unrolled(x), expected)
    torch.testing.assert_close(unrolled.state, state)


@pytest.mark.parametrize("case", CELLS)
def test_a_cell_is_run_step_by_step(case: str) -> None:
    cell, x = CELLS[case](3, 5), torch.randn(4, 6, 3)
    first = (torch.rand(5), torch.rand(5)) if case == "LSTMCell" else torch.rand(5)
    state: Any = tuple(part.repeat(4, 1) for part in first) if isinstance(first, tuple) else first.repeat(4, 1)
    expected = []
    for step in range(6):
        state = cell(x[:, step], state)
        expected.append(state[0] if isinstance(state, tuple) else state)
    torch.testing.assert_close(unroll(cell, steps=6, state=first)(x), torch.stack(expected, 1))


@pytest.mark.parametrize("case", CELLS)
def test_a_cell_and_a_module_of_one_layer_with_the_same_weights_are_the_same(case: str) -> None:
    cell, module = CELLS[case](3, 5), getattr(nn, case.removesuffix("Cell"))(3, 5)
    module.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    x = torch.randn(4, 6, 3)
    torch.testing.assert_close(unroll(cell, steps=6)(x), unroll(module, steps=6)(x))


class Leaky(nn.Module):
    """A cell of a user's own, in each of the ways in which one may return its state."""

    def __init__(self, returns: str) -> None:
        super().__init__()
        self.inward, self.within, self.returns = nn.Linear(3, 5), nn.Linear(5, 5), returns

    def forward(self, x: Tensor, state: Any) -> Any:
        first = state[0] if isinstance(state, tuple) else state
        new = 0.9 * first + torch.tanh(self.inward(x) + self.within(first))
        output = new[:, :2].square()
        return {
            "state": new,
            "output and state": (output, new),
            "states": (new, state[-1] + 1),
            "output and states": (output, (new, state[-1] + 1)),
            "output and states as lists": [output, [new, state[-1] + 1]],
            "output and a state of one": (output, (new,)),
        }[self.returns]


@pytest.mark.parametrize(
    "returns", ["state", "output and state", "states", "output and states", "output and states as lists"]
)
def test_a_cell_of_one_s_own_may_return_its_state_or_an_output_too(returns: str) -> None:
    cell, x = Leaky(returns), torch.randn(4, 6, 3)
    state = (torch.zeros(5), torch.zeros(2)) if "states" in returns else torch.zeros(5)
    y = unroll(cell, steps=6, state=state)(x)
    h = torch.zeros(4, 5)
    expected = []
    for step in range(6):
        h = 0.9 * h + torch.tanh(cell.inward(x[:, step]) + cell.within(h))
        expected.append(h[:, :2].square() if "output" in returns else h)
    torch.testing.assert_close(y, torch.stack(expected, 1))


def test_a_state_of_one_tensor_in_a_tuple_stays_a_tuple() -> None:
    unrolled = unroll(Leaky("output and a state of one"), steps=2, state=(torch.zeros(5),))
    assert isinstance(unrolled.state, tuple)
    assert unrolled(torch.randn(1, 2, 3)).shape == (1, 2, 2)


@pytest.mark.parametrize("case", STACKS)
def test_gradients_are_those_of_finite_differences(case: str) -> None:
    module = stack(case, batch_first=True)
    unrolled = unroll(module, steps=3, state=state_of(module)).eval()
    assert torch.autograd.gradcheck(unrolled, torch.randn(2, 3, 3, requires_grad=True))


def test_weights_are_shared_and_the_state_is_a_buffer_of_their_type() -> None:
    module = nn.LSTM(3, 5).float()
    unrolled = unroll(module, steps=2, state=([[0.5] * 5], [[1.0] * 5]))
    assert [p.data_ptr() for p in unrolled.parameters()] == [p.data_ptr() for p in module.parameters()]
    assert [part.dtype for part in unrolled.state] == [torch.float32] * 2
    assert {name for name, _ in unrolled.named_buffers()} == {"state0", "state1"}
    assert unrolled.double()(torch.zeros(1, 2, 3)).dtype == torch.float64


def test_a_module_that_is_moved_alone_takes_the_state_along() -> None:
    module = nn.GRU(3, 5).float()
    unrolled = unroll(module, steps=2)
    module.double()
    assert unrolled(torch.zeros(1, 2, 3)).dtype == torch.float64


def test_the_state_given_is_copied_and_no_gradient_reaches_it() -> None:
    state = torch.zeros(5, requires_grad=True)
    unrolled = unroll(nn.GRUCell(3, 5), steps=2, state=state)
    with torch.no_grad():
        state += 1
    assert not unrolled.state.any()
    assert not unrolled.state.requires_grad


def test_networks_of_other_steps_or_states_have_other_fingerprints() -> None:
    module = nn.RNN(3, 5)

    def fingerprint(steps: int, **keywords: Any) -> str:
        return Network(unroll(module, steps=steps, **keywords), space=InputSpace((steps, 3))).fingerprint()

    assert fingerprint(2) == fingerprint(2) == fingerprint(2, state=torch.zeros(1, 5))
    assert len({fingerprint(2), fingerprint(3), fingerprint(2, state=torch.ones(1, 5))}) == 3


def test_dropout_between_layers_is_off_in_a_network_and_the_module_s_mode_is_left() -> None:
    unrolled = unroll(stack("layers with dropout", batch_first=True).train(), steps=4)
    network = Network(unrolled.train(), space=InputSpace((4, 3)))
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(network.evaluate(x), network.evaluate(x))
    assert unrolled.module.training


def test_inverters_of_an_unrolled_module_are_saved_and_loaded_with_its_network(tmp_path: Any) -> None:
    network = Network(unroll(nn.GRU(3, 5), steps=4), space=InputSpace((4, 3)))
    x = torch.randn(9, 4, 3)
    genrev.save(RetrievalInverter(network).fit(x), tmp_path / "retrieval.safetensors")
    loaded = genrev.load(tmp_path / "retrieval.safetensors", network=network)
    assert torch.equal(loaded.reconstruct(network.evaluate(x), seed=0).best, x)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU, nn.LSTMCell])
@pytest.mark.parametrize("jacobian", ["dense", "free"])
def test_newton_meets_reachable_targets_of_a_whole_sequence(kind: Any, jacobian: str) -> None:
    network = Network(unroll(kind(4, 8), steps=10), space=InputSpace((10, 4)))
    target = network.evaluate(torch.randn(3, 10, 4))
    assert bool(NewtonInverter(network, jacobian=jacobian).reconstruct(target, seed=0).converged.all())


def test_the_last_output_alone_is_asked_for_by_leaving_the_others_free() -> None:
    network = Network(unroll(nn.LSTM(2, 3, batch_first=True), steps=5), space=InputSpace((5, 2), -2.0, 2.0))
    target = torch.full((4, 5, 3), math.nan)
    target[:, -1] = network.evaluate(2 * torch.rand(4, 5, 2) - 1)[:, -1]
    assert bool(NewtonInverter(network).reconstruct(target, seed=0).converged.all())


def test_an_unrolled_module_can_be_copied() -> None:
    unrolled, x = unroll(nn.LSTM(3, 5), steps=2), torch.randn(1, 2, 3)
    torch.testing.assert_close(copy.deepcopy(unrolled)(x), unrolled(x))


BAD = {
    "a function": lambda: unroll(torch.tanh, steps=2),  # type: ignore[arg-type]
    "a class": lambda: unroll(nn.LSTM, steps=2),  # type: ignore[arg-type]
    "no steps": lambda: unroll(nn.RNN(2, 3), steps=0),
    "half a step": lambda: unroll(nn.RNN(2, 3), steps=1.5),  # type: ignore[arg-type]
    "a cell of one's own without a state": lambda: unroll(Leaky("state"), steps=2),
    "a state with a batch": lambda: unroll(nn.RNN(2, 3), steps=2, state=torch.zeros(1, 4, 3)),
    "a state of one layer": lambda: unroll(nn.GRU(2, 3, num_layers=2), steps=2, state=torch.zeros(1, 3)),
    "a state of a cell for a module": lambda: unroll(nn.RNN(2, 3), steps=2, state=torch.zeros(3)),
    "one state of two": lambda: unroll(nn.LSTM(2, 3), steps=2, state=torch.zeros(1, 3)),
    "two states of one": lambda: unroll(nn.RNNCell(2, 3), steps=2, state=(torch.zeros(3), torch.zeros(3))),
    "an empty tuple": lambda: unroll(Leaky("state"), steps=2, state=()),
    "a word": lambda: unroll(nn.RNN(2, 3), steps=2, state="zeros"),
    "NaN": lambda: unroll(nn.RNNCell(2, 3), steps=2, state=torch.full((3,), math.nan)),
    "another number of steps": lambda: unroll(nn.RNN(2, 3), steps=2)(torch.zeros(1, 3, 2)),
    "one step": lambda: unroll(nn.RNN(2, 3), steps=2)(torch.zeros(2, 2)),
    "a cell that forgets its state": lambda: unroll(Leaky("output and a state of one"), steps=1, state=torch.zeros(5))(
        torch.zeros(1, 1, 3)
    ),
    "a cell that returns one state of two": lambda: unroll(
        Leaky("state"), steps=1, state=(torch.zeros(5), torch.zeros(5))
    )(torch.zeros(1, 1, 3)),
    "a space of other steps": lambda: Network(unroll(nn.RNN(2, 3), steps=2), space=InputSpace((3, 2))),
}


@pytest.mark.parametrize("case", BAD)
def test_what_can_not_be_unrolled_is_refused_in_a_sentence(case: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        BAD[case]()
    assert_one_sentence(str(caught.value))


def test_a_call_that_does_not_fit_is_told_how() -> None:
    with pytest.raises(ArgumentError, match="expected steps= in a call of unroll"):
        unroll(nn.RNN(2, 3))  # type: ignore[call-arg]


def scaled(module: nn.Module, factor: float) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(factor)
    return module


TIED = {
    "RNN": nn.RNN(3, 3),
    "fewer inputs than values": nn.RNN(2, 5, num_layers=1),
    "several layers": nn.RNN(3, 4, num_layers=2, batch_first=True),
    "of relu, all alive": nn.RNN(2, 4, nonlinearity="relu"),
    "no bias": nn.RNN(2, 3, bias=False),
    "cell": nn.RNNCell(2, 3),
}


@pytest.mark.parametrize("case", TIED)
def test_the_inverse_of_an_unrolled_layer_gives_its_inputs_back(case: str) -> None:
    torch.manual_seed(0)
    module = copy.deepcopy(TIED[case]).double().eval()
    if "relu" in case:
        for name, parameter in module.named_parameters():
            parameter.data = parameter.data.abs() if "weight" in name else torch.ones_like(parameter)
    state = torch.rand(getattr(module, "num_layers", 1), module.hidden_size)
    layer = unroll(module, steps=6, state=state[0] if case == "cell" else state)
    x = torch.rand(4, 6, module.input_size)
    y = layer(x).detach()
    preimage = inverse(layer, (6, module.input_size))(y)
    torch.testing.assert_close(preimage.x, x)
    assert not preimage.clamped.any()
    network = Network(nn.Sequential(layer), space=InputSpace((6, module.input_size)))
    torch.testing.assert_close(PinvInverter(network).reconstruct(y).best, x)
    y[0, 2, 1] = -2.0
    assert bool(inverse(layer, (6, module.input_size))(y).clamped[0, 2, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", STACKS)
def test_the_bounds_of_an_unrolled_module_hold_all_that_comes_out(case: str, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    layer = unroll(scaled(stack(case, batch_first=True), 3.0), steps=6, state=state_of(stack(case, batch_first=True)))
    layer = layer.to(dtype)
    x = torch.rand(500, 6, 3, dtype=dtype).round()
    if "projected" in case:
        with pytest.raises(LayerError, match="got LSTM with a projection"):
            bounds(layer, (6, 3))
        return
    box = bounds(layer, (6, 3))(Interval(torch.zeros(1, 6, 3), torch.ones(1, 6, 3), dtype))
    assert bool(box.contains(layer(x)).all())
    assert bool((box.low >= (-1.001 if "relu" not in case else 0.0)).all())
    network = Network(nn.Sequential(layer, nn.Flatten()), space=InputSpace((6, 3), 0.0, 1.0))
    torch.testing.assert_close(network.reachable_box().low, box.low[0].flatten())


def test_the_bounds_of_an_rnn_at_one_input_are_its_outputs() -> None:
    layer, x = unroll(nn.RNN(3, 5, num_layers=2), steps=8), torch.randn(1, 8, 3)
    box = bounds(layer, (8, 3))(Interval(x, x))
    torch.testing.assert_close(box.low, layer(x).detach())
    assert bool(((box.low < layer(x)) & (layer(x) < box.high)).all())


def test_what_is_no_plain_recurrence_has_no_inverse_of_a_formula() -> None:
    for module in (nn.LSTM(2, 3), nn.RNN(2, 3, bidirectional=True)):
        with pytest.raises(LayerError, match=r"expected an unrolled nn\.RNN of one direction, .* use 'newton'"):
            inverse(unroll(module, steps=4), (4, 2))


def test_a_recurrent_module_that_is_not_unrolled_is_told_how_to_be() -> None:
    with pytest.raises(ArgumentError, match=r"got tuple; unroll it: genrev\.unroll\(module, steps=\.\.\.\)"):
        Network(nn.LSTM(2, 3, batch_first=True), space=InputSpace((4, 2)))
