"""Whether the parts of a comparison that was read fit together, so that its report can be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genrev.comparison.chain import Chain
from genrev.comparison.figures import Answer
from genrev.inverter import Outcome

if TYPE_CHECKING:
    from genrev.comparison.saved import Comparison


def expect_whole(comparison: Comparison) -> None:
    """Refuse a comparison whose parts do not fit together.

    Args:
        comparison: as it was read.

    Raises:
        ValueError: some part does not fit; it is named.
    """
    _expect_words(comparison)
    _expect_rows(comparison)
    shape, outputs = tuple(comparison.low.shape), tuple(comparison.targets.shape[1:])
    _expect_tensor("high", comparison.high, shape, floats=True)
    count = len(comparison.targets)
    _expect(count > 0, "targets")
    _expect_tensor("targets", comparison.targets, (count, *outputs), floats=True)
    _expect_tensor("inputs", comparison.inputs, (count, *shape), floats=True)
    kept = len(comparison.training_rows)
    _expect_tensor("training_rows", comparison.training_rows, (kept,), floats=False)
    _expect_tensor("training_inputs", comparison.training_inputs, (kept, *shape), floats=True)
    tolerance = torch.as_tensor(comparison.tolerance, dtype=torch.float64)
    _expect(bool(((tolerance > 0) & tolerance.isfinite()).all()), "tolerance")
    _expect(tolerance.ndim == 0 or tolerance.shape == torch.broadcast_shapes(tolerance.shape, outputs), "tolerance")
    for name, answer in comparison.answers.items():
        _expect_answer(name, answer, count, shape, outputs)
    for name, chain in comparison.chains.items():
        _expect(name in comparison.answers, name)
        _expect_chain(name, chain, count, shape)
    typed = comparison.asked
    _expect((typed is None) == (not comparison.asked_answers), "asked")
    if typed is not None:
        _expect_tensor("asked", typed, (len(typed), *outputs), floats=True)
        for name, answer in comparison.asked_answers.items():
            _expect_answer(name, answer, len(typed), shape, outputs)


def _expect_words(comparison: Comparison) -> None:
    about, names, columns = comparison.about, comparison.names, comparison.columns
    _expect(names is None or _texts(names), "names")
    _expect(columns is None or (_texts(columns) and (len(columns),) == tuple(comparison.low.shape)), "columns")
    _expect(isinstance(about["bounded"], bool) and isinstance(about["outputs"], str), "about")
    _expect(_described(about["methods"]), "about")
    _expect(all(about[key] is None or isinstance(about[key], str) for key in ("command", "judge")), "about")
    _expect(all(type(about[key]) is int for key in ("copies", "targets")), "about")
    for key, answers in (
        ("notes", comparison.answers),
        ("summaries", comparison.answers),
        ("asked_notes", comparison.asked_answers),
    ):
        said = getattr(comparison, key)
        _expect(_described(said) and set(said) <= set(answers), key)
    for curves in comparison.histories.values():
        _expect(isinstance(curves, list) and all(map(_course, curves)), "histories")


def _expect_rows(comparison: Comparison) -> None:
    rows = [asdict(row) for row in comparison.rows]
    _expect([row.pop("inverter") for row in rows] == list(comparison.answers), "rows")
    _expect(bool(rows), "rows")
    _expect(all(value is None or _number(value) for row in rows for value in row.values()), "rows")
    _expect(all(row["converged"] is not None for row in rows), "rows")


def _expect_answer(name: str, answer: Answer, count: int, shape: tuple[int, ...], outputs: tuple[int, ...]) -> None:
    samples = answer.x.shape[1] if answer.x.ndim > 1 else 0
    _expect(samples > 0, name)
    _expect_tensor(name, answer.x, (count, samples, *shape), floats=True)
    _expect_tensor(name, answer.y, (count, samples, *outputs), floats=True)
    _expect_tensor(name, answer.residual, (count, samples), floats=True)
    _expect_outcomes(name, answer.outcome, (count, samples))
    if answer.judged is not None:
        _expect_tensor(name, answer.judged, (count, samples), floats=False)
    _expect((answer.nearest is None) == (answer.distance is None), name)
    if answer.nearest is not None and answer.distance is not None:
        beside = (count, min(samples, answer.nearest.shape[-1]))
        _expect_tensor(name, answer.nearest, beside, floats=False)
        _expect_tensor(name, answer.distance, beside, floats=True)


def _expect_chain(name: str, chain: Chain, count: int, shape: tuple[int, ...]) -> None:
    steps, watched, filmed = len(chain.steps), len(chain.targets), len(chain.filmed)
    for numbers in (chain.steps, chain.targets):
        _expect_tensor(name, numbers, (len(numbers),), floats=False)
        _expect(len(numbers) > 0 and int(numbers[0]) >= 0 and bool((numbers.diff() > 0).all()), name)
    _expect(int(chain.steps[0]) == 0 and int(chain.targets[-1]) < count, name)
    _expect_tensor(name, chain.residual, (watched, steps), floats=True)
    _expect_outcomes(name, chain.outcome, (watched, steps))
    for classes in (chain.seen, chain.judged):
        if classes is not None:
            _expect_tensor(name, classes, (watched, steps), floats=False)
    _expect_tensor(name, chain.filmed, (filmed,), floats=False)
    _expect(filmed > 0 and set(chain.filmed.tolist()) <= set(chain.targets.tolist()), name)
    _expect_tensor(name, chain.x, (filmed, steps, *shape), floats=True)


def _expect_outcomes(name: str, values: Tensor, shape: tuple[int, ...]) -> None:
    _expect_tensor(name, values, shape, floats=False)
    _expect(set(values.unique().tolist()) <= {int(outcome) for outcome in Outcome}, name)


def _expect_tensor(name: str, values: Tensor, shape: tuple[int, ...], *, floats: bool) -> None:
    kinds = (torch.float32, torch.float64) if floats else (torch.int64, torch.int32)
    _expect(values.dtype in kinds and tuple(values.shape) == shape, name)


def _expect(fits: bool, name: str) -> None:
    if not fits:
        raise ValueError(f"{name} does not fit")


def _texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _described(values: Any) -> bool:
    return isinstance(values, Mapping) and _texts(list(values.values()))


def _number(value: Any) -> bool:
    # A whole number may be too large for any figure.
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**53)


def _course(curve: Any) -> bool:
    return (
        isinstance(curve["of"], str)
        and type(curve["best"]) is int
        and all(isinstance(curve[kind], list) and all(map(_number, curve[kind])) for kind in ("training", "validation"))
    )
