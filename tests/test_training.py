"""Tests of the training loop: what it keeps, when it stops, what it draws, and what it leaves as it was."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor, nn

from genrev.errors import ArgumentError, GenrevError
from genrev.training import History, seeded, train

X = torch.linspace(-1, 1, 60, dtype=torch.float64)[:, None]


def line() -> nn.Linear:
    with seeded(1):
        return nn.Linear(1, 1)


def fit(model: nn.Module, size: int = 60, **keywords: Any) -> History:
    return train(model, lambda rows: (model(X[rows]) - 3 * X[rows])[:, 0].square(), size, **{"epochs": 5} | keywords)


def values(model: nn.Module) -> list[Tensor]:
    return [value.detach().clone() for value in model.parameters()]


def test_it_finds_the_least_squares() -> None:
    model = line()
    fit(model, epochs=200, rate=0.1)
    assert model.weight.item() == pytest.approx(3, abs=1e-2)
    assert model.bias.item() == pytest.approx(0, abs=1e-2)


def test_it_is_adam_with_decoupled_decay_and_a_half_cosine() -> None:
    """In one batch without a validation share nothing is random but the order, on which the mean doesn't depend."""
    model, plain = line(), line()
    fit(model, epochs=7, batch_size=60, rate=0.1, weight_decay=0.3, validation=0.0)
    groups = [{"params": [plain.weight], "weight_decay": 0.3}, {"params": [plain.bias], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=0.1)
    for epoch in range(7):
        for group in optimiser.param_groups:
            group["lr"] = 0.05 * (1 + math.cos(math.pi * epoch / 7))
        optimiser.zero_grad()
        (plain(X) - 3 * X).square().mean().backward()
        optimiser.step()
    for found, wanted in zip(values(model), values(plain), strict=True):
        assert torch.allclose(found, wanted, rtol=1e-12)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    models = [line() for _ in range(3)]
    histories = [fit(model, seed=seed) for model, seed in zip(models, (0, 0, 1), strict=True)]
    first, again, other = (values(model) for model in models)
    assert all(map(torch.equal, first, again))
    assert histories[0] == histories[1]
    assert not torch.equal(first[0], other[0])


def test_the_generators_stay_as_they_were() -> None:
    before = torch.get_rng_state()
    fit(line())
    assert torch.equal(torch.get_rng_state(), before)


def test_each_epoch_sees_each_example_once_in_an_order_of_its_own() -> None:
    seen: list[list[int]] = []
    model = line()

    def loss(rows: Tensor) -> Tensor:
        if model.training:
            seen.append(rows.tolist())
        return model(X[rows])[:, 0].square()

    train(model, loss, 60, epochs=2, batch_size=20, validation=0.0)
    first, second = ([row for batch in seen[begin : begin + 3] for row in batch] for begin in (0, 3))
    assert [len(batch) for batch in seen] == [20] * 6
    assert sorted(first) == sorted(second) == list(range(60))
    assert first != second


@pytest.mark.parametrize(("size", "share", "held"), [(60, 0.1, 6), (60, 0.25, 15), (9, 0.5, 0), (60, 0.0, 0)])
def test_the_validation_share_is_never_learned_from(size: int, share: float, held: int) -> None:
    learned, kept = set(), set()
    model = line()

    def loss(rows: Tensor) -> Tensor:
        (learned if model.training else kept).update(rows.tolist())
        return model(X[rows])[:, 0].square()

    history = train(model, loss, size, epochs=3, batch_size=7, validation=share)
    assert len(kept) == held
    assert learned | kept == set(range(size))
    assert not learned & kept
    assert len(history.validation) == (3 if held else 0)


def test_the_weights_that_did_best_are_kept() -> None:
    model, seen = line(), []

    def loss(rows: Tensor) -> Tensor:
        if not model.training:
            seen.append(values(model))
        return (model(X[rows]) - 3 * X[rows])[:, 0].square()

    # At this rate each step goes too far.
    history = train(model, loss, 60, epochs=30, rate=5.0, batch_size=60)
    assert history.best == history.validation.index(min(history.validation))
    assert history.best < 29
    assert all(map(torch.equal, values(model), seen[history.best]))


def test_it_stops_when_the_patience_is_out() -> None:
    model = line()
    history = train(model, lambda rows: model(X[rows])[:, 0] * 0 + 1, 60, epochs=30, patience=4)
    assert history.validation == [1.0] * 5
    assert history.best == 0


def test_without_a_validation_share_the_last_weights_are_kept() -> None:
    history = fit(line(), epochs=4, validation=0.0)
    assert (len(history.training), history.validation, history.best) == (4, [], 3)


def test_no_epochs_leave_the_weights_as_they_are() -> None:
    model = line()
    before = values(model)
    assert fit(model, epochs=0) == History()
    assert all(map(torch.equal, values(model), before))
    assert not model.training


def test_the_history_has_the_mean_loss_of_each_epoch() -> None:
    model = line()
    constant = torch.arange(10.0)
    history = train(
        model, lambda rows: constant[rows] + 0 * model(X[rows])[:, 0], 10, epochs=2, batch_size=4, validation=0.0
    )
    assert history.training == pytest.approx([4.5, 4.5])


def test_a_history_comes_back_from_its_own_values() -> None:
    history = fit(line())
    assert History(**vars(history)) == history


def test_a_loss_that_is_not_finite_is_one_sentence() -> None:
    model = line()
    with pytest.raises(GenrevError, match="expected a finite training loss, got nan") as caught:
        train(model, lambda rows: model(X[rows])[:, 0] * math.nan, 60, epochs=1)
    assert_one_sentence(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": -1}, {"epochs": 1.5}, {"batch_size": 0}, {"rate": 0.0}, {"weight_decay": -1.0}, {"patience": -1}],
    ids=str,
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(wrong))) as caught:
        fit(line(), **wrong)
    assert_one_sentence(caught.value)


def test_it_learns_where_gradients_are_switched_off() -> None:
    model, other = line(), line()
    fit(other)
    with torch.no_grad():
        fit(model)
    assert all(map(torch.equal, values(model), values(other)))


def test_the_validation_draws_alike_after_every_epoch() -> None:
    model, draws = line(), []

    def loss(rows: Tensor) -> Tensor:
        noise = torch.rand(1)
        if not model.training:
            draws.append(noise.item())
        return model(X[rows])[:, 0].square() + noise

    train(model, loss, 60, epochs=4)
    assert len(set(draws)) == 1
    assert len(draws) == 4


def test_running_means_are_those_of_the_weights_that_are_kept() -> None:
    model: nn.Module = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1))
    means = []

    def loss(rows: Tensor) -> Tensor:
        if not model.training:
            means.append(np.asarray(model[0].running_mean).copy())  # type: ignore[index]
        return (model(X[rows]) - 3 * X[rows])[:, 0].square()

    history = train(model, loss, 60, epochs=12, rate=5.0, batch_size=20)
    assert np.array_equal(np.asarray(model[0].running_mean), means[history.best])  # type: ignore[index]
