"""Print what algebra reaches: on the student's network, beside SciPy's and torch's solvers, on wide layers."""

import argparse
import subprocess
import sys
import time

import torch
from bench_algebra_wide import F64, peak, relative, scaled, sharded, sparse, streamed
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
from genrev.models import MLP
from genrev.operators.streamed import MEMORY
from genrev.progress import quiet
from genrev.solvers.boxed_layer import Asked, BoxedLayer
from genrev.space import InputSpace
from genrev.training import seeded

TARGETS = [[0.99, 0.01], [0.01, 0.99]]
"""The ideal X and the ideal O."""


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
