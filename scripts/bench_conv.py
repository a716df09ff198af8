"""Print what convolutions make of a classifier and of a conditional VAE for images, beside dense layers."""

import argparse
import time

import torch

from genrev import CVAEInverter, Inverter, Judge, Network, NewtonInverter, Refined
from genrev.classifiers import STANDARD, accuracy, train_classifier
from genrev.data import Dataset, Splits, cut, load_splits
from genrev.metrics import novelty, prdc


def validation(splits: Splits, seed: int, most: int) -> Splits:
    """Return splits whose held-out parts are cut from the training part: for choosing, and for nothing else."""
    held = min(most, len(splits.train) // 5)
    parts = cut(splits.train, (len(splits.train) - 2 * held, held, held), seed=seed)
    return Splits(parts[0], splits.judge, parts[1], parts[2])


def row(name: str, inverter: Inverter, splits: Splits, judge: Judge, seed: int) -> None:
    """Print how an inverter answers the outputs of held-out images."""
    target = inverter.network.evaluate(splits.targets.inputs)
    began = time.process_time()
    found = inverter.reconstruct(target, seed=seed)
    spent = time.process_time() - began
    x = found.x[:, 0]
    seen = (judge.labels(x) == target.argmax(1)).double().mean()
    near = prdc(splits.reference.inputs, x)
    new = novelty(x, splits.targets.inputs, splits.train.inputs)
    print(
        f"  {name:18s} judge {seen:.3f}  coverage {near.coverage:.3f}  recall {near.recall:.3f}  "
        f"novelty {float('nan') if new is None else new:.3f}  residual, median {float(found.residual.median()):.1e}  "
        f"met {found.converged.double().mean():.3f}  {spent:.1f} s",
        flush=True,
    )


def classifier(
    kind: str, arch: str, train: Dataset, channels: list[int] | None, epochs: int | None, seed: int
) -> Network:
    """Return the standard network, or a convolutional one trained alike, for as many epochs as are given."""
    recipe = vars(STANDARD[kind])
    if arch == "conv":
        layers = None if channels is None else (*channels, len(train.names))
        recipe = recipe | {"arch": arch, "layers": layers, "activation": None, "epochs": epochs or recipe["epochs"]}
    return train_classifier(train, **recipe, seed=seed)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", default="digits", help='"digits", "xo" or "idx:FOLDER"')
    options.add_argument("--n", type=int, help="how many examples in all parts together")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--targets", type=int, default=600)
    options.add_argument(
        "--epochs", type=int, help="of the convolutional classifier; the standard network's if not given"
    )
    options.add_argument("--channels", type=int, nargs="+", help="of its convolutions; the default ones if not given")
    options.add_argument("--invert", choices=("mlp", "conv"), default="mlp", help="which classifier to invert")
    options.add_argument("--validate", action="store_true", help="measure on a part cut from the training part")
    args = options.parse_args()

    kind, seed = args.data.split(":")[0], args.seed
    splits = load_splits(args.data, seed=seed, n=args.n)
    if args.validate:
        splits = validation(splits, seed, args.targets)
    held = [part.take(range(min(args.targets, len(part)))) for part in (splits.targets, splits.reference)]
    splits = Splits(splits.train, splits.judge, *held)
    part = "validation" if args.validate else "held-out"
    print(
        f"{args.data}, seed {seed}, {len(splits.train)} for training, {part} {len(held[0])} + {len(held[1])}; "
        f"{torch.get_num_threads()} threads; seconds of CPU time"
    )
    networks = {}
    for arch in ("mlp", "conv"):
        began = time.process_time()
        networks[arch] = classifier(kind, arch, splits.train, args.channels, args.epochs, seed)
        spent, read = time.process_time() - began, accuracy(networks[arch], splits.targets)
        print(f"  classifier {arch:7s} reads {read:.3f}, trained in {spent:.0f} s", flush=True)
    network = networks[args.invert]
    judge = Judge.fit(splits.judge.inputs, splits.judge.labels, seed=seed)
    real = prdc(splits.reference.inputs, splits.targets.inputs)
    agreed = (judge.labels(splits.targets.inputs) == network.evaluate(splits.targets.inputs).argmax(1)).double().mean()
    print(f"  real               judge {agreed:.3f}  coverage {real.coverage:.3f}  recall {real.recall:.3f}")
    for arch in ("mlp", "conv"):
        began = time.process_time()
        cvae = CVAEInverter(network, arch=arch).fit(splits.train.inputs, seed=seed)
        print(f"  cvae {arch} fitted in {time.process_time() - began:.0f} s", flush=True)
        row(f"cvae {arch}", cvae, splits, judge, seed)
        both = Refined(cvae, NewtonInverter(network)).fit(splits.train.inputs, seed=seed)
        row(f"cvae+newton {arch}", both, splits, judge, seed)


if __name__ == "__main__":
    main()
