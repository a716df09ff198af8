"""recurrent: the textbook formula x_t = W+ (s^-1(h_t) - U h_(t-1) - b), step by step through an unrolled nn.RNN."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from genrev.equation import AIM, completed, moved_inside
from genrev.errors import ArgumentError, LayerError
from genrev.inverter import Inversion, Inverter, Problem, Proposal, Traits
from genrev.layers import Inverse, Link, inverses
from genrev.models.equilibrium import Equilibrium
from genrev.models.recurrent import tied
from genrev.models.unrolled import Unrolled
from genrev.network import Network
from genrev.solvers.activated import ActivatedLayer

_RESHAPING = (nn.Identity, nn.Dropout, nn.Flatten)

_WAY_OUT = "use 'newton', which inverts any unrolled module"


class RecurrentInverter(Inverter):
    """Goes through an unrolled `nn.RNN` step by step: undoes the activation, takes off what the state brings, divides.

    Exact where a target can be reached: of several layers the top one first, each by the pseudo-inverse of its W, which
    is computed once. Where W has more values than inputs and they can't all be had, because a target is unreachable or
    saturation has rounded its digits away, values count by their slopes (`ActivatedLayer`), and the answer is a least
    squares one. Zero behind a ReLU asks for a half-line: its end, 0, is taken where W can give every combination; else
    it counts only where it would be broken.

    h_(t-1) is the target's own, so that the error of a step stays in it. Rows that this leaves off target are solved
    once more with the states really reached, which lets later steps make good for earlier ones, and the nearer of the
    two answers is kept (``stats["followed"]``: whether it was the second). A free entry of a state is what follows from
    the shortest input that gives the others; behind further layers, the middle of its range.

    Layers with registered inverses may stand in a `nn.Sequential` before and behind; the one recurrent layer may also
    be an `Equilibrium`, whose inverse is the same formula with y itself in the place of h_(t-1), and whose free entries
    are filled with the middle of their range.

    ``stats["clamped"]``, ``(batch, samples, layers, steps)``, is the share of the values asked of each recurrent layer
    at each step that its activation can't give; ``stats["away"]``, ``(batch, samples, steps)``, the greatest distance
    of the top layer's output from what was asked of it.

    Args:
        network: the network to invert: an unrolled ``nn.RNN`` in one direction, or ``nn.RNNCell``; or an `Equilibrium`.
        tolerance: the residual that counts as met, in output units.

    Raises:
        LayerError: the network is no such one.

    Reference:
        Penrose, 1955, "A generalized inverse for matrices".

    Example:
        >>> from genrev import InputSpace, unroll
        >>> network = Network(unroll(nn.RNN(2, 4, batch_first=True), steps=5), space=InputSpace((5, 2)))
        >>> x = torch.randn(3, 5, 2)
        >>> found = RecurrentInverter(network).reconstruct(network.evaluate(x))
        >>> bool(torch.allclose(found.best, x, atol=1e-3))
        True
    """

    traits: ClassVar[Traits] = Traits(
        summary="The inverse formula of a recurrent layer goes through time step by step and picks the shortest input "
        "each time.",
        chain=True,
        recurrent=True,
    )

    def __init__(self, network: Network, *, tolerance: float | Tensor = 1e-3) -> None:
        super().__init__(network, tolerance=tolerance)
        with torch.inference_mode(False), torch.no_grad(), network.frozen():
            self._prepare()

    @property
    def ranks(self) -> list[int]:
        """The rank of W of each recurrent layer, the first layer first; what is below its smaller side is short."""
        return [layer.units.rank for layer in self._layers]

    def _prepare(self) -> None:
        """Compute what depends on the network alone."""
        before, recurrent, behind = _split(self.network)
        self._layers, self._state, self._steps = _read(recurrent)
        self._implicit = isinstance(recurrent, Equilibrium)
        x = self.network._some_inputs()[:1]
        self._before, x = _undone(before, x)
        # What the input space says of values can be held while solving where the layer takes the values themselves.
        self._direct = all(isinstance(module, _RESHAPING) for _, module in before)
        self._shape = tuple(x.shape[1:])
        y = recurrent(x)
        self._state_shape = tuple(y.shape[1:])
        self._behind, _ = _undone(behind, y)

    def _row_bytes(self) -> int:
        # The values and inputs of each step and layer; a weighted matrix of one layer, its factor and an inverse.
        largest = max(layer.inward.numel() for layer in self._layers)
        states = self._steps * sum(sum(layer.inward.shape) for layer in self._layers)
        return 8 * (6 * states + 8 * largest)

    def _propose(self, problem: Problem) -> Proposal:
        y = moved_inside(problem.target, problem.tolerance, self.network)
        behind = torch.zeros(len(y), dtype=y.dtype, device=y.device)
        if self._behind:
            y = _filled(y, self.network.outputs)
        for undo, shape in self._behind:
            preimage = undo(y)
            behind += preimage.clamped.flatten(1).to(y.dtype).mean(1) / len(self._behind)
            y = preimage.x.reshape(len(y), *shape)
        if self._implicit:
            y = y.nan_to_num(0.5 if isinstance(self._layers[0].units.activation, nn.Sigmoid) else 0.0)
        walk = self._walk(y.reshape(len(y), self._steps, -1), problem, follow=False)
        if not self._implicit:
            self._follow(y, walk, problem)
        x = walk.x.to(y.dtype).reshape(len(y), *self._shape)
        for undo, shape in self._before:
            x = undo(x).x.reshape(len(x), *shape)
        outside = ~self.network.space.contains(x)
        stats = {
            "clamped": walk.clamped.to(y.dtype),
            "away": walk.away.to(y.dtype),
            "followed": walk.followed,
            "outside": outside.flatten(1).to(y.dtype).mean(1),
        }
        return Proposal(x, stats | ({"behind": behind} if self._behind else {}))

    def _follow(self, y: Tensor, walk: _Walk, problem: Problem) -> None:
        """Solve what is off target once more, with the states really reached, and keep what is nearer."""
        near = AIM * float(problem.tolerance.amin()) if not self._behind else torch.finfo(y.dtype).eps ** 0.5
        off = ((walk.away.amax(1) > near) | ~walk.away.isfinite().all(1)).nonzero()[:, 0]
        if len(off) == 0:
            return
        second = self._walk(y[off], problem[off], follow=True)
        most, before = second.away.amax(1), walk.away[off].amax(1)
        # One step that no input meets may be the worst of both.
        alike = (most - before).abs() <= 1e-6 * before
        nearer = torch.where(alike, second.away.sum(1) < walk.away[off].sum(1), most < before)
        kept = off[nearer]
        walk.x[kept], walk.away[kept] = second.x[nearer], second.away[nearer]
        walk.clamped[kept], walk.followed[kept] = second.clamped[nearer], True

    def _walk(self, y: Tensor, problem: Problem, *, follow: bool) -> _Walk:
        """Return inputs for states ``(rows, steps, values)``, by the states reached or those asked."""
        rows, count = len(y), len(self._layers)
        x = y.new_empty(rows, self._steps, self._shape[-1], dtype=torch.float64)
        clamped = x.new_zeros(rows, count, self._steps)
        away = x.new_zeros(rows, self._steps)
        reached = [state.expand(rows, -1) for state in self._state]
        before = list(reached)
        hold = self._hold(problem)
        for step in range(self._steps):
            wanted: list[Tensor] = [y[:, step].double()]
            for place in reversed(range(count)):
                layer = self._layers[place]
                state = wanted[0] if self._implicit else before[place]
                value, beyond = layer.units(wanted[0], layer.offset(state))
                clamped[:, place, step] = beyond.double().mean(1)
                wanted.insert(0, value)
            x[:, step] = value = hold(wanted[0], step)
            for place, layer in enumerate(self._layers):
                state = wanted[1] if self._implicit else reached[place]
                value = layer(value, state)
                reached[place] = value
                asked = wanted[place + 1]
                before[place] = value if follow else torch.where(asked.isnan(), value, asked)
            away[:, step] = (value - wanted[-1]).nan_to_num(0.0, math.inf, math.inf).abs().amax(1)
        return _Walk(x, clamped, away, torch.zeros(rows, dtype=torch.bool, device=y.device))

    def _hold(self, problem: Problem) -> _Hold:
        """Return what keeps the input of a step within the space, and to what is known, where that can be said."""
        space = self.network.space
        if not self._direct:
            return _Hold(None, None, None)
        shape = (self._steps, self._shape[-1])
        low, high = (bound.reshape(shape).to(problem.target.device) for bound in (space.low, space.high))
        known = None if problem.known is None else problem.known.reshape(-1, *shape).double()
        return _Hold(low, high, known)

    def explain(self, found: Inversion) -> str:
        """Return what the formula asked for that no layer can give, and where it first came out off target."""
        said = super().explain(found)
        clamped, away = found.stats.get("clamped"), found.stats.get("away")
        if clamped is None or away is None or clamped.shape[2:] != (len(self._layers), self._steps):
            raise ArgumentError("expected a result of this recurrent, got another's; ask the inverter that gave it")
        parts = []
        for place, layer in enumerate(self._layers):
            share = float(clamped[..., place, :].double().mean())
            if share > 0:
                parts.append(f"{100 * share:.2g} % of the values asked of layer {place} were beyond its activation")
            if layer.units.rank < min(layer.inward.shape):
                parts.append(f"W of layer {place} has rank {layer.units.rank} of {min(layer.inward.shape)}")
        off = (away > away.new_tensor(self.tolerance).amax()).flatten(0, 1)
        if bool(off.any()):
            first = int(torch.where(off, torch.arange(self._steps, device=off.device), self._steps).min())
            parts.append(f"the first step whose state was not reached is {first} of 0 to {self._steps - 1}")
        return f"{said} Of the formula: {'; '.join(parts)}." if parts else said


@dataclass(frozen=True, eq=False)
class _Layer:
    """One recurrent layer h' = s(W x + U h + b), in double precision.

    Args:
        inward: W, ``(values, inputs)``.
        within: U, ``(values, values)``.
        bias: b, ``(values,)``.
        units: the inverse of s(W x + c).
    """

    inward: Tensor
    within: Tensor
    bias: Tensor
    units: ActivatedLayer

    def offset(self, state: Tensor) -> Tensor:
        """Return U h + b, ``(rows, values)``."""
        return state @ self.within.T + self.bias

    def __call__(self, x: Tensor, state: Tensor) -> Tensor:
        """Return h'."""
        return self.units.activation(x @ self.inward.T + self.offset(state))


@dataclass(frozen=True, eq=False)
class _Walk:
    """What one walk through time found; `RecurrentInverter` says what the parts are."""

    x: Tensor
    clamped: Tensor
    away: Tensor
    followed: Tensor


@dataclass(frozen=True, eq=False)
class _Hold:
    """Keeps the inputs of a step to what is given of them.

    Args:
        low: ``(steps, inputs)``, or None where nothing can be said.
        high: likewise.
        known: ``(rows, steps, inputs)``, NaN where free, or None.
    """

    low: Tensor | None
    high: Tensor | None
    known: Tensor | None

    def __call__(self, x: Tensor, step: int) -> Tensor:
        """Return the inputs of a step, ``(rows, inputs)``, within the space and with known values put in."""
        if self.low is None or self.high is None:
            return x
        x = x.clamp(self.low[step], self.high[step])
        return x if self.known is None else torch.where(self.known[:, step].isnan(), x, self.known[:, step])


def _split(network: Network) -> tuple[list[tuple[str, nn.Module]], nn.Module, list[tuple[str, nn.Module]]]:
    """Return the layers before the recurrent one, it, and those behind it."""
    parts = _parts(network)
    places = [place for place, (_, module) in enumerate(parts) if isinstance(module, (Unrolled, Equilibrium))]
    if len(places) != 1:
        raise LayerError(
            "expected a network with one recurrent layer, genrev.unroll(nn.RNN(...), steps=...), alone or in an "
            f"nn.Sequential, got {len(places) or 'none'}; for other networks use 'newton'"
        )
    (place,) = places
    return parts[:place], parts[place][1], parts[place + 1 :]


def _parts(network: Network) -> list[tuple[str, nn.Module]]:
    """Return the modules of a network that is one, or a sequence of them, up to where the network ends."""
    parts = list(_sequence(network.module, ""))
    if network.stop is not None:
        names = [name for name, _ in parts]
        if network.stop not in names:
            raise LayerError(
                f"expected a network that ends behind a layer of an nn.Sequential, got one that ends in "
                f"{network.stop!r}; {_WAY_OUT}"
            )
        parts = parts[: names.index(network.stop) + 1]
    return parts if network.head is None else [*parts, ("head", network.head)]


def _sequence(module: nn.Module, name: str) -> list[tuple[str, nn.Module]]:
    if type(module).forward is not nn.Sequential.forward:
        return [(name or type(module).__name__, module)]
    named = [(f"{name}.{child}" if name else child, layer) for child, layer in module.named_children()]
    return [part for child, layer in named for part in _sequence(layer, child)]


def _undone(parts: list[tuple[str, nn.Module]], x: Tensor) -> tuple[list[tuple[Inverse, tuple[int, ...]]], Tensor]:
    """Return the inverses of layers with the shapes of their inputs, the last layer first, and what comes out of all.

    Args:
        parts: layers by name, in the order they run.
        x: ``(1, ...)``: what goes in.
    """
    links = []
    for name, module in parts:
        links.append(Link(name, module, tuple(x.shape[1:])))
        x = module(x.clone())
    return [(undo, link.input_shape) for undo, link in zip(inverses(links), links, strict=True)][::-1], x


def _read(module: nn.Module) -> tuple[list[_Layer], list[Tensor], int]:
    """Return the layers of a recurrent module, the state of each, and the number of steps."""
    if isinstance(module, Equilibrium):
        layer = _layer(module.weight_ih, module.weight_hh, module.bias, module.activation)
        return [layer], [layer.bias * 0], 1
    layers: list[_Layer] = []
    for inward, within, biases, activation in tied(module.module):  # type: ignore[arg-type]
        # What an upper layer of ReLUs takes is what the lower one gives.
        positive = bool(layers) and isinstance(activation, nn.ReLU)
        layers.append(
            _layer(inward, within, torch.stack(biases).sum(0) if biases else None, activation, positive=positive)
        )
    state = module.state.double().reshape(len(layers), -1)  # type: ignore[operator]
    return layers, list(state), int(module.steps)  # type: ignore[arg-type]


def _layer(
    inward: Tensor, within: Tensor, bias: Tensor | None, activation: nn.Module, *, positive: bool = False
) -> _Layer:
    zero = inward.detach().new_zeros(len(inward)) if bias is None else bias.detach()
    units = ActivatedLayer(inward, activation, positive=positive)
    return _Layer(inward.detach().double(), within.detach().double(), zero.double(), units)


def _filled(target: Tensor, outputs: str) -> Tensor:
    """Fill what is free of a step that is asked."""
    return torch.where(target.isnan().all(-1, keepdim=True), math.nan, completed(target, outputs))
