"""Damaged files: given to load, inspect, invert and report, each works or is refused in one sentence."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pytest
import torch
from sentences import assert_one_sentence
from torch import nn

from genrev import BestOf, Comparison, InputSpace, Network, NewtonInverter, Outcome, Refined, build, compare, load, save
from genrev.cli import main
from genrev.errors import ArgumentError, FileError
from genrev.models import MLP, ConvNet
from genrev.tensor_files import read_header, read_tensors
from genrev.training import History

SHAPE = (1, 4, 4)
TINY = {"steps": 2, "hidden": 4}
CVAE = {**TINY, "latent": 2}
LONGEST = 60
"""Seconds after which a file counts as one that hangs."""

_CALLS: list[str] | None = None


def _listen(event: str, args: tuple[Any, ...]) -> None:
    if _CALLS is not None and event in (
        "pickle.find_class",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "subprocess.Popen",
    ):
        _CALLS.append(event)


sys.addaudithook(_listen)


@contextmanager
def watched() -> Iterator[None]:
    """Fail where anything hangs, runs another program, or looks a pickle's class up."""
    global _CALLS

    def hang(*_: object) -> None:
        raise AssertionError("it hangs")

    before, _CALLS = signal.signal(signal.SIGALRM, hang), []
    signal.alarm(LONGEST)
    try:
        yield
        assert _CALLS == []
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        _CALLS = None


def own() -> Network:
    generator = torch.Generator().manual_seed(3)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.Tanh()).float()
    with torch.no_grad():
        for weights in module.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator, dtype=torch.float32))
    return Network(module, space=InputSpace(SHAPE, 0.0, 1.0))


def networks() -> dict[str, Network]:
    space = InputSpace(SHAPE, 0.0, 1.0)
    network = Network(MLP((16, 5, 3), ("tanh", "softmax")), space=space)
    network.history = History([0.9, 0.5], [0.8, 0.6], 1)
    plain = Network(MLP((16, 5, 3), ("tanh", "identity")), space=space)
    return {
        "mlp": network,
        "conv": Network(ConvNet(SHAPE, (2, 3), ("relu", "sigmoid")), space=space),
        "until": network.until("2"),
        "head": plain.with_softmax(),
    }


def inverters(network: Network) -> dict[str, Any]:
    newton = NewtonInverter(network, metric="covariance", tolerance=torch.tensor([1e-3, 1e-2, 1e-3]))
    return {
        "retrieval": build("retrieval", network),
        "decoder": build("decoder", network, **TINY),
        "cvae": build("cvae", network, **CVAE),
        "conv cvae": build("cvae", network, arch="conv", **CVAE),
        "refined": Refined(build("cvae", network, **CVAE), newton),
        "best of": BestOf(build("cvae", network, **CVAE), 2),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every kind of file, whole."""
    folder = tmp_path_factory.mktemp("whole")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        x = torch.rand(30, *SHAPE, dtype=torch.float32)
        for name, network in networks().items():
            save(network, folder / name, about={"classes": list("abc"), "data": "noise"})
        network = load(folder / "mlp")
        for name, inverter in inverters(network).items():
            save(inverter.fit(x), folder / name, about={"command": "genrev train"})
        save(build("retrieval", own()).fit(x), folder / "own")
        rbm = build("rbm", network, steps=1, hidden=3, gibbs=2).fit(x)
        methods = {"newton": NewtonInverter(network, steps=3), "rbm": rbm}
        found = compare(network, methods, x[:8], reference=x[8:18], training=x[18:], samples=1)
        found.save(folder / "found")
    (folder / "comparison").write_bytes((folder / "found" / "samples.safetensors").read_bytes())
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


KINDS = ["mlp", "conv", "until", "head", "retrieval", "decoder", "cvae", "conv cvae", "refined", "best of", "own",
         "comparison"]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes]) -> Path:
    """A folder with the network that the inverters invert; nothing has to reach the disk."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net").write_bytes(whole["mlp"])
    return tmp_path


def taken(work: Callable[[], Any]) -> bool:
    """Whether work is done; a refusal is one sentence."""
    try:
        work()
    except FileError as error:
        assert_one_sentence(error)
        return False
    return True


def told(capsys: pytest.CaptureFixture[str], *argv: str) -> bool:
    """Whether a command succeeds; a refusal is one line, and no results."""
    status = main(argv)
    said = capsys.readouterr()
    if status == 0:
        assert said.err == ""
        assert said.out
        return True
    assert status == 2
    assert said.out == ""
    assert said.err.startswith("genrev: expected ")
    assert said.err.count("\n") == 1
    assert_one_sentence(said.err.removeprefix("genrev: ").rstrip("\n"))
    return False


def expect_sane() -> None:
    """What was found is a number everywhere, or is said to have diverged."""
    with np.load("x.npz", allow_pickle=False) as arrays:
        finite = np.isfinite(arrays["x"].reshape(*arrays["residual"].shape, -1)).all(-1) & np.isfinite(
            arrays["residual"]
        )
        assert (finite | (arrays["outcome"] == Outcome.DIVERGED)).all()
    os.remove("x.npz")


def expect_whole_or_refused(kind: str, data: bytes, capsys: pytest.CaptureFixture[str]) -> bool:
    """Give a file to all that reads it; return whether it was taken."""
    if kind == "comparison":
        os.makedirs("found", exist_ok=True)
        Path("found", "samples.safetensors").write_bytes(data)
        loads = taken(lambda: Comparison.load("found"))
        assert told(capsys, "report", "found") == loads
        for name in os.listdir("found"):
            os.remove(Path("found", name))
        os.rmdir("found")
        return loads
    Path("file").write_bytes(data)
    loads = taken(lambda: load("file", network=own() if kind == "own" else None))
    shown = told(capsys, "inspect", "file")
    if kind != "own":
        # Without a word on its network it is taken for the inverter of somebody's own module.
        assert shown == loads or (shown and "network" not in read_header("file"))
        if kind in ("mlp", "conv", "until", "head"):
            asked = ["any"] * (load("file").output_shape[-1] - 1) if loads else ["any"]
            line = ["invert", "file", "--target", "0.4", *asked]
        else:
            line = ["invert", "net", "--inverter", "file", "--target", "0.4", "any", "any"]
        if told(capsys, *line, "--quiet", "--set", "newton.steps=5", "--out", "x.npz"):
            expect_sane()
    os.remove("file")
    assert os.listdir() == ["net"]
    return loads


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_read_and_used(kind: str, whole: dict[str, bytes], folder: Path, capsys: Any) -> None:
    assert expect_whole_or_refused(kind, whole[kind], capsys)
    parts = damage.Parts(whole[kind])
    assert expect_whole_or_refused(kind, parts.bytes(digest=True), capsys)
    assert expect_whole_or_refused(kind, parts.bytes(digest=False), capsys)


def same(one: bytes, other: bytes) -> bool:
    """Whether two files hold the same, wherever in them it stands."""
    held = []
    for name, data in (("one", one), ("other", other)):
        Path(name).write_bytes(data)
        tensors, header = read_tensors(name)
        held.append(({key: (str(v.dtype), v.tolist()) for key, v in tensors.items()}, header))
        os.remove(name)
    return repr(held[0]) == repr(held[1])


def expect_noticed(kind: str, count: int, whole: dict[str, bytes], capsys: Any) -> None:
    draw = random.Random(f"bytes {kind}")
    for number in range(count):
        data = damage.spoiled(whole[kind], draw)
        with watched():
            if expect_whole_or_refused(kind, data, capsys):
                assert same(data, whole[kind]), f"damage {number} of {kind} went unnoticed"


def expect_survived(kind: str, count: int, whole: dict[str, bytes], capsys: Any) -> None:
    draw, before = random.Random(f"edits {kind}"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for _ in range(count):
        with watched():
            refused += not expect_whole_or_refused(kind, damage.edited(whole[kind], draw), capsys)
    assert refused > count / 4
    # Kilobytes, but bytes on macOS: no width that only a header tells is ever made room for.
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 2**28


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes_are_noticed_and_refused_in_one_sentence(
    kind: str, whole: dict[str, bytes], folder: Path, capsys: Any
) -> None:
    expect_noticed(kind, 8, whole, capsys)


@pytest.mark.parametrize("kind", KINDS)
def test_edited_files_work_or_are_refused_in_one_sentence(
    kind: str, whole: dict[str, bytes], folder: Path, capsys: Any
) -> None:
    expect_survived(kind, 9, whole, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_damaged_and_edited_files_do_no_harm(
    kind: str, whole: dict[str, bytes], folder: Path, capsys: Any
) -> None:
    expect_noticed(kind, 67, whole, capsys)
    expect_survived(kind, 100, whole, capsys)


# What may not be saved can't be read either.


def test_a_network_whose_weights_are_not_finite_is_neither_saved_nor_loaded(
    whole: dict[str, bytes], folder: Path
) -> None:
    network = networks()["mlp"]
    with torch.no_grad():
        network.module[1].weight[0, 0] = float("nan")  # type: ignore[index,operator]
    for thing in (network, build("newton", network)):
        with pytest.raises(ArgumentError, match=r"got NaN or infinity in '1\.weight'"):
            save(thing, "file")
    parts = damage.Parts(whole["mlp"])
    parts.values["network.1.weight"] = b"\xff" * len(parts.values["network.1.weight"])
    Path("file").write_bytes(parts.bytes(digest=True))
    with pytest.raises(FileError, match="finite weights") as caught:
        load("file")
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("own", "comparison")])
def test_loading_leaves_the_global_generator_alone(kind: str, whole: dict[str, bytes], folder: Path) -> None:
    Path("file").write_bytes(whole[kind])
    before = torch.random.get_rng_state()
    load("file")
    assert torch.equal(torch.random.get_rng_state(), before)
