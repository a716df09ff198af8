"""Print what newton and cvae+newton reach in each metric, on validation inputs cut from the training part."""

import argparse
import time

import torch

from genrev import Judge, NewtonInverter, Refined
from genrev.classifiers import STANDARD
from genrev.data import load_splits
from genrev.inverters import INVERTERS
from genrev.inverters.newton import METRICS
from genrev.metrics import prdc


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", default="digits", help="digits, xo, or idx:FOLDER with the four MNIST files")
    options.add_argument("--split", type=int, default=0, help="seed of the splits, the network and the judge")
    options.add_argument("--seeds", type=int, default=1, help="how many seeds of the inverters")
    options.add_argument("--targets", type=int, default=200, help="how many validation inputs make the targets")
    options.add_argument("--most", type=int, default=20_000, help="how many training inputs to use")
    args = options.parse_args()
    torch.set_num_threads(1)

    splits = load_splits(args.data, seed=args.split)
    size = min(args.targets, len(splits.train) // 6)
    order = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(args.split))[: args.most]
    real, reference = splits.train.inputs[order[:size]], splits.train.inputs[order[size : 2 * size]]
    train = splits.train.take(order[2 * size :])
    network = STANDARD[args.data.split(":")[0]].train(train, seed=args.split)
    judge = Judge.fit(splits.judge.inputs[: args.most], splits.judge.labels[: args.most], seed=args.split)
    target = network.evaluate(real)
    classes = target.argmax(1)
    near = prdc(reference, real)
    print(f"{args.data}, split {args.split}: {size} validation targets, {len(train)} training inputs")
    agrees = (judge.labels(real) == classes).double().mean()
    print(f"{'real':24s} judge {agrees:.3f}  coverage {near.coverage:.3f}  recall {near.recall:.3f}")

    for seed in range(args.seeds):
        cvae = INVERTERS["cvae"](network).fit(train.inputs, seed=seed)
        proposal = cvae.reconstruct(target, seed=seed).x[:, 0]
        for metric in METRICS:
            newton = NewtonInverter(network, metric=metric).fit(train.inputs, seed=seed)
            for name, method, begin in (
                ("newton", newton, train.inputs.mean(0)),
                ("cvae+newton", Refined(cvae, newton), proposal),
            ):
                began = time.perf_counter()
                found = method.fit(train.inputs, seed=seed).reconstruct(target, seed=seed)
                seconds = time.perf_counter() - began
                x = found.x[:, 0]
                near, way = prdc(reference, x), (x - begin).flatten(1).norm(dim=1).mean()
                print(
                    f"{name + ' ' + metric:24s} judge {(judge.labels(x) == classes).double().mean():.3f}  "
                    f"coverage {near.coverage:.3f}  recall {near.recall:.3f}  "
                    f"met {found.converged.double().mean():.3f}  moved {way:.2f}  "
                    f"steps {found.stats['steps'].double().mean():.1f}  {seconds:.2f} s"
                )


if __name__ == "__main__":
    main()
