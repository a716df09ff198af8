"""What the demo says of targets typed by hand, in words for someone who sees this for the first time."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from genrev.cli.answers import advice
from genrev.comparison import Answer, Comparison
from genrev.inverter import Outcome
from genrev.report.columns import compact

_HEADINGS = ("method", "the network says", "residual", "met", "the judge sees", "outcome")
_CHANCE = "noise"
_TERM, _WIDTH = 13, 110


def asked_table(comparison: Comparison, place: int) -> str:
    """Return what each method found for one of the targets that were typed by hand.

    Args:
        comparison: with targets that were asked.
        place: which of them.

    Returns:
        A line that says what was asked, one of headings, and one a method.
    """
    assert comparison.asked is not None
    names = _names(comparison)
    lines = [_HEADINGS] + [
        _line(method, answer, place, names) for method, answer in comparison.asked_answers.items() if method != _CHANCE
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    table = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([f"Asked for {_outputs(comparison.asked[place], names, 2)}", *table])


def _line(method: str, answer: Answer, place: int, names: Sequence[str]) -> tuple[str, ...]:
    best = int(answer.residual[place].argmin())
    outcomes = [Outcome(value) for value in answer.outcome[place].tolist()]
    return (
        method,
        _outputs(answer.y[place, best], names),
        compact(float(answer.residual[place, best])),
        f"{outcomes.count(Outcome.CONVERGED)} of {len(outcomes)}",
        "-" if answer.judged is None else _counts(names[label] for label in answer.judged[place].tolist()),
        _counts(outcome.name for outcome in outcomes),
    )


def _outputs(values: Tensor, names: Sequence[str], digits: int = 3) -> str:
    return ", ".join(
        f"{name} {value:.{digits}f}"
        for name, value in zip(names, values.flatten().tolist(), strict=True)
        if value == value
    )


def _counts(words: Iterable[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in Counter(words).most_common())


def legend(comparison: Comparison) -> str:
    """Return what the columns of those tables mean, the outcomes that occur, and why the pseudo-inverse fails.

    Args:
        comparison: with targets that were asked.

    Returns:
        A line each.
    """
    answers = {method: answer for method, answer in comparison.asked_answers.items() if method != _CHANCE}
    seen = sorted({Outcome(value) for answer in answers.values() for value in answer.outcome.flatten().tolist()})
    samples = next(iter(answers.values())).residual.shape[1]
    terms = {
        "residual": "the greatest distance of the network's outputs from what was asked",
        "met": _met(comparison.tolerance, samples, [name for name, answer in answers.items() if _repeats(answer)]),
        "the judge": "an independent classifier, trained on other data, says what the inputs look like",
        **{outcome.name: advice(outcome, "cvae", stochastic=True) for outcome in seen},
    }
    if "pinv" in comparison.asked_notes:
        terms["pinv"] = comparison.asked_notes["pinv"]
    first = f"Each method gave {samples} inputs for each target; the outputs shown are those with the least residual."
    return "\n".join([first, *(_wrapped(term, meaning) for term, meaning in terms.items())])


def _met(tolerance: float | Tensor, samples: int, repeating: Sequence[str]) -> str:
    bound = (
        f"a residual of at most {compact(tolerance)}" if isinstance(tolerance, float) else "one within the tolerance"
    )
    text = f"how many of the {samples} inputs have {bound}"
    if not repeating or samples == 1:
        return text
    *others, last = repeating
    who = f"{', '.join(others)} and {last} draw" if others else f"{last} draws"
    whose = "their" if others else "its"
    return f"{text}; {who} nothing at random, so that {whose} one answer counts {samples} times: all are met, or none"


def _repeats(answer: Answer) -> bool:
    """Return whether a method gave one answer to each target, again and again."""
    # What is not finite equals nothing, not even itself.
    return torch.equal(answer.x.nan_to_num(), answer.x[:, :1].expand_as(answer.x).nan_to_num())


def _wrapped(term: str, meaning: str) -> str:
    return textwrap.fill(f"{term:<{_TERM}}{meaning}", _WIDTH, subsequent_indent=" " * _TERM)


def _names(comparison: Comparison) -> list[str]:
    assert comparison.asked is not None
    return comparison.names or [f"output {place}" for place in range(comparison.asked[0].numel())]
