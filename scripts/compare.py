"""Compare methods on a saved network, before a judge that has seen neither: what `genrev compare` does, in Python."""

import argparse
import shlex
import sys

import genrev
from genrev.data import load_splits


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("network", help="file of a network, as scripts/train_classifier.py saves it")
    options.add_argument("--data", default="digits", help="the data that the network was trained on")
    options.add_argument("--methods", nargs="+", default=["pinv", "newton", "retrieval+newton"])
    options.add_argument("--inverter", nargs="*", default=[], help="files of inverters that are fitted already")
    options.add_argument("--targets", type=int, default=100)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", default="comparison", help="folder of the report")
    args = options.parse_args()

    splits = load_splits(args.data, seed=0)
    network = genrev.load(args.network)
    inverters = {name: genrev.build(name, network).fit(splits.train.inputs) for name in args.methods}
    for path in args.inverter:
        inverter = genrev.load(path, network=network)
        inverters[f"{path}+newton"] = genrev.Refined(inverter, genrev.NewtonInverter(network))
    comparison = genrev.compare(
        network,
        inverters,
        splits.targets.inputs[: args.targets],
        reference=splits.reference.inputs,
        training=splits.train.inputs,
        judge=genrev.Judge.fit(splits.judge.inputs, splits.judge.labels),
        seed=args.seed,
        names=splits.train.names,
        columns=splits.train.columns,
        command=shlex.join(["python", *sys.argv]),
    )
    comparison.save(args.out)
    print(comparison.table())


if __name__ == "__main__":
    main()
