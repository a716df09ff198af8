"""pinv: the textbook formula x = W+ (activation^-1(y) - b), layer by layer, and where it asks for the impossible."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from genrev.arrays import expect_shaped
from genrev.equation import completed, moved_inside
from genrev.errors import ArgumentError
from genrev.inverter import Inversion, Inverter, Problem, Proposal, Traits
from genrev.layers import Box, Interval, Inverse, Link, Point, Preimage, inverses
from genrev.layers.backwards import PASSING, ranges
from genrev.network import Network
from genrev.rows import rowwise
from genrev.solvers.feasible import met_by_both

_EDGE = 1e-3
"""How near to the ends of what a layer gives a drawn value may be, of their distance: the ends themselves would take
infinite values before them."""


class PinvInverter(Inverter):
    """Goes backwards layer by layer: undoes the activation, then multiplies with the pseudo-inverse of the weights.

    Exact while every value that it asks for is one that its layer can give: an activation has a range, and a layer of
    more outputs than inputs can't give every combination. Else the nearest possible ones are used, and the answer
    misses: ``stats["clamped"]`` says in which of `layers`, and what share of their values; `explain` says it in words.
    ``stats["apart"]``, ``(batch, samples, layers)``, is how far what each was asked lies from what it gives, in its
    outputs' units: for a linear layer the distance to the range of W.
    Free entries of a target are filled with the middle of their range.

    The first sample is that answer: of all values that a layer may have been fed, the shortest. Each further one draws
    the values that enter a layer at random, spread as those of the data are (without data, over their range), and takes
    the nearest that meet the layer's equation and that the layer below can give: a draw along the null space. So all
    samples ask the same of every layer, and differ in what it leaves free.

    Args:
        network: the network to invert: a chain of layers with registered inverses.
        tolerance: the residual that counts as met, in output units.

    Raises:
        LayerError: the network is no chain, or has a layer whose type has no registered inverse.

    Reference:
        Penrose, 1955, "A generalized inverse for matrices"; Bauschke and Borwein, 1996, "On projection algorithms for
        solving convex feasibility problems" (how a draw is moved into what the layer below can give).

    Example:
        >>> from genrev import InputSpace
        >>> network = Network(nn.Sequential(nn.Linear(3, 2), nn.Sigmoid()), space=InputSpace((3,)))
        >>> bool(PinvInverter(network).reconstruct([[0.2, 0.7]]).converged)
        True
    """

    traits: ClassVar[Traits] = Traits(
        summary="The pseudo-inverse formula goes backwards layer by layer and picks the shortest values each time; "
        "further samples draw what a layer leaves free.",
        chain=True,
        stochastic=True,
    )

    def __init__(self, network: Network, *, tolerance: float | Tensor = 1e-3) -> None:
        super().__init__(network, tolerance=tolerance)
        with torch.no_grad(), network.frozen():
            self._steps = self._prepare()
            self._laws = [_Law.over(step.box, step.link.input_shape) for step in self._steps]

    @property
    def layers(self) -> list[str]:
        """The names of the layers whose outputs ``stats["clamped"]`` and "apart" are about, last layer first."""
        return [step.link.name for step in self._steps]

    def _prepare(self) -> list[_Step]:
        """Compute what depends on the network alone: the inverse of each layer, last layer first."""
        chain, space = self.network.chain(), self.network.space
        low, high = (bound.double()[None].to(self.network.device) for bound in (space.low, space.high))
        boxes = ranges(chain.links, Interval(low, high))
        parts = zip(chain.links, chain.titles(), inverses(chain.links), boxes, strict=True)
        return [_Step(*part) for part in parts][::-1]

    def _fit(self, inputs: Tensor, seed: int) -> None:
        """Note the mean of the values that enter each layer, and their mean variance."""
        means, squares = ([torch.zeros_like(law.mean) for law in self._laws] for _ in range(2))
        parts = inputs.split(self.network.rows_at_once())
        for part in parts:
            for place, values in enumerate(self._forward(part)):
                means[-1 - place] += values.sum(0).cpu() / len(inputs)
        for part in parts:
            for place, values in enumerate(self._forward(part)):
                away = values - means[-1 - place].to(values)
                squares[-1 - place] += away.square().sum(0).cpu() / len(inputs)
        self._laws = [_Law(mean, square.mean().sqrt()) for mean, square in zip(means, squares, strict=True)]

    def _forward(self, x: Tensor) -> Iterator[Tensor]:
        """Return the values that enter each layer, first layer first, in double precision."""
        for step in reversed(self._steps):
            x = x.reshape(len(x), *step.link.input_shape)
            yield x.double()
            # A layer that works in place must not write on what was handed out.
            x = step.link.module(x.clone())

    def _tensors(self) -> dict[str, Tensor]:
        named = {f"mean.{place}": law.mean for place, law in enumerate(self._laws)}
        return named | {f"deviation.{place}": law.deviation for place, law in enumerate(self._laws)}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        shapes: dict[str, Sequence[int]] = {}
        for place, step in enumerate(self._steps):
            shapes |= {f"mean.{place}": step.link.input_shape, f"deviation.{place}": ()}
        expect_shaped(tensors, shapes, torch.float64)
        self._laws = [_Law(tensors[f"mean.{k}"], tensors[f"deviation.{k}"]) for k in range(len(self._steps))]

    def _row_bytes(self) -> int:
        return 8 * 8 * max(math.prod(step.link.input_shape) for step in self._steps)

    def _propose(self, problem: Problem) -> Proposal:
        y = completed(moved_inside(problem.target, problem.tolerance, self.network), self.network.outputs)
        shares, apart = [], []
        for place, step in enumerate(self._steps):
            preimage = step.invert(y)
            shares.append(preimage.clamped.flatten(1).to(y.dtype).mean(1))
            x = self._one_of(preimage, place, problem).reshape(len(y), *step.link.input_shape)
            away = (step.link.module(x.clone()).reshape(y.shape) - y).flatten(1)
            if self._freed(place):
                away = away - away.mean(1, keepdim=True)
            apart.append(away.norm(dim=1))
            y = x
        y = y.reshape(len(y), *self.network.space.shape)
        # A draw comes as near to the bounds as rounding.
        outside = (self.network.space.project(y) - y).abs() > torch.finfo(y.dtype).eps ** 0.5 * y.abs().clamp(min=1.0)
        return Proposal(
            y,
            {
                "clamped": torch.stack(shares, 1),
                "apart": torch.stack(apart, 1),
                "outside": outside.flatten(1).to(y.dtype).mean(1),
            },
        )

    def _one_of(self, preimage: Preimage, place: int, problem: Problem) -> Tensor:
        """Return inputs of a layer that give what is asked: the shortest, and for further samples drawn ones.

        Args:
            preimage: all of them.
            place: of the layer, from the last.
            problem: whose samples are asked for.
        """
        shortest, further = preimage.x, problem.sample > 0
        single = isinstance(preimage, Point) or (isinstance(preimage, Box) and torch.equal(preimage.low, preimage.high))
        if single or self._fixed(place) or not bool(further.any()):
            return shortest
        law = self._laws[place]
        noise = problem.noise.normal(tuple(law.mean.shape), stream=place).to(law.mean)
        z = (law.mean + law.deviation * noise).to(shortest)
        drawn = met_by_both(preimage.nearest, lambda values: self._given(values, place, problem), z)
        return torch.where(further.reshape(-1, *(1,) * (shortest.ndim - 1)), drawn, shortest)

    def _fixed(self, place: int) -> bool:
        """Return whether a layer is a softmax whose constant the linear layer below is freed of."""
        if not isinstance(self._steps[place].link.module, (nn.Softmax, nn.LogSoftmax)):
            return False
        below = (step.link.module for step in self._steps[place + 1 :])
        return isinstance(next((one for one in below if not isinstance(one, PASSING)), None), nn.Linear)

    def _freed(self, place: int) -> bool:
        """Return whether a layer is a linear one that is freed of the constant which a softmax behind does not see."""
        if not isinstance(self._steps[place].link.module, nn.Linear):
            return False
        behind = (step.link.module for step in reversed(self._steps[:place]))
        after = next((one for one in behind if not isinstance(one, PASSING)), None)
        return isinstance(after, (nn.Softmax, nn.LogSoftmax))

    def _given(self, values: Tensor, place: int, problem: Problem) -> Tensor:
        """Return the nearest values that can enter a layer: what the one below gives, or an input of the space.

        Args:
            values: ``(rows, *input_shape)`` of the layer.
            place: of the layer, from the last.
            problem: that may fix some inputs.
        """
        if not all(isinstance(step.link.module, PASSING) for step in self._steps[place + 1 :]):
            below, (low, high) = self._steps[place + 1], self._steps[place].ends(values)
            return rowwise(below.nearest, values.flatten(1)).reshape(values.shape).clamp(low, high)
        space, known = self.network.space, problem.known
        inside = space.project(values.reshape(len(values), *space.shape))
        inside = inside if known is None else torch.where(known.isnan(), inside, known)
        return inside.reshape(values.shape)

    def explain(self, found: Inversion) -> str:
        """Return what the formula asked for that no layer can give."""
        said = super().explain(found)
        clamped = found.stats.get("clamped")
        if clamped is None or clamped.shape[2:] != (len(self._steps),):
            raise ArgumentError("expected a result of this pinv, got another's; ask the inverter that gave it")
        asked = [step.asked(clamped[..., place]) for place, step in enumerate(self._steps) if clamped[..., place].any()]
        outside = found.stats["outside"]
        if outside.any():
            asked.append(f"{_percent(outside)} of the input values came out beyond the bounds of the input space")
        return f"{said} Clamped to the nearest possible: {'; '.join(asked)}." if asked else said


@dataclass(frozen=True, eq=False)
class _Law:
    """The Gaussian that values are drawn from, alike in all directions.

    Args:
        mean: of the shape of one input, double precision.
        deviation: of each value, a number.
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def over(cls, box: Interval, shape: tuple[int, ...]) -> _Law:
        """Return one over a range: spread as its even draws are where it has both ends, else of unit variance.

        Args:
            box: of values.
            shape: of one input.
        """
        low, high = (end.reshape(shape).cpu() for end in (box.low, box.high))
        bounded = low.isfinite() & high.isfinite()
        one_sided = torch.where(low.isfinite(), low, torch.where(high.isfinite(), high, 0.0))
        variance = torch.where(bounded, (high - low).square() / 12, 1.0)
        return cls(torch.where(bounded, (low + high) / 2, one_sided), variance.mean().sqrt())


@dataclass(frozen=True, eq=False)
class _Step:
    """One layer on the way back.

    Args:
        link: the layer.
        title: what a person calls it.
        invert: from its outputs to their preimage.
        box: ``(1, *input_shape)``: what its inputs lie in.
    """

    link: Link
    title: str
    invert: Inverse
    box: Interval

    def nearest(self, y: Tensor) -> Tensor:
        """Return the nearest outputs that the layer gives.

        Args:
            y: ``(rows, m)``: its outputs, flat.
        """
        asked = y.reshape(len(y), *self.link.module(self._zeros(y)).shape[1:])
        x = self.invert(asked).x.reshape(len(y), *self.link.input_shape)
        return self.link.module(x.clone()).flatten(1)

    def _zeros(self, y: Tensor) -> Tensor:
        return y.new_zeros(1, *self.link.input_shape)

    def ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the least and the greatest inputs, short of the ends where there are two, ``(1, *input_shape)``."""
        width = self.box.high - self.box.low
        edge = torch.where(width.isfinite(), _EDGE * width, 0.0)
        return (self.box.low + edge).to(like), (self.box.high - edge).to(like)

    def asked(self, clamped: Tensor) -> str:
        """Return what was asked of the layer that it can't give.

        Args:
            clamped: ``(batch, samples)``: the share of its values that no input gives.
        """
        if isinstance(self.link.module, nn.Linear):
            layer = self.link.module
            share, values = _percent((clamped > 0).double()), f"{layer.out_features} values"
            inputs = f"{layer.in_features} input{'s' * (layer.in_features != 1)}"
            return f"{share} of the answers asked {self.title} for {values} that its {inputs} can't give together"
        return f"{_percent(clamped)} of the values asked of {self.title} were beyond what it can give"


def _percent(share: Tensor) -> str:
    """Return a mean share; one that is not zero does not read as zero."""
    mean = float(share.double().mean())
    return f"{100 * mean:.0f} %" if mean >= 0.005 or mean == 0 else "under 1 %"
