"""Tests of the restricted Boltzmann machine against going through all of its states."""

from __future__ import annotations

import copy

import pytest
import torch
from machines import binary, energies, law, machine, states
from sentences import assert_one_sentence
from torch import Tensor

from genrev.errors import ArgumentError
from genrev.models.rbm import RBM
from genrev.models.units import GaussianUnits

MIXED = (("bernoulli", 4), ("one-hot", 3))
BETAS = [0.0, 0.3, 1.0]


def uniform(seed: int, rows: int):
    generator = torch.Generator().manual_seed(seed)
    return lambda size: torch.rand(rows, size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("groups", [(("bernoulli", 5),), MIXED])
def test_energies_are_the_formula_s(groups, beta: float) -> None:
    rbm = machine(groups, 3)
    v, h = states(rbm), binary(3)
    pairs = [rbm.energy(one[None].expand(len(h), -1), h, beta) for one in v]
    torch.testing.assert_close(torch.stack(pairs), energies(rbm, beta))


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("groups", [(("bernoulli", 5),), MIXED])
def test_free_energies_sum_the_other_layer_out(groups, beta: float) -> None:
    rbm = machine(groups, 3)
    joint = energies(rbm, beta)
    torch.testing.assert_close(rbm.free_energy(states(rbm), beta), -(-joint).logsumexp(1))
    torch.testing.assert_close(rbm.hidden_free_energy(binary(3), beta), -(-joint).logsumexp(0))


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("groups", [(("bernoulli", 5),), MIXED])
def test_means_given_the_other_layer_are_those_of_the_joint_law(groups, beta: float) -> None:
    rbm = machine(groups, 3)
    v, h, joint = states(rbm), binary(3), law(rbm, beta)
    torch.testing.assert_close(rbm.hidden_mean(v, beta), joint @ h / joint.sum(1, keepdim=True))
    torch.testing.assert_close(rbm.visible_mean(h, beta), joint.T @ v / joint.sum(0)[:, None])


@pytest.mark.parametrize("beta", BETAS)
def test_samples_have_the_conditional_laws(beta: float) -> None:
    rbm, rows = machine(MIXED, 3), 200_000
    joint, v, h = law(rbm, beta), states(rbm), binary(3)
    drawn = rbm.sample_visible(h[5:6].expand(rows, -1), uniform(1, rows), beta)
    expected = joint[:, 5] / joint[:, 5].sum()
    counts = torch.stack([(drawn == one).all(1).double().mean() for one in v])
    assert float((counts - expected).abs().sum()) / 2 < 0.01
    drawn = rbm.sample_hidden(v[7:8].expand(rows, -1), uniform(2, rows), beta)
    expected = joint[7] / joint[7].sum()
    counts = torch.stack([(drawn == one).all(1).double().mean() for one in h])
    assert float((counts - expected).abs().sum()) / 2 < 0.01


def test_a_row_s_own_temperature_is_as_one_for_all() -> None:
    rbm = machine(MIXED, 3)
    v, betas = states(rbm)[:4], torch.tensor([[0.0], [0.25], [0.5], [1.0]]).double()
    single = torch.cat([rbm.free_energy(v[row : row + 1], float(beta)) for row, beta in enumerate(betas)])
    torch.testing.assert_close(rbm.free_energy(v, betas), single)
    h = binary(3)[:4]
    single = torch.cat([rbm.visible_mean(h[row : row + 1], float(beta)) for row, beta in enumerate(betas)])
    torch.testing.assert_close(rbm.visible_mean(h, betas), single)


def test_classes_have_their_law_given_the_other_units() -> None:
    rbm = machine((("bernoulli", 3), ("one-hot", 4)), 5)
    # Visible states go through the classes fastest.
    joint = law(rbm).sum(1).view(8, 4)
    torch.testing.assert_close(rbm.log_classes(binary(3)).exp(), joint / joint.sum(1, keepdim=True))


@pytest.mark.parametrize("first", ["bernoulli", "gaussian"])
def test_slopes_of_classes_given_the_other_units_are_those_of_autograd(first: str) -> None:
    rbm = machine(((first, 3), ("bernoulli", 2), ("one-hot", 4)), 5)
    generator = torch.Generator().manual_seed(1)
    rest, weight = (torch.rand(size, generator=generator).double() for size in ((7, 5), (7,)))
    y = torch.rand(7, 4, generator=generator).double().softmax(1)
    (weight * (y * rbm.log_classes(rest)).sum(1)).sum().backward()
    found = rbm.class_slopes(torch.cat([rest, y], 1), weight)
    for name, values in rbm.named_parameters():
        wanted = torch.zeros_like(values) if values.grad is None else values.grad
        torch.testing.assert_close(found.get(name, torch.zeros_like(values)), wanted)


def test_one_gibbs_step_leaves_the_law_as_it_is() -> None:
    rbm = machine((("bernoulli", 4),), 3)
    joint = law(rbm)
    up = joint / joint.sum(1, keepdim=True)
    down = joint / joint.sum(0)
    marginal = joint.sum(1)
    torch.testing.assert_close(marginal @ up @ down.T, marginal)
    rows = 200_000
    start = states(rbm)[torch.multinomial(marginal, rows, replacement=True, generator=torch.Generator().manual_seed(0))]
    after = rbm.gibbs(start, uniform(3, rows))
    counts = torch.stack([(after == one).all(1).double().mean() for one in states(rbm)])
    assert float((counts - marginal).abs().sum()) / 2 < 0.01


def test_known_values_stay_and_the_others_have_the_law_given_them() -> None:
    rbm, rows = machine((("bernoulli", 5),), 3), 60_000
    known = torch.full((rows, 5), torch.nan).double()
    known[:, 1], known[:, 3] = 1.0, 0.0
    v, draw = torch.where(known.isnan(), 0.5, known).round(), uniform(4, rows)
    for _ in range(60):
        v = rbm.gibbs(v, draw, known=known)
    assert bool((v[:, 1] == 1).all())
    assert bool((v[:, 3] == 0).all())
    every, marginal = states(rbm), law(rbm).sum(1)
    kept = (every[:, 1] == 1) & (every[:, 3] == 0)
    expected = marginal[kept] / marginal[kept].sum()
    counts = torch.stack([(v == one).all(1).double().mean() for one in every[kept]])
    assert float((counts - expected).abs().sum()) / 2 < 0.02


@pytest.mark.parametrize("groups", [(("bernoulli", 6),), MIXED])
def test_slopes_are_those_of_the_exact_log_likelihood(groups) -> None:
    rbm = machine(groups, 4)
    every = states(rbm)
    data = every[torch.randint(len(every), (9,), generator=torch.Generator().manual_seed(5))]
    loss = rbm.free_energy(data).mean() + (-rbm.free_energy(every)).logsumexp(0)
    slopes = dict(zip(dict(rbm.named_parameters()), torch.autograd.grad(-loss, list(rbm.parameters())), strict=True))
    with torch.no_grad():
        both = torch.cat([data, every])
        weight = torch.cat([torch.full((9,), 1 / 9).double(), -law(rbm).sum(1)])
        found = rbm.slopes(both, rbm.hidden_mean(both), weight)
    assert found.keys() == slopes.keys()
    for name, values in slopes.items():
        torch.testing.assert_close(found[name], values)


def test_slopes_of_real_values_are_those_of_autograd() -> None:
    rbm = machine((("gaussian", 3), ("bernoulli", 2)), 4)
    v, weight = (
        torch.randn(7, 5, generator=torch.Generator().manual_seed(6)).double(),
        torch.linspace(-1, 1, 7).double(),
    )
    slopes = torch.autograd.grad(-(weight * rbm.free_energy(v)).sum(), list(rbm.parameters()))
    with torch.no_grad():
        found = rbm.slopes(v, rbm.hidden_mean(v), weight)
    for (name, _), values in zip(rbm.named_parameters(), slopes, strict=True):
        torch.testing.assert_close(found[name], values)


@pytest.mark.parametrize("groups", [MIXED, (("gaussian", 3),)])
def test_moving_the_hidden_offsets_leaves_the_law_as_it_is(groups) -> None:
    rbm = machine(groups, 3)
    moved = copy.deepcopy(rbm)
    moved.move_hidden_offset(torch.tensor([0.1, 0.5, 0.9]).double())
    v = torch.randn(6, rbm.size, generator=torch.Generator().manual_seed(7)).double()
    gap = rbm.free_energy(v) - moved.free_energy(v)
    torch.testing.assert_close(gap, gap[:1].expand(6))


def integral(rbm: RBM, h: Tensor, beta: float) -> Tensor:
    """The integral of exp(-E) over two real values by a fine grid."""
    axis = torch.linspace(-30, 30, 1201).double()
    grid = torch.cartesian_prod(axis, axis)
    values = (-rbm.energy(grid, h.expand(len(grid), -1), beta)).logsumexp(0)
    return values + 2 * torch.log(axis[1] - axis[0])


@pytest.mark.parametrize("beta", BETAS)
def test_gaussian_units_integrate_and_have_the_means_of_their_density(beta: float) -> None:
    rbm = machine((("gaussian", 2),), 2)
    for h in binary(2)[:, None]:
        torch.testing.assert_close(-rbm.hidden_free_energy(h, beta)[0], integral(rbm, h, beta), rtol=1e-6, atol=1e-6)
    rows, h = 200_000, binary(2)[1:2]
    drawn = rbm.sample_visible(h.expand(rows, -1), uniform(8, rows), beta)
    group = rbm.groups[0]
    assert isinstance(group, GaussianUnits)
    deviation = group.precision(beta).rsqrt().detach()
    torch.testing.assert_close(
        drawn.mean(0), rbm.visible_mean(h, beta)[0], atol=5 * float(deviation.max()) / 447, rtol=0
    )
    torch.testing.assert_close(drawn.std(0), deviation, rtol=0.01, atol=0)


def test_a_machine_begins_as_the_base_rates_of_its_data() -> None:
    torch.manual_seed(0)
    data = torch.cat(
        [(torch.rand(500, 3) < torch.tensor([0.1, 0.5, 0.9])).double(), torch.eye(2)[[0] * 400 + [1] * 100]], 1
    )
    rbm = RBM([("bernoulli", 3), ("one-hot", 2)], 4).double()
    rbm.begin(data)
    for h in (torch.zeros(1, 4), torch.ones(1, 4)):
        torch.testing.assert_close(rbm.visible_mean(h.double(), 0.0)[0], data.mean(0))
    torch.nn.init.zeros_(rbm.weight)
    torch.testing.assert_close(rbm.visible_mean(torch.ones(1, 4).double())[0], data.mean(0))


def test_constant_values_begin_with_finite_biases() -> None:
    rbm = RBM([("bernoulli", 2), ("gaussian", 2)], 3).double()
    rbm.begin(torch.tensor([[0.0, 1.0, 3.0, 1.0], [0.0, 1.0, 3.0, 2.0]]).double())
    assert all(bool(values.isfinite().all()) for values in (*rbm.parameters(), *rbm.buffers()))


@pytest.mark.parametrize(
    ("groups", "hidden"),
    [
        ([("xx", 3)], 3), ([("bernoulli", 0)], 3), ([("bernoulli", 2.5)], 3), ([], 3), ("bernoulli", 3), (["ab"], 3),
        ([("bernoulli", 3)], 0), ([("bernoulli", 3)], "many"), (None, 3), ([("bernoulli", 3, 4)], 3),
    ],
)  # fmt: skip
def test_groups_and_sizes_that_do_not_exist_are_refused(groups, hidden) -> None:
    with pytest.raises(ArgumentError) as caught:
        RBM(groups, hidden)
    assert_one_sentence(str(caught.value))


def test_a_machine_without_classes_says_so() -> None:
    with pytest.raises(ArgumentError, match="one-hot units") as caught:
        machine().log_classes(torch.zeros(1, 6).double())
    assert_one_sentence(str(caught.value))
