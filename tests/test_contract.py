"""The contract: what every inverter and every wrapper promises, checked on each line of the table."""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import genrev
from genrev import INVERTERS, BestOf, Equilibrium, InputSpace, Inverter, Network, Outcome, Refined, build, unroll
from genrev.errors import ArgumentError, GenrevError, LayerError, NotFittedError, UnknownNameError
from genrev.inverter import Problem, Proposal, Traits

QUICK: dict[str, dict[str, Any]] = {
    "gradient": {"steps": 60},
    "decoder": {"steps": 30, "hidden": 16},
    "cvae": {"steps": 30, "hidden": 16, "latent": 4},
    "rbm": {"steps": 5, "hidden": 6, "gibbs": 5},
    "dbn": {"steps": 5, "hidden": (12, 6), "gibbs": 5},
}
"""Keywords that keep a method quick; what is promised does not depend on them."""

NAMES = [*INVERTERS, "cvae+newton", "dbn+newton", "retrieval+newton", "best-of-gradient", "best-of-cvae+newton"]


def make(name: str, network: Network, **keywords: Any) -> Inverter:
    """Build an inverter of the table, or a wrapper, that is quick."""
    if name.startswith("best-of-"):
        return BestOf(make(name.removeprefix("best-of-"), network, **keywords), 3)
    if "+" in name:
        first, then = name.split("+")
        return Refined(make(first, network, **keywords), make(then, network, **keywords))
    return INVERTERS[name](network, **QUICK.get(name, {}), **keywords)


def module(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(3)
    layers = nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3), nn.Softmax(-1)
    return nn.Sequential(*layers).to(dtype)


def recurrent_module(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(3)
    unrolled = unroll(nn.RNN(3, 4, batch_first=True), steps=2)
    return nn.Sequential(nn.Flatten(1, 2), unrolled, nn.Flatten(), nn.Linear(8, 3), nn.Softmax(-1)).to(dtype)


@pytest.fixture(autouse=True)
def _a_network_that_the_method_takes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that needs a recurrent layer keeps its promises on a network with one, of the same shapes."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if recurrent(parameters.get("name")):
        monkeypatch.setattr(f"{__name__}.module", recurrent_module)


def recurrent(name: Any) -> bool:
    return isinstance(name, str) and name in INVERTERS and INVERTERS[name].traits.recurrent


def network(dtype: torch.dtype = torch.float64, name: str = "") -> Network:
    return Network((recurrent_module if recurrent(name) else module)(dtype), space=InputSpace((1, 2, 3), 0.0, 1.0))


def inputs(n: int = 40, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(n, 1, 2, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64).to(dtype)


def fitted(name: str, dtype: torch.dtype = torch.float64, **keywords: Any) -> Inverter:
    return make(name, network(dtype), **keywords).fit(inputs(dtype=dtype), seed=1)


def targets(n: int = 5) -> Tensor:
    return network().evaluate(inputs(60)[40 : 40 + n])


def near(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-7, equal_nan=True)


every = pytest.mark.parametrize("name", NAMES)


def test_every_line_of_the_table_is_checked_here() -> None:
    assert set(INVERTERS) <= set(NAMES)


chained = pytest.mark.parametrize("name", [name for name, kind in INVERTERS.items() if kind.traits.steps])


@chained
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_how_many_steps_a_chain_takes_is_no_matter_of_its_fit(name: str, steps: int) -> None:
    inverter = fitted(name)
    keyword = inverter.traits.steps
    assert inverter.arguments()[keyword] == QUICK[name][keyword]
    other = copy.copy(inverter)
    setattr(other, keyword, steps)
    again = INVERTERS[name](network(), **{**QUICK[name], keyword: steps}).fit(inputs(), seed=1)
    assert torch.equal(other.reconstruct(targets(), seed=2).x, again.reconstruct(targets(), seed=2).x)
    assert inverter.arguments()[keyword] == QUICK[name][keyword]


@chained
def test_what_follows_a_chain_or_chooses_among_its_draws_has_no_steps_of_its_own(name: str) -> None:
    inverter = make(name, network())
    assert BestOf(inverter, 2).traits.steps is None
    assert Refined(inverter, make("newton", network())).traits.steps is None
    assert BestOf(inverter, 2).traits.stochastic


def test_every_inverter_of_the_package_stands_in_the_table_or_is_a_wrapper() -> None:
    import importlib
    import pkgutil

    import genrev.inverters

    for part in pkgutil.iter_modules(genrev.inverters.__path__):
        importlib.import_module(f"genrev.inverters.{part.name}")
    kinds, found = [Inverter], set()
    while kinds:
        kind = kinds.pop()
        kinds += [child for child in kind.__subclasses__() if child.__module__.startswith("genrev.inverters")]
        # What is abstract is a part that several share, and no method.
        found |= set() if inspect.isabstract(kind) else {kind}
    assert found == {*INVERTERS.values(), Refined, BestOf}


@every
@pytest.mark.parametrize("samples", [1, 3])
def test_shapes_are_batch_samples_and_what_follows(name: str, samples: int) -> None:
    found = fitted(name).reconstruct(targets(4), samples=samples, seed=0)
    assert found.x.shape == (4, samples, 1, 2, 3)
    assert found.y.shape == (4, samples, 3)
    assert found.residual.shape == found.outcome.shape == found.converged.shape == (4, samples)
    assert found.best.shape == (4, 1, 2, 3)
    assert found.target.shape == (4, 3)
    assert all(value.shape[:2] == (4, samples) for value in found.stats.values())


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answers_come_in_the_precision_of_the_network(name: str, dtype: torch.dtype) -> None:
    found = fitted(name, dtype).reconstruct(targets(2), seed=0)
    assert found.x.dtype == found.y.dtype == found.residual.dtype == found.target.dtype == dtype


@every
def test_lists_arrays_and_tensors_ask_the_same(name: str) -> None:
    inverter, target = fitted(name), targets(2)
    answers = [inverter.reconstruct(asked, seed=0).x for asked in (target, target.numpy(), target.tolist())]
    assert near(answers[0], answers[1])
    assert near(answers[0], answers[2])


@every
def test_a_lone_target_is_a_batch_of_one(name: str) -> None:
    inverter, target = fitted(name), targets(1)
    assert near(inverter.reconstruct(target[0], seed=0).x, inverter.reconstruct(target, seed=0).x)


@every
def test_the_same_seed_gives_the_same_answer(name: str) -> None:
    inverter = fitted(name)
    first, second = (inverter.reconstruct(targets(), samples=2, seed=5) for _ in "ab")
    assert torch.equal(first.x, second.x)
    assert first.seed == 5


@every
def test_an_unasked_seed_is_reported_and_gives_the_answer_again(name: str) -> None:
    inverter = fitted(name)
    found = inverter.reconstruct(targets(2), samples=2)
    assert torch.equal(inverter.reconstruct(targets(2), samples=2, seed=found.seed).x, found.x)


@every
def test_a_target_gets_the_same_answer_alone_in_any_batch_and_in_any_order(name: str) -> None:
    inverter, target = fitted(name), targets(5)
    whole = inverter.reconstruct(target, samples=3, seed=2)
    alone = inverter.reconstruct(target[3], samples=3, seed=2)
    turned = inverter.reconstruct(target.flip(0), samples=3, seed=2)
    assert near(alone.x[0], whole.x[3])
    assert near(turned.x.flip(0), whole.x)


@every
def test_more_samples_leave_the_first_ones_as_they_were(name: str) -> None:
    if name.startswith("best-of"):
        pytest.skip("its draws are dealt out among its samples")
    inverter = fitted(name)
    few, many = (inverter.reconstruct(targets(2), samples=n, seed=2).x for n in (2, 4))
    assert near(few, many[:, :2])


@every
def test_chunks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inverter = fitted(name)
    whole = inverter.reconstruct(targets(), samples=3, seed=2)
    monkeypatch.setattr("genrev.network.MEMORY", 1)
    assert near(inverter.reconstruct(targets(), samples=3, seed=2).x, whole.x)


@every
def test_samples_differ_exactly_where_the_traits_say_so(name: str) -> None:
    inverter = fitted(name)
    x = inverter.reconstruct(targets(2), samples=2, seed=0).x
    assert inverter.traits.stochastic != torch.equal(x[:, 0], x[:, 1])


@every
def test_a_repeated_target_gets_a_draw_of_its_own(name: str) -> None:
    inverter = fitted(name)
    x = inverter.reconstruct(targets(1).expand(2, 3), samples=2, seed=0).x
    assert inverter.traits.stochastic != near(x[0, 1], x[1, 1])


@every
def test_fitting_with_the_same_seed_gives_the_same_inverter(name: str) -> None:
    first, second = (fitted(name).reconstruct(targets(), seed=0).x for _ in "ab")
    assert near(first, second)


@every
def test_the_reported_residual_is_the_residual_measured_again(name: str) -> None:
    inverter, target = fitted(name), targets()
    target[1, 0] = math.nan
    found = inverter.reconstruct(target, samples=2, seed=0)
    again = module()(found.x.flatten(0, 1)).reshape(found.y.shape).detach()
    away = (again - target[:, None]).abs().nan_to_num(0.0).amax(2)
    assert near(found.y, again)
    assert near(found.residual, away)
    assert torch.equal(found.converged, found.residual <= found.tolerance)
    assert set(found.outcome.unique().tolist()) <= set(Outcome)
    assert near(found.best, found.x[torch.arange(5), found.residual.argmin(1)])


@every
def test_inputs_stay_within_the_space(name: str) -> None:
    extreme = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    found = fitted(name).reconstruct(extreme, samples=2, seed=0)
    assert bool(((found.x >= 0) & (found.x <= 1)).all())


@every
def test_known_values_are_kept(name: str) -> None:
    known = torch.full((1, 2, 3), math.nan)
    known[0, 0, 1], known[0, 1, 2] = 0.25, 0.75
    found = fitted(name).reconstruct(targets(), samples=2, known=known, seed=0)
    assert bool((found.x[..., 0, 0, 1] == 0.25).all())
    assert bool((found.x[..., 0, 1, 2] == 0.75).all())


@every
def test_what_is_not_asked_counts_nowhere(name: str) -> None:
    target = torch.tensor([[0.4, math.nan, math.nan], [math.nan, 0.3, 0.3]])
    found = fitted(name).reconstruct(target, samples=2, seed=0)
    away = (found.y - target[:, None]).abs()
    assert near(found.residual, away.nan_to_num(0.0).amax(2))


@every
def test_one_tolerance_for_each_output_grades_each_by_its_own(name: str) -> None:
    loose = torch.tensor([2.0, 2.0, 2.0])
    assert bool(fitted(name, tolerance=loose).reconstruct(targets(), seed=0).converged.all())


@every
def test_a_start_is_used_or_refused(name: str) -> None:
    inverter, start = fitted(name), inputs(5)
    if inverter.traits.uses_start:
        near_start = inverter.reconstruct(targets(), start=start, seed=0).x[:, 0] - start
        elsewhere = inverter.reconstruct(targets(), seed=0).x[:, 0] - start
        assert near_start.flatten(1).norm(dim=1).sum() < elsewhere.flatten(1).norm(dim=1).sum()
    else:
        with pytest.raises(ArgumentError, match="no start"):
            inverter.reconstruct(targets(), start=start)


@every
def test_global_state_and_the_users_module_are_untouched(name: str) -> None:
    mine = module().train()
    first, *others = mine.parameters()
    first.requires_grad_(False)
    calls: list[int] = []
    handle = mine[3].register_forward_hook(lambda *_: calls.append(1))
    state = {key: value.clone() for key, value in mine.state_dict().items()}
    random, numpy_random = torch.get_rng_state(), np.random.get_state()[1].copy()
    inverter = make(name, Network(mine, space=InputSpace((1, 2, 3), 0.0, 1.0))).fit(inputs())
    inverter.reconstruct(targets(), samples=2, seed=0)
    assert torch.equal(torch.get_rng_state(), random)
    assert (np.random.get_state()[1] == numpy_random).all()
    assert mine.training
    assert all(part.training for part in mine.modules())
    assert not first.requires_grad
    assert all(p.requires_grad for p in others)
    assert all(p.grad is None for p in mine.parameters())
    assert all(torch.equal(value, state[key]) for key, value in mine.state_dict().items())
    assert [len(part._forward_hooks) for part in mine.modules()].count(1) == 1
    assert all(not part._forward_pre_hooks for part in mine.modules())
    handle.remove()


@every
def test_it_works_where_gradients_are_switched_off(name: str) -> None:
    inverter, expected = fitted(name), fitted(name).reconstruct(targets(), seed=0).x
    with torch.no_grad():
        assert near(inverter.reconstruct(targets(), seed=0).x, expected)
    net, data, target = network(), inputs(), targets()
    with torch.inference_mode():
        assert near(make(name, net).fit(data, seed=1).reconstruct(target, seed=0).x, expected)
    assert not expected.requires_grad


@every
def test_a_saved_inverter_gives_the_same_samples_and_saving_changes_nothing(name: str, tmp_path: Any) -> None:
    inverter = fitted(name)
    before = inverter.reconstruct(targets(), samples=2, seed=4)
    genrev.save(inverter, tmp_path / "inverter.safetensors")
    assert torch.equal(inverter.reconstruct(targets(), samples=2, seed=4).x, before.x)
    loaded = genrev.load(tmp_path / "inverter.safetensors", network=network())
    assert torch.equal(loaded.reconstruct(targets(), samples=2, seed=4).x, before.x)
    assert type(loaded) is type(inverter)


def test_what_joined_the_table_later_is_saved_and_loaded_too(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Middle(Inverter):
        traits = Traits(summary="The middle of the input space, whatever is asked.")

        def _propose(self, problem: Problem) -> Proposal:
            return Proposal(self.network.space.middle.to(problem.target).repeat(len(problem), 1, 1, 1))

    with pytest.raises(ArgumentError, match=r"got Middle; give it a line in genrev\.inverters\.INVERTERS"):
        genrev.save(Middle(network()), tmp_path / "inverter.safetensors")
    monkeypatch.setitem(INVERTERS, "middle", Middle)
    genrev.save(Middle(network()), tmp_path / "inverter.safetensors")
    assert type(genrev.load(tmp_path / "inverter.safetensors", network=network())) is Middle


def test_a_module_in_the_place_of_its_network_is_refused(tmp_path: Any) -> None:
    genrev.save(fitted("retrieval"), tmp_path / "inverter.safetensors")
    with pytest.raises(ArgumentError, match=r"expected a genrev\.Network for network=, got Sequential; write Network"):
        genrev.load(tmp_path / "inverter.safetensors", network=module())  # type: ignore[arg-type]


@every
def test_only_what_learns_refuses_to_answer_before_it_is_fitted(name: str) -> None:
    inverter = make(name, network())
    if inverter.traits.learns:
        with pytest.raises(NotFittedError, match=r"call fit\(inputs\) first"):
            inverter.reconstruct(targets(1))
    else:
        assert inverter.reconstruct(targets(1), seed=0).x.shape == (1, 1, 1, 2, 3)


@every
def test_a_fit_that_fails_leaves_the_inverter_as_it_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inverter = fitted(name)
    if not inverter.traits.learns:
        return
    before = inverter.reconstruct(targets(), samples=2, seed=4)

    def fails(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(torch.optim.AdamW, "step", fails)
        inverter.fit(inputs(30) ** 2, seed=2)
        # What learns without an optimiser can't be stopped half way.
        return
    assert torch.equal(inverter.reconstruct(targets(), samples=2, seed=4).x, before.x)


@every
def test_fit_notes_range_mean_and_covariance_and_returns_the_inverter(name: str) -> None:
    inverter = make(name, network())
    assert inverter.fit(inputs()) is inverter
    x = inputs()
    assert near(inverter.data.low, x.amin(0))
    assert near(inverter.data.mean, x.mean(0))
    assert near(inverter.data.covariance, torch.from_numpy(np.cov(x.flatten(1).numpy().T)))


@every
def test_what_learns_shows_the_outputs_that_it_learned_from(name: str) -> None:
    inverter = make(name, network())
    assert inverter.outputs_seen is None
    seen = inverter.fit(inputs(), seed=1).outputs_seen
    assert (seen is not None) == inverter.traits.learns
    if seen is not None:
        outputs = network().evaluate(inputs())
        assert float(torch.cdist(seen, outputs, p=1).amin(1).max()) < 1e-12


@every
def test_it_explains_itself(name: str) -> None:
    inverter = fitted(name)
    text = inverter.explain(inverter.reconstruct(targets(), seed=0))
    assert inverter.traits.summary in text
    assert text.endswith(".")


SIZES = {
    "one pixel, one output": (nn.Sequential(nn.Flatten(), nn.Linear(1, 1), nn.Sigmoid()), (1, 1, 1)),
    "a flat vector": (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (4,)),
    "more outputs than inputs": (nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 4)), (2,)),
    "a matrix of outputs": (nn.Sequential(nn.Linear(3, 2), nn.Identity()), (2, 3)),
}
RECURRENT_SIZES = {
    "one pixel, one output": (
        nn.Sequential(nn.Flatten(1, 2), unroll(nn.RNNCell(1, 1), steps=1), nn.Flatten()),
        (1, 1, 1),
    ),
    "a flat vector": (nn.Sequential(Equilibrium(4, 3, activation="relu"), nn.Linear(3, 2)), (4,)),
    "more outputs than inputs": (unroll(nn.RNN(2, 5), steps=3), (3, 2)),
    "a matrix of outputs": (unroll(nn.RNN(3, 2, batch_first=True), steps=2), (2, 3)),
}


@every
@pytest.mark.parametrize("case", SIZES)
def test_any_shape_works(name: str, case: str) -> None:
    net, shape = (RECURRENT_SIZES if recurrent(name) else SIZES)[case]
    if name == "bijective":
        # A ReLU is not one to one.
        net = nn.Sequential(*(nn.LeakyReLU() if isinstance(layer, nn.ReLU) else layer for layer in net))
    some = torch.rand(12, *shape, generator=torch.Generator().manual_seed(0))
    unbounded = Network(net.double(), space=InputSpace(shape))
    found = make(name, unbounded).fit(some).reconstruct(unbounded.evaluate(some[:2]), samples=2, seed=0)
    assert found.x.shape == (2, 2, *shape)
    assert bool(found.residual.isfinite().all())


@every
def test_constant_features_and_two_inputs_are_enough_to_fit_on(name: str) -> None:
    few = inputs(2)
    few[:, 0, 0, :] = 0.5
    found = make(name, network()).fit(few).reconstruct(targets(2), samples=2, seed=0)
    assert bool(found.x.isfinite().all())


@every
def test_a_network_that_always_says_the_same_is_survived(name: str) -> None:
    dead = module()
    nn.init.zeros_(dead[3].weight)
    net = Network(dead, space=InputSpace((1, 2, 3), 0.0, 1.0))
    if name == "bijective":
        with pytest.raises(LayerError, match=r"expected a layer of full rank, got '3' .* of rank 0 of 2"):
            make(name, net)
        return
    found = make(name, net).fit(inputs()).reconstruct([[0.9, 0.05, 0.05]], samples=2, seed=0)
    assert bool(found.x.isfinite().all())
    assert not bool(found.converged.any())


# What every method is too good for is refused alike; one of each kind stands for all.

BAD_TARGETS = {
    "length": ([[0.5, 0.5]], "expected targets of shape"),
    "ragged": ([[0.5, 0.5, 0.0], [1.0]], "regular shape"),
    "empty": (torch.zeros(0, 3), "expected targets of shape"),
    "infinite": ([[math.inf, 0.0, 0.0]], "finite"),
    "nothing asked": ([[math.nan] * 3], "only NaN"),
    "beyond one": ([[1.2, -0.1, -0.1]], r"\[0, 1\]"),
    "sum": ([[0.5, 0.1, 0.1]], "sum to one"),
    "sum of the asked": ([[0.9, 0.9, math.nan]], "sum to one"),
    "words": ([["a", "b", "c"]], "numbers"),
    "numbers in words": ([["0.2", "0.3", "0.5"]], "numbers"),
    "complex numbers": (np.zeros((1, 3), dtype=complex), "numbers"),
    "nothing": (None, "got None"),
}


@every
@pytest.mark.parametrize("case", BAD_TARGETS)
def test_bad_targets_are_refused_in_a_sentence(name: str, case: str) -> None:
    target, words = BAD_TARGETS[case]
    with pytest.raises(ArgumentError, match=words) as caught:
        fitted(name).reconstruct(target)
    assert "expected" in str(caught.value)
    assert ", got " in str(caught.value)
    assert ";" in str(caught.value)


@every
@pytest.mark.parametrize("samples", [0, -1, 1.5, True, "two"])
def test_bad_sample_counts_are_refused(name: str, samples: Any) -> None:
    with pytest.raises(ArgumentError, match="samples"):
        fitted(name).reconstruct(targets(1), samples=samples)


@every
@pytest.mark.parametrize("seed", [-1, 0.5, True, 2**63])
def test_bad_seeds_are_refused(name: str, seed: Any) -> None:
    with pytest.raises(ArgumentError, match="seed"):
        fitted(name).reconstruct(targets(1), seed=seed)


BAD_INPUTS = {
    "shape": (torch.rand(5, 6), r"expected inputs of shape .*x\.reshape\(-1, 1, 2, 3\)"),
    "outputs": (torch.rand(5, 3), "the shape of the network's outputs; give inputs"),
    "one": (torch.rand(1, 1, 2, 3), "at least two"),
    "outside": (2 * torch.ones(3, 1, 2, 3), "within"),
    "nan": (torch.full((3, 1, 2, 3), math.nan), "finite"),
    "constant": (torch.full((3, 1, 2, 3), 0.5), "differ"),
}


@every
@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_inputs_are_refused_and_leave_the_inverter_as_it_was(name: str, case: str) -> None:
    inverter = fitted(name)
    before = inverter.reconstruct(targets(), seed=0).x
    with pytest.raises(ArgumentError, match=BAD_INPUTS[case][1]):
        inverter.fit(BAD_INPUTS[case][0])
    assert torch.equal(inverter.reconstruct(targets(), seed=0).x, before)


@every
@pytest.mark.parametrize("known", [torch.rand(2, 2), torch.full((1, 2, 3), 3.0), torch.full((1, 2, 3), math.inf)])
def test_bad_known_values_are_refused(name: str, known: Tensor) -> None:
    with pytest.raises(ArgumentError, match="known"):
        fitted(name).reconstruct(targets(1), known=known)


@pytest.mark.parametrize(
    "mask", [torch.ones(1, 2, 3, dtype=torch.bool), np.eye(2, 3, dtype=bool)[None], [[[True] * 3] * 2]]
)
def test_a_mask_in_the_place_of_known_values_is_refused(mask: Any) -> None:
    with pytest.raises(ArgumentError, match=r"got only true and false; .*torch\.where\(mask"):
        fitted("newton").reconstruct(targets(1), known=mask)


def test_lists_of_tensors_and_gaps_in_lists_are_read() -> None:
    inverter, target = fitted("newton"), targets(2)
    listed = inverter.reconstruct([row.requires_grad_() for row in target.clone()], seed=0)
    assert near(listed.x, inverter.reconstruct(target, seed=0).x)
    assert near(inverter.reconstruct(target.to_sparse(), seed=0).x, listed.x)
    some = inverter.reconstruct([[0.5, None, None]], seed=0)
    assert near(some.x, inverter.reconstruct([[0.5, math.nan, math.nan]], seed=0).x)


@pytest.mark.parametrize("start", [torch.rand(2, 2), torch.full((1, 2, 3), 3.0), torch.full((1, 2, 3), math.nan)])
def test_bad_starts_are_refused(start: Tensor) -> None:
    with pytest.raises(ArgumentError, match="start"):
        fitted("newton").reconstruct(targets(1), start=start)


@pytest.mark.parametrize("name", INVERTERS)
def test_an_unknown_keyword_is_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(ArgumentError, match="did you mean 'tolerance'"):
        INVERTERS[name](network(), tolerence=1e-3)


@pytest.mark.parametrize("name", INVERTERS)
def test_a_call_that_does_not_fit_is_refused_with_one_that_does(name: str) -> None:
    kind = INVERTERS[name]
    with pytest.raises(ArgumentError, match=rf"expected network in a call of {kind.__name__}, got none; write"):
        kind()  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match="give the others by name: tolerance="):
        kind(network(), 1e-3)  # type: ignore[misc]
    inverter = make(name, network())
    with pytest.raises(ArgumentError, match="did you mean 'samples'"):
        inverter.reconstruct(targets(1), sample=3)  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match=r"expected target .*reconstruct\(target\)"):
        inverter.reconstruct()  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match="give the others by name: seed="):
        inverter.fit(inputs(), targets())  # type: ignore[misc]
    with pytest.raises(ArgumentError, match="expected what reconstruct returned, got int"):
        inverter.explain(3)  # type: ignore[arg-type]


def test_a_method_from_outside_refuses_likewise() -> None:
    with pytest.raises(ArgumentError, match="did you mean 'tolerance'"):
        Silly(network(), tolerence=1.0)  # type: ignore[call-arg]


@every
def test_an_inverter_can_be_copied(name: str) -> None:
    inverter = fitted(name)
    for twin in (copy.copy(inverter), copy.deepcopy(inverter)):
        assert near(twin.reconstruct(targets(2), seed=0).x, inverter.reconstruct(targets(2), seed=0).x)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.nan, math.inf, [1e-3, 1e-3], "small", None, [1e-3, [1e-3]], 1j])
def test_a_bad_tolerance_is_refused(tolerance: Any) -> None:
    with pytest.raises(ArgumentError, match="tolerance"):
        build("newton", network(), tolerance=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_cuts_gradients_off_is_refused_by_what_needs_them(name: str) -> None:
    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach().flatten(1).square()

    def attempt() -> Inverter:
        return make(name, Network(Cut(), space=InputSpace((1, 2, 3), 0.0, 1.0)))

    if make(name, network()).traits.gradients:
        with pytest.raises(ArgumentError, match="cuts them off; take no_grad"):
            attempt()
    elif not make(name, network()).traits.chain:
        attempt()


@pytest.mark.parametrize("answer", [torch.zeros(1, 1, 2, 3), Proposal(torch.zeros(1, 6)), None])
def test_a_hook_that_returns_something_else_is_told_what_to_return(answer: Any) -> None:
    class Wrong(Inverter):
        traits = Traits(summary="It returns what it was given.")

        def _propose(self, problem: Problem) -> Proposal:
            return answer

    with pytest.raises(ArgumentError, match=r"Wrong\._propose to return a Proposal of inputs \(1, 1, 2, 3\), got .*; "):
        Wrong(network()).reconstruct(targets(1))


def test_an_unknown_method_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'newton'"):
        build("newtn", network())
    with pytest.raises(UnknownNameError, match="did you mean 'cvae'"):
        INVERTERS["cvea"]
    with pytest.raises(GenrevError):
        build("cvae+newtom", network())


@pytest.mark.parametrize("name", ["", "cvae+", "newton,cvae", "newton+cvae", "decoder+retrieval", "foo", 3, None, []])
def test_a_name_that_builds_nothing_is_refused_in_a_sentence(name: Any) -> None:
    with pytest.raises(GenrevError, match=r"^expected .*, got .*; "):
        build(name, network())


def test_names_joined_otherwise_are_told_how() -> None:
    with pytest.raises(UnknownNameError, match=r"got 'newton,cvae'; name them one by one, or write 'cvae\+newton'"):
        build("newton,cvae", network())
    with pytest.raises(ArgumentError, match=r"got 'cvae' in 'newton\+cvae'; did you mean 'cvae\+newton'\?"):
        build("newton+cvae", network())


def numbers_taken() -> list[tuple[str, str]]:
    """Every number that a method of the table takes by a keyword of its own."""
    kept = [(name, INVERTERS[name](network(name=name)).arguments()) for name in INVERTERS]
    numbers = [(name, key) for name, keywords in kept for key, value in keywords.items() if type(value) in (int, float)]
    return [(name, key) for name, key in numbers if key != "tolerance"]


@pytest.mark.parametrize("wrong", [-1, "a", math.nan, True, None])
@pytest.mark.parametrize(("name", "keyword"), numbers_taken())
def test_a_number_that_is_none_is_refused_by_its_name(name: str, keyword: str, wrong: Any) -> None:
    with pytest.raises(ArgumentError, match=f"^expected {keyword} to be .*, got .*; give "):
        build(name, network(), **{keyword: wrong})


def test_a_module_instead_of_a_network_is_refused() -> None:
    with pytest.raises(ArgumentError, match="wrap the module"):
        build("newton", module())  # type: ignore[arg-type]


# Every outcome is reached.


class Silly(Inverter):
    """Proposes what a test wants, and claims what a test wants."""

    traits = Traits(summary="A test's own.")

    def __init__(self, network: Network, *, tolerance: float = 1e-3) -> None:
        super().__init__(network, tolerance=tolerance)
        self.value, self.claim = 0.5, Outcome.MISSED

    def _propose(self, problem: Problem) -> Proposal:
        x = torch.full((len(problem), 1, 2, 3), self.value)
        return Proposal(x, reason=torch.full_like(problem.sample, self.claim))


def test_a_method_cannot_grade_itself() -> None:
    silly = Silly(network())
    reached = network().evaluate(torch.full((1, 1, 2, 3), 0.5))
    silly.claim = Outcome.STALLED
    assert silly.reconstruct(reached).outcome.item() == Outcome.CONVERGED
    assert silly.reconstruct(reached.flip(1)).outcome.item() == Outcome.STALLED


def test_what_is_not_finite_has_diverged() -> None:
    silly = Silly(network())
    silly.value = math.nan
    found = silly.reconstruct(targets(1))
    assert found.outcome.item() == Outcome.DIVERGED
    assert found.residual.item() == math.inf


def test_a_one_shot_method_above_tolerance_has_missed() -> None:
    assert fitted("decoder", tolerance=1e-9).reconstruct(targets(1), seed=0).outcome.item() == Outcome.MISSED


def test_a_solver_that_can_get_no_closer_has_stalled() -> None:
    # Not proved to be impossible, and yet no input gives it.
    most = float(network().reachable_box().high[0])
    found = fitted("newton").reconstruct([[most, math.nan, math.nan]], seed=0)
    assert found.outcome.item() == Outcome.STALLED


def test_a_target_that_no_input_can_give_is_unreachable() -> None:
    assert fitted("newton").reconstruct([[1.0, 0.0, 0.0]], seed=0).outcome.item() == Outcome.UNREACHABLE


def test_a_solver_without_steps_left_has_reached_its_limit() -> None:
    newton = build("newton", network(), steps=1, restarts=0, tolerance=1e-12)
    assert newton.reconstruct(targets(1), seed=0).outcome.item() == Outcome.LIMIT


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_sentence_with_cause_and_remedy(outcome: Outcome) -> None:
    assert outcome.sentence.endswith(".")
    assert outcome == Outcome.CONVERGED or ":" in outcome.sentence


# What is printed


def test_counts_of_outcomes_are_printed_by_name() -> None:
    extreme = torch.tensor([[1.0, 0.0, 0.0]])
    found = fitted("newton").reconstruct(torch.cat([targets(1), extreme]), samples=2, seed=0)
    assert str(found.outcomes()) == "{CONVERGED: 2, UNREACHABLE: 2}"
    assert found.outcomes() == {Outcome.CONVERGED: 2, Outcome.UNREACHABLE: 2}
    assert f"{Outcome.MISSED} {Outcome.MISSED:d}" == "MISSED 1"


def test_an_inversion_is_printed_in_one_line() -> None:
    found = fitted("pinv").reconstruct(targets(1), seed=3)
    assert repr(found).startswith("Inversion(1 target x 1 sample: 1 ")
    assert repr(found).endswith(", seed 3)")


@pytest.mark.parametrize("name", NAMES)
def test_an_inverter_is_printed_in_one_line_whether_it_is_fitted_or_not(name: str) -> None:
    inverter = make(name, network())
    for state in ("not fitted", "fitted"):
        text = repr(inverter)
        assert "\n" not in text
        assert text.startswith(type(inverter).__name__)
        assert text.endswith(f") {state}" if inverter.traits.learns else ")")
        inverter.fit(inputs())


def test_an_inverter_is_printed_with_the_keywords_that_are_not_the_usual() -> None:
    net = network()
    assert repr(build("newton", net)) == "NewtonInverter(network)"
    assert repr(build("newton", net, tolerance=0.01, steps=7)) == "NewtonInverter(network, tolerance=0.01, steps=7)"
    assert repr(build("cvae+newton", net)) == "Refined(CVAEInverter(network), NewtonInverter(network)) not fitted"
    loose = torch.tensor([0.1, 0.2, 0.3])
    refined = Refined(build("cvae", net), build("newton", net, tolerance=loose), tolerance=0.5)
    assert repr(BestOf(refined, 3)) == (
        "BestOf(Refined(CVAEInverter(network), NewtonInverter(network, tolerance=[0.1, 0.2, 0.3]), tolerance=0.5), "
        "n=3) not fitted"
    )
    assert repr(Silly(net)) == "Silly(network)"


def test_different_targets_give_different_inputs() -> None:
    for name in NAMES:
        unbounded = Network(network(name=name).module, space=InputSpace((1, 2, 3)))
        x = make(name, unbounded).fit(inputs()).reconstruct([[0.6, 0.4, 0.0], [0.2, 0.4, 0.4]], seed=0).x
        assert not near(x[0], x[1]), name
