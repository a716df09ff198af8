"""Tests of how deep belief networks learn: greedily, and then up and down, against brute force on a tiny stack."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch
from machines import log_likelihoods
from sentences import assert_one_sentence
from torch import Tensor

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


class StoppedError(Exception):
    pass


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

    whole, left, original = work(), [after], RBM.slopes

    def slopes(self: RBM, *given: Tensor) -> dict[str, Tensor]:
        left[0] -= 1
        if left[0] < 0:
            raise StoppedError
        return original(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(RBM, "slopes", slopes)
        with pytest.raises(StoppedError), resumable(tmp_path / "state", every=0):
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
    ],
)  # fmt: skip
def test_a_mistake_gives_one_sentence(mistake) -> None:
    with pytest.raises(ArgumentError) as caught:
        learn_stack(**{"v": DATA, "hidden": (3, 4), "lesson": QUICK, **mistake})
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("y", [None, torch.eye(3)[:2].repeat(4, 1), torch.eye(2)])
def test_outputs_that_do_not_stand_on_top_are_refused(y) -> None:
    dbn = DBN([BeliefLayer("bernoulli", 4, 3)], RBM([("bernoulli", 3), ("one-hot", 2)], 4))
    with pytest.raises(ArgumentError, match="expected outputs of shape") as caught:
        fine_tune(dbn, DATA, y)
    assert_one_sentence(str(caught.value))
