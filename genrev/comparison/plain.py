"""A comparison as the plain data that its report is made of: numbers, words and arrays of NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genrev.comparison.chain import courses, first_samples, seen_classes
from genrev.comparison.figures import Answer, told_classes
from genrev.inverter import Outcome
from genrev.report.findings import FRAME

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
        "chains": {name: _chain(comparison, name) for name in comparison.chains},
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
    return {
        "targets": targets.double().numpy(),
        "classes": _classes(comparison, targets).tolist(),
        "answers": {
            name: {part.name: _numpy(getattr(answer, part.name)) for part in fields(Answer)}
            for name, answer in answers.items()
        },
    }


def _classes(comparison: Comparison, targets: Tensor) -> Tensor:
    return told_classes(targets, comparison.about["outputs"], judged=comparison.about["judge"] is not None)


def _chain(comparison: Comparison, name: str) -> dict[str, Any]:
    """Return what a method's chains came to, and beside it real and random inputs for the same targets."""
    chain, wanted = comparison.chains[name], _classes(comparison, comparison.targets)
    end, answer = chain.x[:, -1], comparison.answers[name].x[chain.filmed, 0]
    places, rows = chain.targets, torch.searchsorted(chain.targets, chain.filmed)
    frame = {}
    for row in (row for row in FRAME if row in comparison.answers):
        first = first_samples(comparison.answers[row], places)
        seen = seen_classes(first, comparison.about["outputs"])[:, None]
        frame[row] = courses(first.residual, first.outcome, seen, first.judged, wanted[places])
    return {
        "steps": chain.steps.tolist(),
        "count": len(places),
        "courses": courses(chain.residual, chain.outcome, chain.seen, chain.judged, wanted[places]),
        "frame": {row: {key: values[0] for key, values in each.items()} for row, each in frame.items()},
        "whole": torch.equal(end.nan_to_num(), answer.nan_to_num()),
        "targets": _numpy(comparison.targets[chain.filmed]),
        "classes": wanted[chain.filmed].tolist(),
        "x": _numpy(chain.x),
        "residual": _numpy(chain.residual[rows]),
        "outcome": _numpy(chain.outcome[rows]),
        "judged": None if chain.judged is None else _numpy(chain.judged[rows]),
    }


def _numpy(values: Tensor | None) -> Any:
    """Return an array, floats in a type that NumPy knows."""
    if values is None:
        return None
    return (values.double() if values.is_floating_point() else values).numpy()
