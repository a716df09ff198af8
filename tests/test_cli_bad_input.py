"""Bad input from end to end: one sentence, another status than 0, and every folder as it was."""

from __future__ import annotations

import errno
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sentences import assert_one_sentence

from genrev import InputSpace, Network, build, save
from genrev.cli import main


@pytest.fixture(autouse=True)
def in_a_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def contents() -> dict[str, bytes | None]:
    """All that lies here, with what it holds."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(Path().rglob("*"))}


def refused(capsys: Any, *argv: str) -> str:
    """Run a command that must be refused, and return what it said."""
    before = contents()
    status = main(argv)
    said = capsys.readouterr()
    assert (status, said.err.count("\n")) == (2, 1), said.err
    assert_one_sentence(said.err.removeprefix("genrev: ").rstrip("\n"))
    assert contents() == before
    return said.err


def network(outputs: int = 2, *, names: bool = True) -> None:
    """Write net.safetensors, which reads pictures of 2 by 2 pixels."""
    weights = np.random.default_rng(0).normal(size=(outputs, 4))
    made = Network.from_weights([weights], [np.zeros(outputs)], space=InputSpace((1, 2, 2), 0.0, 1.0))
    save(made, "net.safetensors", about={"classes": [f"c{one}" for one in range(outputs)]} if names else None)


def points(labels: Any, name: str = "own.npz", **arrays: Any) -> None:
    labels = np.asarray(labels)
    x = np.random.default_rng(1).random((len(labels), 2, 2))
    np.savez(name, **{"x": x, "y": labels, **arrays})


def pictures(sizes: dict[str, tuple[int, int]]) -> None:
    for name, size in sizes.items():
        os.makedirs(os.path.dirname(name), exist_ok=True)
        noise = np.random.default_rng(len(name)).integers(0, 255, size[::-1]).astype(np.uint8)
        Image.fromarray(noise).save(name)


def many_pictures(**other: tuple[int, int]) -> None:
    pictures({f"pictures/{kind}/{number}.png": (2, 2) for kind in "ab" for number in range(30)})
    pictures({f"pictures/a/{name}.png": size for name, size in other.items()})


def idx(images: int, labels: int, kind: str, folder: str = "digits") -> None:
    os.makedirs(folder, exist_ok=True)
    pixels = np.random.default_rng(2).integers(0, 255, images * 4).astype(np.uint8).tobytes()
    Path(folder, f"{kind}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, images, 2, 2) + pixels)
    classes = (np.arange(labels) % 2).astype(np.uint8).tobytes()
    Path(folder, f"{kind}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, labels) + classes)


# What is wrong with the data, by name: what makes them, how they are named, and what is said.


def broken_picture() -> None:
    many_pictures(z=(2, 2))
    data = Path("pictures/a/z.png").read_bytes()
    Path("pictures/a/z.png").write_bytes(data[: len(data) // 2])


def mixed_sizes() -> None:
    many_pictures(z=(3, 2))


def table(*lines: str) -> None:
    rows = [f"{one / 60:.3f},{1 - one / 60:.3f},{one % 2}" for one in range(60)]
    Path("own.csv").write_text("\n".join(["a,b,label", *rows, *lines]) + "\n")


def counts_that_disagree() -> None:
    idx(60, 59, "train")
    idx(40, 40, "t10k")


def pickled() -> None:
    values = np.empty(40, dtype=object)
    values[:] = [[1.0]] * 40
    np.savez("own.npz", x=values, y=np.arange(40) % 2)


DATA: dict[str, tuple[Callable[[], None], str, str]] = {
    "a broken picture": (broken_picture, "images:pictures", "z.png"),
    "pictures of mixed sizes": (mixed_sizes, "images:pictures", "size"),
    "a table with text": (lambda: table("0.5,yes,1"), "csv:own.csv", "yes"),
    "a table with a gap": (lambda: table("0.5,,1"), "csv:own.csv", "line"),
    "a table with a short row": (lambda: table("0.5,1"), "csv:own.csv", "in line 62"),
    "an empty table": (lambda: Path("own.csv").write_text("") and None, "csv:own.csv", "own.csv"),
    "an empty array": (lambda: points([]), "npz:own.npz", "own.npz"),
    "a single class": (lambda: points([1] * 40), "npz:own.npz", "class"),
    "arrays of other lengths": (lambda: points([0, 1] * 20, x=np.ones((39, 2, 2))), "npz:own.npz", "39"),
    "inputs that are not finite": (
        lambda: points([0, 1] * 20, x=np.full((40, 2, 2), np.nan)), "npz:own.npz", "got nan",
    ),
    "labels that skip a class": (lambda: points([0, 2] * 30), "npz:own.npz", "without a gap, got 0, 2"),
    "counts that disagree": (counts_that_disagree, "idx:digits", "59"),
    "pickled objects": (pickled, "npz:own.npz", "own.npz"),
    "a missing folder": (lambda: None, "images:none", "none"),
    "an empty folder": (lambda: os.mkdir("none"), "images:none", "none"),
}  # fmt: skip


@pytest.mark.parametrize("case", DATA)
def test_bad_data_are_refused_by_every_command_that_reads_data(case: str, capsys: Any) -> None:
    network()
    make, data, words = DATA[case]
    make()
    for line in (
        ["train", "classifier", "--out", "out"],
        ["train", "cvae", "--network", "net.safetensors", "--out", "out"],
        ["invert", "net.safetensors", "--class", "0", "--method", "cvae", "--out", "out.npz"],
        ["compare", "net.safetensors", "--out", "out"],
    ):
        assert words in refused(capsys, *line, "--data", data)


def test_a_class_that_is_not_there_is_refused_with_those_that_are(capsys: Any) -> None:
    network(3)
    assert "(c0, c1, c2)" in refused(capsys, "invert", "net.safetensors", "--class", "c3", "--out", "x.png")


def test_an_inverter_of_another_network_is_refused_by_compare_too(capsys: Any) -> None:
    network()
    other = Network.from_weights([np.ones((2, 4))], [np.zeros(2)], space=InputSpace((1, 2, 2), 0.0, 1.0))
    save(build("retrieval", other).fit(torch.rand(9, 1, 2, 2, dtype=torch.float64)), "r.safetensors")
    points([0, 1] * 30)
    line = ["compare", "net.safetensors", "--data", "npz:own.npz", "--inverter", "r.safetensors"]
    assert "another fingerprint" in refused(capsys, *line, "--methods", "retrieval")


# Where the results go.


def commands(out: str) -> dict[str, list[str]]:
    """Every command that writes, with what it reads ready."""
    network()
    points([0, 1] * 30)
    np.savez("weights.npz", W1=np.ones((2, 4)), b1=np.zeros(2))
    return {
        "train classifier": ["train", "classifier", "--data", "npz:own.npz", "--epochs", "1", "--out", out],
        "train cvae": ["train", "cvae", "--network", "net.safetensors", "--data", "npz:own.npz", "--set", "steps=2",
                       "--out", out],
        "import": ["import", "weights.npz", "--out", out],
        "invert": ["invert", "net.safetensors", "--target", "0.5", "0.5", "--out", f"{out}.npz"],
        "picture": ["invert", "net.safetensors", "--target", "0.5", "0.5", "--out", f"{out}.png"],
        "compare": ["compare", "net.safetensors", "--data", "npz:own.npz", "--methods", "newton", "--targets", "3",
                    "--samples", "1", "--out", out],
    }  # fmt: skip


COMMANDS = ["train classifier", "train cvae", "import", "invert", "picture", "compare"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_folder_is_named_and_nothing_is_made(command: str, capsys: Any) -> None:
    assert "got no folder" in refused(capsys, *commands("none/out")[command])


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_named(command: str, capsys: Any) -> None:
    os.mkdir("locked", mode=0o555)
    assert "Permission denied" in refused(capsys, *commands("locked/out")[command])


@pytest.mark.parametrize("command", [*COMMANDS, "report"])
def test_a_disk_that_fills_up_leaves_everything_as_it_was(
    command: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = commands("out")
    if command == "report":
        assert main(lines["compare"]) == 0
        os.remove("out/report.html")
        lines["report"] = ["report", "out"]

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        said = refused(capsys, *lines[command])
    assert os.strerror(errno.ENOSPC) in said


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no full device")
@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["inspect", "net.safetensors"]])
def test_an_output_that_is_full_is_said_in_a_sentence(argv: list[str]) -> None:
    network()
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "genrev", *argv], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith("genrev: expected to write the results, got 'No space left on device'")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("argv", [["--help"], ["compare", "--help"], ["inspect", "net.safetensors"]])
def test_a_reader_that_stops_reading_ends_it_without_a_word(argv: list[str]) -> None:
    network()
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "genrev", *argv], stdout=write, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    "argv",
    [
        ["invert", "own.npz", "--target", "0.5", "0.5", "--out", "own.npz"],
        ["invert", "net.safetensors", "--target", "0.5", "0.5", "--log", "./net.safetensors"],
        ["invert", "net.safetensors", "--class", "0", "--inverter", "r", "--log", "r"],
        ["invert", "net.safetensors", "--class", "0", "--out", "x.npz", "--log", "x.npz"],
        ["train", "cvae", "--network", "net.safetensors", "--data", "npz:own.npz", "--out", "net.safetensors"],
        ["train", "classifier", "--data", "npz:own.npz", "--out", "own.npz"],
        ["import", "weights.npz", "--out", "weights.npz"],
    ],
)  # fmt: skip
def test_what_a_command_reads_is_not_written_over(argv: list[str], capsys: Any) -> None:
    commands("out")
    assert "that nothing else of the command is in" in refused(capsys, *argv)


@pytest.mark.parametrize("option", ["--out", "--log"])
def test_a_folder_in_the_place_of_a_file_is_refused(option: str, capsys: Any) -> None:
    network()
    os.mkdir("x.npz")
    assert "got a folder" in refused(capsys, "invert", "net.safetensors", "--class", "0", option, "x.npz")


def test_a_negative_target_is_a_number_and_no_option(capsys: Any) -> None:
    made = Network.from_weights([np.eye(2)], [np.zeros(2)], activation="identity")
    save(made, "net.safetensors")
    assert main(["invert", "net.safetensors", "--target", "-0.5", "-1e-1"]) == 0
    assert "-0.5" in capsys.readouterr().out


def test_an_inverter_given_twice_is_refused(capsys: Any) -> None:
    network()
    made = build("retrieval", Network.from_weights([np.eye(2)], [np.zeros(2)]))
    save(made.network, "net.safetensors")
    save(made.fit([[0.0, 1.0], [1.0, 0.0]]), "r")
    line = ["invert", "net.safetensors", "--class", "0", "--inverter", "r", "--inverter", "r"]
    assert "got two of retrieval" in refused(capsys, *line)


def test_names_that_no_encoding_has_are_printed_all_the_same(capsys: Any) -> None:
    made = Network.from_weights([np.eye(2)], [np.zeros(2)])
    save(made, "net.safetensors", about={"classes": ["\udcff", "b"], "note": "a\nb \x1b[2J"})
    assert main(["invert", "net.safetensors", "--class", "1", "--confidence", "0.6"]) == 0
    assert main(["inspect", "net.safetensors"]) == 0
    assert r"note         a\nb \x1b[2J" in capsys.readouterr().out


@pytest.mark.slow
def test_an_interrupted_training_ends_with_130_a_state_and_no_traceback() -> None:
    network()
    points([0, 1] * 30)
    line = ["train", "decoder", "--network", "net.safetensors", "--data", "npz:own.npz", "--set", "steps=100000"]
    work = subprocess.Popen(
        [sys.executable, "-m", "genrev", *line, "--out", "d.safetensors"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not os.path.exists("d.safetensors.state") and work.poll() is None:
        time.sleep(0.05)
    work.send_signal(signal.SIGINT)
    _, said = work.communicate()
    assert (work.returncode, said) == (130, "")
    assert sorted(os.listdir()) == ["d.safetensors.state", "net.safetensors", "own.npz"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--class", "c0", "--class", "c1"], "expected --class once, got it twice; leave one out"),
        (
            ["--target", "0.9", "--target", "0.1"],
            "expected --target once, got it twice; leave one out, or write all its values behind one --target",
        ),
        (
            ["--class", "c0", "--set", "hidden=8", "4"],
            "got '4' behind 'hidden=8'; where both are values of one, join them by a comma: hidden=8,4",
        ),
    ],
)
def test_values_that_would_be_lost_are_refused(words: list[str], said: str, capsys: Any) -> None:
    network()
    assert said in refused(capsys, "invert", "net.safetensors", "--method", "newton", *words)


@pytest.mark.parametrize(("steps", "said"), [("1.5", "round it, to 2 say"), ("abc", "or more")])
def test_a_number_of_steps_that_is_none_is_refused_with_one_that_is(steps: str, said: str, capsys: Any) -> None:
    network()
    words = ["--class", "c0", "--method", "newton", "--set", f"steps={steps}"]
    assert said in refused(capsys, "invert", "net.safetensors", *words)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_work_that_fits_no_memory_is_refused_in_a_sentence(
    error: Exception, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Any) -> None:
        raise error

    monkeypatch.setattr("genrev.cli.inspect.Inspect.run", fails)
    network()
    assert "fits the memory of this machine" in refused(capsys, "inspect", "net.safetensors")
