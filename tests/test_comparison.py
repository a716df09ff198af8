"""Tests of the comparison: every figure against the saved samples, and what is saved against what is read."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import math
import os
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor, nn

from genrev.comparison import Answer, Comparison, Row, asked_classes, compare, describe, quantile
from genrev.comparison.chain import Chain
from genrev.errors import ArgumentError, FileError, GenrevError, NotFittedError
from genrev.inverter import Inverter, Outcome, Problem, Proposal, Traits
from genrev.inverters.gradient import GradientInverter
from genrev.inverters.newton import NewtonInverter
from genrev.inverters.retrieval import RetrievalInverter
from genrev.inverters.wrappers import Refined
from genrev.judge import Judge
from genrev.network import Network
from genrev.report.findings import mark, ordered
from genrev.space import InputSpace
from genrev.tensor_files import write_tensors

KEYS = [
    "inverter",
    "residual_median",
    "residual_p95",
    "residual_max",
    "converged",
    "judge_agreement",
    "both",
    "coverage",
    "recall",
    "novelty",
    "diversity",
    "fit_seconds",
    "milliseconds_per_sample",
]
NAN = math.nan


class Broken(Inverter):
    """Gives NaN for every other row."""

    traits: ClassVar[Traits] = Traits(summary="Breaks.", stochastic=True)

    def __init__(self, network: Network, *, tolerance: float | Tensor = 1e-3) -> None:
        super().__init__(network, tolerance=tolerance)

    def _propose(self, problem: Problem) -> Proposal:
        x = torch.full((len(problem), *self.network.space.shape), 0.5, dtype=problem.target.dtype)
        x[1::2] = NAN
        return Proposal(x)


def draw(n: int, shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def classifier() -> Network:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Softmax(-1))
    with torch.no_grad():
        module[1].weight.mul_(8)
    return Network(module, space=InputSpace((1, 2, 2), 0.0, 1.0))


def judge(x: Tensor) -> Tensor:
    return x.flatten(1)[:, :3].argmax(1)


def parts(shape: tuple[int, ...] = (1, 2, 2)) -> dict[str, Tensor]:
    return {"inputs": draw(12, shape, 0), "reference": draw(10, shape, 1), "training": draw(20, shape, 2)}


def run(network: Network, inverters: dict[str, Inverter], data: dict[str, Tensor], **keywords: Any) -> Comparison:
    data = dict(data)
    return compare(network, inverters, data.pop("inputs"), **data, **keywords)


@cache
def example() -> Comparison:
    network, data = classifier(), parts()
    inverters = {
        "newton": NewtonInverter(network),
        "retrieval": RetrievalInverter(network).fit(data["training"]),
        "broken": Broken(network),
    }
    asked = [[NAN, 0.9, NAN], [0.2, 0.3, 0.5]]
    return run(network, inverters, data, judge=judge, samples=3, seed=5, asked=asked, names=["a", "b", "c"])


def row_of(comparison: Comparison, name: str) -> Row:
    return next(row for row in comparison.rows if row.inverter == name)


def assert_same(a: Any, b: Any) -> None:
    """Equal all the way down, NaN to NaN."""
    assert type(a) is type(b)
    if isinstance(a, Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a.isnan(), b.isnan())
        assert torch.equal(a.nan_to_num(), b.nan_to_num())
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (Comparison, Answer, Chain)):
        for field in dataclasses.fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name))
    else:
        assert a == b


# Rows


def test_real_and_noise_stand_first_and_the_inverters_follow_in_the_order_given() -> None:
    assert [row.inverter for row in example().rows] == ["real", "noise", "newton", "retrieval", "broken"]


def test_every_row_has_exactly_the_promised_keys() -> None:
    for row in example().rows:
        assert list(dataclasses.asdict(row)) == KEYS


@pytest.mark.parametrize("name", ["real", "noise", "newton", "retrieval", "broken"])
def test_residuals_and_share_converged_follow_from_the_samples(name: str) -> None:
    comparison = example()
    row, answer = row_of(comparison, name), comparison.answers[name]
    residual = np.abs(answer.y.numpy() - comparison.targets[:, None].numpy()).max(2)
    residual = np.where(np.isnan(residual), np.inf, residual)
    assert row.converged == (residual <= 1e-3).mean()
    worst = np.sort(residual.ravel())[-1]
    assert row.residual_max == (pytest.approx(worst) if np.isfinite(worst) else None)
    if np.isfinite(worst):
        assert row.residual_median == pytest.approx(np.median(residual))
        assert row.residual_p95 == pytest.approx(np.quantile(residual, 0.95))


@pytest.mark.parametrize("name", ["real", "noise", "newton", "retrieval", "broken"])
def test_judge_agreement_follows_from_the_samples(name: str) -> None:
    comparison = example()
    wanted = comparison.targets.argmax(1)
    x = comparison.answers[name].x
    agrees = [
        bool(sample.isfinite().all()) and int(judge(sample[None])) == int(wanted[place])
        for place in range(len(x))
        for sample in x[place]
    ]
    assert row_of(comparison, name).judge_agreement == pytest.approx(np.mean(agrees))


@pytest.mark.parametrize("name", ["real", "noise", "newton", "retrieval"])
def test_coverage_and_recall_follow_from_the_first_samples(name: str) -> None:
    comparison, size = example(), 10
    real = parts()["reference"].flatten(1).numpy()
    fake = comparison.answers[name].x[:size, 0].flatten(1).numpy()

    def radii(points: np.ndarray) -> np.ndarray:
        return np.sort(np.linalg.norm(points[:, None] - points[None], axis=2), axis=1)[:, 5]

    distance = np.linalg.norm(real[:, None] - fake[None], axis=2)
    row = row_of(comparison, name)
    assert row.coverage == pytest.approx((distance <= radii(real)[:, None]).any(1).mean())
    assert row.recall == pytest.approx((distance <= radii(fake)[None]).any(1).mean())


@pytest.mark.parametrize("name", ["real", "noise", "newton", "retrieval"])
def test_novelty_follows_from_the_first_samples(name: str) -> None:
    comparison, data = example(), parts()

    def typical(x: Tensor) -> float:
        gaps = x.flatten(1).numpy()[:, None] - data["training"].flatten(1).numpy()[None]
        return float(np.median(np.linalg.norm(gaps, axis=2).min(1)))

    expected = typical(comparison.answers[name].x[:, 0]) / typical(data["inputs"])
    assert row_of(comparison, name).novelty == pytest.approx(expected)


@pytest.mark.parametrize("name", ["noise", "newton", "retrieval"])
def test_diversity_follows_from_all_samples(name: str) -> None:
    comparison = example()
    x = comparison.answers[name].x.flatten(2).numpy()
    expected = np.mean([np.linalg.norm(a - b) for row in x for a, b in itertools.combinations(row, 2)])
    assert row_of(comparison, name).diversity == pytest.approx(expected)


def test_real_is_the_held_out_inputs_with_no_residual_and_no_costs() -> None:
    comparison = example()
    real, row = comparison.answers["real"], row_of(comparison, "real")
    assert torch.equal(real.x[:, 0], comparison.inputs)
    assert torch.equal(real.y[:, 0], comparison.targets)
    assert (row.residual_max, row.converged, row.novelty) == (0.0, 1.0, 1.0)
    assert (row.diversity, row.fit_seconds, row.milliseconds_per_sample) == (None, None, None)


def test_noise_is_drawn_from_the_box_and_has_no_costs() -> None:
    comparison = example()
    x, row = comparison.answers["noise"].x, row_of(comparison, "noise")
    assert 0 <= float(x.min()) < 0.1
    assert 0.9 < float(x.max()) <= 1
    assert (row.fit_seconds, row.milliseconds_per_sample) == (None, None)
    assert row.diversity is not None
    assert row.diversity > 0


def test_noise_has_the_mean_and_deviation_of_the_training_inputs_where_there_are_no_bounds() -> None:
    space = InputSpace((2,), low=torch.tensor([-math.inf, 0.0]), high=torch.tensor([math.inf, 1.0]))
    network = Network(nn.Linear(2, 1), space=space)
    scale = torch.tensor([100.0, 1.0])
    data = {name: values * scale for name, values in parts((2,)).items()}
    data["inputs"] = draw(2000, (2,), 3) * scale
    x = run(network, {"newton": NewtonInverter(network)}, data, samples=1).answers["noise"].x[:, 0]
    assert float(x[:, 0].mean()) == pytest.approx(float(data["training"][:, 0].mean()), abs=3)
    assert float(x[:, 0].std()) == pytest.approx(float(data["training"][:, 0].std()), rel=0.1)
    assert float(x[:, 1].max()) <= 1


def test_a_result_that_is_not_finite_is_a_miss_and_its_residual_is_null() -> None:
    row = row_of(example(), "broken")
    assert row.residual_max is None
    assert row.residual_p95 is None
    assert row.converged < 0.6
    counts = (example().answers["broken"].outcome == Outcome.DIVERGED).double().mean()
    assert counts == pytest.approx(0.5)


def test_without_a_judge_agreement_is_null() -> None:
    network = classifier()
    comparison = run(network, {"newton": NewtonInverter(network)}, parts(), samples=1)
    assert [row.judge_agreement for row in comparison.rows] == [None, None, None]
    assert comparison.answers["newton"].judged is None


def test_where_the_network_is_no_classifier_agreement_is_null() -> None:
    network = Network(nn.Linear(4, 1), space=InputSpace((4,), 0.0, 1.0))
    comparison = run(network, {"newton": NewtonInverter(network)}, parts((4,)), samples=1, judge=judge)
    assert [row.judge_agreement for row in comparison.rows] == [None, None, None]


def test_one_sigmoid_output_asks_for_class_one_above_a_half() -> None:
    network = Network(nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()), space=InputSpace((4,), 0.0, 1.0))
    data = parts((4,))
    seen = run(network, {"newton": NewtonInverter(network)}, data, judge=lambda x: (network(x) > 0.5).long()[:, 0])
    assert row_of(seen, "real").judge_agreement == 1.0


def test_a_judge_may_be_anything_that_predicts() -> None:
    class Predictor:
        def predict(self, x: np.ndarray) -> np.ndarray:
            return x[:, :3].argmax(1)

    network = classifier()
    comparison = run(network, {"newton": NewtonInverter(network)}, parts(), samples=3, seed=5, judge=Predictor())
    assert row_of(comparison, "newton").judge_agreement == row_of(example(), "newton").judge_agreement
    assert comparison.about["judge"] == "Predictor"
    standardised = Judge.fit(torch.rand(20, 1, 2, 2), torch.arange(20) % 2, standardise=True)
    found = run(network, {"newton": NewtonInverter(network)}, parts(), samples=1, judge=standardised)
    assert found.about["judge"] == "StandardScaler, GaussianSVC"


def test_one_sample_has_no_diversity_and_a_method_that_repeats_itself_has_none_to_offer() -> None:
    network, data = classifier(), parts()
    inverters = {"retrieval": RetrievalInverter(network).fit(data["training"])}
    assert run(network, inverters, data, samples=1).rows[-1].diversity is None
    assert row_of(example(), "retrieval").diversity == 0.0


def test_too_few_inputs_for_coverage_give_null() -> None:
    network, data = classifier(), parts()
    data["reference"] = data["reference"][:5]
    row = run(network, {"newton": NewtonInverter(network)}, data, samples=1).rows[0]
    assert (row.coverage, row.recall) == (None, None)


def test_held_out_inputs_that_are_copies_give_no_novelty() -> None:
    network, data = classifier(), parts()
    data["inputs"] = data["training"][:8]
    assert run(network, {"newton": NewtonInverter(network)}, data, samples=1).rows[-1].novelty is None


def test_only_methods_that_learn_have_fit_seconds() -> None:
    network, data = classifier(), parts()
    newton = NewtonInverter(network).fit(data["training"])
    assert run(network, {"newton": newton}, data, samples=1).rows[-1].fit_seconds is None
    assert row_of(example(), "retrieval").fit_seconds is not None


def test_a_wrapper_of_fitted_parts_owes_what_they_took() -> None:
    network, data = classifier(), parts()
    first = RetrievalInverter(network).fit(data["training"])
    first.fit_seconds = 1000.0
    refined = Refined(first, NewtonInverter(network)).fit(data["training"])
    assert run(network, {"refined": refined}, data, samples=1).rows[-1].fit_seconds >= 1000


def test_milliseconds_count_the_samples_that_were_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = classifier(), parts()
    inverters = {"broken": Broken(network), "retrieval": RetrievalInverter(network).fit(data["training"])}
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    rows = run(network, inverters, data, samples=4).rows[2:]
    assert [row.milliseconds_per_sample for row in rows] == [1000 / (12 * 4), 1000 / 12]


def test_the_notes_are_the_inverters_own() -> None:
    comparison = example()
    assert list(comparison.notes) == list(comparison.asked_notes) == ["newton", "retrieval", "broken"]
    assert "DIVERGED 18 of 36" in comparison.notes["broken"]


def test_typed_targets_are_answered_and_enter_no_figure() -> None:
    network = classifier()
    inverters: dict[str, Inverter] = {"newton": NewtonInverter(network)}
    plain = run(network, inverters, parts(), samples=2)
    typed = run(network, inverters, parts(), samples=2, asked=[NAN, 0.9, NAN])
    assert typed.asked is not None
    assert typed.asked.shape == (1, 3)
    assert typed.asked_answers["newton"].y[0, :, 1] == pytest.approx(0.9, abs=1e-3)
    for a, b in zip(plain.rows, typed.rows, strict=True):
        assert dataclasses.replace(a, milliseconds_per_sample=0) == dataclasses.replace(b, milliseconds_per_sample=0)


def test_the_same_seed_gives_the_same_answers_and_another_seed_others() -> None:
    network = classifier()
    inverters: dict[str, Inverter] = {"newton": NewtonInverter(network)}
    one, two, other = (run(network, inverters, parts(), seed=seed) for seed in (0, 0, 1))
    assert_same(one.answers, two.answers)
    assert_same(one.about, two.about)
    assert not torch.equal(one.answers["noise"].x, other.answers["noise"].x)


def test_comparing_leaves_the_module_and_the_random_state_alone() -> None:
    network = classifier()
    network.module.train()
    before, state = copy.deepcopy(network.module.state_dict()), torch.get_rng_state()
    run(network, {"newton": NewtonInverter(network)}, parts(), samples=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.module.training
    assert_same(dict(network.module.state_dict()), dict(before))


def test_inputs_in_single_precision_are_measured_alike() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Softmax(-1)).float()
    network = Network(module, space=InputSpace((1, 2, 2), 0.0, 1.0))
    data = {name: values.float() for name, values in parts().items()}
    comparison = run(network, {"gradient": GradientInverter(network, steps=3)}, data, samples=1)
    assert comparison.answers["gradient"].x.dtype == torch.float32


def test_one_tolerance_for_each_output_is_kept(tmp_path: Path) -> None:
    network = classifier()
    tolerance = torch.tensor([1e-3, 1e-2, 1e-1])
    comparison = run(network, {"newton": NewtonInverter(network, tolerance=tolerance)}, parts(), samples=1)
    comparison.save(tmp_path)
    assert torch.equal(Comparison.load(tmp_path).tolerance, tolerance)


# The class that is asked for


def test_a_whole_target_asks_for_its_greatest_output() -> None:
    y = torch.tensor([[0.1, 0.7, 0.2], [0.9, 0.05, 0.05]])
    for outputs in ("softmax", "sigmoid", "values"):
        assert asked_classes(y, outputs).tolist() == [1, 0]


def test_a_lone_sigmoid_asks_for_one_above_a_half() -> None:
    assert asked_classes(torch.tensor([[0.51], [0.5], [0.49]]), "sigmoid").tolist() == [1, 0, 0]


def test_a_lone_value_asks_for_no_class() -> None:
    assert asked_classes(torch.tensor([[0.9]]), "values").tolist() == [-1]


def test_of_a_softmax_the_greatest_asked_counts_only_above_what_is_left_to_the_free() -> None:
    y = torch.tensor([[NAN, 0.6, NAN], [NAN, 0.5, NAN], [0.1, 0.5, NAN], [0.1, 0.2, NAN]])
    assert asked_classes(y, "softmax").tolist() == [1, -1, 1, -1]


def test_of_sigmoids_and_values_a_free_output_could_always_be_the_greatest() -> None:
    y = torch.tensor([[0.99, NAN]])
    assert asked_classes(y, "sigmoid").tolist() == asked_classes(y, "values").tolist() == [-1]


def test_outputs_that_are_no_vector_ask_for_no_class() -> None:
    assert asked_classes(torch.rand(2, 3, 4), "values").tolist() == [-1, -1]


# Figures


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_quantiles_are_those_of_numpy(share: float, size: int) -> None:
    values = torch.rand(size)
    assert quantile(values, share) == pytest.approx(np.quantile(values.numpy(), share))


def test_quantiles_below_infinite_values_are_finite() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, math.inf, math.inf])
    assert quantile(values, 0.5) == 3.0
    assert quantile(values, 0.6) is None


def test_an_inverter_is_described_as_the_call_that_builds_it() -> None:
    network = classifier()
    refined = Refined(RetrievalInverter(network), NewtonInverter(network, steps=7))
    text = describe(refined)
    assert text.startswith("Refined(first=RetrievalInverter(tolerance=0.001), then=NewtonInverter(")
    assert "steps=7" in text


# Files


def test_saved_figures_are_strict_json_with_exactly_the_promised_keys(tmp_path: Path) -> None:
    example().save(tmp_path / "new")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    text = (tmp_path / "new" / "comparison.json").read_text()
    saved = json.loads(text, parse_constant=refuse)
    assert list(saved) == ["rows", "notes", "about"]
    assert [list(row) for row in saved["rows"]] == [KEYS] * 5
    assert saved["rows"] == [dataclasses.asdict(row) for row in example().rows]
    assert sorted(os.listdir(tmp_path / "new")) == [
        "comparison.json",
        "figures.csv",
        "report.html",
        "report.md",
        "samples.safetensors",
    ]


def test_what_is_read_equals_what_was_saved(tmp_path: Path) -> None:
    example().save(tmp_path)
    assert_same(Comparison.load(tmp_path), example())


def test_a_comparison_without_judge_names_or_typed_targets_is_read_back(tmp_path: Path) -> None:
    network = classifier()
    comparison = run(network, {"a/b": NewtonInverter(network), "a": NewtonInverter(network)}, parts(), samples=1)
    comparison.save(tmp_path)
    assert_same(Comparison.load(tmp_path), comparison)


def test_saving_twice_and_saving_what_was_read_give_the_same_bytes(tmp_path: Path) -> None:
    example().save(tmp_path / "a")
    example().save(tmp_path / "b")
    Comparison.load(tmp_path / "a").save(tmp_path / "c")
    for name in os.listdir(tmp_path / "a"):
        data = [(tmp_path / folder / name).read_bytes() for folder in "abc"]
        assert data[0] == data[1] == data[2], name


def test_nothing_saved_says_when_or_where(tmp_path: Path) -> None:
    example().save(tmp_path)
    for name in ("comparison.json", "report.html"):
        text = (tmp_path / name).read_text()
        assert str(tmp_path) not in text
        assert time.strftime("%Y-%m-%d") not in text


def test_a_folder_that_can_not_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "no" / "such", tmp_path / "file", tmp_path / "file" / "below", tmp_path / "nul\0"):
        with pytest.raises(FileError) as caught:
            example().save(place)
        assert_one_sentence(str(caught.value))
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_holds_a_folder_in_a_file_s_place_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(FileError) as caught:
        example().save(tmp_path)
    assert_one_sentence(str(caught.value))
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_folder_that_was_made_for_a_save_that_failed_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(FileError):
        example().save(tmp_path / "new")
    assert os.listdir(tmp_path) == []


def test_what_is_no_path_is_an_error() -> None:
    for use in (Comparison.load, example().save):
        with pytest.raises(ArgumentError, match="expected a path"):
            use(None)  # type: ignore[arg-type]


def test_missing_truncated_and_foreign_files_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "samples.safetensors"
    example().save(tmp_path)
    whole = path.read_bytes()

    def cut() -> None:
        path.write_bytes(whole[: len(whole) // 2])

    def other_kind() -> None:
        write_tensors(path, {}, {"kind": "network"})

    def no_parts() -> None:
        write_tensors(path, {}, {"kind": "comparison"})

    for spoil in (cut, other_kind, no_parts, path.unlink):
        spoil()
        with pytest.raises(FileError) as caught:
            Comparison.load(tmp_path)
        assert_one_sentence(str(caught.value))


def test_the_table_is_aligned_and_names_every_method() -> None:
    comparison = example()
    lines = comparison.table().splitlines()
    rows = [asdict(row) for row in comparison.rows]
    marks = ["", *(mark(row, rows) for row in ordered(rows))]
    assert len({len(line.removesuffix(word).rstrip()) for line, word in zip(lines, marks, strict=True)}) == 1
    assert [line.split()[0] for line in lines] == ["method", "real", "noise", "newton", "broken", "retrieval"]


# All kinds of networks


@pytest.mark.parametrize(
    ("module", "space"),
    [
        (nn.Sequential(nn.Linear(3, 2), nn.Tanh()), InputSpace((3,))),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(1, 1)),
            InputSpace((1, 1, 1), torch.zeros(1, 1, 1), torch.ones(1, 1, 1)),
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 1), nn.Sigmoid()), InputSpace((3, 2, 2), 0.0, 1.0)),
        (nn.Sequential(nn.Flatten(), nn.Linear(6, 6), nn.Sigmoid()), InputSpace((2, 3), 0.0, math.inf)),
        (nn.Conv1d(2, 1, 1), InputSpace((2, 3), 0.0, 1.0)),
    ],
    ids=["regression", "one pixel", "one sigmoid", "half bounded", "outputs of two axes"],
)
def test_any_network_is_compared_saved_and_read(module: nn.Module, space: InputSpace, tmp_path: Path) -> None:
    network = Network(module, space=space)
    inverters = {"newton": NewtonInverter(network), "broken": Broken(network)}
    comparison = run(
        network, inverters, parts(space.shape), samples=1, asked=network.evaluate(parts(space.shape)["inputs"])
    )
    comparison.save(tmp_path)
    assert_same(Comparison.load(tmp_path), comparison)


# Bad input


def mistakes() -> dict[str, dict[str, Any]]:
    network, other = classifier(), Network(nn.Linear(2, 1), space=InputSpace((2,)))
    good = NewtonInverter(network)
    return {
        "no inverters": {"inverters": {}},
        "a list of inverters": {"inverters": [good]},
        "an inverter that is none": {"inverters": {"newton": NewtonInverter}},
        "the name of a yardstick": {"inverters": {"real": good}},
        "another network": {"inverters": {"newton": good, "other": NewtonInverter(other)}},
        "two tolerances": {"inverters": {"a": good, "b": NewtonInverter(network, tolerance=1e-2)}},
        "inputs of another shape": {"inputs": torch.rand(5, 4)},
        "outputs in the place of inputs": {"inputs": torch.rand(5, 3)},
        "a seed that is none": {"seed": None},
        "a seed in words": {"seed": "0"},
        "half a sample": {"samples": 1.5},
        "names that are a number": {"names": 3},
        "inputs in words": {"inputs": [["a"]]},
        "no inputs": {"inputs": torch.rand(0, 1, 2, 2)},
        "inputs outside": {"inputs": torch.full((5, 1, 2, 2), 2.0)},
        "inputs that are NaN": {"inputs": torch.full((5, 1, 2, 2), NAN)},
        "inputs that are words": {"inputs": "digits"},
        "reference of another shape": {"reference": torch.rand(5, 1, 2, 3)},
        "training of another shape": {"training": torch.rand(5)},
        "one training input": {"training": torch.rand(1, 1, 2, 2)},
        "no samples": {"samples": 0},
        "a seed below zero": {"seed": -1},
        "typed targets of another shape": {"asked": [[0.5, 0.5]]},
        "typed targets of only NaN": {"asked": [[NAN, NAN, NAN]]},
        "too few names": {"names": ["a", "b"]},
        "names that are one word": {"names": "abc"},
        "columns of an image": {"columns": ["a", "b", "c", "d"]},
        "columns that are one word": {"columns": "abcd"},
        "columns that are a number": {"columns": 4},
        "a judge that is none": {"judge": 3},
    }


@pytest.mark.parametrize("mistake", list(mistakes()))
def test_a_mistake_gives_one_sentence(mistake: str) -> None:
    network = classifier()
    given = {"inverters": {"newton": NewtonInverter(network)}, **parts(), **mistakes()[mistake]}
    with pytest.raises(ArgumentError) as caught:
        compare(network, given.pop("inverters"), given.pop("inputs"), **given)
    assert_one_sentence(str(caught.value))


def test_inputs_of_the_wrong_shape_are_named_with_a_way_out_that_makes_sense() -> None:
    network, data = classifier(), parts()
    inverters = {"newton": NewtonInverter(network)}
    outputs = network.evaluate(data["inputs"])
    for name, values, words in (
        ("inputs", outputs, "the shape of the network's outputs; give inputs: outputs are targets"),
        ("reference", torch.rand(5, 4), r"x\.reshape\(-1, 1, 2, 2\)"),
        ("training", torch.rand(5, 7), "give inputs of this network, one a row"),
        ("inputs", torch.rand(1, 2, 2), r"x\[None\]"),
        ("inputs", torch.rand(0, 1, 2, 2), "give at least one"),
    ):
        with pytest.raises(ArgumentError, match=f"expected {name} of shape .*{words}"):
            run(network, inverters, {**data, name: values})


def test_what_a_call_lacks_is_named_with_a_call_that_is_right() -> None:
    network, data = classifier(), parts()
    inverters = {"newton": NewtonInverter(network)}
    with pytest.raises(ArgumentError, match="expected reference= and training= in a call of compare, got none; write"):
        compare(network, inverters, data["inputs"])  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match="did you mean 'training'"):
        compare(network, inverters, data["inputs"], reference=data["reference"], trainin=data["training"])  # type: ignore[call-arg]


def test_a_method_that_was_not_fitted_says_so_before_the_others_work() -> None:
    network = classifier()

    class Late(Broken):
        def _propose(self, problem: Problem) -> Proposal:
            raise AssertionError("it worked")

    with pytest.raises(NotFittedError):
        run(network, {"late": Late(network), "retrieval": RetrievalInverter(network)}, parts())


def test_a_network_whose_outputs_are_not_finite_is_refused() -> None:
    class Log(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x[:, :1] - 0.5).log()

    network = Network(Log(), space=InputSpace((2,), 0.0, 1.0))
    with pytest.raises(GenrevError) as caught:
        run(network, {"newton": NewtonInverter(network)}, parts((2,)))
    assert_one_sentence(str(caught.value))
