"""Train a classifier on data of one's choice and save it: what `genrev train classifier` does, in Python."""

import argparse

from genrev import save
from genrev.classifiers import accuracy, train_classifier
from genrev.data import load_splits
from genrev.resume import resumable


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", default="digits", help="as genrev.data.load_splits takes it: xo, idx:FOLDER, ...")
    options.add_argument("--hidden", type=int, nargs="+", default=[128, 64], help="widths of the hidden layers")
    options.add_argument("--epochs", type=int, default=40)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", default="network.safetensors")
    args = options.parse_args()

    splits = load_splits(args.data, seed=0)  # the same cut whatever the seed: what is held out stays held out
    layers = (splits.train.space.size, *args.hidden, len(splits.train.names))
    activation = ("relu",) * len(args.hidden) + ("softmax",)
    with resumable(f"{args.out}.state", about=vars(args)):  # killed and run again, it goes on where it was
        network = train_classifier(
            splits.train, layers=layers, activation=activation, epochs=args.epochs, seed=args.seed
        )
        save(network, args.out, about={"data": args.data, "classes": list(splits.train.names)})
    print(f"reads {accuracy(network, splits.targets):.1%} of {len(splits.targets)} held-out inputs")


if __name__ == "__main__":
    main()
