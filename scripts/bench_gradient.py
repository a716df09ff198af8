"""Print what gradient's optimisers and preferences reach, and what they cost, on a part cut from the training data."""

import argparse
import time
from typing import Any

import torch

from genrev import GradientInverter, Judge, Network
from genrev.classifiers import STANDARD
from genrev.data import cut, load_splits
from genrev.solvers.variation import total_variation

VARIANTS: dict[str, dict[str, Any]] = {
    "adam": {},
    "adam, restarts 3": {"restarts": 3},
    "adam, variation 1": {"variation": 1.0},
    "adam, pull 1": {"pull": 1.0},
    "lbfgs": {"optimiser": "lbfgs"},
    "lbfgs, restarts 3": {"optimiser": "lbfgs", "restarts": 3},
    "lbfgs, variation 1": {"optimiser": "lbfgs", "variation": 1.0},
    "lbfgs, pull 1": {"optimiser": "lbfgs", "pull": 1.0},
}


def variant(text: str) -> tuple[str, dict[str, Any]]:
    """Return a variant that is written as keywords: optimiser=lbfgs,variation=10."""
    pairs = dict(pair.split("=") for pair in text.split(",") if pair)
    return text, {name: value if name == "optimiser" else float(value) for name, value in pairs.items()} | {
        name: int(pairs[name]) for name in ("steps", "restarts") if name in pairs
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", default="digits", help="xo, digits, or idx:FOLDER with the four MNIST files")
    options.add_argument("--targets", type=int, default=200)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--held-out", action="store_true", help="targets of the held-out part: for a last look only")
    options.add_argument("--logits", action="store_true", help="ask for the values before the last activation")
    options.add_argument("--variants", nargs="*", type=variant, help="keywords, as in optimiser=lbfgs,variation=10")
    args = options.parse_args()
    torch.set_num_threads(1)

    splits = load_splits(args.data, seed=args.seed)
    train, rest = cut(splits.train, (len(splits.train) - 2 * args.targets, 2 * args.targets), seed=args.seed)
    part = splits.targets if args.held_out else rest
    network = STANDARD[args.data.split(":")[0]].train(train, seed=args.seed)
    if args.logits:
        linears = [name for name, module in network.module.named_modules() if isinstance(module, torch.nn.Linear)]
        network = network.until(linears[-1])
    report(network, train.inputs, part.inputs[: args.targets], Judge.fit(*judged(splits)), args)


def judged(splits: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the judge's own inputs and labels."""
    return splits.judge.inputs, splits.judge.labels


def report(network: Network, data: torch.Tensor, real: torch.Tensor, judge: Judge, args: argparse.Namespace) -> None:
    """Print a line a variant."""
    target, mean = network.evaluate(real), data.mean(0)
    wanted = target.argmax(1)
    unit = float(data.var(0).mean().sqrt())
    print(
        f"{args.data}{' logits' * args.logits}: {len(real)} {'held-out' if args.held_out else 'validation'} targets; "
        f"real: judge {float((judge.labels(real) == wanted).double().mean()):.3f}, "
        f"variation {float(total_variation(real / unit).mean()):.3f}"
    )
    print(f"{'variant':34s}   met  residual  judge  variation  distance  steps (most)  restarts  ms a sample")
    for name, keywords in args.variants or VARIANTS.items():
        inverter = GradientInverter(network, **keywords).fit(data)
        began = time.perf_counter()
        found = inverter.reconstruct(target, seed=args.seed)
        seconds = time.perf_counter() - began
        x, steps = found.x[:, 0], found.stats["steps"].double()
        print(
            f"{name:34s} {float(found.converged.double().mean()):5.3f}  {float(found.residual.median()):8.1e}  "
            f"{float((judge.labels(x) == wanted).double().mean()):5.3f}  "
            f"{float(total_variation(x / unit).mean()):9.3f}  {float((x - mean).flatten(1).norm(dim=1).mean()):8.3f}  "
            f"{float(steps.mean()):5.0f} ({int(steps.max()):4d})  {float(found.stats['restarts'].double().mean()):8.2f}"
            f"  {1000 * seconds / len(real):11.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
