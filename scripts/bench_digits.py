"""Print what cvae and cvae+newton reach on scikit-learn's digits, for real outputs and for hand-typed classes."""

import argparse
import statistics
import time

import torch
from torch import Tensor

from genrev import Inversion, Judge, NewtonInverter, Refined
from genrev.classifiers import STANDARD
from genrev.data import load_splits
from genrev.inverters import INVERTERS
from genrev.metrics import novelty, paired_standard_error, prdc


def class_targets(per_class: int, confidence: float, *, even: bool) -> tuple[Tensor, Tensor]:
    """Return targets (n, 10) that ask for one class each, the rest free or even, and the classes (n,)."""
    classes = torch.arange(10).repeat_interleave(per_class)
    target = torch.full((len(classes), 10), (1 - confidence) / 9 if even else torch.nan)
    target[torch.arange(len(classes)), classes] = confidence
    return target, classes


def spread(x: Tensor, classes: Tensor) -> float:
    """Return the mean distance between inputs of one class."""
    return statistics.mean(torch.pdist(x[classes == k].flatten(1)).mean().item() for k in classes.unique().tolist())


def hits(judge: Judge, x: Tensor, classes: Tensor) -> Tensor:
    """Return whether the judge sees the class that was asked."""
    return (judge.labels(x) == classes).double()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5, help="how many seeds of the inverter")
    options.add_argument("--split", type=int, default=0, help="seed of the splits, the network and the judge")
    options.add_argument("--targets", type=int, default=300)
    args = options.parse_args()

    splits = load_splits("digits", seed=args.split)
    network = STANDARD["digits"].train(splits.train, seed=args.split)
    judge = Judge.fit(splits.judge.inputs, splits.judge.labels, seed=args.split)
    training, real, reference = splits.train.inputs, splits.targets, splits.reference.inputs[: args.targets]
    real_x = real.inputs[: args.targets]
    target = network.evaluate(real_x)
    wanted = target.argmax(1)
    right = (network.evaluate(real.inputs).argmax(1) == real.labels).double().mean()
    ceiling, best = hits(judge, real_x, wanted), prdc(reference, real_x)
    apart = spread(splits.reference.inputs, splits.reference.labels)
    print(f"network reads {right:.1%} of held-out digits; {torch.get_num_threads()} threads")
    print(
        f"real: judge {ceiling.mean():.3f}  coverage {best.coverage:.3f}  recall {best.recall:.3f}  "
        f"distance within a class {apart:.2f}"
    )

    asked = {
        "p_k = 0.99, rest free": class_targets(30, 0.99, even=False),
        "p_k = 0.99, rest even": class_targets(30, 0.99, even=True),
    }
    rows: dict[str, list[list[float]]] = {}
    errors: dict[str, list[Tensor]] = {}

    def note(name: str, found: Inversion, classes: Tensor, like: Tensor | None) -> None:
        x = found.x[:, 0]
        hit = hits(judge, x, classes)
        near = prdc(reference, x)
        shares = [near.coverage / best.coverage, near.recall / best.recall]
        if like is None:
            figures = [hit.mean().item(), *shares, spread(x, classes) / apart]
        else:
            errors.setdefault(name, []).append(hit - like)
            figures = [(hit - like).mean().item(), *shares, novelty(x, real_x, training) or 0.0]
        rows.setdefault(name, []).append([found.converged.double().mean().item(), *figures])

    began = time.perf_counter()
    for seed in range(args.seeds):
        cvae = INVERTERS["cvae"](network).fit(training, seed=seed)
        both = Refined(cvae, NewtonInverter(network)).fit(training, seed=seed)
        for name, method in (("cvae", cvae), ("cvae+newton", both)):
            note(f"{name}, outputs", method.reconstruct(target, seed=seed), wanted, ceiling)
            for question, (typed, classes) in asked.items():
                note(f"{name}, {question}", method.reconstruct(typed, seed=seed), classes, None)
    print(f"{args.seeds} seeds in {time.perf_counter() - began:.0f} s; means over seeds, in brackets the least")
    for name, figures in sorted(rows.items()):
        mean, least = torch.tensor(figures).mean(0), torch.tensor(figures).amin(0)
        text = "  ".join(f"{label} {m:.3f} ({w:.3f})" for label, m, w in zip(labels(name), mean, least, strict=True))
        if name in errors:
            # The mean over seeds first: the digits are the independent draws.
            each = torch.stack(errors[name]).mean(0)
            text += f"  paired standard error {paired_standard_error(each, torch.zeros_like(each)):.4f}"
        print(f"{name:36s} {text}")


def labels(name: str) -> tuple[str, ...]:
    """Return what the figures of a row are."""
    if name.endswith("outputs"):
        return "met", "judge - real", "coverage/real", "recall/real", "novelty"
    return "met", "judge", "coverage/real", "recall/real", "distance/real"


if __name__ == "__main__":
    main()
