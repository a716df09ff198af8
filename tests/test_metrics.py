"""Tests of the figures: each against its definition in plain Python, and against the laws that it must obey."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor

from genrev import distances
from genrev.distances import nearest_distance
from genrev.errors import ArgumentError
from genrev.metrics import PRDC, agreement, diversity, novelty, paired_standard_error, prdc

Points = list[list[float]]


def plain_radius(points: Points, i: int, k: int) -> float:
    return sorted(math.dist(points[i], other) for j, other in enumerate(points) if j != i)[k - 1]


def plain_prdc(real: Points, fake: Points, k: int) -> PRDC:
    real_radii = [plain_radius(real, i, k) for i in range(len(real))]
    fake_radii = [plain_radius(fake, j, k) for j in range(len(fake))]
    in_real = [[math.dist(x, y) <= r for x, r in zip(real, real_radii, strict=True)] for y in fake]
    in_fake = [[math.dist(x, y) <= r for y, r in zip(fake, fake_radii, strict=True)] for x in real]
    return PRDC(
        precision=statistics.mean(any(row) for row in in_real),
        recall=statistics.mean(any(row) for row in in_fake),
        density=sum(map(sum, in_real)) / (k * len(fake)),
        coverage=statistics.mean(any(column) for column in zip(*in_real, strict=True)),
    )


def expected_coverage(n: int, m: int, k: int) -> float:
    """The chance that the k nearest of the other n - 1 + m points are not all reals, by counting subsets."""
    return 1 - math.comb(n - 1, k) / math.comb(n - 1 + m, k)


def clouds(n: int = 30, m: int = 20, d: int = 3, shift: float = 0.5) -> tuple[Tensor, Tensor]:
    return torch.randn(n, d), torch.randn(m, d) + shift


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize(("n", "m"), [(12, 12), (25, 9), (9, 25)])
@pytest.mark.parametrize("d", [1, 2, 7])
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_prdc_is_its_definition(n: int, m: int, d: int, k: int, shift: float) -> None:
    real, fake = clouds(n, m, d, shift)
    assert prdc(real, fake, k=k) == pytest.approx(plain_prdc(real.tolist(), fake.tolist(), k))


@pytest.mark.parametrize("seed", range(5))
def test_prdc_is_its_definition_on_a_grid_full_of_ties_and_copies(seed: int) -> None:
    torch.manual_seed(seed)
    real, fake = torch.randint(0, 4, (20, 2)), torch.randint(1, 5, (15, 2))
    found = prdc(real.double(), fake.double(), k=2)
    assert found == pytest.approx(plain_prdc(real.tolist(), fake.tolist(), 2))


def test_five_neighbours_are_the_default() -> None:
    real, fake = clouds()
    assert prdc(real, fake) == prdc(real, fake, k=5)


@pytest.mark.parametrize("entries", [1, 50, 333])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    real, fake = clouds()
    x = torch.randn(7, 4, 2)
    whole = prdc(real, fake), nearest_distance(real, fake), diversity(x)
    monkeypatch.setattr(distances, "_ENTRIES", entries)
    assert prdc(real, fake) == whole[0]
    assert torch.equal(nearest_distance(real, fake), whole[1])
    assert diversity(x) == pytest.approx(whole[2])


def test_the_order_of_points_and_of_coordinates_changes_nothing() -> None:
    real, fake = clouds()
    shuffled = prdc(real[torch.randperm(30)][:, [2, 0, 1]], fake[torch.randperm(20)][:, [2, 0, 1]])
    assert shuffled == pytest.approx(prdc(real, fake))


def test_rotation_translation_and_scale_change_nothing() -> None:
    real, fake = clouds()
    rotation = torch.linalg.qr(torch.randn(3, 3)).Q
    assert prdc(3 * real @ rotation + 1, 3 * fake @ rotation + 1) == pytest.approx(prdc(real, fake))


def test_shape_is_only_a_way_to_write_the_coordinates() -> None:
    real, fake = clouds(d=12)
    assert prdc(real.reshape(30, 1, 3, 4), fake.reshape(20, 1, 3, 4)) == prdc(real, fake)
    assert prdc(real[:, 0], fake[:, 0]) == prdc(real[:, :1], fake[:, :1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_low_precision_inputs_are_measured_in_float64(dtype: torch.dtype) -> None:
    real, fake = (x.to(dtype) for x in clouds())
    assert prdc(real, fake) == prdc(real.double(), fake.double())
    assert nearest_distance(real, fake).dtype == torch.float64


def test_the_same_points_give_ones() -> None:
    real, _ = clouds()
    assert prdc(real, real)._replace(density=0) == PRDC(1, 1, 0, 1)


def test_points_that_are_all_one_point_give_ones_and_full_density() -> None:
    point = torch.randn(1, 50).expand(10, 50)
    assert prdc(point, point, k=2) == PRDC(1, 1, 5, 1)


def test_far_apart_sets_give_zeros() -> None:
    real, fake = clouds(shift=1e3)
    assert prdc(real, fake) == PRDC(0, 0, 0, 0)


def test_fakes_of_one_mode_are_precise_but_do_not_cover() -> None:
    real = torch.cat([torch.randn(50, 2), torch.randn(50, 2) + 100])
    found = prdc(real, torch.randn(100, 2))
    assert found.precision > 0.8
    assert found.coverage <= 0.5
    assert found.recall <= 0.5


@pytest.mark.parametrize(("n", "m", "k"), [(60, 60, 5), (40, 20, 3), (12, 30, 1)])
def test_identical_laws_give_the_expected_coverage_and_a_density_of_one(n: int, m: int, k: int) -> None:
    runs = [prdc(torch.randn(n, 2), torch.randn(m, 2), k=k) for _ in range(400)]
    for figures, expected in [
        ([run.coverage for run in runs], expected_coverage(n, m, k)),
        ([run.density for run in runs], 1.0),
    ]:
        error = statistics.stdev(figures) / math.sqrt(len(runs))
        assert abs(statistics.mean(figures) - expected) < 4 * error


def test_the_expected_coverage_is_the_product_of_the_docstring_and_falls_to_its_limit() -> None:
    for n, m, k in [(60, 60, 5), (40, 20, 3), (12, 30, 1)]:
        product = math.prod((n - j) / (n + m - j) for j in range(1, k + 1))
        assert expected_coverage(n, m, k) == pytest.approx(1 - product)
    sizes = [expected_coverage(n, n, 5) for n in (10, 100, 10_000, 1_000_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == pytest.approx(1 - 2**-5, abs=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
def test_fakes_that_are_not_finite_lie_nowhere_and_reach_nothing(bad: float) -> None:
    real, fake = clouds(m=40, shift=0.0)
    broken = fake.clone()
    broken[20:, 1] = bad
    good, found = prdc(real, fake[:20]), prdc(real, broken)
    assert found.precision == good.precision / 2
    assert found.density == pytest.approx(good.density / 2)
    assert found.coverage == good.coverage
    assert found.recall == good.recall


def test_fakes_none_of_which_is_finite_give_zeros() -> None:
    real, fake = clouds()
    assert prdc(real, fake * math.nan) == PRDC(0, 0, 0, 0)
    assert prdc(real, fake * math.inf) == PRDC(0, 0, 0, 0)


@pytest.mark.parametrize(("n", "m"), [(5, 20), (20, 5), (0, 20), (20, 0)])
def test_too_few_points_are_an_argument_error(n: int, m: int) -> None:
    with pytest.raises(ArgumentError, match="more than k = 5") as caught:
        prdc(torch.randn(n, 2), torch.randn(m, 2))
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("k", [0, -1, 2.0, True, None])
def test_a_k_that_counts_nothing_is_an_argument_error(k: Any) -> None:
    with pytest.raises(ArgumentError, match="expected k to be"):
        prdc(*clouds(), k=k)


def test_reals_that_are_not_finite_are_an_argument_error() -> None:
    real, fake = clouds()
    real[3, 1] = math.nan
    with pytest.raises(ArgumentError, match="in 1 inputs") as caught:
        prdc(real, fake)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("measure", [prdc, nearest_distance, lambda x, y: novelty(x, x, y)])
@pytest.mark.parametrize(
    "other", [torch.zeros(20, 4), torch.zeros(20, 3, 1), torch.tensor(0.0), [[0.0] * 3] * 20, torch.zeros(20, 3) * 1j]
)
def test_sets_of_unlike_shape_or_type_are_an_argument_error(measure: Callable[..., Any], other: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        measure(torch.zeros(20, 3), other)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(("n", "m"), [(7, 8), (8, 7), (1, 1)])
def test_novelty_is_a_ratio_of_medians(n: int, m: int) -> None:
    fake, real, training = torch.randn(n, 3), torch.randn(m, 3), torch.randn(20, 3)
    ours, theirs = (statistics.median(nearest_distance(x, training).tolist()) for x in (fake, real))
    assert novelty(fake, real, training) == pytest.approx(ours / theirs)


def test_novelty_of_copies_is_zero_and_of_the_reals_themselves_one() -> None:
    real, training = torch.randn(9, 3), torch.randn(20, 3)
    assert novelty(training[:6], real, training) == 0
    assert novelty(real, real, training) == 1


def test_novelty_does_not_apply_where_the_reals_are_copies() -> None:
    training = torch.randn(20, 3)
    assert novelty(torch.randn(6, 3), training[:9], training) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_novelty_withstands_a_few_inputs_that_are_not_finite_and_does_not_apply_to_half(bad: float) -> None:
    fake, real, training = torch.randn(9, 3), torch.randn(9, 3), torch.randn(20, 3)
    fake[0] = bad
    assert math.isfinite(novelty(fake, real, training) or math.nan)
    fake[:5] = bad
    assert novelty(fake, real, training) is None
    assert novelty(real, fake, training) is None


def test_novelty_of_no_inputs_is_an_argument_error() -> None:
    with pytest.raises(ArgumentError, match="at least one"):
        novelty(torch.zeros(0, 3), torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ArgumentError, match="at least one"):
        novelty(torch.zeros(2, 3), torch.zeros(0, 3), torch.zeros(2, 3))


def test_diversity_is_its_definition() -> None:
    x = torch.randn(6, 4, 2, 3)
    per_target = [
        statistics.mean(math.dist(a, b) for i, a in enumerate(samples) for b in samples[:i])
        for samples in x.flatten(2).tolist()
    ]
    assert diversity(x) == pytest.approx(statistics.mean(per_target))


def test_diversity_of_repeated_answers_is_zero_exactly() -> None:
    assert diversity(torch.randn(5, 1, 40).expand(5, 8, 40)) == 0


@pytest.mark.parametrize("shape", [(5, 1, 3), (5, 0, 3), (0, 4, 3), (1, 1)])
def test_diversity_does_not_apply_without_two_samples(shape: tuple[int, ...]) -> None:
    assert diversity(torch.zeros(shape)) is None


def test_diversity_leaves_out_samples_that_are_not_finite() -> None:
    x = torch.randn(6, 4, 3)
    broken = torch.cat([x, torch.full((6, 1, 3), math.nan), torch.full((6, 1, 3), math.inf)], 1)
    assert diversity(broken) == pytest.approx(diversity(x))
    assert diversity(torch.cat([x, x * math.nan])) == pytest.approx(diversity(x))
    assert diversity(x * math.nan) is None


@pytest.mark.parametrize("x", [torch.zeros(3), torch.tensor(0.0), [[1.0]]])
def test_diversity_without_samples_axis_is_an_argument_error(x: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        diversity(x)
    assert_one_sentence(str(caught.value))


def test_agreement_is_the_share_of_equal_labels() -> None:
    judged, wanted = torch.randint(0, 3, (50,)), torch.randint(-1, 3, (50,))
    pairs = [(a, b) for a, b in zip(judged.tolist(), wanted.tolist(), strict=True) if b != -1]
    assert agreement(judged, wanted) == pytest.approx(statistics.mean(a == b for a, b in pairs))


def test_agreement_counts_what_looks_like_nothing_as_unequal() -> None:
    assert agreement(torch.tensor([-1, 2]), torch.tensor([2, 2])) == 0.5


def test_agreement_does_not_apply_where_nothing_is_wanted() -> None:
    assert agreement(torch.tensor([0, -1]), torch.tensor([-1, -1])) is None
    assert agreement(torch.zeros(0).long(), torch.zeros(0).long()) is None


def test_agreement_of_unlike_shapes_is_an_argument_error() -> None:
    with pytest.raises(ArgumentError) as caught:
        agreement(torch.zeros(3).long(), torch.zeros(3, 1).long())
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bool, torch.int64])
def test_the_paired_standard_error_is_its_definition(dtype: torch.dtype) -> None:
    a, b = (torch.randn(2, 12) * 2).to(dtype)
    differences = [float(x) - float(y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert paired_standard_error(a, b) == pytest.approx(statistics.stdev(differences) / math.sqrt(12))


def test_what_pairs_share_has_no_part_in_their_standard_error() -> None:
    a, b, shared = torch.randn(10), torch.randn(10), 100 * torch.randn(10)
    assert paired_standard_error(a + shared, b + shared) == pytest.approx(paired_standard_error(a, b))
    assert paired_standard_error(shared, shared) == 0


@pytest.mark.parametrize(
    ("a", "b"), [(torch.zeros(1), torch.zeros(1)), (torch.zeros(3), torch.zeros(2)), (torch.zeros(2, 2),) * 2]
)
def test_fewer_than_two_pairs_or_unlike_shapes_are_an_argument_error(a: Tensor, b: Tensor) -> None:
    with pytest.raises(ArgumentError) as caught:
        paired_standard_error(a, b)
    assert_one_sentence(str(caught.value))


def test_no_figure_needs_or_leaves_a_gradient_or_changes_its_arguments() -> None:
    real, fake = clouds()
    kept = fake.clone()
    fake.requires_grad_()
    prdc(real, fake)
    novelty(fake, real, real + 1)
    diversity(fake.unflatten(0, (4, 5)))
    assert not nearest_distance(fake, real).requires_grad
    assert torch.equal(fake, kept)
