"""Data sets and their four parts: validated, disjoint, stratified, reproducible, and found by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor

from genrev.data import DATASETS, Dataset, Splits, cut, digits, load_splits, split, xo
from genrev.data.features import box
from genrev.errors import ArgumentError, UnknownNameError
from genrev.space import InputSpace


def numbered(n: int, classes: int = 3) -> Dataset:
    """Return a data set whose one input value says which example it is."""
    inputs = torch.arange(n, dtype=torch.float32)[:, None] / n
    return Dataset(inputs, torch.arange(n) % classes, tuple("abcdefghij"[:classes]))


def parts_of(splits: Splits) -> list[Dataset]:
    return [splits.train, splits.judge, splits.targets, splits.reference]


def rows(inputs: Tensor) -> list[bytes]:
    return sorted(row.numpy().tobytes() for row in inputs)


def test_the_parts_are_disjoint_and_together_the_whole():
    whole = numbered(1000)
    parts = parts_of(split(whole))
    assert rows(torch.cat([part.inputs for part in parts])) == rows(whole.inputs)


def test_the_parts_have_the_asked_shares_and_the_rest_is_halved():
    assert [len(part) for part in parts_of(split(numbered(1001), train=0.6, judge=0.1))] == [601, 100, 150, 150]


@pytest.mark.parametrize("seed", range(5))
def test_every_part_has_the_class_shares_of_the_whole(seed: int):
    rare = (torch.arange(1000) % 10 == 0).long()
    whole = Dataset(torch.arange(1000, dtype=torch.float32)[:, None] / 1000, rare, ("common", "rare"))
    for part in parts_of(split(whole, seed=seed)):
        assert abs(int(part.labels.sum()) - len(part) / 10) <= 2


def test_labels_stay_with_their_inputs():
    whole = numbered(300)
    for part in parts_of(split(whole)):
        position = (part.inputs[:, 0] * 300).round().long()
        assert torch.equal(whole.labels[position], part.labels)


def test_the_same_seed_cuts_the_same_parts_and_another_seed_others():
    first, second, other = (split(numbered(200), seed=seed) for seed in (4, 4, 5))
    assert torch.equal(first.train.inputs, second.train.inputs)
    assert torch.equal(first.reference.inputs, second.reference.inputs)
    assert not torch.equal(first.train.inputs, other.train.inputs)


def test_the_examples_come_in_no_class_order():
    labels = split(numbered(3000)).train.labels
    same = (labels[1:] == labels[:-1]).double().mean()
    assert 0.28 < float(same) < 0.39, "a third of the neighbours share their class, as by chance"


def test_splitting_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    split(numbered(50))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("train", "judge"), [(0, 0.5), (0.5, 0), (0.5, 0.5), (-0.1, 0.3), (float("nan"), 0.1)])
def test_shares_that_leave_no_part_are_refused(train: float, judge: float):
    with pytest.raises(ArgumentError, match=r"expected shares above 0 with train \+ judge below 1, got"):
        split(numbered(100), train=train, judge=judge)


def test_a_set_too_small_for_four_parts_is_refused():
    with pytest.raises(ArgumentError, match="expected parts of at least 1"):
        split(numbered(3))


@pytest.mark.parametrize("counts", [(), (0, 3), (5, -1), (6, 5)])
def test_cut_refuses_empty_parts_and_more_than_there_is(counts: tuple[int, ...]):
    with pytest.raises(ArgumentError, match="expected parts of at least 1 and together at most 10"):
        cut(numbered(10), counts)


def test_take_returns_the_chosen_examples_in_the_given_order():
    whole = numbered(10)
    for chosen in ([3, 0, -1], torch.tensor([3, 0, 9])):
        part = whole.take(chosen)
        assert part.labels.tolist() == [0, 0, 0]
        assert torch.equal(part.inputs, whole.inputs[[3, 0, 9]])


def test_take_copies():
    whole = numbered(10)
    whole.take(range(10)).inputs.zero_()
    assert torch.equal(whole.inputs, numbered(10).inputs)


@pytest.mark.parametrize("indices", [[], [0.5], torch.ones(10, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.int64)])
def test_take_refuses_what_is_no_list_of_integers(indices: Tensor | list):
    with pytest.raises(ArgumentError, match="expected a list of at least one integer index, got"):
        numbered(10).take(indices)


@pytest.mark.parametrize("indices", [[0, 10], [-11]])
def test_take_refuses_indices_out_of_range(indices: list[int]):
    with pytest.raises(ArgumentError, match=r"expected indices in \[-10, 9\], got"):
        numbered(10).take(indices)


GOOD = torch.zeros(2, 3, dtype=torch.float32)


@pytest.mark.parametrize(
    "inputs",
    [GOOD.double(), GOOD.numpy(), GOOD[0], GOOD[:0], GOOD + 2, GOOD - 1, GOOD * float("nan")],
    ids=["float64", "numpy", "no batch", "empty", "above 1", "below 0", "nan"],
)
def test_inputs_of_another_kind_are_refused(inputs: object):
    with pytest.raises(ArgumentError, match=r"expected inputs .*, got .*; "):
        Dataset(inputs, torch.tensor([0, 1]), ("a", "b"))  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [[0, 1], torch.tensor([0.0, 1]), torch.tensor([0]), torch.tensor([[0, 1]])])
def test_labels_of_another_kind_are_refused(labels: object):
    with pytest.raises(ArgumentError, match=r"expected labels as an int64 tensor of shape \(2,\), got"):
        Dataset(GOOD, labels, ("a", "b"))  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0]])
def test_labels_without_a_name_are_refused(labels: list[int]):
    with pytest.raises(ArgumentError, match=r"expected labels in \[0, 1\] for 2 names, got"):
        Dataset(GOOD, torch.tensor(labels), ("a", "b"))


@pytest.mark.parametrize("names", [["a", "b"], ("a", "a")])
def test_names_must_be_a_tuple_of_different_names(names: tuple[str, ...]):
    with pytest.raises(ArgumentError, match="expected a tuple of different class names, got"):
        Dataset(GOOD, torch.tensor([0, 1]), names)


def test_parts_of_different_kinds_make_no_splits():
    few, many = numbered(4, classes=2), numbered(4, classes=3)
    with pytest.raises(ArgumentError, match="expected four parts of one input shape and one tuple of class names"):
        Splits(few, few, many, few)


def test_xo_comes_in_its_own_shares():
    parts = load_splits("xo", n=1720)
    assert [len(part) for part in parts_of(parts)] == [800, 800, 60, 60]
    assert len({row for part in parts_of(parts) for row in rows(part.inputs)}) == 1720
    for part in parts_of(parts):
        assert abs(int(part.labels.sum()) - len(part) / 2) <= 2


def test_digits_come_as_half_train_a_seventh_judge_and_the_rest_held_out():
    parts = load_splits("digits")
    assert sum(len(part) for part in parts_of(parts)) == 1797
    assert len(parts.targets) >= 300
    assert rows(torch.cat([part.inputs for part in parts_of(parts)])) == rows(digits().inputs)


@pytest.mark.parametrize("spec", ["xo", "digits"])
def test_load_splits_gives_n_examples_the_same_for_the_same_seed(spec: str):
    first, second, other = (load_splits(spec, seed=seed, n=200) for seed in (1, 1, 2))
    assert sum(len(part) for part in parts_of(first)) == 200
    for ours, same, others in zip(parts_of(first), parts_of(second), parts_of(other), strict=True):
        assert torch.equal(ours.inputs, same.inputs)
        assert torch.equal(ours.labels, same.labels)
        assert not torch.equal(ours.inputs, others.inputs)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"got 'digit'; did you mean 'digits'\?"):
        load_splits("digit")
    with pytest.raises(UnknownNameError, match="npz:FILE, images:FOLDER, csv:FILE, got 'cifar'; choose one of them"):
        load_splits("cifar")
    with pytest.raises(UnknownNameError, match="got '3'; choose one of them"):
        load_splits(3)


@pytest.mark.parametrize("seed", [-1, "a", None, 2**80, 0.5])
@pytest.mark.parametrize("bring", [lambda seed: load_splits("digits", seed=seed), lambda seed: xo(4, seed=seed)])
def test_a_seed_that_is_none_is_refused(bring, seed):
    with pytest.raises(ArgumentError, match="expected a seed"):
        bring(seed)
    with pytest.raises(ArgumentError, match="expected a seed"):
        split(xo(40), seed=seed)


@pytest.mark.parametrize("spec", ["xo:folder", "digits:folder"])
def test_a_folder_is_refused_where_none_is_read(spec: str):
    with pytest.raises(ArgumentError, match="leave out what follows the colon"):
        load_splits(spec)


@pytest.mark.parametrize(
    ("spec", "n"), [("xo", 0), ("xo", 3), ("xo", -5), ("digits", 1798), ("digits", 4), ("xo", "a"), ("xo", 9.5)]
)
def test_an_n_that_cannot_fill_the_parts_is_refused(spec: str, n: int):
    with pytest.raises(ArgumentError, match="expected"):
        load_splits(spec, n=n)


def test_xo_letters_have_no_say_in_which_part_they_come_into():
    # The draw and the cut share a seed; were they to share random bits too, size or ink would go with the part.
    ink = xo(4000, seed=3).inputs.mean((1, 2, 3))
    parts = split(xo(4000, seed=3), seed=3)
    for part in parts_of(parts):
        standard_error = float(ink.std()) / len(part) ** 0.5
        assert abs(float(part.inputs.mean()) - float(ink.mean())) < 4 * standard_error


def test_a_data_set_is_printed_in_one_line():
    assert repr(xo(4)) == "Dataset(4 inputs (1, 32, 32); classes X, O)"


def test_the_table_names_every_kind_of_data():
    assert list(DATASETS) == ["xo", "digits", "idx", "npz", "images", "csv"]


# Features in units of their own


FEATURES = torch.tensor([[1.0, -200.0, 5.0], [3.0, 400.0, 5.0], [2.0, 0.0, 5.0]], dtype=torch.float32)


def test_pixels_live_in_the_unit_box():
    space = xo(4).space
    assert space.shape == (1, 32, 32)
    assert bool((space.low == 0).all() and (space.high == 1).all())


def test_features_live_in_the_space_that_is_given():
    data = Dataset(FEATURES, torch.tensor([0, 1, 1]), ("a", "b"), box(FEATURES))
    assert data.space.low.tolist() == [1.0, -200.0, 5.0]
    assert data.space.high.tolist() == [3.0, 400.0, 5.0]
    assert data.take([0]).space is data.space


@pytest.mark.parametrize(
    "space", [InputSpace((2,)), InputSpace((3,), 0.0, 1.0), InputSpace((3,), 0.0, torch.tensor([3.0, 400, 5])), "box"]
)
def test_inputs_outside_their_space_are_refused(space: object):
    with pytest.raises(ArgumentError, match="expected ") as caught:
        Dataset(FEATURES, torch.tensor([0, 1, 1]), ("a", "b"), space)  # type: ignore[arg-type]
    assert_one_sentence(caught.value)


def test_inputs_that_are_not_finite_are_refused_in_a_space_without_bounds():
    with pytest.raises(ArgumentError, match="expected inputs in"):
        Dataset(FEATURES / 0, torch.tensor([0, 1, 1]), ("a", "b"), InputSpace((3,)))


def test_parts_of_different_spaces_make_no_splits():
    labels, wider = torch.tensor([0, 1, 1]), InputSpace((3,), -1000.0, 1000.0)
    one, other = (Dataset(FEATURES, labels, ("a", "b"), space) for space in (box(FEATURES), wider))
    with pytest.raises(ArgumentError, match="expected four parts of one input space") as caught:
        Splits(one, one, one, other)
    assert_one_sentence(caught.value)


@pytest.mark.parametrize(
    "columns", [("a", "b"), ("a", "b", "a"), ["a", "b", "c"], "abc"], ids=["few", "alike", "list", "string"]
)
def test_columns_are_all_named_and_differently(columns: object):
    with pytest.raises(ArgumentError, match="expected a tuple of different column names") as caught:
        Dataset(FEATURES, torch.tensor([0, 1, 1]), ("a", "b"), box(FEATURES), columns)  # type: ignore[arg-type]
    assert_one_sentence(caught.value)


@pytest.mark.parametrize(
    ("place", "meant"),
    [("own.csv", "csv"), ("OWN.CSV", "csv"), ("a.npz", "npz"), ("mnist", "idx"), ("cats", "images")],
)  # fmt: skip
def test_a_path_without_its_kind_is_told_which_it_looks_like(
    place: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("mnist").mkdir()
    Path("mnist", "train-images-idx3-ubyte.gz").touch()
    Path("cats", "tabby").mkdir(parents=True)
    with pytest.raises(UnknownNameError) as caught:
        load_splits(place)
    assert str(caught.value).endswith(f"; did you mean '{meant}:{place}'?")
    assert_one_sentence(caught.value)
