"""The likelihood of a restricted Boltzmann machine: exact by enumeration where it is small, else by estimates."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genrev.boltzmann.chains import Draws
from genrev.boltzmann.given import check_machine, check_rows
from genrev.checks import check_seed, whole
from genrev.errors import ArgumentError
from genrev.models.rbm import RBM
from genrev.progress import progress
from genrev.training import seeded

MOST_HIDDEN = 20
"""Up to how many hidden units all of their states are gone through."""

_CHUNK = 1 << 14
"""How many of those states at once."""

_APART = 1.0
"""By how many nats the two estimates may differ, for the result to be a number."""


@torch.no_grad()
def exact_log_partition(rbm: RBM) -> float:
    """Return log Z in nats, by going through all states of the hidden units, in double precision.

    Args:
        rbm: of at most 20 hidden units.

    Raises:
        ArgumentError: it has more, or weights that are not finite.

    Example:
        >>> rbm = RBM([("bernoulli", 3)], 2)
        >>> for values in rbm.parameters():
        ...     _ = values.data.zero_()
        >>> abs(exact_log_partition(rbm) - 5 * math.log(2)) < 1e-12
        True
    """
    check_machine(rbm)
    count = rbm.hidden.size
    if count > MOST_HIDDEN:
        raise ArgumentError(
            f"expected at most {MOST_HIDDEN} hidden units to go through all their states, got {count}; use "
            "estimate_log_partition"
        )
    wide = _double(rbm)
    places = torch.arange(count, device=wide.weight.device)
    parts = [
        (-wide.hidden_free_energy(((states[:, None] >> places) & 1).double())).logsumexp(0)
        for states in torch.arange(1 << count, device=wide.weight.device).split(_CHUNK)
    ]
    return float(torch.stack(parts).logsumexp(0))


@dataclass(frozen=True)
class LogPartition:
    """log Z as annealed importance sampling sees it, from the base rates up and from the machine's samples down.

    The way up is too low in the mean of its logarithm, and the way down, from exact samples, too high: where both agree
    the truth lies between. Where they don't, no number is to be trusted.

    Args:
        forward: in nats.
        reverse: in nats.
        forward_size: how many equally weighted runs the forward estimate is worth, at most the number of runs.
        reverse_size: likewise.

    Example:
        >>> LogPartition(10.0, 10.2, 80.0, 75.0).value, LogPartition(10.0, 12.0, 80.0, 75.0).value
        (10.1, None)
    """

    forward: float
    reverse: float
    forward_size: float
    reverse_size: float

    @property
    def value(self) -> float | None:
        """The mean of both; None, unknown, where they differ by more than a nat or one is not finite."""
        close = abs(self.forward - self.reverse) <= _APART
        return (self.forward + self.reverse) / 2 if close else None

    def __str__(self) -> str:
        ways = f"forward {self.forward:.2f} (worth {self.forward_size:.0f} runs), "
        ways += f"reverse {self.reverse:.2f} (worth {self.reverse_size:.0f})"
        return f"log Z {'unknown' if self.value is None else f'{self.value:.2f}'}: {ways}"


@torch.no_grad()
def estimate_log_partition(
    rbm: RBM, start: Tensor, *, temperatures: int = 1000, runs: int = 100, burn_in: int = 1000, seed: int = 0
) -> LogPartition:
    """Estimate log Z in nats by annealed importance sampling, up from the base rates and down from the machine.

    Args:
        rbm: any.
        start: ``(n, visible)``: where chains of the machine begin whose samples the way down takes: particles that
            learning has kept, or data.
        temperatures: how many steps from the base rates to the machine.
        runs: how many in each direction.
        burn_in: Gibbs steps from ``start`` to the samples of the way down.
        seed: of everything random.

    Returns:
        Both estimates, and how far to trust them.

    Raises:
        ArgumentError: a count is below 1, start is not of the machine's width, or one of them is not finite.

    Reference:
        Neal, 2001, "Annealed importance sampling"; Salakhutdinov and Murray, 2008, "On the quantitative analysis of
        deep belief networks"; Burda, Grosse and Salakhutdinov, 2015, "Accurate and conservative estimates of MRF
        log-likelihood using reverse annealing".

    Example:
        >>> rbm = RBM([("bernoulli", 6)], 4)
        >>> found = estimate_log_partition(rbm, torch.zeros(1, 6), temperatures=50, burn_in=50)
        >>> abs(found.value - exact_log_partition(rbm)) < 0.1
        True
    """
    temperatures, runs = whole("temperatures", temperatures), whole("runs", runs)
    burn_in, seed = whole("burn_in", burn_in, least=0), check_seed(seed)
    check_machine(rbm)
    check_rows(start, rbm.size, "start", least=1)
    with seeded(seed, rbm.weight.device), torch.no_grad():
        chain = _Anneal(rbm, runs)
        with progress("log Z", 2 * temperatures + burn_in, unit="step") as advance:
            up = chain.up(temperatures, advance)
            v = start.to(rbm.weight)[torch.randint(len(start), (runs,), device=start.device)]
            for _ in range(burn_in):
                v = rbm.gibbs(v, chain.draw)
                advance()
            down = chain.down(v, temperatures, advance)
    base = base_log_partition(rbm)
    forward, reverse = base + _log_mean(up), base - _log_mean(down)
    return LogPartition(forward, reverse, _effective(up), _effective(down))


@torch.no_grad()
def base_log_partition(rbm: RBM) -> float:
    """Return the log partition function of the base rates, where all is known.

    Args:
        rbm: any.
    """
    groups = (group.log_partition(group.base[None].double(), 0.0) for group in _double(rbm).groups)
    return float(sum(groups, torch.zeros(1, dtype=torch.float64, device=rbm.weight.device))) + (
        rbm.hidden.size * math.log(2)
    )


class _Anneal:
    """Chains that go from one end of the temperatures to the other, and gather their importance weights."""

    def __init__(self, rbm: RBM, runs: int) -> None:
        self._rbm, self._runs, self.draw = rbm, runs, Draws(runs, rbm.weight)

    def up(self, steps: int, advance: Callable[..., None]) -> Tensor:
        v = self._rbm.sample_visible(self._nothing(), self.draw, 0.0)
        return self._go(v, torch.linspace(0, 1, steps + 1, dtype=torch.float64).tolist(), advance)

    def down(self, v: Tensor, steps: int, advance: Callable[..., None]) -> Tensor:
        return self._go(v, torch.linspace(1, 0, steps + 1, dtype=torch.float64).tolist(), advance)

    def _go(self, v: Tensor, betas: list[float], advance: Callable[..., None]) -> Tensor:
        weight = torch.zeros(self._runs, dtype=torch.float64, device=v.device)
        for now, then in itertools.pairwise(betas):
            weight += (self._rbm.free_energy(v, now) - self._rbm.free_energy(v, then)).double()
            v = self._rbm.gibbs(v, self.draw, then)
            advance()
        return weight

    def _nothing(self) -> Tensor:
        """Hidden states; at the base rates the visible units don't see them."""
        like = self._rbm.weight
        return torch.zeros(self._runs, self._rbm.hidden.size, dtype=like.dtype, device=like.device)


def _log_mean(weight: Tensor) -> float:
    return float(weight.logsumexp(0)) - math.log(len(weight))


def _effective(weight: Tensor) -> float:
    """The effective sample size of importance weights, given by their logarithms."""
    return float((2 * weight.logsumexp(0) - (2 * weight).logsumexp(0)).exp())


def _double(rbm: RBM) -> RBM:
    """Return a copy in double precision."""
    return copy.deepcopy(rbm).double()
