"""What processes that share a matrix check together; each function runs in all of them, from one seed."""

from __future__ import annotations

import copy
import os
import threading
import warnings
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from sentences import assert_one_sentence
from torch import Tensor, nn

import genrev
from genrev import BijectiveInverter, InputSpace, Network, NewtonInverter, Outcome, PinvInverter
from genrev.errors import ArgumentError, FileError, GenrevError, LayerError, UnknownNameError
from genrev.layers import Interval, bounds, inverse
from genrev.layers.affine import affine
from genrev.layers.operators import operator
from genrev.models import MLP, ShardedLinear
from genrev.operators import BlockJacobi, ColumnScaling, Dense, Gathered, Sharded, Stop, Streamed, cgnr, lsmr, prepare
from genrev.operators import solver as solving
from genrev.operators.least_squares import inner
from genrev.operators.processes import Processes, own_part


def near(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def same_on_all(values: Tensor) -> None:
    """The same to the last bit."""
    found = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(found, values.contiguous())
    for one in found:
        assert torch.equal(one.nan_to_num(7e77), values.nan_to_num(7e77))


def spread(weight: Tensor) -> Sharded:
    processes = Processes()
    return Sharded(processes.spread(weight[processes.rows(len(weight))], len(weight)))


def messages(run: Callable[[], Any]) -> list[tuple[str, tuple[int, ...]]]:
    """What is sent while something runs."""
    sent: list[tuple[str, tuple[int, ...]]] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("all_reduce", "all_gather", "broadcast"):
            real = getattr(dist, name)

            def note(*args: Any, name: str = name, real: Any = real, **keywords: Any) -> Any:
                sent.append((name, tuple(args[0].shape) if isinstance(args[0], Tensor) else ()))
                return real(*args, **keywords)

            patch.setattr(dist, name, note)
        run()
    return sent


def expect_layer_errors_where_weights_are_spoilt() -> None:
    sharded, _ = networks()
    with torch.no_grad():
        own = own_part(sharded.module[2].weight)
        if dist.get_rank() == dist.get_world_size() - 1:
            own[0, 0] = torch.nan
    refused(LayerError, lambda: inverse(sharded.module[2], (12,)), "NaN or infinity")
    for kind in (PinvInverter, BijectiveInverter):
        with pytest.raises(LayerError):
            kind(sharded)


SHAPES = [(7, 5), (4, 9), (1, 3), (2, 2), (9, 9)]


def products() -> None:
    for m, n in SHAPES:
        weight = torch.randn(m, n)
        sharded, dense = spread(weight), Dense(weight)
        held = sharded.processes.rows(m)
        x, y = torch.randn(3, n), torch.randn(3, m)
        assert sharded.shape == (held.stop - held.start, n)
        assert sharded.height == m
        near(sharded(x), dense(x)[:, held])
        near(sharded.own(y), y[:, held])
        near(sharded.whole(sharded.own(y)), y, 0)
        near(sharded.adjoint(sharded.own(y)), dense.adjoint(y))
        near(sharded.forth_and_back(x)[0], dense(x)[:, held])
        near(sharded.forth_and_back(x)[1], dense.normal(x))
        near(sharded.squared_norm(sharded.own(y)), dense.squared_norm(y))
        for found, true in zip(sharded.probe(x, sharded.own(y)), dense.probe(x, y), strict=True):
            near(found, true if found.shape == true.shape else true[:, held])
        near(sharded.column_squares(), dense.column_squares())
        near(sharded.row_squares(), dense.row_squares()[held])
        near(sharded.normal_blocks(2), dense.normal_blocks(2))
        near(sharded.dense(), weight[held], 0)
        whole = Gathered(sharded)
        assert whole.shape == (m, n)
        near(whole(x), dense(x))
        near(whole.adjoint(y), dense.adjoint(y))
        near(whole.forth_and_back(x)[0], dense(x))
        near(whole.forth_and_back(x)[1], dense.normal(x))
        near(whole.column_squares(), dense.column_squares())
        near(whole.row_squares(), dense.row_squares())
        near(whole.normal_blocks(2), dense.normal_blocks(2))
        near(whole.dense(), weight, 0)
        near((whole(x) * y).sum(1), (x * whole.adjoint(y)).sum(1))
        for none in (whole(x[:0]), whole.adjoint(y[:0])):
            assert len(none) == 0
        for values in (whole(x), whole.adjoint(y), sharded.squared_norm(sharded.own(y))):
            same_on_all(values)
        spoilt = x.clone()
        spoilt[1, 0] = torch.nan
        near(whole(spoilt)[::2], dense(x)[::2])
        assert bool(whole(spoilt)[1].isnan().all())


def a_tensor_that_is_not_spread_by_rows() -> None:
    from torch.distributed.tensor import Replicate

    spread_by_rows = Processes().spread(torch.ones(2, 4), 2 * dist.get_world_size())
    refused(ArgumentError, lambda: Sharded(spread_by_rows.redistribute(placements=[Replicate()])), "by rows")


def shares() -> list[int]:
    held = []
    for m in (8001, 8, 2, 1):
        weight = torch.randn(m, 3)
        share = ShardedLinear.share(m)
        layer = ShardedLinear(weight[share], torch.arange(float(m)))
        own = own_part(layer.weight)
        assert tuple(layer.weight.shape) == (m, 3)
        assert own.shape == (share.stop - share.start, 3)
        # The storage, too: a view of the whole would keep all of it.
        assert own.untyped_storage().nbytes() == own.numel() * 8
        near(layer.weight.full_tensor(), weight, 0)
        near(layer(torch.eye(3)), weight.T + torch.arange(float(m)))
        held.append(len(own))
    return held


def one_message_an_iteration() -> None:
    weight = torch.randn(60, 40)
    operator, b = spread(weight), torch.randn(3, 60)
    for preconditioner in (None, ColumnScaling(operator)):
        counts = {}
        for limit in (3, 9, 12):
            with_limit = {"limit": limit, "tolerance": 1e-15, "flat": 0.0, "preconditioner": preconditioner}
            sent = messages(lambda keywords=with_limit: cgnr(operator, operator.own(b), **keywords))
            assert {name for name, _ in sent} == {"all_reduce"}
            counts[limit] = len(sent)
            # An n-vector for each row, and two numbers beside it.
            assert sent.count(("all_reduce", (3, 42))) == limit
        assert counts[9] - counts[3] == 6
        assert counts[12] - counts[9] == 3
        assert counts[3] - 3 <= 8
    assert messages(lambda: operator(torch.randn(3, 40))) == []
    assert messages(lambda: operator.adjoint(operator.own(b))) == [("all_reduce", (3, 40))]
    assert messages(lambda: operator.forth_and_back(torch.randn(3, 40))) == [("all_reduce", (3, 40))]
    assert len(messages(lambda: Gathered(operator)(torch.randn(3, 40)))) == 1


def least_squares() -> None:
    for method in (cgnr, lsmr):
        for (m, n), make in (((30, 12), None), ((12, 30), None), ((30, 30), ColumnScaling), ((31, 31), BlockJacobi)):
            weight = torch.randn(m, n) + 6 * torch.eye(m, n)
            operator = spread(weight)
            b = torch.cat([torch.randn(3, n) @ weight.T, torch.zeros(1, m), weight[:, :1].T, torch.randn(1, m)])
            found = method(operator, operator.own(b), tolerance=1e-13, preconditioner=make and make(operator))
            near(found.x, torch.linalg.lstsq(weight, b.T, driver="gelsd").solution.T, 1e-9)
            left = (found.x @ weight.T - b).norm(dim=1) / b.norm(dim=1).where(b.norm(dim=1) > 0, torch.ones(()))
            near(found.residual, left, 1e-9)
            alone = method(Dense(weight), b, tolerance=1e-13, preconditioner=make and make(Dense(weight)))
            assert found.stop.tolist() == alone.stop.tolist()
            for values in (found.x, found.residual, found.iterations, found.stop):
                same_on_all(values)
    single = spread(weight.float())
    found = cgnr(single, single.own(b.float()), tolerance=1e-6)
    assert found.x.dtype == torch.float32
    near(found.x[:5].double() @ weight.T, b[:5], 1e-4)
    spoilt = weight.clone()
    spoilt[-1, 0] = torch.nan
    operator = spread(spoilt)
    stopped = cgnr(operator, operator.own(b)).stop
    assert [Stop(one) == Stop.NOT_FINITE for one in stopped.tolist()] == [True, True, True, False, True, True]


def processes_with_other_numbers_of_threads_decide_alike() -> None:
    torch.set_num_threads(1 + dist.get_rank())
    weight, vectors = torch.randn(8, 50_000), torch.randn(2, 3, 100_001)
    operator = spread(weight)
    for method in (cgnr, lsmr):
        found = method(operator, operator.own(torch.randn(5, 8)), tolerance=1e-14)
        same_on_all(found.iterations)
        same_on_all(found.stop)
        same_on_all(found.residual)
    same_on_all(inner(*vectors))
    near(inner(*vectors), (vectors[0] * vectors[1]).sum(1), 1e-9)
    torch.set_num_threads(1)


def slopes() -> None:
    for m, n in ((5, 7), (2, 3)):
        layer = nn.Linear(n, m).requires_grad_(False)
        sharded = ShardedLinear.of(layer)
        x = torch.randn(2, n, requires_grad=True)
        with warnings.catch_warnings():
            # Torch warns of what its own forward mode imports.
            warnings.simplefilter("ignore", DeprecationWarning)
            assert torch.autograd.gradcheck(sharded, (x,), check_forward_ad=True)
            assert torch.autograd.gradgradcheck(lambda x, layer=sharded: layer(x).square(), (x,))
            near(torch.func.vmap(torch.func.jacrev(sharded))(x.detach())[0], layer.weight)
        for shape in ((3,), (0,), (), (2, 3)):
            given = torch.randn(*shape, n)
            near(sharded(given), layer(given))
        sharded(x).sum().backward()
        near(sharded.bias.grad, torch.full((m,), 2.0))
        near(x.grad, layer.weight.sum(0).expand(2, n))
        assert not sharded.weight.requires_grad


def module(
    widths: tuple[int, ...] = (12, 12, 12), activation: type[nn.Module] = nn.Tanh, dtype: torch.dtype = torch.float64
) -> nn.Module:
    """A chain with layers that are easy to solve."""
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for n, m in pairwise(widths):
        layer = nn.Linear(n, m)
        with torch.no_grad():
            layer.weight.normal_(std=0.3 / n**0.5).diagonal().add_(1.0)
        parts += [layer, activation()]
    return nn.Sequential(*parts[:-1]).to(dtype)


def networks(width: int = 5, **settings: Any) -> tuple[Network, Network]:
    """A network whose layers are spread, and the same one whole."""
    whole = module(**settings)
    space = InputSpace((whole[0].in_features,), -3.0, 3.0)
    return Network(genrev.shard(whole, width=width), space=space), Network(whole, space=space)


def expect_alike(found: Any, true: Any, tolerance: float = 1e-6, stats: tuple[str, ...] = ()) -> None:
    near(found.x, true.x, tolerance)
    near(found.y, true.y, tolerance)
    assert torch.equal(found.outcome, true.outcome)
    for name in stats:
        near(found.stats[name], true.stats[name], tolerance)
    for values in (found.x, found.y, found.residual, found.outcome, *found.stats.values()):
        same_on_all(values)


def inverters_give_what_they_give_on_one_process() -> list[Any]:
    said: list[Any] = []
    drawn = PinvInverter(networks()[0]).reconstruct([[0.1] * 12]).seed
    same_on_all(torch.tensor([drawn]))
    for formed in (solving._FORMED, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(solving, "_FORMED", formed)
            for widths in ((12, 12, 12), (15, 12, 9), (9, 12, 12)):
                sharded, whole = networks(widths=widths)
                inputs = torch.rand(5, widths[0]) - 0.5
                y = whole.evaluate(inputs)
                near(sharded.evaluate(inputs), y)
                kinds = [BijectiveInverter, PinvInverter] + [NewtonInverter] * (formed > 0 and widths[0] == 15)
                for kind in kinds:
                    found, true = (kind(one).reconstruct(y, seed=0) for one in (sharded, whole))
                    expect_alike(found, true, stats=("clamped",) if kind is PinvInverter else ())
                    said.append(found.x.flatten().tolist())
                    if kind is BijectiveInverter:
                        assert bool((found.stats["misfit"] < 1e-11).all())
                        assert bool((found.stats["iterations"] > 0).all()) == (formed == 0)
                        assert bool(found.converged.all())
                        apart = (found.best - inputs).norm(dim=1) / inputs.norm(dim=1)
                        if widths[0] <= widths[1]:
                            assert bool((apart <= 1e-11).all())
                assert BijectiveInverter(sharded).unique == BijectiveInverter(whole).unique
            sharded, whole = networks(widths=(8, 8, 8), activation=nn.LeakyReLU)
            sharded, whole = sharded.with_softmax(), whole.with_softmax()
            y = whole.evaluate(torch.randn(3, 8))
            expect_alike(*(BijectiveInverter(one).reconstruct(y, seed=0) for one in (sharded, whole)))
            single, _ = networks(dtype=torch.float32)
            x = torch.rand(2, 12).float() - 0.5
            found = BijectiveInverter(single).reconstruct(single.evaluate(x), seed=0)
            same_on_all(found.x)
            near(found.best, x, 1e-5)
            assert bool((found.stats["error"] > 1e-9).all())
    return said


def ways_are_chosen() -> None:
    weight = torch.randn(40, 30) + 5 * torch.eye(40, 30)
    whole = Gathered(spread(weight))
    assert prepare(whole).kind in ("qr", "svd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solving, "_FORMED", 0)
        ready = prepare(whole)
        b = torch.randn(4, 30) @ weight.T
        found = ready.solve(b)
        assert (ready.kind, ready.rank, ready.operator.shape) == ("cgnr", None, (40, 30))
        near(found.x, torch.linalg.lstsq(weight, b.T).solution.T, 1e-10)
        assert not bool(found.ran_out.any())
        assert bool((found.iterations > 0).all())
        near(ready.residual(found.x, b), torch.zeros(4, 40), 1e-11)
        near(ready.estimate(b), found.x, 0.1)
        assert 1 < ready.condition < 100
        for values in (found.x, found.iterations, ready.residual(found.x, b), ready.rounding(found.x)):
            same_on_all(values)
        rows = prepare(whole.part)
        near(rows.solve(whole.part.own(b)).x, found.x, 1e-12)
        wide = Gathered(spread(weight.T.contiguous()))
        b = torch.randn(4, 30)
        near(prepare(wide).solve(b).x, torch.linalg.lstsq(weight.T, b.T, driver="gelsd").solution.T, 1e-10)
        layer = ShardedLinear.of(nn.Linear(9, 7))
        weights, bias = operator(layer, (2, 3, 9))
        assert weights.shape == (42, 54)
        assert bias.shape == (42,)
        found = prepare(weights).solve(torch.randn(2, 42))
        same_on_all(found.x)


def jacobians_of_many_outputs() -> None:
    sharded, whole = networks(widths=(24, 24, 24))
    y = whole.evaluate(torch.rand(2, 24) - 0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("genrev.solvers.jacobian"), "_SMALL", 0)
        for way in ("dense", "free"):
            found, true = (NewtonInverter(one, jacobian=way).reconstruct(y, seed=0) for one in (sharded, whole))
            expect_alike(found, true)
            assert bool(found.converged.all())


def bounds_are_those_of_the_whole() -> None:
    sharded, whole = networks(widths=(6, 9, 5, 7))
    found, true = sharded.reachable_box(), whole.reachable_box()
    near(found.low, true.low)
    near(found.high, true.high)
    assert bool(found.contains(sharded.evaluate(6 * torch.rand(50, 6) - 3)).all())
    same_on_all(found.low)
    layer = nn.Linear(7, 5)
    layer.weight.data[2, 3] = 0.0
    part = ShardedLinear.of(layer)
    low = torch.randn(2, 7)
    low[0, 3] = -torch.inf
    one = torch.ones(1, 7)
    for box in (Interval(low, low.abs() + 1, torch.float64), Interval(-one, one, torch.float64)):
        found, true = (bounds(which, (7,))(box) for which in (part, layer))
        near(found.low, true.low)
        near(found.high, true.high)
    rows = torch.randn(3, 2, 5)
    near(affine(part, (2, 7)).back(rows, (2, 7)), rows @ layer.weight)
    far = sharded.evaluate(torch.zeros(1, 6)) + 1e3
    result = PinvInverter(sharded).reconstruct(far, seed=0)
    expect_alike(result, PinvInverter(whole).reconstruct(far, seed=0))
    assert int(result.outcome[0, 0]) == Outcome.UNREACHABLE


def fingerprint() -> str:
    sharded, _ = networks(widths=(6, 9, 5))
    with sharded.frozen():
        pass
    again = Network(copy.deepcopy(sharded.module), space=sharded.space)
    assert again.fingerprint() == sharded.fingerprint()
    with torch.no_grad():
        own = own_part(again.module[0].weight)
        if Processes().rank == 0:
            own[0, 0] += 1
    assert again.fingerprint() != sharded.fingerprint()
    return sharded.fingerprint()


def states() -> None:
    layer, other = nn.Linear(5, 7), nn.Linear(5, 7)
    sharded, again = ShardedLinear.of(layer), ShardedLinear.of(other)
    state = sharded.state_dict()
    assert set(state) == {"weight", "bias"}
    near(state["weight"].full_tensor(), layer.weight, 0)
    again.load_state_dict(state)
    near(again.matrix.dense(), layer.weight.detach(), 0)
    again.load_state_dict(other.state_dict())
    near(again.matrix.dense(), other.weight.detach(), 0)
    near(again(torch.ones(1, 5)), other(torch.ones(1, 5)))
    expect_layer_errors_where_weights_are_spoilt()
    near(copy.deepcopy(again).float()(torch.ones(1, 5).float()), other.float()(torch.ones(1, 5).float()), 1e-6)
    with pytest.raises(RuntimeError, match="size mismatch"):
        again.load_state_dict(nn.Linear(4, 7).state_dict())
    assert repr(sharded) == "ShardedLinear(in_features=5, out_features=7)"


def files(folder: Path = Path("files")) -> None:
    layer = nn.Linear(6, 11)
    folder.mkdir(exist_ok=True)
    if dist.get_rank() == 0:
        save_file({"w": layer.weight.detach(), "v": torch.ones(3)}, folder / "weights")
    dist.barrier()
    sizes: list[int] = []
    real = Streamed._read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Streamed, "_read", lambda self, file, rows: sizes.append(len(rows)) or real(self, file, rows))
        sharded = ShardedLinear.from_file(folder / "weights", "w", bias=layer.bias)
    share = ShardedLinear.share(11)
    assert sizes == [share.stop - share.start]
    near(sharded.matrix.dense(), layer.weight.detach(), 0)
    near(sharded(torch.ones(2, 6)), layer(torch.ones(2, 6)))
    refused(UnknownNameError, lambda: ShardedLinear.from_file(folder / "weights", "u"))
    refused(FileError, lambda: ShardedLinear.from_file(folder / "weights", "v"))
    last = dist.get_rank() == dist.get_world_size() - 1
    path = folder / ("nowhere" if last else "weights")
    refused(FileError if last else ArgumentError, lambda: ShardedLinear.from_file(path, "w"))
    module = genrev.shard(MLP((6, 11, 6)), width=8)
    network = Network(module, space=InputSpace((6,)))
    refused(ArgumentError, lambda: genrev.save(network, folder / "network"), "spread over processes")
    inverter = NewtonInverter(network)
    genrev.save(inverter, folder / f"inverter-{dist.get_rank()}")
    assert genrev.load(folder / f"inverter-{dist.get_rank()}", network=network).network is network


def refused(kind: type[Exception], work: Callable[[], Any], words: str | None = None) -> None:
    with pytest.raises(kind, match=words) as caught:
        work()
    assert_one_sentence(caught.value)


def wrong_parts_are_refused_on_all() -> None:
    rank, last = dist.get_rank(), dist.get_world_size() - 1
    m, weight, bias = 7, torch.randn(7, 5), torch.randn(7)
    own = weight[ShardedLinear.share(m)]
    refused(ArgumentError, lambda: ShardedLinear(weight[: 1 + 3 * rank]), "in turn")
    refused(ArgumentError, lambda: ShardedLinear(weight[:0]), "in turn")
    refused(ArgumentError, lambda: ShardedLinear(own[:, : 4 + (rank == 0)]), "as wide")
    refused(ArgumentError, lambda: ShardedLinear(own.float() if rank else own), "of the same type")
    spoilt = own.clone()
    spoilt[:1, 0] = torch.nan
    said = "finite numbers" if rank == last else f"on process {last}"
    refused(ArgumentError, lambda: ShardedLinear(spoilt if rank == last else own), said)
    refused(ArgumentError, lambda: ShardedLinear(own, bias[:-1]), "bias")
    refused(ArgumentError, lambda: ShardedLinear(own, bias[:-1] if rank else bias))
    refused(ArgumentError, lambda: ShardedLinear(own, bias + (rank == last)), "the same bias")
    refused(ArgumentError, lambda: ShardedLinear(own, bias if rank else None), "the same bias")
    refused(ArgumentError, lambda: ShardedLinear([[1.0]] if rank else own))
    refused(ArgumentError, lambda: ShardedLinear(own, group="gloo"), "group")
    refused(ArgumentError, lambda: ShardedLinear())
    torch.manual_seed(rank)
    refused(ArgumentError, lambda: ShardedLinear.of(nn.Linear(3, 4)), "the same weights")
    refused(ArgumentError, lambda: genrev.shard(nn.Sequential(nn.Linear(3, 2000))), "the same weights")
    refused(ArgumentError, lambda: ShardedLinear.of(nn.Tanh()))
    near(ShardedLinear(own, bias)(torch.eye(5)), weight.T + bias)


def a_part_of_the_processes() -> None:
    group = dist.new_group([0, 1])
    layer = nn.Linear(4, 5)
    if dist.get_rank() < 2:
        sharded = ShardedLinear.of(layer, group=group)
        assert len(own_part(sharded.weight)) == (3, 2)[dist.get_rank()]
        near(sharded(torch.ones(1, 4)), layer(torch.ones(1, 4)))
        Network(sharded, space=InputSpace((4,))).fingerprint()
        near(sharded.matrix.dense(), layer.weight.detach(), 0)
    else:
        refused(ArgumentError, lambda: ShardedLinear.of(layer, group=group), "one of")
    dist.barrier()


def networks_are_copied_with_their_wide_layers_spread() -> None:
    shared = nn.Linear(9, 9)
    whole = nn.Sequential(nn.Linear(3, 9), nn.Tanh(), nn.Sequential(shared, nn.Tanh(), shared), nn.Linear(9, 8))
    whole[0].eval()
    made = genrev.shard(whole, width=9)
    kinds = [type(layer).__name__ for layer in made]
    assert kinds == ["ShardedLinear", "Tanh", "Sequential", "Linear"]
    assert made[2][0] is made[2][2]
    assert made[3].weight is not whole[3].weight
    assert [layer.training for layer in made] == [False, True, True, True]
    assert type(whole[0]) is nn.Linear
    near(made(torch.ones(2, 3)), whole(torch.ones(2, 3)))
    assert type(genrev.shard(nn.Linear(3, 9), width=9)) is ShardedLinear


def one_process_dies() -> None:
    layer = ShardedLinear.of(nn.Linear(3, 4))
    for rank in range(2):
        Path(f"found-{rank}").write_text("{}")
    if dist.get_rank():
        os._exit(0)
    refused(GenrevError, lambda: [layer(torch.ones(1, 3)) for _ in range(1000)], "see which of them ended first")
    # There is nobody left to say goodbye to.
    os._exit(0)


def one_process_fails() -> None:
    if dist.get_rank():
        raise ValueError("this one went wrong")
    ShardedLinear.of(nn.Linear(3, 4))


def one_process_waits() -> None:
    if dist.get_rank():
        threading.Event().wait()
    ShardedLinear.of(nn.Linear(3, 4))
