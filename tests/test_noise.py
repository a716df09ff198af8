"""Tests of the noise: known answers of Philox, the laws of its draws, and what they may depend on."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from genrev.noise import Noise, philox, target_keys

KNOWN_ANSWERS = [
    # From Random123, kat_vectors: philox4x32 10 rounds; counter, key, answer.
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> Tensor:
    return torch.tensor([int(word, 16) for word in text.split()])


def noise(rows: int = 4, seed: int = 0) -> Noise:
    return Noise(target_keys(torch.arange(float(rows))[:, None], seed))


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers(counter: str, key: str, answer: str) -> None:
    assert torch.equal(philox(words(counter), words(key)), words(answer))


def test_philox_broadcasts_keys_against_counters() -> None:
    counters = torch.stack([words(counter) for counter, _, _ in KNOWN_ANSWERS])
    keys = torch.stack([words(key) for _, key, _ in KNOWN_ANSWERS])
    found = philox(counters[:, None], keys)
    assert found.shape == (3, 3, 4)
    for place, (_, _, answer) in enumerate(KNOWN_ANSWERS):
        assert torch.equal(found[place, place], words(answer))


def test_uniform_draws_are_uniform_in_the_open_unit_interval() -> None:
    draws = noise(2).uniform((50_000,)).flatten()
    assert draws.dtype == torch.float64
    assert 0 < float(draws.min()) <= float(draws.max()) < 1
    assert stats.kstest(draws.numpy(), "uniform").pvalue > 1e-3


def test_normal_draws_are_normal() -> None:
    draws = noise(2).normal((50_001,)).flatten()
    n = len(draws)
    assert stats.kstest(draws.numpy(), "norm").pvalue > 1e-3
    # Five standard errors of each sample moment of a normal law.
    assert abs(float(draws.mean())) < 5 / math.sqrt(n)
    assert abs(float(draws.var()) - 1) < 5 * math.sqrt(2 / n)
    assert abs(float((draws**3).mean())) < 5 * math.sqrt(15 / n)
    assert abs(float((draws**4).mean()) - 3) < 5 * math.sqrt(96 / n)


def test_one_draw_of_many_rows_is_as_normal_as_many_draws_of_one() -> None:
    draws = noise(50_000).normal(()).flatten()
    assert stats.kstest(draws.numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("high", [1, 2, 7, 1000])
def test_integers_are_uniform_below_the_limit(high: int) -> None:
    draws = noise(5).integers(high, (20_000,)).flatten()
    counts = torch.bincount(draws, minlength=high)
    assert draws.dtype == torch.int64
    assert len(counts) == high
    if high > 1:
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4,), (5,), (2, 3), (1, 8, 8), (0,)])
def test_a_draw_has_the_shape_asked_for(shape: tuple[int, ...]) -> None:
    assert noise(3).uniform(shape).shape == (3, *shape)
    assert noise(3).normal(shape).shape == (3, *shape)
    assert noise(3).integers(9, shape).shape == (3, *shape)


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def test_streams_forks_rows_and_seeds_are_independent() -> None:
    whole = noise(2, seed=0)
    draws = [
        whole.uniform((40_000,))[0],
        whole.uniform((40_000,))[1],
        whole.uniform((40_000,), stream=1)[0],
        whole.fork(0).uniform((40_000,))[0],
        whole.fork(1).uniform((40_000,))[0],
        whole.fork(0).fork(0).uniform((40_000,))[0],
        whole.repeat(2).uniform((40_000,))[0],
        whole.repeat(2).uniform((40_000,))[1],
        noise(2, seed=1).uniform((40_000,))[0],
        noise(2, seed=2**40).uniform((40_000,))[0],
    ]
    for place, one in enumerate(draws):
        for other in draws[:place]:
            assert abs(correlation(one, other)) < 5 / math.sqrt(40_000)


def test_a_fork_takes_one_branch_for_each_row() -> None:
    whole = noise(3)
    each = whole.fork(torch.tensor([5, 0, 5]))
    assert torch.equal(each.keys[0], whole.fork(5).keys[0])
    assert torch.equal(each.keys[1], whole.fork(0).keys[1])
    assert torch.equal(each.keys[2], whole.fork(5).keys[2])


def test_more_copies_begin_with_the_same_draws() -> None:
    few, many = noise(3).repeat(2).normal((4,)), noise(3).repeat(5).normal((4,))
    assert torch.equal(few.reshape(3, 2, 4), many.reshape(3, 5, 4)[:, :2])


def test_rows_can_be_picked_and_counted() -> None:
    whole = noise(6)
    assert len(whole) == 6
    rows = torch.tensor([4, 1])
    assert torch.equal(whole[rows].normal((3,)), whole.normal((3,))[rows])
    assert torch.equal(whole[2:5].normal((3,)), whole.normal((3,))[2:5])


def test_keys_do_not_depend_on_the_batch_the_order_or_the_position() -> None:
    targets = torch.rand(50, 3)
    keys = target_keys(targets, seed=3)
    order = torch.randperm(50)
    assert torch.equal(target_keys(targets[order], seed=3), keys[order])
    for row in (0, 17, 49):
        assert torch.equal(target_keys(targets[row : row + 1], seed=3)[0], keys[row])


def test_keys_depend_on_each_value_its_place_and_the_seed() -> None:
    targets = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [0.0, 0.0], [math.nan, 1.0]])
    keys = torch.cat([target_keys(targets, seed) for seed in (0, 1, 2**32, 2**63 - 1)])
    assert len(torch.unique(keys, dim=0)) == len(keys)


def test_equal_targets_get_different_keys_that_repeat() -> None:
    targets = torch.tensor([[0.9], [0.1], [0.9], [0.9], [0.1]])
    keys = target_keys(targets, seed=0)
    assert len(torch.unique(keys, dim=0)) == 5
    # The first, second and third of a kind get the same keys wherever they stand.
    assert torch.equal(target_keys(torch.full((3, 1), 0.9), seed=0), keys[[0, 2, 3]])


def test_ten_thousand_targets_get_ten_thousand_keys() -> None:
    keys = target_keys(torch.randint(0, 50, (10_000, 1)).double(), seed=0)
    assert len(torch.unique(keys, dim=0)) == 10_000


def test_every_nan_is_one_and_minus_zero_is_zero() -> None:
    other_nan = torch.tensor([0x7FF8000000000001, -1]).view(torch.float64)
    assert bool(other_nan.isnan().all())
    keys = target_keys(torch.tensor([[math.nan, 1.0]]), seed=0)
    for value in (*other_nan.tolist(), -math.nan, math.inf - math.inf):
        assert torch.equal(target_keys(torch.tensor([[value, 1.0]]), seed=0), keys)
    assert torch.equal(target_keys(other_nan[:1, None], 0), target_keys(other_nan[1:, None], 0))
    assert torch.equal(target_keys(torch.tensor([[-0.0]]), 0), target_keys(torch.tensor([[0.0]]), 0))


def test_the_shape_of_a_target_does_not_matter_to_its_key() -> None:
    targets = torch.rand(4, 2, 3)
    assert torch.equal(target_keys(targets, 0), target_keys(targets.flatten(1), 0))


def test_the_precision_of_a_target_does_not_matter_where_its_value_is_the_same() -> None:
    targets = torch.rand(4, 2, dtype=torch.float32)
    assert torch.equal(target_keys(targets, 0), target_keys(targets.double(), 0))


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    noise(3).repeat(2).fork(1).normal((7,))
    noise(3).integers(5, (7,))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    one = noise(3).normal((7,))
    torch.manual_seed(2)
    assert torch.equal(noise(3).normal((7,)), one)
