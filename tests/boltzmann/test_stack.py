"""Tests of how deep belief networks learn: greedily, and then up and down, against brute force on a tiny stack."""

from __future__ import annotations

import copy
import math
import os
from pathlib import Path

import pytest
import torch
from machines import StoppedError, log_likelihoods, stopped
from sentences import assert_one_sentence

from genrev.benchmarks.stripes import bars_and_stripes
from genrev.boltzmann.learning import Lesson
from genrev.boltzmann.stack import learn_stack
from genrev.boltzmann.updown import UpDown, fine_tune
from genrev.errors import ArgumentError, FileError
from genrev.models.dbn import DBN, BeliefLayer
from genrev.models.rbm import RBM
from genrev.resume import resumable
from genrev.training import seeded

DATA = bars_and_stripes(2).double()
QUICK = Lesson(epochs=5, batch_size=8)


def learned(epochs: int = 60, hidden: tuple[int, ...] = (4, 3), **keywords) -> DBN:
    lesson = Lesson(epochs=epochs, batch_size=8, rate=0.1)
    dbn, _ = learn_stack(DATA.repeat(50, 1), hidden, lesson=lesson, seed=0, **keywords)
    return dbn


def mean_likelihood(dbn: DBN) -> float:
    places = (DATA @ (2.0 ** torch.arange(3, -1, -1)).double()).long()
    return float(log_likelihoods(dbn)[places].mean())


def test_a_greedy_stack_knows_more_of_its_data_than_chance() -> None:
    # By base rates alone each pixel is a coin.
    assert mean_likelihood(learned(epochs=60)) > -4 * 0.6931 + 0.2


def test_up_down_learning_makes_the_data_likelier() -> None:
    dbn = learned(epochs=5)
    before = mean_likelihood(dbn)
    fine_tune(dbn, DATA.repeat(50, 1), lesson=UpDown(epochs=60, batch_size=8, rate=0.1), seed=0)
    assert mean_likelihood(dbn) > before + 0.1


def test_one_update_climbs_by_what_autograd_says_of_each_way() -> None:
    dbn, data = learned(epochs=5, hidden=(4, 3, 3)), DATA[3:4]
    after = copy.deepcopy(dbn)
    fine_tune(after, data, lesson=UpDown(epochs=1, batch_size=1, rate=1e-3, weight_decay=0.0, gibbs=1), seed=4)
    # The same draws again.
    with seeded(4):
        from genrev.boltzmann.chains import Draws

        draw = Draws(1, data)
        torch.randperm(1)
        below, wake, sleep = dbn.beliefs[0].below.drawn(data), [], []
        for layer in dbn.beliefs:
            code = layer.sample_code(below, draw)
            wake.append((layer, below, code))
            below = code
        code = dbn.top.gibbs(below, draw)
        for layer in reversed(dbn.beliefs):
            below = layer.sample(code, draw)
            sleep.append((layer, below, code))
            code = below
    moved = dict(after.named_parameters())
    dbn.requires_grad_(True)
    gain = sum(layer.log_likelihood(below, code).sum() for layer, below, code in wake)
    guess = sum(layer.log_guess(code, below).sum() for layer, below, code in sleep)
    (gain + guess).backward()
    for name, values in dbn.named_parameters():
        if ".down." in name or ".up." in name:
            # The way down that sleep draws by is the one that waking has just changed, by a thousandth.
            torch.testing.assert_close(moved[name] - values, 1e-3 * values.grad, rtol=0.02, atol=2e-6)


@pytest.mark.parametrize("after", [2, 9, 23])
def test_a_stack_stopped_anywhere_goes_on_to_the_same_end(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    y = torch.eye(2).repeat(4, 1).double()

    def work() -> DBN:
        dbn, _ = learn_stack(DATA, (3, 4), outputs=[("one-hot", 2)], y=y, lesson=Lesson(epochs=4, batch_size=3), seed=1)
        fine_tune(dbn, DATA, y, UpDown(epochs=4, batch_size=3), seed=1)
        return dbn

    whole = work()
    with stopped(after), resumable(tmp_path / "state", every=0):
        work()
    with resumable(tmp_path / "state", every=0) as found:
        again = work()
    assert found
    for name, values in whole.state_dict().items():
        assert torch.equal(values, again.state_dict()[name]), name


def test_a_state_of_another_fine_tuning_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    dbn = learned(epochs=1)
    other = copy.deepcopy(dbn)
    with pytest.raises(StoppedError), resumable(tmp_path / "state", every=0):
        _and_stop(dbn)
    with pytest.raises(FileError) as caught, resumable(tmp_path / "state", every=0):
        fine_tune(other, DATA, lesson=UpDown(epochs=3), seed=0)
    assert_one_sentence(str(caught.value))


def _and_stop(dbn: DBN) -> None:
    fine_tune(dbn, DATA, lesson=UpDown(epochs=2), seed=0)
    raise StoppedError


def test_real_inputs_have_a_stack_too() -> None:
    data = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)).double() * 5 + 2
    dbn, _ = learn_stack(data, (4, 5), kind="gaussian", lesson=Lesson(epochs=20, rate=0.01), seed=0)
    assert torch.allclose(dbn.decode(dbn.encode(data), None).mean(0), data.mean(0), atol=2.0)


@pytest.mark.parametrize(
    "mistake",
    [
        {"hidden": (3,)}, {"hidden": (3, 0)}, {"v": DATA * 2}, {"y": torch.eye(2).repeat(4, 1)},
        {"outputs": [("one-hot", 2)], "y": torch.ones(8, 2)}, {"outputs": [("one-hot", 2)]}, {"v": DATA[:1]},
        {"hidden": None}, {"hidden": 5}, {"hidden": "ab"}, {"hidden": (3, 2.5)}, {"hidden": {3: 4, 5: 6}},
        {"v": None}, {"v": DATA[0]}, {"v": DATA[:, :0]}, {"v": DATA * math.nan}, {"kind": "xx"}, {"kind": None},
        {"outputs": [("xx", 2)], "y": torch.eye(2).repeat(4, 1)}, {"outputs": ["xx"], "y": torch.eye(2).repeat(4, 1)},
        {"outputs": [("one-hot", 2)], "y": torch.eye(2)}, {"outputs": [("one-hot", 2)], "y": torch.eye(2)[0]},
        {"outputs": [("one-hot", 2)], "y": [[0, 1]] * 8}, {"outputs": [("one-hot", 2)], "y": math.nan * DATA[:, :2]},
        {"lesson": "pcd"}, {"top": UpDown()}, {"seed": -1}, {"seed": "x"},
    ],
)  # fmt: skip
def test_a_mistake_gives_one_sentence(mistake) -> None:
    with pytest.raises(ArgumentError) as caught:
        learn_stack(**{"v": DATA, "hidden": (3, 4), "lesson": QUICK, **mistake})
    assert_one_sentence(str(caught.value))


def test_what_the_last_machine_cannot_learn_is_told_before_the_first_one_learns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("genrev.boltzmann.stack.learn", None)
    with pytest.raises(ArgumentError, match="sum to 1"):
        learn_stack(DATA, (3, 4), outputs=[("one-hot", 2)], y=torch.ones(8, 2))


@pytest.mark.parametrize("hidden", [[3, 4], torch.tensor([3, 4]), torch.tensor([3, 4]).numpy()])
def test_widths_come_as_a_list_a_tensor_or_an_array(hidden) -> None:
    dbn, _ = learn_stack(DATA, hidden, lesson=Lesson(epochs=1))
    assert (dbn.beliefs[0].code.size, dbn.top.hidden.size) == (3, 4)


def labelled() -> DBN:
    return DBN([BeliefLayer("bernoulli", 4, 3)], RBM([("bernoulli", 3), ("one-hot", 2)], 4)).double()


LABELS = torch.eye(2).repeat(4, 1).double()


@pytest.mark.parametrize(
    "y", [None, torch.eye(3)[:2].repeat(4, 1), LABELS[:2], LABELS[0], LABELS[:0], "x", [[1, 0]] * 8]
)
def test_outputs_that_do_not_stand_on_top_are_refused(y) -> None:
    with pytest.raises(ArgumentError, match="expected outputs of shape") as caught:
        fine_tune(labelled(), DATA, y)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    "mistake",
    [
        {"dbn": None}, {"dbn": RBM([("bernoulli", 4)], 3)}, {"lesson": Lesson()}, {"lesson": "x"}, {"seed": -1},
        {"v": None}, {"v": DATA.tolist()}, {"v": DATA[0]}, {"v": DATA[:, :3]}, {"v": DATA * math.nan}, {"v": DATA * 2},
        {"v": DATA[:0], "y": LABELS[:0]}, {"y": 5 * LABELS}, {"y": -LABELS}, {"y": math.nan * LABELS},
    ],
)  # fmt: skip
def test_fine_tuning_refuses_what_is_none_of_the_network_s_in_one_sentence(mistake) -> None:
    with pytest.raises(ArgumentError) as caught:
        fine_tune(**{"dbn": labelled(), "v": DATA, "y": LABELS, "lesson": UpDown(epochs=1), **mistake})
    assert_one_sentence(str(caught.value))
