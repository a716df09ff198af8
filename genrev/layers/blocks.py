"""The chain of a network as blocks: an affine map, and what stands behind it, up to the next affine map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers.chain import Chain, Link
from genrev.layers.links import Scaled
from genrev.layers.operators import is_sums

_AFFINE = (
    nn.modules.batchnorm._BatchNorm,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
    nn.Dropout,
    nn.modules.dropout._DropoutNd,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    Scaled,
)
"""Layers that are affine maps in eval mode, beside those of sums."""

_MEMORY = 2**28
"""Bytes that the matrix of a block may take."""


@dataclass(frozen=True, eq=False)
class Block:
    """An affine map and the activations behind it.

    Args:
        affine: its links, in the order they run; none where the chain begins with an activation.
        activations: the links behind it.
        input_shape: of one input.
        title: what a person calls it.
    """

    affine: tuple[Link, ...]
    activations: tuple[Link, ...]
    input_shape: tuple[int, ...]
    title: str

    @property
    def name(self) -> str:
        """Of the layer that the block is known by."""
        links = self.affine or self.activations
        return next((link.name for link in links if link.weighted), links[0].name)

    @property
    def proportions(self) -> bool:
        """Whether it ends in proportions, each of which depends on all values before it."""
        return any(isinstance(link.module, (nn.Softmax, nn.LogSoftmax)) for link in self.activations)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's outputs.

        Args:
            x: ``(rows, *input_shape)``.
        """
        return _run(self.activations, _run(self.affine, x))

    def matrix(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return W ``(m, n)`` and b ``(m,)`` of the affine map.

        Args:
            dtype: of the result.

        Raises:
            LayerError: the matrix would not fit the memory bound.
        """
        n = math.prod(self.input_shape)
        weighted = [link.module for link in self.affine if not isinstance(link.module, (nn.Flatten, nn.Identity))]
        weighted = [module for module in weighted if not isinstance(module, nn.Dropout)]
        if len(weighted) == 1 and isinstance(weighted[0], nn.Linear) and weighted[0].in_features == n:
            layer = weighted[0]
            self._expect_room(layer.out_features, n, dtype)
            weight = layer.weight.detach().to(dtype)
            return weight, weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().to(dtype)
        like = next((p for link in self.affine for p in link.module.parameters()), torch.empty(0, dtype=dtype))
        zero = torch.zeros(1, *self.input_shape, dtype=like.dtype, device=like.device)
        bias = _run(self.affine, zero).flatten()
        self._expect_room(bias.numel(), n, dtype)
        columns = [
            (_run(self.affine, rows.reshape(-1, *self.input_shape)).flatten(1) - bias).to(dtype)
            for rows in torch.eye(n, dtype=like.dtype, device=like.device).split(256)
        ]
        return torch.cat(columns).T.contiguous(), bias.to(dtype)

    def _expect_room(self, rows: int, columns: int, dtype: torch.dtype) -> None:
        if rows * columns * dtype.itemsize > _MEMORY:
            raise LayerError(
                f"expected layers whose matrix takes at most {_MEMORY >> 20} MiB, got one of {rows} by {columns} at "
                f"{self.name!r}; use an inverter that needs no matrix, such as 'newton'"
            )


def blocks(chain: Chain) -> list[Block]:
    """Return the blocks of a chain, in the order they run.

    Args:
        chain: of a network.

    Example:
        >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2), nn.Softmax(-1))
        >>> [block.name for block in blocks(Chain(module, torch.randn(2, 2, 2)))]
        ['1', '3']
    """
    found: list[Block] = []
    affine: list[Link] = []
    behind: list[Link] = []
    titles = dict(zip((link.name for link in chain), chain.titles(), strict=True))

    def close() -> None:
        links = affine + behind
        if not links:
            return
        weighted = [link for link in affine if link.weighted]
        named = (weighted or links)[0]
        found.append(Block(tuple(affine), tuple(behind), links[0].input_shape, titles[named.name]))
        affine.clear()
        behind.clear()

    for link in chain:
        if isinstance(link.module, _AFFINE) or is_sums(link.module):
            # What only passes values on does not end a block: a softmax may stand behind it.
            if behind and not isinstance(link.module, (nn.Identity, nn.Dropout)):
                close()
            (behind if behind else affine).append(link)
        else:
            behind.append(link)
    close()
    return found


def _run(links: Sequence[Link], x: Tensor) -> Tensor:
    for link in links:
        x = link.module(x.reshape(len(x), *link.input_shape))
    return x
