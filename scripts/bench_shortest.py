"""Print how newton's smallest change of an input compares with SciPy's SLSQP, on small smooth networks."""

import argparse
import itertools
import math
import time

import numpy as np
import torch
from scipy.optimize import minimize
from torch import nn

from genrev import InputSpace, Network, NewtonInverter

TOLERANCE = 1e-6
ACTIVATIONS = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "softplus": nn.Softplus}
WIDTHS = ((4, 8, 1), (4, 8, 8, 2), (8, 16, 16, 3), (12, 16, 16, 16, 2))


def smooth(widths: tuple[int, ...], activation: str, gain: float, bound: float) -> Network:
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
        nn.init.normal_(layers[-2].weight, std=gain / fan_in**0.5)
    space = InputSpace((widths[0],), -bound, bound)
    return Network(nn.Sequential(*layers[:-1]).requires_grad_(False), space=space)


def slsqp(network: Network, target: torch.Tensor, goal: np.ndarray, begin: np.ndarray) -> float:
    """Return the distance to the goal at which SLSQP ends; inf where it does not meet the target."""
    bound = float(network.space.high.max())
    slopes = torch.func.jacrev(network.module)

    def miss(x: np.ndarray) -> np.ndarray:
        return (network.module(torch.from_numpy(x)) - target).numpy()

    found = minimize(
        lambda x: ((x - goal) ** 2).sum(),
        begin,
        jac=lambda x: 2 * (x - goal),
        bounds=[(-bound, bound)] * len(goal) if math.isfinite(bound) else None,
        constraints={"type": "eq", "fun": miss, "jac": lambda x: slopes(torch.from_numpy(x)).numpy()},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    x = np.clip(found.x, -bound, bound)
    return float(np.linalg.norm(x - goal)) if np.abs(miss(x)).max() <= TOLERANCE else math.inf


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=0, help="of networks, starts and targets")
    options.add_argument("--rows", type=int, default=6, help="starts and targets for each network")
    options.add_argument("--gains", type=float, nargs="+", default=(1.0, 1.5), help="of the weights: more is more bent")
    args = options.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(args.seed)

    ours, theirs, polished, seconds = [], [], [], 0.0
    for widths, activation, gain, bound in itertools.product(WIDTHS, ACTIVATIONS, args.gains, (1.0, math.inf)):
        network = smooth(widths, activation, gain, bound)
        like, start = 2 * torch.rand(2, args.rows, widths[0]) - 1
        target = network.evaluate(like)
        began = time.perf_counter()
        found = NewtonInverter(network, tolerance=TOLERANCE).reconstruct(target, start=start, seed=args.seed)
        seconds += time.perf_counter() - began
        reached = found.converged[:, 0].tolist()
        for asked, goal, best, met in zip(target, start.numpy(), found.best.numpy(), reached, strict=True):
            ours.append(float(np.linalg.norm(best - goal)) if met else math.inf)
            theirs.append(slsqp(network, asked, goal, goal))
            polished.append(slsqp(network, asked, goal, best))

    here, there, after = np.array(ours), np.array(theirs), np.array(polished)
    met, both = np.isfinite(here), np.isfinite(here) & np.isfinite(there)
    ratio, left = here[both] / there[both], here[met] / np.minimum(after[met], here[met])
    print(f"{len(here)} cases, newton {seconds:.1f} s; met: {met.mean():.1%}, by SLSQP {np.isfinite(there).mean():.1%}")
    print(f"newton's distance / SLSQP's from the same start, {both.sum()} cases: median {np.median(ratio):.4f}")
    print(f"  at most 2 % longer {(ratio <= 1.02).mean():.1%}, more than 2 % shorter {(ratio < 0.98).mean():.1%}")
    print(f"  longest {ratio.max():.2f}, shortest {ratio.min():.2f}")
    print(
        f"before / after SLSQP goes on from newton's answer: {(left <= 1.02).mean():.1%} within 2 %, {left.max():.4f}"
    )


if __name__ == "__main__":
    main()
