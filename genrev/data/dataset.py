"""The data set and its four disjoint parts: what every loader returns and what every measurement starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genrev.checks import check_seed
from genrev.errors import ArgumentError
from genrev.space import InputSpace

# Without it, split(xo(n, seed=0), seed=0) would shuffle with the very random bits that drew the letters.
_SPLIT_SALT = 0x5B1175


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Inputs with their labels, the names of the classes, and the space that the inputs live in.

    Args:
        inputs: float32, shape `(n, *input_shape)`, n >= 1, every value in the space.
        labels: int64, shape `(n,)`, each in `range(len(names))`.
        names: one name a class, all different.
        space: shape and bounds of an input; if not given, every value is in [0, 1], as pixels are. For features in
            units of their own see `genrev.data.features.box`.
        columns: what each value of an input is called, all different; empty where they have no names, as pixels.

    Raises:
        ArgumentError: a shape, type or range is another.

    Example:
        >>> import torch
        >>> data = Dataset(torch.zeros(3, 1, 2, 2, dtype=torch.float32), torch.tensor([0, 1, 1]), ("X", "O"))
        >>> len(data), data.take([2, 0]).labels.tolist()
        (3, [1, 0])
    """

    inputs: Tensor
    labels: Tensor
    names: tuple[str, ...]
    # Never None once it is made; before that nobody knows the shape of the unit box.
    space: InputSpace = None  # type: ignore[assignment]
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_inputs(self.inputs)
        if self.space is None:
            object.__setattr__(self, "space", InputSpace(tuple(self.inputs.shape[1:]), 0.0, 1.0))
        _check_space(self.inputs, self.space)
        _check_labels(self.labels, len(self.inputs), self.names)
        _check_columns(self.columns, self.space.shape)

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        return f"Dataset({len(self)} inputs {tuple(self.inputs.shape[1:])}; classes {', '.join(self.names)})"

    def take(self, indices: Tensor | Sequence[int]) -> Dataset:
        """Return the chosen examples, copied, in the given order.

        Args:
            indices: shape `(m,)`, m >= 1, each in `range(-n, n)`.

        Returns:
            A data set of m examples with the same class names.

        Raises:
            ArgumentError: an index is out of range, not an integer, or there is none.

        Example:
            >>> from genrev.data import xo
            >>> len(xo(6).take(range(4)))
            4
        """
        index = torch.as_tensor(indices if isinstance(indices, Tensor) else list(indices))
        if index.ndim != 1 or index.numel() == 0 or index.is_floating_point() or index.dtype == torch.bool:
            raise ArgumentError(
                f"expected a list of at least one integer index, got {index.dtype} of shape {tuple(index.shape)}; "
                "pass positions, e.g. mask.nonzero()[:, 0] for a mask"
            )
        low, high = int(index.min()), int(index.max())
        if low < -len(self) or high >= len(self):
            raise ArgumentError(
                f"expected indices in [{-len(self)}, {len(self) - 1}], got {low} to {high}; the set has {len(self)} "
                "examples, leave out those beyond it"
            )
        return Dataset(self.inputs[index], self.labels[index], self.names, self.space, self.columns)


@dataclass(frozen=True, eq=False)
class Splits:
    """Four disjoint parts of one kind of data, each with one use: no figure is measured on what it was fitted to.

    Args:
        train: for the network and the inverters.
        judge: for the independent judge.
        targets: held out; its outputs are the targets.
        reference: held out; what coverage is measured against.

    Raises:
        ArgumentError: the parts differ in input shape, input space or class names.

    Disjointness is the maker's duty: `split` and `load_splits` keep it.

    Example:
        >>> from genrev.data import xo
        >>> parts = split(xo(100), train=0.5, judge=0.1)
        >>> [len(part) for part in (parts.train, parts.judge, parts.targets, parts.reference)]
        [50, 10, 20, 20]
    """

    train: Dataset
    judge: Dataset
    targets: Dataset
    reference: Dataset

    def __post_init__(self) -> None:
        parts = (self.train, self.judge, self.targets, self.reference)
        kinds = [(part.space.shape, part.names) for part in parts]
        for kind in kinds[1:]:
            if kind != kinds[0]:
                raise ArgumentError(
                    f"expected four parts of one input shape and one tuple of class names, got {kinds[0]} and {kind}; "
                    "cut them from the same data"
                )
        spaces = [part.space for part in parts]
        for space in spaces[1:]:
            if not (torch.equal(space.low, spaces[0].low) and torch.equal(space.high, spaces[0].high)):
                raise ArgumentError(
                    f"expected four parts of one input space, got {spaces[0]} and {space}; cut them from the same data"
                )


def split(dataset: Dataset, *, train: float = 0.5, judge: float = 0.15, seed: int = 0) -> Splits:
    """Cut a data set into its four parts at random, each with the class shares of the whole.

    Args:
        dataset: what to cut; every example goes into exactly one part.
        train: share for the network and the inverters, above 0.
        judge: share for the judge, above 0; `train + judge` below 1. The rest is halved into targets and reference.
        seed: the same seed cuts the same parts.

    Returns:
        The parts; each class has its share in each part, to one or two examples.

    Raises:
        ArgumentError: the shares are out of range or leave a part empty.

    Example:
        >>> from genrev.data import xo
        >>> split(xo(100), seed=1).train.labels.bincount().tolist()
        [25, 25]
    """
    if not (train > 0 and judge > 0 and train + judge < 1):
        raise ArgumentError(
            f"expected shares above 0 with train + judge below 1, got train={train} and judge={judge}; "
            "leave a share to hold out"
        )
    n = len(dataset)
    first, second = round(n * train), round(n * (train + judge))
    held_out = n - second
    parts = cut(dataset, (first, second - first, held_out // 2, held_out - held_out // 2), seed=seed)
    return Splits(*parts)


def cut(dataset: Dataset, counts: Sequence[int], *, seed: int = 0) -> list[Dataset]:
    """Cut disjoint parts of given sizes at random, each with the class shares of the whole.

    Args:
        dataset: what to cut from.
        counts: the size of each part, each at least 1, together at most n; what is left over is left out.
        seed: the same seed cuts the same parts.

    Returns:
        One data set a count.

    Raises:
        ArgumentError: a part would be empty, or they ask for more examples than there are.

    Example:
        >>> from genrev.data import xo
        >>> [len(part) for part in cut(xo(100), (60, 10))]
        [60, 10]
    """
    if min(counts, default=0) < 1 or sum(counts) > len(dataset):
        raise ArgumentError(
            f"expected parts of at least 1 and together at most {len(dataset)} examples, got {list(counts)}; "
            "bring more data or change the shares"
        )
    generator = torch.Generator().manual_seed(check_seed(seed) ^ _SPLIT_SALT)
    order = _stratified_order(dataset.labels, generator)[: sum(counts)]
    # Neighbours in that order tend to differ in class, which no random sample does: shuffle each part.
    mixed = [part[torch.randperm(len(part), generator=generator)] for part in order.split(list(counts))]
    return [dataset.take(part) for part in mixed]


def _stratified_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random order, shape `(n,)`, of which any run of neighbours has the class shares of the whole."""
    key = torch.rand(len(labels), generator=generator, dtype=torch.float64)
    place = torch.empty_like(key)
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0]
        # The members, in random order, sit one in each of equal bins over [0, 1], whatever the other classes do.
        rank = key[members].argsort().argsort()
        jitter = torch.rand(len(members), generator=generator, dtype=torch.float64)
        place[members] = (rank + jitter) / len(members)
    return place.argsort()


def _check_inputs(inputs: Tensor) -> None:
    if not isinstance(inputs, Tensor) or inputs.dtype != torch.float32 or inputs.ndim < 2 or inputs.numel() == 0:
        got = f"{inputs.dtype} of shape {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ArgumentError(
            f"expected inputs as a float32 tensor of shape (n, *input_shape) with n at least 1, got {got}; "
            "convert them with torch.as_tensor(..., dtype=torch.float32)"
        )


def _check_space(inputs: Tensor, space: InputSpace) -> None:
    if not isinstance(space, InputSpace) or space.shape != inputs.shape[1:]:
        got = f"{space.shape}" if isinstance(space, InputSpace) else type(space).__name__
        raise ArgumentError(
            f"expected the InputSpace of inputs {tuple(inputs.shape[1:])}, got {got}; give their shape and bounds"
        )
    if not bool((space.contains(inputs) & inputs.isfinite()).all()):
        low, high = (float(bound) for bound in inputs.aminmax())
        bounds = f"in [{space.low.min():g}, {space.high.max():g}]" if space.alike else f"within {space}"
        raise ArgumentError(
            f"expected inputs {bounds}, got {low:g} to {high:g}; scale them first (pixels: / 255), or give the space "
            "that they live in"
        )


def _check_labels(labels: Tensor, n: int, names: tuple[str, ...]) -> None:
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != (n,):
        got = f"{labels.dtype} of shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise ArgumentError(f"expected labels as an int64 tensor of shape ({n},), got {got}; give one label an input")
    if not isinstance(names, tuple) or len(set(names)) != len(names):
        raise ArgumentError(f"expected a tuple of different class names, got {names!r}; name each class once")
    low, high = (int(bound) for bound in labels.aminmax())
    if low < 0 or high >= len(names):
        raise ArgumentError(
            f"expected labels in [0, {len(names) - 1}] for {len(names)} names, got {low} to {high}; "
            "number the classes from 0 and name them all"
        )


def _check_columns(columns: tuple[str, ...], shape: tuple[int, ...]) -> None:
    if columns and (not isinstance(columns, tuple) or len(set(columns)) != len(columns) or (len(columns),) != shape):
        raise ArgumentError(
            f"expected a tuple of different column names, one for each value of inputs {shape}, got {columns!r:.60}; "
            "name all of them, or none"
        )
