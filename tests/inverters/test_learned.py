"""Tests of what trained inverters share: what one training leaves behind, and what a failed one must not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import genrev
from genrev import CVAEInverter, DecoderInverter, InputSpace, Inverter, Network
from genrev.errors import GenrevError
from genrev.inverters import cvae
from genrev.inverters.conditions import MEMBERS, Conditions
from genrev.inverters.learned import Course, Schedule, restore

QUICK: dict[str, Any] = {"steps": 30, "hidden": 16}
KINDS = [CVAEInverter, DecoderInverter]

every = pytest.mark.parametrize("kind", KINDS)


def network() -> Network:
    torch.manual_seed(3)
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3), nn.Softmax(-1))
    return Network(module, space=InputSpace((1, 2, 3), 0.0, 1.0))


def inputs(n: int = 40, *, seed: int = 7) -> Tensor:
    return torch.rand(n, 1, 2, 3, generator=torch.Generator().manual_seed(seed))


def linear(conditions: Conditions) -> nn.Linear:
    return nn.Linear(conditions.size, 6)


def course(x: Tensor, *, seed: int = 0) -> Course[nn.Linear]:
    return Course(network(), torch.full((3,), 1e-3), x, linear, seed=seed)


def state(inverter: Inverter) -> tuple[Any, ...]:
    """All that an answer, a file and a report read of a fit."""
    history = getattr(inverter, "history", None)
    return inverter._tensors(), history, inverter.data, inverter.fit_seed, inverter.fit_seconds


# A failed fit


def answers_as_before(inverter: Inverter, fail: Any) -> None:
    target = [[0.2, 0.3, 0.5]]
    before, found = state(inverter), inverter.reconstruct(target, samples=2, seed=0).x
    with pytest.raises(GenrevError, match="expected"):
        fail()
    tensors, *others = state(inverter)
    assert all(now is then for now, then in zip(others, before[1:], strict=True))
    assert tensors.keys() == before[0].keys()
    assert all(torch.equal(tensors[name], before[0][name]) for name in tensors)
    assert torch.equal(inverter.reconstruct(target, samples=2, seed=0).x, found)


@every
def test_a_second_fit_whose_training_fails_leaves_the_first(kind: type[Inverter]) -> None:
    inverter = kind(network(), **QUICK).fit(inputs(), seed=1)
    inverter.rate = 1e200  # type: ignore[attr-defined]
    answers_as_before(inverter, lambda: inverter.fit(inputs(seed=8), seed=2))


def test_a_second_fit_of_cvae_that_fails_after_training_leaves_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    inverter = CVAEInverter(network(), **QUICK).fit(inputs(), seed=1)
    posterior = cvae.ConditionalVAE.posterior

    def failing(self: Any, x: Tensor, condition: Tensor) -> Any:
        # Only what is kept of the members asks for all of them at once.
        if len(x) == 40:
            raise GenrevError("expected a posterior, got none")
        return posterior(self, x, condition)

    monkeypatch.setattr(cvae.ConditionalVAE, "posterior", failing)
    answers_as_before(inverter, lambda: inverter.fit(inputs(seed=8), seed=2))


@every
def test_a_first_fit_that_fails_leaves_the_inverter_unfitted(kind: type[Inverter]) -> None:
    inverter = kind(network(), **QUICK, rate=1e200)
    with pytest.raises(GenrevError, match="finite training loss"):
        inverter.fit(inputs())
    assert not inverter.fitted
    assert inverter.history is None  # type: ignore[attr-defined]


# What a file holds


@every
def test_a_file_keeps_its_names_so_that_older_ones_load(kind: type[Inverter]) -> None:
    tensors = kind(network(), **QUICK).fit(inputs())._tensors()
    own = {name for name in tensors if not name.startswith("model.")}
    assert own == {"outputs", "centre", "unit"} | ({"posterior"} if kind is CVAEInverter else set())


@every
def test_what_was_learned_is_restored_whole(kind: type[Inverter], tmp_path: Any) -> None:
    inverter = kind(network(), **QUICK).fit(inputs(), seed=1)
    genrev.save(inverter, tmp_path / "inverter.safetensors")
    again = genrev.load(tmp_path / "inverter.safetensors", network=inverter.network)
    target = [[0.2, float("nan"), 0.5]]
    assert torch.equal(*(one.reconstruct(target, samples=3, seed=0).x for one in (inverter, again)))


def test_what_a_method_keeps_beside_its_model_comes_back() -> None:
    taken = course(inputs())
    table = torch.arange(2.0 * len(taken.members)).reshape(-1, 2)
    learned = taken.learned(table=table)
    again = restore(network(), torch.full((3,), 1e-3), linear, learned.tensors(), table=2)
    assert again.kept.keys() == {"table"}
    assert torch.equal(again.kept["table"], table)
    assert torch.equal(again.conditions.members, learned.conditions.members)
    assert not again.model.training
    assert not any(parameter.requires_grad for parameter in again.model.parameters())


# The latents of cvae


@pytest.mark.parametrize(("n", "near"), [(40, 10), (2000, 256)])
def test_latents_come_from_the_nearest_quarter_of_few_inputs_and_the_nearest_256_of_many(
    n: int, near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inverter = CVAEInverter(network(), steps=1, hidden=4, latent=1).fit(inputs(n))
    learned = inverter._learned
    # Latents that are the members' own numbers, beyond doubt.
    learned.kept["posterior"] = torch.stack([torch.arange(float(n)), torch.full((n,), -40.0)], 1)
    drawn: list[Tensor] = []
    decode = learned.model.decode
    monkeypatch.setattr(learned.model, "decode", lambda z, given: drawn.append(z[:, 0]) or decode(z, given))
    target = inverter.network.evaluate(inputs(1))
    inverter.reconstruct(target, samples=4000, seed=0)
    distance = (learned.conditions.members - learned.conditions.of(target)).square().sum(1)
    assert set(torch.cat(drawn).round().int().tolist()) == set(distance.argsort()[:near].tolist())


# The course


def test_examples_are_of_unit_scale_and_in_the_order_of_the_inputs() -> None:
    x = inputs()
    lessons = course(x)
    torch.testing.assert_close(lessons.units.inputs(lessons.wanted), x)
    torch.testing.assert_close(lessons.given.mean(0), torch.zeros(3))
    torch.testing.assert_close(lessons.given.std(0), torch.ones(3))
    assert torch.equal(lessons.conditions.members, lessons.given[lessons.members])


def test_no_more_members_are_kept_than_it_says() -> None:
    lessons = course(inputs(MEMBERS + 5))
    assert lessons.members.shape == (MEMBERS,)
    assert len(lessons.members.unique()) == MEMBERS
    assert len(lessons.given) == MEMBERS + 5


def test_first_weights_and_members_come_from_the_seed() -> None:
    one, again, other = (course(inputs(), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.model.weight, again.model.weight)
    assert torch.equal(one.members, again.members)
    assert not torch.equal(one.model.weight, other.model.weight)
    assert not torch.equal(one.members, other.members)


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (4, 1), (5, 2), (12, 3)])
def test_it_trains_for_as_many_epochs_as_the_steps_fill(steps: int, epochs: int) -> None:
    lessons = course(inputs(40))

    def loss(rows: Tensor) -> Tensor:
        return (lessons.model(lessons.given[rows]) - lessons.wanted[rows]).square().mean(1)

    history = lessons.train(lessons.model, loss, Schedule(steps, 10, 1e-3, 0.0), label="test")
    assert len(history.training) == epochs
