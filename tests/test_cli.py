"""The command line: help without torch, one sentence for what is wrong, nothing left behind, commands at work."""

from __future__ import annotations

import inspect
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from genrev import Comparison, Network, load, save
from genrev.classifiers import train_classifier
from genrev.cli import COMMANDS, compare, demo, main, picture, sheet, steps
from genrev.cli.demo import run_demo
from genrev.cli.options import Shown, options_of
from genrev.cli.words import asked_table, legend
from genrev.comparison import Answer
from genrev.data import xo
from genrev.inverter import Outcome
from genrev.inverters import INVERTERS, RetrievalInverter

QUICK = {"cvae": {"steps": 5}, "decoder": {"steps": 5}, "gradient": {"steps": 5}, "newton": {"steps": 5}}


@pytest.fixture(autouse=True)
def in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_work(monkeypatch):
    """Fail the test if anything long begins."""

    def began(*args, **keywords):
        raise AssertionError("the long work began")

    monkeypatch.setattr("genrev.data.load_splits", began)


def refused(capsys, *argv: str) -> str:
    """Run a command that must be refused, and return what it said."""
    assert main(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("genrev: expected ")
    assert said.err.count("\n") == 1
    return said.err


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


# Help.


@pytest.mark.parametrize(
    "argv", [["--help"], ["--version"], ["demoo"], *([*name.split(), "--help"] for name in COMMANDS), ["train"]]
)
def test_help_and_refusals_need_no_torch(argv):
    done = python(f"import sys; from genrev.cli import main; main({argv}); sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS)


def printed(encoding: str, *argv: str) -> str:
    """What a terminal of an encoding shows of a command that must succeed."""
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    command = [sys.executable, "-m", "genrev", *argv]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("command", [[], ["compare"], ["demo"]])
def test_help_is_printed_where_the_terminal_lacks_signs(command, encoding):
    said = printed(encoding, *command, "--help")
    assert "usage: genrev" in said
    assert all(name in said for name in command or COMMANDS)


def test_help_keeps_its_signs_where_the_terminal_has_them():
    said = printed("utf-8", "demo", "--help")
    assert "\N{BOX DRAWINGS LIGHT ARC DOWN AND RIGHT}" in said
    assert "?" not in said


PAGES = [[], *([*name.split()] for name in COMMANDS), *(["train", name] for name in ("cvae", "decoder", "retrieval"))]
PAGES += [["invert", "--method", "cvae+newton"], ["compare", "--methods", "pinv,gradient"]]


@pytest.mark.parametrize("page", PAGES, ids=" ".join)
def test_help_fits_80_columns_and_shows_nothing_of_python(page, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*page, "--help"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    for word in ("None", "{", "(default: )", "INT", "STR", "FLOAT", "False", "INTRODUCTION", "introduction"):
        assert word not in said
    # Framed lines are full, and the paragraphs above them apart by one line.
    assert "│ " + 76 * " " + " │" not in said
    assert "\n\n\n" not in said


@pytest.mark.parametrize("width", [50, 200])
@pytest.mark.parametrize("page", [["demo"], ["train", "cvae"]], ids=" ".join)
def test_help_fits_other_terminals_too(page, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([*page, "--help"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "usage" not in line]
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("name", ["cvae", "decoder", "retrieval"])
def test_the_help_of_a_method_that_is_trained_has_its_name_and_every_keyword_with_its_default(name, capsys):
    assert main(["train", name, "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: genrev train {name} ")
    taken = inspect.signature(INVERTERS[name].__init__).parameters
    for keyword, parameter in taken.items():
        shown = f"\n  {keyword}={parameter.default} " in said
        assert shown == (keyword not in ("self", "network", "tolerance"))
    assert (len(taken) == 3) == (f"{name} has no keywords" in said)


def test_help_behind_named_methods_lists_their_keywords_as_they_are_typed(capsys):
    assert main(["invert", "x.safetensors", "--method=retrieval+newton", "--samples", "3", "--help"]) == 0
    said = capsys.readouterr().out
    assert "retrieval has no keywords" in said
    assert "\n  newton.steps=100 " in said
    assert "cvae.steps=4000" not in said
    assert main(["compare", "--methods", "cvae,cvae+newton", "--help"]) == 0
    said = capsys.readouterr().out
    assert said.count("\n  cvae.steps=4000 ") == said.count("\n  newton.steps=100 ") == 1


@pytest.mark.parametrize("word", ["newton", "foo", "--quiet"])
def test_the_help_of_what_is_not_trained_is_that_of_train(word, capsys):
    assert main(["train", word, "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: genrev train [-h]")


def test_what_every_command_has_is_listed_last(capsys):
    for name, kind in COMMANDS.items():
        if issubclass(kind, Shown):
            assert list(options_of(kind))[-2:] == ["--quiet", "--log"], name


def test_help_in_a_terminal_keeps_its_colours(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["demo", "--help"]) == 0
    said = capsys.readouterr().out
    assert "\x1b[" in said
    assert "ask every" in said


def test_the_output_treats_signs_that_it_lacks_as_before_once_a_command_has_run(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["--help"]) == 0
    assert stream.errors == "strict"


def test_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "genrev 0.1.0\n"


def test_python_dash_m_genrev_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "genrev", "comparre"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"genrev: expected a command ({', '.join(COMMANDS)}), got 'comparre'; did you mean 'compare'?\n"
    )


def test_an_interruption_ends_quietly_with_130(monkeypatch, capsys):
    def stop(command):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo.Demo, "run", stop)
    assert main(["demo"]) == 130
    assert capsys.readouterr() == ("", "")


# What is wrong is said in one sentence, before the long work.


def test_no_command_is_refused(capsys):
    assert "genrev --help" in refused(capsys)


def test_an_unknown_command_that_is_near_none_is_sent_to_the_list_of_commands(capsys):
    assert refused(capsys, "foo").endswith("got 'foo'; see genrev --help\n")


def test_an_unknown_option_is_refused_with_the_nearest(capsys):
    assert "did you mean '--seed'?" in refused(capsys, "demo", "--sed", "3")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo", "--seed", "abc"], "a whole number for --seed, got 'abc'; see genrev demo --help"),
        (["demo", "--seed=1.5"], "a whole number for --seed, got '1.5'"),
        (["train", "classifier", "--epochs", "x"], "a whole number for --epochs, got 'x'"),
        (["train", "classifier", "--rate", "1,5"], "a number for --rate, got '1,5'"),
        (["train", "classifier", "--layers", "3", "4.5", "2"], "a whole number for --layers, got '4.5'"),
        (["train", "classifier", "--seed", "1", "--epochs"], "a value for --epochs, got none"),
        (["train", "classifier", "--epochs", "1", "2"], "nothing behind genrev train classifier but its own options"),
        (["demo", "--quiet", "yes"], "nothing behind genrev demo but its own options with a value each, got 'yes'"),
    ],
)
def test_a_value_that_an_option_does_not_take_is_refused_with_what_it_takes(words, said, capsys):
    given = ["--data", "xo", "--out", "n.safetensors"] if words[0] == "train" else []
    assert f"genrev: expected {said}" in refused(capsys, *words[:2], *given, *words[2:])


def test_an_unknown_option_that_is_near_none_is_sent_to_the_list_of_options(capsys):
    assert refused(capsys, "demo", "--zzzz").endswith("got '--zzzz'; see genrev demo --help\n")


@pytest.mark.usefixtures("no_work")
def test_an_unknown_method_is_refused_with_the_nearest(capsys):
    assert "did you mean 'newton'?" in refused(capsys, "compare", "--methods", "pinv,newtn")
    assert os.listdir() == []


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ("newton+pinv", "got 'pinv' in 'newton+pinv'; did you mean 'pinv+newton'?"),
        ("cvae+decoder", "(gradient, newton), got 'decoder' in 'cvae+decoder'; name one of those"),
        ("newton+cvae", "did you mean 'cvae+newton'?"),
        ("newton+foo", "got 'foo' in 'newton+foo'; choose one of them"),
        ("newton+caev", "got 'caev' in 'newton+caev'; did you mean 'cvae'?"),
        ("cvae+", "got '' in 'cvae+'"),
        ("newton cvae", "name them one by one, or write 'cvae+newton' for"),
        ("", "expected at least one method, got none; name some, as in pinv,"),
        (" , ", "expected at least one method, got none"),
    ],
)
def test_methods_that_can_not_be_built_are_refused_with_what_was_meant(methods, words, capsys):
    assert words in refused(capsys, "compare", "--methods", methods)
    assert os.listdir() == []


@pytest.mark.parametrize("data", ["digit", "digitz"])
def test_unknown_data_are_refused_with_all_and_the_nearest_and_nothing_is_left(data, capsys):
    said = refused(capsys, "compare", "--data", data)
    known = "xo, digits, idx:FOLDER, npz:FILE, images:FOLDER, csv:FILE"
    assert f"expected data of {known}, got {data!r}; did you mean 'digits'?" in said
    assert os.listdir() == []


def two_boxes() -> None:
    """Write an own.npz of two classes of points."""
    labels = np.arange(200) % 2
    np.savez("own.npz", x=0.5 * labels[:, None] + 0.4 * np.random.default_rng(0).random((200, 3)), y=labels)


def test_own_data_without_a_network_are_refused_and_nothing_is_left(capsys):
    two_boxes()
    said = refused(capsys, "compare", "--data", "npz:own.npz", "--targets", "5")
    assert "expected a network that reads the data, got none, and npz has no standard one; name its file" in said
    assert os.listdir() == ["own.npz"]


def test_own_data_and_an_own_network_are_compared(capsys):
    two_boxes()
    network = Network.from_weights([np.array([[-9.0, -9, -9], [9, 9, 9]])], [np.array([12.0, -12])])
    save(network, "own.safetensors")
    options = ["--methods", "retrieval", "--targets", "9", "--out", "out"]
    main(["compare", "own.safetensors", "--data", "npz:own.npz", *options])
    assert "real" in capsys.readouterr().out
    assert Comparison.load("out").rows[-1].inverter == "retrieval"


@pytest.mark.parametrize("option", [("--targets", "0"), ("--targets", "100000"), ("--samples", "0")])
def test_a_number_out_of_range_is_refused_and_nothing_is_left(option, capsys):
    refused(capsys, "compare", *option)
    assert os.listdir() == []


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("command", ["demo", "compare"])
def test_a_seed_out_of_range_is_refused(command, capsys):
    assert "--seed" in refused(capsys, command, "--seed", "-1")
    assert os.listdir() == []


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("command", ["demo", "compare"])
def test_an_output_folder_without_a_parent_is_refused(command, capsys):
    said = refused(capsys, command, "--out", "nowhere/out")
    assert f"got no folder {os.path.join(os.getcwd(), 'nowhere')!r}; make it first" in said


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("command", ["demo", "compare"])
def test_a_file_in_the_place_of_the_output_folder_is_refused_and_stays(command, capsys):
    Path("out").write_text("mine")
    assert "got a file at" in refused(capsys, command, "--out", "out")
    assert Path("out").read_text() == "mine"


@pytest.mark.usefixtures("no_work")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_refused(capsys):
    Path("out").mkdir(mode=0o555)
    refused(capsys, "compare", "--out", "out")


def test_a_missing_network_is_refused_and_nothing_is_left(capsys):
    refused(capsys, "compare", "none.safetensors")
    assert os.listdir() == []


def test_an_inverter_in_the_place_of_a_network_is_refused(capsys):
    letters = xo(20)
    network = train_classifier(letters, layers=(1024, 2), activation="sigmoid", epochs=1)
    save(RetrievalInverter(network).fit(letters.inputs), "inverter.safetensors")
    with_it = ("compare", "inverter.safetensors", "--data", "digits")
    assert "expected a network" in refused(capsys, *with_it)


def test_a_network_of_other_data_is_refused(capsys):
    save(train_classifier(xo(20), layers=(1024, 2), activation="sigmoid", epochs=1), "xo.safetensors")
    assert main(["compare", "xo.safetensors", "--data", "digits"]) == 2
    assert "(1, 8, 8)" in capsys.readouterr().err


# The steps.


def test_methods_that_share_a_part_fit_it_once():
    letters = xo(40)
    network = train_classifier(letters, layers=(1024, 4, 2), activation="sigmoid", epochs=1)
    fitted = steps.fit_methods(["cvae", "cvae+newton", "newton"], network, letters.inputs, keywords=QUICK)
    assert list(fitted) == ["cvae", "cvae+newton", "newton"]
    assert fitted["cvae+newton"].first is fitted["cvae"]


def test_the_methods_that_are_compared_by_default_can_be_built():
    steps.check_methods(steps.METHODS)


def test_what_begins_is_said_before_it_is_done_where_no_bar_can_show_it(capsys):
    letters = xo(40)
    network = train_classifier(letters, layers=(1024, 4, 2), activation="sigmoid", epochs=1)
    steps.fit_methods(["pinv", "cvae"], network, letters.inputs, keywords=QUICK)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "  fitting cvae to 40 inputs"
    assert said[1].startswith("  cvae learned from 40 inputs")


@pytest.mark.parametrize(("out", "err", "said"), [(True, True, False), (False, True, True), (True, False, True)])
def test_a_terminal_that_shows_bars_is_not_told_twice_what_begins(out, err, said, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: out)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: err)
    steps.announce("  fitting cvae to 40 inputs")
    assert bool(capsys.readouterr().out) == said


def test_what_begins_reaches_a_file_at_once():
    code = "import os\nfrom genrev.cli import steps\nsteps.announce('fitting')\nos._exit(0)"
    assert python(code).stdout == "fitting\n"


# The commands at work.


def test_compare_prints_the_table_and_saves_report_and_network(capsys):
    options = ["--methods", "retrieval, newton", "--targets", "8", "--samples", "2", "--out", "out"]
    assert main(["compare", "--data", "digits", *options]) == 0
    said = capsys.readouterr().out
    assert "retrieval" in said
    assert said.index("training the network") < said.index("network 64-128-64-10 learned")
    assert said.index("training the judge") < said.index("judge learned")
    assert (
        said.index("training the judge") < said.index("\nmethod ") < said.index("\nrecall ") < said.index("\ncoverage ")
    )
    assert os.path.join("out", "report.html") in said
    rows = json.loads(Path("out/comparison.json").read_text(encoding="utf-8"))["rows"]
    assert [row["inverter"] for row in rows] == ["real", "noise", "retrieval", "newton"]
    assert isinstance(load("out/network.safetensors"), Network)

    again = ["compare", "out/network.safetensors", "--data", "digits", "--out", "again"]
    assert main([*again, *options[:-2]]) == 0
    assert "learned from 898 inputs; reads" not in capsys.readouterr().out
    first, second = (Comparison.load(folder) for folder in ("out", "again"))
    assert torch.equal(first.answers["newton"].x, second.answers["newton"].x)
    assert not Path("again/network.safetensors").exists()


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The demo in its smallest size: where it wrote, what it found."""
    out = tmp_path_factory.mktemp("demo") / "out"
    threads = torch.get_num_threads()
    found = run_demo(str(out), n=120, targets=6, samples=2, keywords=QUICK)
    assert torch.get_num_threads() == threads
    return out, found


@pytest.mark.slow
def test_the_demo_takes_what_ships_where_it_is_at_hand(tmp_path, capsys):
    shipped = Path(__file__).parents[1] / "checkpoints"
    found = run_demo(str(tmp_path / "out"), methods=["retrieval"], targets=6, samples=2, checkpoints=str(shipped))
    assert "the network and dbn are those that ship" in capsys.readouterr().out
    assert "dbn" not in found["xo"].answers
    assert list(found["digits"].answers)[-3:] == ["retrieval", "dbn", "dbn+newton"]
    assert (
        load(tmp_path / "out/digits/network.safetensors").fingerprint()
        == load(shipped / "digits.safetensors").fingerprint()
    )
    assert bool((found["digits"].answers["dbn+newton"].outcome == 0).all())


def test_the_demo_writes_a_report_and_a_network_for_each_kind_of_data_and_a_picture(shown):
    out, _ = shown
    for kind in ("xo", "digits"):
        assert {"report.html", "comparison.json", "network.safetensors"} <= set(os.listdir(out / kind))
    assert (out / "xo.png").read_bytes().startswith(b"\x89PNG")


def test_the_demo_asks_every_method_for_a_sure_x_and_a_sure_o(shown):
    _, found = shown
    assert torch.allclose(found["xo"].asked.double(), torch.tensor([[0.99, 0.01], [0.01, 0.99]]))
    for place, said in enumerate(("Asked for X 0.99, O 0.01", "Asked for X 0.01, O 0.99")):
        lines = asked_table(found["xo"], place).splitlines()
        assert lines[0] == said
        assert [line.split()[0] for line in lines[2:]] == list(steps.METHODS)


def test_the_demo_explains_every_outcome_that_it_shows_and_why_the_formula_fails(shown):
    _, found = shown
    text = legend(found["xo"])
    shown_outcomes = {
        word.rstrip(",")
        for place in (0, 1)
        for word in asked_table(found["xo"], place).split()
        if word.rstrip(",") in Outcome.__members__
    }
    assert all(f"\n{outcome} " in text for outcome in shown_outcomes)
    assert "\npinv " in text


def test_the_demo_says_why_a_method_that_repeats_its_answer_meets_all_or_none(shown):
    _, found = shown
    met = next(
        line for line in legend(found["xo"]).replace("\n" + " " * 13, " ").splitlines() if line.startswith("met ")
    )
    assert "retrieval and decoder draw nothing at random" in met
    assert "one answer counts 2 times: all are met, or none" in met


def answered(y: list[list[float]], residual: list[float], outcome: list[Outcome], **values) -> Comparison:
    """A comparison in which one method gave one answer to each of several targets."""
    count = len(y)
    answer = Answer(
        torch.rand(count, 1, 1, 2, 2), torch.tensor(y)[:, None], torch.tensor(residual)[:, None],
        torch.tensor([int(one) for one in outcome])[:, None],
    )  # fmt: skip
    return Comparison(**{
        "rows": [], "notes": {}, "summaries": {}, "histories": {}, "chains": {},
        "training_rows": torch.zeros(0).long(), "training_inputs": answer.x[:0, 0],
        "inputs": answer.x[:, 0], "targets": answer.y[:, 0], "answers": {},
        "asked": torch.tensor([[0.99, 0.01]] * count), "asked_notes": {}, "asked_answers": {"cvae": answer},
        "tolerance": 1e-3, "names": ["X", "O"], "columns": None,
        "low": torch.zeros(1, 2, 2), "high": torch.ones(1, 2, 2), "about": {},
        **values,
    })  # fmt: skip


def texts(monkeypatch, comparison: Comparison) -> dict[str, str]:
    """Every caption of the demo's picture, and its colour."""
    from matplotlib.axes import Axes

    said: dict[str, str] = {}
    monkeypatch.setattr(Axes, "set_xlabel", lambda axes, text, **keywords: said.__setitem__(text, keywords["color"]))
    assert picture.draw(comparison).startswith(b"\x89PNG")
    return said


def test_no_two_captions_of_the_picture_read_alike_in_different_colours(monkeypatch):
    y, residual = [[0.9906, 0.0094], [0.9912, 0.0088]], [0.0006, 0.0012]
    said = texts(monkeypatch, answered(y, residual, [Outcome.CONVERGED, Outcome.MISSED]))
    assert said == {
        "0.9906  0.0094 ✓\nmet to 0.0006": sheet.GOOD,
        "0.9912  0.0088 ✗\nmissed by 0.0012": sheet.BAD,
    }


def test_the_picture_says_every_outcome_in_words(monkeypatch):
    count = len(Outcome)
    said = texts(monkeypatch, answered([[0.5, 0.5]] * count, [0.49] * count, list(Outcome)))
    words = [text.split("\n")[1].split()[0] for text in said]
    assert words == ["met", "missed", "stalled", "limit", "diverged", "unreachable"]


def test_the_picture_takes_a_tolerance_for_each_output_and_targets_with_any_value(monkeypatch):
    free = {"tolerance": torch.tensor([0.5, 0.01]), "asked": torch.tensor([[0.99, float("nan")]]), "names": None}
    assert texts(monkeypatch, answered([[0.5, 0.25]], [0.49], [Outcome.CONVERGED], **free)) == {
        "0.500  0.250 ✓\nmet to 0.49": sheet.GOOD
    }


def test_the_demo_that_fails_leaves_nothing(monkeypatch):
    monkeypatch.setattr("genrev.cli.demo.train_standard", lambda *args, **keywords: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_demo("out", n=40)
    assert not Path("out").exists()


def test_every_command_says_what_it_does():
    assert compare.Compare.__doc__
    assert demo.Demo.__doc__
