"""bijective: each layer solved exactly, by factors computed once, with the error to expect from rounding beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genrev.equation import moved_inside
from genrev.errors import ArgumentError
from genrev.inverter import Inversion, Inverter, Outcome, Problem, Proposal, Traits
from genrev.layers.exact import PASSING, Sums, exact_steps
from genrev.network import Network

_ROUNDINGS = 3
"""How many random roundings the error is estimated by."""


class BijectiveInverter(Inverter):
    """Goes backwards layer by layer and solves each exactly: the only input that gives the target, if no layer narrows.

    For chains whose layers of sums have full rank and whose activations are one to one; others are refused. A square
    layer is solved by LU factors, refined with residuals in double precision; a wide one by a QR factorisation, which
    picks the shortest of its inputs; one with more outputs than inputs by least squares, exact for what the layer can
    give. Layers that are too large for factors, as sparse ones may be, are solved by their products alone (LSMR, or
    conjugate gradients where the weights stay on a disk or are spread over processes); their rank is not looked at. The
    constant that a softmax does not see is solved for. All factors are computed once, when the inverter is built.

    An answer is as good as the target is known: ``stats["error"]`` is the distance to the input that made the target,
    as a share of that input's norm, to be expected where the network itself computed the target. It is estimated by
    solving again for 3 targets whose values, at every layer, are off at random by as much as rounding makes them; of a
    single target the true error is often half or twice that, and of an ill-conditioned layer that is solved by its
    products alone it may be far more. Where a layer narrows, or a softmax leaves a constant open, the distance is that
    to the shortest input; where an entry of the target is free, to the input of what was filled in. It is infinite
    where nothing can be told: where a value is at the end of what an activation gives, as a saturated sigmoid's that
    was rounded to 1, or one that the layer can't give. `conditions` are the worst case of one layer each: how much a
    relative error of its output may grow.

    ``stats["misfit"]``, ``(batch, samples, layers)``, is what each of `layers` leaves of its equation, relative;
    ``stats["iterations"]`` how many it took, none for what is solved by factors; ``stats["clamped"]`` the share of the
    values asked of activations that these can't give, ``stats["outside"]`` that of the input values beyond the bounds
    of the input space. A free entry of a target is that of the output at the data's mean, or at the middle of the
    input space.

    Args:
        network: the network to invert: a chain of layers of sums of full rank and one-to-one activations.
        tolerance: the residual that counts as met, in output units.

    Raises:
        LayerError: the network is no chain, or has a layer that is singular or nearly so, of its own precision, or is
            not one to one.

    Reference:
        Langou et al., 2006, "Exploiting the performance of 32 bit floating point arithmetic in obtaining 64 bit
        accuracy"; Higham, 2002, "Accuracy and Stability of Numerical Algorithms".

    Example:
        >>> from torch import nn
        >>> from genrev import InputSpace
        >>> module = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)).double()
        >>> inverter = BijectiveInverter(Network(module, space=InputSpace((4,))))
        >>> x = torch.randn(5, 4).double()
        >>> found = inverter.reconstruct(inverter.network.evaluate(x))
        >>> bool(torch.allclose(found.best, x)), inverter.unique
        (True, True)
    """

    traits: ClassVar[Traits] = Traits(
        summary="Each layer is solved exactly, by factors computed once: the only input there is where no layer "
        "narrows, else the shortest, layer by layer.",
        chain=True,
    )

    def __init__(self, network: Network, *, tolerance: float | Tensor = 1e-3) -> None:
        super().__init__(network, tolerance=tolerance)
        with torch.inference_mode(False), torch.no_grad(), network.frozen():
            self._steps = exact_steps(network.chain().links)

    @property
    def layers(self) -> list[str]:
        """The names of the layers of sums, first layer first."""
        return [step.link.name for step in self._sums]

    @property
    def conditions(self) -> list[float]:
        """The condition number of each of `layers`, estimated in the 1-norm; NaN where nothing is known of it.

        Of a layer that is solved by its products alone it is that of its scaled columns, as far as the last solution
        saw.
        """
        return [step.solver.condition for step in self._sums]

    @property
    def unique(self) -> bool:
        """Whether an input is the only one that gives its output: no layer has fewer outputs than inputs, or a softmax.

        Of residual blocks it is taken that they are one to one.
        """
        return all(step.solver.operator.height >= step.solver.operator.shape[1] for step in self._sums)

    @property
    def _sums(self) -> list[Sums]:
        return [step for step in self._steps if isinstance(step, Sums)]

    def _row_bytes(self) -> int:
        widest = max((sum(step.solver.operator.shape) for step in self._sums), default=0)
        return 8 * 8 * (1 + _ROUNDINGS) * max(widest, self.network.space.size)

    def _propose(self, problem: Problem) -> Proposal:
        target = moved_inside(problem.target, problem.tolerance, self.network)
        if bool(target.isnan().any()):
            target = torch.where(target.isnan(), self._usual(), target)
        way = self._down(target.double())
        x = way.x.to(problem.target).reshape(len(target), *self.network.space.shape)
        outside = ~self.network.space.contains(x)
        stats = {
            "error": self._error(way, x, problem),
            "misfit": way.misfit,
            "clamped": way.clamped,
            "outside": outside.flatten(1).double().mean(1),
        }
        stats = {name: value.to(problem.target) for name, value in stats.items()}
        reason = torch.where(way.ran_out, int(Outcome.LIMIT), int(Outcome.MISSED))
        return Proposal(x, stats | {"iterations": way.iterations}, reason)

    def _usual(self) -> Tensor:
        """Return the outputs at a usual input, ``(1, *output_shape)``."""
        centre = self.network.space.middle if self.data is None else self.data.mean
        return self.network.evaluate(centre.reshape(1, *self.network.space.shape))

    def _down(self, y: Tensor) -> _Way:
        """Go backwards through all layers.

        Args:
            y: ``(rows, *output_shape)``: what the last layer is to give, in double precision.
        """
        rows, values = len(y), 0
        clamped, ran_out = y.new_zeros(rows), torch.zeros(rows, dtype=torch.bool, device=y.device)
        misfits: list[Tensor] = []
        iterations: list[Tensor] = []
        given: list[Tensor] = []
        sizes: list[Tensor] = []
        for step in reversed(self._steps):
            given.append(y)
            size = y.abs() * torch.finfo(self.network.dtype).eps / 2
            if isinstance(step, Sums):
                found, misfit = step.solve(y)
                misfits.insert(0, misfit)
                iterations.insert(0, found.iterations)
                ran_out = ran_out | found.ran_out
                left = misfit * y.flatten(1).square().mean(1).sqrt()
                if found.iterations.any():
                    # What iterations leave lies more and more where small singular values make much of it.
                    left = left * max(1.0, step.solver.condition) ** 0.5
                away = step.solver.rounding(found.x).hypot(left)
                # Even draws go up to as many times their deviation as the root of 3.
                size = torch.maximum(size.flatten(1), 3**0.5 * away[:, None]).reshape(y.shape)
                y = found.x
            else:
                preimage = step.invert(y)
                if not isinstance(step.link.module, PASSING):
                    clamped = clamped + preimage.clamped.flatten(1).double().sum(1)
                    values += math.prod(preimage.clamped.shape[1:])
                y = preimage.x
            sizes.append(size)
            y = y.reshape(rows, *step.link.input_shape)
        none = y.new_zeros(rows, 0)
        return _Way(
            y,
            clamped / max(1, values),
            torch.stack(misfits, 1) if misfits else none,
            torch.stack(iterations, 1) if iterations else none.long(),
            ran_out,
            [*given, y],
            sizes,
        )

    def _error(self, way: _Way, x: Tensor, problem: Problem) -> Tensor:
        """Return how far the input that made the target is to be expected, as a share of its norm, ``(rows,)``.

        Args:
            way: the way back.
            x: what came of it, in the network's precision.
            problem: whose noise rounds the values of each layer at random.
        """
        noise = problem.repeat(_ROUNDINGS).noise
        # Of a value at the end of what an activation gives, and of one that no input gives, rounding has left nothing.
        lost = (way.clamped > 0) | (way.misfit > math.sqrt(torch.finfo(self.network.dtype).eps)).any(1)
        moved = (problem.target - way.given[0]).nan_to_num(0.0).abs() > 4 * torch.finfo(self.network.dtype).eps
        lost = lost | moved.flatten(1).any(1)
        given = [values.repeat_interleave(_ROUNDINGS, 0) for values in way.given]
        y = given[0]
        for place, (step, size) in enumerate(zip(reversed(self._steps), way.sizes, strict=True)):
            away = 2 * noise.uniform(tuple(size.shape[1:]), stream=place).to(size) - 1
            y = y + size.repeat_interleave(_ROUNDINGS, 0) * away
            if isinstance(step, Sums):
                y = given[place + 1].flatten(1) + step.estimate(y - given[place])
            else:
                preimage = step.invert(y)
                if not isinstance(step.link.module, PASSING):
                    lost = lost | preimage.clamped.reshape(len(x), -1).any(1)
                y = preimage.x
            y = y.reshape(len(y), *step.link.input_shape)
        found = way.x.flatten(1)
        apart = (y.reshape(len(x), _ROUNDINGS, -1) - found[:, None]).norm(dim=2).mean(1)
        # What the answer itself is rounded by.
        apart = apart.hypot((x.double().flatten(1) - found).norm(dim=1))
        length = found.norm(dim=1)
        return torch.where(lost, math.inf, torch.where(length > 0, apart / length, apart))

    def explain(self, found: Inversion) -> str:
        """Return what was asked that no layer can give, and how far rounding may have led astray."""
        said, error, misfit = super().explain(found), found.stats.get("error"), found.stats.get("misfit")
        if error is None or misfit is None or misfit.shape[2:] != (len(self.layers),):
            raise ArgumentError("expected a result of this bijective, got another's; ask the inverter that gave it")
        told = error[error.isfinite()]
        whose = "the input" if self.unique else "the shortest input"
        parts = []
        if len(told):
            parts.append(f"an error of {float(told.median()):.1g} of {whose} is to be expected from rounding")
        if len(told) < error.numel():
            parts.append(
                f"of {error.numel() - len(told)} of {error.numel()} answers none can be told, as they ask for values "
                "at or beyond the ends of what a layer gives"
            )
        if self.layers:
            known = [pair for pair in zip(self.conditions, self.layers, strict=True) if not math.isnan(pair[0])]
            if known:
                worst, name = max(known)
                parts.append(f"the worst condition number is {worst:.2g}, of layer {name!r}")
            missed = misfit.double().amax((0, 1)) > math.sqrt(torch.finfo(self.network.dtype).eps)
            if bool(missed.any()):
                # The last one was asked first.
                name = self.layers[int(missed.nonzero()[-1])]
                parts.append(f"layer {name!r} was asked for values that it can't give together")
        if bool(found.stats["clamped"].any()):
            parts.append("some values asked of activations are beyond what these can give")
        if bool(found.stats["outside"].any()):
            parts.append("some input values came out beyond the bounds of the input space")
        return f"{said} Of the solution: {'; '.join(parts)}."


@dataclass(frozen=True, eq=False)
class _Way:
    """One way back.

    Args:
        x: ``(rows, *input_shape)``.
        clamped: ``(rows,)``: the share of values that no activation gives.
        misfit: ``(rows, layers)``: what each layer of sums leaves of its equation, relative.
        iterations: ``(rows, layers)``: how many each of these took.
        ran_out: ``(rows,)`` of bool: whether one of these could have gone on.
        given: of each step, last step first, ``(rows, ...)``: what it was to give; and x.
        sizes: of each step, last step first, ``(rows, ...)``: by how much rounding moves what it gives.
    """

    x: Tensor
    clamped: Tensor
    misfit: Tensor
    iterations: Tensor
    ran_out: Tensor
    given: list[Tensor]
    sizes: list[Tensor]
