"""Noise: random numbers that depend on a key and a position alone, so that no batch, chunk or device changes them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_DIGITS = 12
"""How many binary digits of a target count: half of those of float32."""

_WEYL = (0x9E3779B9, 0xBB67AE85)


def philox(counter: Tensor, key: Tensor) -> Tensor:
    """Return the four random words that Philox-4x32-10 gives for each counter under each key.

    Args:
        counter: ``(..., 4)`` int64, each a 32-bit word.
        key: ``(..., 2)`` int64, each a 32-bit word; broadcast against the counter.

    Returns:
        ``(..., 4)`` int64, each uniform in [0, 2^32).

    Reference:
        Salmon, Moraes, Dror and Shaw, 2011, "Parallel random numbers: as easy as 1, 2, 3".

    Example:
        >>> zeros = torch.zeros(4, dtype=torch.int64)
        >>> [hex(word) for word in philox(zeros, zeros[:2]).tolist()]
        ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    a, b, c, d = counter.unbind(-1)
    k0, k1 = key.unbind(-1)
    for _ in range(10):
        # The product wraps modulo 2^64, which leaves exactly the bits that are wanted.
        first, second = _MULTIPLIERS[0] * a, _MULTIPLIERS[1] * c
        a, b, c, d = (
            ((second >> 32) & _WORD) ^ b ^ k0,
            second & _WORD,
            ((first >> 32) & _WORD) ^ d ^ k1,
            first & _WORD,
        )
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return torch.stack(torch.broadcast_tensors(a, b, c, d), -1)


def target_keys(target: Tensor, seed: int) -> Tensor:
    """Return a key for each target: its leading digits and how many equal ones stand before it.

    Keyed by what is asked and not by the place in the list, a target gets the same answer alone, in any batch and in
    any order; a target that is repeated still gets a draw of its own each time.

    Args:
        target: ``(batch, ...)``, NaN where any value will do.
        seed: non-negative integer.

    Returns:
        ``(batch, 2)`` int64 words.

    Example:
        >>> keys = target_keys(torch.tensor([[0.9], [0.1], [0.9]]), seed=0)
        >>> bool((keys[0] == keys[2]).all()), bool((target_keys(torch.tensor([[0.1]]), seed=0) == keys[1]).all())
        (False, True)
    """
    bits = _leading_digits(target.detach().cpu().reshape(len(target), -1)).view(torch.int64)
    place = torch.arange(bits.shape[1]).expand_as(bits)
    counter = torch.stack([bits & _WORD, (bits >> 32) & _WORD, place, torch.ones_like(place)], -1)
    words = philox(counter, _words(seed)).sum(1) & _WORD
    _, group = torch.unique(words, dim=0, return_inverse=True)
    order = torch.argsort(group, stable=True)
    ordered = group[order]
    first = torch.searchsorted(ordered, ordered)
    before = torch.empty_like(order)
    before[order] = torch.arange(len(order)) - first
    counter = torch.stack([words[:, 2], words[:, 3], before, torch.full_like(before, 2)], -1)
    return philox(counter, words[:, :2])[:, :2]


def _leading_digits(values: Tensor) -> Tensor:
    """Return float64 values rounded, -0 as 0 and every NaN as the same one.

    The same target computed in another batch, precision or device differs in its last digits.
    """
    mantissa, exponent = torch.frexp(values.to(torch.float64))
    rounded = torch.ldexp((mantissa * 2**_DIGITS).round(), exponent.to(torch.float64) - _DIGITS)
    return torch.where(values.isnan(), math.nan, rounded + 0.0).contiguous()


def _words(seed: int) -> Tensor:
    return torch.tensor([seed & _WORD, (seed >> 32) & _WORD])


class Noise:
    """Random draws for a batch of rows, each row's from its own key.

    Args:
        keys: ``(rows, 2)`` int64 words.

    Example:
        >>> keys = target_keys(torch.tensor([[0.9], [0.1]]), seed=0)
        >>> bool((Noise(keys).normal((3,))[1:] == Noise(keys[1:]).normal((3,))).all())
        True
    """

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, rows: slice | Tensor) -> Noise:
        return Noise(self.keys[rows])

    def fork(self, branch: int | Tensor) -> Noise:
        """Return independent noise for the same rows.

        Args:
            branch: which one: an integer, or ``(rows,)`` integers, one for each row.
        """
        return self._branch(torch.as_tensor(branch).expand(len(self.keys)), 3)

    def repeat(self, times: int) -> Noise:
        """Return independent noise for each of ``times`` copies of every row, copies of a row side by side."""
        rows = Noise(self.keys.repeat_interleave(times, 0))
        return rows._branch(torch.arange(times).repeat(len(self.keys)), 5)

    def _branch(self, branch: Tensor, kind: int) -> Noise:
        counter = torch.stack([branch, *(torch.full_like(branch, fill) for fill in (0, 0, kind))], -1)
        return Noise(philox(counter, self.keys)[:, :2])

    def uniform(self, shape: tuple[int, ...], *, stream: int = 0) -> Tensor:
        """Return ``(rows, *shape)`` float64 draws, uniform in (0, 1).

        Args:
            shape: of one row's draw.
            stream: draws of different streams are independent.
        """
        size = math.prod(shape)
        block = torch.arange((size + 3) // 4)
        counter = torch.stack([block, *(torch.full_like(block, fill) for fill in (stream, 0, 4))], -1)
        words = philox(counter[None], self.keys[:, None]).flatten(1)[:, :size]
        return ((words + 0.5) / 2.0**32).reshape(len(self.keys), *shape)

    def normal(self, shape: tuple[int, ...], *, stream: int = 0) -> Tensor:
        """Return ``(rows, *shape)`` float64 draws from the standard normal law.

        Args:
            shape: of one row's draw.
            stream: draws of different streams are independent.
        """
        size = math.prod(shape)
        pairs = self.uniform((2, (size + 1) // 2), stream=stream)
        radius, angle = torch.sqrt(-2 * torch.log(pairs[:, 0])), 2 * math.pi * pairs[:, 1]
        draws = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], 1)
        return draws[:, :size].reshape(len(self.keys), *shape)

    def integers(self, high: int, shape: tuple[int, ...] = (), *, stream: int = 0) -> Tensor:
        """Return ``(rows, *shape)`` int64 draws, uniform in 0 .. high - 1.

        Args:
            high: number of values, at most 2^31.
            shape: of one row's draw.
            stream: draws of different streams are independent.
        """
        return (self.uniform(shape, stream=stream) * high).long().clamp_(max=high - 1)
