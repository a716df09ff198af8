"""Direct solves: beside dense algebra and closed forms, in either precision, of any shape and rank."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import Tensor

import genrev.operators.direct as direct
from genrev.errors import ArgumentError
from genrev.operators.direct import Factored


def matrix(m: int, n: int, *, condition: float = 10.0, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    """A matrix of known singular values, from 1 down to 1 over its condition number."""
    rng = torch.Generator().manual_seed(seed)
    k = min(m, n)
    left = torch.linalg.qr(torch.randn(m, k, generator=rng, dtype=torch.float64))[0]
    right = torch.linalg.qr(torch.randn(n, k, generator=rng, dtype=torch.float64))[0]
    return (left * torch.logspace(0, -math.log10(condition), k) @ right.T).to(dtype)


@pytest.fixture(params=[False, True], ids=["double factors", "single factors"])
def _factors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setattr(direct, "_SMALL", 0)


@pytest.mark.usefixtures("_factors")
@pytest.mark.parametrize("condition", [1.0, 1e3, 1e6, 1e12])
def test_a_square_system_is_solved_as_well_as_double_precision_can(condition: float) -> None:
    weight = matrix(60, 60, condition=condition)
    x = torch.randn(7, 60)
    b = x @ weight.T
    factored = Factored(weight)
    found = factored.solve(b)
    assert factored.kind == "lu"
    assert factored.rank == 60
    # Backward stable: the residual is that of rounding, whatever the condition number.
    left = (b - found @ weight.T).norm(dim=1)
    assert bool((left <= 60 * 2.3e-16 * (found.norm(dim=1) + b.norm(dim=1))).all())
    assert float((found - x).norm() / x.norm()) <= 10 * 2.3e-16 * condition + 1e-14


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e5])
def test_weights_of_single_precision_are_solved_exactly_for_what_they_are(condition: float) -> None:
    weight = matrix(600, 600, condition=condition, dtype=torch.float32)
    x = torch.randn(5, 600)
    found = Factored(weight).solve(x @ weight.double().T)
    # Not the rounding of single precision but that of double.
    assert float((found - x).norm() / x.norm()) <= 1e-14 * condition + 1e-13


def test_factors_of_single_precision_are_kept_where_refinement_works_and_only_there() -> None:
    for condition, dtype in ((1e2, torch.float32), (1e11, torch.float64)):
        assert Factored(matrix(600, 600, condition=condition))._factors.dtype is dtype


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (5, 9), (30, 31)])
def test_of_a_wide_system_it_is_the_shortest_solution(shape: tuple[int, int]) -> None:
    weight, b = matrix(*shape), torch.randn(4, shape[0])
    expected = b.numpy() @ np.linalg.pinv(weight.numpy()).T
    np.testing.assert_allclose(Factored(weight).solve(b), expected, atol=1e-11)


@pytest.mark.parametrize("shape", [(9, 1), (9, 5), (31, 30)])
def test_of_a_tall_system_it_is_the_least_squares_solution(shape: tuple[int, int]) -> None:
    weight, b = matrix(*shape), torch.randn(4, shape[0])
    expected = np.linalg.lstsq(weight.numpy(), b.numpy().T, rcond=None)[0].T
    factored = Factored(weight)
    np.testing.assert_allclose(factored.solve(b), expected, atol=1e-11)
    x = torch.randn(4, shape[1])
    torch.testing.assert_close(factored.solve(x @ weight.T), x)


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_short_rank_is_found_and_solved_by_the_pseudo_inverse(shape: tuple[int, int], dtype: torch.dtype) -> None:
    m, n = shape
    weight = (torch.randn(m, 2) @ torch.randn(2, n)).to(dtype)
    factored, b = Factored(weight), torch.randn(3, m)
    assert (factored.kind, factored.rank) == ("svd", 2)
    assert factored.condition > 0.01 / torch.finfo(dtype).eps
    rounding = max(shape) * torch.finfo(dtype).eps
    expected = b.numpy() @ np.linalg.pinv(weight.double().numpy(), rcond=rounding).T
    np.testing.assert_allclose(factored.solve(b), expected, rtol=1e-4 if dtype == torch.float32 else 1e-9, atol=1e-9)


def test_a_matrix_of_zeros_has_rank_zero_and_the_answer_zero() -> None:
    factored = Factored(torch.zeros(3, 3))
    assert factored.rank == 0
    assert not factored.solve(torch.ones(2, 3)).any()


@pytest.mark.usefixtures("_factors")
@pytest.mark.parametrize("seed", range(5))
def test_the_condition_number_is_estimated_within_three_times(seed: int) -> None:
    weight = matrix(40, 40, condition=10.0 ** (1 + seed), seed=seed)
    true = np.linalg.norm(weight.numpy(), 1) * np.linalg.norm(np.linalg.inv(weight.numpy()), 1)
    assert true / 3 <= Factored(weight).condition <= true * (1 + 1e-3)


def test_the_condition_number_is_that_of_lapack() -> None:
    weight = torch.randn(50, 50)
    factors = linalg.lapack.dgetrf(weight.numpy())[0]
    reciprocal = linalg.lapack.dgecon(factors, np.linalg.norm(weight.numpy(), 1))[0]
    assert Factored(weight).condition == pytest.approx(1 / reciprocal, rel=0.5)


def test_a_matrix_on_which_the_search_is_led_astray_is_not_called_well_conditioned() -> None:
    # Higham's example: the first search ends at once, at a vector of ones.
    n = 8
    inverse = torch.eye(n) + 1e6 * (torch.outer(v := torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1]), v) @ torch.diag(v))
    true = float(torch.linalg.cond(inverse, 1))
    assert Factored(torch.linalg.inv(inverse)).condition > true / 30


def test_one_row_is_solved_as_in_any_batch_and_one_that_is_not_finite_spoils_no_other() -> None:
    factored, b = Factored(matrix(600, 600)), torch.randn(9, 600)
    whole = factored.solve(b)
    torch.testing.assert_close(factored.solve(b[4:5]), whole[4:5], rtol=1e-13, atol=1e-13)
    b[2] = math.nan
    b[3, 5] = math.inf
    found = factored.solve(b)
    rest = [0, 1, 4, 5, 6, 7, 8]
    torch.testing.assert_close(found[rest], whole[rest], rtol=1e-13, atol=1e-13)
    assert not found[[2, 3]].isfinite().all()
    assert factored.solve(b[:0]).shape == (0, 600)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_the_size_of_the_numbers_is_no_matter(scale: float) -> None:
    weight, x = matrix(600, 600), torch.randn(3, 600)
    b = x @ weight.T
    torch.testing.assert_close(Factored(weight).solve(b * scale) / scale, x)
    torch.testing.assert_close(Factored(weight * scale).solve(b * scale), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision_are_solved_too(dtype: torch.dtype) -> None:
    weight = torch.eye(6).to(dtype) * 2
    torch.testing.assert_close(Factored(weight).solve(torch.ones(1, 6)), torch.full((1, 6), 0.5))


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (torch.zeros(3), "expected a matrix"),
        (torch.zeros(0, 3), "expected a matrix of at least one value"),
        (torch.full((2, 2), math.nan), "NaN or infinity"),
        (torch.tensor([[math.inf, 0.0], [0.0, 1.0]]), "NaN or infinity"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(weight: Tensor, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        Factored(weight)


def test_the_weights_are_neither_copied_nor_changed_and_need_no_gradients() -> None:
    weight = matrix(20, 20).requires_grad_()
    before = weight.detach().clone()
    factored = Factored(weight)
    factored.solve(torch.randn(2, 20))
    assert factored.weight.data_ptr() == weight.data_ptr()
    assert torch.equal(weight, before)
    assert not factored.solve(torch.randn(2, 20)).requires_grad
