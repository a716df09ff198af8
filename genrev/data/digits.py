"""Real handwriting that needs no download: the scanned digits that come with scikit-learn."""

from __future__ import annotations

import torch

from genrev.data.dataset import Dataset


def digits() -> Dataset:
    """Load scikit-learn's scanned digits, written by 43 people.

    Returns:
        1,797 inputs `(1797, 1, 8, 8)` in [0, 1], in steps of 1/16; ten classes, "0" to "9".

    Reference:
        Alpaydin and Kaynak, 1998, "Optical recognition of handwritten digits", UCI Machine Learning Repository.

    Example:
        >>> tuple(digits().inputs.shape)
        (1797, 1, 8, 8)
    """
    from sklearn.datasets import load_digits  # a second to import, and of use here alone

    scans = load_digits()
    inputs = torch.as_tensor(scans.images, dtype=torch.float32)[:, None] / 16
    labels = torch.as_tensor(scans.target, dtype=torch.int64)
    return Dataset(inputs, labels, tuple(str(name) for name in scans.target_names))
