"""Print what newton takes for a 10,000-1,000-10,000 tanh network, whose Jacobian of 400 MB a row is never formed."""

import argparse
import resource
import time

import torch
from torch import Tensor, nn

from genrev import InputSpace, Network, NewtonInverter
from genrev.solvers.products import Products

COUNTS = {"back": 0, "forth": 0}


def counted(name: str) -> None:
    """Have each product with a Jacobian counted."""
    product = getattr(Products, name)

    def count(self: Products, vectors: Tensor) -> Tensor:
        COUNTS[name] += 1
        return product(self, vectors)

    setattr(Products, name, count)


def peak() -> int:
    """Return the most bytes that the process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--widths", type=int, nargs=3, default=(10_000, 1_000, 10_000), metavar=("IN", "HIDDEN", "OUT")
    )
    options.add_argument("--targets", type=int, default=8)
    options.add_argument(
        "--gain", type=float, default=1.0, help="of the weights: their spread times the root of fan-in"
    )
    options.add_argument(
        "--unbounded", action="store_true", help="normal inputs without bounds, not even ones in a box"
    )
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    wide, middle, out = args.widths
    layers = [nn.Linear(wide, middle), nn.Linear(middle, out)]
    for layer in layers:
        nn.init.normal_(layer.weight, std=args.gain / layer.in_features**0.5)
    space = InputSpace((wide,)) if args.unbounded else InputSpace((wide,), 0.0, 1.0)
    draw = torch.randn if args.unbounded else torch.rand
    network = Network(nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh()), space=space)
    weights = sum(p.numel() * p.element_size() for p in network.module.parameters())
    inverter = NewtonInverter(network).fit(draw(64, wide))
    target = network.evaluate(draw(args.targets, wide))
    counted("back")
    counted("forth")

    before, began = peak(), time.perf_counter()
    found = inverter.reconstruct(target, seed=args.seed)
    seconds = time.perf_counter() - began
    print(
        f"{wide}-{middle}-{out} tanh, {weights / 1e6:.0f} MB of weights, gain {args.gain:g}, "
        f"{'unbounded' if args.unbounded else 'box'}, {args.targets} targets, {torch.get_num_threads()} thread"
    )
    steps = found.stats["steps"][:, 0].tolist()
    print(f"steps {steps}, products {sum(COUNTS.values())} ({COUNTS['forth']} J d, {COUNTS['back']} J'w), each for all")
    print(f"residuals {', '.join(f'{r:.1e}' for r in found.residual[:, 0].tolist())}; {found.outcomes()}")
    print(f"{seconds:.1f} s; peak resident memory grew by {(peak() - before) / weights:.2f} times the weights")


if __name__ == "__main__":
    main()
