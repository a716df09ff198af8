"""Print what algebra reaches: on the student's network, beside SciPy's and torch's solvers, on wide layers."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from io import FileIO
from pathlib import Path

import torch
import torch.distributed as dist
from scipy.optimize import lsq_linear
from torch import nn

from genrev import (
    BijectiveInverter,
    BoundedPinvInverter,
    Network,
    NewtonInverter,
    PinvInverter,
    RecurrentInverter,
    unroll,
)
from genrev.classifiers import STANDARD
from genrev.data import load_splits
from genrev.layers.operators import operator
from genrev.models import MLP, ShardedLinear, SparseLinear
from genrev.operators import BlockJacobi, ColumnScaling, Dense, Stop, Streamed, lsmr, prepare
from genrev.operators.processes import own_part
from genrev.operators.streamed import MEMORY
from genrev.progress import quiet
from genrev.solvers.boxed_layer import Asked, BoxedLayer
from genrev.space import InputSpace
from genrev.tensor_files import read_tensors, write_tensors
from genrev.training import seeded

TARGETS = [[0.99, 0.01], [0.01, 0.99]]
"""The ideal X and the ideal O."""

F64 = torch.float64


def noted(kind: type[BoxedLayer]) -> list[tuple[torch.Tensor, Asked]]:
    """Note from now on what each layer is asked for, and what it is to be fed with."""
    found: list[tuple[torch.Tensor, Asked]] = []
    nearest = kind.nearest

    def note(self: BoxedLayer, asked: Asked) -> torch.Tensor:
        x = nearest(self, asked)
        found.append((x, asked))
        return x

    kind.nearest = note  # type: ignore[method-assign]
    return found


def student(args: argparse.Namespace) -> None:
    """The student's 1024-8-8-2 network of sigmoids, trained five times."""
    train = load_splits("xo", seed=0).train
    noticed = noted(BoxedLayer)
    for seed in range(args.seed, args.seed + 5):
        with quiet():
            network = STANDARD["xo"].train(train, seed=seed)
        for data in (True, False):
            inverters = {"bounded-pinv": BoundedPinvInverter(network), "newton": NewtonInverter(network)}
            if data:
                for inverter in inverters.values():
                    inverter.fit(train.inputs)
            inverters["pinv"] = PinvInverter(network)
            noticed.clear()
            found = {name: one.reconstruct(TARGETS, seed=0).residual[:, 0].tolist() for name, one in inverters.items()}
            inside = all(bool(((x >= asked.low) & (x <= asked.high)).all()) for x, asked in noticed)
            said = ", ".join(f"{name} {one[0]:.1e} and {one[1]:.1e}" for name, one in found.items())
            print(
                f"  training {seed}, {'with' if data else 'without'} data: residuals of X and O: {said}; "
                f"values asked for all in range: {inside}",
                flush=True,
            )


def by_scipy(layer: BoxedLayer, asked: Asked, row: int) -> tuple[torch.Tensor, float]:
    """Return what SciPy's lsq_linear finds for one row, and its seconds; a range that is asked is one more unknown."""
    root, slack = torch.linalg.cholesky(layer.precision).T, asked.slack[row][:, None]
    ranges = (asked.least[row] != asked.most[row]).nonzero()[:, 0]
    goal = torch.where(asked.least[row] == asked.most[row], asked.least[row], 0.0) - layer.bias
    extra = torch.zeros(len(goal), len(ranges), dtype=F64)
    extra[ranges, torch.arange(len(ranges))] = -1.0
    began = time.perf_counter()
    stacked = torch.cat([torch.cat([layer.weight, extra], 1) / slack, torch.nn.functional.pad(root, (0, len(ranges)))])
    right = torch.cat([goal / slack[:, 0], root @ asked.centre[row]])
    low, high = (
        torch.cat([asked.low[row], asked.least[row][ranges]]),
        torch.cat([asked.high[row], asked.most[row][ranges]]),
    )
    found = lsq_linear(stacked.numpy(), right.numpy(), (low.numpy(), high.numpy()), tol=1e-10).x
    return torch.as_tensor(found)[: len(asked.low[row])], time.perf_counter() - began


def cost(layer: BoxedLayer, asked: Asked, row: int, x: torch.Tensor) -> float:
    """Return the objective at one row's inputs."""
    miss = layer.miss(x[None], asked.least[row][None], asked.most[row][None])[0] / asked.slack[row]
    away = x - asked.centre[row]
    return float(miss.square().sum() + away @ layer.precision @ away)


def solver(args: argparse.Namespace) -> None:
    """A thousand targets through 784-256-128-10, layer by layer, beside a loop with SciPy on the same systems."""
    noticed = noted(BoxedLayer)
    for kind, scale in (("sigmoid", 1.0), ("sigmoid", 4.0), ("relu", 2.0)):
        with seeded(args.seed):
            module = MLP((784, 256, 128, 10), [kind, kind, "identity" if kind == "relu" else kind])
            # As of a picture, most values are nothing.
            x = (3 * torch.rand(args.targets, 784) - 2).clamp(0, 1)
        with torch.no_grad():
            for layer in (one for one in module.modules() if isinstance(one, nn.Linear)):
                layer.weight *= scale
        network = Network(module, space=InputSpace((784,), 0.0, 1.0))
        inverter, said = BoundedPinvInverter(network, sweeps=1).fit(x), f"{kind}, weights times {scale:g}"
        noticed.clear()
        began = time.perf_counter()
        inverter.reconstruct(network.evaluate(x.flip(0)), seed=0)
        ours = time.perf_counter() - began
        theirs, worst, checked = 0.0, 0.0, 0
        for number, (reached, asked) in enumerate(noticed):
            layer = inverter._steps[::-1][number % 3].layer
            rows = range(min(args.checked, len(reached)))
            seconds = 0.0
            for row in rows:
                other, took = by_scipy(layer, asked, row)
                costs = [cost(layer, asked, row, one) for one in (reached[row], other)]
                worst, checked, seconds = max(worst, (costs[0] - costs[1]) / costs[1]), checked + 1, seconds + took
            theirs += seconds / len(rows) * len(reached)
            inside = bool(((reached >= asked.low) & (reached <= asked.high)).all())
            held = float(((reached == asked.low) | (reached == asked.high)).double().mean())
            ranges = float((asked.least != asked.most).double().mean())
            print(
                f"  {said}, {tuple(layer.weight.shape)}, {len(reached)} targets: all in range: {inside}, "
                f"{held:.0%} of the values on a bound, {ranges:.0%} of what is asked a half-line",
                flush=True,
            )
        print(
            f"{args.targets} targets through 784-256-128-10 of {said}, one sweep: {ours:.1f} s, "
            f"SciPy's lsq_linear in a loop {theirs:.0f} s (of {args.checked} rows a layer), {theirs / ours:.0f} times "
            f"(bar 20); objectives at most {worst:.1e} above SciPy's, relative (bar 1e-6), of {checked} rows",
            flush=True,
        )


def wide(width: int, columns: torch.Tensor | None = None) -> SparseLinear:
    """1.5 I plus 32 entries N(0, 1/32) a row, with its columns scaled."""
    rows = torch.arange(width).repeat_interleave(32)
    places = torch.cat(
        [torch.stack([rows, torch.randint(0, width, (32 * width,))]), torch.arange(width).repeat(2, 1)], 1
    )
    values = torch.cat([torch.randn(32 * width, dtype=F64) / 32**0.5, torch.full((width,), 1.5, dtype=F64)])
    if columns is not None:
        values = values * columns[places[1]]
    return SparseLinear(torch.sparse_coo_tensor(places, values, (width, width), check_invariants=True))


def peak() -> float:
    """The most memory that this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sparse(args: argparse.Namespace) -> None:
    """Three sparse layers and LeakyReLU 0.1 between them, in float64: layer by layer from an output to an input."""
    began_at, width = peak(), args.width or 100_000
    with seeded(args.seed):
        layers = [wide(width) for _ in range(3)]
        x = torch.randn(1, width, dtype=F64)
    module = nn.Sequential(layers[0], nn.LeakyReLU(0.1), layers[1], nn.LeakyReLU(0.1), layers[2])
    network = Network(module, space=InputSpace((width,)))
    value = target = network.evaluate(x)
    for number, layer in reversed(list(enumerate(layers, 1))):
        began = time.perf_counter()
        weights, bias = operator(layer, (width,))
        found = lsmr(weights, value - bias, tolerance=1e-10)
        seconds = time.perf_counter() - began
        value = found.x if number == 1 else torch.where(found.x < 0, found.x / 0.1, found.x)
        print(
            f"  layer {number}, {width:,} wide, {len(layer.values):,} weights: {seconds:.1f} s, "
            f"{int(found.iterations)} iterations, relative residual {float(found.residual):.1e}, condition number "
            f"{found.condition:.0f} or more",
            flush=True,
        )
    left = float((network.evaluate(value) - target).norm() / target.norm())
    error = float((value - x).norm() / x.norm())
    print(
        f"three sparse layers: relative residual of the network {left:.1e} (bar 1e-9), relative error of the input "
        f"{error:.1e}; peak memory {peak():.0f} MB (bar 2000), {peak() - began_at:.0f} of them since the part began"
    )


def scaled(args: argparse.Namespace) -> None:
    """The same layer with columns over a factor of 1e4, and a dense one that nothing helps."""
    width = args.width or 100_000
    with seeded(args.seed):
        layer = wide(width, 10 ** (4 * torch.rand(width, dtype=F64) - 2))
        weights = operator(layer, (width,))[0]
        b = weights(torch.randn(1, width, dtype=F64))
        turned, back = (torch.linalg.qr(torch.randn(1000, 1000, dtype=F64))[0] for _ in range(2))
        hard = Dense(turned * 10 ** -torch.linspace(0, 8, 1000, dtype=F64) @ back)
        hard_b = torch.randn(1, 1000, dtype=F64)
    counts = {}
    ways = {"none": None, "columns": ColumnScaling(weights), "blocks of 8": BlockJacobi(weights, size=8)}
    for name, preconditioner in ways.items():
        began = time.perf_counter()
        found = lsmr(weights, b, preconditioner=preconditioner, limit=args.limit)
        counts[name] = int(found.iterations)
        print(
            f"  preconditioner {name}: {counts[name]} iterations, {time.perf_counter() - began:.1f} s, relative "
            f"residual {float(found.residual):.1e}: {Stop(int(found.stop)).name}",
            flush=True,
        )
    found = lsmr(hard, hard_b, preconditioner=ColumnScaling(hard), limit=args.limit)
    print(
        f"columns over a factor of 1e4: {counts['none'] / counts['columns']:.0f} times fewer iterations or more with "
        f"scaled columns (bar 5); a dense layer of condition number 1e8: {Stop(int(found.stop)).name} at a relative "
        f"residual of {float(found.residual):.1e} after {int(found.iterations)} iterations, converged: "
        f"{bool(found.converged)}"
    )


def relative(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return distances as a share of the norm, a row each."""
    return (found.double() - true.double()).norm(dim=1) / true.double().norm(dim=1)


def square(args: argparse.Namespace) -> None:
    """A layer of 4,000 to 4,000 values, in both precisions, beside torch's pseudo-inverse."""
    n = args.width or 4000
    for dtype in (torch.float64, torch.float32):
        with seeded(args.seed):
            layer = torch.nn.Linear(n, n, dtype=dtype)
            torch.nn.init.normal_(layer.weight, std=n**-0.5)
            x = torch.randn(16, n, dtype=dtype)
        network = Network(layer, space=InputSpace((n,)))
        y = network.evaluate(x)
        began = time.perf_counter()
        inverter = BijectiveInverter(network)
        found = inverter.reconstruct(y, seed=0)
        ours = time.perf_counter() - began
        began = time.perf_counter()
        plain = (y - layer.bias.detach()) @ torch.linalg.pinv(layer.weight.detach()).T
        theirs = time.perf_counter() - began
        error, left = relative(found.best, x), relative(found.y[:, 0], y)
        stated = found.stats["error"][:, 0].double()
        share = stated / error
        print(
            f"  {n} to {n}, {dtype}: 16 targets in {ours:.2f} s, torch.linalg.pinv {theirs:.1f} s, "
            f"{theirs / ours:.0f} times (bar 25); error at most {float(error.max()):.1e} (bar 1e-10 in float64), of "
            f"pinv {float(relative(plain, x).max()):.1e}; residual at most {float(left.max()):.1e} (bar 1e-6 in "
            f"float32); error stated {float(stated.mean()):.1e} on average, true {float(error.mean()):.1e}, of single "
            f"targets {float(share.quantile(0.1)):.2f} to {float(share.quantile(0.9)):.2f} times the true one (80 % of "
            f"them; bar 3 times); condition number {inverter.conditions[0]:.1e}, worst case "
            f"{inverter.conditions[0] * torch.finfo(dtype).eps / float(error.mean()):.0f} times the true error",
            flush=True,
        )


def dense(args: argparse.Namespace) -> None:
    """Three dense layers 10,000 wide, well conditioned and as drawn, with 16 targets."""
    n = args.width or 10000
    before = peak() / 1024
    for shift in (2.0, 0.0):
        with seeded(args.seed), torch.no_grad():
            parts: list[torch.nn.Module] = []
            for _ in range(3):
                layer = torch.nn.utils.skip_init(torch.nn.Linear, n, n, dtype=torch.float64)
                layer.weight.normal_(std=n**-0.5).diagonal().add_(shift)
                layer.bias.normal_()
                parts += [layer, torch.nn.LeakyReLU(0.1)]
            x = torch.randn(16, n, dtype=torch.float64)
        network = Network(torch.nn.Sequential(*parts), space=InputSpace((n,)))
        y = network.evaluate(x)
        weights = 3 * n * n * 8 / 2**30
        began = time.perf_counter()
        inverter = BijectiveInverter(network)
        built = time.perf_counter() - began
        began = time.perf_counter()
        found = inverter.reconstruct(y, seed=0)
        first = time.perf_counter() - began
        began = time.perf_counter()
        eps = torch.finfo(torch.float64).eps
        with seeded(args.seed + 1):
            moved = y * (1 + (torch.rand_like(y) - 0.5) * eps)
        other = inverter.reconstruct(moved, seed=0)
        again = time.perf_counter() - began
        error, rounding = relative(found.best, x), relative(other.best, found.best)
        stated, misfit = float(found.stats["error"].mean()), float(found.stats["misfit"].max())
        conditions = ", ".join(f"{one:.0e}" for one in inverter.conditions)
        taken = peak() / 1024 - before
        print(
            f"  N(0, 1/n) + {shift:g} I: error at most {float(error.max()):.1e} (bar 1e-12 where shifted), on average "
            f"{float(error.mean()):.1e}, {float(error.mean() / rounding.mean()):.1f} times the "
            f"{float(rounding.mean()):.1e} that rounding y alone causes (bar 10); stated {stated:.1e}; residual of a "
            f"layer at most {misfit:.1e} (bar 1e-13); condition numbers {conditions}; factors {built:.0f} s, 16 "
            f"targets {first:.1f} s, 16 more {again:.1f} s; peak memory {taken:.1f} GB beside {weights:.1f} of "
            f"weights, {taken / weights:.2f} times (bar 2.5)",
            flush=True,
        )
        del network, inverter, parts, layer


def write_matrix(path: Path, width: int) -> None:
    """Write a square matrix of float32 as safetensors, some rows at a time."""
    size = 4 * width**2
    header = json.dumps({"weight": {"dtype": "F32", "shape": [width, width], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(width):
            file.write((torch.randn(width) / width**0.5).numpy().tobytes())
        os.fsync(file.fileno())


def forgotten(path: Path) -> Path:
    """Have the system forget what it holds of a file in memory."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path


def plain_read(path: Path, size: int) -> None:
    """Read a file from its beginning to its end into one place."""
    room = memoryview(bytearray(size))
    with FileIO(path) as file:
        while file.readinto(room):
            pass


def streamed(args: argparse.Namespace) -> None:
    """A dense matrix on the disk: passes of products beside plain reads of the file, none of it in memory before."""
    with tempfile.TemporaryDirectory(dir=args.folder) as folder, seeded(args.seed):
        path = Path(folder, "weights.safetensors")
        write_matrix(path, args.streamed)
        weights = Streamed(path, "weight", memory=args.memory)
        x = torch.randn(1, args.streamed)
        held, size, block = peak(), path.stat().st_size / 2**20, args.memory // 2
        passes = {"W x": weights, "W'y": weights.adjoint, "W x and W'W x in one pass": weights.forth_and_back}
        for name, run in passes.items():
            seconds: dict[str, list[float]] = {"read": [], "product": []}
            for _ in range(args.repeats):
                for kind, work in (("read", lambda: plain_read(path, block)), ("product", lambda run=run: run(x))):
                    forgotten(path)
                    began = time.perf_counter()
                    work()
                    seconds[kind].append(time.perf_counter() - began)
            # The best of each: in between, either may wait for the system to find memory for what it reads.
            read, product = (min(seconds[kind]) for kind in ("read", "product"))
            print(
                f"  {name}: {size / product:.0f} MB/s, plain read in blocks of {block / 2**20:.0f} MB "
                f"{size / read:.0f} MB/s: {read / product:.0%} (bar 70 %; best of {args.repeats} each)",
                flush=True,
            )
        print(
            f"dense {args.streamed:,} wide in float32, {size:.0f} MB on the disk: {peak() - held:.0f} MB more in "
            f"memory at most (bar {size / 4:.0f})"
        )


def recurrent(args: argparse.Namespace) -> None:
    """An nn.RNN of 64 inputs and 128 hidden values over 200 steps, in float64; newton on gated ones."""
    with seeded(args.seed):
        network = Network(unroll(nn.RNN(64, 128, batch_first=True), steps=200).double(), space=InputSpace((200, 64)))
        x = torch.randn(16, 200, 64, dtype=F64)
    began = time.perf_counter()
    inverter = RecurrentInverter(network)
    found = inverter.reconstruct(network.evaluate(x), seed=0)
    print(
        f"nn.RNN, 64 inputs, 128 hidden, 200 steps, 16 sequences: inputs recovered to "
        f"{float((found.best - x).abs().max()):.1e} (bar 1e-5) in {time.perf_counter() - began:.1f} s",
        flush=True,
    )
    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        with seeded(args.seed):
            network = Network(unroll(kind(4, 8, batch_first=True), steps=10), space=InputSpace((10, 4)))
            targets = network.evaluate(torch.randn(100, 10, 4))
        met = NewtonInverter(network).reconstruct(targets, seed=0).converged
        print(f"  newton on nn.{kind.__name__}, 4 inputs, 8 hidden, 10 steps: {int(met.sum())} of {len(met)} met")


def own_rows(width: int, held: slice, seed: int) -> torch.Tensor:
    """Draw some rows of N(0, 1/n) + 2 I, the same ones whichever process draws them."""
    rows = torch.empty(held.stop - held.start, width, dtype=F64)
    for place, number in enumerate(range(held.start, held.stop)):
        rows[place].normal_(std=width**-0.5, generator=torch.Generator().manual_seed(seed * width + number))
        rows[place, number] += 2
    return rows


def one_of(rank: int, count: int, args: argparse.Namespace, folder: str) -> None:
    """Be one of the processes that share a layer, and write down what it finds."""
    torch.set_num_threads(max(1, args.threads // count))
    if count > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
    width = args.width or 8000
    layer = ShardedLinear(own_rows(width, ShardedLinear.share(width), args.seed))
    network = Network(layer, space=InputSpace((width,)))
    x = torch.randn(args.rows, width, dtype=F64, generator=torch.Generator().manual_seed(args.seed))
    y = network.evaluate(x)
    sent = []
    add = dist.all_reduce
    dist.all_reduce = lambda *given, **keywords: sent.append(given[0].shape) or add(*given, **keywords)
    solved = prepare(layer.matrix).solve(y)
    iterations, sums = int(solved.iterations.max()), sum(shape[1] > width for shape in sent)
    rest = len(sent) - sums
    dist.all_reduce = add
    began = time.perf_counter()
    found = BijectiveInverter(network).reconstruct(y, seed=0)
    said = {
        "seconds": time.perf_counter() - began,
        "weights": own_part(layer.weight).untyped_storage().nbytes(),
        "peak": peak(),
        "iterations": iterations,
        "sums": sums,
        "rest": rest,
        "misfit": float(found.stats["misfit"].max()),
    }
    write_tensors(Path(folder, f"found-{count}-{rank}"), {"x": found.best, "true": x, "y": y}, said)
    if count > 1:
        dist.destroy_process_group()


def sharded(args: argparse.Namespace) -> None:
    """A dense layer whose rows are spread over processes, beside one process, and beside one with LU factors."""
    width = args.width or 8000
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        answers = {}
        for count in (1, args.processes):
            torch.multiprocessing.spawn(one_of, (count, args, folder), nprocs=count)
            parts = [read_tensors(Path(folder, f"found-{count}-{rank}")) for rank in range(count)]
            answers[count], said = parts[0][0], parts[0][1]
            alike = all(torch.equal(one["x"], parts[0][0]["x"]) for one, _ in parts)
            error = float(relative(answers[count]["x"], answers[count]["true"]).max())
            shares = ", ".join(f"{one['weights'] / 2**20:.0f}" for _, one in parts)
            peaks = ", ".join(f"{one['peak']:.0f}" for _, one in parts)
            messages = f"{said['sums']} sums of {width:,} values a row over the processes and {said['rest']} others"
            print(
                f"  {count} processes: {shares} MB of weights each of {8 * width**2 / 2**20:.0f}, peak memory {peaks} "
                f"MB; {said['iterations']} iterations{f', {messages}' * (count > 1)}; {args.rows} targets in "
                f"{said['seconds']:.1f} s, error {error:.1e}, residual {said['misfit']:.1e}, the same on all: {alike}",
                flush=True,
            )
    whole = torch.nn.utils.skip_init(torch.nn.Linear, width, width, bias=False, dtype=F64)
    whole.weight = torch.nn.Parameter(own_rows(width, slice(0, width), args.seed))
    began = time.perf_counter()
    found = BijectiveInverter(Network(whole, space=InputSpace((width,)))).reconstruct(answers[1]["y"], seed=0)
    seconds = time.perf_counter() - began
    several = answers[args.processes]["x"]
    print(
        f"dense {width:,} wide, {args.processes} processes beside one: largest difference "
        f"{float((several - answers[1]['x']).abs().max()):.1e} (bar 1e-6), beside one with LU factors, "
        f"{seconds:.1f} s, {float((several - found.best).abs().max()):.1e}"
    )


PARTS = {
    "student": student,
    "solver": solver,
    "square": square,
    "dense": dense,
    "sparse": sparse,
    "scaled": scaled,
    "streamed": streamed,
    "recurrent": recurrent,
    "sharded": sharded,
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--part", choices=PARTS, nargs="+", default=list(PARTS), help="what to measure; all by default"
    )
    options.add_argument("--targets", type=int, default=1000, help="of solver")
    options.add_argument("--checked", type=int, default=10, help="rows of each layer that SciPy solves too")
    options.add_argument(
        "--width", type=int, help="of wide layers: square 4000, dense 10000, sharded 8000, others 100000"
    )
    options.add_argument("--limit", type=int, default=1000, help="iterations, of scaled")
    options.add_argument("--streamed", type=int, default=20_000, help="width, of streamed")
    options.add_argument("--memory", type=int, default=MEMORY, help="bytes, of streamed")
    options.add_argument("--repeats", type=int, default=5, help="of streamed")
    options.add_argument("--folder", help="of streamed and sharded: where files are written, and removed again")
    options.add_argument("--processes", type=int, default=2, help="of sharded")
    options.add_argument("--rows", type=int, default=4, help="targets, of sharded")
    options.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of all processes, of sharded")
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    if len(args.part) > 1:
        # The peak of memory is a process's own.
        given = [f"--{name}={value}" for name, value in vars(args).items() if name != "part" and value is not None]
        for part in args.part:
            subprocess.run([sys.executable, __file__, "--part", part, *given], check=True)
        return
    print(f"{args.part[0]}: {torch.get_num_threads()} threads", flush=True)
    PARTS[args.part[0]](args)


if __name__ == "__main__":
    main()
