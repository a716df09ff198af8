"""The deep belief network: directed layers of units, and above them a Boltzmann machine that the outputs join."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genrev.errors import ArgumentError
from genrev.models.mlp import MLP, mlp_from_weights
from genrev.models.rbm import RBM, Draw
from genrev.models.units import BernoulliUnits, units_of


class BeliefLayer(nn.Module):
    """One directed layer: the law of the units below given a code, and a guess at the code given the units below.

    Both begin as those of a restricted Boltzmann machine, one the transpose of the other, and may then learn apart.

    Args:
        kind: of the units below: "bernoulli", "one-hot" or "gaussian".
        size: number of units below.
        code: number of units of the code.

    Attributes:
        up: gives the field on the code.
        down: gives the field on the units below.
        below: their kind, with what it has learned beside the field.

    Example:
        >>> layer = BeliefLayer.of(RBM([("bernoulli", 6)], 4))
        >>> layer.code_mean(torch.zeros(1, 6)).shape
        torch.Size([1, 4])
    """

    def __init__(self, kind: str, size: int, code: int) -> None:
        super().__init__()
        (below,), above = units_of([(kind, size)]), BernoulliUnits(code)
        self.up, self.down = nn.Linear(size, code), nn.Linear(code, size)
        self.below, self.code = below, above

    @classmethod
    @torch.no_grad()
    def of(cls, rbm: RBM) -> BeliefLayer:
        """Return the layer that a machine of one visible group makes.

        Args:
            rbm: that has learned the units below.

        Raises:
            ArgumentError: it has several groups.
        """
        if len(rbm.groups) != 1:
            raise ArgumentError(
                f"expected a machine of one visible group, got {len(rbm.groups)}; outputs join the machine on top"
            )
        (group,) = rbm.groups
        with torch.random.fork_rng(devices=[]):
            layer = cls(group.kind, group.size, rbm.hidden.size).to(rbm.weight)
        layer.below.load_state_dict(group.state_dict())
        # The offsets are folded into the biases: layers know plain values.
        layer.up.weight.copy_(rbm.weight.T)
        layer.up.bias.copy_(rbm.hidden.bias - group.offset @ rbm.weight)
        layer.down.weight.copy_(rbm.weight)
        layer.down.bias.copy_(group.bias - rbm.weight @ rbm.hidden.offset)
        return layer

    def code_mean(self, v: Tensor) -> Tensor:
        """Return the guessed means of the code, ``(rows, code)``.

        Args:
            v: ``(rows, size)``.
        """
        return self.up(v).sigmoid()

    def sample_code(self, v: Tensor, draw: Draw) -> Tensor:
        """Return a code drawn by that guess, ``(rows, code)``.

        Args:
            v: ``(rows, size)``.
            draw: gives the random numbers.
        """
        return self.code.sample(self.up(v), draw(self.code.size))

    def mean(self, code: Tensor) -> Tensor:
        """Return the means of the units below, ``(rows, size)``.

        Args:
            code: ``(rows, code)``.
        """
        return self.below.mean(self.down(code))

    def sample(self, code: Tensor, draw: Draw) -> Tensor:
        """Return values of the units below, ``(rows, size)``.

        Args:
            code: ``(rows, code)``.
            draw: gives the random numbers.
        """
        return self.below.sample(self.down(code), draw(self.below.size))

    def log_likelihood(self, v: Tensor, code: Tensor) -> Tensor:
        """Return log p(v given the code) in nats, ``(rows,)``.

        Args:
            v: ``(rows, size)``.
            code: ``(rows, code)``.
        """
        return self.below.log_likelihood(v, self.down(code))

    def log_guess(self, code: Tensor, v: Tensor) -> Tensor:
        """Return log q(code given v) in nats, ``(rows,)``.

        Args:
            code: ``(rows, code)``, 0 or 1.
            v: ``(rows, size)``.
        """
        return self.code.log_likelihood(code, self.up(v))


class DBN(nn.Module):
    """p(v, codes, outputs): a Boltzmann machine of the last code and the outputs, and directed layers down to v.

    Args:
        layers: from the input up; each one's code is what the next one has below.
        top: the machine above, whose first visible group is the last code; a second one, if there is one, the outputs.

    Raises:
        ArgumentError: there is no layer.

    Reference:
        Hinton, Osindero and Teh, 2006, "A fast learning algorithm for deep belief nets".

    Example:
        >>> dbn = DBN([BeliefLayer.of(RBM([("bernoulli", 6)], 4))], RBM([("bernoulli", 4), ("one-hot", 2)], 5))
        >>> dbn.encode(torch.zeros(3, 6)).shape, dbn.decode(torch.zeros(3, 4), None).shape
        (torch.Size([3, 4]), torch.Size([3, 6]))
    """

    def __init__(self, layers: Sequence[BeliefLayer], top: RBM) -> None:
        super().__init__()
        if not layers:
            raise ArgumentError("expected a directed layer or more below the top, got none; use an RBM alone")
        self.layers = nn.ModuleList(layers)
        self.top = top

    @property
    def beliefs(self) -> list[BeliefLayer]:
        """The directed layers, from the input up."""
        return [layer for layer in self.layers if isinstance(layer, BeliefLayer)]

    def encode(self, v: Tensor) -> Tensor:
        """Return the last code's means, means of each layer given to the next, ``(rows, code)``.

        Args:
            v: ``(rows, visible)``.
        """
        for layer in self.beliefs:
            v = layer.code_mean(v)
        return v

    def sample_code(self, v: Tensor, draw: Draw) -> Tensor:
        """Return the last code, drawn layer by layer, ``(rows, code)``.

        Args:
            v: ``(rows, visible)``.
            draw: gives the random numbers.
        """
        for layer in self.beliefs:
            v = layer.sample_code(v, draw)
        return v

    def log_classes(self, v: Tensor) -> Tensor:
        """Return log p(unit is the one given the code's means) of one-hot outputs on top, ``(rows, size)``.

        Args:
            v: ``(rows, visible)``.
        """
        return self.top.log_classes(self.encode(v))

    def decode(self, code: Tensor, draw: Draw | None) -> Tensor:
        """Return the means of v given a last code, ``(rows, visible)``.

        Args:
            code: ``(rows, code)``.
            draw: gives the random numbers that codes in between are drawn with; None for their means instead.
        """
        *others, last = reversed(self.beliefs)
        for layer in others:
            code = layer.mean(code) if draw is None else layer.sample(code, draw)
        return last.mean(code)

    def bound(self, v: Tensor, log_partition: float, draw: Draw) -> Tensor:
        """Return a draw of the variational bound, in the mean at most log p(v), in nats, ``(rows,)``.

        Args:
            v: ``(rows, visible)``, as the units can be.
            log_partition: log Z of the top, which must have no outputs beside the code.
            draw: gives the random numbers.

        Raises:
            ArgumentError: it has some.
        """
        if len(self.top.groups) != 1:
            raise ArgumentError(
                f"expected a top without outputs, got {len(self.top.groups) - 1} groups of them; learn one without"
            )
        found = v.new_zeros(len(v))
        for layer in self.beliefs:
            code = layer.sample_code(v, draw)
            found = found + layer.log_likelihood(v, code) - layer.log_guess(code, v)
            v = code
        return found - self.top.free_energy(v) - log_partition

    @torch.no_grad()
    def to_mlp(self) -> MLP:
        """Return the way up as a feed-forward network of sigmoids, whose outputs are the last code's means.

        Example:
            >>> dbn = DBN([BeliefLayer.of(RBM([("bernoulli", 6)], 4))], RBM([("bernoulli", 4)], 5))
            >>> v = torch.rand(3, 6)
            >>> torch.allclose(dbn.to_mlp()(v), dbn.encode(v))
            True
        """
        up = [layer.up for layer in self.beliefs]
        return mlp_from_weights([one.weight for one in up], [one.bias for one in up], activation="sigmoid")
