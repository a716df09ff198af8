"""Train a method that learns to draw inputs from outputs, and see how near its draws come: `genrev train` in Python."""

import argparse

import genrev
from genrev.data import load_splits
from genrev.resume import resumable


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("network", help="file of a network, as scripts/train_classifier.py saves it")
    options.add_argument("--data", default="digits", help="the data that the network was trained on")
    options.add_argument("--method", default="cvae", help="or decoder")
    options.add_argument("--steps", type=int, default=4000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", default="inverter.safetensors")
    args = options.parse_args()

    splits = load_splits(args.data, seed=0)
    network = genrev.load(args.network)
    inverter = genrev.build(args.method, network, steps=args.steps)
    with resumable(f"{args.out}.state", about=vars(args)):
        inverter.fit(splits.train.inputs, seed=args.seed)  # inputs alone: labels are never needed
        genrev.save(inverter, args.out, about={"data": args.data})

    target = network.evaluate(splits.targets.inputs[:100])
    refined = genrev.Refined(inverter, genrev.NewtonInverter(network))
    for name, method in ((args.method, inverter), (f"{args.method}+newton", refined)):
        found = method.reconstruct(target, samples=4, seed=0)
        print(f"{name}: median residual {found.residual.median():.2g}, {found.outcomes()}")


if __name__ == "__main__":
    main()
