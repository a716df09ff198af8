"""What a decoder is told of a target: outputs of unit scale before their last activation, nothing left free."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrev.layers import inverse
from genrev.network import Network
from genrev.noise import Noise
from genrev.rows import rowwise

NEIGHBOURS = 50
"""How many of the training outputs a free entry is drawn from."""

MEMBERS = 4096
"""How many training examples are kept to look for neighbours in."""

_FILLING = 7
"""The stream of noise that fills free entries; the others are the methods' own."""


class Conditions:
    """Turns outputs into conditions, by the statistics of training outputs.

    Args:
        network: whose outputs they are.
        outputs: ``(n, *output_shape)``: the network's outputs on the training inputs.
        tolerance: ``output_shape``.
    """

    def __init__(self, network: Network, outputs: Tensor, tolerance: Tensor) -> None:
        self.network, self.outputs, self.tolerance = network, outputs, tolerance
        raw = self._raw(outputs)
        self.low, self.high = raw.amin(0), raw.amax(0)
        self.mean, self.scale = raw.mean(0), raw.std(0)
        self.scale = torch.where(self.scale > 1e-6 * self.scale.max(), self.scale, 1.0)
        self.members = self.of(outputs)

    @property
    def size(self) -> int:
        """Number of values in a condition."""
        return self.outputs[0].numel()

    def of(self, outputs: Tensor) -> Tensor:
        """Return the condition of complete outputs, ``(rows, size)``; beyond the training outputs' range, its edge.

        Args:
            outputs: ``(rows, *output_shape)``.
        """
        return (self._raw(outputs).clamp(self.low, self.high) - self.mean) / self.scale

    def near(self, condition: Tensor, count: int, noise: Noise, *, stream: int) -> Tensor:
        """Return a training example for each condition, one of so many that are nearest, ``(rows,)`` integers.

        Args:
            condition: ``(rows, size)``.
            count: how many of the training examples count as near, at least 1.
            noise: of the rows: which of the nearest is taken.
            stream: of the noise.
        """
        distance = rowwise(lambda rows: torch.cdist(rows, self.members), condition)
        return _one_of_nearest(distance, count, noise, stream=stream)

    def fill(self, target: Tensor, noise: Noise) -> Tensor:
        """Return targets whose free entries are those of a training output near in the asked ones.

        Args:
            target: ``(rows, *output_shape)``, NaN where any value will do.
            noise: of the rows: which of the nearest is taken.
        """
        free = target.isnan()
        rows = free.flatten(1).any(1).nonzero()[:, 0]
        if len(rows) == 0:
            return target
        some, open_ = target[rows], free[rows]
        distance = ((some[:, None] - self.outputs[None]) / self.tolerance).nan_to_num(0.0).flatten(2).norm(dim=2)
        donor = self.outputs[_one_of_nearest(distance, NEIGHBOURS, noise[rows], stream=_FILLING)]
        if self.network.outputs == "softmax":
            # The free entries share the mass that the asked ones leave.
            rest = (1 - some.nansum(-1, keepdim=True)).clamp(min=0)
            donor = donor.clamp(min=torch.finfo(donor.dtype).tiny)
            donor = donor * rest / torch.where(open_, donor, 0.0).sum(-1, keepdim=True).clamp(min=1e-30)
        filled = target.clone()
        filled[rows] = torch.where(open_, donor, some)
        return filled

    def _raw(self, outputs: Tensor) -> Tensor:
        """Return outputs before their last activation, as far out as half the tolerance shows."""
        link = self.network.link
        if isinstance(link, (nn.Sigmoid, nn.Softmax)):
            half = (self.tolerance / 2).clamp(max=0.25)
            return torch.logit(torch.minimum(torch.maximum(outputs, half), 1 - half)).flatten(1)
        if isinstance(link, nn.Tanh):
            return inverse(link, self.network.output_shape)(outputs).x.flatten(1)
        return outputs.flatten(1)


def _one_of_nearest(distance: Tensor, count: int, noise: Noise, *, stream: int) -> Tensor:
    nearest = distance.topk(min(count, distance.shape[1]), 1, largest=False).indices
    choice = noise.integers(nearest.shape[1], stream=stream).to(nearest.device)
    return nearest.gather(1, choice[:, None])[:, 0]
