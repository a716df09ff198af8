"""The steps that commands share: what is said and checked first; a network; methods by name; a judge."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
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


def printable(text: str) -> str:
    r"""Return a text with what a terminal would obey, or could not show, in escapes: a file may say anything.

    Args:
        text: from a file.

    Example:
        >>> print(printable("bell " + chr(7)))
        bell \x07
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


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
    from genrev.training import reached

    expect_writable(out)
    remove_leftovers(out)
    about = {"command": command, "network": None if network is None else network.fingerprint()}
    with resumable(f"{out}.state", about=about) as found:
        if found:
            done, of = reached(f"{out}.state")
            where = "where all is learned" if done == of else f"in epoch {done + 1} of {of}"
            say(f"going on from {out}.state, {where}; the seconds of earlier runs count too")
        try:
            yield
        except KeyboardInterrupt:
            say(f"stopped; the same command goes on from {out}.state, if it came that far")
            raise


def check_methods(names: Sequence[str], given: Collection[str] = ()) -> None:
    """Refuse methods that can't be built, before a network is trained for them.

    Args:
        names: as `genrev.build` takes them.
        given: those that are there already, and need not be built.

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
        if name not in given:
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
        given: fitted inverters by name, which take of the keywords those that decide how they draw.

    Returns:
        The fitted inverters, by name.

    Raises:
        ArgumentError: what learns is neither given nor has inputs to learn from, or is given and can't change so.
    """
    from genrev.inverters import INVERTERS, Refined

    parts = {
        name: _redrawing(inverter, name, (keywords or {}).get(name, {})) for name, inverter in (given or {}).items()
    }
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


def _redrawing(inverter: Inverter, name: str, keywords: Mapping[str, Any]) -> Inverter:
    """Return a trained inverter that draws by other keywords, if any are said."""
    said = {keyword: value for keyword, value in keywords.items() if keyword != "tolerance"}
    return inverter.redrawing(**said) if said else inverter


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
