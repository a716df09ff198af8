"""Small Boltzmann machines, and what is true of them by going through all states."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from genrev.models.dbn import DBN
from genrev.models.rbm import RBM


def machine(groups: Sequence[tuple[str, int]] = (("bernoulli", 6),), hidden: int = 4, *, seed: int = 0) -> RBM:
    """A machine of large random weights, biases, offsets and base rates: nothing in it is zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        rbm = RBM(groups, hidden).double()
    with torch.no_grad():
        for values in (*rbm.parameters(), *rbm.buffers()):
            values.copy_(torch.randn(values.shape, generator=generator, dtype=torch.float64))
        rbm.hidden.offset.sigmoid_()
    return rbm


class StoppedError(Exception):
    """Ends a training where a test wants it to."""


@contextmanager
def stopped(after: int) -> Iterator[None]:
    """Expect that what learns inside does not come to its end: it is stopped in the update after so many."""
    left, original = [after], RBM.slopes

    def slopes(self: RBM, *given: Tensor) -> dict[str, Tensor]:
        left[0] -= 1
        if left[0] < 0:
            raise StoppedError
        return original(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RBM, "slopes", slopes)
        with pytest.raises(StoppedError):
            yield


def binary(size: int) -> Tensor:
    """All states of so many binary units, ``(2 ** size, size)``."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=size)), dtype=torch.float64)


def states(rbm: RBM) -> Tensor:
    """All visible states of a machine without real values."""
    parts = [torch.eye(g.size).double() if g.kind == "one-hot" else binary(g.size) for g in rbm.groups]
    return torch.stack([torch.cat(rows) for rows in itertools.product(*parts)])


def energies(rbm: RBM, beta: float = 1.0) -> Tensor:
    """The energy of every pair of states, ``(visible states, hidden states)``, term by term."""
    v, h = states(rbm), binary(rbm.hidden.size)
    mu = torch.cat([group.offset for group in rbm.groups])
    bias, base = (torch.cat([getattr(group, name) for group in rbm.groups]).detach() for name in ("bias", "base"))
    found = torch.empty(len(v), len(h), dtype=torch.float64)
    for i, j in itertools.product(range(len(v)), range(len(h))):
        away, above = v[i] - mu, h[j] - rbm.hidden.offset
        whole = bias @ away + rbm.hidden.bias.detach() @ above + away @ rbm.weight.detach() @ above
        found[i, j] = -beta * whole - (1 - beta) * (base @ away)
    return found


def law(rbm: RBM, beta: float = 1.0) -> Tensor:
    """p(v, h) of every pair of states."""
    return (-energies(rbm, beta)).flatten().softmax(0).view(len(states(rbm)), -1)


def log_likelihoods(dbn: DBN) -> Tensor:
    """log p(v) of every v, all codes summed out."""
    found = law(dbn.top).sum(1).log()
    for layer in reversed(dbn.beliefs):
        below, codes = binary(layer.below.size), binary(layer.code.size)
        given = torch.stack([layer.log_likelihood(v.expand(len(codes), -1), codes) for v in below])
        found = (given + found).logsumexp(1)
    return found
