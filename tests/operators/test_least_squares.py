"""Tests of LSMR and of conjugate gradients on the normal equations: against dense algebra, SciPy and closed forms."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from matrices import KINDS, sparse, thinned
from scipy.sparse.linalg import lsmr as scipy_lsmr
from sentences import assert_one_sentence
from torch import Tensor

from genrev.errors import ArgumentError
from genrev.operators import BlockJacobi, ColumnScaling, Dense, LeastSquares, Operator, Stop, cgnr, lsmr
from genrev.operators.least_squares import Coefficients, bidiagonal_condition

METHODS: dict[str, Callable[..., LeastSquares]] = {"lsmr": lsmr, "cgnr": cgnr}
both = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
PRECONDITIONERS: dict[str, Callable[[Any], Any]] = {
    "none": lambda operator: None,
    "columns": ColumnScaling,
    "blocks": lambda operator: BlockJacobi(operator, size=3),
}
preconditioned = pytest.mark.parametrize("make", PRECONDITIONERS.values(), ids=PRECONDITIONERS)


def near(a: Tensor, b: Tensor, tolerance: float = 1e-8) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def true_residual(operator: Any, x: Tensor, b: Tensor) -> Tensor:
    return (operator.dense() @ x.T - b.T).norm(dim=0) / b.norm(dim=1)


@both
@preconditioned
@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_point_is_that_of_dense_algebra(method: Any, make: Any, kind: str) -> None:
    operator = KINDS[kind]()
    b = torch.randn(4, operator.shape[0])
    found = method(operator, b, tolerance=1e-12, preconditioner=make(operator))
    best = operator.dense() @ (torch.linalg.pinv(operator.dense()) @ b.T)
    near(operator(found.x), best.T)
    near(found.residual, true_residual(operator, found.x, b), 1e-13)
    inside = (best - b.T).norm(dim=0) < 1e-9 * b.norm(dim=1)
    assert bool((found.converged == inside).all())
    assert set(found.stop[~inside].tolist()) <= {Stop.NEAREST}


@both
@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6), (1, 5), (5, 1), (1, 1)])
def test_from_zero_the_shortest_of_the_nearest_points_is_found(method: Any, shape: tuple[int, int]) -> None:
    operator = Dense(torch.randn(*shape))
    b = torch.randn(3, shape[0])
    found = method(operator, b, tolerance=1e-13)
    near(found.x, b @ torch.linalg.pinv(operator.weight).T)


@both
def test_a_matrix_that_lacks_rank_has_its_shortest_answer_too(method: Any) -> None:
    operator = Dense(torch.randn(8, 3) @ torch.randn(3, 10))
    b = operator(torch.randn(2, 10))
    found = method(operator, b, tolerance=1e-12)
    near(found.x, b @ torch.linalg.pinv(operator.weight, rtol=1e-10).T)
    assert bool(found.converged.all())


@both
def test_from_a_start_the_nearest_answer_to_it_is_found(method: Any) -> None:
    operator = Dense(torch.randn(3, 8))
    b, start = torch.randn(2, 3), torch.randn(2, 8)
    kept = start.clone()
    found = method(operator, b, tolerance=1e-12, start=start)
    inverse = torch.linalg.pinv(operator.weight)
    near(found.x, start + (b - start @ operator.weight.T) @ inverse.T)
    assert torch.equal(start, kept)


@both
def test_with_scaled_columns_the_weighted_length_is_least(method: Any) -> None:
    operator = Dense(torch.randn(3, 8) * 10 ** torch.linspace(-2, 2, 8))
    b = torch.randn(2, 3)
    found = method(operator, b, tolerance=1e-12, preconditioner=ColumnScaling(operator))
    lengths = operator.weight.norm(dim=0)
    near(found.x, b @ torch.linalg.pinv(operator.weight / lengths).T / lengths)


@both
def test_another_start_of_the_norm_keeps_its_null_space(method: Any) -> None:
    operator = Dense(torch.randn(3, 8))
    start = torch.randn(1, 8)
    b = operator(start)
    found = method(operator, b, start=start)
    assert torch.equal(found.x, start)
    assert found.iterations.tolist() == [0]


def test_lsmr_is_scipys_step_by_step() -> None:
    operator = Dense(torch.randn(60, 40))
    b = torch.randn(1, 60)
    for limit in (1, 2, 5, 17):
        found = lsmr(operator, b, limit=limit, tolerance=1e-15)
        other = scipy_lsmr(operator.weight.numpy(), b[0].numpy(), maxiter=limit, atol=0, btol=0, conlim=0)
        near(found.x[0], torch.from_numpy(other[0]), 1e-10)
        assert found.iterations.tolist() == [limit]
        assert found.stop.tolist() == [Stop.LIMIT]


def test_scaled_equations_are_those_of_scaled_dense_algebra() -> None:
    operator, scale = Dense(torch.randn(9, 4)), 10 ** torch.linspace(-1, 1, 9)
    b = torch.randn(2, 9)
    found = lsmr(operator, b, row_scale=scale)
    near(found.x, (b * scale) @ torch.linalg.pinv(operator.weight * scale[:, None]).T)
    near(found.residual, true_residual(operator, found.x, b), 1e-13)


def test_scaled_equations_do_not_change_an_answer_that_there_is() -> None:
    operator, scale = Dense(torch.randn(9, 9)), 10 ** torch.linspace(-3, 3, 9)
    x = torch.randn(2, 9)
    found = lsmr(operator, operator(x), tolerance=1e-12, row_scale=scale)
    assert bool((found.residual <= 1e-12).all())
    near(found.x, x, 1e-7)


@both
@preconditioned
def test_a_row_is_what_it_is_alone(method: Any, make: Any) -> None:
    operator = Dense(torch.randn(30, 30) + 4 * torch.eye(30))
    easy = operator(torch.linalg.svd(operator.weight).Vh[:1])
    b = torch.cat([torch.randn(2, 30), easy, torch.zeros(1, 30), torch.randn(3, 30)])
    together = method(operator, b, tolerance=1e-12, preconditioner=make(operator))
    for row in range(len(b)):
        alone = method(operator, b[row : row + 1], tolerance=1e-12, preconditioner=make(operator))
        near(together.x[row], alone.x[0], 1e-10)
        assert abs(int(together.iterations[row]) - int(alone.iterations[0])) <= 1
        assert int(together.stop[row]) == int(alone.stop[0])
    assert len(set(together.iterations.tolist())) >= 2


@both
def test_nothing_asked_is_nothing_found(method: Any) -> None:
    operator = Dense(torch.randn(3, 4))
    found = method(operator, torch.zeros(2, 3))
    assert torch.equal(found.x, torch.zeros(2, 4))
    assert found.residual.tolist() == [0.0, 0.0]
    assert found.stop.tolist() == [Stop.SOLVED] * 2
    none = method(operator, torch.zeros(0, 3))
    assert none.x.shape == (0, 4)
    assert none.stop.shape == none.residual.shape == none.iterations.shape == (0,)


@both
def test_zero_is_reached_from_a_start(method: Any) -> None:
    operator = Dense(torch.randn(4, 4) + 4 * torch.eye(4))
    found = method(operator, torch.zeros(1, 4), start=torch.ones(1, 4), tolerance=1e-12)
    near(found.x, torch.zeros(1, 4), 1e-10)
    assert bool(found.converged.all())


@both
def test_weights_of_zero_are_as_near_at_once(method: Any) -> None:
    found = method(Dense(torch.zeros(3, 4)), torch.ones(1, 3))
    assert torch.equal(found.x, torch.zeros(1, 4))
    assert found.residual.tolist() == [1.0]
    assert found.stop.tolist() == [Stop.NEAREST]
    assert found.iterations.tolist() == [0]


@both
@preconditioned
def test_a_matrix_without_rows_or_columns_has_its_answer_too(method: Any, make: Any) -> None:
    for shape, stop in (((3, 0), Stop.NEAREST), ((0, 3), Stop.SOLVED)):
        operator = Dense(torch.zeros(shape))
        found = method(operator, torch.ones(2, shape[0]), preconditioner=make(operator))
        assert torch.equal(found.x, torch.zeros(2, shape[1]))
        assert found.stop.tolist() == [stop] * 2


@both
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_what_is_not_finite_is_said_and_spoils_no_other_row(method: Any, wrong: float) -> None:
    operator = Dense(torch.randn(4, 4) + 4 * torch.eye(4))
    b = torch.randn(3, 4)
    b[1, 2] = wrong
    found = method(operator, b)
    assert found.stop.tolist() == [Stop.SOLVED, Stop.NOT_FINITE, Stop.SOLVED]
    assert torch.equal(found.x[1], torch.zeros(4))
    broken = Dense(torch.full((4, 4), wrong))
    for make in PRECONDITIONERS.values():
        found = method(broken, torch.ones(2, 4), preconditioner=make(broken))
        assert found.stop.tolist() == [Stop.NOT_FINITE] * 2
        assert torch.equal(found.x, torch.zeros(2, 4))


@both
def test_a_singular_matrix_is_never_called_solved_above_the_tolerance(method: Any) -> None:
    weight = torch.randn(12, 12)
    weight[:, 0] = weight[:, 1]
    for b in (torch.randn(3, 12), weight[None, :, 2]):
        found = method(Dense(weight), b)
        assert bool((found.converged == (found.residual <= 1e-9)).all())
        near(found.residual, true_residual(Dense(weight), found.x, b), 1e-12)
    assert bool(found.converged.all())


@both
@pytest.mark.parametrize("decades", [6, 10, 14, 20])
def test_an_ill_conditioned_matrix_is_reported_as_it_is(method: Any, decades: int) -> None:
    u, _ = torch.linalg.qr(torch.randn(40, 40))
    v, _ = torch.linalg.qr(torch.randn(40, 40))
    operator = Dense(u * 10 ** -torch.linspace(0, decades, 40) @ v)
    b = operator(torch.randn(2, 40)) if decades < 10 else torch.randn(2, 40)
    found = method(operator, b, limit=400)
    # As far as products with a huge x are known.
    near(found.residual, true_residual(operator, found.x, b), 1e-14 * float(found.x.norm()))
    assert bool((found.converged == (found.residual <= 1e-9)).all())
    assert bool((found.iterations <= 400).all())
    assert found.condition > 1e3


def test_a_limit_of_none_leaves_the_start() -> None:
    found = lsmr(Dense(torch.eye(2)), torch.ones(1, 2), limit=0)
    assert found.stop.tolist() == [Stop.LIMIT]
    assert found.x.tolist() == [[0.0, 0.0]]


@both
def test_float32_is_solved_as_far_as_it_goes(method: Any) -> None:
    operator = Dense((torch.randn(50, 50) + 12 * torch.eye(50)).float())
    b = torch.randn(3, 50).float()
    found = method(operator, b, tolerance=1e-6)
    assert found.x.dtype == torch.float32
    assert found.residual.dtype == torch.float64
    assert bool(found.converged.all())
    beyond = method(operator, b, tolerance=1e-12)
    assert not bool(beyond.converged.any())
    assert set(beyond.stop.tolist()) <= {Stop.STALLED, Stop.NEAREST}
    assert float(beyond.residual.max()) < 1e-6


@both
def test_what_has_drifted_is_mended_by_another_pass(method: Any) -> None:
    weight = (torch.randn(1000, 1000) / 1000**0.5 / 2 + 2 * torch.eye(1000)).float()
    found = method(Dense(weight), torch.randn(2, 1000).float() @ weight.T, tolerance=3e-7)
    assert bool(found.converged.all()), found.residual


@both
def test_the_condition_number_is_that_of_dense_algebra(method: Any) -> None:
    weight = torch.randn(30, 30) + 7 * torch.eye(30)
    found = method(Dense(weight), torch.randn(2, 30), tolerance=1e-13)
    assert found.condition == pytest.approx(float(torch.linalg.cond(weight)), rel=1e-3)


def test_preconditioners_are_inverse_roots_with_their_transposes() -> None:
    operator = sparse(thinned(40, 23) + torch.cat([torch.eye(23), torch.zeros(17, 23)]))
    for preconditioner in (ColumnScaling(operator), BlockJacobi(operator, size=5), BlockJacobi(operator, size=99)):
        z, x = torch.randn(3, 23), torch.randn(3, 23)
        near((preconditioner(z) * x).sum(1), (z * preconditioner.adjoint(x)).sum(1), 1e-12)
    whole = operator(BlockJacobi(operator, size=23)(torch.eye(23)))
    near(whole @ whole.T, torch.eye(23), 1e-10)


def test_blocks_of_columns_that_depend_on_one_another_are_scaled_only() -> None:
    weight = torch.randn(9, 6)
    weight[:, 1], weight[:, 3] = 2 * weight[:, 0], 0.0
    for size in (2, 3, 6):
        preconditioner = BlockJacobi(Dense(weight), size=size)
        assert bool(preconditioner(torch.randn(2, 6)).isfinite().all())
        b = torch.randn(1, 9)
        found = lsmr(Dense(weight), b, preconditioner=preconditioner)
        near(found.x @ weight.T, b @ torch.linalg.pinv(weight).T @ weight.T)


@both
def test_scaled_columns_take_a_fifth_of_the_iterations_at_most(method: Any) -> None:
    n = 200
    weight = 1.5 * torch.eye(n) + thinned(n, n, 0.16) / 32**0.5
    operator = sparse(weight * 10 ** (4 * torch.rand(n) - 2))
    b = operator(torch.randn(2, n))
    plain = method(operator, b, limit=2000)
    for preconditioner in (ColumnScaling(operator), BlockJacobi(operator, size=8)):
        scaled = method(operator, b, preconditioner=preconditioner)
        assert bool(scaled.converged.all())
        assert bool((5 * scaled.iterations <= plain.iterations).all())


def test_blocks_undo_what_scaling_can_not() -> None:
    mixed = torch.linalg.qr(torch.randn(20, 4, 4))[0] * 10 ** torch.linspace(-2, 2, 4) @ torch.randn(20, 4, 4)
    weight = torch.block_diag(*mixed) + 1e-3 * torch.randn(80, 80)
    b = torch.randn(1, 80)
    columns, blocks = (
        lsmr(Dense(weight), b, preconditioner=one, tolerance=1e-6)
        for one in (ColumnScaling(Dense(weight)), BlockJacobi(Dense(weight), size=4))
    )
    assert 2 * int(blocks.iterations) < int(columns.iterations)


def test_gradients_modes_and_random_numbers_stay_as_they_were() -> None:
    state = torch.random.get_rng_state()
    weight = torch.randn(4, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    b = torch.ones(2, 4, requires_grad=True)
    for method in METHODS.values():
        assert not method(Dense(weight), b).x.requires_grad
    with torch.inference_mode():
        assert bool(lsmr(Dense(weight.detach().clone()), torch.ones(2, 4)).x.isfinite().all())
    assert torch.equal(state, torch.random.get_rng_state())


@both
@pytest.mark.parametrize(
    "keywords",
    [
        {"b": torch.ones(3)},
        {"b": torch.ones(2, 4)},
        {"b": torch.ones(2, 3).float()},
        {"b": [[1.0, 1.0, 1.0]]},
        {"start": torch.ones(1, 5)},
        {"start": torch.ones(2, 4)},
        {"tolerance": -1.0},
        {"tolerance": torch.nan},
        {"limit": -1},
        {"limit": 1.5},
        {"flat": -1.0},
    ],
)
def test_what_does_not_fit_the_operator_is_refused(method: Any, keywords: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as caught:
        method(Dense(torch.ones(3, 5)), **{"b": torch.ones(2, 3), **keywords})
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("scale", [torch.ones(5), torch.zeros(3), -torch.ones(3), torch.ones(3).float()])
def test_scales_of_equations_are_checked(scale: Tensor) -> None:
    with pytest.raises(ArgumentError) as caught:
        lsmr(Dense(torch.ones(3, 5)), torch.ones(2, 3), row_scale=scale)
    assert_one_sentence(caught.value)


class Shard(Operator):
    """Some rows of a matrix; the others are with other threads, and sums go round."""

    def __init__(self, weight: Tensor, together: Callable[[Tensor], Tensor]) -> None:
        self._own, self._together = Dense(weight), together
        super().__init__(self._own.shape, self._own.dtype, self._own.device)

    def __call__(self, x: Tensor) -> Tensor:
        return self._own(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._together(self._own.adjoint(y))

    def column_squares(self) -> Tensor:
        return self._together(self._own.column_squares())

    def row_squares(self) -> Tensor:
        return self._own.row_squares()

    def squared_norm(self, y: Tensor) -> Tensor:
        return self._together(self._own.squared_norm(y))


@both
def test_rows_that_are_elsewhere_count_all_the_same(method: Any) -> None:
    weight = torch.randn(30, 20)
    b = torch.cat([torch.randn(2, 20) @ weight.T, torch.randn(1, 30)])
    whole = method(Dense(weight), b, preconditioner=ColumnScaling(Dense(weight)))
    given: list[Tensor] = [torch.empty(0)] * 2
    barrier = threading.Barrier(2, timeout=30)

    def run(number: int, rows: slice) -> LeastSquares:
        def together(own: Tensor) -> Tensor:
            given[number] = own
            barrier.wait()
            total = given[0] + given[1]
            barrier.wait()
            return total

        shard = Shard(weight[rows], together)
        return method(shard, b[:, rows].contiguous(), preconditioner=ColumnScaling(shard))

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(run, (0, 1), (slice(0, 11), slice(11, 30))))
    for part in found:
        near(part.x, whole.x, 1e-9)
        near(part.residual, whole.residual, 1e-9)
        assert part.stop.tolist() == whole.stop.tolist() == [Stop.SOLVED, Stop.SOLVED, Stop.NEAREST]


def test_every_reason_to_stop_has_its_sentence() -> None:
    assert len({stop.sentence for stop in Stop}) == len(Stop)


def test_the_condition_number_of_coefficients_is_that_of_their_matrix() -> None:
    diagonal, beside = 1 + torch.rand(6), torch.rand(6)
    kept = [
        Coefficients(torch.tensor([3, 5]), one.expand(2), two.expand(2))
        for one, two in zip(diagonal, beside, strict=True)
    ]
    matrix = torch.cat([torch.diag(diagonal), torch.zeros(6, 1)], 1)
    matrix.diagonal(1).copy_(beside)
    assert bidiagonal_condition(kept) == pytest.approx(float(torch.linalg.cond(matrix)))
    assert bidiagonal_condition([]) == 1.0
