"""The data room: every kind of data that genrev can bring, each in the same four disjoint parts.

A new kind of data is one file here and one line in `DATASETS`.
"""

from __future__ import annotations

from collections.abc import Callable

from genrev.checks import called_as, check_seed, whole
from genrev.data.dataset import Dataset, Splits, cut, split
from genrev.data.digits import digits
from genrev.data.idx import idx
from genrev.data.xo import xo
from genrev.errors import ArgumentError, UnknownNameError, nearest

__all__ = ["DATASETS", "Dataset", "Splits", "cut", "digits", "idx", "load_splits", "split", "xo"]

# What xo is drawn for, where no n is given: train, judge, targets and reference.
_XO_PARTS = (8000, 8000, 600, 600)


@called_as("load_splits('digits')")
def load_splits(spec: str, *, seed: int = 0, n: int | None = None) -> Splits:
    """Bring data by name, cut into its four parts.

    Args:
        spec: "xo" (drawn), "digits" (real, comes with scikit-learn), or "idx:FOLDER" (MNIST's four files, whose test
            part becomes targets and reference).
        seed: the same spec, seed and n bring the same parts.
        n: how many examples in all four parts together, shared out as without it; by default 10,700 of xo, else all.

    Returns:
        The four parts; each class has its share in each.

    Raises:
        UnknownNameError: no data has that name.
        ArgumentError: the name needs a folder and has none, takes none and has one, or n is out of range.
        FileError: a file is missing or not what it should be.

    Example:
        >>> parts = load_splits("xo", n=172)
        >>> len(parts.train), len(parts.judge), len(parts.targets), len(parts.reference)
        (80, 80, 6, 6)
        >>> "digits" in DATASETS
        True
    """
    name, _, place = str(spec).partition(":")
    if name not in DATASETS:
        known = ", ".join("idx:FOLDER" if one == "idx" else one for one in DATASETS)
        hint = nearest(str(name), DATASETS) or "; choose one of them"
        raise UnknownNameError(f"expected data of {known}, got {name!r}{hint}")
    if n is not None:
        n = whole("n", n, least=4)
    check_seed(seed)
    return DATASETS[name](place, seed, n)


def _load_xo(place: str, seed: int, n: int | None) -> Splits:
    _refuse_place("xo", place)
    total = sum(_XO_PARTS)
    return split(xo(n or total, seed=seed), train=_XO_PARTS[0] / total, judge=_XO_PARTS[1] / total, seed=seed)


def _load_digits(place: str, seed: int, n: int | None) -> Splits:
    _refuse_place("digits", place)
    scans = digits()
    return split(scans if n is None else cut(scans, (n,), seed=seed)[0], seed=seed)


def _load_idx(place: str, seed: int, n: int | None) -> Splits:
    if not place:
        raise ArgumentError('expected "idx:FOLDER", got "idx" without a folder; name the folder of the four files')
    ours, theirs = idx(place, "train"), idx(place, "test")
    total = len(ours) + len(theirs)
    used = total if n is None else n
    if used > total:
        raise ArgumentError(f"expected n of at most {total}, the examples in {place}, got {n}; ask for fewer")
    fit = round(used * len(ours) / total)
    judge, targets = fit // 6, (used - fit) // 2
    parts = cut(ours, (fit - judge, judge), seed=seed) + cut(theirs, (targets, used - fit - targets), seed=seed)
    return Splits(*parts)


def _refuse_place(name: str, place: str) -> None:
    if place:
        raise ArgumentError(f'expected "{name}" alone, got "{name}:{place}"; leave out what follows the colon')


DATASETS: dict[str, Callable[[str, int, int | None], Splits]] = {
    "xo": _load_xo,
    "digits": _load_digits,
    "idx": _load_idx,
}
