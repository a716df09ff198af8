"""The inverse of x + g(x): by x <- y - g(x) where g contracts, by Newton's method where it does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genrev.layers.links import Residual
from genrev.layers.preimage import Inverse, Preimage, expect_usable, inverse
from genrev.rows import filled

_ROUNDS = 200
"""Of the fixed point iteration, at most."""

_CALM = 0.8
"""The share of what is left that a round may leave at most for the iteration to go on."""

_STEPS = 50
"""Of Newton's method, at most."""

_HALVINGS = 20
"""Of one such step, at most."""

_WIDEST = 1024
"""How many values an input may have for its Jacobian to be made."""

Body = Callable[[Tensor], Tensor]


@inverse.register
def _(layer: Residual, input_shape: tuple[int, ...]) -> Inverse:
    expect_usable(layer)
    size = math.prod(input_shape)

    def body(x: Tensor) -> Tensor:
        return layer.body(x.reshape(len(x), *input_shape)).reshape(len(x), size)

    def invert(y: Tensor) -> Preimage:
        return Roots.of(body, y.detach().reshape(len(y), size), input_shape)

    return invert


@dataclass(frozen=True, eq=False)
class Roots(Preimage):
    """The inputs with x + g(x) = y, as far as they are found: one where g contracts, else there may be others.

    Reference:
        Behrmann, Grathwohl, Chen, Duvenaud and Jacobsen, 2019, "Invertible Residual Networks".

    Args:
        body: g, of rows ``(batch, n)``.
        y: ``(batch, n)``.
        root: ``(batch, n)``: the one that is found from y.
        alone: ``(batch,)`` of bool: whether the iteration contracted on its way there.
        input_shape: of one input.
        clamped: see `Preimage`: all values of a row that none was found for.
    """

    body: Body
    y: Tensor
    root: Tensor
    alone: Tensor
    input_shape: tuple[int, ...]
    clamped: Tensor

    @classmethod
    def of(cls, body: Body, y: Tensor, input_shape: tuple[int, ...]) -> Roots:
        """Search for a root of each row.

        Args:
            body: g.
            y: ``(batch, n)``.
            input_shape: of one input.
        """
        root, alone = _contract(body, y)
        root = _newton(body, y, root)
        missed = ~_met(body, y, root)
        clamped = missed[:, None].expand_as(y).reshape(len(y), *input_shape)
        return cls(body, y, root, alone & ~missed, input_shape, clamped)

    @property
    def x(self) -> Tensor:
        """``(batch, *input_shape)``: the root that is found from y itself, which need not be that nearest to zero."""
        return self.root.reshape(len(self.root), *self.input_shape)

    def nearest(self, z: Tensor) -> Tensor:
        """Return the nearer of two roots: the known one, and the one that Newton's method finds from z.

        Args:
            z: ``(batch, *input_shape)``.
        """
        flat, found = z.reshape(self.root.shape), self.root.clone()
        rows = (~self.alone).nonzero()[:, 0]
        if len(rows):
            other = _newton(self.body, self.y[rows], flat[rows])
            nearer = (other - flat[rows]).norm(dim=1) < (found[rows] - flat[rows]).norm(dim=1)
            taken = rows[nearer & _met(self.body, self.y[rows], other)]
            found[taken] = other[nearer & _met(self.body, self.y[rows], other)]
        return found.reshape(z.shape)

    def contains(self, x: Tensor, slack: float | None = None) -> Tensor:
        """Return whether x + g(x) is y, ``(batch,)`` of bool.

        Args:
            x: ``(batch, *input_shape)``.
            slack: how far a value of it may be off; see `Preimage.contains` for what it is if not given.
        """
        away = _lack(self.body, self.y, x.reshape(self.y.shape)).abs()
        return (away <= self.room(x, slack)[:, None]).all(1)


def _lack(body: Body, y: Tensor, x: Tensor) -> Tensor:
    """Return y - x - g(x), each row rounded as beside any others."""
    with torch.no_grad():
        return y - x - body(filled(x))[: len(x)]


def _met(body: Body, y: Tensor, x: Tensor) -> Tensor:
    """Return whether each row is a root to the precision's own slack."""
    slack = torch.finfo(y.dtype).eps ** 0.5 * torch.maximum(x.abs(), y.abs()).amax(1, keepdim=True).clamp(min=1.0)
    return (_lack(body, y, x).abs() <= slack).all(1)


def _contract(body: Body, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return where x <- y - g(x) arrives from y, and for which rows each round left less than the one before."""
    x, alone = y.clone(), torch.zeros(len(y), dtype=torch.bool, device=y.device)
    rows, before = torch.arange(len(y), device=y.device), torch.full((len(y),), math.inf, dtype=y.dtype).to(y.device)
    for _ in range(_ROUNDS):
        lack = _lack(body, y[rows], x[rows])
        left = lack.norm(dim=1)
        done = left <= 4 * torch.finfo(y.dtype).eps * y[rows].norm(dim=1)
        calm = (left < _CALM * before) & ~done
        alone[rows[done]] = True
        rows, before = rows[calm], left[calm]
        if len(rows) == 0:
            break
        x[rows] += lack[calm]
    return x, alone


def _newton(body: Body, y: Tensor, x: Tensor) -> Tensor:
    """Return roots near x by Newton's method, each step shortened until it gains; the best there is where it fails."""
    x = x.clone()
    if y.shape[1] > _WIDEST:
        return x
    rows = torch.arange(len(y), device=y.device)
    for _ in range(_STEPS):
        lack = _lack(body, y[rows], x[rows])
        left = lack.norm(dim=1)
        going = left > 4 * torch.finfo(y.dtype).eps * (y[rows].norm(dim=1) + x[rows].norm(dim=1))
        rows, lack, left = rows[going], lack[going], left[going]
        if len(rows) == 0:
            break
        step = _solve(_jacobian(body, x[rows]), lack)
        taken, short = x[rows], torch.ones(len(rows), dtype=torch.bool, device=y.device)
        for halving in range(_HALVINGS):
            tried = x[rows] + step / 2**halving
            gains = short & (_lack(body, y[rows], tried).norm(dim=1) < left)
            taken, short = torch.where(gains[:, None], tried, taken), short & ~gains
            if not bool(short.any()):
                break
        x[rows] = taken
        rows = rows[~short]
    return x


def _solve(matrix: Tensor, right: Tensor) -> Tensor:
    """Return the solution of each row's equations; nothing where there is none."""
    return torch.linalg.solve_ex(matrix, right[..., None])[0][..., 0].nan_to_num(0.0, 0.0, 0.0)


def _jacobian(body: Body, x: Tensor) -> Tensor:
    """Return the derivatives of x + g(x), ``(batch, n, n)``."""
    slopes = torch.func.jacrev(lambda rows: body(rows).sum(0))(x)
    return slopes.detach().movedim(1, 0) + torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
