"""Metrics: pure functions from tensors to the figures of a comparison; a figure that doesn't apply is None, never 0."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from genrev.distances import (
    Neighbours,
    blocks,
    cdist,
    chunk,
    expect_finite,
    expect_like,
    expect_some,
    expect_tensor,
    flat,
)
from genrev.errors import ArgumentError


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
    real, fake = flat(real), flat(fake, like=real)
    expect_finite("real", real)
    real_radii, fake_radii = _radii(real, k), _radii(fake, k)
    balls = torch.zeros(len(fake), dtype=torch.int64, device=real.device)
    covered, recalled = 0, 0
    # Both splits are by the same number of rows.
    for distances, radii in zip(blocks(real, fake), real_radii.split(chunk(len(fake))), strict=True):
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
    expect_some("fake", fake)
    expect_some("real", real)
    near = Neighbours(training)
    ours, theirs = (float(near.of(x)[0].quantile(0.5)) for x in (fake, real))
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
    expect_tensor("x", x)
    if x.ndim < 2:
        raise ArgumentError(f"expected x of shape (batch, samples, *shape), got {tuple(x.shape)}; add the axes")
    batch, samples = x.shape[:2]
    if batch == 0 or samples < 2:
        return None
    rows = flat(x.reshape(batch * samples, *x.shape[2:])).unflatten(0, (batch, samples))
    mean = float(torch.cat([_pair_means(part) for part in rows.split(chunk(samples**2))]).nanmean())
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
    expect_tensor("judge_labels", judge_labels)
    expect_tensor("wanted", wanted)
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
    expect_tensor("a", a)
    expect_tensor("b", b)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise ArgumentError(
            f"expected two or more pairs of shape (n,), got {tuple(a.shape)} and {tuple(b.shape)}; measure more seeds"
        )
    differences = a.detach().cpu().double() - b.detach().cpu().double()
    return float(differences.std(correction=1)) / math.sqrt(len(a))


def _radii(x: Tensor, k: int) -> Tensor:
    # The nearest of all is the point itself.
    radii = torch.cat([distances.topk(k + 1, largest=False).values[:, k] for distances in blocks(x, x)])
    # Without k finite neighbours there is no ball, not one that holds everything.
    return torch.where(radii.isfinite(), radii, -1.0)


def _pair_means(x: Tensor) -> Tensor:
    distances = cdist(x, x)
    distances.diagonal(dim1=1, dim2=2).fill_(math.nan)
    return torch.where(distances.isfinite(), distances, math.nan).nanmean((1, 2))


def _expect_neighbours(real: Tensor, fake: Tensor, k: int) -> None:
    expect_like("real", real, "fake", fake)
    if type(k) is not int or k < 1:
        raise ArgumentError(f"expected k to be an integer of at least 1, got {k!r}; 5 is usual")
    if min(len(real), len(fake)) <= k:
        raise ArgumentError(
            f"expected more than k = {k} reals and fakes, got {len(real)} and {len(fake)}; "
            "measure more inputs or lower k"
        )
