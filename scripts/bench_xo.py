"""Print how the student's 1024-8-8-2 network reads real letters, and what it draws when asked for its ideal X and O."""

import argparse
from pathlib import Path

import numpy as np
import torch

from genrev import Judge, Network, build
from genrev.classifiers import STANDARD
from genrev.data import load_splits, xo

ASKED = (("X", (0.99, 0.01)), ("O", (0.01, 0.99)))


def letters(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return real letters as inputs (n, 1, 32, 32) in [0, 1] and labels (n,), 0 for x and 1 for o."""
    with np.load(path, allow_pickle=False) as file:
        return torch.from_numpy(file["x"]).float().reshape(-1, 1, 32, 32) / 255, torch.from_numpy(file["y"]).long()


def read_so(network: Network, judge: Judge, target: tuple[float, float], label: int, seed: int) -> tuple[float, int]:
    """Return the judge's agreement on fresh drawings whose log-odds are within a half of the target's, and how many."""
    fresh = xo(20_000, seed=10**6 + seed)
    away = torch.logit(network.evaluate(fresh.inputs)) - torch.logit(torch.tensor(target))
    like = fresh.inputs[(away.abs() <= 0.5).all(1)]
    return (judge.labels(like) == label).double().mean().item(), len(like)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, help="an npz file of real letters: x (n, 32, 32) uint8, y (n,)")
    options.add_argument("--seeds", type=int, default=5, help="how many networks to train")
    options.add_argument("--first", type=int, default=0, help="seed of the first network, its drawings and its judge")
    options.add_argument("--draws", type=int, default=1, help="for how many of them to draw X and O")
    options.add_argument("--samples", type=int, default=100)
    args = options.parse_args()

    for seed in range(args.first, args.first + args.seeds):
        splits = load_splits("xo", seed=seed)
        network = STANDARD["xo"].train(splits.train, seed=seed)
        drawn = (network.evaluate(splits.targets.inputs).argmax(1) == splits.targets.labels).double().mean()
        text = f"seed {seed}: reads {drawn:.1%} of fresh drawings"
        if args.data:
            x, labels = letters(args.data)
            text += f", {(network.evaluate(x).argmax(1) == labels).double().mean():.1%} of {len(x)} real letters"
        print(text)
        if seed >= args.first + args.draws:
            continue
        judge = Judge.fit(splits.judge.inputs, splits.judge.labels, seed=seed)
        right = (judge.labels(splits.targets.inputs) == splits.targets.labels).double().mean()
        print(f"  the judge reads {right:.1%} of fresh drawings")
        for label, (letter, target) in enumerate(ASKED):
            seen, count = read_so(network, judge, target, label, seed)
            print(
                f"  of {count} fresh drawings to which the network says about {target} it sees {letter} in {seen:.1%}"
            )
        both = build("cvae+newton", network).fit(splits.train.inputs, seed=seed)
        for name, method in (("cvae", both.first), ("cvae+newton", both)):
            for label, (letter, target) in enumerate(ASKED):
                found = method.reconstruct(target, samples=args.samples, seed=seed)
                seen = (judge.labels(found.x[0]) == label).double().mean().item()
                counts = ", ".join(f"{count} {outcome.name}" for outcome, count in found.outcomes().items())
                said = ", ".join(f"{value:.3f}" for value in found.y[0, found.residual[0].argmin()].tolist())
                print(
                    f"  {name:12s} asked for {letter} {target}: judge sees it in {seen:.1%}; {counts}; "
                    f"nearest output ({said})"
                )


if __name__ == "__main__":
    main()
