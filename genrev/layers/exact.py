"""The layers of a chain that can be undone exactly: sums of full rank, solved, and functions that are one to one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genrev.errors import ArgumentError, LayerError
from genrev.layers.chain import Link
from genrev.layers.links import Residual, Scaled
from genrev.layers.operators import is_sums, operator
from genrev.layers.preimage import Inverse, inverse
from genrev.operators import Dense, Operator, Solved, Solver, prepare

PASSING = (nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.modules.dropout._DropoutNd)
"""What only passes values on."""

_ONE_TO_ONE = (
    nn.Sigmoid,
    nn.Tanh,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.Softplus,
    nn.LogSigmoid,
    nn.Softsign,
    nn.modules.batchnorm._BatchNorm,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    Scaled,
    Residual,
)
"""Layers that give every output for one input alone, or for none; a residual block does where its branch contracts."""

_PROPORTIONS = (nn.Softmax, nn.LogSoftmax)


@dataclass(frozen=True, eq=False)
class Undone:
    """A layer that is one to one.

    Args:
        link: the layer.
        invert: from its outputs to their preimage.
    """

    link: Link
    invert: Inverse


@dataclass(frozen=True, eq=False)
class Sums:
    """A layer W x + b.

    Args:
        link: the layer.
        solver: of W.
        bias: b, ``(m,)`` in double precision.
        seen: ``(m, k)``: what a softmax behind the layer can see of its outputs; None where that is all.
    """

    link: Link
    solver: Solver
    bias: Tensor
    seen: Tensor | None

    def solve(self, y: Tensor) -> tuple[Solved, Tensor]:
        """Return the inputs, ``(rows, n)``, that give values, and what they leave of the equation.

        Args:
            y: ``(rows, ...)``, m values each, double precision.

        Returns:
            What was found, and the residual relative to what was asked, ``(rows,)``.
        """
        asked = self._seen(y.flatten(1) - self.bias)
        found = self.solver.solve(asked)
        left, size = self.solver.residual(found.x, asked).norm(dim=1), asked.norm(dim=1)
        return found, torch.where(size > 0, left / size, left)

    def estimate(self, change: Tensor) -> Tensor:
        """Return to a percent or so how a change of the values changes the inputs, ``(rows, n)``.

        Args:
            change: ``(rows, ...)``, m values each, double precision.
        """
        return self.solver.estimate(self._seen(change.flatten(1)))

    def _seen(self, values: Tensor) -> Tensor:
        return values if self.seen is None else values @ self.seen


def exact_steps(links: Sequence[Link]) -> list[Sums | Undone]:
    """Return the layers as what undoes them, in the order they run; each is prepared once.

    Args:
        links: of a chain.

    Raises:
        LayerError: a layer is not one to one, or its sums are singular or nearly so in their own precision.

    Example:
        >>> steps = exact_steps([Link("0", nn.Linear(3, 3), (3,)), Link("1", nn.Tanh(), (3,))])
        >>> [type(step).__name__ for step in steps]
        ['Sums', 'Undone']
    """
    steps: list[Sums | Undone] = []
    for place, link in enumerate(links):
        after = next((one.module for one in links[place + 1 :] if not isinstance(one.module, PASSING)), None)
        if is_sums(link.module):
            steps.append(_sums(link, proportions=isinstance(after, _PROPORTIONS)))
            continue
        before = next((one.module for one in reversed(links[:place]) if not isinstance(one.module, PASSING)), None)
        summed = isinstance(link.module, _PROPORTIONS) and before is not None and is_sums(before)
        if not summed and not isinstance(link.module, (*_ONE_TO_ONE, *PASSING)):
            raise LayerError(
                f"expected layers that are one to one, got {type(link.module).__name__} at {link.name!r}; use 'pinv', "
                "which takes the nearest, 'recurrent' for an unrolled nn.RNN, or 'newton'"
            )
        scale = _scale(link.module)
        if scale is not None:
            dead = int((scale == 0).sum())
            if dead:
                raise LayerError(
                    f"expected layers that are one to one, got {link.name!r} with {dead} of its weights zero; use "
                    "'pinv', which takes the shortest input, or 'newton'"
                )
        try:
            steps.append(Undone(link, inverse(link.module, link.input_shape)))
        except LayerError as error:
            raise LayerError(f"layer {link.name!r}: {error}") from None
    return steps


def _scale(module: nn.Module) -> Tensor | None:
    """Return what a layer multiplies its values with, one by one."""
    if isinstance(module, Scaled):
        return module.scale
    return module.weight if isinstance(module, nn.modules.batchnorm._BatchNorm) else None


def _sums(link: Link, *, proportions: bool) -> Sums:
    """Return the solve of a layer of sums.

    Args:
        link: the layer.
        proportions: whether a softmax is behind it, which does not see a constant added to all of its outputs.
    """
    weights, bias = operator(link.module, link.input_shape)
    m, n = weights.shape
    if not m or not n:
        raise LayerError(f"expected a layer with weights, got {link.name!r} from {n} values to {m}; leave it out")
    # Weights are looked at where they are solved: those that are spread over processes must be refused on all at once.
    if not bool(bias.isfinite().all()):
        raise LayerError(f"expected finite weights, got NaN or infinity in the bias of {link.name!r}; train it again")
    seen: Tensor | None = None
    if proportions:
        weights, seen = _as_seen(weights, link)
    try:
        solver = prepare(weights)
    except ArgumentError as error:
        raise LayerError(f"layer {link.name!r}: {error}") from None
    if solver.kind == "svd" or (solver.rank is not None and solver.rank < min(weights.shape)):
        size = f"{solver.condition:.2g}" if math.isfinite(solver.condition) else "infinity"
        raise LayerError(
            f"expected a layer of full rank, got {link.name!r} ({n} to {m}) of rank {solver.rank} of "
            f"{min(weights.shape)}, condition number {size}; use 'pinv', which takes the shortest input, or 'newton'"
        )
    return Sums(link, solver, bias.double(), seen)


def _as_seen(weights: Operator, link: Link) -> tuple[Operator, Tensor]:
    """Return the sums that a softmax can tell apart, and the basis in which it sees the outputs."""
    m = weights.shape[0]
    if m == 1:
        raise LayerError(
            f"expected two proportions or more behind {link.name!r}, got one, which is always 1; leave it out"
        )
    ones = torch.ones(m, 1, dtype=torch.float64, device=weights.device)
    seen = torch.linalg.qr(torch.cat([ones, torch.eye(m).to(ones)[:, 1:]], 1))[0][:, 1:]
    return Dense((seen.T @ weights.dense().double()).to(weights.dtype)), seen
