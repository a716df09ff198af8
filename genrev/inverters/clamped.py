"""Chains of a Boltzmann machine whose outputs are clamped to a target: one for each row, by noise of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from genrev.models.dbn import DBN
from genrev.models.rbm import RBM
from genrev.models.units import OneHotUnits
from genrev.network import Network
from genrev.noise import Noise

_STREAMS = 1000
"""Where the streams of noise of the chains begin; those below are the methods' own."""


class Clamp:
    """What stands on a machine's visible units: its first group, free, and outputs, each fixed or free.

    Args:
        rbm: the machine.
        outputs: ``(rows, output units)``: NaN where a unit is free.
        guidance: factor on the weights of the outputs' units, both ways: the chains are those of a machine with such.
        noise: of the rows.
    """

    def __init__(self, rbm: RBM, outputs: Tensor, guidance: float, noise: Noise) -> None:
        self._rbm, self._outputs, self._guidance, self._noise = rbm, outputs, guidance, noise
        self._size = rbm.sizes[0]
        self._turn = _STREAMS

    def start(self, first: Tensor) -> Tensor:
        """Return visible states, ``(rows, visible)``; free outputs begin at their means over the data.

        Args:
            first: ``(rows, size)``: of the first group.
        """
        means = torch.cat([group.offset for group in self._rbm.groups[1:]])
        outputs = torch.where(self._outputs.isnan(), means, self._outputs)
        return torch.cat([first, outputs], 1)

    def hidden(self, v: Tensor) -> Tensor:
        """Return hidden states drawn given the visible ones, ``(rows, hidden)``.

        Args:
            v: ``(rows, visible)``.
        """
        rbm = self._rbm
        field = rbm.hidden_field(v)
        if self._guidance != 1:
            offset = torch.cat([group.offset for group in rbm.groups[1:]])
            field = field + (self._guidance - 1) * ((v[:, self._size :] - offset) @ rbm.weight[self._size :])
        return rbm.hidden.sample(field, self.uniform(rbm.hidden.size))

    def visible(self, h: Tensor) -> Tensor:
        """Return visible states drawn given the hidden ones, outputs kept where they are fixed, ``(rows, visible)``.

        Args:
            h: ``(rows, hidden)``.
        """
        rbm, uniform = self._rbm, self.uniform(self._rbm.size)
        fields = rbm.visible_field(h).split(rbm.sizes, 1)
        parts = [rbm.groups[0].sample(fields[0], uniform[:, : self._size])]
        uniforms = uniform.split(rbm.sizes, 1)
        fixed = self._outputs.split(rbm.sizes[1:], 1)
        for group, field, draws, known in zip(rbm.groups[1:], fields[1:], uniforms[1:], fixed, strict=True):
            free = known.isnan()
            if self._guidance != 1:
                field = group.bias + self._guidance * (field - group.bias)
            if isinstance(group, OneHotUnits):
                parts.append(_share(group, field, draws, known))
            else:
                parts.append(torch.where(free, group.sample(field, draws), known))
        return torch.cat(parts, 1)

    def uniform(self, size: int) -> Tensor:
        """Return draws that were not given before, ``(rows, size)``, in the machine's precision.

        Args:
            size: how many for each row.
        """
        self._turn += 1
        draws = self._noise.uniform((size,), stream=self._turn).to(self._rbm.weight)
        # In single precision a draw may round to 1.
        return draws.clamp_(1e-7, 1 - 1e-7)


def _share(group: OneHotUnits, field: Tensor, uniform: Tensor, known: Tensor) -> Tensor:
    """Probabilities that are asked for stay; what they leave falls to one of the free units."""
    free = known.isnan()
    if not bool(free.any()):
        return known
    # A row without free units has nothing to draw: any field will do.
    rest = (1 - known.nansum(1, keepdim=True)).clamp(min=0)
    # A unit that is given the rest has that much of its field's weight, and not all.
    open_ = torch.where(free | ~free.any(1, keepdim=True), rest * field, -torch.inf)
    return torch.where(free, rest * group.sample(open_, uniform), known)


class ClampedChain(ABC):
    """States that are drawn again and again, and the inputs that each shows.

    A move leaves the law of the machine given the target as it is, and is as likely forth as back, so that a move may
    be refused by what it does to the outputs.

    Args:
        clamp: what stands on the machine.
        known: ``(rows, input size)``: values of the inputs that are fixed, NaN where free; or None.
    """

    def __init__(self, clamp: Clamp, known: Tensor | None) -> None:
        self._clamp, self._known = clamp, known

    @abstractmethod
    def begin(self, first: Tensor) -> Tensor:
        """Return states that belong to values of the machine's first group.

        Args:
            first: ``(rows, size)``.
        """

    @abstractmethod
    def move(self, state: Tensor) -> Tensor:
        """Return states one step on.

        Args:
            state: as `begin` returned it.
        """

    def run(self, state: Tensor, steps: int, cost: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return the inputs that states show after some moves, and the share of the moves that was taken.

        With a cost the law is tilted: a move is taken with probability exp(cost here - cost there), at most 1.

        Args:
            state: as `begin` returned it.
            steps: how many moves.
            cost: of shown inputs ``(rows, input size)``, ``(rows,)``; None to take every move.

        Returns:
            Inputs ``(rows, input size)``, and ``(rows,)`` shares.

        Reference:
            Metropolis et al., 1953, "Equation of state calculations by fast computing machines".
        """
        x = self.shown(state)
        taken = torch.zeros_like(x[:, 0])
        here = None if cost is None else cost(x)
        for _ in range(steps):
            moved = self.move(state)
            if cost is None or here is None:
                state, taken = moved, taken + 1
                continue
            there = self.shown(moved)
            after = cost(there)
            take = self._clamp.uniform(1)[:, 0].log() < here - after
            state, x = torch.where(take[:, None], moved, state), torch.where(take[:, None], there, x)
            here, taken = torch.where(take, after, here), taken + take.to(taken)
        return (self.shown(state) if cost is None else x), taken / max(1, steps)

    @abstractmethod
    def shown(self, state: Tensor) -> Tensor:
        """Return the mean inputs that belong to states, ``(rows, input size)``.

        Args:
            state: as `begin` returned it.
        """

    def _keep(self, x: Tensor) -> Tensor:
        return x if self._known is None else torch.where(self._known.isnan(), x, self._known)


class FlatChain(ClampedChain):
    """Of one machine that has the inputs among its visible units: its state are the hidden ones.

    Args:
        rbm: the machine.
        clamp: what stands on it.
        known: ``(rows, input size)``: values of the inputs that are fixed, NaN where free; or None.
    """

    def __init__(self, rbm: RBM, clamp: Clamp, known: Tensor | None) -> None:
        super().__init__(clamp, known)
        self._rbm, self._size = rbm, rbm.sizes[0]

    def begin(self, first: Tensor) -> Tensor:
        """Hidden states drawn given the inputs."""
        return self._clamp.hidden(self._clamp.start(self._keep(first)))

    def move(self, state: Tensor) -> Tensor:
        """Down and up again."""
        v = self._clamp.visible(state)
        return self._clamp.hidden(torch.cat([self._keep(v[:, : self._size]), v[:, self._size :]], 1))

    def shown(self, state: Tensor) -> Tensor:
        """The inputs' means given the hidden units."""
        return self._keep(self._rbm.visible_mean(state)[:, : self._size])


class DeepChain(ClampedChain):
    """Of a deep belief network: its state are the last code and the outputs.

    Inputs that are known are no units of the machine: each move shows the code, puts known values in their places and
    guesses the code again, which is near to the law given them, and not the law itself.

    Args:
        dbn: the network.
        clamp: what stands on its top.
        known: ``(rows, input size)``: values of the inputs that are fixed, NaN where free; or None.
    """

    def __init__(self, dbn: DBN, clamp: Clamp, known: Tensor | None) -> None:
        super().__init__(clamp, known)
        self._dbn, self._size = dbn, dbn.top.sizes[0]
        # Codes in between are drawn with the same numbers each time: what a code shows is settled.
        self._draws = [clamp.uniform(layer.below.size) for layer in reversed(dbn.beliefs[1:])]

    def begin(self, first: Tensor) -> Tensor:
        """The code, and outputs beside it."""
        return self._clamp.start(first)

    def move(self, state: Tensor) -> Tensor:
        """Up to the top's hidden units and down again."""
        if self._known is not None:
            code = self._dbn.sample_code(self.shown(state), self._clamp.uniform)
            state = torch.cat([code, state[:, self._size :]], 1)
        return self._clamp.visible(self._clamp.hidden(state))

    def shown(self, state: Tensor) -> Tensor:
        """The inputs' means given the code."""
        draws = iter(self._draws)
        return self._keep(self._dbn.decode(state[:, : self._size], lambda size: next(draws)))


def output_groups(network: Network) -> list[tuple[str, int]]:
    """Return the kinds and sizes of units that stand for a network's outputs.

    Args:
        network: softmax outputs are one-hot, sigmoids binary, all else real.

    Example:
        >>> from genrev import InputSpace
        >>> output_groups(Network(torch.nn.Linear(4, 3), space=InputSpace((4,))).with_softmax())
        [('one-hot', 3)]
    """
    shape = network.output_shape
    size = int(torch.Size(shape).numel())
    if network.outputs == "softmax":
        return [("one-hot", shape[-1])] * (size // shape[-1])
    return [("bernoulli" if network.outputs == "sigmoid" else "gaussian", size)]
