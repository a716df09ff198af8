"""What genrev invert makes of its answers: words with the shell's options, tables, pictures in which nothing is cut."""

from __future__ import annotations

import csv
import io
import math
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from genrev import Inversion, Network, load, save
from genrev.checkpoint import about
from genrev.cli import main
from genrev.cli.answers import advice, answer_lines, outcome_lines
from genrev.cli.asked import parse_class, unusual
from genrev.cli.formats import FORMATS, table
from genrev.cli.invert import _ENDINGS, Invert
from genrev.cli.options import options_of
from genrev.cli.panels import SIDE
from genrev.cli.sheet import sheet
from genrev.cli.typeface import cut, folded, font
from genrev.errors import ArgumentError
from genrev.inverter import Outcome
from genrev.inverters import INVERTERS, build
from genrev.report.values import number, probability
from genrev.space import InputSpace

WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.2, 0.4, -0.6]])
SPACE = InputSpace((3,), torch.tensor([0.0, -50.0, 100.0]), torch.tensor([1.0, 50.0, 900.0]))


@pytest.fixture(autouse=True)
def in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def answered(x: np.ndarray, **values) -> Inversion:
    """What a method would return, had it found x, ``(batch, samples, *input_shape)``."""
    batch, samples = x.shape[:2]
    y = torch.full((batch, samples, 2), 0.5)
    return Inversion(**{
        "x": torch.tensor(x), "y": y, "residual": torch.full((batch, samples), 0.25), "seed": 0, "stats": {},
        "outcome": torch.full((batch, samples), int(Outcome.CONVERGED)), "target": y[:, 0], "tolerance": 1e-3,
        **values,
    })  # fmt: skip


def ran(capsys, *argv: str) -> str:
    """Run a command that must succeed, and return what it printed."""
    status = main(argv)
    said = capsys.readouterr()
    assert status == 0, said.err
    return said.out


@pytest.fixture
def flowers(capsys):
    """A network in net.safetensors that learned from own.csv: lengths of about 40 are long, of about 5 short."""
    generator = np.random.default_rng(0)
    kinds = ["short", "long"] * 40
    rows = [(generator.normal(40 if kind == "long" else 5), generator.random(), kind) for kind in kinds]
    with open("own.csv", "w", newline="") as file:
        csv.writer(file).writerows([("length (cm)", "width, cm", "kind"), *rows])
    ran(capsys, "train", "classifier", "--data", "csv:own.csv", "--epochs", "3", "--out", "net.safetensors")
    return rows


# Names and units of one's own.


def test_the_columns_of_a_table_are_named_in_the_network_s_file_and_in_what_it_answers(flowers, capsys):
    assert about("net.safetensors")["columns"] == ["length (cm)", "width, cm"]
    said = ran(capsys, "invert", "net.safetensors", "--class", "long", "--confidence", "0.6", "--samples", "2")
    assert re.search(r"^input +sample 1 +sample 2$", said, flags=re.MULTILINE)
    lengths = [row[0] for row in flowers]
    (line,) = (line for line in said.splitlines() if line.startswith("length (cm) "))
    assert all(min(lengths) <= float(word) <= max(lengths) for word in line.split()[2:])


def test_a_table_holds_a_row_for_each_input_that_makes_its_outputs_again(flowers, capsys):
    np.save("targets.npy", np.array([[0.6, np.nan], [0.3, np.nan]]))
    ran(capsys, "invert", "net.safetensors", "--target", "targets.npy", "--samples", "3", "--out", "x.csv")
    with open("x.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["target"], row["sample"]) for row in rows] == [(t, s) for t in "12" for s in "123"]
    x = torch.tensor([[float(row["length (cm)"]), float(row["width, cm"])] for row in rows])
    y = torch.tensor([[float(row["output long"]), float(row["output short"])] for row in rows])
    # The network takes and gives single precision, and another batch rounds otherwise.
    torch.testing.assert_close(load("net.safetensors").evaluate(x.float()).double(), y, rtol=0, atol=1e-6)
    asked = torch.tensor([0.6] * 3 + [0.3] * 3)
    residual = torch.tensor([float(row["residual"]) for row in rows])
    torch.testing.assert_close(residual, (y[:, 0] - asked).abs(), rtol=0, atol=1e-6)
    assert all((row["outcome"] == "CONVERGED") == (float(row["residual"]) <= 1e-3) for row in rows)


def test_a_table_of_images_and_nameless_outputs_numbers_its_columns():
    rows = list(csv.reader(io.StringIO(table(answered(np.ones((1, 1, 1, 2, 2))), SPACE, None, None).decode())))
    assert rows[0] == ["target", "sample", "residual", "outcome", "output 0", "output 1", "x0", "x1", "x2", "x3"]
    assert rows[1] == ["1", "1", "0.25", "CONVERGED", "0.5", "0.5", "1.0", "1.0", "1.0", "1.0"]


def test_names_that_fit_another_network_are_not_taken(flowers, capsys):
    network = Network.from_weights([WEIGHTS], [np.zeros(2)], activation="softmax", space=SPACE)
    save(network, "other.safetensors", about=about("net.safetensors"))
    said = ran(capsys, "invert", "other.safetensors", "--class", "long")
    assert "x2" in said
    assert "length" not in said


def test_names_in_a_file_can_not_steer_the_terminal(capsys):
    network = Network.from_weights([WEIGHTS], [np.zeros(2)], activation="softmax", space=SPACE)
    names = {"classes": ["a\x1b[2J", "b\nc"], "columns": ["\x07", "new\nline", "\ud800"]}
    save(network, "net.safetensors", about=names)
    said = ran(capsys, "invert", "net.safetensors", "--class", "0", "--out", "x.png")
    assert not set(said) & {"\x1b", "\x07"}
    assert "b\\nc" in said


def test_inputs_of_many_values_are_not_printed():
    assert sum("x15" in line for line in answer_lines(answered(np.ones((1, 1, 16))), None, None)) == 1
    for shape in [(17,), (2, 2), (1, 2, 2)]:
        lines = list(answer_lines(answered(np.ones((1, 1, *shape))), None, None))
        assert not any(line.startswith("input") for line in lines)


def test_what_is_left_out_of_the_words_is_counted():
    lines = list(answer_lines(answered(np.ones((2, 20, 3))), None, None))
    assert "and the inputs of 8 more, which --out FILE.csv writes" in lines
    assert lines[-1] == "and 24 more of 40 inputs found, which --out FILE.csv writes"
    assert len(list(answer_lines(answered(np.ones((5000, 1, 3))), None, None))) < 200
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("outputs", [2, 4, 10, 1000])
@pytest.mark.parametrize("name", ["x", "versicolor", "a rather long name"])
@pytest.mark.parametrize("size", [1, 9, 16])
def test_eight_samples_are_printed_in_80_columns_each_value_once(outcome, outputs, name, size):
    generator = np.random.default_rng(0)
    x = generator.permutation(8 * size).reshape(1, 8, size) - 51234.0
    names, columns = ([f"{name}{place}" for place in range(count)] for count in (outputs, size))
    found = answered(
        x, y=torch.full((1, 8, outputs), -12345.6), target=torch.full((1, outputs), 0.5),
        outcome=torch.full((1, 8), int(outcome)), residual=torch.full((1, 8), 0.00023),
    )  # fmt: skip
    lines = list(answer_lines(found, names, columns))
    assert max(map(len, lines)) <= 80
    rows = [line.split()[-line.count(" -") :] for line in lines if line.startswith(name) and "sample" not in line]
    assert sorted(float(value) for row in rows for value in row) == sorted(x.flatten())
    assert [int(one) for line in lines for one in re.findall(r"sample (\d)", line)] == list(range(1, 9))
    assert sum(outcome.name in line for line in lines) == 8


@pytest.mark.parametrize("value", [0.0, 5.1, -12.345678, 1e-9, 123456.7, 1e12, -3e-4, math.inf, math.nan])
def test_a_number_of_usual_size_is_written_to_four_digits_and_any_other_briefly(value):
    text = number(value)
    assert len(text) <= 9
    assert float(text) == pytest.approx(
        value, rel=6e-2 if abs(value) > 1e6 or 0 < abs(value) < 1e-3 else 5e-4, nan_ok=True
    )


# What helps.


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("method", ["pinv", "cvae", "cvae+newton", "best of 8 cvae"])
def test_advice_names_options_of_the_shell_and_nothing_of_python(outcome, method):
    text = advice(outcome, method, stochastic=method != "pinv")
    assert set(re.findall(r"--[\w-]+", text)) <= {*options_of(Invert), "--low", "--high"}
    assert not re.search(r"\w\(|Refined|Inverter", text)
    for name in re.findall(r"--method ([\w+]*\w)", text):
        network = Network.from_weights([WEIGHTS], [np.zeros(2)], space=SPACE)
        assert build(name, network)


def test_each_outcome_is_explained_once_with_its_share():
    outcome = torch.tensor([[int(Outcome.CONVERGED), int(Outcome.MISSED)]])
    lines = list(outcome_lines(answered(np.ones((1, 2, 3)), outcome=outcome), "pinv", stochastic=False))
    assert [line.split(":")[0] for line in lines] == ["CONVERGED (1 of 2)", "MISSED (1 of 2)"]
    assert "pinv+newton" in lines[1]
    assert "--samples" not in lines[1]


def test_what_can_t_be_reached_is_said_with_the_output_s_name_and_bounds():
    proof = {"unreachable": 1, "reachable_low": 0.25, "reachable_high": 0.75}
    stats = {name: torch.tensor([[value]]) for name, value in proof.items()}
    found = answered(np.ones((1, 1, 3)), outcome=torch.tensor([[int(Outcome.UNREACHABLE)]]), stats=stats)
    found.target[0, 1] = 0.9999
    (said,) = outcome_lines(found, "newton", stochastic=True, names=["X", "O"])
    sentence = "Output O was asked to be 0.9999, and lies between 0.25 and 0.75 for every input of the space."
    assert " ".join(said.split()).endswith(sentence)


@pytest.mark.parametrize("outcome", Outcome)
def test_advice_is_written_in_80_columns_and_an_option_stays_with_its_value(outcome):
    found = answered(np.ones((1, 2, 3)), outcome=torch.tensor([[int(outcome), int(Outcome.CONVERGED)]]))
    said = "\n".join(outcome_lines(found, "cvae", stochastic=True))
    assert max(map(len, said.splitlines())) <= 80
    words = advice(outcome, "cvae", stochastic=True)
    assert words in " ".join(said.split())
    assert all(option in said for option in re.findall(r"--\w+ [\w+.=]+", words))


def test_a_method_that_repeats_its_answer_says_so_where_several_are_asked_for(flowers, capsys):
    line = ["invert", "net.safetensors", "--class", "long", "--data", "csv:own.csv", "--method", "retrieval"]
    remark = "retrieval draws nothing at random"
    assert remark in ran(capsys, *line, "--samples", "4")
    assert remark not in ran(capsys, *line)
    assert remark not in ran(capsys, *line, "--samples", "4", "--quiet")
    assert remark not in ran(capsys, *line[:-1], "retrieval+newton", "--samples", "4")
    assert remark not in ran(capsys, *line[:-1], "pinv", "--samples", "4")


@pytest.mark.parametrize("method", ["pinv", "cvae", "cvae+newton", "retrieval+gradient"])
def test_a_start_for_a_method_that_does_not_begin_there_is_refused_before_anything_is_fitted(
    method, flowers, capsys, monkeypatch
):
    np.save("start.npy", np.array([20.0, 0.5]))
    monkeypatch.setattr("genrev.cli.invert.fit_methods", lambda *args, **keywords: pytest.fail("the fitting began"))
    line = ["invert", "net.safetensors", "--class", "long", "--start", "start.npy", "--data", "csv:own.csv"]
    assert main([*line, "--method", method]) == 2
    said = capsys.readouterr().err
    local = [name for name, kind in INVERTERS.items() if kind.traits.uses_start]
    assert f"stays near --start ({' or '.join(local)}), got {method}" in said
    assert "Inverter" not in said


def test_a_class_that_is_not_there_is_not_taken_for_one_that_looks_like_it():
    network = Network.from_weights([np.ones((10, 3))], [np.zeros(10)], activation="softmax", space=SPACE)
    digits = [str(digit) for digit in range(10)]
    for word in ["12", "-1", "+3", "99"]:
        with pytest.raises(ArgumentError, match="choose one of them") as caught:
            parse_class(word, 0.9, network, digits)
        assert ", ".join(digits) in str(caught.value)
    with pytest.raises(ArgumentError, match="did you mean 'seven'"):
        parse_class("sevn", 0.9, network, [*digits[:9], "seven"])


# Pictures.


def shown(found: Inversion, space: InputSpace, **names) -> np.ndarray:
    with Image.open(io.BytesIO(sheet(found, space, names.get("names"), names.get("columns")))) as page:
        return np.asarray(page.convert("RGB")).astype(int)


@pytest.mark.parametrize(
    "shape", [(1,), (3,), (16,), (17,), (300,), (2, 2), (1, 8, 8), (3, 5, 9), (1, 400, 300), (4, 9, 9)]
)
@pytest.mark.parametrize(("batch", "samples"), [(1, 1), (3, 2), pytest.param(13, 14, marks=pytest.mark.slow)])
def test_nothing_stands_at_the_edge_of_the_page_and_no_room_is_wasted(shape, batch, samples):
    generator = np.random.default_rng(0)
    found = answered(generator.random((batch, samples, *shape)))
    page = shown(found, InputSpace(shape, 0.0, 1.0), names=["a class of a rather long name", "b" * 90])
    ink = np.argwhere((page < 255).any(2))
    margins = [*ink.min(0), *(np.array(page.shape[:2]) - 1 - ink.max(0))]
    assert min(margins) >= 6
    assert max(margins[0], margins[2]) <= 24


def test_an_image_is_shown_pixel_for_pixel():
    x = np.linspace(0, 1, 16).reshape(1, 1, 1, 4, 4)
    page = shown(answered(x), InputSpace((1, 4, 4), 0.0, 1.0))
    block = np.kron(np.rint(255 * x[0, 0, 0]), np.ones((SIDE // 4, SIDE // 4)))
    # At the left edge, below what was asked.
    column = int(np.flatnonzero((page < 255).any((0, 2)))[0])
    drawn = page[:, column : column + SIDE, 0]
    assert any(np.array_equal(drawn[row : row + SIDE], block) for row in range(len(page) - SIDE))


def bars(page: np.ndarray) -> np.ndarray:
    """How long the bar in each line of pixels is."""
    return (page == [0x2F, 0x68, 0xB4]).all(2).sum(1)


def test_each_named_value_has_a_bar_as_long_as_its_share_of_its_own_range():
    x = np.array([[[0.5, 0.0, 900.0]]])
    lengths = bars(shown(answered(x), SPACE))
    found = [int(length) for length, before in zip(lengths[1:], lengths, strict=False) if length and not before]
    # From 0; from 0 to 0, which is still seen; from the end nearest to 0 to the other.
    assert found == pytest.approx([SIDE / 2, 2, SIDE], abs=2)


def test_values_that_are_not_finite_have_no_bar_and_break_nothing():
    for shape in [(3,), (40,)]:
        x = np.full((1, 1, *shape), np.nan)
        assert bars(shown(answered(x), InputSpace(shape))).sum() == 0
    assert shown(answered(np.full((1, 1, 2, 2), np.inf)), InputSpace((2, 2))).size


def test_values_without_bounds_share_one_scale_with_zero_in_it():
    page = shown(answered(np.array([[[2.0, 4.0]]])), InputSpace((2,)))
    lengths = sorted(set(bars(page)) - {0})
    assert lengths == pytest.approx([SIDE / 2, SIDE], abs=2)


def test_a_text_is_folded_after_commas_and_loses_only_what_fits_nowhere():
    face = font(11)
    text = "setosa 0.9900, versicolor 0.0100, virginica 0.0000 ✓\nmet to 9.5e-7"
    assert "".join(folded(text, face, 150)).replace(",", ", ") == text.replace("\n", "")
    assert all(face.getlength(line) <= 150 for line in folded(text, face, 150))
    short = cut("a class of a name that is far too long 0.25 ✗", face, 100)
    assert face.getlength(short) <= 100
    assert short.startswith("a cl")
    assert short.endswith("0.25 ✗")


@pytest.mark.parametrize("sign", "✓✗…αжß")
def test_the_typeface_has_the_signs_that_are_written(sign):
    missing = font(11).getmask("\U0010fffd")
    assert bytes(font(11).getmask(sign)) != bytes(missing)


def test_a_picture_needs_no_matplotlib():
    code = "import sys, genrev.cli.sheet; genrev.cli.sheet.font(11); sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_ending_has_its_format():
    assert tuple(FORMATS) == _ENDINGS


# What was asked, beside what is usual


def test_a_class_asked_for_as_its_inputs_seldom_are_is_told() -> None:
    sure = torch.tensor([[0.9999, 0.0001]]).repeat(90, 1)
    unsure = torch.tensor([[0.3, 0.7]]).repeat(60, 1)
    seen = torch.cat([sure, unsure])
    for label, asked, told in ((0, 0.99, True), (0, 0.9999, False), (1, 0.7, False), (1, 0.99, True)):
        target = torch.full((1, 2), math.nan)
        target[0, label] = asked
        said = unusual(target, seen, ["X", "O"])
        assert bool(said) == told
        if told:
            assert f"takes for {'XO'[label]} get about" in said
            assert f"--confidence {'0.9999' if label == 0 else '0.7'} asks" in said


def test_one_output_tells_of_both_of_its_classes() -> None:
    seen = torch.cat([torch.full((50, 1), 0.999), torch.full((50, 1), 0.2)])
    assert "takes for no get about 0.8" in unusual(torch.tensor([[0.01]]), seen, ["no", "yes"])
    assert "takes for yes get about 0.999" in unusual(torch.tensor([[0.6]]), seen, ["no", "yes"])
    assert unusual(torch.tensor([[0.2]]), seen, ["no", "yes"]) == ""


def test_nothing_is_said_of_what_was_seen_too_seldom_or_not_at_all() -> None:
    target = torch.tensor([[0.5, math.nan]])
    assert unusual(target, None, None) == ""
    assert unusual(target, torch.tensor([[0.9, 0.1]]).repeat(5, 1), None) == ""


@pytest.mark.parametrize("value", [0.99, 0.9995, 0.99999, 0.9999998, 1e-5, 0.5])
def test_a_probability_that_is_neither_0_nor_1_never_reads_as_one(value: float) -> None:
    assert 0 < float(probability(value)) < 1
    found = answered(np.zeros((1, 1, 20)), target=torch.tensor([[value, math.nan]], dtype=torch.float64))
    asked = next(answer_lines(found, None, None)).removeprefix("asked for ")
    assert 0 < float(asked.split()[1].rstrip(",")) < 1
