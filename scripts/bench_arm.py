"""Print how near the draws of cvae and cvae+newton come to a robot arm's targets: best of 1, 10 and 50."""

import argparse
import time

import torch

from genrev import build
from genrev.benchmarks.arm import arm, arm_inputs, best_of


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=0, help="of training inputs, targets and draws")
    options.add_argument("--training", type=int, default=10_000, help="training inputs")
    options.add_argument("--targets", type=int, default=200)
    options.add_argument("--samples", type=int, default=50)
    args = options.parse_args()

    network = arm()
    target = network.evaluate(arm_inputs(args.targets, seed=args.seed + 1000))
    print(f"robot arm, {args.targets} targets x {args.samples} samples, {torch.get_num_threads()} threads")
    inverter = build("cvae+newton", network).fit(arm_inputs(args.training, seed=args.seed), seed=args.seed)
    for name, method in (("cvae", inverter.first), ("cvae+newton", inverter)):
        began = time.perf_counter()
        found = method.reconstruct(target, samples=args.samples, seed=args.seed)
        seconds = time.perf_counter() - began
        figures = "  ".join(f"best of {n}: {best_of(found.y, target, n):.1e}" for n in (1, 10, 50))
        counts = ", ".join(f"{count} {outcome.name}" for outcome, count in found.outcomes().items())
        print(f"{name:12s} mean squared distance, {figures}  ({counts}; {seconds:.1f} s)")


if __name__ == "__main__":
    main()
