"""What was found, in words for a terminal: outputs, inputs of a few values, how each search ended and what helps."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from genrev.inverter import Inversion, Outcome
from genrev.reachable import why
from genrev.report.columns import compact
from genrev.report.values import SHORT, number, probability, value_names

_FEW, _LINES, _ACROSS, _WIDTH = 4, 16, 8, 80
"""Up to how many outputs are written out, how many answers, of how many the inputs, and in how many characters a line
where names and numbers are short enough."""

ENDS = {
    Outcome.CONVERGED: "met to {}",
    Outcome.MISSED: "missed by {}",
    Outcome.STALLED: "stalled at {}",
    Outcome.LIMIT: "limit at {}",
    Outcome.DIVERGED: "diverged",
    Outcome.UNREACHABLE: "unreachable",
}
"""How a search ended, in words that fit below a picture."""

_ADVICE = {
    Outcome.CONVERGED: "The output is within tolerance of the target.",
    Outcome.MISSED: "This one-shot method came out above tolerance: refine it with --method {method}+newton{more}.",
    Outcome.STALLED: "The solver got no closer from where it began: try more --samples or another --seed{elsewhere}; "
    "where nothing helps, the network may be unable to give the target: ask for another one.",
    Outcome.LIMIT: "The steps ran out before the tolerance was met: allow more, as in --set newton.steps=200, or use "
    "--method newton.",
    Outcome.DIVERGED: "The result is not finite: check the network's weights and the scale of its inputs, or give the "
    "inputs bounds (genrev import has --low and --high).",
    Outcome.UNREACHABLE: "No input of the network's range can give this target, by a sound bound on its outputs: ask "
    "for a less extreme --target or --confidence.",
}
"""What each outcome means and what helps, in the options of the shell; `Outcome.sentence` says it for Python."""

_ELSEWHERE = ", begin elsewhere with --start FILE.npy, or let a method that learns propose, as in --method cvae+newton"
"""What helps a solver that proposes its own start."""


def advice(outcome: Outcome, method: str, *, stochastic: bool) -> str:
    """Return what an outcome means, and which options may help.

    Args:
        outcome: how a search ended.
        method: that searched, by name.
        stochastic: whether its samples differ.

    Example:
        >>> advice(Outcome.MISSED, "pinv", stochastic=False)
        'This one-shot method came out above tolerance: refine it with --method pinv+newton.'
    """
    # Of the best of several draws it is the method drawn from that has a name.
    name, more = method.split()[-1], ", or draw more with --samples" if stochastic else ""
    elsewhere = "" if "+" in name else _ELSEWHERE
    return _ADVICE[outcome].format(method=name, more=more, elsewhere=elsewhere)


def answer_lines(found: Inversion, names: Sequence[str] | None, columns: Sequence[str] | None) -> Iterator[str]:
    """Return what was asked, what was reached, and the inputs themselves where they are short, a line each.

    Args:
        found: by any inverter.
        names: of the outputs, where they are known.
        columns: names of the values of an input, where they are known.
    """
    batch, samples = found.residual.shape
    digits = digits_for(found.tolerance)
    shown = 0
    for place in range(batch):
        if shown >= _LINES:
            break
        count = min(samples, _LINES - shown)
        written = (_answers(found, place, count, names, digits, few) for few in range(_FEW, 0, -1))
        yield from next((lines for lines in written if _fits(lines)), _answers(found, place, count, names, digits, 1))
        if is_short(found):
            yield from _inputs(found.x[place, : min(count, _ACROSS)], columns)
            if count > _ACROSS:
                yield f"and the inputs of {count - _ACROSS} more, which --out FILE.csv writes"
        shown += count
    total = batch * samples
    if total > shown:
        yield f"and {total - shown} more of {total} inputs found, which --out FILE.csv writes"


def _answers(found: Inversion, place: int, count: int, names: Sequence[str] | None, digits: int, few: int) -> list[str]:
    """Return what was asked of a target and what was reached by its first samples, up to so few outputs of each."""
    target = found.target[place]
    table = [("sample", "the network says", "residual", "outcome")]
    for sample in range(count):
        said = outputs(found.y[place, sample], target, names, digits, few)
        outcome = Outcome(int(found.outcome[place, sample]))
        table.append((str(sample + 1), said, short(float(found.residual[place, sample])), outcome.name))
    return [f"asked for {outputs(target, target, names, 3, few)}", *_aligned(table)]


def _fits(lines: Sequence[str]) -> bool:
    return max(map(len, lines)) <= _WIDTH


def outcome_lines(
    found: Inversion, method: str, *, stochastic: bool, names: Sequence[str] | None = None
) -> Iterator[str]:
    """Return what each outcome means and which options may help, a paragraph each.

    Args:
        found: by the method.
        method: by name.
        stochastic: whether its samples differ.
        names: of the outputs, where they are known.
    """
    counts, total = found.outcomes(), found.residual.numel()
    for outcome, count in counts.items():
        share = f" ({count} of {total})" if len(counts) > 1 else ""
        proof = why(found.stats, found.target, names) if outcome is Outcome.UNREACHABLE else ""
        said = advice(outcome, method, stochastic=stochastic)
        yield paragraph(f"{outcome.name}{share}: {said} {proof}".rstrip())


def paragraph(text: str) -> str:
    """Return a text in lines of 80 characters; an option stays with its value: what is cut in two can't be copied.

    Args:
        text: on one line.

    Example:
        >>> print(paragraph("Where nothing at all helps, ask for what the network can give, as with --confidence 0.9."))
        Where nothing at all helps, ask for what the network can give, as with
          --confidence 0.9.
    """
    whole = re.sub(r"(--[\w-]+) (?=[\w+.=]+)", r"\1\0", text)
    lines = textwrap.wrap(whole, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def is_short(found: Inversion) -> bool:
    """Return whether inputs are lists of so few values that each can be written out.

    Args:
        found: by any inverter.
    """
    return found.x.ndim == 3 and found.x.shape[-1] <= SHORT


def _inputs(x: Tensor, columns: Sequence[str] | None) -> Iterator[str]:
    """Return the values of some samples, ``(samples, values)``, a line each value, as many abreast as fit."""
    titles = value_names(columns, x.shape[1])

    def written(first: int, last: int) -> list[str]:
        heading = ("input", *(f"sample {sample + 1}" for sample in range(first, last)))
        rows = zip(titles, x[first:last].T.tolist(), strict=True)
        return list(_aligned([heading, *((name, *map(number, values)) for name, values in rows)]))

    first = 0
    while first < len(x):
        ends = range(len(x), first, -1)
        last = next((end for end in ends if _fits(written(first, end))), first + 1)
        yield from written(first, last)
        first = last


def _aligned(table: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def outputs(values: Tensor, target: Tensor, names: Sequence[str] | None, digits: int, few: int = _FEW) -> str:
    """Write outputs by name: all where they are few, else the first few of those that were asked for.

    Args:
        values: ``output_shape``.
        target: ``output_shape``, NaN where any value will do.
        names: of the outputs, or None.
        digits: after the point.
        few: how many are.

    Example:
        >>> outputs(torch.tensor([0.991, 0.009]), torch.tensor([0.99, 0.01]), ["X", "O"], 2)
        'X 0.99, O 0.01'
    """
    flat, asked = values.flatten().tolist(), (~target.isnan()).flatten().tolist()
    places = [place for place in range(len(flat)) if len(flat) <= few or asked[place]]
    said = [f"{_named(names, place, len(flat))}{_written(flat[place], digits)}" for place in places[:few]]
    return ", ".join([*said, f"and {len(places) - few} more"] if len(places) > few else said)


def _named(names: Sequence[str] | None, place: int, count: int) -> str:
    if names is not None and len(names) == count:
        return f"{names[place]} "
    return f"[{place}] " if count > 1 else ""


def _written(value: float, digits: int) -> str:
    if math.isnan(value):
        return "any"
    text = f"{value:.{digits}f}"
    # What is no 1 and no 0 doesn't read as one: 0.999998 was asked for, and not 1.
    if float(text) in (0, 1) and float(text) != value and 0 < value < 1:
        return probability(value)
    return text if abs(value) < 1000 else compact(value)


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
