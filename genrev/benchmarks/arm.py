"""The robot arm of the inverse-problem literature: which joint angles put the hand there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrev.network import Network
from genrev.space import InputSpace

LENGTHS = (0.5, 0.5, 1.0)
DEVIATIONS = (0.25, 0.5, 0.5, 0.5)


class Arm(nn.Module):
    """The hand's place from the rail's height and three joint angles in radians: ``(batch, 4)`` to ``(batch, 2)``.

    Reference:
        Ren, Padilla and Malof, 2020, "Benchmarking deep inverse models over time, and the neural-adjoint method".

    Example:
        >>> Arm()(torch.zeros(1, 4)).tolist()
        [[2.0, 0.0]]
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the hand's place, ``(batch, 2)``, from ``(batch, 4)``."""
        angles = torch.stack([x[:, 1], x[:, 2] - x[:, 1], x[:, 3] - x[:, 2] - x[:, 1]], 1)
        lengths = torch.tensor(LENGTHS, dtype=x.dtype, device=x.device)
        return torch.stack([(lengths * angles.cos()).sum(1), x[:, 0] + (lengths * angles.sin()).sum(1)], 1)


def arm() -> Network:
    """Return the arm as a network: it is its own simulator.

    Example:
        >>> arm().output_shape
        (2,)
    """
    return Network(Arm(), space=InputSpace((4,)))


def arm_inputs(n: int, *, seed: int = 0) -> Tensor:
    """Return draws from the arm's prior, ``(n, 4)`` float32: height and angles, normal around zero.

    Args:
        n: how many.
        seed: non-negative integer.

    Example:
        >>> arm_inputs(3).shape
        torch.Size([3, 4])
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, generator=generator, dtype=torch.float32) * torch.tensor(DEVIATIONS, dtype=torch.float32)


def best_of(y: Tensor, target: Tensor, draws: int) -> float:
    """Return the mean over targets of the least mean squared distance among the first draws.

    Args:
        y: ``(targets, samples, outputs)``: what the draws give.
        target: ``(targets, outputs)``.
        draws: how many of the samples count.

    Example:
        >>> best_of(torch.tensor([[[1.0], [0.5]]]), torch.tensor([[0.0]]), 2)
        0.25
    """
    squared = (y - target[:, None]).double().square().mean(2)
    return squared[:, :draws].amin(1).mean().item()
