"""Recurrent networks: a module unrolled over time, and what that is as a layer: its inverse and its bounds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from genrev.checks import called_as
from genrev.errors import LayerError
from genrev.layers import Bounds, Interval, Inverse, Preimage, bounds, inverse
from genrev.layers.preimages.linear import reshaped
from genrev.models.unrolled import CELLS, STACKS, State, Unrolled

_WAY_OUT = "use 'newton', which inverts any unrolled module"


@called_as("unroll(torch.nn.LSTM(4, 8, batch_first=True), steps=10)")
def unroll(module: nn.Module, *, steps: int, state: Any = None) -> Unrolled:
    """Make a recurrent module one from sequences ``(batch, steps, in)`` to sequences ``(batch, steps, out)``.

    Every inverter then takes it, as ``Network(unroll(module, steps=10), space=InputSpace((10, 4)))``. Where only the
    last output is asked for, leave the others free: NaN in the target.

    Args:
        module: ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, of any number of layers, either direction or both, with
            ``batch_first`` or without; ``nn.RNNCell``, ``nn.LSTMCell`` or ``nn.GRUCell``; or a cell of your own, called
            as ``cell(x, state)`` with x ``(batch, in)``. It returns the new state, whose first tensor is then the
            output, or ``(output, state)``: where the state is one tensor, any pair that comes back is such; where it is
            a tuple, a pair whose second part is a tuple.
        steps: how many steps of time a sequence has, at least 1.
        state: what the module begins in, without a batch: ``(layers * directions, hidden)`` for ``nn.RNN`` and
            ``nn.GRU``, ``(hidden,)`` for a cell, a tuple of two for LSTMs, any tensor or tuple of tensors for a cell of
            your own; zeros where it is left out, which a cell of your own can't.

    Returns:
        The module, which shares the weights of the one given.

    Raises:
        ArgumentError: the module is not recurrent, or the state is not of its shape, not finite, or left out for a cell
            of your own.

    Example:
        >>> unrolled = unroll(nn.LSTM(4, 8, batch_first=True), steps=10)
        >>> unrolled(torch.zeros(3, 10, 4)).shape
        torch.Size([3, 10, 8])
    """
    return Unrolled(module, steps=steps, state=state)


def tied(module: nn.Module) -> list[tuple[Tensor, Tensor, list[Tensor], nn.Module]]:
    """Return W, U, the biases and the activation of each layer h' = s(W x + U h + b) of a module in one direction.

    Args:
        module: what is unrolled.

    Raises:
        LayerError: it is no such module.

    Example:
        >>> ((inward, within, biases, activation),) = tied(nn.RNN(2, 3))
        >>> inward.shape, within.shape, len(biases), activation
        (torch.Size([3, 2]), torch.Size([3, 3]), 2, Tanh())
    """
    if not isinstance(module, (nn.RNN, nn.RNNCell)) or (isinstance(module, nn.RNN) and module.bidirectional):
        got = f"a bidirectional {type(module).__name__}" if isinstance(module, nn.RNN) else type(module).__name__
        raise LayerError(f"expected an unrolled nn.RNN of one direction, or nn.RNNCell, got {got}; {_WAY_OUT}")
    activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[module.nonlinearity]()
    suffixes = [f"_l{place}" for place in range(module.num_layers)] if isinstance(module, nn.RNN) else [""]
    layers = []
    for suffix in suffixes:
        inward, within = (getattr(module, f"weight_{part}{suffix}").detach() for part in ("ih", "hh"))
        biases = [getattr(module, f"bias_{part}{suffix}").detach() for part in ("ih", "hh")] if module.bias else []
        layers.append((inward, within, biases, activation))
    return layers


@inverse.register
def _(layer: Unrolled, input_shape: tuple[int, ...]) -> Inverse:
    """x_t = W+ (s^-1(h_t) - U h_(t-1) - b), the top layer first: all states are known, so all steps go at once."""
    parts = []
    for (inward, within, biases, activation), state in zip(tied(layer.module), _rows(layer.state), strict=True):
        linear = _linear(inward, torch.stack(biases).sum(0) if biases else inward.new_zeros(len(inward)))
        shape = (len(inward),)
        parts.append((inverse(linear, inward.shape[1:]), inverse(activation, shape), within, state))

    def invert(y: Tensor) -> Preimage:
        clamped = torch.zeros_like(y, dtype=torch.bool)
        for back, undo, within, state in reversed(parts):
            preimage = undo(y.flatten(0, 1))
            values = preimage.x.reshape(y.shape)
            before = torch.cat([state.to(y).expand(len(y), 1, -1), y[:, :-1]], 1)
            asked = back((values - before @ within.T).flatten(0, 1))
            if y.shape == clamped.shape:
                clamped |= (preimage.clamped | asked.clamped).reshape(y.shape)
            given, y = y.shape, asked.x.reshape(*y.shape[:2], -1)
        # What the lowest layer leaves free of an input is free at every step.
        return reshaped(asked, tuple(y.shape[1:]), tuple(given)).with_clamped(clamped)

    return invert


@bounds.register
def _(layer: Unrolled, input_shape: tuple[int, ...]) -> Bounds:
    """Of nn.RNN step by step through all layers; of LSTMs and GRUs only that their states stay within one."""
    module = layer.module
    if isinstance(module, (nn.RNN, nn.RNNCell)) and not (isinstance(module, nn.RNN) and module.bidirectional):
        return _stepwise(layer)
    if not isinstance(module, (*CELLS, *STACKS)) or getattr(module, "proj_size", False):
        got = f"{type(module).__name__}{' with a projection' * isinstance(module, nn.LSTM)}"
        raise LayerError(f"expected an unrolled nn.RNN, nn.LSTM or nn.GRU, got {got}; register bounds of your own")
    # A GRU's state lies between the one before and a tanh; an LSTM's is a share of a tanh.
    most = max(1.0, *(float(part.abs().max()) for part in _rows(layer.state)))

    def bound(x: Interval) -> Interval:
        ones = torch.ones(len(x.low), layer.steps, _values(module), dtype=torch.float64, device=x.low.device)
        most_ = ones * most * (1 + 8 * layer.steps * torch.finfo(x.dtype).eps)
        return Interval(-most_, most_, x.dtype)

    return bound


def _stepwise(layer: Unrolled) -> Bounds:
    parts = []
    for (inward, within, biases, activation), state in zip(tied(layer.module), _rows(layer.state), strict=True):
        # The biases as weights of two ones: all the sums that rounding sees are then the layer's.
        sums = _linear(torch.cat([inward, within, *(bias[:, None] for bias in biases)], 1), None)
        shape = (sums.in_features,)
        ones = torch.ones(1, len(biases), dtype=torch.float64, device=inward.device)
        parts.append((bounds(sums, shape), bounds(activation, (len(inward),)), state.double()[None], ones))

    def bound(x: Interval) -> Interval:
        rows = len(x.low)
        reached = [(state.expand(rows, -1), state.expand(rows, -1)) for _, _, state, _ in parts]
        found = []
        for step in range(layer.steps):
            low, high = x.low[:, step], x.high[:, step]
            for place, (sums, bend, _, ones) in enumerate(parts):
                least, most = reached[place]
                lows = torch.cat([low, least, ones.expand(rows, -1)], 1)
                highs = torch.cat([high, most, ones.expand(rows, -1)], 1)
                box = bend(sums(Interval(lows, highs, x.dtype)))
                low, high = reached[place] = box.low, box.high
            found.append((low, high))
        ends = (torch.stack(end, 1) for end in zip(*found, strict=True))
        return Interval(next(ends), next(ends), x.dtype)

    return bound


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a linear layer of these very weights."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, *weight.shape[::-1], bias=bias is not None)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer


def _rows(state: State) -> list[Tensor]:
    """Return the parts of a state, a row for each layer."""
    return [
        row for part in (state if isinstance(state, tuple) else (state,)) for row in part.reshape(-1, part.shape[-1])
    ]


def _values(module: nn.Module) -> int:
    """Return how many values an output has."""
    return int(module.hidden_size) * (2 if getattr(module, "bidirectional", False) else 1)  # type: ignore[arg-type]
