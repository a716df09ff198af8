"""Tests of how a Boltzmann machine learns, against exact likelihoods and laws that are known."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from machines import StoppedError, law, machine, states, stopped
from sentences import assert_one_sentence
from torch import Tensor

from genrev.benchmarks.stripes import bars_and_stripes, best_log_likelihood
from genrev.boltzmann.chains import Draws
from genrev.boltzmann.given import check_values
from genrev.boltzmann.learning import Diary, Lesson, learn, pseudo_likelihood
from genrev.boltzmann.likelihood import exact_log_partition
from genrev.boltzmann.updown import UpDown
from genrev.errors import ArgumentError, GenrevError
from genrev.models.rbm import RBM
from genrev.models.units import GaussianUnits
from genrev.progress import logged
from genrev.resume import resumable


def fresh(groups=(("bernoulli", 16),), hidden: int = 8) -> RBM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return RBM(groups, hidden).double()


def stripes() -> Tensor:
    return bars_and_stripes(4).double()


def likelihood(rbm: RBM, v: Tensor) -> float:
    with torch.no_grad():
        return float(-rbm.free_energy(v).mean()) - exact_log_partition(rbm)


def ascend(rbm: RBM, data: Tensor, steps: int) -> RBM:
    """Learn by exact slopes, the hidden offsets following the data."""
    every = states(rbm)
    with torch.no_grad():
        for group in rbm.groups:
            group.offset.copy_(data.mean(0))
        for _ in range(steps):
            both = torch.cat([data, every])
            weight = torch.cat(
                [torch.full((len(data),), 1 / len(data)).double(), -(-rbm.free_energy(every)).softmax(0)]
            )
            hidden = rbm.hidden_mean(both)
            slopes = rbm.slopes(both, hidden, weight)
            for name, values in rbm.named_parameters():
                values.add_(slopes[name], alpha=0.2)
            rbm.move_hidden_offset(torch.lerp(rbm.hidden.offset, hidden[: len(data)].mean(0), 0.1))
    return rbm


def test_data_written_the_other_way_round_are_learned_in_a_mirror() -> None:
    data = states(machine())[[3, 17, 40, 41, 60]]
    one, other = machine(seed=3), machine(seed=3)
    with torch.no_grad():
        other.weight.neg_()
        other.groups[0].bias.neg_()
    ascend(one, data, 60)
    ascend(other, 1 - data, 60)
    torch.testing.assert_close(other.weight, -one.weight, rtol=0, atol=1e-10)
    torch.testing.assert_close(other.groups[0].bias, -one.groups[0].bias, rtol=0, atol=1e-10)
    torch.testing.assert_close(other.hidden.bias, one.hidden.bias, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", ["cd", "pcd", "pt"])
def test_every_rule_makes_the_data_likelier(method: str) -> None:
    rbm, data = fresh(), stripes()
    learn(rbm, data, Lesson(method=method, epochs=1, rate=1e-9), seed=0, validation=0.0)
    base = likelihood(rbm, data)
    assert base == pytest.approx(-16 * math.log(2), abs=0.1)
    learn(rbm, data, Lesson(method=method, epochs=800, batch_size=32, rate=0.1, temperatures=5), seed=0, validation=0.0)
    assert likelihood(rbm, data) > base + 1.5


def test_one_seed_gives_one_machine_and_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    machines = []
    for seed in (0, 0, 1):
        rbm = fresh()
        learn(rbm, stripes(), Lesson(epochs=3, batch_size=10), seed=seed)
        machines.append(rbm.weight.detach())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(machines[0], machines[1])
    assert not torch.equal(machines[0], machines[2])


@pytest.mark.parametrize("method", ["cd", "pcd", "pt"])
@pytest.mark.parametrize("after", [1, 4, 11])
def test_a_training_stopped_anywhere_goes_on_to_the_same_end(
    method: str, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    lesson = Lesson(method=method, epochs=4, batch_size=10, temperatures=3, chains=7, sparsity=0.1)
    whole = fresh()
    diary = learn(whole, stripes(), lesson, seed=5)

    with stopped(after), resumable(tmp_path / "state", every=0):
        learn(fresh(), stripes(), lesson, seed=5)
    again = fresh()
    with resumable(tmp_path / "state", every=0) as found:
        resumed = learn(again, stripes(), lesson, seed=5)
    assert found
    for name, values in whole.state_dict().items():
        assert torch.equal(values, again.state_dict()[name]), name
    assert resumed == diary


def kept(state: Path, *given: Any, seed: int) -> Diary:
    """Learn, and leave the state behind as a process does that is killed just then."""
    with suppress(StoppedError), resumable(state, every=0):
        diary = learn(*given, seed=seed)
        raise StoppedError
    return diary


def test_a_training_that_is_over_is_taken_from_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    rbm, again = fresh(), fresh()
    diary = kept(tmp_path / "state", rbm, stripes(), Lesson(epochs=2), seed=5)
    monkeypatch.setattr(RBM, "slopes", None)
    with resumable(tmp_path / "state", every=0):
        assert learn(again, stripes(), Lesson(epochs=2), seed=5) == diary
    assert torch.equal(rbm.weight, again.weight)


@pytest.mark.parametrize("change", ["lesson", "data", "seed"])
def test_a_state_of_another_training_is_refused(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    given = {"lesson": Lesson(epochs=2), "data": stripes(), "seed": 0}
    kept(tmp_path / "state", fresh(), given["data"], given["lesson"], seed=given["seed"])
    given |= {"lesson": {"lesson": Lesson(epochs=3)}, "data": {"data": 1 - stripes()}, "seed": {"seed": 1}}[change]
    with pytest.raises(GenrevError) as caught, resumable(tmp_path / "state", every=0):
        learn(fresh(), given["data"], given["lesson"], seed=given["seed"])
    assert_one_sentence(str(caught.value))


def test_gaussian_units_recover_mean_and_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(4000, 2, generator=generator).double() * torch.tensor([0.5, 3.0]) + torch.tensor([7.0, -2.0])
    rbm = fresh((("gaussian", 2),), 2)
    learn(rbm, data, Lesson(epochs=1, rate=1e-9), seed=0, validation=0.0)
    group = rbm.groups[0]
    assert isinstance(group, GaussianUnits)
    # From a wrong start: learning has to find the law, not only to keep what it was begun with.
    with torch.no_grad():
        group.log_precision.add_(torch.tensor([1.0, -1.0]))
        group.bias.add_(torch.tensor([0.5, 0.02]))
    ascend_gaussian(rbm, data)
    mean, variance = moments(rbm)
    torch.testing.assert_close(mean, data.mean(0), rtol=0, atol=0.02)
    torch.testing.assert_close(variance, data.var(0), rtol=0.02, atol=0)


def ascend_gaussian(rbm: RBM, data: Tensor) -> None:
    """Learn by slopes whose model part is exact: hidden states are gone through."""
    parameters = list(rbm.parameters())
    optimiser = torch.optim.Adam(parameters, lr=0.05)
    for _ in range(400):
        optimiser.zero_grad()
        h = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * rbm.hidden.size)
        loss = rbm.free_energy(data).mean() + (-rbm.hidden_free_energy(h)).logsumexp(0)
        loss.backward()
        optimiser.step()


@torch.no_grad()
def moments(rbm: RBM) -> tuple[Tensor, Tensor]:
    """Mean and variance of real visible units, by going through the hidden states."""
    h = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * rbm.hidden.size)
    weight = (-rbm.hidden_free_energy(h)).softmax(0)
    means = rbm.visible_mean(h)
    mean = weight @ means
    group = rbm.groups[0]
    assert isinstance(group, GaussianUnits)
    return mean, weight @ (means - mean).square() + 1 / group.precision(1.0)


def test_learning_keeps_the_law_of_independent_gaussians() -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(3000, 3, generator=generator).double() * torch.tensor([0.1, 1.0, 20.0]) + 5
    rbm = fresh((("gaussian", 3),), 4)
    learn(rbm, data, Lesson(epochs=20, rate=0.005), seed=0, validation=0.0)
    mean, variance = moments(rbm)
    torch.testing.assert_close((mean - data.mean(0)) / data.std(0), torch.zeros(3).double(), rtol=0, atol=0.15)
    torch.testing.assert_close(variance / data.var(0), torch.ones(3).double(), rtol=0, atol=0.2)


def test_decay_shrinks_weights_alone() -> None:
    plain, decayed = fresh(), fresh()
    data = torch.zeros(20, 16).double()
    for rbm, decay in ((plain, 0.0), (decayed, 5.0)):
        learn(rbm, data, Lesson(epochs=30, weight_decay=decay), seed=0, validation=0.0)
    assert float(decayed.weight.detach().norm()) < 0.2 * float(plain.weight.detach().norm())
    torch.testing.assert_close(decayed.groups[0].bias, plain.groups[0].bias, rtol=0.3, atol=0.3)


def test_hidden_units_are_as_rarely_on_as_was_wished() -> None:
    means = {}
    for sparsity in (None, 0.05):
        rbm = fresh(hidden=12)
        learn(rbm, stripes(), Lesson(epochs=300, sparsity=sparsity, sparsity_weight=2.0), seed=0, validation=0.0)
        means[sparsity] = float(rbm.hidden_mean(stripes()).detach().mean())
    assert means[0.05] < 0.15
    assert means[None] > 0.25


def test_progress_tells_of_likelihood_and_of_free_energies(tmp_path: Path) -> None:
    with logged(tmp_path / "log"):
        diary = learn(fresh(), stripes(), Lesson(epochs=3), seed=0)
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 3
    for name in ("pseudo_likelihood", "overfit", "apart"):
        assert all(f'"{name}"' in line for line in lines)
        assert len(getattr(diary, name)) == 3


def test_the_pseudo_likelihood_is_that_of_each_unit_given_the_others_in_the_mean() -> None:
    rbm = machine((("bernoulli", 4), ("one-hot", 3)), 3)
    v = states(rbm)[5:6]
    exact = 0.0
    for place in range(4):
        other = v.clone()
        other[0, place] = 1 - other[0, place]
        exact += torch.log_softmax(-rbm.free_energy(torch.cat([v, other])), 0)[0].item()
    torch.manual_seed(0)
    found = pseudo_likelihood(rbm, v.expand(20_000, -1))
    assert float(found.detach().mean()) == pytest.approx(exact, rel=0.03)
    assert bool(pseudo_likelihood(fresh((("gaussian", 2),)), torch.zeros(1, 2).double()).isnan().all())


@pytest.mark.parametrize(
    ("groups", "data", "words"),
    [
        ([("bernoulli", 2)], [[0.0, 1.5], [0.0, 1.0]], "expected data in"),
        ([("bernoulli", 2)], [[0.0, math.nan], [0.0, 1.0]], "expected finite data"),
        ([("bernoulli", 2)], [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]], r"shape \(n, 2\)"),
        ([("bernoulli", 2)], [[0.0, 1.0]], "n >= 2"),
        ([("one-hot", 2)], [[0.5, 0.6], [0.5, 0.5]], "sum to 1"),
        ([("one-hot", 2)], [[1.5, -0.5], [0.5, 0.5]], "sum to 1"),
        ([("gaussian", 1)], [[math.inf], [0.0]], "expected finite data"),
        ([("bernoulli", 1), ("one-hot", 2)], [[0.5, 1.0], [0.5, 0.0]], r"shape \(n, 3\)"),
    ],
)
def test_data_that_the_units_cannot_take_are_refused(groups, data, words: str) -> None:
    with pytest.raises(ArgumentError, match=words) as caught:
        check_values(fresh(groups).groups, torch.tensor(data).double())
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    "mistake",
    [
        {"method": "sgd"}, {"gibbs": 0}, {"chains": 1.5}, {"rate": 0.0}, {"momentum": 1.0}, {"epochs": -1},
        {"sparsity": 1.0}, {"temperatures": 1}, {"weight_decay": -1.0}, {"batch_size": 0}, {"momentum": -0.1},
        {"sparsity": "some"}, {"sampled": "yes"}, {"method": None}, {"rate": math.nan}, {"sparsity_weight": math.inf},
    ],
)  # fmt: skip
def test_a_lesson_out_of_range_gives_one_sentence(mistake) -> None:
    with pytest.raises(ArgumentError) as caught:
        Lesson(**mistake)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    "mistake",
    [
        {"rbm": None}, {"rbm": torch.nn.Linear(16, 8)}, {"lesson": "pcd"}, {"lesson": UpDown()}, {"seed": -1},
        {"seed": 0.5}, {"validation": 1.0}, {"validation": -0.1}, {"validation": math.nan}, {"validation": "some"},
        {"validation": None}, {"v": stripes().tolist()}, {"v": stripes().numpy()}, {"v": stripes()[0]}, {"v": None},
        {"v": stripes().to(torch.complex64)}, {"v": stripes().to_sparse()}, {"v": stripes()[:, :15]},
    ],
)  # fmt: skip
def test_a_mistake_gives_one_sentence(mistake) -> None:
    with pytest.raises(ArgumentError) as caught:
        learn(**{"rbm": fresh(), "v": stripes(), "lesson": Lesson(epochs=1), **mistake})
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_enough_is_left_to_learn_from_however_much_is_held_out(kind: str) -> None:
    rbm = fresh(((kind, 16),))
    diary = learn(rbm, stripes(), Lesson(epochs=2), seed=0, validation=0.99)
    assert all(bool(values.isfinite().all()) for values in rbm.parameters())
    assert all(map(math.isfinite, diary.overfit))


@pytest.mark.parametrize("constant", [0.0, 1e3])
def test_a_real_value_that_never_changes_is_learned_beside_others_that_do(constant: float) -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(200, 3, generator=generator)
    data[:, 1] = constant
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        rbm = RBM([("gaussian", 3)], 4).float()
    # An update of its precision upwards follows another, without end, until single precision could not hold it.
    learn(rbm, data.float(), Lesson(epochs=50, batch_size=20, rate=0.5), seed=0)
    group = rbm.groups[0]
    assert isinstance(group, GaussianUnits)
    assert bool(group.precision().isfinite().all())
    drawn = rbm.sample_visible(torch.ones(500, 4).float(), Draws(500, rbm.weight)).detach()
    torch.testing.assert_close(drawn[:, 1], torch.full((500,), constant).float(), rtol=1e-4, atol=0.01)
    assert float(drawn[:, 0].std()) > 0.3


def test_a_rate_far_too_high_is_told_and_not_learned_with() -> None:
    rbm = fresh((("gaussian", 3),), 4)
    data = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double()
    with pytest.raises(GenrevError, match="lower the rate") as caught:
        learn(rbm, data, Lesson(epochs=50, rate=1e6), seed=0)
    assert_one_sentence(str(caught.value))


def test_constant_pixels_are_learned_as_they_are() -> None:
    data = torch.cat([torch.zeros(40, 3), torch.ones(40, 2), (torch.arange(40) % 2)[:, None]], 1).double()
    rbm = fresh((("bernoulli", 6),), 3)
    learn(rbm, data, Lesson(epochs=50), seed=0)
    joint, every = law(rbm).sum(1), states(rbm)
    mean = joint @ every
    assert float(mean[:3].max()) < 0.1
    assert float(mean[3:5].min()) > 0.9


@pytest.mark.slow
def test_tempering_learns_bars_and_stripes_to_within_a_twentieth_of_a_nat() -> None:
    rbm, data = fresh(hidden=19), stripes()
    lesson = Lesson(method="pt", epochs=20_000, batch_size=32, rate=0.2, weight_decay=0.0, chains=100, temperatures=10)
    learn(rbm, data, lesson, seed=0, validation=0.0)
    assert likelihood(rbm, data) > best_log_likelihood(4) - 0.05


def test_a_machine_that_has_lost_its_data_to_too_high_a_rate_is_refused() -> None:
    rows = (torch.rand(20, 1) + 0.4 * torch.rand(200, 1, 1)).flatten(1).clamp(0, 1).round()
    data = torch.cat([rows, 1 - rows], 1).repeat(1, 4)
    with pytest.raises(GenrevError, match=r"chains are stuck where it holds states .* nats likelier; lower the rate"):
        learn(RBM([("bernoulli", data.shape[1])], 40), data, Lesson(epochs=5, batch_size=10, rate=200.0), seed=0)
