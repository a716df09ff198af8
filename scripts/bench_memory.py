"""Print the peak memory of newton on ten thousand targets, and whether batches of seven give the same answers."""

import argparse
import resource
import sys
import time

import torch

from genrev import NewtonInverter
from genrev.classifiers import STANDARD
from genrev.data import load_splits


def gibibytes() -> float:
    """Return the greatest memory this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--targets", type=int, default=10_000)
    options.add_argument("--samples", type=int, default=4)
    options.add_argument("--batches", type=int, help="how many batches of seven to compare; all if not given")
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()

    splits = load_splits("digits", seed=args.seed)
    network = STANDARD["digits"].train(splits.train, seed=args.seed)
    # Mixtures of two digits: as many different reachable targets as are wanted.
    generator = torch.Generator().manual_seed(args.seed)
    one, other = (
        splits.targets.inputs[torch.randint(len(splits.targets), (args.targets,), generator=generator)] for _ in "ab"
    )
    share = torch.rand(args.targets, 1, 1, 1, generator=generator)
    target = network.evaluate(share * one + (1 - share) * other)

    inverter = NewtonInverter(network).fit(splits.train.inputs)
    before, began = gibibytes(), time.perf_counter()
    found = inverter.reconstruct(target, samples=args.samples, seed=args.seed)
    seconds = time.perf_counter() - began
    print(f"{args.targets} targets x {args.samples} samples: {found}")
    print(f"{seconds:.1f} s on {torch.get_num_threads()} threads, peak {gibibytes():.2f} GiB ({before:.2f} before)")

    rows = torch.arange(args.targets).split(7)[: args.batches]
    parts = [inverter.reconstruct(target[part], samples=args.samples, seed=args.seed) for part in rows]
    compared = torch.cat(list(rows))
    apart = (torch.cat([part.x for part in parts]) - found.x[compared]).flatten(2).abs().amax(2).flatten()
    same = torch.equal(torch.cat([part.outcome for part in parts]), found.outcome[compared])
    print(
        f"batches of 7, {len(compared)} targets: outcomes {'equal' if same else 'differ'}; inputs equal to the bit in "
        f"{(apart == 0).double().mean():.2%}, apart by {apart.max():.1e} at most"
    )


if __name__ == "__main__":
    main()
