"""The networks and inverters that ship: they load, are small, say how they were made, and are as good as they say."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import pytest
import torch

from genrev import Judge, Network, NewtonInverter, Refined, load
from genrev.checkpoint import about
from genrev.classifiers import accuracy
from genrev.cli import main
from genrev.cli.train_inverter import tried
from genrev.data import Splits, load_splits

FOLDER = Path(__file__).parents[1] / "checkpoints"
KINDS = ("xo", "digits")
INVERTERS = {"xo": ("cvae",), "digits": ("cvae", "dbn")}
FILES = sorted(FOLDER.glob("*.safetensors"))


@pytest.fixture(scope="module", params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def splits(kind) -> Splits:
    said = about(FOLDER / f"{kind}.safetensors")
    return load_splits(said["data"], seed=said["split"])


def test_each_kind_has_a_network_and_inverters_and_all_are_less_than_four_megabytes():
    inverters = [f"{kind}-{method}.safetensors" for kind in KINDS for method in INVERTERS[kind]]
    assert [path.name for path in FILES] == sorted([f"{kind}.safetensors" for kind in KINDS] + inverters)
    assert sum(path.stat().st_size for path in FILES) < 4_000_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_says_the_command_that_made_it_and_its_seed(path):
    said = about(path)
    command = shlex.split(said["command"])
    assert command[:2] == ["genrev", "train"]
    assert command[command.index("--out") + 1] == f"checkpoints/{path.name}"
    assert said["seed"] == 0
    assert said["command"] in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_a_network_reads_as_many_held_out_inputs_as_its_file_quotes(kind, splits):
    network, quoted = load(FOLDER / f"{kind}.safetensors"), about(FOLDER / f"{kind}.safetensors")["held_out"]
    assert isinstance(network, Network)
    assert quoted["inputs"] == len(splits.targets)
    # One input may fall on the other side by rounding.
    assert accuracy(network, splits.targets) == pytest.approx(quoted["accuracy"], abs=1.5 / quoted["inputs"])


def test_inverters_of_that_network_come_as_near_as_their_files_quote(kind, splits):
    network = load(FOLDER / f"{kind}.safetensors")
    for method in INVERTERS[kind]:
        file = FOLDER / f"{kind}-{method}.safetensors"
        inverter, quoted = load(file), about(file)["held_out"]
        assert inverter.network.fingerprint() == network.fingerprint()
        reached = tried(inverter, splits.targets.inputs[: quoted["inputs"]], seed=0)
        # A chain that rounding sends another way ends elsewhere.
        rounded = {"rel": 0.05} if method == "cvae" else {"rel": 0.5}
        assert reached["median_residual"] == pytest.approx(quoted["median_residual"], **rounded)
        assert reached["met"] == pytest.approx(quoted["met"], abs=0.02 if method == "cvae" else 0.05)


def test_what_is_drawn_for_a_class_is_met_and_seen_by_a_judge(kind, splits):
    network = load(FOLDER / f"{kind}.safetensors")
    classes = network.output_shape[0]
    target = torch.full((classes, classes), math.nan).fill_diagonal_(0.99)
    some = splits.judge.take(range(min(2000, len(splits.judge))))
    judge = Judge.fit(some.inputs, some.labels)
    for method in INVERTERS[kind]:
        both = Refined(load(FOLDER / f"{kind}-{method}.safetensors"), NewtonInverter(network))
        found = both.reconstruct(target, samples=40 // classes * 2, seed=0)
        assert found.converged.double().mean() > 0.98
        seen = judge.labels(found.x.flatten(0, 1)).reshape(found.residual.shape)
        assert (seen == torch.arange(classes)[:, None]).double().mean() > 0.9


def test_an_x_is_drawn_by_one_command(tmp_path, capsys):
    files = [str(FOLDER / "xo.safetensors"), "--inverter", str(FOLDER / "xo-cvae.safetensors")]
    options = ["--method", "cvae+newton", "--target", "0.99", "0.01", "--samples", "2", "--seed", "0"]
    assert main(["invert", *files, *options, "--out", str(tmp_path / "x.png")]) == 0
    assert capsys.readouterr().out.count("CONVERGED") == 3
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
