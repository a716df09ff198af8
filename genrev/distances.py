"""Distances between inputs: measured exactly and in chunks, which of many rows is the nearest, what is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from genrev.errors import ArgumentError

# Distances held at once: 64 MiB in float64.
_ENTRIES = 2**23

_CANDIDATES = 8
"""How many rows that may be the nearest are measured exactly."""


def nearest_distance(x: Tensor, reference: Tensor) -> Tensor:
    """Return the Euclidean distance of each row to its nearest row of the reference; a copy's is exactly 0.

    Args:
        x: ``(n, *shape)``; a row that isn't finite is infinitely far.
        reference: ``(m, *shape)``, finite; m >= 1.

    Returns:
        ``(n,)`` float64.

    Raises:
        ArgumentError: unlike shapes, or a reference that is empty or not finite.

    Example:
        >>> nearest_distance(torch.tensor([[3.0, 4.0], [9.0, 9.0]]), torch.tensor([[0.0, 0.0], [9.0, 9.0]])).tolist()
        [5.0, 0.0]
    """
    return nearest(x, reference)[0]


def nearest(x: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far the nearest row of the reference is from each row, and which it is.

    Args:
        x: ``(n, *shape)``; a row that isn't finite is infinitely far from all.
        reference: ``(m, *shape)``, finite; m >= 1.

    Returns:
        Euclidean distances ``(n,)`` float64, exactly 0 for a copy; and row numbers ``(n,)`` int64, -1 for a row that
        isn't finite.

    Raises:
        ArgumentError: unlike shapes, or a reference that is empty or not finite.

    Example:
        >>> nearest(torch.tensor([[3.0, 4.0], [9.0, 9.0]]), torch.tensor([[0.0, 0.0], [9.0, 9.0]]))
        (tensor([5., 0.], dtype=torch.float64), tensor([0, 1]))
    """
    return Neighbours(reference).of(x)


class Neighbours:
    """Rows that others are set beside: `nearest` in one reference that is asked more than once.

    Candidates are found by matrix products, which are fast but round, and measured exactly. Single precision tells most
    rows their candidates, double precision most of the others; where even that leaves a doubt, all are measured.

    Args:
        reference: ``(m, *shape)``, finite; m >= 1.

    Raises:
        ArgumentError: a reference that is empty or not finite.

    Example:
        >>> near = Neighbours(torch.tensor([[0.0, 0.0], [9.0, 9.0]]))
        >>> near.of(torch.tensor([[3.0, 4.0], [9.0, 9.0]]))
        (tensor([5., 0.], dtype=torch.float64), tensor([0, 1]))
    """

    def __init__(self, reference: Tensor) -> None:
        expect_some("reference", reference)
        rows = flat(reference)
        expect_finite("reference", rows)
        self._reference = reference.detach()
        # Near zero there is less to round.
        self._centre = rows.mean(0)
        rows = rows - self._centre
        self._squares = rows.square().sum(1)
        self._rough = rows.float()

    def __len__(self) -> int:
        return len(self._reference)

    def of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far the nearest row is from each of x, and which it is: see `nearest`.

        Args:
            x: ``(n, *shape)``.

        Raises:
            ArgumentError: x is of another shape than a row.
        """
        expect_like("x", x, "reference", self._reference)
        x = flat(x).to(self._centre.device)
        distance, place = torch.full_like(x[:, 0], math.inf), torch.full_like(x[:, 0], -1, dtype=torch.int64)
        rows = x.isfinite().all(1).nonzero()[:, 0]
        for search in (self._roughly, self._finely, self._exhaustively):
            doubtful = [rows[:0]]
            for part in rows.split(chunk(max(len(self), _CANDIDATES * x.shape[1]))):
                distance[part], place[part], sure = search(x[part])
                doubtful.append(part[~sure])
            rows = torch.cat(doubtful)
        return distance, place

    def _roughly(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self._screened(x, self._rough)

    def _finely(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self._screened(x, flat(self._reference) - self._centre)

    def _exhaustively(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        distance, place = cdist(x, flat(self._reference)).min(1)
        return distance, place, torch.ones_like(place, dtype=torch.bool)

    def _screened(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return distances and places by candidates, and whether none but a candidate can be the nearest.

        Args:
            x: ``(k, d)``.
            rows: the reference less its centre, in the precision of the product.
        """
        away = x - self._centre
        own = away.square().sum(1)
        count = min(_CANDIDATES, len(rows))
        product = (away.to(rows.dtype) @ rows.T).double()
        screened, places = (own[:, None] + self._squares - 2 * product).topk(count, largest=False)
        # In the order of their numbers, so that of equally near rows the first is named.
        places = places.sort(1).values
        candidates = flat(self._reference[places.flatten()]).reshape(*places.shape, x.shape[1])
        distance, which = cdist(x[:, None], candidates)[:, 0].min(1)
        place = places.gather(1, which[:, None])[:, 0]
        slack = 8 * (x.shape[1] + 1) * torch.finfo(rows.dtype).eps * (own + self._squares.max())
        # What overflows is NaN and compares false.
        sure = (screened[:, -1] - slack > distance.square()) | (count == len(rows))
        return distance, place, sure


def blocks(x: Tensor, reference: Tensor) -> Iterator[Tensor]:
    """Give the distances from all rows to all others, ``(k, m)`` for the next k rows, as many as `chunk` says.

    Args:
        x: ``(n, d)``.
        reference: ``(m, d)``.

    Example:
        >>> [block.tolist() for block in blocks(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))]
        [[[5.0]]]
    """
    for rows in x.split(chunk(len(reference))):
        yield cdist(rows, reference)


def cdist(a: Tensor, b: Tensor) -> Tensor:
    """Return the Euclidean distances between rows, ``(..., n, m)``, exactly 0 between equal ones.

    Args:
        a: ``(..., n, d)``.
        b: ``(..., m, d)``.

    Example:
        >>> cdist(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)).tolist()
        [[5.0]]
    """
    # The faster way, by a matrix product, gives a copy a distance above zero, and equal distances unequal values.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def chunk(row: int) -> int:
    """Return how many rows of distances are held at once.

    Args:
        row: how many distances a row has.

    Example:
        >>> chunk(2**22)
        2
    """
    return max(1, _ENTRIES // max(1, row))


def flat(x: Tensor, *, like: Tensor | None = None) -> Tensor:
    """Return inputs as rows in double precision, ``(n, d)``.

    Args:
        x: ``(n, *shape)``.
        like: on whose device; its own if not given.

    Example:
        >>> flat(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 12])
    """
    device = (x if like is None else like).device
    # Apple's GPUs have no float64.
    device = torch.device("cpu") if device.type == "mps" else device
    return x.detach().to(device).double().reshape(len(x), math.prod(x.shape[1:]))


def expect_like(name: str, x: Tensor, other: str, reference: Tensor) -> None:
    """Refuse sets of inputs of unlike shape.

    Args:
        name: of the one.
        x: ``(n, *shape)``.
        other: name of the other.
        reference: ``(m, *shape)``.

    Raises:
        ArgumentError: they are no such sets.

    Example:
        >>> expect_like("fake", torch.zeros(2, 3), "real", torch.zeros(5, 3))
    """
    expect_tensor(name, x)
    expect_tensor(other, reference)
    if x.shape[1:] != reference.shape[1:]:
        raise ArgumentError(
            f"expected {name} and {other} of one shape beyond the first axis, got {tuple(x.shape)} and "
            f"{tuple(reference.shape)}; reshape one of them"
        )


def expect_tensor(name: str, x: Tensor) -> None:
    """Refuse what is no batch of real numbers.

    Args:
        name: of the argument.
        x: what was given.

    Raises:
        ArgumentError: it is none.

    Example:
        >>> expect_tensor("fake", torch.zeros(2, 3))
    """
    if not isinstance(x, Tensor) or x.is_complex() or x.ndim == 0:
        got = f"shape {tuple(x.shape)} of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ArgumentError(f"expected {name} to be a real tensor of shape (n, ...), got {got}; convert it")


def expect_some(name: str, x: Tensor) -> None:
    """Refuse an empty set of inputs.

    Args:
        name: of the argument.
        x: what was given.

    Raises:
        ArgumentError: it is empty, or no set.

    Example:
        >>> expect_some("fake", torch.zeros(2, 3))
    """
    expect_tensor(name, x)
    if len(x) == 0:
        raise ArgumentError(f"expected at least one input in {name}, got none; pass some")


def expect_finite(name: str, x: Tensor) -> None:
    """Refuse NaN and infinity.

    Args:
        name: of the argument.
        x: ``(n, d)``.

    Raises:
        ArgumentError: there are some.

    Example:
        >>> expect_finite("real", torch.zeros(2, 3))
    """
    if not x.isfinite().all():
        bad = int((~x.isfinite().all(1)).sum())
        raise ArgumentError(f"expected {name} to be finite, got NaN or infinity in {bad} inputs; remove them")
