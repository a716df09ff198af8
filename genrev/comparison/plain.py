"""A comparison as the plain data that its report is made of: numbers, words and arrays of NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genrev.comparison.figures import Answer, asked_classes
from genrev.inverter import Outcome

if TYPE_CHECKING:
    from genrev.comparison.saved import Comparison


def plain(comparison: Comparison) -> dict[str, Any]:
    """Return all that the report says; see `genrev.report.render` for what each part is.

    Args:
        comparison: any.
    """
    about = dict(comparison.about)
    fixed = about.pop("bounded")
    tolerance = torch.as_tensor(comparison.tolerance, dtype=torch.float64)
    return {
        "rows": [asdict(row) for row in comparison.rows],
        "summaries": comparison.summaries,
        "notes": comparison.notes,
        "asked_notes": comparison.asked_notes,
        "histories": comparison.histories,
        "about": about,
        "names": comparison.names,
        "columns": comparison.columns,
        "tolerance": repr(tolerance.tolist()),
        "tolerances": tolerance.flatten().tolist(),
        "low": comparison.low.numpy(),
        "high": comparison.high.numpy(),
        "fixed": fixed,
        "outcomes": {int(outcome): (outcome.name, outcome.sentence) for outcome in Outcome},
        "training": {
            "rows": comparison.training_rows.tolist(),
            "x": _numpy(comparison.training_inputs),
        },
        "held_out": _part(comparison, comparison.targets, comparison.answers),
        "asked": None if comparison.asked is None else _part(comparison, comparison.asked, comparison.asked_answers),
    }


def _part(comparison: Comparison, targets: Tensor, answers: Mapping[str, Answer]) -> dict[str, Any]:
    outputs = comparison.about["outputs"]
    # Plain values are logits only where a judge says that there are classes.
    classed = outputs != "values" or comparison.about["judge"] is not None
    classes = asked_classes(targets, outputs).tolist() if classed else [-1] * len(targets)
    return {
        "targets": targets.double().numpy(),
        "classes": classes,
        "answers": {
            name: {part.name: _numpy(getattr(answer, part.name)) for part in fields(Answer)}
            for name, answer in answers.items()
        },
    }


def _numpy(values: Tensor | None) -> Any:
    """Return an array, floats in a type that NumPy knows."""
    if values is None:
        return None
    return (values.double() if values.is_floating_point() else values).numpy()
