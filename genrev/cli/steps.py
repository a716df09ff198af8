"""The steps that commands share: what is read and checked first; a network; methods by name; a judge."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from genrev.cli.options import silent
from genrev.errors import ArgumentError

if TYPE_CHECKING:
    from torch import Tensor

    from genrev.data import Splits
    from genrev.inverter import Inverter
    from genrev.judge import Judge
    from genrev.network import Network

METHODS = ("pinv", "gradient", "newton", "retrieval", "decoder", "cvae", "cvae+newton")
"""What is compared where nobody says otherwise."""


def tell(line: str) -> None:
    """Print a result at once, also where the output is a file.

    Args:
        line: without its end.
    """
    print(line, flush=True)


def say(line: str) -> None:
    """Print a remark on the work, unless none are wanted.

    Args:
        line: without its end.
    """
    if not silent():
        tell(line)


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


def load_network(path: str) -> Network:
    """Return the network in a file.

    Args:
        path: of a file that genrev saved.

    Raises:
        ArgumentError: the file holds something else.
        FileError: it is missing, damaged or foreign.
    """
    from genrev.checkpoint import load
    from genrev.network import Network

    network = load(path)
    if not isinstance(network, Network):
        raise ArgumentError(
            f"expected a network in {path}, got a {type(network).__name__}; give the file of its network"
        )
    return network


def class_names(path: str, network: Network) -> list[str] | None:
    """Return the names of the classes that a network's file tells, None where it tells none.

    Args:
        path: of the file.
        network: in it.
    """
    from genrev.checkpoint import about

    names = about(path).get("classes")
    if not isinstance(names, list) or network.output_shape not in ((len(names),), (1,) * (len(names) == 2)):
        return None
    return [str(name) for name in names]


def load_inverters(paths: Sequence[str], network: Network) -> dict[str, Inverter]:
    """Return the inverters in files, by the names that methods have.

    Args:
        paths: of files that genrev saved.
        network: that all of them must invert.

    Raises:
        ArgumentError: a file holds something else, or two hold the same method.
        FileError: a file is missing, damaged, foreign, or of another network.
    """
    from genrev.checkpoint import load
    from genrev.inverter import Inverter

    found: dict[str, Inverter] = {}
    for path in paths:
        inverter = load(path, network=network)
        if not isinstance(inverter, Inverter):
            raise ArgumentError(f"expected an inverter in {path}, got a {type(inverter).__name__}; give an inverter's")
        name = method_of(inverter)
        if name in found:
            raise ArgumentError(f"expected one file for each method, got two of {name}; leave {path} out")
        found[name] = inverter
    return found


def method_of(inverter: Inverter) -> str:
    """Return the name of the method that an inverter is of.

    Args:
        inverter: any that genrev loads.

    Example:
        >>> import torch
        >>> from genrev import InputSpace, Network, build
        >>> method_of(build("retrieval+newton", Network(torch.nn.Linear(2, 1), space=InputSpace((2,)))))
        'retrieval+newton'
    """
    from genrev.inverters import INVERTERS, BestOf, Refined

    if isinstance(inverter, Refined):
        return f"{method_of(inverter.first)}+{method_of(inverter.then)}"
    if isinstance(inverter, BestOf):
        return f"best of {inverter.n} {method_of(inverter.inverter)}"
    return next(name for name, kind in INVERTERS.items() if type(inverter) is kind)


def read_splits(data: str, split: int, network: Network | None = None) -> Splits:
    """Return data in their four parts.

    Args:
        data: as `genrev.data.load_splits` takes it.
        split: which cut.
        network: that must take such inputs and tell as many classes apart, if given.

    Raises:
        GenrevError: there are no such data, or they are none for the network.
    """
    from genrev.data import load_splits

    if not 0 <= split < 2**63:
        raise ArgumentError(f"expected --split from 0 to 2^63 - 1, got {split}; 0 will do")
    splits = load_splits(data, seed=split)
    if network is not None:
        _check_shape(network, data, splits)
    return splits


def _check_shape(network: Network, data: str, splits: Splits) -> None:
    shape, classes = tuple(splits.train.inputs.shape[1:]), len(splits.train.names)
    if network.space.shape != shape or network.output_shape not in ((classes,), (1,) if classes == 2 else (classes,)):
        raise ArgumentError(
            f"expected a network for {data}, from inputs {shape} to {classes} outputs, got one from "
            f"{network.space.shape} to {network.output_shape}; choose the data that it was trained on"
        )


def about_data(data: str, split: int, splits: Splits) -> dict[str, Any]:
    """Return what a file says of the data that its content was trained on.

    Args:
        data: as `genrev.data.load_splits` takes it.
        split: which cut.
        splits: the parts.
    """
    return {"data": data, "split": split, "inputs": len(splits.train), "classes": list(splits.train.names)}


@contextmanager
def resuming(out: str, command: str, network: Network | None = None) -> Iterator[None]:
    """Have what trains inside go on where the same command was stopped, from a state beside the file it will write.

    Args:
        out: the file that the command writes; inside.
        command: the line that runs it again.
        network: that the training looks at, if any.

    Raises:
        FileError: the file or the state can't be written, or the state is damaged or of another command.
    """
    from genrev.files import expect_writable, remove_leftovers
    from genrev.resume import resumable

    expect_writable(out)
    remove_leftovers(out)
    about = {"command": command, "network": None if network is None else network.fingerprint()}
    with resumable(f"{out}.state", about=about) as found:
        if found:
            say(f"going on from {out}.state")
        yield


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
    inputs: Tensor | None,
    *,
    seed: int = 0,
    keywords: Mapping[str, Mapping[str, Any]] | None = None,
    given: Mapping[str, Inverter] | None = None,
) -> dict[str, Inverter]:
    """Build methods by name and fit them; a part that several share, as in cvae and cvae+newton, is fitted once.

    Args:
        names: as `genrev.build` takes them.
        network: that all of them invert.
        inputs: ``(n, *input_shape)``; None where there are none, and what learns has to be given.
        seed: non-negative integer.
        keywords: by part of a name, what it is built with.
        given: fitted inverters by name, which are used as they are.

    Returns:
        The fitted inverters, by name.

    Raises:
        ArgumentError: what learns is neither given nor has inputs to learn from.
    """
    from genrev.inverters import INVERTERS, Refined

    parts: dict[str, Inverter] = dict(given or {})
    fitted: dict[str, Inverter] = {}
    for name in names:
        if name in parts:
            fitted[name] = parts[name]
            continue
        for part in name.split("+"):
            if part not in parts:
                parts[part] = _fit_part(INVERTERS[part](network, **(keywords or {}).get(part, {})), part, inputs, seed)
        first, *others = (parts[part] for part in name.split("+"))
        for then in others:
            first = Refined(first, then)
            if inputs is not None:
                first.fit(inputs, seed=seed)
        fitted[name] = first
    return fitted


def _fit_part(inverter: Inverter, name: str, inputs: Tensor | None, seed: int) -> Inverter:
    learns = inverter.traits.learns
    if inputs is None:
        if learns:
            raise ArgumentError(
                f"expected a fitted {name}, got none; give its file with --inverter, or with --data what it learns from"
            )
        return inverter
    if learns:
        announce(f"  fitting {name} to {len(inputs)} inputs")
    inverter.fit(inputs, seed=seed)
    if learns:
        say(f"  {name} learned from {len(inputs)} inputs in {inverter.fit_seconds:.0f} s")
    return inverter


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
            f"expected a network that reads the data, got none, and {kind} has no standard one; name its file first"
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

    say(f"  training the judge on {len(splits.judge)} other inputs")
    features = not splits.judge.space.alike
    judge = Judge.fit(splits.judge.inputs, splits.judge.labels, standardise=features, seed=seed)
    right = (judge.labels(splits.targets.inputs) == splits.targets.labels).double().mean()
    say(f"  judge learned from {len(splits.judge)} other inputs; reads {float(right):.1%} of those held out")
    return judge
