"""Tests of progress: bars where somebody looks, a log where one is wanted, and nothing changed by either."""

from __future__ import annotations

import contextvars
import errno
import io
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentences import assert_one_sentence
from torch import nn

from genrev import InputSpace, Judge, Network, NewtonInverter, RetrievalInverter, compare
from genrev.errors import ArgumentError, FileError
from genrev.progress import logged, progress, quiet
from genrev.training import train


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """What makes the standard error a terminal: within a test only, because pytest sets it anew before each."""

    def begin() -> Terminal:
        monkeypatch.setattr(sys, "stderr", Terminal())
        return sys.stderr  # type: ignore[return-value]

    return begin


def count(to: int = 3, label: str = "counting") -> None:
    with progress(label, to) as advance:
        for place in range(to):
            advance(place=place)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def learn(epochs: int = 4) -> nn.Module:
    torch.manual_seed(0)
    model, x = nn.Linear(1, 1), torch.linspace(-1, 1, 40)[:, None]
    train(model, lambda rows: (model(x[rows]) - 3 * x[rows])[:, 0] ** 2, 40, epochs=epochs, batch_size=8, label="line")
    return model


def test_a_bar_is_drawn_on_a_terminal(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    count()
    assert "counting" in screen.getvalue()


def test_no_bar_is_drawn_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    count()
    assert capsys.readouterr() == ("", "")


def test_quiet_draws_no_bar_and_leaves_the_next_one_be(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with quiet():
        with quiet():
            count()
        count()
    assert screen.getvalue() == ""
    count()
    assert "counting" in screen.getvalue()


def test_quiet_ends_with_an_error(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with pytest.raises(ZeroDivisionError), quiet():
        raise ZeroDivisionError
    count()
    assert "counting" in screen.getvalue()


def test_a_bar_is_cleared_when_its_work_fails(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()

    def work() -> None:
        with progress("counting", 3) as advance:
            advance(share=1 / 0)

    with pytest.raises(ZeroDivisionError):
        work()
    assert screen.getvalue().rpartition("\r")[2] == ""


def test_a_log_holds_a_line_a_step(tmp_path: Path) -> None:
    with logged(tmp_path / "log"), progress("cvae", 3, unit="epoch") as advance:
        advance(loss=0.5, validation=0.25)
        advance(loss=0.125)
    first, second = lines(tmp_path / "log")
    assert list(first) == ["label", "unit", "step", "of", "loss", "validation", "seconds"]
    assert first | {"seconds": 0} == {
        "label": "cvae",
        "unit": "epoch",
        "step": 1,
        "of": 3,
        "loss": 0.5,
        "validation": 0.25,
        "seconds": 0,
    }
    assert (second["step"], second["loss"]) == (2, 0.125)
    assert 0 <= first["seconds"] <= second["seconds"]


def test_a_line_is_in_the_file_before_the_next_step(tmp_path: Path) -> None:
    with logged(tmp_path / "log"), progress("counting", 2) as advance:
        for step in (1, 2):
            advance()
            assert len(lines(tmp_path / "log")) == step


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_null(tmp_path: Path, value: float) -> None:
    with logged(tmp_path / "log"), progress("counting", 1) as advance:
        advance(loss=value)
    assert lines(tmp_path / "log")[0]["loss"] is None


def test_a_log_is_continued(tmp_path: Path) -> None:
    for label in ("one", "two"):
        with logged(tmp_path / "log"):
            count(1, label)
    assert [line["label"] for line in lines(tmp_path / "log")] == ["one", "two"]


def test_a_line_that_a_kill_cut_off_is_ended(tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"label": "on')
    with logged(tmp_path / "log"):
        count(1)
    broken, whole = (tmp_path / "log").read_text().splitlines()
    assert broken == '{"label": "on'
    assert json.loads(whole)["step"] == 1


def test_steps_done_before_are_counted_and_their_seconds_too(tmp_path: Path) -> None:
    with logged(tmp_path / "log"), progress("counting", 9, done=4, seconds=100.0) as advance:
        advance()
    assert lines(tmp_path / "log")[0]["step"] == 5
    assert lines(tmp_path / "log")[0]["seconds"] >= 100


def test_logs_nest_and_end_with_their_blocks(tmp_path: Path) -> None:
    def work() -> None:
        with logged(tmp_path / "inner"):
            count(1, "both")
            raise ZeroDivisionError

    with logged(tmp_path / "outer"):
        with pytest.raises(ZeroDivisionError):
            work()
        count(1, "outer")
    count(1, "none")
    assert [line["label"] for line in lines(tmp_path / "outer")] == ["both", "outer"]
    assert [line["label"] for line in lines(tmp_path / "inner")] == ["both"]


def test_a_log_is_written_in_quiet_too(tmp_path: Path, terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with quiet(), logged(tmp_path / "log"):
        count(2)
    assert len(lines(tmp_path / "log")) == 2
    assert screen.getvalue() == ""


def test_another_thread_has_bars_and_logs_of_its_own(tmp_path: Path, terminal: Callable[[], Terminal]) -> None:
    screen = terminal()

    def work() -> None:
        with logged(tmp_path / "theirs"):
            count(1, "theirs")

    with quiet(), logged(tmp_path / "mine"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        count(1, "mine")
    assert [line["label"] for line in lines(tmp_path / "theirs")] == ["theirs"]
    assert [line["label"] for line in lines(tmp_path / "mine")] == ["mine"]
    assert "theirs" in screen.getvalue()
    assert "mine" not in screen.getvalue()


def test_lines_of_threads_that_share_a_log_stay_whole(tmp_path: Path) -> None:
    with logged(tmp_path / "log"):
        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(count, 50, f"{number}"))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = [(line["label"], line["step"]) for line in lines(tmp_path / "log")]
    assert sorted(found) == sorted((f"{number}", step) for number in range(4) for step in range(1, 51))


def test_a_log_that_can_not_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, words in (
        (tmp_path, "to be a file or free, got a folder"),
        (tmp_path / "no" / "log", "got no folder"),
        (tmp_path / "file" / "log", "got a file at"),
        (f"{tmp_path}/a\0b", "null byte"),
        ("/dev/null", "got a device"),
    ):
        with pytest.raises(FileError, match=words) as caught, logged(path):
            pytest.fail("the work began")
        assert_one_sentence(caught.value)
    with pytest.raises(ArgumentError, match="expected a path"), logged(3):  # type: ignore[arg-type]
        pytest.fail("the work began")


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def work() -> None:
        with logged(tmp_path / "log"):
            monkeypatch.setattr("genrev.files.open", full, raising=False)
            count()

    with pytest.raises(FileError, match="No space left") as caught:
        work()
    assert_one_sentence(caught.value)


def test_a_log_stays_where_it_is_if_the_work_goes_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    with logged("log"):
        monkeypatch.chdir(tmp_path / "below")
        count(1)
    assert len(lines(tmp_path / "log")) == 1


def test_a_training_logs_its_epochs_and_is_not_changed_by_it(tmp_path: Path, terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with quiet():
        alone = learn()
    with logged(tmp_path / "log"):
        watched = learn()
    assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), watched.parameters(), strict=True))
    assert [(line["label"], line["step"], line["of"]) for line in lines(tmp_path / "log")] == [
        ("line", step, 4) for step in (1, 2, 3, 4)
    ]
    assert all({"loss", "validation"} <= line.keys() for line in lines(tmp_path / "log"))
    assert "line: " in screen.getvalue()


def test_many_targets_are_logged_by_chunk_and_few_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(nn.Linear(2, 1), space=InputSpace((2,)))
    monkeypatch.setattr(type(network), "rows_at_once", lambda self, row_bytes=0: 4)
    inverter = NewtonInverter(network)
    with logged(tmp_path / "log"):
        inverter.reconstruct(torch.zeros(4, 1), seed=0)
        assert lines(tmp_path / "log") == []
        found = inverter.reconstruct(torch.zeros(9, 1), seed=0)
    assert found.x.shape == (9, 1, 2)
    assert [(line["label"], line["unit"], line["step"], line["of"]) for line in lines(tmp_path / "log")] == [
        ("NewtonInverter", "chunk", step, 3) for step in (1, 2, 3)
    ]


def test_a_comparison_logs_its_methods(tmp_path: Path) -> None:
    network = Network(nn.Linear(2, 1), space=InputSpace((2,), 0.0, 1.0))
    x = torch.rand(30, 2)
    methods = {"retrieval": RetrievalInverter(network).fit(x[20:]), "newton": NewtonInverter(network)}
    with logged(tmp_path / "log"):
        compare(network, methods, x[:10], reference=x[10:20], training=x[20:], seed=0, asked=[[0.1]])
    found = [(line["label"], line["method"], line["of"]) for line in lines(tmp_path / "log")]
    assert found == [
        (label, name, 3) for label in ("typed targets", "held-out targets") for name in ("noise", "retrieval", "newton")
    ]


def test_a_judge_is_logged_as_one_step(tmp_path: Path) -> None:
    with logged(tmp_path / "log"):
        Judge.fit(torch.tensor([[0.0], [0.1], [0.9], [1.0]]), torch.tensor([0, 0, 1, 1]))
    assert [(line["label"], line["step"], line["of"]) for line in lines(tmp_path / "log")] == [("judge", 1, 1)]


def test_importing_progress_imports_neither_torch_nor_tqdm() -> None:
    code = "import sys, genrev.progress; print([m for m in ('torch', 'tqdm') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
