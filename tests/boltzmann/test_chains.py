"""Tests of the chains: each has the law that its machine has, at every temperature."""

from __future__ import annotations

import pytest
import torch
from machines import law, machine, states
from torch import Tensor

from genrev.boltzmann.chains import CHAINS, Draws, Tempered
from genrev.training import seeded

MIXED = (("bernoulli", 4), ("one-hot", 3))


def shares(drawn: Tensor, every: Tensor) -> Tensor:
    """How often each state occurs among ``(rows, visible)``."""
    places = (torch.cdist(drawn, every, p=1) < 0.5).double().argmax(1)
    return torch.bincount(places, minlength=len(every)) / len(drawn)


@pytest.mark.parametrize("groups", [(("bernoulli", 6),), MIXED])
def test_every_temperature_of_parallel_tempering_has_its_law(groups) -> None:
    rbm = machine(groups, 4, seed=1)
    every = states(rbm)
    with seeded(0), torch.no_grad():
        chains = Tempered(rbm, 1, 2000, 5)
        for _ in range(50):
            chains.step()
        seen = [chains.step() for _ in range(100)]
    for place, beta in enumerate(chains.betas.tolist()):
        drawn = torch.cat([one[place] for one in seen])
        expected = law(rbm, beta).sum(1)
        assert float((shares(drawn, every) - expected).abs().sum()) / 2 < 0.02


def test_tempering_crosses_where_a_plain_chain_stays() -> None:
    # Two states, all on or all off, and a wall between them.
    rbm = machine((("bernoulli", 6),), 4)
    with torch.no_grad():
        for values in (*rbm.parameters(), *rbm.buffers()):
            values.zero_()
        for group in rbm.groups:
            group.offset.fill_(0.5)
        rbm.hidden.offset.fill_(0.5)
        rbm.weight.fill_(4.0)
    on = {}
    for name in ("pcd", "pt"):
        with seeded(0), torch.no_grad():
            chains = CHAINS[name](rbm, 1, 500, 10)
            if name == "pt":
                chains.restore({"visible": torch.ones(5000, 6).double(), "turn": torch.zeros((), dtype=torch.int64)})
            else:
                chains.restore({"hidden": torch.ones(500, 4).double()})
            for _ in range(60):
                v = chains.sample(torch.ones(500, 6).double())
                chains.note(rbm.hidden_mean(v))
        on[name] = float(v.mean())
    assert on["pcd"] > 0.95
    assert 0.35 < on["pt"] < 0.65


@pytest.mark.parametrize("name", ["pcd", "cd"])
def test_plain_chains_have_the_law_of_the_machine(name: str) -> None:
    rbm = machine(seed=2)
    every, v = states(rbm), torch.zeros(4000, 6).double()
    seen = []
    with seeded(0), torch.no_grad():
        chains = CHAINS[name](rbm, 2, 4000, 0)
        for step in range(60):
            # What CD has drawn is what it begins at here, so that its chains go on too.
            v = chains.sample(v)
            chains.note(rbm.hidden_mean(v))
            seen += [v] * (step >= 30)
    assert float((shares(torch.cat(seen), every) - law(rbm).sum(1)).abs().sum()) / 2 < 0.02


def test_contrastive_chains_begin_at_the_data_and_persistent_ones_do_not() -> None:
    rbm = machine()
    with torch.no_grad():
        rbm.weight.mul_(20)
    data = torch.tensor([[1.0, 0, 1, 0, 1, 0]]).double()
    draws = []
    for given in (data, 1 - data):
        with seeded(0), torch.no_grad():
            draws.append([CHAINS[name](rbm, 1, 1, 0).sample(given) for name in ("cd", "pcd")])
    assert not torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])


def test_draws_are_never_zero() -> None:
    with seeded(0):
        assert float(Draws(1000, torch.zeros(1))(1000).min()) > 0
