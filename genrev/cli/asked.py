"""What was typed of the outputs that are asked for: a target, or a class and its probability."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from genrev.errors import ArgumentError, nearest
from genrev.network import Network
from genrev.numpy_files import read_npy

_FREE = ("any", "nan")


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
    if len(words) == 1 and words[0].endswith(".npy"):
        return torch.from_numpy(read_npy(words[0]))
    values = [_number(word) for word in words]
    count = math.prod(network.output_shape)
    if len(values) != count:
        raise ArgumentError(
            f"expected {count} values for --target, one for each output, got {len(values)}; write any where any value "
            "will do"
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


def _place(word: str, classes: int, names: Sequence[str] | None) -> int:
    if names is not None and word in names:
        return list(names).index(word)
    if word.isascii() and word.isdecimal() and int(word) < classes:
        return int(word)
    known = ", ".join(names) if names is not None else f"0 to {classes - 1}"
    # No number is meant by another for looking like it.
    hint = ("" if word.lstrip("+-").isdecimal() else nearest(word, names or [])) or "; choose one of them"
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
