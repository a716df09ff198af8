"""bounded-pinv: backwards layer by layer, each asked only for values that the layer below it can produce."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from genrev.arrays import expect_shaped
from genrev.checks import real, whole
from genrev.equation import AIM, completed, moved_inside
from genrev.errors import ArgumentError, LayerError
from genrev.inverter import Inversion, Inverter, Problem, Proposal, Traits
from genrev.layers import Interval, Link, everything, inverse, reach
from genrev.layers.blocks import Block, blocks
from genrev.layers.elementwise import curve
from genrev.layers.preimage import expect_usable
from genrev.network import Network
from genrev.solvers.boxed_layer import Asked, BoxedLayer
from genrev.training import seeded

_EDGE = 1e-4
"""How near to the ends of what an activation gives a value may be asked for, of their distance: the ends themselves
would take infinite values before it."""

_SHORT = 1e-3
"""The shortest way over which a mean slope is taken, in typical deviations."""

_FLAT = 1e-3
"""The least slope that counts, in the typical one."""

_DRAWS = 1000
"""How many inputs are drawn to see what hidden values a network has, where there are no data."""

_WIDEST = 4096
"""How many values a layer may have in and out together: its factor has the square of that."""

_IDLE = (nn.Dropout, nn.modules.dropout._DropoutNd, nn.Flatten, nn.Unflatten)
"""What leaves the values as they are."""

_BENT = (nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish)
"""What falls before it rises."""


class BoundedPinvInverter(Inverter):
    """Goes backwards layer by layer, as `PinvInverter` does, but never asks a layer for what the one below can't give.

    Each layer's equation is weighed against how its inputs usually are: they minimise ``|(W x + b - a) / s|^2 +
    (x - mu)' (S + eps I)^-1 (x - mu)`` within the box that the layer below can produce, with mean mu and covariance S
    of the data's values there. What can't be given costs a miss, and no value out of range. A miss counts by what it
    does behind the activation, so s is larger where that is flat. Then f runs forward, and the same is solved again
    around the values that were really reached, with what the outputs lack added to what is asked; the best sweep is
    kept.

    The first sample is what comes of the means mu; others of draws from the data's Gaussian in their place, which for a
    layer without bounds is a draw from the Gaussian given its equation. Without data the covariances are those of
    inputs drawn so that the first layer's values spread, and the inputs themselves lie near the middle of their range.

    ``stats["miss"]`` has how far each of `layers` was from what the first sweep asked of it, as a share of how its
    outputs usually spread; ``stats["sweeps"]`` how many sweeps there were.

    Args:
        network: the network to invert: a chain of layers with registered inverses, at most a few thousand wide.
        tolerance: the residual that counts as met, in output units.
        sweeps: how often to go backwards at most.
        slack: how far a layer's outputs may typically miss what is asked, as a share of how they usually spread.
        ridge: eps, as a share of the mean variance.

    Raises:
        LayerError: the network is no chain, has a layer whose type has no registered inverse, or one too wide.

    Reference:
        Boyd et al., 2011, "Distributed optimization and statistical learning via the alternating direction method of
        multipliers" (the solver); Osher, Burger, Goldfarb, Xu and Yin, 2005, "An iterative regularization method for
        total variation-based image restoration" (asking again for what was lacking); Bardsley, Solonen, Haario and
        Laine, 2014, "Randomize-then-optimize: a method for sampling from posterior distributions in nonlinear inverse
        problems" (the draws).

    Example:
        >>> from torch import nn
        >>> from genrev import InputSpace
        >>> module = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 2), nn.Sigmoid())
        >>> inverter = BoundedPinvInverter(Network(module, space=InputSpace((6,), 0.0, 1.0)))
        >>> found = inverter.reconstruct(inverter.network.evaluate(torch.rand(5, 6)), seed=0)
        >>> bool(found.converged.all())
        True
    """

    traits: ClassVar[Traits] = Traits(
        summary="Each layer is inverted within the range of the one below it, weighed by how its values usually are.",
        chain=True,
        stochastic=True,
    )

    def __init__(
        self,
        network: Network,
        *,
        tolerance: float | Tensor = 1e-3,
        sweeps: int = 10,
        slack: float = 0.1,
        ridge: float = 0.1,
    ) -> None:
        super().__init__(network, tolerance=tolerance)
        self.sweeps = whole("sweeps", sweeps)
        self.slack, self.ridge = real("slack", slack, above=True), real("ridge", ridge, above=True)
        with torch.no_grad(), network.frozen():
            self._maps = self._read()
        self._laws: list[_Law] = []
        self._steps: list[_Step] = []

    @property
    def layers(self) -> list[str]:
        """The names of the layers whose misses ``stats["miss"]`` tells, first layer first."""
        return [part.block.name for part in self._maps]

    def _read(self) -> list[_Map]:
        """Return what depends on the network alone, first layer first."""
        space = self.network.space
        found: list[_Map] = []
        box = Interval(space.low.double()[None], space.high.double()[None], self.network.dtype)
        parts = blocks(self.network.chain())
        shapes = [part.input_shape for part in parts[1:]] + [self.network.output_shape]
        for part, shape in zip(parts, shapes, strict=True):
            _expect_known(part)
            size = math.prod(part.input_shape)
            weight, bias = part.matrix(torch.float64)
            if size + len(bias) > _WIDEST:
                raise LayerError(
                    f"expected layers of at most {_WIDEST} values in and out together, got {size} and {len(bias)} at "
                    f"{part.name!r}; use 'newton', which needs no factor of them"
                )
            if part.proportions:
                # A constant added to all of its inputs is nothing to a softmax.
                weight, bias = weight - weight.mean(0), bias - bias.mean()
            floor, ceiling = _ends(part, len(bias))
            low, high = (end.reshape(size).to(weight) for end in (box.low, box.high))
            if found:
                # A value that an activation gives at its end alone takes an infinite one before it.
                low, high = torch.maximum(low, found[-1].floor), torch.minimum(high, found[-1].ceiling)
            found.append(_Map(part, weight, bias, low, torch.maximum(low, high), floor, ceiling))
            box = reach([*part.affine, *part.activations], box, shape)
        return found

    def _fit(self, inputs: Tensor, seed: int) -> None:
        self._learn(inputs, None)

    def _learn(self, inputs: Tensor, first: _Law | None) -> None:
        """Note how the values that enter each layer are spread.

        Args:
            inputs: ``(n, *input_shape)``.
            first: what to take of the first layer's in the place of that.
        """
        laws, x = [], inputs
        for part in self._maps:
            flat = x.flatten(1).double()
            laws.append(_Law(flat.mean(0), torch.cov(flat.T).reshape(flat.shape[1], flat.shape[1])))
            x = part.block.forward(x)
        self._take([first, *laws[1:]] if first is not None else laws)

    def _take(self, laws: Sequence[_Law]) -> None:
        self._laws = list(laws)
        units = [self.network.space.unit.flatten().to(laws[0].mean), *(torch.ones_like(law.mean) for law in laws[1:])]
        self._steps = [_Step.of(*each, self) for each in zip(self._maps, laws, units, strict=True)]

    def _explore(self) -> None:
        """Draw inputs along the first layer's weights, towards the ends of their range, where there are no data."""
        space, first = self.network.space, self._maps[0]
        low, high = (bound.flatten().to(first.weight) for bound in (space.low, space.high))
        middle, width = space.middle.flatten().to(first.weight), high - low
        bounded = width.isfinite()
        with seeded(0):
            along = torch.randn(_DRAWS, len(first.weight), dtype=torch.float64).to(first.weight) @ first.weight
            far = torch.rand(_DRAWS, 1, dtype=torch.float64).to(first.weight)
        ends = torch.where(along > 0, high, low)
        # Where there is no end, three deviations of a standard normal.
        open_ = 3 * along / along.abs().amax(1, keepdim=True).clamp(min=1e-300)
        away = torch.where(bounded, torch.where(bounded, ends, 0.0) - middle, open_)
        x = (middle + far * away).to(self.network.dtype).reshape(_DRAWS, *space.shape)
        spread = torch.where(bounded, width / math.sqrt(12), 1.0)
        self._learn(space.project(x), _Law(middle, spread.square().diag()))

    def _propose(self, problem: Problem) -> Proposal:
        if not self._steps:
            self._explore()
        target = moved_inside(problem.target, problem.tolerance, self.network)
        if self.network.outputs == "softmax":
            target = completed(target, "softmax")
        centres = [self._centre(law, problem, stream) for stream, law in enumerate(self._laws)]
        rows = torch.arange(len(target), device=target.device)
        best = torch.full((len(target),), math.inf, dtype=torch.float64, device=target.device)
        x = torch.zeros(len(target), self.network.space.size, dtype=torch.float64, device=target.device)
        misses: Tensor | None = None
        known = None if problem.known is None else problem.known.flatten(1).double()
        sweeps = torch.zeros_like(rows)
        least, most = self._steps[-1].part.asked(target.flatten(1).double())
        lacking = torch.zeros_like(least)
        for _ in range(self.sweeps):
            ahead = least[rows] + lacking[rows], most[rows] + lacking[rows]
            found, miss = self._down(*ahead, centres, None if known is None else known[rows])
            reached, y = self._up(found)
            # What the last layer fell short of is asked for once more, on top.
            lacking[rows] -= self._steps[-1].layer.miss(reached[-1], least[rows], most[rows])
            share = _share(y, problem.target[rows], problem.tolerance)
            better = share < best[rows]
            kept = rows[better]
            best[kept], x[kept] = share[better], found[better]
            # Later sweeps ask for more than is wanted, to get it: what can't be given shows in the first.
            misses = miss if misses is None else misses
            sweeps[rows] += 1
            going = best[rows] > AIM
            rows, centres = rows[going], [values[going] for values in reached]
            if len(rows) == 0:
                break
        shaped = x.to(target).reshape(len(x), *self.network.space.shape)
        assert misses is not None
        return Proposal(shaped, {"miss": misses.to(target), "sweeps": sweeps})

    def _centre(self, law: _Law, problem: Problem, stream: int) -> Tensor:
        """Return what the values that enter a layer are to be near: their mean, and draws around it."""
        noise = problem.noise.normal((len(law.mean),), stream=stream).to(law.mean)
        return law.mean + torch.where((problem.sample > 0)[:, None], noise @ law.root.T, 0.0)

    def _down(
        self, least: Tensor, most: Tensor, centres: Sequence[Tensor], known: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Go backwards once; return inputs ``(rows, size)``, and each layer's miss ``(rows, layers)``.

        Args:
            least: ``(rows, m)``: what the values before the last activation are asked to be at least.
            most: ``(rows, m)``: what they are asked to be at most.
            centres: of each layer, ``(rows, n)``: what the values that enter it are to be near.
            known: ``(rows, size)``: inputs that are fixed, NaN where free; or None.
        """
        misses = []
        for place in range(len(self._steps) - 1, -1, -1):
            step, centre = self._steps[place], centres[place]
            low, high = (bound.expand_as(centre) for bound in (step.part.low, step.part.high))
            if place == 0 and known is not None:
                low, high = (torch.where(known.isnan(), bound, known) for bound in (low, high))
            asked = Asked(least, most, step.slack(least, most, centre), centre, low, high)
            wanted = step.layer.nearest(asked)
            misses.append((step.layer.miss(wanted, least, most) * self.slack / asked.slack).square().mean(1).sqrt())
            if place:
                least, most = self._steps[place - 1].part.asked(wanted)
        return wanted, torch.stack(misses[::-1], 1)

    def _up(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Run forward; return the values that enter each layer, and the outputs."""
        network = self.network
        values, reached = network.space.project(x.to(network.dtype).reshape(len(x), *network.space.shape)), []
        for part in self._maps:
            reached.append(values.flatten(1).double())
            values = part.block.forward(values)
        return reached, values.reshape(len(x), *network.output_shape)

    def explain(self, found: Inversion) -> str:
        """Return which layer was asked for what it can't give."""
        said, misses = super().explain(found), found.stats.get("miss")
        if misses is None or misses.shape[2:] != (len(self._maps),):
            raise ArgumentError("expected a result of this bounded-pinv, got another's; ask the inverter that gave it")
        mean = misses.double().mean((0, 1))
        worst = int(mean.argmax())
        part = self._maps[worst].block.title
        much = f"{float(mean[worst]):.2g} of its spread"
        return f"{said} The layer that missed most of what it was asked is {part}: by {much}."

    def _tensors(self) -> dict[str, Tensor]:
        named = {f"mean.{place}": law.mean for place, law in enumerate(self._laws)}
        return named | {f"covariance.{place}": law.covariance for place, law in enumerate(self._laws)}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        sizes = [part.weight.shape[1] for part in self._maps]
        shapes: dict[str, Sequence[int]] = {f"mean.{place}": (size,) for place, size in enumerate(sizes)}
        shapes |= {f"covariance.{place}": (size, size) for place, size in enumerate(sizes)}
        expect_shaped(tensors, shapes, torch.float64)
        self._take([_Law(tensors[f"mean.{k}"], tensors[f"covariance.{k}"]) for k in range(len(sizes))])

    def _row_bytes(self) -> int:
        return 20 * 8 * max(sum(part.weight.shape) for part in self._maps)


@dataclass(frozen=True, eq=False)
class _Map:
    """A block, as far as the network decides it.

    Args:
        block: its layers.
        weight: ``(m, n)``.
        bias: ``(m,)``.
        low: ``(n,)``: the least value that can enter it, and that is asked of the layer below.
        high: ``(n,)``: the greatest.
        floor: ``(m,)``: at or below this output any value before the activation will do; -inf where there is none.
        ceiling: ``(m,)``: the same at or above.
    """

    block: Block
    weight: Tensor
    bias: Tensor
    low: Tensor
    high: Tensor
    floor: Tensor
    ceiling: Tensor

    def asked(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the least and the greatest values before the activation that give an output.

        Args:
            y: ``(rows, m)``, NaN where any value will do.
        """
        free = y.isnan()
        least, most, _ = _back(self.block.activations, torch.where(free, 0.5, y))
        return (
            torch.where(free | (y <= self.floor), -math.inf, least),
            torch.where(free | (y >= self.ceiling), math.inf, most),
        )

    def activated(self, values: Tensor) -> Tensor:
        """Return what the activations make of values, ``(rows, m)``.

        Args:
            values: ``(rows, m)``.
        """
        for link in self.block.activations:
            values = link.module(values.reshape(len(values), *link.input_shape))
        return values.flatten(1)


@dataclass(frozen=True, eq=False)
class _Law:
    """The Gaussian of the values that enter a layer.

    Args:
        mean: ``(n,)``.
        covariance: ``(n, n)``.
    """

    mean: Tensor
    covariance: Tensor

    @cached_property
    def root(self) -> Tensor:
        """``(n, n)``: what standard normal values are multiplied with to be spread so."""
        deviation = self.covariance.diagonal().clamp(min=0).sqrt()
        unit = torch.where(deviation > 0, deviation, 1.0)
        # Triangular, so that other units of the values change no draw; a little more than it is, to have a factor.
        alike = self.covariance / unit[:, None] / unit + 1e-9 * torch.eye(len(unit)).to(unit)
        return deviation[:, None] * torch.linalg.cholesky(alike)


@dataclass(frozen=True, eq=False)
class _Step:
    """A block, ready to go backwards.

    Args:
        part: the block.
        layer: its equation.
        before: the typical deviation of its values before the activation.
        behind: of those behind it.
        share: how far a value may typically miss what is asked, as a share of these.
    """

    part: _Map
    layer: BoxedLayer
    before: float
    behind: float
    share: float

    @classmethod
    def of(cls, part: _Map, law: _Law, unit: Tensor, inverter: BoundedPinvInverter) -> _Step:
        """Weigh a block's equation against how the values that enter it are spread, each in a unit of its own."""
        variance = float((law.covariance.diagonal() / unit.square()).mean())
        ridge = inverter.ridge * (variance if variance > 0 else 1.0) * unit.square()
        covariance = law.covariance + ridge.diag()
        inverted = torch.linalg.inv(covariance)
        before = float((part.weight @ law.covariance * part.weight).sum(1).mean().sqrt())
        # A layer of zeros gives one value, whatever is asked.
        before = before if before > 0 else 1.0
        middle = law.mean @ part.weight.T + part.bias
        around = torch.linspace(-2, 2, 9).to(middle)[:, None]
        slopes = part.activated(middle + before * around).std(0) / around.std()
        behind = float(slopes.square().mean().sqrt())
        layer = BoxedLayer(part.weight, part.bias, (inverted + inverted.T) / 2)
        return cls(part, layer, before, behind if behind > 0 else 1.0, inverter.slack)

    def slack(self, least: Tensor, most: Tensor, centre: Tensor) -> Tensor:
        """Return how far each value before the activation may miss what is asked, ``(rows, m)``.

        A miss counts by what it does behind the activation: by the mean slope between where the value is and what is
        asked. Next to the end of a sigmoid or on the flat side of a ReLU a long way before it is a short one behind it.

        Args:
            least: ``(rows, m)``: what is asked.
            most: ``(rows, m)``.
            centre: ``(rows, n)``: where the layer's inputs are.
        """
        if self.part.block.proportions:
            return torch.full_like(least, self.share * self.before)
        here = centre @ self.part.weight.T + self.part.bias
        way = torch.minimum(torch.maximum(here, least), most) - here
        way = torch.where(way.abs() < _SHORT * self.before, _SHORT * self.before, way)
        slope = ((self.part.activated(here + way) - self.part.activated(here)) / way).abs()
        return self.share * self.behind / slope.clamp(min=_FLAT * self.behind / self.before)


def _back(links: Sequence[Link], y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the least and the greatest values that activations turn into y, and which values of it none does."""
    least = most = y
    clamped = torch.zeros_like(y, dtype=torch.bool)
    for link in reversed(links):
        back = inverse(link.module, link.input_shape)
        below, above = (back(end.reshape(len(y), *link.input_shape)).box for end in (least, most))
        least, most = below.low.flatten(1), above.high.flatten(1)
        clamped |= (below.clamped | above.clamped).flatten(1)
    return least, most, clamped


def _expect_known(block: Block) -> None:
    """Refuse weights that are no numbers, and what is neither a rising function of each value alone nor a softmax."""
    for link in block.affine:
        try:
            expect_usable(link.module)
        except LayerError as error:
            raise LayerError(f"layer {link.name!r}: {error}") from None
    for link in block.activations:
        kind = type(link.module)
        known = curve.dispatch(kind) is not curve.dispatch(object) and not isinstance(link.module, _BENT)
        if not known and not isinstance(link.module, (nn.Softmax, nn.LogSoftmax, nn.Identity, *_IDLE)):
            raise LayerError(
                f"expected activations that rise with each value alone, got {kind.__name__} at {link.name!r}; use "
                "'newton', which needs no inverse of a layer"
            )


def _ends(block: Block, size: int) -> tuple[Tensor, Tensor]:
    """Return from where on activations are at the ends of what they give, ``(size,)`` each; infinite where nowhere."""
    none = torch.full((size,), math.inf, dtype=torch.float64)
    links = block.activations
    if not links or block.proportions:
        # Of proportions none is at an end by itself.
        return -none, none
    shape = links[0].input_shape
    limits = reach(links, everything(shape, torch.float64, torch.device("cpu")), shape).reshape(1, size)
    width = torch.where((limits.high - limits.low).isfinite(), limits.high - limits.low, 1.0)
    open_ = [_back(links, end.nan_to_num(0.0, 1e3, -1e3))[2] & end.isfinite() for end in (limits.low, limits.high)]
    return (
        torch.where(open_[0], limits.low + _EDGE * width, -math.inf)[0],
        torch.where(open_[1], limits.high - _EDGE * width, math.inf)[0],
    )


def _share(y: Tensor, target: Tensor, tolerance: Tensor) -> Tensor:
    """Return the greatest distance to the target as a share of the tolerance, ``(rows,)``; inf where not finite."""
    away = torch.where(target.isnan(), 0.0, (y - target).abs() / tolerance).flatten(1).amax(1).double()
    return away.nan_to_num(math.inf)
