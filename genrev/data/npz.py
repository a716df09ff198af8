"""One's own data from NumPy: a strict reader of `.npz` files, which unpickles nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genrev.data.dataset import Dataset
from genrev.data.features import as_features, box
from genrev.data.labels import check_classes
from genrev.errors import FileError
from genrev.numpy_files import npz_names, read_npz

_ONE = ("x", "y")
_TWO = ("x_train", "y_train", "x_test", "y_test")


def npz(path: str | Path) -> tuple[Dataset, ...]:
    """Read inputs and labels that `numpy.savez` wrote.

    Args:
        path: a file with the arrays `x` and `y`, or `x_train`, `y_train`, `x_test` and `y_test`; others are left alone.
            Inputs `(n, *input_shape)` are numbers in [0, 1], or bytes, which are divided by 255; `(n, rows, columns)`
            are images of one channel; `(n, features)` may have units of their own. Labels `(n,)` are the numbers
            0, 1, 2, ... or names.

    Returns:
        One data set, or two, for training and for tests, with the same classes: numbers in their order, names sorted.
        Features of which one lies outside [0, 1] live in the box from each one's least to its greatest value in the
        file.

    Raises:
        FileError: the file is missing, damaged, holds pickled objects, lacks an array, or an array is not as above.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(Path(folder, "own.npz"), x=[[0.0, 0.5], [1.0, 0.0]], y=["no", "yes"])
        ...     (data,) = npz(Path(folder, "own.npz"))
        >>> data
        Dataset(2 inputs (2,); classes no, yes)
    """
    path = Path(path)
    arrays = _read(path)
    if set(arrays) == set(_ONE):
        classes, numbers = _classes(arrays["y"], "y", path)
        return tuple(_datasets({"x": arrays["x"]}, [numbers], tuple(map(str, classes)), path))
    classes, numbers = _classes(arrays["y_train"], "y_train", path)
    labels = [numbers, _known(arrays["y_test"], classes, path)]
    inputs = {name: arrays[name] for name in ("x_train", "x_test")}
    return tuple(_datasets(inputs, labels, tuple(map(str, classes)), path))


def _datasets(
    inputs: Mapping[str, np.ndarray], labels: Sequence[Tensor], names: tuple[str, ...], path: Path
) -> list[Dataset]:
    """Return a data set for each array of inputs, all of them in one space."""
    for (name, x), numbers in zip(inputs.items(), labels, strict=True):
        _check_kind(name, x, len(numbers), path)
    shapes = {name: x.shape[1:] for name, x in inputs.items()}
    if len(set(shapes.values())) > 1:
        raise FileError(
            f"expected inputs of one shape, got {' and '.join(f'{shape} in {name}' for name, shape in shapes.items())} "
            f"of {path}; save both in the same shape"
        )
    if _own_units(inputs.values()):
        # Both together, so that what one of them alone would blur or leave out is seen.
        joined = as_features(np.concatenate(list(inputs.values())), lambda column: f"feature {column}", path)
        parts, space = joined.split([len(x) for x in inputs.values()]), box(joined)
        return [Dataset(x.clone(), y, names, space) for x, y in zip(parts, labels, strict=True)]
    return [Dataset(_pixels(x, name, path), y, names) for (name, x), y in zip(inputs.items(), labels, strict=True)]


def _own_units(inputs: Iterable[np.ndarray]) -> bool:
    """Return whether inputs are features with units of their own, and no pixels."""
    inputs = list(inputs)
    if any(x.ndim != 2 or x.dtype == np.uint8 for x in inputs):
        return False
    return not all(x.min() >= 0 and x.max() <= 1 for x in inputs)


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of one of the two kinds of file."""
    held = npz_names(path)
    wanted = _ONE if set(_ONE) <= set(held) else _TWO
    if not set(wanted) <= set(held):
        raise FileError(
            f"expected the arrays {', '.join(_ONE)}, or {', '.join(_TWO)}, got {', '.join(sorted(held)) or 'none'} "
            f"in {path}; name them so"
        )
    return read_npz(path, wanted)


def _check_kind(name: str, x: np.ndarray, labels: int, path: Path) -> None:
    if x.dtype.kind not in "biuf" or x.ndim < 2 or x.size == 0:
        raise FileError(
            f"expected {name} as numbers of shape (n, *input_shape), got {x.dtype} of shape {x.shape} in {path}; "
            "give every input at least one value"
        )
    if len(x) != labels:
        raise FileError(
            f"expected as many inputs as labels, got {len(x)} in {name} and {labels} labels in {path}; save both anew"
        )


def _pixels(x: np.ndarray, name: str, path: Path) -> Tensor:
    low, high = (float(bound) for bound in (x.min(), x.max()))
    if x.dtype != np.uint8 and not (low >= 0 and high <= 1):
        raise FileError(
            f"expected {name} in [0, 1], or bytes from 0 to 255, got {low:g} to {high:g} in {path}; scale it, or save "
            "pixels as uint8"
        )
    # In the machine's own byte order, which torch wants.
    inputs = torch.from_numpy(x.astype(np.float32))
    if x.dtype == np.uint8:
        inputs /= 255
    return inputs[:, None] if inputs.ndim == 3 else inputs


def _classes(y: np.ndarray, name: str, path: Path) -> tuple[np.ndarray, Tensor]:
    """Return the labels of the classes, sorted, and the number of every label's class."""
    values, numbers = np.unique(_labels(y, name, path), return_inverse=True)
    check_classes(values.tolist(), name, path)
    return values, torch.from_numpy(numbers.astype(np.int64))


def _known(y: np.ndarray, classes: np.ndarray, path: Path) -> Tensor:
    """Return the number of every label's class among the classes of the training part."""
    labels = _labels(y, "y_test", path)
    if (labels.dtype.kind == "U") != (classes.dtype.kind == "U"):
        raise FileError(
            f"expected y_train and y_test both as numbers or both as names, got {classes.dtype} and {y.dtype} in "
            f"{path}; save both alike"
        )
    strange = np.setdiff1d(labels, classes)
    if len(strange):
        raise FileError(
            f"expected the classes of y_train alone in y_test, got {strange[0]} in {path}; leave it out, or train on it"
        )
    return torch.from_numpy(np.searchsorted(classes, labels).astype(np.int64))


def _labels(y: np.ndarray, name: str, path: Path) -> np.ndarray:
    """Return labels as a list of whole numbers or of names; a column is a list, too."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind not in "iuU" or y.ndim != 1 or y.size == 0:
        raise FileError(
            f"expected {name} as whole numbers or names of shape (n,), got {y.dtype} of shape {y.shape} in {path}; "
            "give one label an input"
        )
    return y
