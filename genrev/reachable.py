"""What a network can't give: targets beyond a sound bound of its outputs, and the nearest within, also in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import numpy as np
import torch
from torch import Tensor

from genrev.layers import Interval


@dataclass(frozen=True, eq=False)
class Beyond:
    """Which targets no input can give, and why.

    Args:
        place: ``(batch,)`` integers: the flat index of the output that is farthest beyond its bounds; -1 for a target
            that may be reachable.
        low: ``(batch,)``, float64: the least value that this output can have; NaN likewise.
        high: ``(batch,)``, float64: the greatest.
        nearest: ``(batch, *output_shape)``: the nearest target that the bounds allow; the target itself likewise.
    """

    place: Tensor
    low: Tensor
    high: Tensor
    nearest: Tensor

    @property
    def proved(self) -> Tensor:
        """``(batch,)`` of bool: which targets are beyond reach."""
        return self.place >= 0

    def stats(self, samples: int) -> dict[str, Tensor]:
        """Return it as statistics of a result, ``(batch, samples, ...)`` each.

        Args:
            samples: of each target.
        """
        named = {
            "unreachable": self.place,
            "reachable_low": self.low,
            "reachable_high": self.high,
            "nearest": self.nearest,
        }
        return {name: value[:, None].repeat(1, samples, *(1,) * (value.ndim - 1)) for name, value in named.items()}


def beyond(target: Tensor, tolerance: Tensor, box: Interval, *, sums_to_one: bool = False) -> Beyond | None:
    """Return which targets lie farther outside of the bounds than the tolerance; None where none does.

    Args:
        target: ``(batch, *output_shape)``, NaN where any value will do.
        tolerance: ``output_shape``.
        box: of all outputs, ``output_shape``.
        sums_to_one: whether outputs are a softmax's: a target of which all are asked keeps its sum, where it can.

    Example:
        >>> box = Interval(torch.tensor([0.0, 0.0]), torch.tensor([0.5, 1.0]))
        >>> found = beyond(torch.tensor([[0.9, torch.nan], [0.5, 0.7]]), torch.full((2,), 1e-3), box)
        >>> found.place.tolist(), found.nearest.tolist()
        ([0, -1], [[0.5, nan], [0.5, 0.699999988079071]])
    """
    asked, least, most = target.double(), box.low.to(target.device), box.high.to(target.device)
    unit = torch.finfo(target.dtype).eps
    # A target at the tolerance to the last digit counts as met, as it is graded.
    allowed = tolerance.double() * (1 + 4 * unit) + 8 * unit * asked.abs()
    # NaN asks for nothing, and compares false.
    share = ((torch.maximum(least - asked, asked - most) - allowed) / tolerance.double()).nan_to_num(-1.0).flatten(1)
    worst, place = share.max(1)
    proved = worst > 0
    if not bool(proved.any()):
        return None
    inside = torch.minimum(torch.maximum(asked, least), most)
    if sums_to_one:
        inside = _summed(inside, least, most)
    low, high = (torch.where(proved, end.flatten()[place], torch.nan) for end in (least, most))
    chosen = proved.reshape(-1, *(1,) * (target.ndim - 1))
    return Beyond(torch.where(proved, place, -1), low, high, torch.where(chosen, inside.to(target.dtype), target))


def _summed(inside: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return probabilities that sum to one where all are asked: what clamping took is dealt out where there is room."""
    rest = 1 - inside.sum(-1, keepdim=True)
    room = torch.where(rest > 0, high - inside, inside - low)
    dealt = rest.abs() / room.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    summed = inside + rest.sign() * room * dealt.clamp(max=1.0)
    # Where some are free the sum is NaN, and theirs to keep.
    return torch.where(rest.isnan(), inside, summed)


def why(stats: Mapping[str, Tensor], target: Tensor, names: Sequence[str] | None = None) -> str:
    """Return in a sentence which output of which target is beyond reach, and where it lies; nothing where none is.

    Args:
        stats: of a result.
        target: ``(batch, *output_shape)``.
        names: of the outputs, where they have some.

    Example:
        >>> box = Interval(torch.tensor([0.0, 0.0]), torch.tensor([0.5, 1.0]))
        >>> target = torch.tensor([[0.9, torch.nan]])
        >>> why(beyond(target, torch.full((2,), 1e-3), box).stats(1), target)
        'Output 0 was asked to be 0.9, and lies between 0 and 0.5 for every input of the space.'
    """
    if "unreachable" not in stats:
        return ""
    places = stats["unreachable"][:, 0]
    rows = (places >= 0).nonzero()[:, 0].tolist()
    row, place = rows[0], int(places[rows[0]])
    index = np.unravel_index(place, tuple(target.shape[1:]))
    named = str(place) if len(index) == 1 else f"({', '.join(map(str, index))})"
    if names is not None and len(names) == target[0].numel():
        named = names[place]
    of = f" of target {row}" if len(target) > 1 else ""
    others = f"; {len(rows)} of {len(target)} targets are beyond such bounds" if len(rows) > 1 else ""
    low, high = (float(stats[name][row, 0]) for name in ("reachable_low", "reachable_high"))
    asked = float(target[row].flatten()[place])
    # As many digits as tell the numbers apart.
    digits = next((few for few in range(4, 10) if _differ(asked, low, high, few)), 9)
    where = f"{within(low, high, digits)} for every input of the space"
    return f"Output {named}{of} was asked to be {asked:.{digits}g}, and {where}{others}."


def _differ(asked: float, low: float, high: float, digits: int) -> bool:
    said = float(f"{asked:.{digits}g}")
    return all(said != float(f"{end:.{digits}g}") for end in (low, high)) and (said in (0, 1)) == (asked in (0, 1))


def within(low: float, high: float, digits: int = 4) -> str:
    """Return where a value lies, in words, rounded outward.

    Args:
        low: the least it can be, or -inf.
        high: the greatest, or inf.
        digits: of each number.

    Example:
        >>> within(0.1234567, 0.9), within(-torch.inf, 1.99999)
        ('lies between 0.1234 and 0.9', 'is at most 2')
    """
    least, most = _rounded(low, digits, ROUND_FLOOR), _rounded(high, digits, ROUND_CEILING)
    if low == -torch.inf:
        return f"is at most {most}"
    if high == torch.inf:
        return f"is at least {least}"
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        return f"is {(low + high) / 2:.{digits}g}"
    return f"lies between {least} and {most}"


def _rounded(end: float, digits: int, rounding: str) -> str:
    # What our own arithmetic rounds is not to be seen.
    short = Context(prec=digits, rounding=rounding).plus(Decimal(f"{end:.12g}"))
    return f"{float(short) if abs(end) > 1e-12 else 0.0:.{digits}g}"
