"""Print how long newton and the best of five Adams take to give a ReLU network's logits, from the mean image."""

import argparse
import statistics
import time

import torch
from torch import Tensor

from genrev import Network, NewtonInverter
from genrev.classifiers import STANDARD
from genrev.data import load_splits

TOLERANCE = 1e-3


def adam(network: Network, target: Tensor, start: Tensor, rate: float, limit: float) -> tuple[float, int, float]:
    """Return the seconds and steps until 90 % of the targets are met, and the share met when it stopped."""
    x = start.expand(len(target), *start.shape).clone().requires_grad_()
    optimiser = torch.optim.Adam([x], lr=rate)
    began, step = time.perf_counter(), 0
    while True:
        y = network.module[: int(network.stop) + 1](x)
        met = ((y - target).abs().amax(1) <= TOLERANCE).float().mean().item()
        seconds = time.perf_counter() - began
        if met >= 0.9 or seconds > limit:
            return seconds, step, met
        optimiser.zero_grad()
        (y - target).square().sum().backward()
        optimiser.step()
        with torch.no_grad():
            x.clamp_(0, 1)
        step += 1


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", default="digits", help="digits, or idx:FOLDER with the four MNIST files")
    options.add_argument("--targets", type=int, default=1000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--limit", type=float, default=120.0, help="seconds that one Adam may take")
    options.add_argument("--rates", type=float, nargs="+", default=(0.003, 0.01, 0.02, 0.03, 0.05), help="of Adam")
    options.add_argument("--repeats", type=int, default=4, help="more runs of the best Adam")
    args = options.parse_args()
    torch.set_num_threads(1)

    splits = load_splits(args.data, seed=args.seed)
    classifier = STANDARD[args.data.split(":")[0]].train(splits.train, seed=args.seed)
    linears = [name for name, part in classifier.module.named_modules() if isinstance(part, torch.nn.Linear)]
    network = classifier.until(linears[-1])
    network.module.requires_grad_(False)
    held_out = torch.cat([splits.targets.inputs, splits.reference.inputs])[: args.targets]
    target = network.evaluate(held_out)
    print(
        f"{args.data}: {len(target)} logit targets, widths {classifier.module.widths}, {torch.get_num_threads()} thread"
    )

    inverter = NewtonInverter(network, tolerance=TOLERANCE).fit(splits.train.inputs)
    start = splits.train.inputs.mean(0)

    def newton() -> float:
        began = time.perf_counter()
        found = inverter.reconstruct(target, seed=0)
        seconds = time.perf_counter() - began
        steps, way = found.stats["steps"].double().mean(), (found.x - start).flatten(2).norm(dim=2).mean()
        print(
            f"newton: {found.converged.double().mean():.1%} within {TOLERANCE:g} after {seconds:.2f} s; "
            f"in the mean {steps:.2f} steps, {way:.2f} from the mean image"
        )
        return seconds

    # By turns, so that a machine that others share is as busy for the one as for the other.
    ours, best, fastest = [newton()], args.limit, args.rates[0]
    for rate in args.rates:
        seconds, steps, met = adam(network, target, start, rate, best)
        print(f"adam, rate {rate:g}: {met:.1%} after {seconds:.1f} s, {steps} steps")
        if met >= 0.9 and seconds < best:
            best, fastest = seconds, rate
        ours.append(newton())
    theirs = [best]
    for _ in range(args.repeats):
        theirs.append(adam(network, target, start, fastest, args.limit)[0])
        print(f"adam, rate {fastest:g}: {theirs[-1]:.1f} s")
        ours.append(newton())
    middle = statistics.median(theirs) / statistics.median(ours)
    print(
        f"adam at 90 % / newton at 100 %: {min(theirs) / min(ours):.1f} by the least times, {middle:.1f} by the medians"
    )


if __name__ == "__main__":
    main()
