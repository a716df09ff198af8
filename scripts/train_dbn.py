"""Train a deep belief network to draw inputs of a network, and film its chain on the way to each class."""

import argparse

import numpy as np
import torch
from PIL import Image

import genrev
from genrev.data import load_splits
from genrev.resume import resumable

STEPS = (0, 1, 2, 5, 10, 20, 50, 100)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("network", help="file of a network of images, as scripts/train_classifier.py saves it")
    options.add_argument("--data", default="digits", help="the data that the network was trained on")
    options.add_argument("--hidden", type=int, nargs="+", default=[100, 200], help="widths of the codes")
    options.add_argument("--steps", type=int, default=10_000, help="updates of each layer")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", default="dbn.safetensors")
    options.add_argument("--film", help="file of a picture of the chain, such as film.png")
    args = options.parse_args()

    splits = load_splits(args.data, seed=0)
    network = genrev.load(args.network)
    if args.film and len(network.space.shape) != 3:
        options.error(f"--film needs a network of images, got one of inputs {network.space.shape}")
    dbn = genrev.DBNInverter(network, hidden=args.hidden, steps=args.steps)
    with resumable(f"{args.out}.state", about={"network": args.network, "data": args.data}):
        dbn.fit(splits.train.inputs, seed=args.seed)  # inputs alone: labels are never needed
        genrev.save(dbn, args.out, about={"data": args.data})

    held_out = network.evaluate(splits.targets.inputs[:100])
    refined = genrev.Refined(dbn, genrev.NewtonInverter(network))
    for name, method in (("dbn", dbn), ("dbn+newton", refined)):
        found = method.reconstruct(held_out, samples=4, seed=0)
        print(f"{name}: median residual {found.residual.median():.2g}, {found.outcomes()}")

    if args.film:
        classes = torch.full((len(splits.train.names), len(splits.train.names)), float("nan")).fill_diagonal_(0.99)
        frames = []
        for steps in STEPS:  # the same noise each time, so that each frame goes on where the last one ended
            frames.append(dbn.redrawing(gibbs=steps).reconstruct(classes, seed=args.seed).x[:, 0])
        film = torch.nn.functional.pad(torch.stack(frames, 1)[:, :, 0], (1, 1, 1, 1), value=0.3)
        sheet = film.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)  # a row a class, a column a frame
        pixels = (255 * (1 - sheet.clamp(0, 1).numpy())).astype(np.uint8)
        Image.fromarray(pixels.repeat(4, 0).repeat(4, 1)).save(args.film)
        print(f"film {args.film}: columns after {', '.join(map(str, STEPS))} steps")


if __name__ == "__main__":
    main()
