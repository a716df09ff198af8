"""Tests of the partition function, exact and estimated, against going through all states."""

from __future__ import annotations

import math

import pytest
import torch
from machines import energies, machine
from sentences import assert_one_sentence

from genrev.boltzmann.likelihood import (
    LogPartition,
    base_log_partition,
    estimate_log_partition,
    exact_log_partition,
)
from genrev.errors import ArgumentError

MIXED = (("bernoulli", 4), ("one-hot", 3))


@pytest.mark.parametrize("groups", [(("bernoulli", 6),), MIXED])
def test_the_exact_value_is_the_sum_over_all_states(groups) -> None:
    rbm = machine(groups, 5)
    expected = (-energies(rbm)).flatten().logsumexp(0)
    assert exact_log_partition(rbm) == pytest.approx(float(expected), abs=1e-10)
    # In single precision weights too, for all is done in double.
    assert exact_log_partition(rbm.float()) == pytest.approx(float(expected), abs=1e-4)


def test_more_hidden_states_than_are_held_at_once_are_summed_too() -> None:
    rbm = machine((("bernoulli", 5),), 16)
    v = torch.tensor([[(k >> i) & 1 for i in range(5)] for k in range(32)]).double()
    expected = (-rbm.free_energy(v)).logsumexp(0)
    assert exact_log_partition(rbm) == pytest.approx(float(expected.detach()), abs=1e-10)


def test_too_many_hidden_units_are_refused() -> None:
    with pytest.raises(ArgumentError, match="at most 20 hidden units") as caught:
        exact_log_partition(machine((("bernoulli", 2),), 21))
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("groups", [(("bernoulli", 6),), MIXED])
def test_the_base_rates_have_the_sum_over_all_states_at_no_temperature(groups) -> None:
    rbm = machine(groups, 4)
    assert base_log_partition(rbm) == pytest.approx(float((-energies(rbm, 0.0)).flatten().logsumexp(0)), abs=1e-10)


@pytest.mark.parametrize("groups", [(("bernoulli", 6),), MIXED, (("gaussian", 3), ("bernoulli", 2))])
def test_both_ways_of_importance_sampling_find_the_exact_value(groups) -> None:
    rbm = machine(groups, 4)
    with torch.no_grad():
        rbm.weight.mul_(0.7)
    before = torch.get_rng_state()
    start = torch.zeros(1, rbm.size).double()
    found = estimate_log_partition(rbm, start, temperatures=500, runs=400, burn_in=300, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    exact = exact_log_partition(rbm)
    assert found.forward == pytest.approx(exact, abs=0.05)
    assert found.reverse == pytest.approx(exact, abs=0.05)
    assert found.value == pytest.approx(exact, abs=0.05)
    assert 100 < found.forward_size <= 400
    assert 100 < found.reverse_size <= 400


def test_one_seed_gives_one_estimate() -> None:
    rbm = machine()
    start = torch.zeros(2, 6).double()
    options = {"temperatures": 20, "runs": 10, "burn_in": 5}
    one, again, other = (estimate_log_partition(rbm, start, seed=seed, **options) for seed in (3, 3, 4))
    assert one == again
    assert one != other


def test_runs_that_are_worth_one_leave_the_result_unknown() -> None:
    rbm = machine((("bernoulli", 12),), 10)
    with torch.no_grad():
        rbm.weight.mul_(6)
    found = estimate_log_partition(rbm, torch.zeros(1, 12).double(), temperatures=2, runs=20, burn_in=50, seed=0)
    assert found.value is None
    assert str(found).startswith("log Z unknown: forward")
    assert found.forward_size < 5


@pytest.mark.parametrize(("forward", "reverse"), [(1.0, float("nan")), (float("inf"), float("inf")), (1.0, 2.5)])
def test_estimates_that_do_not_agree_are_no_number(forward: float, reverse: float) -> None:
    assert LogPartition(forward, reverse, 1.0, 1.0).value is None


@pytest.mark.parametrize(
    "mistake",
    [
        {"start": torch.zeros(3, 5)}, {"start": torch.zeros(0, 6)}, {"runs": 0}, {"temperatures": 0}, {"seed": -1},
        {"start": None}, {"start": [[0.0] * 6]}, {"start": torch.zeros(6)}, {"start": torch.full((1, 6), math.nan)},
        {"rbm": None}, {"rbm": torch.nn.Linear(6, 4)}, {"runs": 1.5}, {"burn_in": -1}, {"burn_in": None},
    ],
)  # fmt: skip
def test_a_mistake_gives_one_sentence(mistake) -> None:
    with pytest.raises(ArgumentError) as caught:
        estimate_log_partition(**{"rbm": machine(), "start": torch.zeros(1, 6), **mistake})
    assert_one_sentence(str(caught.value))


def test_weights_that_are_not_finite_have_no_partition_function() -> None:
    rbm = machine()
    torch.nn.init.constant_(rbm.weight, math.nan)
    for ask in (lambda: exact_log_partition(rbm), lambda: estimate_log_partition(rbm, torch.zeros(1, 6))):
        with pytest.raises(ArgumentError, match="finite weights") as caught:
            ask()
        assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("rbm", [None, "rbm", torch.nn.Linear(6, 4)])
def test_only_machines_have_an_exact_partition_function(rbm) -> None:
    with pytest.raises(ArgumentError, match="expected an RBM") as caught:
        exact_log_partition(rbm)
    assert_one_sentence(str(caught.value))
