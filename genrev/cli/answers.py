"""What was asked and what was found, typed and in words: targets, classes, outputs, how a search ended."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from genrev.errors import ArgumentError, nearest
from genrev.inverter import Inversion, Outcome
from genrev.network import Network
from genrev.numpy_files import read_npy
from genrev.report.columns import compact

_FREE = ("any", "nan")

_FEW, _LINES = 4, 16
"""Up to how many outputs are written out, and how many answers."""

ENDS = {
    Outcome.CONVERGED: "met to {}",
    Outcome.MISSED: "missed by {}",
    Outcome.STALLED: "stalled at {}",
    Outcome.LIMIT: "limit at {}",
    Outcome.DIVERGED: "diverged",
    Outcome.UNREACHABLE: "unreachable",
}
"""How a search ended, in words that fit below a picture."""


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
    hint = nearest(word, names or []) or "; choose one of them"
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


def answer_lines(found: Inversion, names: Sequence[str] | None) -> Iterator[str]:
    """Return what was asked, what was reached, and what each outcome means and advises, a line each.

    Args:
        found: by any inverter.
        names: of the outputs, where they are known.
    """
    batch, samples = found.residual.shape
    digits = digits_for(found.tolerance)
    shown = 0
    for place in range(batch):
        yield f"asked for {outputs(found.target[place], found.target[place], names, 3)}"
        if shown >= _LINES:
            continue
        table = [("sample", "the network says", "residual", "outcome")]
        for sample in range(min(samples, _LINES - shown)):
            said = outputs(found.y[place, sample], found.target[place], names, digits)
            outcome = Outcome(int(found.outcome[place, sample]))
            table.append((str(sample + 1), said, short(float(found.residual[place, sample])), outcome.name))
            shown += 1
        yield from _aligned(table)
    total = batch * samples
    if total > shown:
        yield f"and {total - shown} more"
    counts = found.outcomes()
    for outcome, count in counts.items():
        share = f" ({count} of {total})" if len(counts) > 1 else ""
        yield f"{outcome.name}{share}: {outcome.sentence}"


def _aligned(table: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def outputs(values: Tensor, target: Tensor, names: Sequence[str] | None, digits: int) -> str:
    """Write outputs by name: all where they are few, else the first few of those that were asked for.

    Args:
        values: ``output_shape``.
        target: ``output_shape``, NaN where any value will do.
        names: of the outputs, or None.
        digits: after the point.

    Example:
        >>> outputs(torch.tensor([0.991, 0.009]), torch.tensor([0.99, 0.01]), ["X", "O"], 2)
        'X 0.99, O 0.01'
    """
    flat, asked = values.flatten().tolist(), (~target.isnan()).flatten().tolist()
    few = len(flat) <= _FEW
    places = [place for place in range(len(flat)) if few or asked[place]]
    said = [f"{_named(names, place, len(flat))}{_written(flat[place], digits)}" for place in places[:_FEW]]
    return ", ".join([*said, f"and {len(places) - _FEW} more"] if len(places) > _FEW else said)


def _named(names: Sequence[str] | None, place: int, count: int) -> str:
    if names is not None and len(names) == count:
        return f"{names[place]} "
    return f"[{place}] " if count > 1 else ""


def _written(value: float, digits: int) -> str:
    return "any" if math.isnan(value) else f"{value:.{digits}f}" if abs(value) < 1000 else compact(value)


def short(residual: float) -> str:
    """Write a residual in two digits, without an exponent where it is as large as most tolerances.

    Args:
        residual: at least 0.

    Example:
        >>> short(0.00093), short(2.3e-7)
        ('0.00093', '2.3e-7')
    """
    return f"{residual:.2g}" if 1e-4 <= residual < 1 else compact(float(f"{residual:.1e}"))


def digits_for(tolerance: float | Tensor) -> int:
    """Return how many digits an output needs, so that one within the tolerance differs from one beyond it.

    Args:
        tolerance: a number, or one for each output.

    Example:
        >>> digits_for(1e-3)
        4
    """
    least = float(torch.as_tensor(tolerance, dtype=torch.float64).min())
    return 1 + max(1, math.ceil(-math.log10(least))) if least > 0 else 6
