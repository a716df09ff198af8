"""Which training inputs a comparison keeps: those that stand beside the answers that its report shows, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genrev.comparison.figures import Answer
from genrev.comparison.plain import plain
from genrev.report import shown

if TYPE_CHECKING:
    from genrev.comparison.saved import Comparison


def keep_neighbours(comparison: Comparison, training: Tensor) -> Comparison:
    """Return the comparison with the training inputs that are nearest to what its report shows.

    Args:
        comparison: whose answers stand beside the training inputs.
        training: ``(t, *input_shape)``, on the CPU.
    """
    pictures = shown(plain(comparison))
    numbers = _numbers(comparison.answers, pictures["held_out"])
    numbers |= _numbers(comparison.asked_answers, pictures.get("asked", {}))
    rows = torch.tensor(sorted(numbers - {-1}), dtype=torch.int64)
    return replace(comparison, training_rows=rows, training_inputs=training[rows].clone())


def _numbers(answers: Mapping[str, Answer], chosen: Mapping[str, Sequence[tuple[int, int]]]) -> set[int]:
    found: set[int] = set()
    for method, places in chosen.items():
        nearest = answers[method].nearest
        found |= set() if nearest is None else {int(nearest[place]) for place in places}
    return found
