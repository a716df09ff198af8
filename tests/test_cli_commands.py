"""The commands that make and ask networks: train, import, invert, compare with files, inspect, report, completion."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genrev import Comparison, InputSpace, Network, NewtonInverter, Refined, build, load, save
from genrev.checkpoint import about
from genrev.cli import COMMANDS, main
from genrev.cli.options import command_line, options_of, settings
from genrev.cli.train_classifier import TrainClassifier, is_chance
from genrev.data import Dataset, load_splits
from genrev.errors import ArgumentError
from genrev.inverters import INVERTERS


@pytest.fixture(autouse=True)
def in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def ran(capsys, *argv: str) -> str:
    """Run a command that must succeed, and return what it printed."""
    status = main(argv)
    said = capsys.readouterr()
    assert status == 0, said.err
    return said.out


def refused(capsys, *argv: str) -> str:
    """Run a command that must be refused, and return what it said."""
    before = sorted(os.listdir())
    assert main(argv) == 2
    said = capsys.readouterr()
    assert said.err.startswith("genrev: expected ")
    assert said.err.count("\n") == 1
    assert sorted(os.listdir()) == before
    return said.err


def boxes(count: int = 240) -> None:
    """Write own.npz: pictures of 4 by 4 pixels, bright on the left (a) or on the right (b)."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 2
    x = 0.3 * generator.random((count, 4, 4))
    for row, label in enumerate(labels):
        x[row, :, 2 * label : 2 * label + 2] += 0.6 * generator.random()
    np.savez("own.npz", x=x, y=np.array(["a", "b"])[labels])


@pytest.fixture
def network() -> Network:
    """A 16-6-2 sigmoid network in net.safetensors that reads own.npz, with the names of its classes."""
    boxes()
    sides = torch.tensor([[1.0, 1, 0, 0] * 4, [0, 0, 1.0, 1] * 4]).double()
    weights = [torch.cat([sides - sides.flip(0)] * 3).numpy(), np.array([[2.0, -2] * 3, [-2, 2] * 3])]
    space = InputSpace((1, 4, 4), 0.0, 1.0)
    made = Network.from_weights(weights, [np.zeros(6), np.zeros(2)], activation="sigmoid", space=space)
    save(made, "net.safetensors", about={"classes": ["a", "b"]})
    return made


# Training.


def test_a_classifier_is_trained_on_one_s_own_data_and_saved_with_how_it_was_made(capsys):
    boxes()
    line = ["train", "classifier", "--data", "npz:own.npz", "--layers", "16", "6", "2", "--activation", "sigmoid"]
    said = ran(capsys, *line, "--epochs", "60", "--out", "net.safetensors")
    assert float(said.split("reads ")[1].split("%")[0]) > 90
    found = load("net.safetensors")
    assert found.module.widths == [16, 6, 2]
    assert found.outputs == "sigmoid"
    assert len(found.history.training) == 60
    assert about("net.safetensors")["classes"] == ["a", "b"]
    assert shlex.split(about("net.safetensors")["command"])[:3] == ["genrev", "train", "classifier"]
    assert sorted(os.listdir()) == ["net.safetensors", "own.npz"]


def test_the_command_in_a_file_makes_the_same_network_again(capsys):
    boxes()
    ran(capsys, "train", "classifier", "--data", "npz:own.npz", "--epochs", "2", "--out", "net.safetensors")
    first = load("net.safetensors").fingerprint()
    command = shlex.split(about("net.safetensors")["command"])
    os.remove("net.safetensors")
    ran(capsys, *command[1:])
    assert load("net.safetensors").fingerprint() == first


def test_a_convolutional_classifier_is_trained_on_images(capsys):
    boxes()
    ran(
        capsys,
        "train",
        "classifier",
        "--data",
        "npz:own.npz",
        "--arch",
        "conv",
        "--epochs",
        "1",
        "--out",
        "c.safetensors",
    )
    assert type(load("c.safetensors").module).__name__ == "ConvNet"


def test_a_few_layers_of_one_s_own_end_in_a_softmax_unless_told_otherwise(capsys):
    boxes()
    options = ["--data", "npz:own.npz", "--layers", "16", "5", "4", "2", "--epochs", "1"]
    ran(capsys, "train", "classifier", *options, "--out", "net.safetensors")
    assert load("net.safetensors").module.activation == ["relu", "relu", "softmax"]


def test_every_method_that_learns_is_trained_and_saved(network, capsys):
    for method, kind in INVERTERS.items():
        if kind.traits.learns:
            short = {"retrieval": [], "rbm": ["--set", "steps=2"], "dbn": ["--set", "steps=2"]}
            steps = short.get(method, ["--set", "steps=3"])
            line = ["train", method, "--network", "net.safetensors", "--data", "npz:own.npz", *steps]
            assert "median residual" in ran(capsys, *line, "--out", f"{method}.safetensors")
            found = load(f"{method}.safetensors")
            assert type(found) is kind
            assert found.fitted
            assert about(f"{method}.safetensors")["data"] == "npz:own.npz"


def test_what_is_trained_says_where_every_example_goes(network, capsys):
    parts = load_splits("npz:own.npz")
    counts = [len(part) for part in (parts.train, parts.judge, parts.targets, parts.reference)]
    assert sum(counts) == 240
    said = ran(capsys, "train", "retrieval", "--network", "net.safetensors", "--data", "npz:own.npz", "--out", "r.s")
    assert "240 examples in npz:own.npz: {} to learn from, {} for the judge".format(*counts) in said
    assert f"{counts[2] + counts[3]} held out ({counts[2]} to ask for, {counts[3]} to compare with)" in said


def test_a_network_that_learned_nothing_is_said_to_be_no_better_than_a_guess(capsys):
    boxes()
    line = ["train", "classifier", "--data", "npz:own.npz", "--epochs", "5", "--out", "net.safetensors"]
    assert "no better than one class named each time" in ran(capsys, *line, "--rate", "1e-9")
    os.remove("net.safetensors")
    assert "no better" not in ran(capsys, *line)


@pytest.mark.parametrize(("share", "guessed"), [(0.5, True), (0.59, True), (0.61, False), (0.1, True), (1.0, False)])
def test_chance_is_the_share_of_the_commonest_class_and_two_standard_errors(share, guessed):
    # Of 100 fair guesses 50 are right, give or take 5.
    data = Dataset(torch.zeros(100, 1, dtype=torch.float32), torch.arange(100) % 2, ("a", "b"))
    assert is_chance(share, data) is guessed
    alone = Dataset(torch.zeros(9, 1, dtype=torch.float32), torch.zeros(9).long(), ("a", "b"))
    assert is_chance(1.0, alone)


def test_help_names_every_method_that_can_be_trained_and_how_to_train_a_network(capsys):
    said = ran(capsys, "train", "--help")
    assert all(name in said for name, kind in INVERTERS.items() if kind.traits.learns)
    assert "genrev train classifier" in said
    assert "train METHOD" in ran(capsys, "--help")


def test_a_word_that_is_nearly_classifier_is_taken_for_no_method(capsys):
    assert "got 'clasifier'; did you mean 'classifier'?" in refused(capsys, "train", "clasifier", "--data", "xo")


def test_what_is_missing_is_named(capsys):
    said = refused(capsys, "train", "--out", "x.safetensors")
    assert "expected METHOD, --network FILE, --data DATA, got none; see genrev train --help" in said


def test_a_method_that_does_not_learn_is_not_trained(network, capsys):
    line = ["train", "newton", "--network", "net.safetensors", "--data", "npz:own.npz", "--out", "n.safetensors"]
    assert "expected a method that learns (retrieval, decoder, cvae, rbm, dbn)" in refused(capsys, *line)


def test_quiet_leaves_the_results_alone_and_the_log_gets_what_the_bars_show(network, capsys):
    line = ["train", "decoder", "--network", "net.safetensors", "--data", "npz:own.npz", "--set", "steps=4"]
    said = ran(capsys, *line, "--out", "d.safetensors", "--quiet", "--log", "log.jsonl")
    assert len(said.splitlines()) == 2
    lines = [json.loads(row) for row in Path("log.jsonl").read_text().splitlines()]
    assert lines[0]["label"] == "decoder"
    assert [row["step"] for row in lines] == list(range(1, len(lines) + 1))


def test_a_training_that_was_stopped_goes_on_with_the_same_command_and_no_other(network, capsys, monkeypatch):
    line = ["train", "decoder", "--network", "net.safetensors", "--data", "npz:own.npz", "--set", "steps=40"]
    ran(capsys, *line, "--out", "whole.safetensors")

    def stop(*args, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("genrev.checkpoint.save", stop)
        # So short a training would be over before its state is first kept.
        patched.setattr("genrev.resume._State.due", lambda self: True)
        assert main([*line, "--out", "d.safetensors"]) == 130
    assert "stopped; the same command goes on from d.safetensors.state" in capsys.readouterr().out
    assert Path("d.safetensors.state").exists()
    assert not Path("d.safetensors").exists()
    assert "expected" in refused(capsys, *line, "--out", "d.safetensors", "--seed", "1")
    # 120 inputs to learn from are two batches of at most 64, and 40 steps 20 epochs.
    said = ran(capsys, *line, "--out", "d.safetensors")
    assert "going on from d.safetensors.state, where all is learned" in said
    assert not Path("d.safetensors.state").exists()
    one, two = load("whole.safetensors"), load("d.safetensors")
    target = network.evaluate(torch.rand(4, 1, 4, 4, dtype=torch.float64))
    assert torch.equal(one.reconstruct(target, seed=0).x, two.reconstruct(target, seed=0).x)


# Import.


def test_one_s_own_arrays_become_the_network_that_they_are(capsys):
    generator = np.random.default_rng(0)
    arrays = {"W1": generator.normal(size=(3, 6)), "b1": generator.normal(size=3), "W2": generator.normal(size=(2, 3)),
              "b2": generator.normal(size=2)}  # fmt: skip
    np.savez("weights.npz", **arrays)
    ran(capsys, "import", "weights.npz", "--activation", "tanh", "sigmoid", "--shape", "1", "2", "3", "--out", "n.s")
    network, x = load("n.s"), generator.random((5, 6))
    hidden = np.tanh(x @ arrays["W1"].T + arrays["b1"])
    expected = 1 / (1 + np.exp(-(hidden @ arrays["W2"].T + arrays["b2"])))
    assert network.space.shape == (1, 2, 3)
    np.testing.assert_allclose(network.evaluate(torch.from_numpy(x.reshape(5, 1, 2, 3))).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"W1": np.ones((2, 3))}, "b1"),
        ({"W1": np.ones((2, 3)), "b1": np.ones(3)}, "expected"),
        ({"W1": np.ones((3, 2)), "b1": np.ones(2)}, "transpose"),
        ({"W1": np.full((2, 3), np.nan), "b1": np.ones(2)}, "finite"),
        ({"weights": np.ones((2, 3))}, "W1"),
    ],
)
def test_arrays_that_are_no_network_are_refused(arrays, words, capsys):
    np.savez("weights.npz", **arrays)
    assert words in refused(capsys, "import", "weights.npz", "--out", "n.safetensors")


def test_a_shape_of_another_size_is_refused(capsys):
    np.savez("weights.npz", W1=np.ones((2, 6)), b1=np.ones(2))
    said = refused(capsys, "import", "weights.npz", "--shape", "2", "2", "--out", "n.safetensors")
    assert "expected a shape of 6 values, the columns of W1, got (2, 2) with 4" in said


# Invert.


def test_invert_says_what_was_asked_and_reached_and_gives_what_python_gives(network, capsys):
    said = ran(capsys, "invert", "net.safetensors", "--target", "0.9", "any", "--samples", "3", "--out", "x.npz")
    assert "asked for a 0.900, b any" in said
    assert said.count("CONVERGED") == 4
    with np.load("x.npz", allow_pickle=False) as arrays:
        found = NewtonInverter(network).reconstruct([0.9, float("nan")], samples=3, seed=0)
        np.testing.assert_array_equal(arrays["x"], found.x.numpy())
        np.testing.assert_array_equal(arrays["residual"], found.residual.numpy())
        assert set(arrays) == {"x", "y", "target", "residual", "outcome"}


def test_a_fitted_inverter_is_refined_by_newton_without_the_data(network, capsys):
    x = load_splits("npz:own.npz").train.inputs
    whole = build("decoder+newton", network).fit(x.double(), seed=0)
    save(whole.first, "decoder.safetensors")
    line = [
        "invert",
        "net.safetensors",
        "--inverter",
        "decoder.safetensors",
        "--target",
        "0.8",
        "0.2",
        "--out",
        "x.npz",
    ]
    ran(capsys, *line)
    with np.load("x.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"], whole.reconstruct([0.8, 0.2], seed=0).x.numpy())


def test_a_refined_inverter_in_one_file_is_used_as_it_is(network, capsys):
    x = load_splits("npz:own.npz").train.inputs.double()
    save(Refined(build("retrieval", network), NewtonInverter(network)).fit(x), "both.safetensors")
    said = ran(capsys, "invert", "net.safetensors", "--inverter", "both.safetensors", "--class", "b")
    assert "b 0.99" in said


def test_a_class_by_name_or_number_asks_for_its_probability_alone(network, capsys):
    by_name = ran(capsys, "invert", "net.safetensors", "--class", "b", "--confidence", "0.7")
    assert by_name == ran(capsys, "invert", "net.safetensors", "--class", "1", "--confidence", "0.7")
    assert "asked for a any, b 0.700" in by_name


def test_known_values_stay_and_a_start_is_kept_near(network, capsys):
    known, start = np.full((1, 4, 4), np.nan), np.full((1, 4, 4), 0.5)
    known[0, 0] = 0.25
    np.save("known.npy", known)
    np.save("start.npy", start)
    line = ["--known", "known.npy", "--start", "start.npy", "--target", "0.6", "0.4", "--out", "x.npz"]
    ran(capsys, "invert", "net.safetensors", *line)
    with np.load("x.npz") as arrays:
        x = arrays["x"][0, 0, 0]
    assert (x[0] == 0.25).all()
    assert np.abs(x[1:] - 0.5).max() < 0.5


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (1, 1, 1, 4, 4)])
@pytest.mark.parametrize("targets", [1, 3])
def test_an_input_in_a_file_may_have_other_leading_dimensions_of_one_than_the_network_takes(
    shape, targets, network, capsys
):
    known = np.full((4, 4), np.nan)
    known[1] = 0.25
    np.save("known.npy", known.reshape(shape))
    np.save("start.npy", np.full(shape, 0.5))
    np.save("targets.npy", np.array([[0.6, 0.4]] * targets))
    line = ["invert", "net.safetensors", "--target", "targets.npy", "--out", "x.npz"]
    ran(capsys, *line, "--known", "known.npy", "--start", "start.npy")
    with np.load("x.npz") as arrays:
        assert arrays["x"].shape == (targets, 1, 1, 4, 4)
        assert (arrays["x"][:, :, 0, 1] == 0.25).all()


@pytest.mark.parametrize("shape", [(16,), (4, 4, 1), (2, 4, 4), (4, 2, 2)])
def test_an_input_in_a_file_of_another_shape_is_refused(shape, network, capsys):
    np.save("start.npy", np.full(shape, 0.5))
    said = refused(capsys, "invert", "net.safetensors", "--target", "0.6", "0.4", "--start", "start.npy")
    assert f"expected start of shape (1, 1, 4, 4) or (1, 4, 4), got {shape}" in said


def test_targets_come_from_a_file_too(network, capsys):
    np.save("targets.npy", np.array([[0.6, 0.4], [0.2, 0.8]]))
    said = ran(capsys, "invert", "net.safetensors", "--target", "targets.npy")
    assert said.count("asked for") == 2


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 4, 4), (4, 4), (16,)])
def test_the_picture_shows_every_sample_whatever_the_input(shape, capsys):
    size = int(np.prod(shape))
    network = Network.from_weights([np.ones((2, size)) / size], [np.zeros(2)], space=InputSpace(shape, 0.0, 1.0))
    save(network, "net.safetensors")
    ran(capsys, "invert", "net.safetensors", "--target", "0.6", "0.6", "--samples", "2", "--out", "x.png")
    with Image.open("x.png") as picture:
        assert picture.width > 2 * 160
        assert len(picture.convert("L").getcolors()) > 4


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "got neither"),
        (["--target", "1", "0", "--class", "a"], "got both"),
        (["--target", "0.5"], "expected 2 values for --target"),
        (["--target", "0.5", "inf"], "got 'inf'"),
        (["--target", "1.5", "0"], "expected probabilities in [0, 1], got 1.5; ask for some in between"),
        (["--target", "any", "any"], "at least one output, got any for each"),
        (["--target", "none.npy"], "none.npy"),
        (["--class", "c"], "expected a class of the network (a, b), got 'c'"),
        (["--class", "2"], "expected a class of the network (a, b), got '2'; choose one of them"),
        (["--class", "-1"], "got '-1'"),
        (["--class", "a", "--confidence", "1.2"], "--confidence from 0 to 1"),
        (["--class", "a", "--samples", "0"], "samples"),
        (["--class", "a", "--out", "x.jpg"], "to end in .png or .npz or .csv"),
        (["--class", "a", "--out", "no/x.png"], "got no folder"),
        (["--class", "a", "--method", "cvae"], "expected a fitted cvae, got none; give its file with --inverter"),
        (["--class", "a", "--method", "nwton"], "did you mean 'newton'?"),
        (["--class", "a", "--known", "none.npy"], "none.npy"),
        (["--class", "a", "--set", "steps"], "NAME=VALUE"),
        (["--class", "a", "--set", "newton.stepz=3"], "did you mean 'steps'?"),
        (["--class", "a", "--set", "cvae.steps=3"], "expected settings of newton, got 'cvae.steps'"),
        (["--class", "a", "--tolerance", "-1"], "tolerance"),
        (["--class", "a", "--inverter", "net.safetensors"], "expected the file of a trained method"),
        (["--class", "a", "--seed", "-1"], "--seed"),
        (["--class", "a", "--data", "npz:own.npz", "--split", "-1"], "--split"),
        (["--class", "a", "--data", "digits"], "expected a network for digits"),
    ],
)  # fmt: skip
def test_what_can_not_be_asked_is_said_in_a_sentence_and_nothing_is_left(argv, words, network, capsys):
    assert words in refused(capsys, "invert", "net.safetensors", *argv)


def test_what_is_said_of_a_typed_target_says_any_and_of_one_in_a_file_nan(network, capsys):
    save(Network.from_weights([np.eye(2)], [np.zeros(2)], activation="softmax"), "softmax.safetensors")
    line = ["invert", "softmax.safetensors", "--target"]
    assert "got 0.7; scale them, or write any in the place of some" in refused(capsys, *line, "0.5", "0.2")
    np.save("target.npy", np.array([0.5, 0.2]))
    assert "got 0.7; scale them, or leave some free with NaN" in refused(capsys, *line, "target.npy")
    np.save("target.npy", np.full(2, np.nan))
    assert "got a row of only NaN" in refused(capsys, *line, "target.npy")


def test_an_inverter_of_another_network_is_refused(network, capsys):
    other = Network.from_weights([np.ones((2, 16))], [np.zeros(2)], space=InputSpace((1, 4, 4), 0.0, 1.0))
    save(build("retrieval", other).fit(torch.rand(9, 1, 4, 4, dtype=torch.float64)), "r.safetensors")
    said = refused(capsys, "invert", "net.safetensors", "--class", "a", "--inverter", "r.safetensors")
    assert "another fingerprint" in said


def test_logits_have_no_confidence(capsys):
    save(Network.from_weights([np.ones((2, 3))], [np.zeros(2)], activation="identity"), "net.safetensors")
    assert "expected a network of probabilities" in refused(capsys, "invert", "net.safetensors", "--class", "0")


# Compare, report, inspect.


def test_another_cut_of_the_data_than_the_network_s_is_refused(capsys):
    boxes()
    ran(capsys, "train", "classifier", "--data", "npz:own.npz", "--epochs", "1", "--split", "3", "--out", "net.s")
    for line in (["compare", "net.s"], ["train", "decoder", "--network", "net.s", "--out", "d.s"]):
        assert "expected --split 3, the cut of npz:own.npz that net.s was" in refused(
            capsys, *line, "--data", "npz:own.npz"
        )


def test_saved_inverters_are_compared_without_fitting_them_again(network, capsys):
    options = ["--network", "net.safetensors", "--data", "npz:own.npz"]
    ran(capsys, "train", "decoder", *options, "--set", "steps=3", "--out", "d.safetensors")
    line = ["compare", "net.safetensors", "--data", "npz:own.npz", "--inverter", "d.safetensors", "--targets", "6"]
    said = ran(capsys, *line, "--methods", "newton,decoder,decoder+newton", "--out", "out")
    assert "decoder learned" not in said
    found = Comparison.load("out")
    assert [row.inverter for row in found.rows][2:] == ["newton", "decoder", "decoder+newton"]
    assert found.about["command"].startswith("genrev compare net.safetensors --data npz:own.npz --methods")
    again = {name: Path("out", name).read_bytes() for name in ("report.html", "report.md", "figures.csv")}
    for name in again:
        os.remove(Path("out", name))
    assert "report.html" in ran(capsys, "report", "out")
    assert {name: Path("out", name).read_bytes() for name in again} == again


def test_a_comparison_may_be_of_saved_inverters_alone(network, capsys):
    options = ["--network", "net.safetensors", "--data", "npz:own.npz"]
    ran(capsys, "train", "decoder", *options, "--set", "steps=3", "--out", "d.safetensors")
    line = ["compare", "net.safetensors", "--data", "npz:own.npz", "--inverter", "d.safetensors", "--targets", "6"]
    ran(capsys, *line, "--methods", "decoder", "--out", "out")
    assert [row.inverter for row in Comparison.load("out").rows][2:] == ["decoder"]


def test_all_held_out_inputs_are_asked_for_where_they_are_fewer_than_usual(network, capsys):
    ran(
        capsys,
        "compare",
        "net.safetensors",
        "--data",
        "npz:own.npz",
        "--methods",
        "newton",
        "--samples",
        "1",
        "--out",
        "o",
    )
    assert len(Comparison.load("o").targets) == len(load_splits("npz:own.npz").targets) < 300


def test_an_inverter_that_no_method_is_made_of_is_refused(network, capsys):
    save(build("retrieval", network).fit(torch.rand(9, 1, 4, 4, dtype=torch.float64)), "r.safetensors")
    line = ["compare", "net.safetensors", "--data", "npz:own.npz", "--inverter", "r.safetensors", "--methods", "newton"]
    assert "expected inverters of the methods compared (newton), got one of retrieval" in refused(capsys, *line)
    assert "name it first" in refused(capsys, "compare", "--inverter", "r.safetensors")


def test_a_folder_without_a_comparison_has_no_report(capsys):
    os.mkdir("empty")
    assert "empty" in refused(capsys, "report", "empty")


def test_inspect_tells_what_is_in_a_file_and_how_it_was_made(network, capsys):
    said = ran(capsys, "inspect", "net.safetensors")
    assert "mlp(widths=[16, 6, 2]" in said
    assert "classes      a, b" in said
    x = load_splits("npz:own.npz").train.inputs.double()
    save(build("cvae+newton", network, tolerance=0.5), "both.safetensors")
    assert "refined (cvae then newton)" in ran(capsys, "inspect", "both.safetensors")
    save(
        build(
            "decoder",
            network,
        ).fit(x),
        "d.safetensors",
        about={"note": "by hand"},
    )
    said = ran(capsys, "inspect", "d.safetensors")
    assert "learned      in " in said
    assert "note         by hand" in said


def test_inspect_says_of_several_files_what_is_in_each(network, capsys):
    save(build("newton", network), "newton.safetensors")
    said = ran(capsys, "inspect", "net.safetensors", "newton.safetensors")
    blocks = [block.splitlines() for block in said.split("\n\n")]
    assert [block[0].split()[1] for block in blocks] == ["net.safetensors,", "newton.safetensors,"]
    # Of an inverter, what is said of its network stands further in.
    assert [line for line in blocks[0] if line.startswith("module")]
    assert [line for line in blocks[1] if line.startswith("  module")]
    terms = [line[:13].rstrip() for line in blocks[1]]
    assert len(set(terms)) == len(terms)
    assert "net.safetensors" not in refused(capsys, "inspect", "net.safetensors", "none.safetensors")
    assert "expected the files to look into, got none" in refused(capsys, "inspect")


@pytest.mark.parametrize(
    ("low", "high", "size", "said"),
    [
        (0.0, 1.0, 3, "0 to 1"),
        (-np.inf, np.inf, 3, "any number"),
        ([0, 1, 2], [1, np.inf, 700], 3, "x0 0 to 1, x1 from 1, x2 2 to 700"),
        (list(range(20)), 30.0, 20, "of each value its own, in all 0 to 30"),
    ],
)
def test_inspect_says_from_where_to_where_inputs_go(low, high, size, said, capsys):
    space = InputSpace((size,), *(torch.tensor(bound, dtype=torch.float64) for bound in (low, high)))
    save(Network.from_weights([np.ones((2, size))], [np.zeros(2)], space=space), "net.safetensors")
    assert f"range        {said}\n" in ran(capsys, "inspect", "net.safetensors")


@pytest.mark.parametrize("line", [["inspect"], ["invert", "--target", "1", "1"]])
def test_arrays_in_the_place_of_a_network_are_sent_to_import(line, capsys):
    np.savez("w.npz", W1=np.ones((2, 3)), b1=np.ones(2))
    assert "genrev import w.npz --out" in refused(capsys, line[0], "w.npz", *line[1:])


def test_inspect_reads_an_inverter_of_somebody_s_own_module(capsys):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh())
    inverter = build("retrieval", Network(module, space=InputSpace((3,)))).fit(torch.rand(5, 3))
    save(inverter, "r.safetensors")
    assert "a module of your own, not inside" in ran(capsys, "inspect", "r.safetensors")


# Options.


def test_the_line_that_runs_a_command_again_leaves_out_what_is_usual():
    command = TrainClassifier(data="xo", out="a b.safetensors", layers=(1024, 8, 2), seed=3, quiet=True)
    assert command_line("train classifier", command) == (
        "genrev train classifier --data xo --out 'a b.safetensors' --layers 1024 8 2 --seed 3"
    )


@pytest.mark.parametrize("word", ["steps", "=3", "steps=", "9a=1"])
def test_a_setting_without_name_or_value_is_refused(word):
    with pytest.raises(ArgumentError, match="NAME=VALUE"):
        settings([word])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_what_each_option_is_for(name, capsys):
    assert COMMANDS[name].__doc__
    said = ran(capsys, *name.split(), "--help")
    assert all(option in said for option in options_of(COMMANDS[name]))


def test_a_shell_that_has_no_script_is_told_which_have(capsys):
    assert "expected a shell of bash or zsh, got 'fish'" in refused(capsys, "completion", "fish")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_and_methods(capsys):
    script = ran(capsys, "completion", "bash")
    Path("complete.sh").write_text(script)
    ask = (
        "source ./complete.sh; name=$(complete -p genrev | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
        "COMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{}'; COMP_POINT=${{#COMP_LINE}}; "
        "$name; echo ${{COMPREPLY[@]}}"
    )

    def offered(line: str) -> list[str]:
        done = subprocess.run(["bash", "-c", ask.format(line, line)], capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert offered("genrev inv") == ["invert"]
    assert set(offered("genrev train c")) == {"classifier", "cvae"}
    assert offered("genrev invert net.safetensors --conf") == ["--confidence"]
    assert offered("genrev invert net.safetensors --method cv") == ["cvae", "cvae+newton"]
    assert offered("genrev compare --methods gra") == ["gradient"]
    # Where it offers nothing of its own, bash offers files.
    assert offered("genrev inspect net") == []
    assert "complete -o default -F" in script
