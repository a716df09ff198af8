"""Tests of clamped chains against going through all states of small machines."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from machines import binary, machine, states
from torch import Tensor

from genrev.inverters.boltzmann import RBMInverter
from genrev.inverters.clamped import Clamp, DeepChain, FlatChain
from genrev.models.dbn import DBN, BeliefLayer
from genrev.models.rbm import RBM
from genrev.network import Network
from genrev.noise import Noise, target_keys
from genrev.space import InputSpace

NAN = math.nan
ROWS = 20_000


def clamp(rbm: RBM, outputs: list[float], guidance: float = 1.0) -> Clamp:
    asked = torch.tensor([outputs], dtype=torch.float64).expand(ROWS, -1)
    return Clamp(rbm, asked, guidance, Noise(target_keys(asked, 0)))


def begin(rbm: RBM) -> Tensor:
    return torch.full((ROWS, rbm.sizes[0]), 0.5, dtype=torch.float64)


def distance(drawn: Tensor, every: Tensor, law: Tensor) -> float:
    """Total variation between how often each row of `every` was drawn and its probability."""
    places = torch.cdist(drawn, every, p=1).argmin(1)
    shares = torch.bincount(places, minlength=len(every)) / len(drawn)
    return float((shares - law).abs().sum()) / 2


def settled(chain, state: Tensor, moves: int = 60) -> Tensor:
    for _ in range(moves):
        state = chain.move(state)
    return state


def mixed() -> RBM:
    return machine((("bernoulli", 3), ("one-hot", 3)), 3, seed=4).requires_grad_(False)


def test_inputs_are_drawn_by_their_law_given_the_outputs() -> None:
    rbm, y = mixed(), [0.0, 1.0, 0.0]
    fixed = clamp(rbm, y)
    chain = FlatChain(rbm, fixed, None)
    v = fixed.visible(settled(chain, chain.begin(begin(rbm))))
    assert bool((v[:, 3:] == torch.tensor(y).double()).all())
    every = torch.cat([binary(3), torch.tensor(y).double().expand(8, -1)], 1)
    assert distance(v[:, :3], binary(3), (-rbm.free_energy(every)).softmax(0)) < 0.02


def test_soft_outputs_are_clamped_as_they_are() -> None:
    rbm, y = mixed(), [0.2, 0.7, 0.1]
    fixed = clamp(rbm, y)
    chain = FlatChain(rbm, fixed, None)
    v = fixed.visible(settled(chain, chain.begin(begin(rbm))))
    every = torch.cat([binary(3), torch.tensor(y).double().expand(8, -1)], 1)
    assert distance(v[:, :3], binary(3), (-rbm.free_energy(every)).softmax(0)) < 0.02


def test_free_outputs_are_drawn_with_the_inputs_by_their_joint_law() -> None:
    rbm = mixed()
    fixed = clamp(rbm, [NAN, NAN, NAN])
    chain = FlatChain(rbm, fixed, None)
    v = fixed.visible(settled(chain, chain.begin(begin(rbm))))
    assert distance(v, states(rbm), (-rbm.free_energy(states(rbm))).softmax(0)) < 0.02


def test_what_an_asked_probability_leaves_falls_to_one_of_the_free_outputs() -> None:
    rbm = mixed()
    fixed = clamp(rbm, [0.6, NAN, NAN])
    chain = FlatChain(rbm, fixed, None)
    v = fixed.visible(settled(chain, chain.begin(begin(rbm))))
    rest = torch.tensor([[0.6, 0.4, 0.0], [0.6, 0.0, 0.4]]).double()
    every = torch.cat([binary(3).repeat_interleave(2, 0), rest.repeat(8, 1)], 1)
    assert distance(v, every, (-rbm.free_energy(every)).softmax(0)) < 0.02


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_free_outputs_of_other_kinds_are_drawn_and_asked_ones_stay(kind: str) -> None:
    rbm = machine((("bernoulli", 2), (kind, 2)), 2, seed=5).requires_grad_(False)
    fixed = clamp(rbm, [1.0, NAN])
    chain = FlatChain(rbm, fixed, None)
    v = fixed.visible(settled(chain, chain.begin(begin(rbm))))
    assert bool((v[:, 2] == 1).all())
    if kind == "bernoulli":
        every = torch.cat([binary(2).repeat_interleave(2, 0), torch.ones(8, 1)[:8], binary(1).repeat(4, 1)], 1).double()
        assert distance(v, every, (-rbm.free_energy(every)).softmax(0)) < 0.02
    else:
        assert float(v[:, 3].std()) > 0.1


def test_known_inputs_stay_and_the_others_have_the_law_given_them() -> None:
    rbm, y = mixed(), [1.0, 0.0, 0.0]
    known = torch.tensor([[1.0, NAN, NAN]]).double().expand(ROWS, -1)
    fixed = clamp(rbm, y)
    chain = FlatChain(rbm, fixed, known)
    state = settled(chain, chain.begin(begin(rbm)))
    assert bool((chain.shown(state)[:, 0] == 1).all())
    v = fixed.visible(state)
    every = torch.cat([torch.ones(4, 1).double(), binary(2), torch.tensor(y).double().expand(4, -1)], 1)
    assert distance(v[:, 1:3], binary(2), (-rbm.free_energy(every)).softmax(0)) < 0.02


def given_outputs(rbm: RBM, y: list[float]) -> tuple[Tensor, Tensor]:
    """All hidden states, and their law given the outputs: visible ones summed out."""
    v = torch.cat([binary(3), torch.tensor(y).double().expand(8, -1)], 1)
    h = binary(rbm.hidden.size)
    energy = torch.stack([rbm.energy(v, one.expand(8, -1)) for one in h])
    return h, (-energy).logsumexp(1).softmax(0)


def test_a_cost_tilts_the_law_of_the_states_by_its_exponential() -> None:
    rbm, y = mixed(), [0.0, 0.0, 1.0]
    with torch.no_grad():
        # No state outweighs all others.
        for values in rbm.parameters():
            values.mul_(0.4)
    h, plain = given_outputs(rbm, y)
    slope = torch.tensor([4.0, -3.0, 2.0]).double()

    def cost(x: Tensor) -> Tensor:
        return x @ slope

    chain = FlatChain(rbm, clamp(rbm, y), None)
    tilted = plain * (-cost(chain.shown(h))).exp()
    tilted = tilted / tilted.sum()
    assert float((tilted - plain).abs().sum()) / 2 > 0.1
    start = chain.begin(begin(rbm))
    x, taken = chain.run(start, 150, cost)
    assert distance(x, chain.shown(h), tilted) < 0.02
    assert 0 < float(taken.mean()) < 1


def test_without_a_cost_every_move_is_taken() -> None:
    rbm, y = mixed(), [0.0, 0.0, 1.0]
    chain = FlatChain(rbm, clamp(rbm, y), None)
    x, taken = chain.run(chain.begin(begin(rbm)), 60)
    h, plain = given_outputs(rbm, y)
    assert distance(x, chain.shown(h), plain) < 0.02
    assert bool((taken == 1).all())


def test_guidance_weighs_the_outputs_fields_that_much_more() -> None:
    rbm, y = mixed(), [0.0, 1.0, 0.0]
    strong = mixed()
    with torch.no_grad():
        # What guidance 3 shows the hidden units is what three times the weights would.
        strong.weight[3:] *= 3
    v = torch.tensor([[1.0, 0.0, 1.0, *y]]).double().expand(ROWS, -1)
    means = clamp(rbm, y, 3.0).hidden(v).mean(0)
    torch.testing.assert_close(means, strong.hidden_mean(v[:1])[0], rtol=0, atol=0.015)


@pytest.mark.parametrize(("y", "guidance"), [([NAN, NAN, NAN], 3.0), ([0.6, NAN, NAN], 3.0), ([NAN, NAN, NAN], 0.0)])
def test_with_guidance_free_outputs_have_the_law_of_that_stronger_machine_too(y: list[float], guidance: float) -> None:
    # A machine of which each draw of the outputs matters to the inputs.
    rbm, strong = (machine((("bernoulli", 3), ("one-hot", 3)), 3, seed=3).requires_grad_(False) for _ in range(2))
    strong.weight[3:] *= guidance
    fixed = clamp(rbm, y, guidance)
    chain = FlatChain(rbm, fixed, None)
    v = fixed.visible(settled(chain, chain.begin(begin(rbm))))
    rest = 1 - torch.tensor(y).nansum()
    every = [torch.tensor(y).double(), rest * torch.eye(3).double()]
    asked = torch.where(every[0].isnan(), every[1], every[0])[every[0].isnan()]
    every = torch.cat([binary(3).repeat_interleave(len(asked), 0), asked.repeat(8, 1)], 1)
    assert distance(v, every, (-strong.free_energy(every)).softmax(0)) < 0.02
    if guidance > 1:
        assert distance(v, every, (-rbm.free_energy(every)).softmax(0)) > 0.1


def deep() -> DBN:
    layers = [BeliefLayer.of(machine((("bernoulli", 4),), 3, seed=1))]
    return DBN(layers, machine((("bernoulli", 3), ("one-hot", 2)), 3, seed=2)).requires_grad_(False)


def test_codes_of_a_deep_network_are_drawn_by_their_law_given_the_outputs() -> None:
    dbn, y = deep(), [1.0, 0.0]
    chain = DeepChain(dbn, clamp(dbn.top, y), None)
    code = settled(chain, chain.begin(torch.full((ROWS, 3), 0.5).double()))[:, :3]
    every = torch.cat([binary(3), torch.tensor(y).double().expand(8, -1)], 1)
    assert distance(code, binary(3), (-dbn.top.free_energy(every)).softmax(0)) < 0.02


def test_a_deep_network_keeps_known_inputs_and_leans_to_codes_that_explain_them() -> None:
    dbn, y = deep(), [1.0, 0.0]
    known = torch.full((ROWS, 4), NAN).double()
    known[:, 0] = 1.0
    with torch.no_grad():
        dbn.beliefs[0].up.weight[0, 0] = 20.0
        dbn.beliefs[0].up.bias[0] = -10.0
        # What the machine on top is shown of that unit it remembers.
        dbn.top.weight[0] *= 4
    chain = DeepChain(dbn, clamp(dbn.top, y), known)
    state = chain.begin(torch.zeros(ROWS, 3).double())
    assert bool((chain.shown(state)[:, 0] == 1).all())
    other = DeepChain(dbn, clamp(dbn.top, y), 0 * known)
    on, off = (settled(one, state, 5)[:, 0].mean() for one in (chain, other))
    assert float(on) > float(off) + 0.02


def test_what_a_code_shows_is_settled_however_often_it_is_asked() -> None:
    layers = [BeliefLayer.of(machine((("bernoulli", 4),), 3, seed=1)), BeliefLayer.of(machine((("bernoulli", 3),), 3))]
    dbn = DBN(layers, machine((("bernoulli", 3), ("one-hot", 2)), 3, seed=2)).requires_grad_(False)
    chain = DeepChain(dbn, clamp(dbn.top, [1.0, 0.0]), None)
    state = chain.begin(torch.ones(ROWS, 3).double())
    assert torch.equal(chain.shown(state), chain.shown(state))
    # Rows draw by noise of their own, so that one code shows several inputs.
    assert len(chain.shown(state).unique(dim=0)) > 1


def test_values_at_the_ends_of_any_range_are_learned() -> None:
    space = InputSpace((6,), 0.1, 0.7)
    network = Network(torch.nn.Linear(6, 2), space=space)
    inputs = torch.cat([torch.full((5, 6), 0.7), torch.full((5, 6), 0.1), space.project(torch.rand(5, 6))])
    found = RBMInverter(network, steps=2, hidden=3, gibbs=2).fit(inputs, seed=0).reconstruct([[0.1, 0.2]], seed=0)
    assert bool(space.contains(found.x.flatten(0, 1)).all())


def both_chains() -> dict[str, tuple[RBM, Any]]:
    layers = [BeliefLayer.of(machine((("bernoulli", 4),), 3, seed=1))]
    dbn = DBN(layers, machine((("bernoulli", 3), ("one-hot", 2)), 3, seed=2)).requires_grad_(False)
    rbm = machine((("bernoulli", 3), ("one-hot", 2)), 3, seed=4).requires_grad_(False)
    return {
        "flat": (rbm, lambda clamp: FlatChain(rbm, clamp, None)),
        "deep": (dbn.top, lambda clamp: DeepChain(dbn, clamp, None)),
    }


@pytest.mark.parametrize("kind", ["flat", "deep"])
def test_a_chain_of_fewer_steps_ends_where_one_of_more_has_been(kind: str) -> None:
    top, chain_on = both_chains()[kind]
    long = chain_on(clamp(top, [1.0, 0.0]))
    state = long.begin(begin(top))
    for steps in range(4):
        short = chain_on(clamp(top, [1.0, 0.0]))
        assert torch.equal(short.run(short.begin(begin(top)), steps)[0], long.shown(state))
        state = long.move(state)


@pytest.mark.parametrize("kind", ["flat", "deep"])
def test_a_tilted_chain_of_fewer_steps_has_tried_what_one_of_more_has(kind: str) -> None:
    top, chain_on = both_chains()[kind]
    tried: dict[int, list[Tensor]] = {}
    for steps in (2, 4):
        chain, tried[steps] = chain_on(clamp(top, [1.0, 0.0])), []

        def cost(x: Tensor, seen: list[Tensor] = tried[steps]) -> Tensor:
            seen.append(x)
            return 3 * x.sum(1)

        x, _ = chain.run(chain.begin(begin(top)), steps, cost)
        assert len(tried[steps]) == 1 + steps
        assert bool((x[:, None] == torch.stack(tried[steps], 1)).all(2).any(1).all())
    assert all(torch.equal(one, other) for one, other in zip(tried[2], tried[4][:3], strict=True))
