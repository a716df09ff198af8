"""The steps that commands share: one thread; methods by name, checked first; a network; a judge."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from genrev.errors import ArgumentError

if TYPE_CHECKING:
    from torch import Tensor

    from genrev.data import Splits
    from genrev.inverter import Inverter
    from genrev.judge import Judge
    from genrev.network import Network

METHODS = ("pinv", "gradient", "newton", "retrieval", "decoder", "cvae", "cvae+newton")
"""What is compared where nobody says otherwise."""


def say(line: str) -> None:
    """Print a line at once, also where the output is a file.

    Args:
        line: without its end.
    """
    print(line, flush=True)


def announce(line: str) -> None:
    """Say what begins, unless a progress bar says it at once in the same terminal.

    Args:
        line: without its end.
    """
    # Bars are drawn on the standard error, and only where that is a terminal.
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        say(line)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread inside, and on as many as before afterwards.

    Batches this small gain nothing from a second thread, lose much to it where the cores are shared, and the times in a
    table mean the same on every machine.

    Example:
        >>> import torch
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def check_seed(seed: int) -> None:
    """Refuse a seed that some step would refuse after minutes.

    Args:
        seed: of everything random.

    Raises:
        ArgumentError: it is out of range.

    Example:
        >>> check_seed(0)
    """
    if not 0 <= seed < 2**63:
        raise ArgumentError(f"expected --seed from 0 to 2^63 - 1, got {seed}; 0 will do")


def check_methods(names: Sequence[str]) -> None:
    """Refuse methods that can't be built, before a network is trained for them.

    Args:
        names: as `genrev.build` takes them.

    Raises:
        UnknownNameError: a name is in no line of `INVERTERS`.
        ArgumentError: there is no name, or the second part of one can't refine.

    Example:
        >>> check_methods(["cvae", "cvae+newton"])
    """
    from torch import nn

    from genrev.inverters import build
    from genrev.network import Network
    from genrev.space import InputSpace

    if not names:
        raise ArgumentError(f"expected at least one method, got none; name some, as in {','.join(METHODS)}")
    smallest = Network(nn.Sequential(nn.Linear(1, 1), nn.Sigmoid()), space=InputSpace((1,)))
    for name in names:
        build(name, smallest)


def fit_methods(
    names: Sequence[str],
    network: Network,
    inputs: Tensor,
    *,
    seed: int = 0,
    keywords: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Inverter]:
    """Build methods by name and fit them; a part that several share, as in cvae and cvae+newton, is fitted once.

    Args:
        names: as `genrev.build` takes them.
        network: that all of them invert.
        inputs: ``(n, *input_shape)``.
        seed: non-negative integer.
        keywords: by part of a name, what it is built with.

    Returns:
        The fitted inverters, by name.
    """
    from genrev.inverters import INVERTERS, Refined

    parts: dict[str, Inverter] = {}
    fitted: dict[str, Inverter] = {}
    for name in names:
        for part in name.split("+"):
            if part not in parts:
                if INVERTERS[part].traits.learns:
                    announce(f"  fitting {part} to {len(inputs)} inputs")
                parts[part] = INVERTERS[part](network, **(keywords or {}).get(part, {})).fit(inputs, seed=seed)
                if parts[part].traits.learns:
                    say(f"  {part} learned from {len(inputs)} inputs in {parts[part].fit_seconds:.0f} s")
        first, *others = (parts[part] for part in name.split("+"))
        for then in others:
            first = Refined(first, then).fit(inputs, seed=seed)
        fitted[name] = first
    return fitted


def check_standard(kind: str) -> None:
    """Refuse data for which no network can be trained without being told which.

    Args:
        kind: of data: a name that `genrev.data.load_splits` knows.

    Raises:
        ArgumentError: it has no standard network.

    Example:
        >>> check_standard("digits")
    """
    from genrev.classifiers import STANDARD

    if kind not in STANDARD:
        raise ArgumentError(
            f"expected a network that reads the data, got none, and {kind} has no standard one; give its file with "
            "--network"
        )


def train_standard(kind: str, splits: Splits, *, seed: int = 0) -> Network:
    """Train the standard network of a kind of data, and say how well it reads.

    Args:
        kind: of data: a name of `genrev.classifiers.STANDARD`.
        splits: of that data.
        seed: non-negative integer.

    Returns:
        The network.
    """
    from genrev.classifiers import STANDARD, accuracy

    recipe = STANDARD[kind]
    layers = "-".join(str(width) for width in recipe.layers)
    announce(f"  training the network {layers} on {len(splits.train)} inputs")
    network = recipe.train(splits.train, seed=seed)
    share = accuracy(network, splits.targets)
    say(f"  network {layers} learned from {len(splits.train)} inputs; reads {share:.1%} of those held out")
    return network


def fit_judge(splits: Splits, *, seed: int = 0) -> Judge:
    """Train the judge on its own part of the data.

    Args:
        splits: whose part ``judge`` is used.
        seed: non-negative integer.

    Returns:
        The judge.
    """
    from genrev.judge import Judge

    # It learns without a bar, on many inputs for most of a minute.
    say(f"  training the judge on {len(splits.judge)} other inputs")
    judge = Judge.fit(splits.judge.inputs, splits.judge.labels, seed=seed)
    right = (judge.labels(splits.targets.inputs) == splits.targets.labels).double().mean()
    say(f"  judge learned from {len(splits.judge)} other inputs; reads {float(right):.1%} of those held out")
    return judge
