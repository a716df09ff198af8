"""Tests of what a comparison keeps for its report, and of making the report again from what was saved."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentences import assert_one_sentence
from test_comparison import NAN, assert_same, classifier, example, judge, parts, row_of, run
from torch import nn

from genrev.cli.report import Report
from genrev.comparison import Comparison
from genrev.comparison.plain import plain
from genrev.errors import ArgumentError, FileError
from genrev.inverter import Outcome
from genrev.inverters.cvae import CVAEInverter
from genrev.inverters.newton import NewtonInverter
from genrev.inverters.retrieval import RetrievalInverter
from genrev.inverters.wrappers import BestOf, Refined
from genrev.network import Network
from genrev.report import shown
from genrev.space import InputSpace
from genrev.tensor_files import read_tensors, write_tensors

PAGES = ["report.html", "report.md", "figures.csv"]


def learned() -> Comparison:
    network, data = classifier(), parts()
    cvae = CVAEInverter(network, steps=6).fit(data["training"])
    inverters = {
        "cvae": cvae,
        "cvae+newton": Refined(cvae, NewtonInverter(network)).fit(data["training"]),
        "best": BestOf(cvae, 2).fit(data["training"]),
        "newton": NewtonInverter(network),
    }
    return run(network, inverters, data, samples=2, judge=judge, command="genrev compare --data mine")


# What is measured


@pytest.mark.parametrize("name", ["real", "noise", "newton", "retrieval", "broken"])
def test_both_counts_samples_that_are_met_and_seen_right_at_once(name: str) -> None:
    comparison = example()
    answer, wanted = comparison.answers[name], comparison.targets.argmax(1)
    both = (answer.outcome == Outcome.CONVERGED) & (answer.judged == wanted[:, None])
    assert row_of(comparison, name).both == pytest.approx(float(both.double().mean()))


def test_without_a_judge_both_is_null() -> None:
    network = classifier()
    assert {row.both for row in run(network, {"newton": NewtonInverter(network)}, parts(), samples=1).rows} == {None}


@pytest.mark.parametrize("name", ["real", "noise", "newton", "retrieval", "broken"])
def test_each_first_answer_has_its_nearest_training_input(name: str) -> None:
    comparison, training = example(), parts()["training"].flatten(1).numpy()
    answer = comparison.answers[name]
    assert answer.nearest is not None
    assert answer.nearest.shape == answer.distance.shape == (12, 1)
    for place, x in enumerate(answer.x[:, 0].flatten(1).numpy()):
        distances = np.linalg.norm(training - x, axis=1)
        if np.isfinite(distances).all():
            assert int(answer.nearest[place]) == distances.argmin()
            assert float(answer.distance[place]) == pytest.approx(distances.min())
        else:
            assert int(answer.nearest[place]) == -1
            assert float(answer.distance[place]) == np.inf


def test_every_answer_to_a_typed_target_has_its_nearest_training_input() -> None:
    for answer in example().asked_answers.values():
        assert answer.nearest.shape == answer.residual.shape


def test_the_training_inputs_beside_pictures_are_kept_and_no_others() -> None:
    comparison = example()
    needed = set()
    for answers, pictures in zip(
        (comparison.answers, comparison.asked_answers),
        (shown(plain(comparison))[key] for key in ("held_out", "asked")),
        strict=True,
    ):
        needed |= {int(answers[name].nearest[place]) for name, places in pictures.items() for place in places}
    assert comparison.training_rows.tolist() == sorted(needed - {-1})
    assert torch.equal(comparison.training_inputs, parts()["training"][comparison.training_rows])


def test_held_out_inputs_among_the_training_inputs_are_counted_and_told() -> None:
    network, data = classifier(), parts()
    data["inputs"] = torch.cat([data["inputs"], data["training"][:3]])
    comparison = run(network, {"newton": NewtonInverter(network)}, data, samples=1)
    assert comparison.about["copies"] == 3
    assert "3 of 15 held-out inputs also stand among the training inputs" in comparison.html()
    assert example().about["copies"] == 0
    assert "also stand" not in example().html()


def test_the_courses_of_training_are_kept_those_of_parts_too() -> None:
    comparison = learned()
    (own,) = comparison.histories["cvae"]
    assert own["of"] == "CVAEInverter"
    assert len(own["training"]) > own["best"] >= 0
    assert comparison.histories["cvae+newton"] == comparison.histories["best"] == [own]
    assert comparison.histories["newton"] == []


def test_the_summaries_are_those_of_the_methods() -> None:
    assert example().summaries["retrieval"] == RetrievalInverter.traits.summary


def test_the_command_is_kept_and_shown() -> None:
    comparison = learned()
    assert comparison.about["command"] == "genrev compare --data mine"
    for text in (comparison.html(), comparison.markdown()):
        assert "genrev compare --data mine" in text
    assert example().about["command"] is None


@pytest.mark.parametrize("command", [3, ["genrev"], b"genrev"])
def test_a_command_that_is_no_text_is_refused(command: Any) -> None:
    network = classifier()
    with pytest.raises(ArgumentError, match="expected the command as a string") as caught:
        run(network, {"newton": NewtonInverter(network)}, parts(), command=command)
    assert_one_sentence(str(caught.value))


def test_what_returns_training_inputs_is_marked_and_stands_last_everywhere_whatever_its_name() -> None:
    network, data = classifier(), parts()
    inverters = {"mine": RetrievalInverter(network).fit(data["training"]), "newton": NewtonInverter(network)}
    comparison = run(network, inverters, data, samples=1)
    assert "| `mine` (copies) |" in comparison.markdown()
    assert "<code>mine</code> only copies training inputs." in comparison.html()
    assert comparison.table().splitlines()[-1].split()[::14] == ["mine", "copies"]
    last = comparison.csv().splitlines()[-1]
    assert last.startswith("mine,")
    assert last.endswith(",copies")


# What is saved and made again


@pytest.mark.parametrize("comparison", [example, learned], ids=["with typed targets", "with courses of training"])
def test_rendering_what_was_read_gives_the_same_bytes(comparison: Any, tmp_path: Path) -> None:
    found = comparison()
    found.save(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in PAGES}
    again = Comparison.load(tmp_path)
    assert_same(again, found)
    assert (again.html(), again.markdown(), again.csv()) == tuple(before[name].decode() for name in PAGES)


def test_the_report_is_made_again_and_nothing_else_is_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example().save(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    for name in PAGES:
        (tmp_path / name).unlink()
    (tmp_path / "comparison.json").write_text("mine")
    Report(folder=str(tmp_path)).run()
    assert (tmp_path / "comparison.json").read_text() == "mine"
    assert {name: (tmp_path / name).read_bytes() for name in PAGES} == {name: before[name] for name in PAGES}
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == [
        str(tmp_path / name) for name in PAGES
    ]


def test_a_folder_that_holds_no_comparison_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    for place in ("nothing", "file", "empty", "file/below", "nul\0"):
        with pytest.raises(FileError) as caught:
            Report(folder=str(tmp_path / place)).run()
        assert_one_sentence(str(caught.value))
    assert sorted(os.listdir(tmp_path)) == ["empty", "file"]
    assert os.listdir(tmp_path / "empty") == []


@pytest.mark.parametrize(
    ("version", "words"), [(None, "earlier genrev"), (1, "earlier genrev"), (3, "update"), ("x", "earlier genrev")]
)
def test_a_comparison_of_another_format_is_an_error(version: Any, words: str, tmp_path: Path) -> None:
    example().save(tmp_path)
    path = tmp_path / "samples.safetensors"
    tensors, header = read_tensors(path)
    header["format"] = version
    if version is None:
        del header["format"]
    write_tensors(path, tensors, header)
    for use in (Comparison.load, lambda folder: Report(folder=str(folder)).run()):
        with pytest.raises(FileError, match=words) as caught:
            use(tmp_path)
        assert_one_sentence(str(caught.value))


def spoilt() -> dict[str, Any]:
    def header(key: str, value: Any) -> Any:
        return lambda tensors, header: header.__setitem__(key, value)

    def tensor(name: str, value: Any) -> Any:
        return lambda tensors, header: tensors.__setitem__(name, value(tensors[name]))

    return {
        "an outcome that is none": tensor("answers/newton/outcome", lambda values: values + 40),
        "an answer of another shape": tensor("answers/newton/x", lambda values: values[..., :1]),
        "residuals of another shape": tensor("answers/newton/residual", lambda values: values[:3]),
        "outputs of another shape": tensor("answers/newton/y", lambda values: values[..., :1]),
        "neighbours without inputs": tensor("training_inputs", lambda values: values[:0]),
        "a range of another shape": tensor("low", lambda values: values.flatten()),
        "fewer targets": tensor("targets", lambda values: values[:5]),
        "outcomes that are floats": tensor("answers/newton/outcome", lambda values: values.double() + 0.5),
        "notes that are a list": header("notes", []),
        "names that are a number": header("names", 3),
        "columns that are a number": header("columns", 3),
        "columns of an image": header("columns", ["a", "b", "c", "d"]),
        "about without bounds": header("about", {"outputs": "softmax"}),
        "rows that are words": header("rows", ["real"]),
        "a row with a word for a figure": lambda _, header: header["rows"][0].__setitem__("converged", "all"),
        "no answers": header("answers", []),
        "histories in words": header("histories", {"newton": "long"}),
        "a history without losses": header("histories", {"newton": [{"of": "x"}]}),
        "notes of nobody": header("notes", {"nobody": "So."}),
        "tolerance below zero": tensor("tolerance", lambda values: -values),
    }


@pytest.mark.parametrize("kind", list(spoilt()))
def test_a_comparison_with_parts_that_do_not_fit_is_an_error(kind: str, tmp_path: Path) -> None:
    example().save(tmp_path)
    path = tmp_path / "samples.safetensors"
    tensors, header = read_tensors(path)
    spoilt()[kind](tensors, header)
    write_tensors(path, tensors, header)
    before = (tmp_path / "report.html").read_bytes()
    with pytest.raises(FileError) as caught:
        Report(folder=str(tmp_path)).run()
    assert_one_sentence(str(caught.value))
    assert (tmp_path / "report.html").read_bytes() == before


def test_names_that_no_encoding_holds_are_written_with_a_mark_in_their_place(tmp_path: Path) -> None:
    network = classifier()
    found = run(network, {"newton": NewtonInverter(network)}, parts(), samples=1, names=["a\udcff", "b", "c"])
    found.save(tmp_path)
    assert Comparison.load(tmp_path).names == found.names
    (tmp_path / "report.html").read_text(encoding="utf-8")


def test_columns_are_saved_and_a_comparison_saved_before_there_were_any_has_none(tmp_path: Path) -> None:
    network = Network(nn.Linear(3, 1), space=InputSpace((3,)))
    columns = ["rooms", "age", "floor"]
    found = run(network, {"newton": NewtonInverter(network)}, parts((3,)), samples=1, columns=columns)
    found.save(tmp_path)
    assert Comparison.load(tmp_path).columns == columns
    assert "rooms" in (tmp_path / "report.html").read_text(encoding="utf-8")
    path = tmp_path / "samples.safetensors"
    tensors, header = read_tensors(path)
    del header["columns"]
    write_tensors(path, tensors, header)
    assert Comparison.load(tmp_path).columns is None
    assert run(network, {"newton": NewtonInverter(network)}, parts((3,)), samples=1, columns=()).columns is None


# All kinds of networks


@pytest.mark.parametrize(
    ("module", "space", "asked"),
    [
        (nn.Sequential(nn.Linear(3, 2), nn.Tanh()), InputSpace((3,)), [0.1, NAN]),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(1, 1)),
            InputSpace((1, 1, 1), torch.zeros(1, 1, 1), torch.ones(1, 1, 1)),
            [0.1],
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(300, 2), nn.Softmax(-1)), InputSpace((300,), 0.0, 1.0), [0.5, 0.5]),
        (nn.Conv1d(2, 1, 1), InputSpace((2, 3), 0.0, 1.0), None),
    ],
    ids=["regression", "one pixel", "a long vector", "outputs of two axes"],
)
@pytest.mark.parametrize("count", [1, 12])
def test_any_network_has_a_report(module: nn.Module, space: InputSpace, asked: Any, count: int, tmp_path: Path) -> None:
    network, data = Network(module, space=space), parts(space.shape)
    data["inputs"] = data["inputs"][:count]
    inverters = {"newton": NewtonInverter(network), "retrieval": RetrievalInverter(network).fit(data["training"])}
    found = run(network, inverters, data, samples=2, asked=None if asked is None else [asked])
    found.save(tmp_path)
    assert_same(Comparison.load(tmp_path), found)
    assert dataclasses.asdict(found.rows[0])["both"] is None
    for name in PAGES:
        assert (tmp_path / name).read_text(encoding="utf-8")
