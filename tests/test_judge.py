"""Tests of the judge: it reads digits, it answers for every input, and it refuses what it can't learn from."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from sentences import assert_one_sentence
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from genrev import judge as module
from genrev.errors import ArgumentError
from genrev.judge import Judge


def digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(images))
    return torch.from_numpy(images)[order].reshape(-1, 1, 8, 8) / 16, torch.from_numpy(labels)[order]


def blobs(n: int = 40) -> tuple[Tensor, Tensor]:
    """Two classes that a line tells apart."""
    labels = torch.arange(n) % 2
    return torch.randn(n, 2, 3) + 10 * labels[:, None, None], labels


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_reads_digits_that_it_has_not_seen(dtype: torch.dtype) -> None:
    inputs, labels = digits()
    half = len(inputs) // 2
    judge = Judge.fit(inputs[:half].to(dtype), labels[:half])
    assert (judge.labels(inputs[half:].to(dtype)) == labels[half:]).double().mean() >= 0.97


def test_the_scale_of_the_pixels_does_not_matter() -> None:
    inputs, labels = digits()
    small, large = Judge.fit(inputs[:300], labels[:300]), Judge.fit(255 * inputs[:300], labels[:300])
    assert torch.equal(small.labels(inputs[300:]), large.labels(255 * inputs[300:]))


def test_labels_are_int64_on_the_cpu_one_for_each_input() -> None:
    inputs, labels = blobs()
    found = Judge.fit(inputs, labels).labels(inputs)
    assert found.dtype == torch.int64
    assert found.device == torch.device("cpu")
    assert torch.equal(found, labels)


def test_labels_need_not_be_consecutive() -> None:
    inputs, labels = blobs()
    assert torch.equal(Judge.fit(inputs, labels * 5 + 2).labels(inputs), labels * 5 + 2)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool])
def test_labels_of_any_integer_type_are_learned(dtype: torch.dtype) -> None:
    inputs, labels = blobs()
    assert torch.equal(Judge.fit(inputs, labels.to(dtype)).labels(inputs), labels)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.uint8])
def test_inputs_of_any_real_type_are_read(dtype: torch.dtype) -> None:
    inputs, labels = blobs()
    assert torch.equal(Judge.fit(inputs, labels).labels(inputs.clamp(0).to(dtype)), labels)


def test_inputs_with_gradients_are_read_and_left_as_they_are() -> None:
    inputs, labels = blobs()
    judge = Judge.fit(inputs, labels)
    x = inputs.clone().requires_grad_()
    assert not judge.labels(x * 1).requires_grad
    assert torch.equal(x, inputs)
    assert x.grad is None


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, labels = digits()
    judge = Judge.fit(inputs[:200], labels[:200])
    whole = judge.labels(inputs)
    monkeypatch.setattr(module, "_ROWS", 7)
    assert torch.equal(judge.labels(inputs), whole)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_inputs_that_are_not_finite_look_like_nothing(bad: float) -> None:
    inputs, labels = blobs()
    judge = Judge.fit(inputs, labels)
    x = inputs.clone()
    x[3, 1, 2] = bad
    expected = labels.clone()
    expected[3] = -1
    assert torch.equal(judge.labels(x), expected)
    assert judge.labels(x * math.nan).tolist() == [-1] * len(x)


def test_no_inputs_get_no_labels() -> None:
    inputs, labels = blobs()
    assert Judge.fit(inputs, labels).labels(inputs[:0]).shape == (0,)


def test_any_scikit_learn_classifier_will_do() -> None:
    inputs, labels = blobs()
    neighbours = KNeighborsClassifier(1).fit(inputs.flatten(1).numpy(), labels.numpy())
    assert torch.equal(Judge(neighbours).labels(inputs), labels)


def test_a_callable_gets_tensors_of_the_inputs_shape_without_gradients() -> None:
    inputs, labels = blobs()

    def seen(x: Tensor) -> Tensor:
        assert x.shape[1:] == (2, 3)
        assert not torch.is_grad_enabled()
        return (x.mean((1, 2)) > 5).long()

    assert torch.equal(Judge(seen).labels(inputs), labels)


@pytest.mark.parametrize("answer", [[1.0, 2.0], [1, 2], np.array([1, 2], dtype=np.uint8), torch.tensor([1, 2]).int()])
def test_labels_of_any_type_that_holds_integers_are_taken(answer: Any) -> None:
    assert Judge(lambda x: answer).labels(torch.zeros(2, 3)).tolist() == [1, 2]


@pytest.mark.parametrize(
    "answer",
    [torch.zeros(2, 10), torch.zeros(3), [0.5, 1.0], [math.nan, 1.0], ["a", "b"], np.array(["a", "b"]), None, 0],
)
def test_a_classifier_without_integer_labels_is_an_argument_error(answer: Any) -> None:
    with pytest.raises(ArgumentError, match="from the classifier") as caught:
        Judge(lambda x: answer).labels(torch.zeros(2, 3))
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("classifier", [None, 3, "svm", torch.zeros(2)])
def test_what_is_no_classifier_is_an_argument_error(classifier: Any) -> None:
    with pytest.raises(ArgumentError, match="expected a classifier") as caught:
        Judge(classifier)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    "x", [torch.zeros(4, 7), torch.zeros(4), torch.tensor(0.0), torch.zeros(4, 6) * 1j, [[0.0] * 6]]
)
def test_inputs_of_another_shape_or_type_are_an_argument_error(x: Any) -> None:
    inputs, labels = blobs()
    with pytest.raises(ArgumentError) as caught:
        Judge.fit(inputs, labels).labels(x)
    assert_one_sentence(str(caught.value))


INPUTS, LABELS = torch.arange(12, dtype=torch.float64).reshape(4, 3), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        (INPUTS[:1], LABELS[:1]),
        (INPUTS[:0], LABELS[:0]),
        (INPUTS, LABELS[:3]),
        (INPUTS, LABELS[:, None]),
        (INPUTS[:, 0], LABELS),
        (INPUTS[:, :0], LABELS),
        (INPUTS, LABELS * 0),
        (INPUTS, LABELS - 1),
        (INPUTS, LABELS.double()),
        (INPUTS, LABELS.tolist()),
        (INPUTS.tolist(), LABELS),
        (INPUTS * math.nan, LABELS),
        (INPUTS / 0, LABELS),
    ],
    ids=[
        "one input",
        "no input",
        "a label too few",
        "labels with an axis too many",
        "inputs with an axis too few",
        "inputs without values",
        "one class",
        "a negative label",
        "labels that are no integers",
        "labels in a list",
        "inputs in a list",
        "NaN",
        "infinity",
    ],
)
def test_what_it_cannot_learn_from_is_an_argument_error(inputs: Any, labels: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        Judge.fit(inputs, labels)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("seed", [-1, 0.0, None, True, 2**64])
def test_a_seed_that_is_none_is_an_argument_error(seed: Any) -> None:
    with pytest.raises(ArgumentError, match="seed"):
        Judge.fit(INPUTS, LABELS, seed=seed)


def test_of_very_many_inputs_it_sees_a_part_that_the_seed_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_INPUTS", 100)
    inputs, labels = digits()
    first, again, other = (Judge.fit(inputs, labels, seed=seed).classifier for seed in (0, 0, 1))
    assert first.shape_fit_ == (100, 64)
    assert np.array_equal(first.support_vectors_, again.support_vectors_)
    assert not np.array_equal(first.support_vectors_, other.support_vectors_)


def test_the_part_keeps_each_label_in_proportion_and_at_least_once() -> None:
    counts = torch.tensor([600, 300, 99, 1])
    labels = torch.arange(4).repeat_interleave(counts)[torch.randperm(1000)]
    for seed in range(5):
        seen = module._subset(labels, 100, seed)
        assert seen.unique().tolist() == seen.tolist()
        assert len(seen) == 100
        found = labels[seen].bincount(minlength=4)
        assert (found >= 1).all()
        assert ((found - counts / 10).abs() <= 1).all()


def test_few_inputs_are_all_seen_in_their_order() -> None:
    assert module._subset(torch.tensor([2, 0, 2, 1]), 10, 0).tolist() == [0, 1, 2, 3]


def test_every_input_of_a_class_is_as_likely_to_be_seen() -> None:
    labels = torch.tensor([0] * 10 + [1] * 30)
    seen = torch.zeros(40)
    for seed in range(400):
        seen[module._subset(labels, 20, seed)] += 1
    # Each count is binomial with p = 1/2 and 400 trials: a standard deviation of 10.
    assert ((seen - 200).abs() < 50).all()


def test_fitting_leaves_the_global_random_numbers_alone() -> None:
    inputs, labels = blobs()
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    Judge.fit(inputs, labels, seed=3).labels(inputs)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


def test_its_repr_names_the_classifier() -> None:
    assert repr(Judge(KNeighborsClassifier(3))) == "Judge(KNeighborsClassifier(n_neighbors=3))"


def test_importing_judge_and_metrics_does_not_import_scikit_learn() -> None:
    code = "import sys, genrev.judge, genrev.metrics; sys.exit(bool({'sklearn', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_judge_that_standardises_reads_features_whatever_their_units():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    x = torch.randn(200, 3, generator=generator) + torch.stack([3 * labels, 0 * labels, 0 * labels], 1)
    x[:, 2] = 7
    units = torch.tensor([1e-3, 1e6, 1.0])
    plain, raw, blind = (
        Judge.fit(each[:100], labels[:100], standardise=standardise)
        for each, standardise in ((x, True), (x * units, True), (x * units, False))
    )
    assert torch.equal(raw.labels(x[100:] * units), plain.labels(x[100:]))
    right, chance = ((each.labels(x[100:] * units) == labels[100:]).double().mean() for each in (raw, blind))
    assert right > 0.85 > 0.7 > chance
    with pytest.raises(ArgumentError, match="expected inputs of 3 values each, got 2"):
        raw.labels(x[:, :2])
