"""Tests of layers of structured weights: the same as a dense layer, in values, slopes, bounds and what may go wrong."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from sentences import assert_one_sentence
from test_bounds import boxes, corner_bounds, expect_held, inside
from torch import Tensor, nn

from genrev import InputSpace, Network, NewtonInverter
from genrev.errors import ArgumentError
from genrev.layers import Interval, bounds
from genrev.layers.affine import affine
from genrev.models import BlockDiagonalLinear, LowRankLinear, SparseLinear


def thinned(m: int, n: int, share: float = 0.3) -> Tensor:
    return torch.randn(m, n) * (torch.rand(m, n) < share)


def as_rows(weight: Tensor) -> Tensor:
    """A matrix as a sparse tensor by rows."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return weight.to_sparse_csr()


MAKE: dict[str, Any] = {
    "sparse": lambda: SparseLinear(thinned(5, 7), torch.randn(5)),
    "sparse-no-bias": lambda: SparseLinear(thinned(9, 7)),
    "low-rank": lambda: LowRankLinear(torch.randn(7, 2), torch.randn(2, 7), torch.randn(7), torch.randn(7)),
    "low-rank-alone": lambda: LowRankLinear(torch.randn(4, 2), torch.randn(2, 7), None, torch.randn(4)),
    "blocks": lambda: BlockDiagonalLinear(torch.randn(1, 3, 7), torch.randn(3)),
}
every = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def matrix_of(layer: nn.Module) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        bias = layer(torch.zeros(1, layer.in_features))[0]
        return (layer(torch.eye(layer.in_features)) - bias).T, bias


def near(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def test_a_layer_gives_what_its_matrix_gives() -> None:
    weight, bias, diagonal = thinned(7, 7), torch.randn(7), torch.randn(7)
    left, right, blocks = torch.randn(7, 2), torch.randn(2, 7), torch.randn(3, 2, 4)
    for layer, matrix, added in (
        (SparseLinear(weight, bias), weight, bias),
        (SparseLinear(as_rows(weight)), weight, torch.zeros(7)),
        (SparseLinear(weight.to_sparse()), weight, torch.zeros(7)),
        (SparseLinear(torch.zeros(3, 7)), torch.zeros(3, 7), torch.zeros(3)),
        (LowRankLinear(left, right, diagonal, bias), left @ right + torch.diag(diagonal), bias),
        (BlockDiagonalLinear(blocks), torch.block_diag(*blocks), torch.zeros(6)),
    ):
        for shape in ((3,), (0,), (), (2, 3)):
            x = torch.randn(*shape, matrix.shape[1])
            near(layer(x).detach(), x @ matrix.T + added)


def test_values_of_one_place_in_a_sparse_tensor_are_added_up() -> None:
    weight = torch.sparse_coo_tensor(
        torch.tensor([[0, 0], [1, 1]]), torch.tensor([1.0, 2.0]), (2, 2), check_invariants=True
    )
    near(matrix_of(SparseLinear(weight))[0], torch.tensor([[0.0, 3.0], [0.0, 0.0]]))


# Torch's own forward mode warns when it is first used.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@every
def test_slopes_are_right_in_every_mode(make: Any) -> None:
    layer = make()
    x = torch.randn(2, 7, requires_grad=True)
    parameters = tuple(layer.parameters())
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *parameters), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(run, (x, *parameters), check_batched_grad=True)
    near(torch.func.vmap(torch.func.jacrev(layer))(x.detach())[0], matrix_of(layer)[0])
    near(torch.func.jacfwd(layer)(x[0].detach()), matrix_of(layer)[0])
    stacked = torch.stack([value.detach() for value in parameters][0:1] * 2)
    moved = torch.func.vmap(lambda first: run(x.detach(), first, *parameters[1:]))(stacked)
    near(moved[0].detach(), layer(x).detach())


@every
def test_newton_finds_inputs_of_a_network_of_such_layers(make: Any) -> None:
    network = Network(nn.Sequential(make(), nn.Tanh()), space=InputSpace((7,), -2.0, 2.0))
    assert network.differentiable
    x = torch.rand(4, 7)
    found = NewtonInverter(network).reconstruct(network.evaluate(x), seed=0)
    assert bool(found.converged.all())


@every
def test_a_copy_and_a_saved_state_are_the_same_layer(make: Any) -> None:
    layer, x = make(), torch.randn(3, 7)
    assert layer(x).shape == copy.deepcopy(layer)(x).shape
    near(copy.deepcopy(layer)(x), layer(x))
    again = copy.deepcopy(layer)
    with torch.no_grad():
        for values in again.parameters():
            values.zero_()
    near(again(x).detach(), torch.zeros_like(layer(x)))
    again.load_state_dict(layer.state_dict())
    near(again(x), layer(x))
    network = [Network(one, space=InputSpace((7,))).fingerprint() for one in (layer, again)]
    assert network[0] == network[1]
    near(layer.float()(x.float()).double(), layer.double()(x), 1e-5)


def test_a_sparse_layer_follows_its_places_when_others_are_loaded() -> None:
    one, other = (torch.diag(torch.randn(4)).roll(shift, 1) for shift in (0, 2))
    layer, x = SparseLinear(one), torch.randn(2, 4, requires_grad=True)
    layer(x).sum().backward()
    layer.load_state_dict(SparseLinear(other).state_dict())
    near(layer(x).detach(), x.detach() @ other.T)
    (slope,) = torch.autograd.grad(layer(x).sum(), x)
    near(slope, other.sum(0).expand(2, 4))


def test_a_sparse_state_with_places_out_of_range_is_refused_and_nothing_is_loaded() -> None:
    layer = SparseLinear(torch.diag(torch.ones(3)))
    state = layer.state_dict()
    wrong = {**state, "columns": torch.tensor([0, 1, 9]), "values": torch.zeros(3)}
    with pytest.raises(RuntimeError, match="expected columns from 0 to 2, got 0 to 9"):
        layer.load_state_dict(wrong)
    near(matrix_of(layer)[0], torch.eye(3))


def test_a_value_written_in_place_counts_at_once() -> None:
    layer, x = SparseLinear(torch.eye(3)), torch.ones(1, 3, requires_grad=True)
    layer(x).sum().backward()
    layer.values.data.mul_(2)
    near(layer(x).detach(), torch.full((1, 3), 2.0))
    (slope,) = torch.autograd.grad(layer(x).sum(), x)
    near(slope, torch.full((1, 3), 2.0))


@every
def test_a_layer_runs_without_gradients_and_on_views(make: Any) -> None:
    layer = make()
    x = torch.randn(7, 6).T[::2]
    with torch.inference_mode():
        near(layer(x), layer(x.contiguous()))
    with torch.no_grad():
        assert not layer(x).requires_grad
    before = torch.get_num_threads(), torch.random.get_rng_state()
    layer(x)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


# Bounds


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_nothing_leaves_the_bounds_of_a_layer(make: Any, dtype: torch.dtype) -> None:
    for seed in range(4):
        torch.manual_seed(seed)
        layer = make().to(dtype)
        for box in boxes((7,), dtype):
            expect_held(layer, box, inside(box))
        if not isinstance(layer, BlockDiagonalLinear):
            for box in boxes((2, 7), dtype)[:3]:
                expect_held(layer, box, inside(box))


@every
def test_a_layer_attains_its_bounds(make: Any) -> None:
    layer = make()
    low = torch.randn(7)
    high = low + torch.rand(7)
    found = bounds(layer, (7,))(Interval(low[None], high[None]))
    least, most = corner_bounds(*matrix_of(layer), low, high)
    near(found.low[0], least)
    near(found.high[0], most)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_bounds_of_low_rank_are_sound_where_its_weights_are_never_formed(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    from genrev.models import low_rank_linear

    monkeypatch.setattr(low_rank_linear, "_WORK", 0)
    for name in ("low-rank", "low-rank-alone"):
        layer = MAKE[name]().to(dtype)
        for box in boxes((7,), dtype):
            expect_held(layer, box, inside(box))


def test_bounds_of_low_rank_hold_where_its_parts_cancel() -> None:
    left = torch.tensor([[1e6, -1e6]]).float()
    layer = LowRankLinear(left, torch.ones(2, 7).float() + 1e-6 * torch.randn(2, 7).float())
    for _ in range(20):
        middle = torch.randn(1, 7).float().double()
        expect_held(layer, Interval(middle, middle, torch.float32), middle.float())


@pytest.mark.parametrize("name", ["sparse", "blocks"])
def test_bounds_and_products_are_the_same_in_parts(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from genrev.models import block_diagonal_linear, sparse_linear

    layer = SparseLinear(thinned(20, 12)) if name == "sparse" else BlockDiagonalLinear(torch.randn(5, 3, 2))
    n = layer.in_features
    low = torch.randn(1, n)
    box = Interval(low, low + torch.rand(1, n))
    rows = torch.randn(3, layer.out_features)
    whole = bounds(layer, (n,))(box), affine(layer, (n,)).back(rows, (n,))
    for module in (sparse_linear, block_diagonal_linear):
        monkeypatch.setattr(module, "BLOCK", 7)
    parts = bounds(layer, (n,))(box), affine(layer, (n,)).back(rows, (n,))
    near(parts[0].low, whole[0].low)
    near(parts[0].high, whole[0].high)
    near(parts[1], rows @ matrix_of(layer)[0])
    near(whole[1], parts[1])


def test_a_network_of_such_layers_has_a_reachable_box() -> None:
    module = nn.Sequential(SparseLinear(thinned(6, 7)), nn.Tanh(), BlockDiagonalLinear(torch.randn(2, 3, 3)))
    network = Network(module, space=InputSpace((7,), -1.0, 1.0))
    box = network.reachable_box()
    assert bool(box.contains(network.evaluate(2 * torch.rand(300, 7) - 1)).all())
    assert bool(box.high.isfinite().all())


# What may go wrong


@pytest.mark.parametrize(
    "make",
    [
        lambda: SparseLinear(torch.randn(3)),
        lambda: SparseLinear([[1.0]]),
        lambda: SparseLinear(torch.ones(3, 0)),
        lambda: SparseLinear(torch.ones(0, 3)),
        lambda: LowRankLinear(torch.ones(3, 0), torch.ones(0, 3)),
        lambda: SparseLinear(torch.ones(2, 2, dtype=torch.int64)),
        lambda: SparseLinear(torch.ones(2, 2).half()),
        lambda: SparseLinear(torch.full((2, 2), math.nan)),
        lambda: SparseLinear(torch.ones(2, 2), torch.ones(3)),
        lambda: SparseLinear(torch.ones(2, 2), torch.ones(2).float()),
        lambda: SparseLinear(torch.ones(2, 2), torch.tensor([0.0, math.inf])),
        lambda: SparseLinear(),
        lambda: SparseLinear(torch.ones(2, 2), biass=torch.ones(2)),
        lambda: LowRankLinear(torch.ones(3, 2), torch.ones(3, 2)),
        lambda: LowRankLinear(torch.ones(3, 1), torch.ones(1, 2), torch.ones(2)),
        lambda: LowRankLinear(torch.ones(3, 1), torch.ones(1, 3), torch.ones(2)),
        lambda: LowRankLinear(torch.ones(3, 1), torch.ones(1, 3).float()),
        lambda: LowRankLinear(torch.ones(3, 1) * math.nan, torch.ones(1, 3)),
        lambda: LowRankLinear(torch.ones(3, 1), torch.ones(1, 3), bias=torch.ones(1, 3)),
        lambda: BlockDiagonalLinear(torch.ones(2, 2)),
        lambda: BlockDiagonalLinear(torch.ones(0, 2, 2)),
        lambda: BlockDiagonalLinear(torch.ones(2, 2, 2) * math.inf),
        lambda: BlockDiagonalLinear(torch.ones(2, 2, 2), torch.ones(2)),
    ],
)
def test_weights_that_are_none_are_refused(make: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        make()
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("columns", [[0, 9], [1, 0], [-1, 1]])
def test_a_sparse_tensor_with_wrong_places_is_refused(columns: list[int]) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weight = torch.sparse_csr_tensor(
            torch.tensor([0, 2]), torch.tensor(columns), torch.ones(2), (1, 3), check_invariants=False
        )
    with pytest.raises(ArgumentError) as caught:
        SparseLinear(weight)
    assert_one_sentence(caught.value)


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_a_layer_does_not_share_memory_with_what_it_was_made_of() -> None:
    blocks, left = torch.ones(1, 2, 2), torch.ones(2, 1)
    # Of the type that the layer has them in.
    parts = torch.tensor([0, 1, 2], dtype=torch.int32), torch.tensor([0, 1], dtype=torch.int32), torch.ones(2)
    rows = torch.sparse_csr_tensor(*parts, (2, 2), check_invariants=True)
    layers = [SparseLinear(rows), BlockDiagonalLinear(blocks), LowRankLinear(left, left.T)]
    before = [layer(torch.ones(1, 2)).detach() for layer in layers]
    for values in (rows.values(), rows.crow_indices(), rows.col_indices(), blocks, left):
        values.zero_()
    for layer, kept in zip(layers, before, strict=True):
        near(layer(torch.ones(1, 2)).detach(), kept)


def test_a_layer_says_what_it_is() -> None:
    assert repr(SparseLinear(torch.eye(2))) == "SparseLinear(in_features=2, out_features=2, values=2, bias=False)"
    assert "rank=1" in repr(LowRankLinear(torch.ones(2, 1), torch.ones(1, 2)))
    assert "blocks=3" in repr(BlockDiagonalLinear(torch.ones(3, 1, 2)))
