"""Tests of the deep belief network against going through all states of a tiny stack."""

from __future__ import annotations

import pytest
import torch
from machines import binary, log_likelihoods, machine, states
from sentences import assert_one_sentence

from genrev.boltzmann.likelihood import exact_log_partition
from genrev.errors import ArgumentError
from genrev.models.dbn import DBN, BeliefLayer
from genrev.models.rbm import RBM


def draws(seed: int, rows: int):
    generator = torch.Generator().manual_seed(seed)
    return lambda size: torch.rand(rows, size, generator=generator, dtype=torch.float64)


def stack() -> DBN:
    """Three layers: 4 inputs, a code of 3, a code of 3, a top of 2; ways up and down of weights of their own."""
    layers = [
        BeliefLayer.of(machine((("bernoulli", 4),), 3, seed=1)),
        BeliefLayer.of(machine((("bernoulli", 3),), 3, seed=2)),
    ]
    with torch.no_grad():
        for layer in layers:
            layer.down.weight.mul_(0.5)
    return DBN(layers, machine((("bernoulli", 3),), 2, seed=3))


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_a_layer_has_the_conditional_laws_of_its_machine(kind: str) -> None:
    rbm = machine(((kind, 4),), 3)
    layer = BeliefLayer.of(rbm)
    v, h = torch.rand(5, 4).double(), binary(3)
    torch.testing.assert_close(layer.code_mean(v), rbm.hidden_mean(v))
    torch.testing.assert_close(layer.mean(h), rbm.visible_mean(h))
    uniform = draws(0, 8)
    again = draws(0, 8)
    torch.testing.assert_close(layer.sample(h, uniform), rbm.sample_visible(h, again))


def test_log_likelihoods_of_a_layer_are_laws() -> None:
    layer = BeliefLayer.of(machine((("bernoulli", 4),), 3))
    v, h = binary(4), binary(3)
    for code in h:
        assert float(layer.log_likelihood(v, code.expand(16, -1)).logsumexp(0).detach()) == pytest.approx(0, abs=1e-12)
    for one in v:
        assert float(layer.log_guess(h, one.expand(8, -1)).logsumexp(0).detach()) == pytest.approx(0, abs=1e-12)


def test_the_bound_is_below_the_likelihood_and_equals_its_mean_by_brute_force() -> None:
    dbn = stack()
    exact = log_likelihoods(dbn).detach()
    assert float(exact.logsumexp(0)) == pytest.approx(0, abs=1e-10)
    log_z, rows = exact_log_partition(dbn.top), 40_000
    for place, v in enumerate(binary(4)):
        expected = 0.0
        for h in binary(3):
            for g in binary(3):
                weight = dbn.beliefs[0].log_guess(h[None], v[None]) + dbn.beliefs[1].log_guess(g[None], h[None])
                inner = dbn.beliefs[0].log_likelihood(v[None], h[None]) + dbn.beliefs[1].log_likelihood(
                    h[None], g[None]
                )
                inner = inner - dbn.top.free_energy(g[None]) - log_z - weight
                expected += float((weight.exp() * inner).detach())
        found = dbn.bound(v.expand(rows, -1), log_z, draws(place, rows)).detach()
        assert float(found.mean()) == pytest.approx(expected, abs=6 * float(found.std()) / rows**0.5)
        assert expected <= float(exact[place]) + 1e-12


def test_a_second_layer_that_is_the_first_turned_over_leaves_the_likelihood_as_it_is() -> None:
    first = machine((("bernoulli", 4),), 3)
    # The top's own units below are the first one's hidden ones, and its hidden ones are of the first's visible kind.
    top = RBM([("bernoulli", 3)], 4).double()
    with torch.no_grad():
        top.weight.copy_(first.weight.T)
        group = top.groups[0]
        group.bias.copy_(first.hidden.bias)
        group.offset.copy_(first.hidden.offset)
        top.hidden.bias.copy_(first.groups[0].bias)
        top.hidden.offset.copy_(first.groups[0].offset)
    dbn = DBN([BeliefLayer.of(first)], top)
    expected = -first.free_energy(states(first)) - exact_log_partition(first)
    torch.testing.assert_close(log_likelihoods(dbn), expected)


def test_the_way_up_as_a_network_gives_the_stack_s_own_codes() -> None:
    dbn = stack()
    v = torch.rand(9, 4).double()
    torch.testing.assert_close(dbn.to_mlp()(v), dbn.encode(v))
    assert dbn.to_mlp().widths == [4, 3, 3]


def test_classes_given_the_code_are_the_top_s_classes() -> None:
    layer = BeliefLayer.of(machine((("bernoulli", 4),), 3))
    dbn, v = DBN([layer], machine((("bernoulli", 3), ("one-hot", 5)), 2)), torch.rand(6, 4).double()
    torch.testing.assert_close(dbn.log_classes(v), dbn.top.log_classes(dbn.encode(v)))


def test_decoding_draws_codes_in_between_and_gives_means_below() -> None:
    dbn, rows = stack(), 50_000
    code = torch.tensor([[1.0, 0.0, 1.0]]).double()
    lower = binary(3)
    weights = torch.stack([dbn.beliefs[1].log_likelihood(h[None], code) for h in lower]).exp()
    expected = (weights * dbn.beliefs[0].mean(lower)).sum(0)
    drawn = dbn.decode(code.expand(rows, -1), draws(0, rows))
    torch.testing.assert_close(drawn.mean(0), expected, rtol=0, atol=0.01)
    means = dbn.beliefs[0].mean(dbn.beliefs[1].mean(code))
    torch.testing.assert_close(dbn.decode(code, None), means)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: DBN([], machine()),
        lambda: BeliefLayer.of(machine((("bernoulli", 3), ("one-hot", 2)))),
        lambda: BeliefLayer("xx", 3, 4),
        lambda: BeliefLayer("bernoulli", 3, 0),
        lambda: DBN([BeliefLayer("bernoulli", 4, 3)], machine((("bernoulli", 3), ("one-hot", 2)))).bound(
            torch.zeros(1, 4), 0.0, draws(0, 1)
        ),
    ],
)
def test_a_mistake_gives_one_sentence(ask) -> None:
    with pytest.raises(ArgumentError) as caught:
        ask()
    assert_one_sentence(str(caught.value))
