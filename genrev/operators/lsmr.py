"""LSMR: least squares by products with A and A' alone, for rows of right-hand sides that stop each by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from genrev.checks import real
from genrev.errors import ArgumentError
from genrev.operators.base import Operator
from genrev.operators.least_squares import (
    KEPT,
    Coefficients,
    LeastSquares,
    Pass,
    Stop,
    bidiagonal_condition,
    in_passes,
    inner,
    norm,
    unit,
)
from genrev.operators.preconditioners import Preconditioner

Product = Callable[[Tensor], Tensor]


def lsmr(
    operator: Operator,
    b: Tensor,
    *,
    tolerance: float = 1e-9,
    flat: float = 1e-12,
    limit: int = 5000,
    start: Tensor | None = None,
    preconditioner: Preconditioner | None = None,
    row_scale: Tensor | None = None,
) -> LeastSquares:
    """Minimise ``|A x - b|`` for each row.

    Where many x are nearest, as for a wide A, it is the shortest of them that is found from the default start, or the
    one nearest to another start. With a preconditioner R, short and near are meant in ``|R x|``: with `ColumnScaling`,
    in the sum of squares of x_j times the length of column j. A row's numbers depend on the other rows by rounding
    alone.

    Args:
        operator: A.
        b: ``(rows, m)``, of the operator's type and on its device.
        tolerance: of ``|A x - b| / |b|``; a row within it is done.
        flat: of ``|A'r| / (|A| |r|)`` with r = A x - b; a row within it is as near as it gets. The root of the sum of
            squares counts as ``|A|``, as far as it was seen; the share is no less than the precision's own rounding.
        limit: iterations of a row at most.
        start: ``(rows, n)``; zeros if not given.
        preconditioner: of the columns; none if not given.
        row_scale: ``(m,)``, positive: each equation counts as many times as much. Where b is in the range of A that
            changes the way and not the answer; elsewhere ``|row_scale * (A x - b)|`` is what is least.

    Returns:
        What was found, with the residual that is really left.

    Raises:
        ArgumentError: b, the start or the scale does not fit the operator.

    Reference:
        Fong and Saunders, 2011, "LSMR: an iterative algorithm for sparse least-squares problems".

    Example:
        >>> from genrev.operators import Dense
        >>> found = lsmr(Dense(torch.tensor([[1.0, 1.0]], dtype=torch.float64)), torch.tensor([[2.0]]).double())
        >>> found.x.round(decimals=9).tolist(), found.converged.tolist()
        ([[1.0, 1.0]], [True])
    """
    flat = max(real("flat", flat), 2 * torch.finfo(operator.dtype).eps)
    if row_scale is not None and not (
        row_scale.shape == operator.shape[:1]
        and row_scale.dtype == operator.dtype
        and bool(((row_scale > 0) & row_scale.isfinite()).all())
    ):
        raise ArgumentError(
            f"expected row_scale of {operator.shape[0]} positive numbers in {operator.dtype}, got "
            f"{tuple(row_scale.shape)} in {row_scale.dtype}; give one for each equation"
        )

    def forth(z: Tensor) -> Tensor:
        y = operator(z if preconditioner is None else preconditioner(z))
        return y if row_scale is None else y * row_scale

    def back(u: Tensor) -> Tensor:
        x = operator.adjoint(u if row_scale is None else u * row_scale)
        return x if preconditioner is None else preconditioner.adjoint(x)

    def method(left: Tensor, share: Tensor, limit: Tensor, size: Tensor) -> Pass:
        rows = _begin(operator, back, left if row_scale is None else left * row_scale, share, limit, size)
        found = _one_pass(operator, forth, back, rows, flat)
        return found if preconditioner is None else replace(found, step=preconditioner(found.step))

    with torch.no_grad():
        return in_passes(method, operator, b, tolerance=tolerance, limit=limit, start=start, row_scale=row_scale)


@dataclass
class _Rows:
    """The rows that are still going: the bidiagonalisation and the two rotations that follow it, named as there.

    Args:
        number: ``(rows,)``: where each stands among all.
        goal: ``(rows,)``: the residual at which it is done.
        limit: ``(rows,)``: its iterations at most.
    """

    number: Tensor
    goal: Tensor
    limit: Tensor
    u: Tensor
    v: Tensor
    h: Tensor
    h_bar: Tensor
    x: Tensor
    alpha: Tensor
    alpha_bar: Tensor
    zeta_bar: Tensor
    rho: Tensor
    rho_bar: Tensor
    c_bar: Tensor
    s_bar: Tensor
    # What is left, and the sizes of A: section 5 of the paper.
    beta_dd: Tensor
    beta_d: Tensor
    rho_d: Tensor
    tau: Tensor
    theta: Tensor
    zeta: Tensor
    squares: Tensor
    before: Tensor

    @property
    def size(self) -> Tensor:
        """``(rows,)``: the root of the sum of squares of A, as far as was seen in this pass or one before."""
        return torch.maximum(self.squares, self.before).sqrt()

    def take(self, rows: Tensor) -> _Rows:
        """Return some of the rows."""
        return _Rows(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def _begin(operator: Operator, back: Product, b: Tensor, share: Tensor, limit: Tensor, size: Tensor) -> _Rows:
    beta = norm(operator, b)
    u = unit(b, beta)
    v = back(u)
    alpha = _length(v)
    v = unit(v, alpha)
    one, zero = torch.ones_like(beta), torch.zeros_like(beta)
    return _Rows(
        number=torch.arange(len(b), device=b.device),
        goal=share * beta,
        limit=limit,
        u=u,
        v=v,
        h=v.clone(),
        h_bar=torch.zeros_like(v),
        x=torch.zeros_like(v),
        alpha=alpha,
        alpha_bar=alpha,
        zeta_bar=alpha * beta,
        rho=one,
        rho_bar=one,
        c_bar=one,
        s_bar=zero,
        beta_dd=beta,
        beta_d=zero,
        rho_d=one,
        tau=zero,
        theta=zero,
        zeta=zero,
        squares=alpha**2,
        before=size**2,
    )


def _one_pass(operator: Operator, forth: Product, back: Product, rows: _Rows, flat: float) -> Pass:
    x, size = torch.zeros_like(rows.x), torch.zeros_like(rows.goal)
    iterations, stop = torch.zeros_like(rows.limit), torch.zeros_like(rows.limit)
    done, count = _verdict(rows, rows.beta_dd, 0, flat), 0
    kept: list[Coefficients] = []
    while True:
        over = done >= 0
        if bool(over.any()):
            ended = rows.number[over]
            x[ended], stop[ended], iterations[ended] = rows.x[over], done[over], count
            size[ended] = rows.size[over]
            rows = rows.take((~over).nonzero()[:, 0])
        if len(rows.number) == 0:
            return Pass(x, iterations, bidiagonal_condition(kept), stop, size)
        alpha, count = rows.alpha, count + 1
        left, beta = _iterate(operator, forth, back, rows)
        if count <= KEPT:
            kept.append(Coefficients(rows.number, alpha, beta))
        done = _verdict(rows, left, count, flat)


def _verdict(rows: _Rows, left: Tensor, count: int, flat: float) -> Tensor:
    """Return the `Stop` of each row, -1 where it goes on."""
    slope = rows.zeta_bar.abs()
    going = torch.full_like(rows.number, -1)
    for found, why in (
        (rows.limit <= count, Stop.LIMIT),
        (slope <= flat * rows.size * left, Stop.NEAREST),
        (left <= rows.goal, Stop.SOLVED),
        (~(left + slope).isfinite(), Stop.NOT_FINITE),
    ):
        going = torch.where(found, int(why), going)
    return going


def _iterate(operator: Operator, forth: Product, back: Product, rows: _Rows) -> tuple[Tensor, Tensor]:
    """Go one iteration on, and return the residual as the recurrences have it and the size of the next u."""
    # The bidiagonalisation of Golub and Kahan.
    rows.u = _less(forth(rows.v), rows.alpha, rows.u)
    beta = norm(operator, rows.u)
    rows.u = unit(rows.u, beta)
    rows.v = _less(back(rows.u), beta, rows.v)
    rows.alpha = _length(rows.v)
    rows.v = unit(rows.v, rows.alpha)

    # Two rotations, of which the first makes R of the bidiagonal matrix and the second R-bar of R'.
    rho_before, rho_bar_before, zeta_before = rows.rho, rows.rho_bar, rows.zeta
    c, s, rows.rho = _rotation(rows.alpha_bar, beta)
    theta_new, rows.alpha_bar = s * rows.alpha, c * rows.alpha
    theta_bar, rho_now = rows.s_bar * rows.rho, rows.c_bar * rows.rho
    rows.c_bar, rows.s_bar, rows.rho_bar = _rotation(rho_now, theta_new)
    rows.zeta, rows.zeta_bar = rows.c_bar * rows.zeta_bar, -rows.s_bar * rows.zeta_bar

    rows.h_bar = _less(rows.h, _over(theta_bar * rows.rho, rho_before * rho_bar_before), rows.h_bar)
    rows.x = _less(rows.x, -_over(rows.zeta, rows.rho * rows.rho_bar), rows.h_bar)
    rows.h = _less(rows.v, _over(theta_new, rows.rho), rows.h)

    # The residual, by a third rotation.
    beta_hat, rows.beta_dd = c * rows.beta_dd, -s * rows.beta_dd
    theta_before = rows.theta
    c_d, s_d, rho_d = _rotation(rows.rho_d, theta_bar)
    rows.theta, rows.rho_d = s_d * rows.rho_bar, c_d * rows.rho_bar
    rows.beta_d = -s_d * rows.beta_d + c_d * beta_hat
    rows.tau = _over(zeta_before - theta_before * rows.tau, rho_d)
    tau_d = _over(rows.zeta - rows.theta * rows.tau, rows.rho_d)
    left = torch.hypot(rows.beta_d - tau_d, rows.beta_dd)

    rows.squares = rows.squares + beta**2 + rows.alpha**2
    return left, beta


def _rotation(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return c, s and r with r = c a + s b and 0 = s a - c b."""
    r = torch.hypot(a, b)
    return _over(a, r), _over(b, r), r


def _over(a: Tensor, b: Tensor) -> Tensor:
    """Return a / b, and 0 where b is: there the method has ended."""
    return torch.where(b == 0, 0.0, a / b)


def _less(values: Tensor, factor: Tensor, other: Tensor) -> Tensor:
    """Return values - factor * other, with a factor for each row."""
    return torch.addcmul(values, factor.to(values)[:, None], other, value=-1)


def _length(x: Tensor) -> Tensor:
    return inner(x, x).sqrt()
