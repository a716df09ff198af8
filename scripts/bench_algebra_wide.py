"""The parts of the benchmark of algebra on layers that are too wide for factors: `bench_algebra.py` runs them."""

import argparse
import json
import os
import resource
import tempfile
import time
from io import FileIO
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from genrev import BijectiveInverter, Network
from genrev.layers.operators import operator
from genrev.models import ShardedLinear, SparseLinear
from genrev.operators import BlockJacobi, ColumnScaling, Dense, Stop, Streamed, lsmr, prepare
from genrev.operators.processes import own_part
from genrev.space import InputSpace
from genrev.tensor_files import read_tensors, write_tensors
from genrev.training import seeded

F64 = torch.float64


def peak() -> float:
    """The most memory that this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def relative(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return distances as a share of the norm, a row each."""
    return (found.double() - true.double()).norm(dim=1) / true.double().norm(dim=1)


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


def sparse(args: argparse.Namespace) -> None:
    """Three sparse layers and LeakyReLU 0.1 between them, in float64: from an output to the input."""
    began_at, width = peak(), args.width or 100_000
    with seeded(args.seed):
        layers = [wide(width) for _ in range(3)]
        x = torch.randn(1, width, dtype=F64)
    module = nn.Sequential(layers[0], nn.LeakyReLU(0.1), layers[1], nn.LeakyReLU(0.1), layers[2])
    network = Network(module, space=InputSpace((width,)))
    target = network.evaluate(x)
    began = time.perf_counter()
    inverter = BijectiveInverter(network)
    found = inverter.reconstruct(target, seed=0)
    seconds = time.perf_counter() - began
    left, error = float(relative(found.y[:, 0], target)), float(relative(found.best, x))
    iterations, misfit = found.stats["iterations"].flatten().tolist(), float(found.stats["misfit"].max())
    conditions = ", ".join(f"{one:.0f}" for one in inverter.conditions)
    print(
        f"three sparse layers, {width:,} wide, {len(layers[0].values):,} weights each: {seconds:.1f} s with the "
        f"estimate of the error, {iterations} iterations, condition numbers {conditions} or "
        f"more; relative residual {left:.1e} (bar 1e-9), of a layer at most {misfit:.1e}; "
        f"relative error of the input {error:.1e}, stated {float(found.stats['error']):.1e}; peak memory {peak():.0f} "
        f"MB (bar 2000), {peak() - began_at:.0f} of them since the part began"
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
