"""Tests of matrices whose rows are spread over processes: the answers are those of one, and each has its share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import children
import pytest
import sharded_checks
import torch
from safetensors.torch import save_file
from sentences import assert_one_sentence
from torch import Tensor, nn

import genrev
from genrev import InputSpace, Network
from genrev.errors import ArgumentError, FileError
from genrev.models import ShardedLinear
from genrev.operators import Dense, Gathered, Sharded, cgnr, prepare
from genrev.operators.processes import Processes, is_spread, own_part

CHECKS = [
    "products",
    "shares",
    "a_tensor_that_is_not_spread_by_rows",
    "one_message_an_iteration",
    "least_squares",
    "processes_with_other_numbers_of_threads_decide_alike",
    "slopes",
    "inverters_give_what_they_give_on_one_process",
    "ways_are_chosen",
    "jacobians_of_many_outputs",
    "bounds_are_those_of_the_whole",
    "fingerprint",
    "states",
    "files",
    "wrong_parts_are_refused_on_all",
    "networks_are_copied_with_their_wide_layers_spread",
    "a_part_of_the_processes",
]


def near(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)], ids=str)
def found(request: Any, tmp_path_factory: Any) -> list[dict[str, Any]]:
    """What each of the processes found; all checks are made by the same ones, since to start them takes longest."""
    return children.run("sharded_checks", request.param, tmp_path_factory.mktemp("processes"), CHECKS)


@pytest.mark.parametrize("check", CHECKS)
def test_processes_agree_on(found: list[dict[str, Any]], check: str) -> None:
    assert all(one[check] == found[0][check] for one in found) or check == "shares"


def test_each_process_holds_its_share(found: list[dict[str, Any]]) -> None:
    held = [one["shares"] for one in found]
    assert held in (
        [[4001, 4, 1, 1], [4000, 4, 1, 0]],
        [[2667, 3, 1, 1], [2667, 3, 1, 0], [2667, 2, 0, 0]],
    )


def test_a_network_is_the_same_one_on_any_number_of_processes(found: list[dict[str, Any]]) -> None:
    network, _ = sharded_checks.networks(widths=(6, 9, 5))
    assert found[0]["fingerprint"] == network.fingerprint()


def test_answers_do_not_depend_on_the_number_of_processes(
    found: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the processes compare is for them alone.
    monkeypatch.setattr(sharded_checks, "same_on_all", lambda values: None)
    torch.manual_seed(0)
    alone = sharded_checks.inverters_give_what_they_give_on_one_process()
    for one, other in zip(found[0]["inverters_give_what_they_give_on_one_process"], alone, strict=True):
        near(torch.tensor(one), torch.tensor(other), 1e-6)


def test_a_process_that_dies_is_no_riddle_to_the_others(tmp_path: Path) -> None:
    children.run("sharded_checks", 2, tmp_path, ["one_process_dies"])


@pytest.mark.slow
def test_a_check_that_fails_in_one_process_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="this one went wrong"):
        children.run("sharded_checks", 2, tmp_path, ["one_process_fails"])


def test_processes_that_wait_for_one_another_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "SECONDS", 0.5)
    with pytest.raises(AssertionError, match="wait for one another"):
        children.run("sharded_checks", 2, tmp_path, ["one_process_waits"])


# A process alone


def test_a_process_alone_needs_no_group() -> None:
    layer = nn.Linear(5, 7)
    alone = ShardedLinear.of(layer)
    near(alone(torch.ones(2, 5)), layer(torch.ones(2, 5)))
    assert not is_spread(alone.weight)
    assert own_part(alone.weight).shape == (7, 5)
    alone.load_state_dict(nn.Linear(5, 7).state_dict())
    weights, b = Sharded(torch.randn(9, 4)), torch.randn(2, 9)
    true = torch.linalg.lstsq(weights.dense(), b.T).solution.T
    near(cgnr(weights, b, tolerance=1e-14).x, true, 1e-10)
    near(prepare(Gathered(weights)).solve(b).x, true, 1e-10)
    x = torch.randn(2, 4)
    for one, other in zip(weights.probe(x, b), Dense(weights.dense()).probe(x, b), strict=True):
        near(one, other)


def test_a_process_that_was_started_as_one_of_several_needs_their_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for run in (
        Processes,
        lambda: ShardedLinear(torch.ones(2, 2)),
        lambda: ShardedLinear.of(nn.Linear(2, 2)),
        lambda: genrev.shard(nn.Linear(2, 2000)),
    ):
        with pytest.raises(ArgumentError, match="init_process_group") as caught:
            run()
        assert_one_sentence(caught.value)
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(ArgumentError, match="init_process_group") as caught:
        Processes(object())
    assert_one_sentence(caught.value)
    near(ShardedLinear(torch.ones(2, 2))(torch.ones(1, 2)), torch.full((1, 2), 2.0))


def test_what_a_process_alone_is_given_wrong_is_said(tmp_path: Path) -> None:
    save_file({"w": torch.tensor([[1.0, torch.inf]])}, tmp_path / "weights")
    for kind, run in (
        (ArgumentError, lambda: ShardedLinear(torch.ones(3))),
        (ArgumentError, lambda: ShardedLinear(torch.ones(0, 3))),
        (ArgumentError, lambda: ShardedLinear(torch.ones(3, 0))),
        (ArgumentError, lambda: ShardedLinear(torch.ones(3, 3, dtype=torch.int64))),
        (ArgumentError, lambda: ShardedLinear(torch.ones(3, 3), torch.ones(2))),
        (ArgumentError, lambda: ShardedLinear(torch.full((3, 3), torch.nan))),
        (ArgumentError, lambda: ShardedLinear.of(nn.Tanh())),
        (ArgumentError, lambda: ShardedLinear.share(-1)),
        (ArgumentError, lambda: ShardedLinear.from_file(tmp_path / "weights", "w")),
        (FileError, lambda: ShardedLinear.from_file(tmp_path / "nowhere", "w")),
        (ArgumentError, lambda: genrev.shard(nn.Linear(2, 2), width=0)),
        (ArgumentError, lambda: genrev.shard("network")),
    ):
        with pytest.raises(kind) as caught:
            run()
        assert_one_sentence(caught.value)


def test_the_layer_of_a_process_alone_works_as_any_other() -> None:
    layer = nn.Linear(3, 2)
    alone, x = ShardedLinear.of(layer), torch.randn(2, 3, requires_grad=True)
    assert torch.autograd.gradcheck(alone, (x,), check_batched_grad=True)
    network = Network(nn.Sequential(alone, nn.Sigmoid()), space=InputSpace((3,), 0.0, 1.0))
    assert bool(network.reachable_box().contains(network.evaluate(torch.rand(9, 3))).all())
