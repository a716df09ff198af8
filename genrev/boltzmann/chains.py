"""Chains: where a learning machine's own samples come from, after each update."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from genrev.models.rbm import RBM


class Chains(ABC):
    """Gives samples of a machine whose weights change slowly.

    Args:
        rbm: the machine.
        gibbs: steps for each update.
        count: number of chains.
        temperatures: number of temperatures, where there are several.
    """

    def __init__(self, rbm: RBM, gibbs: int, count: int, temperatures: int) -> None:
        self._rbm, self._gibbs, self._count, self._temperatures = rbm, gibbs, count, temperatures

    @abstractmethod
    def sample(self, data: Tensor) -> Tensor:
        """Return visible states of the machine, ``(chains, visible)``, some steps on.

        Args:
            data: ``(batch, visible)``: the examples that the machine is about to learn from.
        """

    def note(self, mean: Tensor) -> None:  # noqa: B027
        """Take note of the hidden units' means given the last sample, which saves computing them again.

        Args:
            mean: ``(chains, hidden)``.
        """

    def state(self) -> dict[str, Tensor]:
        """Return all that goes on from update to update."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state.

        Args:
            state: as `state` returned it.
        """
        for name, values in self.state().items():
            values.copy_(state[name])

    def _draw(self, rows: int) -> Draws:
        return Draws(rows, self._rbm.weight)

    def _begin(self, rows: int) -> Tensor:
        """Return hidden states of no machine in particular: each unit on or off by chance."""
        like = self._rbm.weight
        return (torch.rand(rows, self._rbm.hidden.size, device=like.device) < 0.5).to(like)


class Draws:
    """Uniform draws from PyTorch's generator, for so many rows.

    Args:
        rows: how many.
        like: of the type and on the device that the draws are to have.

    Example:
        >>> Draws(3, torch.zeros(1))(2).shape
        torch.Size([3, 2])
    """

    def __init__(self, rows: int, like: Tensor) -> None:
        self._rows, self._like = rows, like

    def __call__(self, size: int) -> Tensor:
        """Return ``(rows, size)`` draws."""
        # From the open interval: 0 itself would make a Gaussian draw infinite.
        values = torch.rand(self._rows, size, dtype=self._like.dtype, device=self._like.device)
        return values.clamp_(min=1e-7)


class Contrastive(Chains):
    """CD-k: chains begin at the data, every time."""

    def sample(self, data: Tensor) -> Tensor:
        """Some steps from the data."""
        draw = self._draw(len(data))
        for _ in range(self._gibbs):
            data = self._rbm.gibbs(data, draw)
        return data


class Persistent(Chains):
    """PCD-k: chains go on where they were."""

    def __init__(self, rbm: RBM, gibbs: int, count: int, temperatures: int) -> None:
        super().__init__(rbm, gibbs, count, temperatures)
        self._hidden = self._begin(count)

    def sample(self, data: Tensor) -> Tensor:
        """Some steps from the last states."""
        draw = self._draw(self._count)
        v = self._rbm.sample_visible(self._hidden, draw)
        for _ in range(self._gibbs - 1):
            v = self._rbm.gibbs(v, draw)
        return v

    def note(self, mean: Tensor) -> None:
        """Draw the hidden states that the next sample comes from."""
        self._hidden = (torch.rand_like(mean) < mean).to(mean)

    def state(self) -> dict[str, Tensor]:
        """The hidden states."""
        return {"hidden": self._hidden}


class Tempered(Chains):
    """Parallel tempering: chains from the base rates up to the machine itself, whose states are swapped now and then.

    A swap of neighbours is accepted by the law of the chains themselves: the energy at an inverse temperature is one
    and the same in a Gibbs step and in a swap, hidden units summed out of it.

    Reference:
        Desjardins, Courville, Bengio, Vincent and Delalleau, 2010, "Tempered Markov chain Monte Carlo for training of
        restricted Boltzmann machines".
    """

    def __init__(self, rbm: RBM, gibbs: int, count: int, temperatures: int) -> None:
        super().__init__(rbm, gibbs, count, temperatures)
        like = rbm.weight
        self.betas = torch.linspace(0, 1, temperatures, dtype=like.dtype, device=like.device)
        rows = temperatures * count
        self._beta = self.betas.repeat_interleave(count)[:, None]
        self._visible = rbm.sample_visible(self._begin(rows), self._draw(rows), self._beta)
        self._turn = torch.zeros((), dtype=torch.int64)

    def sample(self, data: Tensor) -> Tensor:
        """Some steps and swaps; the states of the machine itself."""
        for _ in range(self._gibbs):
            self.step()
        return self._visible[-self._count :]

    def step(self) -> Tensor:
        """Make one Gibbs step at every temperature and try every other swap; return all states.

        Returns:
            ``(temperatures, chains, visible)``, the base rates first.
        """
        self._visible = self._rbm.gibbs(self._visible, self._draw(len(self._visible)), self._beta)
        self._swap(int(self._turn % 2))
        self._turn += 1
        return self._visible.view(self._temperatures, self._count, -1)

    def _swap(self, first: int) -> None:
        """Swap states of the temperatures ``first`` and the next, ``first + 2`` and the next, and so on, or not."""
        cold = torch.arange(first + 1, self._temperatures, 2, device=self._beta.device)
        if len(cold) == 0:
            return
        state = self._visible.view(self._temperatures, self._count, -1)
        one, other = state[cold - 1], state[cold]
        here, there = self.betas[cold - 1], self.betas[cold]
        gain = self._free(one, here) + self._free(other, there) - self._free(one, there) - self._free(other, here)
        accept = torch.rand_like(gain).log() < gain
        swapped = torch.where(accept[..., None], other, one), torch.where(accept[..., None], one, other)
        self._visible = (
            state.clone().index_copy_(0, cold - 1, swapped[0]).index_copy_(0, cold, swapped[1]).flatten(0, 1)
        )

    def _free(self, v: Tensor, beta: Tensor) -> Tensor:
        """Return the free energies of states ``(pairs, chains, visible)`` at a temperature for each pair."""
        rows = beta.repeat_interleave(v.shape[1])[:, None]
        return self._rbm.free_energy(v.flatten(0, 1), rows).view(v.shape[:2])

    def state(self) -> dict[str, Tensor]:
        """The visible states of all temperatures, and whose turn it is to swap."""
        return {"visible": self._visible, "turn": self._turn}


CHAINS: dict[str, type[Chains]] = {"cd": Contrastive, "pcd": Persistent, "pt": Tempered}
"""The kinds of chains, by the name of the learning rule."""
