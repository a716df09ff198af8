"""Tests of rbm and dbn: what a tilt counts, what it and guidance buy, what is kept exactly, and hard cases."""

from __future__ import annotations

import copy
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sentences import assert_one_sentence
from torch import Tensor, nn

import genrev
from genrev import InputSpace, Inverter, Network, Outcome, Refined, build
from genrev.errors import ArgumentError, GenrevError
from genrev.inverter import Problem
from genrev.inverters.boltzmann import DBNInverter, RBMInverter
from genrev.models import ConvNet
from genrev.noise import Noise, target_keys

NAN = math.nan
QUICK: dict[Any, dict[str, Any]] = {
    RBMInverter: {"hidden": 8, "steps": 40, "batch_size": 50, "rate": 0.05, "gibbs": 5, "match": 0.0},
    DBNInverter: {"hidden": (8, 8), "steps": 40, "batch_size": 50, "rate": 0.05, "gibbs": 5, "match": 0.0},
}

slow = pytest.mark.slow
each = pytest.mark.parametrize("kind", [RBMInverter, DBNInverter])


def sides(n: int = 200, size: int = 8, *, noise: float = 0.1, seed: int = 0) -> Tensor:
    """Half-lit rows of pixels: left or right, a few pixels the other way."""
    generator = torch.Generator().manual_seed(seed)
    left = (torch.arange(size) < size // 2).double().expand(n, -1)
    x = torch.where(torch.rand(n, 1, generator=generator) < 0.5, left, 1 - left)
    return torch.where(torch.rand(n, size, generator=generator) < noise, 1 - x, x)


def side_network(outputs: str = "softmax", *, size: int = 8, sharp: float = 2.0, dtype=torch.float64) -> Network:
    """Says which half is lit."""
    first = nn.Linear(size, 1 if outputs == "sigmoid" else 2)
    left = torch.where(torch.arange(size) < size // 2, sharp, -sharp)
    with torch.no_grad():
        first.weight.copy_(left[None] if outputs == "sigmoid" else torch.stack([left, -left]) / 2)
        first.bias.zero_()
    last = {"softmax": [nn.Softmax(-1)], "sigmoid": [nn.Sigmoid()], "values": []}[outputs]
    return Network(nn.Sequential(first, *last).to(dtype), space=InputSpace((size,), 0.0, 1.0))


@pytest.fixture(autouse=True)
def _quickly_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrev.inverters.machines._SETTLING", 20)


@cache
def taught(kind: type[Inverter], outputs: str, visible: str) -> Inverter:
    keywords = {"steps": 400, "batch_size": 20, "rate": 0.05 if visible == "gaussian" else 0.2, "visible": visible}
    return kind(side_network(outputs), **QUICK[kind] | keywords).fit(sides(), seed=1)  # type: ignore[call-arg]


def fitted(kind: type[Inverter], outputs: str = "softmax", *, visible: str = "auto", **drawing: Any) -> Inverter:
    """One that has learned, with other keywords of how it draws: these play no part in learning."""
    inverter = copy.copy(taught(kind, outputs, visible))
    for name, value in drawing.items():
        setattr(inverter, name, value)
    return inverter


def asked(inverter: Inverter, target: Tensor, **keywords: Any) -> Problem:
    """What the hook of an inverter is asked of targets."""
    rows = torch.zeros(len(target), dtype=torch.int64)
    noise = Noise(target_keys(target, 0))
    return Problem(target, inverter._tolerances(), rows, None, None, noise)


# What a tilt counts


def mismatch(network: Network, outputs: Any, target: Any) -> Tensor:
    inverter = RBMInverter(network, tolerance=0.5)
    return inverter._mismatch(torch.tensor(outputs), asked(inverter, torch.tensor(target)))


def classes(n: int, groups: int = 0) -> Network:
    shape = nn.Unflatten(1, (groups, n)) if groups else nn.Identity()
    module = nn.Sequential(nn.Linear(2, n * max(1, groups)), shape, nn.Softmax(-1)).double()
    return Network(module, space=InputSpace((2,)))


def divergence(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a)


def test_of_classes_a_tilt_counts_the_divergence_of_the_target_from_what_the_network_says() -> None:
    target, said = [[0.2, 0.3, 0.5], [0.9, 0.05, 0.05]], [[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]
    expected = [divergence(p, q) for p, q in zip(target, said, strict=True)]
    assert mismatch(classes(3), said, target).tolist() == pytest.approx(expected, rel=1e-6)


def test_free_classes_count_as_one_that_has_what_is_left() -> None:
    said = [[0.6, 0.3, 0.1], [0.6, 0.3, 0.1]]
    expected = [divergence([0.9, 0.1], [0.6, 0.4]), divergence([0.2, 0.5, 0.3], [0.6, 0.3, 0.1])]
    found = mismatch(classes(3), said, [[0.9, NAN, NAN], [0.2, 0.5, NAN]])
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_of_several_groups_of_classes_the_divergences_are_summed_and_free_groups_count_nothing() -> None:
    said = [[[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]], [[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]]
    target = [[[0.2, 0.3, 0.5], [0.7, NAN, NAN]], [[NAN, NAN, NAN], [0.2, 0.3, 0.5]]]
    first = divergence([0.2, 0.3, 0.5], [0.6, 0.3, 0.1]) + divergence([0.7, 0.3], [0.2, 0.8])
    expected = [first, divergence([0.2, 0.3, 0.5], [0.2, 0.2, 0.6])]
    assert mismatch(classes(3, groups=2), said, target).tolist() == pytest.approx(expected, rel=1e-6)


def test_of_sigmoids_a_tilt_counts_the_sum_of_their_divergences() -> None:
    network = Network(nn.Sequential(nn.Linear(2, 3), nn.Sigmoid()).double(), space=InputSpace((2,)))
    said, target = [[0.6, 0.3, 0.1]], [[0.9, NAN, 0.4]]
    expected = divergence([0.9, 0.1], [0.6, 0.4]) + divergence([0.4, 0.6], [0.1, 0.9])
    assert mismatch(network, said, target).tolist() == pytest.approx([expected], rel=1e-6)


def test_of_values_a_tilt_counts_squared_distances_in_tolerances() -> None:
    network = Network(nn.Linear(2, 3).double(), space=InputSpace((2,)))
    found = mismatch(network, [[1.0, 5.0, 2.0]], [[2.0, NAN, 0.5]])
    assert found.tolist() == pytest.approx([(1 / 0.5) ** 2 + (1.5 / 0.5) ** 2])


@pytest.mark.parametrize(
    "target", [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.2, NAN, NAN], [1.0, NAN, NAN], [0.0, NAN, NAN]]
)
@pytest.mark.parametrize("outputs", ["softmax", "sigmoid", "values"])
def test_what_is_met_counts_nothing_and_nothing_counts_infinitely(outputs: str, target: list[float]) -> None:
    last = {"softmax": [nn.Softmax(-1)], "sigmoid": [nn.Sigmoid()], "values": []}[outputs]
    network = Network(nn.Sequential(nn.Linear(2, 3), *last).double(), space=InputSpace((2,)))
    filled = torch.tensor(target)
    filled = torch.where(filled.isnan(), (1 - filled.nansum()) / 2, filled)
    assert mismatch(network, [filled.tolist()], [target]).tolist() == pytest.approx([0.0], abs=1e-6)
    far = mismatch(network, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    assert bool(far.isfinite().all())
    assert float(far) > 4


# What is bought by a tilt, and by guidance


def agreement(found: Any, place: int = 0) -> float:
    return float(found.y[..., place].mean())


@each
def test_a_tilt_raises_agreement_and_refuses_some_moves(kind: type[Inverter]) -> None:
    target, taken, agreed = [[0.99, NAN]], [], []
    for match in (0.0, 0.3, 3.0):
        found = fitted(kind, gibbs=20, guidance=0.0, match=match).reconstruct(target, samples=100, seed=0)
        if match:
            assert found.stats["accepted"].shape == (1, 100)
            assert bool(((found.stats["accepted"] >= 0) & (found.stats["accepted"] <= 1)).all())
        else:
            assert not found.stats
        taken.append(float(found.stats["accepted"].mean()) if match else 1.0)
        agreed.append(agreement(found))
    assert agreed[0] < agreed[1] < agreed[2]
    assert taken[0] > taken[1] > taken[2] > 0


@each
def test_a_tilt_of_next_to_nothing_takes_every_move_and_draws_what_none_does(kind: type[Inverter]) -> None:
    found = [fitted(kind, match=match).reconstruct([[0.9, 0.1]], samples=50, seed=0) for match in (0.0, 1e-12)]
    assert bool((found[1].stats["accepted"] == 1).all())
    # The steps are others, for the tilt has draws of its own; what they show has the same mean.
    torch.testing.assert_close(found[0].x.mean(1), found[1].x.mean(1), rtol=0, atol=0.25)


@each
def test_guidance_raises_agreement(kind: type[Inverter]) -> None:
    agreed = [
        agreement(fitted(kind, gibbs=20, guidance=guidance).reconstruct([[0.99, NAN]], samples=100, seed=0))
        for guidance in (0.0, 1.0, 4.0)
    ]
    assert agreed[0] < agreed[1] < agreed[2]
    assert agreed[0] < 0.8


@each
@pytest.mark.parametrize(
    "outputs", ["softmax", pytest.param("sigmoid", marks=slow), pytest.param("values", marks=slow)]
)
def test_what_is_asked_is_drawn_whatever_the_outputs_are(kind: type[Inverter], outputs: str) -> None:
    inverter = fitted(kind, outputs, gibbs=20, guidance=3.0)
    low, high = {"softmax": ([0.01, NAN], [0.99, NAN]), "sigmoid": ([0.01], [0.99])}.get(
        outputs, ([-3.0, NAN], [3.0, NAN])
    )
    found = inverter.reconstruct([low, high], samples=100, seed=0)
    left = found.x[..., :4].mean(-1) - found.x[..., 4:].mean(-1)
    assert float(left[0].mean()) < -0.3
    assert float(left[1].mean()) > 0.3


@each
def test_a_free_class_is_drawn_with_the_rest(kind: type[Inverter]) -> None:
    # Three classes, of which the asked one says no: the others share what is left.
    module = nn.Sequential(nn.Linear(8, 3), nn.Softmax(-1)).double()
    with torch.no_grad():
        left = torch.where(torch.arange(8) < 4, 2.0, -2.0)
        module[0].weight.copy_(torch.stack([left, -left, 0 * left]))
        module[0].bias.copy_(torch.tensor([0.0, 0.0, -2.0]))
    network = Network(module, space=InputSpace((8,), 0.0, 1.0))
    inverter = kind(network, **QUICK[kind] | {"gibbs": 20}).fit(sides(), seed=1)  # type: ignore[call-arg]
    found = inverter.reconstruct([[NAN, NAN, 0.0]], samples=100, seed=0)
    said = found.y[0].argmax(-1)
    assert 0.1 < float((said == 0).double().mean()) < 0.9
    assert bool((found.residual < 0.3).all())


# What is kept exactly


@each
@pytest.mark.parametrize(("visible", "match"), [("auto", 1.0), pytest.param("gaussian", 0.0, marks=slow)])
def test_known_values_come_back_to_the_bit_and_the_rest_follows_them(
    kind: type[Inverter], visible: str, match: float
) -> None:
    inverter = fitted(kind, visible=visible, match=match, gibbs=20, guidance=0.0)
    known = torch.full((8,), NAN)
    known[:3] = torch.tensor([1.0, 0.9, 1.0])
    found, other = (inverter.reconstruct([[0.5, NAN]], known=k, samples=100, seed=0) for k in (known, 1 - known))
    assert bool((found.x[..., :3] == known[:3]).all())
    # What is not known is lit on the same side.
    assert float(found.x[..., 3].mean()) > float(other.x[..., 3].mean()) + 0.1
    assert float(found.x[..., 4:].mean()) < float(other.x[..., 4:].mean()) - 0.1


@each
def test_where_all_is_known_nothing_is_drawn(kind: type[Inverter]) -> None:
    known = torch.linspace(0, 1, 8)
    found = fitted(kind, match=1.0).reconstruct([[0.5, 0.5]], known=known, samples=3, seed=0)
    assert bool((found.x == known).all())
    assert bool((found.stats["accepted"] == 1).all())


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_file_gives_the_same_draws_to_the_bit_and_begins_where_the_first_did(
    kind: type[Inverter], dtype: torch.dtype, tmp_path: Any
) -> None:
    inverter = kind(side_network(dtype=dtype), **QUICK[kind] | {"match": 0.5})  # type: ignore[call-arg]
    inverter.fit(sides().to(dtype), seed=1)
    genrev.save(inverter, tmp_path / "inverter.safetensors")
    again = genrev.load(tmp_path / "inverter.safetensors", network=inverter.network)
    assert again.arguments() == inverter.arguments()
    ours, theirs = inverter._tensors(), again._tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert ours["states"].shape == (200, 8)
    found = [one.reconstruct([[0.9, NAN], [0.2, 0.8]], samples=4, seed=0) for one in (inverter, again)]
    assert torch.equal(found[0].x, found[1].x)
    assert torch.equal(found[0].stats["accepted"], found[1].stats["accepted"])


@each
def test_a_batch_draws_what_each_target_draws_alone(kind: type[Inverter]) -> None:
    inverter, target = fitted(kind, match=0.5), torch.rand(9, 1, generator=torch.Generator().manual_seed(0))
    target = torch.cat([target, 1 - target], 1)
    whole = inverter.reconstruct(target, samples=2, seed=3)
    alone = [inverter.reconstruct(one, samples=2, seed=3) for one in target]
    torch.testing.assert_close(whole.x, torch.cat([one.x for one in alone]), rtol=0, atol=1e-9)
    torch.testing.assert_close(whole.stats["accepted"], torch.cat([one.stats["accepted"] for one in alone]))


@each
def test_without_a_step_the_kept_states_of_near_outputs_are_shown(kind: type[Inverter]) -> None:
    # With a step less than one there is no move to refuse, and nothing else to be random but where it begins.
    inverter = fitted(kind, gibbs=0, match=1.0)
    found = inverter.reconstruct([[0.99, 0.01], [0.01, 0.99]], samples=100, seed=0)
    assert not bool(found.stats["accepted"].any())
    assert agreement(found) == pytest.approx(0.5, abs=0.2)
    assert float(found.y[0, :, 0].mean()) > float(found.y[1, :, 0].mean()) + 0.2


# Hidden codes


@each
@pytest.mark.parametrize("name", [pytest.param("0", marks=slow), "2", pytest.param("4", marks=slow)])
def test_codes_of_any_layer_and_shape_are_conditions(kind: type[Inverter], name: str) -> None:
    torch.manual_seed(2)
    network = Network(ConvNet((1, 4, 4), (2, 3)).double(), space=InputSpace((1, 4, 4), 0.0, 1.0)).until(name)
    x = sides(100, 16).reshape(-1, 1, 4, 4)
    inverter = kind(network, **QUICK[kind] | {"steps": 300, "batch_size": 10, "gibbs": 20})  # type: ignore[call-arg]
    inverter.fit(x, seed=1)
    # The mean codes of either side, half of each left free.
    left = x[:, 0, :2].mean((1, 2)) > 0.5
    target = torch.stack([network.evaluate(x[one]).mean(0) for one in (left, ~left)])
    target.flatten(1)[:, 1::2] = NAN
    found = inverter.reconstruct(target, samples=60, seed=0)
    assert found.y.shape == (2, 60, *network.output_shape)
    lit = (found.x[:, :, 0, :2].mean((2, 3)) - found.x[:, :, 0, 2:].mean((2, 3))).mean(1)
    assert float(lit[0]) > float(lit[1]) + 0.2


@each
def test_dead_units_of_a_code_do_not_spoil_the_rest(kind: type[Inverter]) -> None:
    module = nn.Sequential(nn.Linear(8, 5), nn.ReLU()).double()
    nn.init.constant_(module[0].bias[:2], -100.0)
    network = Network(module, space=InputSpace((8,), 0.0, 1.0))
    inverter = kind(network, **QUICK[kind] | {"rate": 0.5, "steps": 240}).fit(sides(), seed=0)  # type: ignore[call-arg]
    found = inverter.reconstruct(network.evaluate(sides(3, seed=1)), samples=2, seed=0)
    assert bool(found.residual.isfinite().all())
    assert float(found.residual.median()) < 3


# Hard cases


@each
def test_real_inputs_without_bounds_follow_the_target(kind: type[Inverter]) -> None:
    generator = torch.Generator().manual_seed(0)
    side = (torch.rand(200, 1, generator=generator) < 0.5).double() * 2 - 1
    x = (side + 0.3 * torch.randn(200, 3, generator=generator)) * torch.tensor([1.0, 500.0, 0.02])
    x = x + torch.tensor([10.0, -2000.0, 0.0])
    module = nn.Linear(3, 1).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.0, 0.002, 0.0]]))
        module.bias.fill_(4.0)
    keywords = QUICK[kind] | {"steps": 400, "batch_size": 20, "gibbs": 20}
    inverter = kind(Network(module, space=InputSpace((3,))), **keywords).fit(x, seed=0)  # type: ignore[call-arg]
    found = inverter.reconstruct([[-1.0], [1.0]], samples=100, seed=0).x.mean(1)
    expected = torch.tensor([[9.0, -2500.0, -0.02], [11.0, -1500.0, 0.02]])
    torch.testing.assert_close((found - expected) / x.std(0), torch.zeros(2, 3), rtol=0, atol=0.5)


@each
def test_one_value_beside_which_all_others_are_small_is_learned_with_them(kind: type[Inverter]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 20, generator=generator)
    x[:, 3] *= 1000
    network = Network(nn.Linear(20, 2).double(), space=InputSpace((20,)))
    found = (
        kind(network, **QUICK[kind] | {"steps": 240})
        .fit(x, seed=0)
        .reconstruct(  # type: ignore[call-arg]
            network.evaluate(x[:3]), samples=20, seed=0
        )
    )
    assert 0.001 < float(found.x[..., 0].std()) < 3
    assert 1 < float(found.x[..., 3].std()) < 3000


@each
@pytest.mark.parametrize(
    ("rule", "visible"), [("pcd", "bernoulli"), ("pcd", "gaussian"), ("cd", "auto"), ("pt", "auto")]
)
def test_few_inputs_constant_pixels_and_hardly_any_difference_are_survived(
    kind: type[Inverter], rule: str, visible: str
) -> None:
    constant = sides(20)
    constant[:, ::2] = 0.5
    same = torch.full((20, 8), 0.5)
    same[0, 0] = 0.6
    two = torch.stack([constant[0], 1 - constant[0]])
    for x in (two, constant, same):
        inverter = kind(side_network(), rule=rule, visible=visible, **QUICK[kind] | {"match": 0.5} | {"steps": 4})  # type: ignore[call-arg]
        found = inverter.fit(x, seed=0).reconstruct([[0.9, 0.1], [0.3, NAN]], samples=3, seed=0)
        assert bool(found.residual.isfinite().all())
    moved = found.x[..., 1:]
    if visible == "gaussian":
        torch.testing.assert_close(moved, torch.full_like(moved, 0.5), rtol=0, atol=0.1)


@each
def test_constant_pixels_come_back_as_they_were(kind: type[Inverter]) -> None:
    x = sides()
    x[:, 0], x[:, 7] = 1.0, 0.0
    inverter = kind(side_network(), **QUICK[kind] | {"steps": 120}).fit(x, seed=0)  # type: ignore[call-arg]
    found = inverter.reconstruct([[0.9, 0.1]], samples=50, seed=0)
    assert float(found.x[..., 0].mean()) > 0.9
    assert float(found.x[..., 7].mean()) < 0.1


@each
@pytest.mark.parametrize("space", [InputSpace((1,), 0.0, 1.0), InputSpace((1,))])
def test_one_pixel_is_an_input(kind: type[Inverter], space: InputSpace) -> None:
    network = Network(nn.Sequential(nn.Linear(1, 2), nn.Softmax(-1)).double(), space=space)
    inverter = kind(network, **QUICK[kind]).fit(torch.rand(20, 1), seed=0)  # type: ignore[call-arg]
    assert bool(inverter.reconstruct([0.5, 0.5], samples=2, seed=0).residual.isfinite().all())


@each
def test_inputs_of_one_class_answer_for_the_other_too(kind: type[Inverter]) -> None:
    x, network = sides(), side_network(sharp=20.0)
    x = x[network.evaluate(x)[:, 0] > 0.5]
    found = kind(network, **QUICK[kind]).fit(x, seed=0).reconstruct([[1.0, 0.0], [0.0, 1.0]], samples=20, seed=0)  # type: ignore[call-arg]
    assert bool(found.x.isfinite().all())
    assert float(found.y[0, :, 0].mean()) > 0.8


@each
@pytest.mark.parametrize("outputs", ["softmax", pytest.param("sigmoid", marks=slow)])
def test_outputs_of_exactly_zero_and_one_are_learned_and_asked(kind: type[Inverter], outputs: str) -> None:
    network = side_network(outputs, sharp=1e4)
    x = sides(noise=0.0)
    assert set(network.evaluate(x).unique().tolist()) == {0.0, 1.0}
    inverter = kind(network, **QUICK[kind] | {"match": 0.5} | {"gibbs": 30, "steps": 160}).fit(x, seed=0)  # type: ignore[call-arg]
    found = inverter.reconstruct(
        [[1.0, 0.0], [0.0, 1.0]] if outputs == "softmax" else [[1.0], [0.0]], samples=50, seed=0
    )
    assert float(found.y[0, :, 0].mean()) > 0.9
    assert float(found.y[1, :, 0].mean()) < 0.1


@each
def test_pixels_of_bounds_of_their_own_are_bernoulli_where_it_is_wished(kind: type[Inverter]) -> None:
    high = torch.tensor([1.0, 1, 1, 1, 100, 100, 0, 0])
    network = Network(side_network().module, space=InputSpace((8,), 0.0, high))
    inverter = kind(network, visible="bernoulli", **QUICK[kind]).fit(sides() * high, seed=0)  # type: ignore[call-arg]
    found = inverter.reconstruct([[0.5, NAN]], samples=50, seed=0)
    assert bool(network.space.contains(found.x.flatten(0, 1)).all())
    assert bool((found.x[..., 6:] == 0).all())
    assert float(found.x[..., 4].max()) > 10


def test_the_plan_s_own_example_a_draw_and_then_newton_meets_the_target() -> None:
    network = side_network(sharp=1.0)
    inverter = Refined(DBNInverter(network, **QUICK[DBNInverter]), build("newton", network)).fit(sides(), seed=0)
    found = inverter.reconstruct([[0.8, NAN], [0.3, NAN]], samples=5, seed=0)
    assert bool((found.outcome == Outcome.CONVERGED).all())


def test_a_training_that_fails_leaves_what_was_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(nn.Linear(8, 2).double(), space=InputSpace((8,)))
    inverter = RBMInverter(network, **QUICK[RBMInverter]).fit(sides(), seed=0)
    before = inverter.reconstruct([[0.5, NAN]], seed=0).x
    wild = RBMInverter(network, **QUICK[RBMInverter] | {"rate": 1e9})
    with pytest.raises(GenrevError, match="lower the rate") as caught:
        wild.fit(sides(), seed=0)
    assert_one_sentence(str(caught.value))
    assert not wild.fitted
    inverter.rate = wild.rate
    with pytest.raises(GenrevError, match="lower the rate"):
        inverter.fit(sides(), seed=1)
    assert torch.equal(inverter.reconstruct([[0.5, NAN]], seed=0).x, before)


# What is refused

BOTH = [
    {"visible": "xx"}, {"visible": None}, {"rule": "xx"}, {"rule": None}, {"rule": ["pcd"]}, {"steps": 0},
    {"steps": 2.5}, {"batch_size": 0}, {"batch_size": None}, {"rate": 0}, {"rate": -1}, {"rate": NAN}, {"rate": "x"},
    {"weight_decay": -1e-9}, {"weight_decay": math.inf}, {"gibbs": -1}, {"gibbs": 1.5}, {"gibbs": True},
    {"guidance": -1}, {"guidance": math.inf}, {"guidance": None}, {"match": math.inf}, {"match": -1}, {"match": NAN},
    {"match": "x"},
    {"hidden": None}, {"hidden": 0}, {"hidden": 2.5}, {"hidden": "many"}, {"hidden": True}, {"hidden": []},
    {"hidden": {3: 4, 5: 6}}, {"tolerance": 0}, {"tolerance": NAN},
]  # fmt: skip


@each
@pytest.mark.parametrize("mistake", BOTH, ids=str)
def test_keywords_out_of_range_are_refused_by_their_own_names(kind: type[Inverter], mistake: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=rf"^expected .*{next(iter(mistake))}") as caught:
        kind(side_network(), **mistake)  # type: ignore[call-arg]
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize(
    "hidden", [100, [100], (3, 0), (3, "a"), "12", np.int64(5), np.array([3]), (3, None), (3, 4.0)]
)
def test_a_stack_needs_two_widths(hidden: Any) -> None:
    with pytest.raises(ArgumentError, match="hidden") as caught:
        DBNInverter(side_network(), hidden=hidden)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("hidden", [[3, 4], (3, 4), np.array([3, 4]), torch.tensor([3, 4])])
def test_widths_come_in_any_row_of_numbers(hidden: Any) -> None:
    assert DBNInverter(side_network(), hidden=hidden).hidden == [3, 4]


@each
@pytest.mark.parametrize("space", [InputSpace((8,)), InputSpace((8,), 0.0), InputSpace((8,), high=1.0)])
def test_bernoulli_units_need_bounds(kind: type[Inverter], space: InputSpace) -> None:
    network = Network(side_network().module, space=space)
    with pytest.raises(ArgumentError, match="inputs with bounds for Bernoulli units") as caught:
        kind(network, visible="bernoulli")  # type: ignore[call-arg]
    assert_one_sentence(str(caught.value))


@each
@pytest.mark.parametrize(
    "inputs",
    [2 * sides(), -sides(), NAN * sides(), sides()[:1], sides()[:, :7], 0 * sides(), sides().tolist()[0]],
)
def test_inputs_that_can_not_be_learned_are_refused(kind: type[Inverter], inputs: Any) -> None:
    inverter = kind(side_network(), **QUICK[kind])  # type: ignore[call-arg]
    with pytest.raises(ArgumentError) as caught:
        inverter.fit(inputs)
    assert_one_sentence(str(caught.value))
    assert not inverter.fitted


@each
@pytest.mark.parametrize(
    "mistake",
    [
        {"target": [[0.5, 0.3, 0.2]]}, {"target": [[0.5]]}, {"target": [[NAN, NAN]]}, {"target": [[0.5, 0.7]]},
        {"target": [[math.inf, NAN]]}, {"known": [NAN] * 7}, {"known": [2.0] + [NAN] * 7},
        {"known": [math.inf] + [NAN] * 7}, {"start": [0.5] * 8}, {"samples": 0},
    ],
    ids=str,
)  # fmt: skip
def test_conditions_that_do_not_fit_are_refused(kind: type[Inverter], mistake: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as caught:
        fitted(kind).reconstruct(**{"target": [[0.5, 0.5]], **mistake})
    assert_one_sentence(str(caught.value))


@each
def test_a_file_whose_states_have_another_width_is_refused(kind: type[Inverter]) -> None:
    inverter = fitted(kind)
    for states in (torch.zeros(200, 7), torch.zeros(199, 8), torch.zeros(200, 8).float(), torch.zeros(200)):
        with pytest.raises(ArgumentError, match="expected states of shape") as caught:
            kind(side_network(), **QUICK[kind])._restore({**inverter._tensors(), "states": states})  # type: ignore[call-arg]
        assert_one_sentence(str(caught.value))


@each
def test_a_trained_one_draws_by_other_keywords_as_one_built_with_them(kind: type[Inverter]) -> None:
    network = side_network()
    whole = kind(network, **QUICK[kind]).fit(sides(), seed=0)  # type: ignore[call-arg]
    other = kind(network, **QUICK[kind] | {"gibbs": 2, "match": 3.0, "guidance": 2.0}).fit(sides(), seed=0)  # type: ignore[call-arg]
    found = whole.redrawing(gibbs=2, match=3, guidance=2).reconstruct([[0.9, NAN]], samples=5, seed=0)
    assert torch.equal(found.x, other.reconstruct([[0.9, NAN]], samples=5, seed=0).x)
    assert whole.arguments()["gibbs"] == QUICK[kind]["gibbs"]


@each
@pytest.mark.parametrize("wrong", [{"hidden": 3}, {"steps": 3}, {"gibs": 3}, {"gibbs": -1}, {"match": "high"}])
def test_what_a_trained_one_cannot_change_is_refused(kind: type[Inverter], wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as caught:
        fitted(kind).redrawing(**wrong)
    assert_one_sentence(str(caught.value))


def test_a_match_set_as_a_whole_number_is_that_match() -> None:
    target = [[0.9, NAN]]
    one, other = (fitted(RBMInverter, match=match).reconstruct(target, samples=9, seed=0).x for match in (3, 3.0))
    assert torch.equal(one, other)
    assert not fitted(RBMInverter, match=0).reconstruct(target, seed=0).stats
