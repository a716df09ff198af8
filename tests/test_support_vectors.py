"""Tests of the judge's support vector machine: it says what scikit-learn's own says."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from genrev.support_vectors import GaussianSVC


def blobs(classes: int, n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Clouds that overlap, so that many are support vectors and votes are split."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    return rng.normal(size=(n, 5)) + 1.5 * np.eye(max(classes, 5))[labels][:, :5], labels


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_it_says_what_the_library_says(classes: int) -> None:
    x, y = blobs(classes, 400, seed=classes)
    new, _ = blobs(classes, 3000, seed=100 + classes)
    machine, plain = GaussianSVC(C=10.0).fit(x, y), SVC(C=10.0, gamma="scale").fit(x, y)
    assert np.array_equal(machine.support_vectors_, plain.support_vectors_)
    assert np.array_equal(machine.predict(new), plain.predict(new))


@pytest.mark.parametrize("labels", [[3, 8], [5, 0, 11]])
def test_labels_need_not_be_counted_from_zero(labels: list[int]) -> None:
    x, y = blobs(len(labels), 200, seed=1)
    named = np.array(labels)[y]
    assert np.array_equal(GaussianSVC().fit(x, named).predict(x), SVC().fit(x, named).predict(x))


def test_single_precision_is_read_as_double() -> None:
    x, y = blobs(4, 300, seed=2)
    machine = GaussianSVC().fit(x, y)
    low = x.astype(np.float32)
    assert np.array_equal(machine.predict(low), machine.predict(low.astype(np.float64)))


def test_inputs_that_never_vary_have_a_width_too() -> None:
    x, y = np.ones((6, 3)), np.array([0, 0, 0, 0, 1, 1])
    assert GaussianSVC().fit(x, y).predict(x[:2]).tolist() == SVC().fit(x, y).predict(x[:2]).tolist()


def test_it_ends_a_pipeline() -> None:
    x, y = blobs(3, 300, seed=3)
    x = x * np.array([1e-3, 1.0, 1e4, 1.0, 1.0])
    ours, theirs = (make_pipeline(StandardScaler(), end).fit(x, y) for end in (GaussianSVC(C=10.0), SVC(C=10.0)))
    assert np.array_equal(ours.predict(x), theirs.predict(x))
