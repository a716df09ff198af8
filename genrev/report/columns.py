"""The columns of a comparison: what each figure means, which direction is good, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NONE = "-"
"""What stands where a figure does not apply."""


def compact(value: float) -> str:
    """Write a number of any size in a few characters.

    Args:
        value: any float.

    Returns:
        Three significant digits, two with an exponent where it is small or large.

    Example:
        >>> [compact(value) for value in (0.0, 0.123456, 12.0, 1.23e-7, 45678.0)]
        ['0', '0.123', '12', '1.2e-7', '4.6e4']
    """
    # Rounded first: single precision has no 0.01, only something just below it.
    value = float(f"{value:.3g}")
    size = abs(value)
    # NaN compares false, and is written as it is.
    if value == 0 or 0.01 <= size < 1000 or not size < float("inf"):
        return f"{value:.3g}"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"


def percent(share: float) -> str:
    """Write a share in per cent; only all is 100 and only none is 0.

    Args:
        share: in [0, 1].

    Returns:
        One decimal, or a bound where that would round to all or none.

    Example:
        >>> [percent(share) for share in (1.0, 0.9999, 0.5, 0.0)]
        ['100 %', '>99.9 %', '50.0 %', '0 %']
    """
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    if not 0.0005 <= share < 0.9995:
        return "<0.1 %" if share < 0.5 else ">99.9 %"
    return f"{100 * share:.1f} %"


def ratio(value: float) -> str:
    """Write a figure whose scale is about one, with two decimals.

    Args:
        value: any float.

    Example:
        >>> ratio(0.9689)
        '0.97'
    """
    return f"{value:.2f}" if abs(value) < 100 else compact(value)


@dataclass(frozen=True)
class Column:
    """One figure of a comparison.

    Args:
        key: its name in ``comparison.json``.
        heading: its name in a table, short.
        good: which direction is good: "low", "high", "one" (near that of ``real``), or "" where neither is.
        meaning: what it says, in a line.
        write: how a value is written.
        missing: what stands for null.

    Example:
        >>> [column.key for column in COLUMNS if column.good == "one"]
        ['novelty']
    """

    key: str
    heading: str
    good: str
    meaning: str
    write: Callable[[float], str]
    missing: str = NONE

    def text(self, value: float | None) -> str:
        """Return a value as it stands in a table.

        Args:
            value: the figure; None where it does not apply.

        Example:
            >>> COLUMNS[0].text(1.5e-7), COLUMNS[0].text(None)
            ('1.5e-7', 'inf')
        """
        return self.missing if value is None else self.write(value)


# A residual is always known; null says that it is not finite, which JSON can't write. Recall stands before coverage,
# because only recall tells blurs that lie near everything from inputs that are as varied as real ones.
COLUMNS = (
    Column(
        "residual_median",
        "residual",
        "low",
        "greatest distance of f(x) to what was asked, over the asked outputs and in their units: the median over all "
        "targets and samples",
        compact,
        "inf",
    ),
    Column("residual_p95", "p95", "low", "the residual that 95 % of the samples stay below", compact, "inf"),
    Column("residual_max", "max", "low", "the worst residual; inf where some output was not finite", compact, "inf"),
    Column("converged", "met", "high", "share of the samples whose residual is within the tolerance", percent),
    Column(
        "judge_agreement",
        "judge",
        "high",
        "share in which an independent classifier, trained on other data, sees the class that was asked for",
        percent,
    ),
    Column(
        "both",
        "both",
        "high",
        "share that is met and seen by the judge as the class that was asked for, both at once: what a method is for",
        percent,
    ),
    Column(
        "recall",
        "recall",
        "high",
        "share of other real inputs that lie among the method's inputs: near 0 says that its inputs are blurs, noise "
        "or much alike (noise that is spread very wide can have a high recall, but no coverage)",
        ratio,
    ),
    Column(
        "coverage",
        "coverage",
        "high",
        "share of other real inputs that have one of the method's inputs near by: grey blobs can have 1.00, so read "
        "recall first; two sets of the very same kind get about 0.97, not 1 (for 5 neighbours)",
        ratio,
    ),
    Column(
        "novelty",
        "novelty",
        "one",
        "distance to the nearest training input, as a multiple of what it is for real: 0 is a copy, 1 as new as real "
        "data, far above 1 unlike any data",
        ratio,
    ),
    Column(
        "diversity",
        "diversity",
        "",
        "mean distance between the samples of one target, in input units: 0 says the same answer each time",
        compact,
    ),
    Column("fit_seconds", "fit s", "low", "seconds to learn, once; none for methods that do not learn", compact),
    Column("milliseconds_per_sample", "ms", "low", "milliseconds for each input found", compact),
)
"""Every figure of a row, in the order of the tables; the name of the inverter stands before them."""

LUCK = (
    "drawn without a look at the targets; it meets some because the network gives very many inputs, real or not, "
    "nearly the same output, and some targets ask for just that output"
)
"""How random inputs can meet a target."""


def lucky(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether random inputs met a target, which calls for a word.

    Args:
        rows: each with the keys ``inverter`` and ``converged``.

    Example:
        >>> lucky([{"inverter": "noise", "converged": 0.05}]), lucky([{"inverter": "newton", "converged": 1.0}])
        (True, False)
    """
    return any(row["inverter"] == "noise" and row["converged"] for row in rows)
