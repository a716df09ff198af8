"""Tests of chains on their way: each frame is the draw of a method with fewer steps, and the end is the answer."""

from __future__ import annotations

import copy
import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from sentences import assert_one_sentence
from test_comparison import assert_same, draw, judge, parts, run
from torch import Tensor, nn

from genrev import BestOf, Comparison, DBNInverter, InputSpace, Network, NewtonInverter, RBMInverter, Refined
from genrev.comparison.chain import courses, ladder
from genrev.comparison.plain import plain
from genrev.errors import ArgumentError, FileError
from genrev.inverter import Inverter, Outcome, Problem, Proposal, Traits
from genrev.report import shown
from genrev.tensor_files import read_tensors, write_tensors

QUICK: dict[str, Any] = {"steps": 2, "hidden": 5}


def network(outputs: int = 3, head: nn.Module | None = None) -> Network:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, outputs), head or nn.Softmax(-1))
    with torch.no_grad():
        module[1].weight.mul_(8)
    return Network(module, space=InputSpace((1, 2, 2), 0.0, 1.0))


def rbm(net: Network, **keywords: Any) -> RBMInverter:
    return RBMInverter(net, **{**QUICK, "gibbs": 12, **keywords}).fit(parts()["training"], seed=0)


@cache
def made() -> tuple[Comparison, dict[str, Inverter]]:
    net = network()
    dbn = DBNInverter(net, **{**QUICK, "hidden": (5, 6), "gibbs": 5}).fit(parts()["training"], seed=0)
    newton = NewtonInverter(net).fit(parts()["training"])
    inverters = {"rbm": rbm(net, match=0.5), "dbn": dbn, "newton": newton, "dbn+newton": Refined(dbn, newton)}
    return run(net, inverters, parts(), judge=judge, samples=3, seed=4, names=list("abc")), inverters


def agreement(judged: Tensor, wanted: Tensor) -> list[float]:
    return [sum(int(a == b) for a, b in zip(column, wanted, strict=True)) / len(wanted) for column in judged.T]


# What is measured


@pytest.mark.parametrize("name", ["rbm", "dbn"])
def test_each_frame_is_what_the_method_draws_with_that_many_steps(name: str) -> None:
    comparison, inverters = made()
    chain, inverter = comparison.chains[name], copy.copy(inverters[name])
    assert chain.steps.tolist() == {"rbm": [0, 1, 2, 5, 12], "dbn": [0, 1, 2, 5]}[name]
    assert chain.targets.tolist() == list(range(12))
    for place, count in enumerate(chain.steps.tolist()):
        inverter.gibbs = count
        found = inverter.reconstruct(comparison.targets, seed=4)
        assert torch.equal(chain.residual[:, place], found.residual[:, 0])
        assert torch.equal(chain.outcome[:, place], found.outcome[:, 0])
        assert torch.equal(chain.seen[:, place], found.y[:, 0].argmax(1))
        assert torch.equal(chain.judged[:, place], judge(found.x[:, 0]))
        assert torch.equal(chain.x[:, place], found.x[chain.filmed, 0])


@pytest.mark.parametrize("name", ["rbm", "dbn"])
def test_the_end_is_the_answer_that_the_comparison_measures(name: str) -> None:
    comparison, _ = made()
    chain, answer = comparison.chains[name], comparison.answers[name]
    assert torch.equal(chain.x[:, -1], answer.x[chain.filmed, 0])
    assert torch.equal(chain.residual[:, -1], answer.residual[chain.targets, 0])
    wanted = comparison.targets.argmax(1)
    said = plain(comparison)["chains"][name]
    assert said["courses"]["judge_agreement"][-1] == agreement(answer.judged[:, :1], wanted)[0]
    assert said["courses"]["judge_agreement"] == agreement(chain.judged, wanted[chain.targets])
    assert said["courses"]["network_agreement"] == agreement(chain.seen, wanted[chain.targets])
    assert said["courses"]["residual_median"] == pytest.approx(chain.residual.double().quantile(0.5, 0).tolist())
    assert said["whole"]


def test_real_and_random_inputs_stand_beside_for_the_same_targets() -> None:
    comparison, _ = made()
    frame, wanted = plain(comparison)["chains"]["rbm"]["frame"], comparison.targets.argmax(1)
    for name in ("real", "noise"):
        answer = comparison.answers[name]
        assert frame[name]["judge_agreement"] == agreement(answer.judged[:, :1], wanted)[0]
        assert frame[name]["network_agreement"] == agreement(answer.y[:, :1].argmax(2), wanted)[0]
    assert frame["real"]["network_agreement"] == 1.0


def test_the_film_is_of_each_class_in_turn_and_ends_with_pictures_of_the_gallery() -> None:
    comparison, _ = made()
    given = plain(comparison)
    for name in ("rbm", "dbn"):
        filmed = comparison.chains[name].filmed
        assert len(filmed) == 4
        assert sorted(set(given["chains"][name]["classes"])) == sorted(set(given["held_out"]["classes"]))
        assert {(place, 0) for place in filmed.tolist()} <= set(shown(given)["held_out"][name])


def test_what_runs_no_chain_has_no_film_and_a_part_has_one_only_where_it_is_not_compared_itself() -> None:
    comparison, inverters = made()
    assert list(comparison.chains) == ["rbm", "dbn"]
    net = inverters["dbn"].network
    refined, best = Refined(inverters["dbn"], NewtonInverter(net)), BestOf(inverters["dbn"], 2)
    alone = run(net, {"refined": refined, "best": best}, parts(), judge=judge, samples=2, seed=4)
    assert list(alone.chains) == ["refined"]
    assert_same(dataclasses.asdict(alone.chains["refined"]), dataclasses.asdict(comparison.chains["dbn"]))
    assert not plain(alone)["chains"]["refined"]["whole"]
    assert "which the method then goes on from" in alone.html()
    assert "which the method then goes on from" not in comparison.html()


def test_the_inverter_is_left_as_it_was_also_where_the_judge_fails() -> None:
    net = network()
    inverter = rbm(net)
    before = dict(vars(inverter))
    run(net, {"rbm": inverter}, parts(), samples=1)
    asked = 0

    def fails(x: Tensor) -> Tensor:
        nonlocal asked
        asked += 1
        # The real inputs, noise and the answers come first.
        return judge(x) if asked <= 4 else judge(x)[:1]

    with pytest.raises(ArgumentError, match="integer labels"):
        run(net, {"rbm": inverter}, parts(), samples=1, judge=fails)
    assert vars(inverter) == before


def test_of_many_targets_a_hundred_are_watched_at_random_whatever_their_order() -> None:
    net = network()
    inverter, data = rbm(net, gibbs=2), {**parts(), "inputs": draw(300, (1, 2, 2), 9)}
    order = net.evaluate(data["inputs"]).argmax(1).argsort()
    data["inputs"] = data["inputs"][order]
    state = torch.get_rng_state()
    one, other = (run(net, {"rbm": inverter}, data, samples=1, seed=seed) for seed in (0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    chain = one.chains["rbm"]
    assert len(set(chain.targets.tolist())) == 100
    assert set(chain.filmed.tolist()) <= set(chain.targets.tolist())
    assert chain.targets.tolist() != other.chains["rbm"].targets.tolist()
    # Of sorted targets the first hundred would be of one class or two.
    assert int(chain.targets.max()) > 250
    assert torch.equal(chain.x[:, -1], one.answers["rbm"].x[chain.filmed, 0])
    assert torch.equal(chain.residual[:, -1], one.answers["rbm"].residual[chain.targets, 0])


def test_equal_targets_are_filmed_as_the_comparison_draws_them() -> None:
    net = network()
    inverter, data = rbm(net, gibbs=6), parts()
    data["inputs"] = data["inputs"][:2].repeat(150, 1, 1, 1)
    comparison = run(net, {"rbm": inverter}, data, samples=2, seed=3)
    chain = comparison.chains["rbm"]
    whole = inverter.reconstruct(comparison.targets, seed=3).x[chain.filmed, 0]
    again = inverter.reconstruct(comparison.targets[chain.targets], seed=3).x[:, 0]
    rows = torch.searchsorted(chain.targets, chain.filmed)
    assert torch.allclose(chain.x[:, -1], whole, rtol=0, atol=1e-12)
    assert torch.allclose(chain.x[:, -1], again[rows], rtol=0, atol=1e-12)


@pytest.mark.parametrize("last", [0, 1, 2, 3, 4, 7, 25, 63, 99, 100, 101, 12345])
def test_the_steps_looked_at_begin_with_none_end_with_all_and_cost_less_than_twice_the_chain(last: int) -> None:
    counts = ladder(last)
    assert counts[0] == 0
    assert counts[-1] == last
    assert counts == sorted(set(counts))
    assert sum(counts[:-1]) <= 1.6 * last


def test_figures_that_do_not_apply_are_none() -> None:
    found = courses(torch.tensor([[torch.inf]]), torch.tensor([[4]]), torch.tensor([[-1]]), None, torch.tensor([-1]))
    assert found == {
        "judge_agreement": [None],
        "network_agreement": [None],
        "converged": [0.0],
        "residual_median": [None],
    }


# All kinds of targets


def hard() -> dict[str, tuple[Network, dict[str, Any], dict[str, Any]]]:
    """By case a network, keywords of the method, and of the comparison."""
    one = {"inputs": parts()["inputs"][:1]}
    constant = network()
    with torch.no_grad():
        constant.module[1].weight.zero_()
    return {
        "no steps": (network(), {"gibbs": 0}, {"judge": judge}),
        "one step": (network(), {"gibbs": 1}, {"judge": judge}),
        "one target": (network(), {}, {"judge": judge, **one}),
        "one target, no step": (network(), {"gibbs": 0}, one),
        "no judge": (network(), {}, {}),
        "a constant network": (constant, {}, {"judge": judge}),
        "one probability": (network(1, nn.Sigmoid()), {}, {"judge": lambda x: (x.flatten(1)[:, 0] > 0.5).long()}),
        "several sigmoids": (network(3, nn.Sigmoid()), {}, {"judge": judge}),
        "values": (network(2, nn.Identity()), {}, {}),
        "logits": (network(3, nn.Identity()), {}, {"judge": judge}),
        "a hidden code": (network().until("1"), {}, {}),
    }


def data(given: dict[str, Any]) -> dict[str, Tensor]:
    return {**parts(), **({"inputs": given.pop("inputs")} if "inputs" in given else {})}


@pytest.mark.parametrize("case", list(hard()))
def test_any_targets_are_watched_saved_read_and_shown(case: str, tmp_path: Path) -> None:
    net, keywords, given = hard()[case]
    inverter = RBMInverter(net, **{**QUICK, "gibbs": 3, **keywords}).fit(parts()["training"], seed=0)
    comparison = run(net, {"rbm": inverter}, data(given), **given)
    comparison.save(tmp_path)
    assert_same(Comparison.load(tmp_path), comparison)
    chain = comparison.chains["rbm"]
    assert chain.steps.tolist()[-1] == inverter.gibbs
    assert chain.x.shape[:2] == (min(4, len(comparison.targets)), len(chain.steps))
    for name in ("report.html", "report.md"):
        assert "The chain on its way" in (tmp_path / name).read_text(encoding="utf-8")


class Wandering(Inverter):
    """A chain of a method of one's own, which gets lost after three steps."""

    traits = Traits(summary="It wanders.", stochastic=True, steps="moves")

    def __init__(self, network: Network, *, tolerance: float | Tensor = 1e-3, moves: int = 4) -> None:
        super().__init__(network, tolerance=tolerance)
        self.moves = moves

    def _propose(self, problem: Problem) -> Proposal:
        shape = self.network.space.shape
        x = torch.full((len(problem), *shape), 0.5).to(problem.target)
        for move in range(self.moves):
            x = x + 0.1 * problem.noise.normal(shape, stream=move).to(x)
        return Proposal(x if self.moves < 4 else x / 0)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (3, 4, 4)])
def test_a_method_of_one_s_own_is_watched_too_also_where_it_diverges(shape: tuple[int, ...]) -> None:
    net = Network(nn.Conv1d(2, 1, 1) if len(shape) == 2 else nn.Flatten(), space=InputSpace(shape))
    comparison = run(net, {"mine": Wandering(net)}, parts(shape), samples=2)
    chain = comparison.chains["mine"]
    assert chain.steps.tolist() == [0, 1, 2, 4]
    assert bool((chain.x[:, 0] == 0.5).all())
    assert bool((chain.outcome[:, -1] == Outcome.DIVERGED).all())
    assert plain(comparison)["chains"]["mine"]["courses"]["residual_median"][-1] is None
    assert plain(comparison)["chains"]["mine"]["whole"]
    assert "drawn in magenta" in comparison.html()


# What is saved


def test_a_comparison_saved_before_chains_were_watched_is_read_without_them(tmp_path: Path) -> None:
    made()[0].save(tmp_path)
    path = tmp_path / "samples.safetensors"
    tensors, header = read_tensors(path)
    del header["chains"]
    write_tensors(path, {name: values for name, values in tensors.items() if not name.startswith("chains")}, header)
    found = Comparison.load(tmp_path)
    assert found.chains == {}
    assert "The chain on its way" not in found.html() + found.markdown()
    assert_same(dataclasses.replace(made()[0], chains={}), found)


def spoilt() -> dict[str, Any]:
    def tensor(name: str, value: Any) -> Any:
        return lambda tensors, header: tensors.__setitem__(f"chains/rbm/{name}", value(tensors[f"chains/rbm/{name}"]))

    return {
        "steps that fall": tensor("steps", lambda values: values.flip(0)),
        "steps below zero": tensor("steps", lambda values: values - 1),
        "steps that begin late": tensor("steps", lambda values: values + 1),
        "no steps": tensor("steps", lambda values: values[:0]),
        "steps in a table": tensor("steps", lambda values: values[:, None]),
        "targets that are not there": tensor("targets", lambda values: values + 1),
        "a target twice": tensor("targets", lambda values: values.clamp(min=1)),
        "residuals of another shape": tensor("residual", lambda values: values[:, 1:]),
        "an outcome that is none": tensor("outcome", lambda values: values + 40),
        "classes of another shape": tensor("seen", lambda values: values[1:]),
        "classes that are floats": tensor("judged", lambda values: values.double()),
        "pictures of what was not watched": tensor("filmed", lambda values: values + 100),
        "no pictures": tensor("filmed", lambda values: values[:0]),
        "pictures of another shape": tensor("x", lambda values: values[..., :1]),
        "a part that is missing": lambda tensors, header: tensors.pop("chains/rbm/x"),
        "chains of nobody": lambda tensors, header: header.__setitem__("chains", ["nobody"]),
        "chains in words": lambda tensors, header: header.__setitem__("chains", 3),
    }


@pytest.mark.parametrize("kind", list(spoilt()))
def test_chains_with_parts_that_do_not_fit_are_an_error(kind: str, tmp_path: Path) -> None:
    made()[0].save(tmp_path)
    path = tmp_path / "samples.safetensors"
    tensors, header = read_tensors(path)
    spoilt()[kind](tensors, header)
    write_tensors(path, tensors, header)
    with pytest.raises(FileError) as caught:
        Comparison.load(tmp_path)
    assert_one_sentence(str(caught.value))
