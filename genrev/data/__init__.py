"""The data room: every kind of data that genrev can bring, each in the same four disjoint parts.

A new kind of data is one file here and one line in `DATASETS`, and in `_PLACES` if it has to be found first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from genrev.checks import called_as, check_seed, whole
from genrev.data.dataset import Dataset, Splits, cut, split
from genrev.data.digits import digits
from genrev.data.idx import idx
from genrev.data.images import images
from genrev.data.npz import npz
from genrev.data.table import table
from genrev.data.xo import xo
from genrev.errors import ArgumentError, UnknownNameError, nearest

__all__ = [
    "DATASETS",
    "Dataset",
    "Splits",
    "cut",
    "digits",
    "idx",
    "images",
    "load_splits",
    "npz",
    "split",
    "table",
    "xo",
]

# What xo is drawn for, where no n is given: train, judge, targets and reference.
_XO_PARTS = (8000, 8000, 600, 600)

_PARTS = 4


@called_as("load_splits('digits')")
def load_splits(spec: str, *, seed: int = 0, n: int | None = None) -> Splits:
    """Bring data by name, cut into its four parts.

    Args:
        spec: "xo" (drawn), "digits" (real, comes with scikit-learn), "idx:FOLDER" (MNIST's four files), "npz:FILE"
            (see `npz`), "images:FOLDER" (see `images`) or "csv:FILE" (see `table`); a test part of their own becomes
            targets and reference.
        seed: the same spec, seed and n bring the same parts.
        n: how many examples in all four parts together, shared out as without it; by default 10,700 of xo, else all.

    Returns:
        The four parts, in one input space; each class has its share in each.

    Raises:
        UnknownNameError: no data has that name.
        ArgumentError: the name needs a folder or file and has none, takes none and has one, n is out of range, or a
            class of one's own data has fewer than four examples.
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
        known = ", ".join(f"{one}:{_PLACES[one]}" if one in _PLACES else one for one in DATASETS)
        hint = _meant(str(spec)) or nearest(str(name), DATASETS) or "; choose one of them"
        raise UnknownNameError(f"expected data of {known}, got {name!r}{hint}")
    _check_place(name, place)
    if n is not None:
        n = whole("n", n, least=4)
    check_seed(seed)
    return DATASETS[name](place, seed, n)


def _meant(place: str) -> str:
    """Return what a path without its kind may mean, as a hint; nothing where it looks like none."""
    ending, folder = os.path.splitext(place)[1].lower(), os.path.isdir(place)
    kind = "" if folder else {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".npz": "npz"}.get(ending, "")
    if folder:
        kind = "idx" if any(Path(place).glob("*-ubyte*")) else "images"
    return f"; did you mean '{kind}:{place}'?" if kind else ""


def _load_xo(place: str, seed: int, n: int | None) -> Splits:
    total = sum(_XO_PARTS)
    return split(xo(n or total, seed=seed), train=_XO_PARTS[0] / total, judge=_XO_PARTS[1] / total, seed=seed)


def _load_digits(place: str, seed: int, n: int | None) -> Splits:
    return _cut_one(digits(), seed, n)


def _load_idx(place: str, seed: int, n: int | None) -> Splits:
    return _cut_two(idx(place, "train"), idx(place, "test"), place, seed, n)


def _load_npz(place: str, seed: int, n: int | None) -> Splits:
    ours, *theirs = npz(place)
    return _cut_two(ours, theirs[0], place, seed, n) if theirs else _cut_own(ours, place, seed, n)


def _load_images(place: str, seed: int, n: int | None) -> Splits:
    return _cut_own(images(place), place, seed, n)


def _load_csv(place: str, seed: int, n: int | None) -> Splits:
    return _cut_own(table(place), place, seed, n)


def _cut_own(data: Dataset, place: str, seed: int, n: int | None) -> Splits:
    """Cut data that nobody has looked over into four parts, each of which needs something of every class."""
    counts = data.labels.bincount(minlength=len(data.names))
    few = int(counts.argmin())
    if counts[few] < _PARTS:
        raise ArgumentError(
            f"expected at least {_PARTS} examples of each class, one for each part, got {int(counts[few])} of "
            f"{data.names[few]!r:.60} in {place}; add some, or leave the class out"
        )
    if n is not None and n > len(data):
        raise ArgumentError(f"expected n of at most {len(data)}, the examples in {place}, got {n}; ask for fewer")
    return _cut_one(data, seed, n)


def _cut_one(data: Dataset, seed: int, n: int | None) -> Splits:
    return split(data if n is None else cut(data, (n,), seed=seed)[0], seed=seed)


def _cut_two(ours: Dataset, theirs: Dataset, place: str, seed: int, n: int | None) -> Splits:
    """Cut what is meant for training into train and judge, and what is held out into targets and reference."""
    if bool((ours.labels == ours.labels[0]).all()):
        raise ArgumentError(
            f"expected at least two classes among the training examples in {place}, got "
            f"{ours.names[int(ours.labels[0])]} alone; add another"
        )
    total = len(ours) + len(theirs)
    used = total if n is None else n
    if used > total:
        raise ArgumentError(f"expected n of at most {total}, the examples in {place}, got {n}; ask for fewer")
    fit = round(used * len(ours) / total)
    judge, targets = fit // 6, (used - fit) // 2
    parts = cut(ours, (fit - judge, judge), seed=seed) + cut(theirs, (targets, used - fit - targets), seed=seed)
    return Splits(*parts)


def _check_place(name: str, place: str) -> None:
    """Refuse a place where data need none, and none where they need one."""
    what = _PLACES.get(name, "")
    if what and not place:
        raise ArgumentError(f'expected "{name}:{what}", got "{name}" without a {what.lower()}; name the {what.lower()}')
    if place and not what:
        raise ArgumentError(f'expected "{name}" alone, got "{name}:{place}"; leave out what follows the colon')


DATASETS: dict[str, Callable[[str, int, int | None], Splits]] = {
    "xo": _load_xo,
    "digits": _load_digits,
    "idx": _load_idx,
    "npz": _load_npz,
    "images": _load_images,
    "csv": _load_csv,
}
"""Every kind of data by name: what `load_splits` looks up. Adding one means its file and its line here."""

_PLACES = {"idx": "FOLDER", "npz": "FILE", "images": "FOLDER", "csv": "FILE"}
"""What follows the colon, where data have to be found first."""
