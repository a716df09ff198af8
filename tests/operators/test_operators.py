"""Tests of linear operators: each is its matrix, in every product, and says what it can't be."""

from __future__ import annotations

import copy

import pytest
import torch
from matrices import KINDS, sparse, thinned
from sentences import assert_one_sentence

from genrev.errors import ArgumentError, LayerError
from genrev.operators import BlockDiagonal, Dense, LowRankPlusDiagonal, Sparse, checked_pattern

every = pytest.mark.parametrize("kind", KINDS)


def near(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


@every
@pytest.mark.parametrize("rows", [0, 1, 3, 9])
def test_products_are_those_of_the_matrix(kind: str, rows: int) -> None:
    operator = KINDS[kind]()
    matrix = operator.dense()
    m, n = operator.shape
    x, y = torch.randn(rows, n), torch.randn(rows, m)
    assert matrix.shape == (m, n)
    near(operator(x), x @ matrix.T)
    near(operator.adjoint(y), y @ matrix)
    near(operator.normal(x), x @ matrix.T @ matrix)
    near(operator.squared_norm(y), y.square().sum(1))
    # <A x, y> = <x, A'y>
    near((operator(x) * y).sum(1), (x * operator.adjoint(y)).sum(1))


@every
def test_inputs_may_be_views_and_stay_as_they_are(kind: str) -> None:
    operator = KINDS[kind]()
    m, n = operator.shape
    x, y = torch.randn(n, 4).T, torch.randn(4, 2 * m)[:, ::2]
    kept = x.clone(), y.clone()
    near(operator(x), operator(x.contiguous()))
    near(operator.adjoint(y), operator.adjoint(y.contiguous()))
    assert torch.equal(x, kept[0])
    assert torch.equal(y, kept[1])


@every
def test_sums_of_squares_are_those_of_the_matrix(kind: str) -> None:
    operator = KINDS[kind]()
    near(operator.column_squares(), operator.dense().square().sum(0))
    near(operator.row_squares(), operator.dense().square().sum(1))


@every
@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_the_blocks_on_the_diagonal_are_those_of_the_normal_matrix(kind: str, size: int) -> None:
    operator = KINDS[kind]()
    n = operator.shape[1]
    normal = operator.dense().T @ operator.dense()
    blocks = operator.normal_blocks(size)
    count = -(-n // size)
    padded = torch.eye(count * size)
    padded[:n, :n] = normal
    assert blocks.shape == (count, size, size)
    for number, block in enumerate(blocks):
        part = slice(number * size, (number + 1) * size)
        near(block, padded[part, part])


@pytest.mark.parametrize("kind", ["dense", "sparse", "low-rank", "blocks", "conv"])
def test_float32_is_kept(kind: str) -> None:
    torch.set_default_dtype(torch.float32)
    operator = KINDS[kind]()
    torch.set_default_dtype(torch.float64)
    assert operator.dtype == torch.float32
    for found in (operator(torch.ones(2, operator.shape[1], dtype=torch.float32)), operator.column_squares()):
        assert found.dtype == torch.float32
    assert operator.squared_norm(torch.ones(2, operator.shape[0], dtype=torch.float32)).dtype == torch.float64


def test_an_operator_says_what_it_is() -> None:
    assert repr(Dense(torch.ones(2, 3))) == "Dense(2, 3, torch.float64, cpu)"


# Sparse matrices


def test_a_product_with_the_transposed_matrix_is_in_the_order_of_its_own_rows() -> None:
    matrix = thinned(40, 30)
    operator = sparse(matrix)
    turned, order = operator._pattern.transposed
    near(Sparse(turned, operator._values[order]).dense(), matrix.T)


def test_pairs_of_one_row_are_found_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from genrev.operators import sparse as module

    matrix = thinned(50, 24, 0.5)
    whole = sparse(matrix).normal_blocks(5)
    monkeypatch.setattr(module, "_PAIRS", 7)
    near(sparse(matrix).normal_blocks(5), whole)


def test_sparse_rows_warn_of_nothing_and_leave_warnings_as_they_were() -> None:
    import warnings

    before = list(warnings.filters)
    sparse(thinned(3, 3))(torch.ones(1, 3))
    assert list(warnings.filters) == before


@pytest.mark.parametrize(
    ("starts", "columns", "words"),
    [
        (torch.tensor([0.0, 1.0]), torch.tensor([0]), "integers"),
        (torch.tensor([0, 1]), [0], "list"),
        (torch.tensor([1, 1]), torch.tensor([0]), "starts"),
        (torch.tensor([0, 2, 1]), torch.tensor([0]), "starts"),
        (torch.tensor([0, 2]), torch.tensor([0]), "starts"),
        (torch.tensor([], dtype=torch.int64), torch.tensor([0]), "starts"),
        (torch.tensor([0, 1]), torch.tensor([3]), "columns from 0 to 2, got 3"),
        (torch.tensor([0, 1]), torch.tensor([-1]), "columns from 0 to 2, got -1"),
        (torch.tensor([0, 2]), torch.tensor([1, 0]), "rise"),
        (torch.tensor([0, 2]), torch.tensor([1, 1]), "rise"),
    ],
)
def test_rows_in_compressed_form_are_checked(starts: torch.Tensor, columns: torch.Tensor, words: str) -> None:
    with pytest.raises(ArgumentError, match=words) as caught:
        checked_pattern(starts, columns, 3)
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("values", [torch.ones(3), torch.ones(2).half(), torch.ones(2, dtype=torch.int64)])
def test_values_of_a_sparse_matrix_are_one_for_each_place(values: torch.Tensor) -> None:
    pattern = checked_pattern(torch.tensor([0, 2]), torch.tensor([0, 1]), 3)
    with pytest.raises(ArgumentError) as caught:
        Sparse(pattern, values)
    assert_one_sentence(caught.value)


# Direct solutions


def test_a_low_rank_matrix_with_a_diagonal_is_solved_by_its_rank() -> None:
    operator = LowRankPlusDiagonal(torch.randn(30, 3), torch.randn(3, 30), 1 + torch.rand(30))
    y = torch.randn(4, 30)
    near(operator.solver()(y), torch.linalg.solve(operator.dense(), y.T).T, 1e-11)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_units_do_not_matter_to_the_solution_by_the_rank(scale: float) -> None:
    operator = LowRankPlusDiagonal(scale * torch.randn(30, 3), torch.randn(3, 30), scale * (1 + torch.rand(30)))
    y = torch.randn(4, 30)
    near(operator(operator.solver()(y)), y, 1e-11)


@pytest.mark.parametrize(
    "operator",
    [
        LowRankPlusDiagonal(torch.ones(3, 1), torch.ones(1, 3)),
        LowRankPlusDiagonal(torch.ones(3, 1), torch.ones(1, 3), torch.tensor([1.0, 0.0, 1.0])),
        # Singular: 1 - 1/3 - 1/3 - 1/3.
        LowRankPlusDiagonal(-torch.ones(3, 1) / 3, torch.ones(1, 3), torch.ones(3)),
        LowRankPlusDiagonal(torch.ones(3, 1) * torch.nan, torch.ones(1, 3), torch.ones(3)),
        BlockDiagonal(torch.ones(3, 2, 3)),
        BlockDiagonal(torch.stack([torch.eye(2), torch.ones(2, 2)])),
        BlockDiagonal(torch.stack([torch.eye(2), torch.zeros(2, 2)])),
        BlockDiagonal(torch.full((1, 2, 2), torch.nan)),
    ],
    ids=["no-diagonal", "zero", "singular", "nan", "wide", "rank-1-block", "zero-block", "nan-block"],
)
def test_what_has_no_direct_solution_says_so(operator: LowRankPlusDiagonal | BlockDiagonal) -> None:
    with pytest.raises(LayerError) as caught:
        operator.solver()
    assert_one_sentence(caught.value)


def test_a_diagonal_that_is_lost_beside_the_rest_is_refused_or_solved_right() -> None:
    for power in range(0, -40, -4):
        operator = LowRankPlusDiagonal(torch.randn(20, 2), torch.randn(2, 20), 10.0**power * (1 + torch.rand(20)))
        y = operator(torch.randn(3, 20))
        try:
            x = operator.solver()(y)
        except LayerError:
            continue
        assert float((operator(x) - y).norm() / y.norm()) < 1e-11


@pytest.mark.parametrize("count", [1, 5])
def test_blocks_are_solved_one_by_one(count: int) -> None:
    operator = BlockDiagonal(torch.randn(count, 4, 4))
    y = torch.randn(6, 4 * count)
    near(operator.solver()(y), torch.linalg.solve(operator.dense(), y.T).T, 1e-10)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dense(torch.ones(3)),
        lambda: Dense(torch.ones(3, 3, dtype=torch.int64)),
        lambda: Dense([[1.0]]),
        lambda: BlockDiagonal(torch.ones(2, 2)),
        lambda: LowRankPlusDiagonal(torch.ones(2, 3), torch.ones(2, 3)),
        lambda: LowRankPlusDiagonal(torch.ones(2, 1), torch.ones(1, 3), torch.ones(3)),
        lambda: LowRankPlusDiagonal(torch.ones(2, 1), torch.ones(1, 2), torch.ones(3)),
    ],
)
def test_parts_that_do_not_fit_are_refused(make) -> None:
    with pytest.raises(ArgumentError) as caught:
        make()
    assert_one_sentence(caught.value)


def test_an_operator_is_copied_with_its_values() -> None:
    operator = sparse(thinned(5, 5))
    near(copy.deepcopy(operator).dense(), operator.dense())
