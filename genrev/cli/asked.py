"""What was asked for in words or files: a target, a class and its probability, an input to stay near or to keep."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from genrev.errors import ArgumentError, nearest
from genrev.network import Network
from genrev.numpy_files import read_npy
from genrev.report.values import probability

_FREE = ("any", "nan")

_FEWEST = 20
"""From how many inputs of a class on something is said of what is usual."""


def parse_target(words: Sequence[str], network: Network) -> Tensor:
    """Return the target that was typed, ``(batch, *output_shape)``.

    Args:
        words: a number for each output, "any" where any value will do; or the path of one .npy file of targets.
        network: that is asked.

    Raises:
        ArgumentError: a word is no number, or there are too few or too many.
        FileError: the file can't be read.

    Example:
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Linear(3, 2), space=InputSpace((3,)))
        >>> parse_target(["0.5", "any"], network).tolist()
        [[0.5, nan]]
    """
    if _is_file(words):
        return torch.from_numpy(read_npy(words[0]))
    values = [_number(word) for word in words]
    count = math.prod(network.output_shape)
    if len(values) != count:
        raise ArgumentError(
            f"expected {count} values for --target, one for each output, got {len(values)}; write any where any value "
            "will do"
        )
    if all(map(math.isnan, values)):
        raise ArgumentError(
            "expected --target to ask for at least one output, got any for each; write a number in the place of one"
        )
    return torch.tensor(values, dtype=torch.float64).reshape(1, *network.output_shape)


def parse_class(word: str, confidence: float, network: Network, names: Sequence[str] | None) -> Tensor:
    """Return the target that asks for the probability of one class alone, ``(1, *output_shape)``.

    Args:
        word: the class: its name, or its number from 0.
        confidence: the probability, in [0, 1].
        network: that is asked.
        names: of the classes, where they are known.

    Raises:
        ArgumentError: there is no such class, or the outputs are no probabilities.

    Example:
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Linear(3, 2), space=InputSpace((3,))).with_softmax()
        >>> parse_class("O", 0.9, network, ["X", "O"]).tolist()
        [[nan, 0.9]]
    """
    if network.outputs == "values" or len(network.output_shape) != 1:
        raise ArgumentError(
            f"expected a network of probabilities for --class, got one whose outputs are {network.outputs} of shape "
            f"{network.output_shape}; give the outputs themselves with --target"
        )
    single = network.output_shape == (1,)
    classes = 2 if single else network.output_shape[0]
    place = _place(word, classes, names)
    if not 0 <= confidence <= 1:
        raise ArgumentError(f"expected --confidence from 0 to 1, got {confidence:g}; 0.99 will do")
    if single:
        # One output tells two classes apart: it is the probability of the second.
        return torch.tensor([[confidence if place else 1 - confidence]], dtype=torch.float64)
    target = torch.full((1, classes), math.nan, dtype=torch.float64)
    target[0, place] = confidence
    return target


def unusual(target: Tensor, seen: Tensor | None, names: Sequence[str] | None) -> str:
    """Say that a class is asked for with a probability that the inputs of that class seldom have, or say nothing.

    Of such a target an answer can be exact and still like no input of the class: it stands at the edge of it.

    Args:
        target: as `parse_class` returned it.
        seen: ``(n, *output_shape)``: outputs of inputs that were learned from, or None.
        names: of the classes, where they are known.

    Example:
        >>> seen = torch.tensor([[0.9999, 0.0001]]).repeat(100, 1)
        >>> unusual(torch.tensor([[0.99, math.nan]]), seen, ["X", "O"])
        '0.99 is unusual: of the inputs learned from, those that the network takes for X get about 0.9999 \
(9 in 10 of them); --confidence 0.9999 asks for a typical one'
        >>> unusual(torch.tensor([[0.9999, math.nan]]), seen, ["X", "O"])
        ''
    """
    if seen is None:
        return ""
    asked = target.flatten().double().cpu()
    seen = seen.flatten(1).double().cpu()
    single = seen.shape[1] == 1
    if single:
        # Of one output the second class is what it gives, and the first what it leaves.
        label = int(asked[0] > 0.5)
        asked, seen = torch.cat([1 - asked, asked]), torch.cat([1 - seen, seen], 1)
    else:
        label = int((~asked.isnan()).nonzero()[0])
    alike = seen[seen.argmax(1) == label, label]
    if len(alike) < _FEWEST:
        return ""
    low, usual, high = torch.quantile(alike, torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)).tolist()
    if low <= float(asked[label]) <= high:
        return ""
    name = names[label] if names is not None else f"class {label}"
    least, most = probability(low), probability(high)
    span = f"about {least}" if least == most else f"from {least} to {most}"
    return (
        f"{probability(float(asked[label]))} is unusual: of the inputs learned from, those that the network takes for "
        f"{name} get {span} (9 in 10 of them); --confidence {probability(usual)} asks for a typical one"
    )


@contextlib.contextmanager
def in_typed_words(words: Sequence[str], network: Network) -> Iterator[None]:
    """Have what is refused of a typed target said in words that can be typed: any for NaN, options for calls.

    Args:
        words: as `parse_target` takes them; of a file, which holds NaN itself, nothing is changed.
        network: that is asked.

    Raises:
        ArgumentError: in other words, where one is raised inside.

    Example:
        >>> from genrev import InputSpace, NewtonInverter
        >>> network = Network(torch.nn.Linear(3, 2), space=InputSpace((3,))).with_softmax()
        >>> with in_typed_words(["0.9", "0.9"], network):
        ...     NewtonInverter(network).reconstruct([0.9, 0.9])
        Traceback (most recent call last):
        genrev.errors.ArgumentError: expected the probabilities of a softmax to sum to one, got 1.8; scale them, or \
write any in the place of some
    """
    try:
        yield
    except ArgumentError as error:
        if not words or _is_file(words):
            raise
        said = str(error).replace("leave some free with NaN", "write any in the place of some")
        said = said.replace(f"for logits invert the network without its {network.outputs}", "ask for some in between")
        raise ArgumentError(said) from error


def as_input(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array in the shape of an input where the two differ by leading dimensions of one alone, else as it is.

    A picture in grey is saved as ``(height, width)``, and networks take it as ``(1, height, width)``.

    Args:
        values: an input, one for each target, or something that will be refused.
        shape: of an input.

    Example:
        >>> as_input(np.zeros((4, 4)), (1, 4, 4)).shape, as_input(np.zeros((3, 4, 4)), (1, 4, 4)).shape
        ((1, 4, 4), (3, 4, 4))
    """
    return values.reshape(shape) if _led(values.shape) == _led(shape) else values


def _led(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape from its first dimension on that is not one."""
    return tuple(itertools.dropwhile(lambda size: size == 1, shape))


def _is_file(words: Sequence[str]) -> bool:
    return len(words) == 1 and words[0].endswith(".npy")


def _place(word: str, classes: int, names: Sequence[str] | None) -> int:
    if names is not None and word in names:
        return list(names).index(word)
    if word.isascii() and word.isdecimal() and int(word) < classes:
        return int(word)
    known = ", ".join(names) if names is not None else f"0 to {classes - 1}"
    # No number is meant by another for looking like it.
    alike = [name for name in names or [] if name.casefold() == word.casefold()]
    hint = (
        f"; did you mean {alike[0]!r}?"
        if alike
        else ""
        if word.lstrip("+-").isdecimal()
        else nearest(word, names or [])
    )
    hint = hint or "; choose one of them"
    raise ArgumentError(f"expected a class of the network ({known}), got {word!r}{hint}")


def _number(word: str) -> float:
    if word.lower() in _FREE:
        return math.nan
    try:
        value = float(word)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise ArgumentError(f"expected numbers for --target, or any, got {word!r}; write them as in 0.99 0.01")
    return value
