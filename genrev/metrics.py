"""Metrics: pure functions from tensors to the figures of a comparison; a figure that doesn't apply is None, never 0."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from genrev.errors import ArgumentError

# Distances held at once: 64 MiB in float64.
_ENTRIES = 2**23

_CANDIDATES = 8
"""How many rows that may be the nearest are measured exactly."""


class PRDC(NamedTuple):
    """Precision, recall, density and coverage, as :func:`prdc` measures them.

    Args:
        precision: share of the fakes that lie in the ball of some real, in [0, 1].
        recall: share of the reals that lie in the ball of some fake, in [0, 1].
        density: mean number of reals' balls that a fake lies in, over k; 1 is expected of identical laws.
        coverage: share of the reals whose ball holds some fake, in [0, 1].

    Example:
        >>> PRDC(precision=1.0, recall=0.5, density=1.2, coverage=0.75)._asdict()
        {'precision': 1.0, 'recall': 0.5, 'density': 1.2, 'coverage': 0.75}
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, fake: Tensor, *, k: int = 5) -> PRDC:
    """Measure how well fakes look like reals, and how much of the reals they reach.

    The ball of a point is closed and reaches to its k-th nearest neighbour among the others of its own set. A fake
    that isn't finite lies in no ball and has none.

    Identical continuous laws don't give a coverage of 1. A real is missed when, of the n - 1 + m other points, the k
    nearest are all reals, and all orders are equally likely, so with n reals and m fakes the expected coverage is 1
    less the product, over j from 1 to k, of (n - j) / (n + m - j), which for n = m falls to 1 - 2^-k
    as n grows: .969 for k = 5. The expected density is exactly 1.

    Args:
        real: ``(n, *shape)``, finite; n > k.
        fake: ``(m, *shape)``; m > k. Use m = n where coverage is compared.
        k: number of neighbours, at least 1.

    Returns:
        Four figures.

    Raises:
        ArgumentError: too few points, unlike shapes, or reals that aren't finite.

    Reference:
        Naeem, Oh, Uh, Choi and Yoo, 2020, "Reliable fidelity and diversity metrics for generative models".
        Kynkäänniemi, Karras, Laine, Lehtinen and Aila, 2019, "Improved precision and recall metric for assessing
        generative models".

    Example:
        >>> real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
        >>> fake = torch.tensor([[0.5], [1.5], [0.0]])
        >>> prdc(real, fake, k=1)
        PRDC(precision=1.0, recall=0.75, density=2.0, coverage=0.75)
    """
    _expect_neighbours(real, fake, k)
    real, fake = _rows(real), _rows(fake, like=real)
    _expect_finite("real", real)
    real_radii, fake_radii = _radii(real, k), _radii(fake, k)
    balls = torch.zeros(len(fake), dtype=torch.int64, device=real.device)
    covered, recalled = 0, 0
    # Both splits are by the same number of rows.
    for distances, radii in zip(_distances(real, fake), real_radii.split(_chunk(len(fake))), strict=True):
        inside = distances <= radii[:, None]
        balls += inside.sum(0)
        covered += int(inside.any(1).sum())
        recalled += int((distances <= fake_radii).any(1).sum())
    return PRDC(
        precision=float((balls > 0).double().mean()),
        recall=recalled / len(real),
        density=float(balls.double().mean()) / k,
        coverage=covered / len(real),
    )


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
    _expect_like("x", x, "reference", reference)
    x, reference = _rows(x), _rows(reference, like=x)
    _expect_some("reference", reference)
    _expect_finite("reference", reference)
    squares = reference.square().sum(1)
    size = _chunk(max(len(reference), _CANDIDATES * reference.shape[1]))
    pairs = [_nearest(rows, reference, squares) for rows in x.split(size)]
    distance, place = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    finite = x.isfinite().all(1)
    return torch.where(finite, distance, math.inf), torch.where(finite, place, -1)


def _nearest(x: Tensor, reference: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """Find candidates by a matrix product, which is fast but rounds, and measure those, and all where it isn't sure."""
    count = min(_CANDIDATES, len(reference))
    own = x.square().sum(1)
    screened, places = (own[:, None] + squares - 2 * x @ reference.T).topk(count, largest=False)
    # In the order of their numbers, so that of equally near rows the first is named.
    places = places.sort(1).values
    distance, which = _cdist(x[:, None], reference[places])[:, 0].min(1)
    place = places.gather(1, which[:, None])[:, 0]
    slack = 8 * (x.shape[1] + 1) * torch.finfo(x.dtype).eps * (own + squares.max())
    # What overflows is NaN and compares false.
    unsure = (
        (~(screened[:, -1] - slack > distance.square())).nonzero()[:, 0] if count < len(reference) else own[:0].long()
    )
    for rows in unsure.split(_chunk(len(reference))):
        distance[rows], place[rows] = _cdist(x[rows], reference).min(1)
    return distance, place


def novelty(fake: Tensor, real: Tensor, training: Tensor) -> float | None:
    """Return how far fakes keep from the training inputs, in units of how far new reals keep from them.

    It is the median distance of the fakes to their nearest training input over the same of the reals: 0 for copies,
    about 1 for new draws from the data's law.

    Args:
        fake: ``(n, *shape)``; n >= 1.
        real: ``(m, *shape)``, inputs that are not among the training inputs; m >= 1.
        training: ``(t, *shape)``, finite; t >= 1.

    Returns:
        A ratio of at least 0; None where the reals are copies themselves, or half of either set isn't finite.

    Raises:
        ArgumentError: unlike shapes, an empty set, or training inputs that aren't finite.

    Example:
        >>> training = torch.tensor([[0.0], [10.0]])
        >>> novelty(torch.tensor([[1.0], [9.0]]), torch.tensor([[2.0], [12.0]]), training)
        0.5
    """
    _expect_some("fake", fake)
    _expect_some("real", real)
    ours = float(nearest_distance(fake, training).quantile(0.5))
    theirs = float(nearest_distance(real, training).quantile(0.5))
    return ours / theirs if theirs > 0 and math.isfinite(ours) and math.isfinite(theirs) else None


def diversity(x: Tensor) -> float | None:
    """Return how far apart the samples of one target are: their mean pairwise distance, averaged over targets.

    Args:
        x: ``(batch, samples, *shape)``; pairs with a sample that isn't finite are left out.

    Returns:
        A distance in units of x; None where no target has two samples.

    Raises:
        ArgumentError: fewer than two axes.

    Example:
        >>> diversity(torch.tensor([[[0.0], [1.0]], [[5.0], [8.0]]]))
        2.0
    """
    _expect_tensor("x", x)
    if x.ndim < 2:
        raise ArgumentError(f"expected x of shape (batch, samples, *shape), got {tuple(x.shape)}; add the axes")
    batch, samples = x.shape[:2]
    if batch == 0 or samples < 2:
        return None
    flat = _rows(x.reshape(batch * samples, *x.shape[2:])).unflatten(0, (batch, samples))
    mean = float(torch.cat([_pair_means(part) for part in flat.split(_chunk(samples**2))]).nanmean())
    return mean if math.isfinite(mean) else None


def agreement(judge_labels: Tensor, wanted: Tensor) -> float | None:
    """Return the share of inputs in which the judge sees what was wanted.

    Args:
        judge_labels: ``(n,)`` integers, what the judge sees.
        wanted: ``(n,)`` integers, what was asked for; -1 where nothing in particular was.

    Returns:
        A share in [0, 1]; None where nothing in particular was wanted.

    Raises:
        ArgumentError: unlike shapes.

    Example:
        >>> agreement(torch.tensor([3, 1, 7]), torch.tensor([3, 2, -1]))
        0.5
    """
    _expect_tensor("judge_labels", judge_labels)
    _expect_tensor("wanted", wanted)
    if judge_labels.shape != wanted.shape:
        raise ArgumentError(
            f"expected as many labels as wanted, got {tuple(judge_labels.shape)} and {tuple(wanted.shape)}; "
            "pass one of each for every input"
        )
    asked = wanted != -1
    equal = judge_labels.to(wanted.device)[asked] == wanted[asked]
    return float(equal.double().mean()) if len(equal) else None


def paired_standard_error(a: Tensor, b: Tensor) -> float:
    """Return the standard error of the mean of a - b, for a figure that is quoted as a difference to ``real``.

    Args:
        a: ``(n,)``, one figure a seed or an input; n >= 2.
        b: ``(n,)``, the other figure for the same seeds or inputs, in the same order.

    Returns:
        The standard deviation of the differences, with n - 1, over the root of n.

    Raises:
        ArgumentError: unlike shapes, or fewer than two pairs.

    Example:
        >>> paired_standard_error(torch.tensor([0.5, 1.0]), torch.tensor([0.25, 0.25]))
        0.25
    """
    _expect_tensor("a", a)
    _expect_tensor("b", b)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise ArgumentError(
            f"expected two or more pairs of shape (n,), got {tuple(a.shape)} and {tuple(b.shape)}; measure more seeds"
        )
    differences = a.detach().cpu().double() - b.detach().cpu().double()
    return float(differences.std(correction=1)) / math.sqrt(len(a))


def _rows(x: Tensor, *, like: Tensor | None = None) -> Tensor:
    device = (x if like is None else like).device
    # Apple's GPUs have no float64.
    device = torch.device("cpu") if device.type == "mps" else device
    return x.detach().to(device).double().reshape(len(x), math.prod(x.shape[1:]))


def _chunk(row: int) -> int:
    """Return how many rows of that many distances are held at once."""
    return max(1, _ENTRIES // max(1, row))


def _distances(x: Tensor, reference: Tensor) -> Iterator[Tensor]:
    for rows in x.split(_chunk(len(reference))):
        yield _cdist(rows, reference)


def _cdist(a: Tensor, b: Tensor) -> Tensor:
    # The faster way, by a matrix product, gives a copy a distance above zero, and equal distances unequal values.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _radii(x: Tensor, k: int) -> Tensor:
    # The nearest of all is the point itself.
    radii = torch.cat([distances.topk(k + 1, largest=False).values[:, k] for distances in _distances(x, x)])
    # Without k finite neighbours there is no ball, not one that holds everything.
    return torch.where(radii.isfinite(), radii, -1.0)


def _pair_means(x: Tensor) -> Tensor:
    distances = _cdist(x, x)
    distances.diagonal(dim1=1, dim2=2).fill_(math.nan)
    return torch.where(distances.isfinite(), distances, math.nan).nanmean((1, 2))


def _expect_neighbours(real: Tensor, fake: Tensor, k: int) -> None:
    _expect_like("real", real, "fake", fake)
    if type(k) is not int or k < 1:
        raise ArgumentError(f"expected k to be an integer of at least 1, got {k!r}; 5 is usual")
    if min(len(real), len(fake)) <= k:
        raise ArgumentError(
            f"expected more than k = {k} reals and fakes, got {len(real)} and {len(fake)}; "
            "measure more inputs or lower k"
        )


def _expect_like(name: str, x: Tensor, other: str, reference: Tensor) -> None:
    _expect_tensor(name, x)
    _expect_tensor(other, reference)
    if x.shape[1:] != reference.shape[1:]:
        raise ArgumentError(
            f"expected {name} and {other} of one shape beyond the first axis, got {tuple(x.shape)} and "
            f"{tuple(reference.shape)}; reshape one of them"
        )


def _expect_tensor(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor) or x.is_complex() or x.ndim == 0:
        got = f"shape {tuple(x.shape)} of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ArgumentError(f"expected {name} to be a real tensor of shape (n, ...), got {got}; convert it")


def _expect_some(name: str, x: Tensor) -> None:
    _expect_tensor(name, x)
    if len(x) == 0:
        raise ArgumentError(f"expected at least one input in {name}, got none; pass some")


def _expect_finite(name: str, x: Tensor) -> None:
    if not x.isfinite().all():
        bad = int((~x.isfinite().all(1)).sum())
        raise ArgumentError(f"expected {name} to be finite, got NaN or infinity in {bad} inputs; remove them")
