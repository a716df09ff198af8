"""Print what algebra reaches: bounded pseudo-inverses on the student's network, and their solver beside SciPy's."""

import argparse
import time

import numpy as np
import torch
from scipy.optimize import lsq_linear

from genrev import BoundedPinvInverter, Network, NewtonInverter, PinvInverter
from genrev.classifiers import STANDARD
from genrev.data import load_splits
from genrev.models import MLP
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


def solver(args: argparse.Namespace) -> None:
    """A thousand targets through 784-256-128-10, layer by layer, beside a loop with SciPy on the same systems."""
    with seeded(args.seed):
        network = Network(MLP((784, 256, 128, 10), ["sigmoid"] * 3), space=InputSpace((784,), 0.0, 1.0))
        x = torch.rand(args.targets, 784) ** 3
    inverter = BoundedPinvInverter(network, sweeps=1).fit(x)
    targets = network.evaluate(x)
    noticed = noted(BoxedLayer)
    began = time.perf_counter()
    inverter.reconstruct(targets, seed=0)
    ours = time.perf_counter() - began
    theirs, worst, checked = 0.0, 0.0, 0
    for (reached, asked), step in zip(noticed, inverter._steps[::-1], strict=True):
        layer, root = step.layer, torch.linalg.cholesky(step.layer.precision).T
        point = (asked.least == asked.most).all(1).nonzero()[:, 0][: args.checked]
        began = time.perf_counter()
        for row in point.tolist():
            stacked = torch.cat([layer.weight / asked.slack[row][:, None], root]).numpy()
            right = torch.cat([(asked.least[row] - layer.bias) / asked.slack[row], root @ asked.centre[row]]).numpy()
            box = asked.low[row].numpy(), asked.high[row].numpy()
            other = lsq_linear(stacked, right, box, tol=1e-10).x
            costs = [np.square(stacked @ point - right).sum() for point in (reached[row].numpy(), other)]
            worst, checked = max(worst, (costs[0] - costs[1]) / costs[1]), checked + 1
        theirs += (time.perf_counter() - began) * args.targets / max(1, len(point))
        inside = bool(((reached >= asked.low) & (reached <= asked.high)).all())
        held = float(((reached == asked.low) | (reached == asked.high)).double().mean())
        print(
            f"  {tuple(layer.weight.shape)}: {len(point)} rows beside SciPy's; all in range: {inside}, "
            f"{held:.0%} of the values on a bound",
            flush=True,
        )
    print(
        f"{args.targets} targets through 784-256-128-10, one sweep: {ours:.1f} s, SciPy's lsq_linear in a loop "
        f"{theirs:.0f} s (of {args.checked} rows a layer), {theirs / ours:.0f} times (bar 20); objectives at most "
        f"{worst:.1e} above SciPy's, relative (bar 1e-6), of {checked} rows"
    )


PARTS = {"student": student, "solver": solver}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--part", choices=PARTS, nargs="+", default=list(PARTS), help="what to measure; all by default"
    )
    options.add_argument("--targets", type=int, default=1000, help="of solver")
    options.add_argument("--checked", type=int, default=10, help="rows of each layer that SciPy solves too")
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    print(f"{torch.get_num_threads()} threads")
    for part in args.part:
        PARTS[part](args)


if __name__ == "__main__":
    main()
