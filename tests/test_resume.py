"""Tests of resume: a training stopped anywhere ends as if it weren't, and a state is taken up whole or refused."""

from __future__ import annotations

import errno
import math
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor, nn

from genrev import CVAEInverter, DecoderInverter, Network
from genrev import resume as module
from genrev.classifiers import train_classifier
from genrev.data import xo
from genrev.digest import digest
from genrev.errors import ArgumentError, FileError, GenrevError
from genrev.files import write_bytes
from genrev.resume import clock, resumable
from genrev.training import History, reached, train

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(autouse=True)
def _no_wait_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a machine that stops loses what is not on the disk yet; other processes see it at once."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


class Blurred(nn.Module):
    """All that a state must hold: weights, dropout, running means, and a buffer that no state_dict has."""

    steps: Tensor

    def __init__(self, activation: type[nn.Module] = nn.Tanh) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 8), nn.BatchNorm1d(8), activation(), nn.Dropout(0.3), nn.Linear(8, 1, bias=False)
        )
        self.register_buffer("steps", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
        return self.layers(x) * (1 + 1e-3 * self.steps)


class Lesson:
    """A small training that counts how often its loss is asked, and is stopped when that was often enough."""

    def __init__(
        self, *, dtype: torch.dtype = torch.float64, size: int = 47, scale: float = 1.0, **keywords: Any
    ) -> None:
        self.asked, self.stop = 0, math.inf
        self.x = torch.randn(size, 3, generator=torch.Generator().manual_seed(5)).to(dtype)
        self.scale, self.model = scale, self.first(dtype)
        self.keywords = {"epochs": 6, "batch_size": 10, "rate": 0.05, "weight_decay": 0.1, "seed": 3} | keywords

    @staticmethod
    def first(dtype: torch.dtype = torch.float64) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(2)
            return Blurred().to(dtype)

    def loss(self, rows: Tensor) -> Tensor:
        self.asked += 1
        if self.asked > self.stop:
            raise KeyboardInterrupt
        x = self.x[rows]
        noise = self.scale * torch.rand_like(x)
        return (self.model(x + noise)[:, 0] - x.prod(1)).square()

    def learn(self) -> History:
        return train(self.model, self.loss, len(self.x), data={"inputs": self.x}, **self.keywords)

    def result(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in (*self.model.named_parameters(), *self.model.named_buffers())}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def stopped(path: Path, after: float, **keywords: Any) -> Lesson:
    """A lesson that was stopped, unless it ended, with its state in the file."""
    lesson = Lesson(**keywords)
    lesson.stop = after
    try:
        with resumable(path, every=0):
            lesson.learn()
    except KeyboardInterrupt:
        pass
    return lesson


FORMS: dict[str, dict[str, Any]] = {
    "with a validation share": {},
    "without one": {"validation": 0.0},
    "until the patience is out": {"patience": 1, "rate": 3.0, "epochs": 30},
    "with no patience": {"patience": 0, "rate": 3.0},
    "in single precision": {"dtype": torch.float32},
    "in one batch": {"batch_size": 100},
    "of an odd rest": {"batch_size": 9, "validation": 0.2},
    "of counts that NumPy made": {"epochs": np.int64(3), "batch_size": np.int64(10), "patience": np.int64(9)},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_training_stopped_anywhere_goes_on_to_the_same_end(tmp_path: Path, form: str) -> None:
    path, alone = tmp_path / "state", Lesson(**FORMS[form])
    history = alone.learn()
    for after in range(0, alone.asked + 8, 5):
        stopped(path, after, **FORMS[form])
        lesson = Lesson(**FORMS[form])
        with resumable(path, every=0):
            found = lesson.learn()
        assert same(lesson.result(), alone.result()), after
        assert found == history
        assert not lesson.model.training
    assert os.listdir(tmp_path) == []


def test_a_training_stopped_again_and_again_goes_on_to_the_same_end(tmp_path: Path) -> None:
    path, alone = tmp_path / "state", Lesson()
    history, starts = alone.learn(), 0
    while True:
        lesson = Lesson()
        # A start asks for some losses first, to tell trainings apart.
        lesson.stop, starts = 4 + 2 + starts % 3, starts + 1
        try:
            with resumable(path, every=0):
                found = lesson.learn()
        except KeyboardInterrupt:
            continue
        break
    assert starts > 10
    assert same(lesson.result(), alone.result())
    assert found == history


def test_keeping_a_state_changes_nothing(tmp_path: Path) -> None:
    alone, kept = Lesson(), Lesson()
    with resumable(tmp_path / "state", every=0):
        history = kept.learn()
    assert history == alone.learn()
    assert same(kept.result(), alone.result())


def test_a_training_that_is_over_is_not_repeated(tmp_path: Path) -> None:
    path, lesson = tmp_path / "state", Lesson()
    with pytest.raises(ZeroDivisionError), resumable(path, every=0):
        lesson.keywords["rate"] = lesson.learn() and 1 / 0
    again = Lesson()
    with resumable(path) as found:
        history = again.learn()
    assert found
    # What tells trainings apart is all that is asked.
    assert again.asked <= 5
    assert same(again.result(), lesson.result())
    assert len(history.training) == 6


def three(path: Path, stop: float = math.inf, every: float = 0.0) -> tuple[list[Lesson], list[History], Tensor]:
    """Three trainings in a block, the last of the first's model again, stopped in one of them."""
    lessons = [Lesson(), Lesson(validation=0.0, seed=4), Lesson(seed=5)]
    lessons[2].model, histories = lessons[0].model, []
    torch.manual_seed(8)
    with resumable(path, every=every):
        for number, lesson in enumerate(lessons):
            lesson.stop = stop - sum(other.asked for other in lessons[:number])
            histories.append(lesson.learn())
        return lessons, histories, torch.rand(3)


def test_several_trainings_are_told_apart_by_their_order(tmp_path: Path) -> None:
    lessons, histories, draw = three(tmp_path / "state", every=1e9)
    total = sum(lesson.asked for lesson in lessons)
    for stop in range(1, total, 13):
        with pytest.raises(KeyboardInterrupt):
            three(tmp_path / "state", stop)
        again, found, after = three(tmp_path / "state")
        assert all(same(a.result(), b.result()) for a, b in zip(again, lessons, strict=True))
        assert found == histories
        assert torch.equal(after, draw)


def test_a_training_that_fails_may_be_followed_by_another(tmp_path: Path) -> None:
    def block(stop: float) -> dict[str, Tensor]:
        bad, good = Lesson(scale=math.nan), Lesson()
        with resumable(tmp_path / "state", every=0):
            with pytest.raises(GenrevError, match="finite training loss"):
                bad.learn()
            good.stop = stop
            good.learn()
        return good.result()

    wanted = block(math.inf)
    with pytest.raises(KeyboardInterrupt):
        block(17)
    assert same(block(math.inf), wanted)


def test_a_training_inside_of_a_training_is_part_of_it(tmp_path: Path) -> None:
    class Outer(Lesson):
        def loss(self, rows: Tensor) -> Tensor:
            inner = Lesson(epochs=1)
            inner.learn()
            return super().loss(rows) + inner.result()["layers.0.bias"].sum().detach() ** 2

    alone, again = Outer(epochs=2), Outer(epochs=2)
    alone.learn()
    first = Outer(epochs=2)
    first.stop = 9
    with pytest.raises(KeyboardInterrupt), resumable(tmp_path / "state", every=0):
        first.learn()
    with resumable(tmp_path / "state", every=0) as found:
        again.learn()
    assert found
    assert same(again.result(), alone.result())


def test_a_block_inside_of_a_block_keeps_its_own_file(tmp_path: Path) -> None:
    with resumable(tmp_path / "outer", every=0):
        with resumable(tmp_path / "inner", every=0):
            Lesson().learn()
            assert os.listdir(tmp_path) == ["inner"]
        Lesson().learn()
        assert os.listdir(tmp_path) == ["outer"]
    Lesson().learn()
    assert os.listdir(tmp_path) == []


def test_a_training_in_another_thread_is_not_kept(tmp_path: Path) -> None:
    with resumable(tmp_path / "state", every=0):
        thread = threading.Thread(target=lambda: Lesson().learn())
        thread.start()
        thread.join()
        assert os.listdir(tmp_path) == []


def test_the_file_is_there_until_the_block_has_ended_well(tmp_path: Path) -> None:
    with resumable(tmp_path / "state", every=0) as found:
        Lesson().learn()
        assert os.listdir(tmp_path) == ["state"]
    assert not found
    assert os.listdir(tmp_path) == []


def test_what_the_block_saved_under_the_state_s_name_stays(tmp_path: Path) -> None:
    with resumable(tmp_path / "state", every=0):
        Lesson().learn()
        write_bytes(tmp_path / "state", b"the result")
    assert (tmp_path / "state").read_bytes() == b"the result"


def test_a_state_is_a_file_that_pytorch_reads_without_unpickling(tmp_path: Path) -> None:
    stopped(tmp_path / "state", 20)
    assert torch.load(tmp_path / "state", weights_only=True)["kind"] == "genrev training"


def test_the_state_stays_where_it_is_if_the_work_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    with resumable("state", every=0):
        monkeypatch.chdir(tmp_path / "below")
        Lesson().learn()
        assert (tmp_path / "state").exists()
    assert not (tmp_path / "state").exists()


class Clock:
    """A clock that each loss and each write moves on, and nothing else."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, write: float) -> None:
        self.now, self.writes = 0.0, [0.0]

        def written(path: str, data: bytes) -> None:
            write_bytes(path, data)
            self.now += write
            self.writes.append(self.now)

        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(module, "write_bytes", written)


class Slow(Lesson):
    clock: Clock

    def loss(self, rows: Tensor) -> Tensor:
        self.clock.now += 0.1
        return super().loss(rows)


@pytest.mark.parametrize(("write", "every", "pause"), [(0.0, 1.0, 1.0), (0.001, 0.5, 0.5), (0.05, 1.0, 2.5)])
def test_saves_are_rare_enough_to_cost_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: float, every: float, pause: float
) -> None:
    lesson, clocked = Slow(epochs=20), Clock(monkeypatch, write=write)
    lesson.clock = clocked
    with resumable(tmp_path / "state", every=every):
        lesson.learn()
    # The first save comes after `every`: nobody knows yet what it takes.
    gaps = [later - earlier for earlier, later in zip(clocked.writes[1:], clocked.writes[2:], strict=False)]
    assert len(gaps) > 2
    assert min(gaps) >= pause
    assert max(gaps) <= pause + write + 0.3


def test_a_state_says_how_many_epochs_are_done_and_of_how_many(tmp_path: Path) -> None:
    path, seen = tmp_path / "state", set()
    for after in range(5, 40, 3):
        stopped(path, after)
        if path.exists():
            (run,) = torch.load(path, weights_only=True)["runs"]
            assert reached(path) == (len(run["state"]["training"]), 6)
            seen.add(reached(path)[0])
            path.unlink()
    assert len(seen) >= 3


def test_a_state_of_a_training_that_stopped_early_says_that_all_is_done(tmp_path: Path) -> None:
    path, lesson = tmp_path / "state", Lesson(patience=0, rate=3.0)
    with pytest.raises(ZeroDivisionError), resumable(path, every=0):
        lesson.keywords["rate"] = lesson.learn() and 1 / 0
    assert reached(path) == (6, 6)


@pytest.mark.parametrize("runs", [[], [{"what": {}, "over": False, "state": None}]])
def test_a_state_of_something_else_than_a_training_has_reached_nothing(tmp_path: Path, runs: list[Any]) -> None:
    stopped(tmp_path / "state", 20)
    state = torch.load(tmp_path / "state", weights_only=True) | {"runs": runs}
    torch.save(state, tmp_path / "state")
    with pytest.raises(FileError, match="delete the file to begin anew") as caught:
        reached(tmp_path / "state")
    assert_one_sentence(caught.value)


def test_the_time_that_a_killed_process_spent_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(tmp_path / "state", 30)
    state = torch.load(tmp_path / "state", weights_only=True)
    state["runs"][0]["state"]["seconds"] = 1000.0
    torch.save(state, tmp_path / "state")
    began = clock()
    with resumable(tmp_path / "state", every=0):
        inside = clock()
        Lesson().learn()
        assert 1000 <= clock() - inside < 2000
    assert clock() - began < 1000


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"seed": 9}, "with seed 3 instead of 9"),
        ({"epochs": 7}, "with epochs 6 instead of 7"),
        ({"rate": 0.1}, "with rate 0.05 instead of 0.1"),
        ({"batch_size": 11}, "with batch_size 10 instead of 11"),
        ({"weight_decay": 0.0}, "with weight_decay 0.1 instead of 0.0"),
        ({"validation": 0.2}, "with validation 0.1 instead of 0.2"),
        ({"patience": 2}, "with patience 50 instead of 2"),
        ({"label": "another"}, "with label 'training' instead of 'another'"),
        ({"size": 46}, "with examples 47 instead of 46"),
        ({"dtype": torch.float32}, "of other inputs"),
        ({"scale": 1.01}, "of other losses at the start"),
    ],
    ids=str,
)
def test_a_state_of_other_arguments_is_refused_and_kept(tmp_path: Path, other: dict[str, Any], words: str) -> None:
    path = tmp_path / "state"
    stopped(path, 20)
    before = path.read_bytes()
    with pytest.raises(FileError, match=words) as caught, resumable(path, every=0):
        Lesson(**other).learn()
    assert_one_sentence(caught.value)
    assert "delete the file" in str(caught.value)
    assert path.read_bytes() == before
    lesson, alone = Lesson(), Lesson()
    alone.learn()
    with resumable(path, every=0):
        lesson.learn()
    assert same(lesson.result(), alone.result())


def weights(lesson: Lesson) -> None:
    next(lesson.model.parameters()).data[0, 0] += 1e-9


def layers(lesson: Lesson) -> None:
    lesson.model.layers[2] = nn.ReLU()


def buffer(lesson: Lesson) -> None:
    lesson.model.steps += 1


def row(lesson: Lesson) -> None:
    lesson.x[-1, -1] += 1e-9


@pytest.mark.parametrize("change", [weights, layers, buffer, row])
def test_a_state_of_another_model_or_other_data_is_refused(tmp_path: Path, change: Callable[[Lesson], None]) -> None:
    stopped(tmp_path / "state", 20)
    lesson = Lesson()
    change(lesson)
    with (
        pytest.raises(FileError, match=r"got one of other (inputs|first weights or layers)"),
        resumable(tmp_path / "state"),
    ):
        lesson.learn()


def test_what_else_decides_the_result_is_told_apart(tmp_path: Path) -> None:
    def block(about: dict[str, Any]) -> None:
        with resumable(tmp_path / "state", about=about, every=0):
            Lesson().learn()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        block({"data": "xo", "layers": (8, 2)})
    with pytest.raises(KeyboardInterrupt):
        block({"layers": [8, 2], "data": "xo"})
    for about, words in (
        ({"data": "digits", "layers": (8, 2)}, "with data 'xo' instead of 'digits'"),
        ({"data": "xo", "layers": (8, 3)}, r"with layers \[8, 2\] instead of \[8, 3\]"),
        ({"data": "xo"}, r"with layers \[8, 2\] instead of None"),
        ({"data": "xo", "layers": (8, 2), "n": 3}, "with n None instead of 3"),
    ):
        with pytest.raises(FileError, match=words) as caught:
            block(about)
        assert_one_sentence(caught.value)


@pytest.mark.parametrize(
    "about", [{"x": torch.zeros(1)}, {"x": object()}, {1j: 2}, 3, "text"], ids=lambda about: type(about).__name__
)
def test_what_no_json_holds_is_refused(tmp_path: Path, about: Any) -> None:
    with (
        pytest.raises(ArgumentError, match="expected about as a dict") as caught,
        resumable(tmp_path / "s", about=about),
    ):
        pytest.fail("the work began")
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("every", [-1, math.nan, "often"])
def test_saves_in_no_time_are_refused(tmp_path: Path, every: Any) -> None:
    with pytest.raises(ArgumentError, match="every"), resumable(tmp_path / "state", every=every):
        pytest.fail("the work began")


def refused(path: Path) -> str:
    """The sentence by which a file is refused, which stays as it is."""
    before = path.read_bytes()
    with pytest.raises(FileError) as caught, resumable(path, every=0):
        Lesson().learn()
    assert_one_sentence(caught.value)
    assert path.read_bytes() == before
    return str(caught.value)


def test_a_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    stopped(path, 20)
    whole = path.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "got damage or another format" in refused(path)


def test_a_file_whose_bits_were_flipped_is_refused_or_means_the_same(tmp_path: Path) -> None:
    path, draw = tmp_path / "state", random.Random(0)
    stopped(path, 20)
    whole = path.read_bytes()
    wanted = digest({}, repr(torch.load(path, weights_only=True)))
    taken = 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            found = module._read(str(path), "'state'")
        except FileError as error:
            assert_one_sentence(error)
            continue
        taken += 1
        assert digest({}, repr(found)) == wanted
    # Padding and dates mean nothing.
    assert taken < 150


class Trap:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (os.environ["TRAP"],))


def test_what_would_run_when_unpickled_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    stopped(tmp_path / "state", 20)
    state = torch.load(tmp_path / "state", weights_only=True)
    for place in ("kind", "about", "extra"):
        torch.save({**state, place: Trap()}, tmp_path / "state")
        refused(tmp_path / "state")
    torch.save(Trap(), tmp_path / "state", _use_new_zipfile_serialization=False)
    refused(tmp_path / "state")
    assert not (tmp_path / "sprung").exists()


def test_a_file_of_another_kind_is_refused_and_stays(tmp_path: Path) -> None:
    for data in (b"weights", b"PK\x03\x04", b"\x80\x02}q\x00."):
        (tmp_path / "other").write_bytes(data)
        assert "check the path" in refused(tmp_path / "other")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other")
    assert "check the path" in refused(tmp_path / "other")
    torch.save(torch.zeros(2), tmp_path / "other")
    assert "check the path" in refused(tmp_path / "other")


def test_a_state_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    stopped(tmp_path / "state", 20)
    state = torch.load(tmp_path / "state", weights_only=True)
    torch.save(state | {"format": 2}, tmp_path / "state")
    assert "update genrev" in refused(tmp_path / "state")


def test_records_of_another_form_are_refused(tmp_path: Path) -> None:
    stopped(tmp_path / "state", 20)
    state = torch.load(tmp_path / "state", weights_only=True)
    record, place = state["runs"][0], state["runs"][0]["state"]["place"]
    for runs in ({}, [3], [{}], [record | {"over": 1}], [record | {"over": True, "state": None}]):
        torch.save(state | {"runs": runs}, tmp_path / "state")
        assert "records of another form" in refused(tmp_path / "state")
    values = record["state"]
    for wrong in (
        {"model": {}},
        {"model": {name: value[:1] for name, value in values["model"].items() if value.ndim}},
        {"model": {name: value.float() for name, value in values["model"].items()}},
        {"kept": {}},
        {"optimiser": {}},
        {"optimiser": values["optimiser"] | {"param_groups": []}},
        {"schedule": 3},
        {"generators": []},
        {"generators": [torch.zeros(3)]},
        {"epoch_generators": [torch.zeros(9, dtype=torch.uint8)]},
        {"place": []},
        {"place": [place[0], 99, *place[2:]]},
        {"place": [place[0], "x", *place[2:]]},
        {"training": None},
        {"training": ["x"]},
        {"chosen": None},
        {"seconds": None},
    ):
        torch.save(state | {"runs": [record | {"state": values | wrong}]}, tmp_path / "state")
        assert "values that don't fit it" in refused(tmp_path / "state"), wrong


def test_a_place_for_no_file_is_refused_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for path, words in (
        (tmp_path, "got a folder"),
        (tmp_path / "no" / "state", "got no folder"),
        (tmp_path / "file" / "state", "got a file at"),
        ("/dev/null", "got a device"),
    ):
        with pytest.raises(FileError, match=words) as caught, resumable(path):
            pytest.fail("the work began")
        assert_one_sentence(caught.value)

    def denied(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(tempfile, "TemporaryFile", denied)
    with pytest.raises(FileError, match="Permission denied") as caught, resumable(tmp_path / "state"):
        pytest.fail("the work began")
    assert_one_sentence(caught.value)
    with pytest.raises(ArgumentError, match="expected a path"), resumable(3):  # type: ignore[arg-type]
        pytest.fail("the work began")


def test_a_full_disk_is_one_sentence_and_leaves_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(tmp_path / "state", 20)
    before = (tmp_path / "state").read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(FileError, match="No space left") as caught, resumable(tmp_path / "state", every=0):
            Lesson().learn()
    assert_one_sentence(caught.value)
    assert os.listdir(tmp_path) == ["state"]
    assert (tmp_path / "state").read_bytes() == before


def test_what_a_killed_write_left_is_removed_and_others_leftovers_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(os, "unlink", killed)
        for name in ("state", "state", "other"):
            with pytest.raises(FileError):
                write_bytes(tmp_path / name, b"half")
    assert len(os.listdir(tmp_path)) == 3
    with pytest.raises(KeyboardInterrupt), resumable(tmp_path / "state"):
        raise KeyboardInterrupt
    assert len(os.listdir(tmp_path)) == 1
    write_bytes(tmp_path / "other", b"whole")
    assert (tmp_path / "other").read_bytes() == b"whole"


def letters() -> Network:
    return train_classifier(xo(60), layers=(1024, 4, 2), activation="sigmoid", epochs=2)


METHODS: dict[str, Callable[[Network], Any]] = {
    "cvae": lambda network: CVAEInverter(network, steps=12, hidden=8, latent=2, batch_size=16),
    "decoder": lambda network: DecoderInverter(network, steps=12, hidden=8, batch_size=16),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_stopped_while_it_learns_goes_on_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    network, inputs = letters(), xo(60).inputs
    alone = METHODS[name](network).fit(inputs, seed=1)

    def fit(writes: float) -> Any:
        left = [writes]

        def write(path: str, data: bytes) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            write_bytes(path, data)

        monkeypatch.setattr(module, "write_bytes", write)
        with resumable(tmp_path / "state", about={"network": network.fingerprint()}, every=0):
            return METHODS[name](network).fit(inputs, seed=1)

    for writes in (1, 3, 4):
        with pytest.raises(KeyboardInterrupt):
            fit(writes)
    again = fit(math.inf)
    assert same(again._tensors(), alone._tensors())
    assert again.history == alone.history


def test_a_classifier_stopped_while_it_learns_goes_on_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, writes = letters().fingerprint(), 0

    def write(path: str, data: bytes) -> None:
        nonlocal writes
        write_bytes(path, data)
        writes += 1
        if writes == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_bytes", write)
    with pytest.raises(KeyboardInterrupt), resumable(tmp_path / "state", every=0):
        letters()
    with resumable(tmp_path / "state", every=0) as found:
        assert letters().fingerprint() == wanted
    assert found


def run(script: Path, *options: str) -> subprocess.CompletedProcess[str]:
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True, env=surroundings)


ALONE = """
import sys, torch
from torch import nn
from genrev.tensor_files import write_tensors
from genrev.progress import logged
from genrev.resume import resumable
from genrev.training import train

torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Dropout(0.2), nn.Linear(64, 20))
x = torch.randn(400, 20, generator=torch.Generator().manual_seed(1))
with resumable("state", every=float(sys.argv[1])), logged("log"):
    train(model, lambda rows: (model(x[rows]) - x[rows].sin()).square().mean(1), 400, epochs=int(sys.argv[2]))
    write_tensors("result", model.state_dict(), {})
"""


def alone(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ALONE, *options], cwd=folder)


def lines(folder: Path) -> int:
    return (folder / "log").read_bytes().count(b"\n") if (folder / "log").exists() else 0


def chain(tmp_path: Path, kills: int, each: int, epochs: int) -> None:
    """Kill a process whenever it has done some epochs, let it end, and compare with one that wasn't killed."""
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    for kill in range(kills):
        process, before = alone(tmp_path / "killed", "0", str(epochs)), lines(tmp_path / "killed")
        while lines(tmp_path / "killed") < before + each and process.poll() is None:
            # Waits a moment for the end.
            try:
                process.wait(0.005)
            except subprocess.TimeoutExpired:
                continue
        process.kill()
        assert process.wait() == -9, kill
        assert torch.load(tmp_path / "killed" / "state", weights_only=True)["runs"]
    assert alone(tmp_path / "killed", "0", str(epochs)).wait() == 0
    assert alone(tmp_path / "whole", "1000", str(epochs)).wait() == 0
    assert (tmp_path / "killed" / "result").read_bytes() == (tmp_path / "whole" / "result").read_bytes()
    assert sorted(os.listdir(tmp_path / "killed")) == ["log", "result"]


@pytest.mark.slow
def test_a_process_that_is_killed_again_and_again_ends_the_same(tmp_path: Path) -> None:
    chain(tmp_path, kills=8, each=4, epochs=60)


def kills(count: int) -> None:
    found = run(SCRIPTS / "bench_resume.py", "--kills", str(count), "--steps", "40", "--long", "0")
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{count} kills" in found.stdout
    assert f"{count} identical ends, 0 unreadable files, 0 files left behind" in found.stdout


def test_a_few_kills_at_random_moments_leave_identical_ends() -> None:
    kills(2)


@pytest.mark.slow
def test_a_hundred_kills_at_random_moments_leave_identical_ends() -> None:
    kills(100)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_training_on_a_gpu_goes_on_with_its_generators(tmp_path: Path) -> None:
    def learn(stop: float) -> dict[str, Tensor]:
        lesson = Lesson(dtype=torch.float32)
        lesson.model, lesson.x, lesson.stop = lesson.model.cuda(), lesson.x.cuda(), stop
        with resumable(tmp_path / "state", every=0):
            lesson.learn()
        return lesson.result()

    wanted = learn(math.inf)
    with pytest.raises(KeyboardInterrupt):
        learn(22)
    found = learn(math.inf)
    assert all(torch.allclose(found[name], wanted[name], rtol=1e-4) for name in wanted)


def test_time_is_measured_outside_of_a_block_as_ever() -> None:
    assert abs(clock() - time.perf_counter()) < 100


def test_long_arguments_are_shown_from_where_they_differ(tmp_path: Path) -> None:
    command = "genrev train cvae --network a/very/long/path/to/some/network.safetensors --out cvae.safetensors --set"
    lesson = Lesson()
    lesson.stop = 20
    with pytest.raises(KeyboardInterrupt), resumable(tmp_path / "state", about={"of": f"{command} steps=4"}, every=0):
        lesson.learn()
    with pytest.raises(FileError) as caught, resumable(tmp_path / "state", about={"of": f"{command} steps=7"}):
        pass
    assert "got one with of ... steps=4 instead of ... steps=7; delete the file" in str(caught.value)
    assert_one_sentence(str(caught.value))
