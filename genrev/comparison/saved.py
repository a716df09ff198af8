"""The saved object of a comparison: its table, its report, its three files, and how they are read back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from genrev.comparison.figures import Answer, Row, asked_classes
from genrev.errors import FileError
from genrev.files import check_path, output_folder, read_tensors, write_bytes, write_tensors
from genrev.inverter import Outcome
from genrev.report import render, table

_KIND = "comparison"
_SAMPLES, _FIGURES, _REPORT = "samples.safetensors", "comparison.json", "report.html"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several inverters side by side, on the same targets.

    Args:
        rows: the figures: "real", "noise", then each inverter.
        notes: by inverter, what it did on the held-out targets and why it failed where it did.
        inputs: ``(n, *input_shape)``: the held-out inputs.
        targets: ``(n, *output_shape)``: their outputs.
        answers: by row, what was found for the targets.
        asked: ``(batch, *output_shape)``: targets typed by hand, NaN where any value will do; or None.
        asked_notes: by inverter, what it did on those.
        asked_answers: by row but "real", what was found for those.
        tolerance: the residual that counts as met: a number, or a tensor with one for each output.
        names: a name for each class, or None.
        low: ``input_shape``: where the range of each input value begins: its bound, else the training inputs' least.
        high: ``input_shape``: where it ends.
        about: how it was measured: versions, seed, counts, what the methods are; plain values by name.

    Example:
        >>> from genrev import InputSpace, Network, NewtonInverter, compare
        >>> network = Network(torch.nn.Linear(2, 1), space=InputSpace((2,), 0.0, 1.0))
        >>> x = torch.rand(30, 2)
        >>> found = compare(network, {"newton": NewtonInverter(network)}, x[:10], reference=x[10:20], training=x[20:])
        >>> [row.inverter for row in found.rows]
        ['real', 'noise', 'newton']
    """

    rows: list[Row]
    notes: dict[str, str]
    inputs: Tensor
    targets: Tensor
    answers: dict[str, Answer]
    asked: Tensor | None
    asked_notes: dict[str, str]
    asked_answers: dict[str, Answer]
    tolerance: float | Tensor
    names: list[str] | None
    low: Tensor
    high: Tensor
    about: dict[str, Any]

    def __repr__(self) -> str:
        return f"Comparison({', '.join(row.inverter for row in self.rows)}; {len(self.targets)} targets)"

    def table(self) -> str:
        """Return the figures as an aligned table for a terminal, "-" where one does not apply."""
        return table([asdict(row) for row in self.rows])

    def html(self) -> str:
        """Return the report: one page that needs nothing else, with the pictures and the reasons."""
        return render(_report(self))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``comparison.json``, ``samples.safetensors`` and ``report.html``; the same comparison, the same bytes.

        Args:
            folder: where to; made if its parent exists.

        Raises:
            FileError: the folder can't be made or written to.
        """
        # All of it is made before the disk is touched.
        figures = {"rows": [asdict(row) for row in self.rows], "notes": self.notes, "about": self.about}
        text = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        page, tensors, header = self.html(), _tensors(self), _header(self)
        with output_folder(folder) as path:
            _expect_no_folders(path)
            write_tensors(os.path.join(path, _SAMPLES), tensors, header)
            write_bytes(os.path.join(path, _FIGURES), text.encode())
            write_bytes(os.path.join(path, _REPORT), page.encode())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Comparison:
        """Read what `save` wrote; all of it stands in ``samples.safetensors``, so that no mixture can be read.

        Args:
            folder: where `save` wrote to.

        Raises:
            FileError: the file is missing, damaged, or no comparison.
        """
        check_path(folder)
        path = os.path.join(folder, _SAMPLES)
        tensors, header = read_tensors(path)
        try:
            if header["kind"] != _KIND:
                raise ValueError(header["kind"])
            return _restored(tensors, header)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FileError(
                f"expected {path!r} to hold a comparison, got a file without its parts; choose a folder that "
                "Comparison.save wrote"
            ) from error


def _expect_no_folders(path: str) -> None:
    """Refuse a folder in the place of any file now, and not once others have been written."""
    taken = next((name for name in (_SAMPLES, _FIGURES, _REPORT) if os.path.isdir(os.path.join(path, name))), None)
    if taken is not None:
        raise FileError(f"expected {taken!r} in {path!r} to be a file or free, got a folder; choose another folder")


def _report(comparison: Comparison) -> dict[str, Any]:
    """Return all that the report says, as plain data."""
    about = dict(comparison.about)
    fixed = about.pop("bounded")
    return {
        "rows": [asdict(row) for row in comparison.rows],
        "notes": comparison.notes,
        "asked_notes": comparison.asked_notes,
        "about": about,
        "names": comparison.names,
        "tolerance": repr(torch.as_tensor(comparison.tolerance, dtype=torch.float64).tolist()),
        "low": comparison.low.numpy(),
        "high": comparison.high.numpy(),
        "fixed": fixed,
        "outcomes": {int(outcome): (outcome.name, outcome.sentence) for outcome in Outcome},
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
            name: {key: None if value is None else value.numpy() for key, value in _parts(answer).items()}
            for name, answer in answers.items()
        },
    }


def _parts(answer: Answer) -> dict[str, Tensor | None]:
    """Return the tensors of an answer by name; floats in a type that NumPy knows."""
    values = {part.name: getattr(answer, part.name) for part in fields(Answer)}
    return {
        name: value.double() if value is not None and value.is_floating_point() else value
        for name, value in values.items()
    }


_TENSORS = ("inputs", "targets", "asked", "low", "high")
_PLAIN = ("notes", "asked_notes", "names", "about")


def _tensors(comparison: Comparison) -> dict[str, Tensor]:
    single = {name: getattr(comparison, name) for name in _TENSORS}
    tensors = {name: value for name, value in single.items() if value is not None}
    tensors["tolerance"] = torch.as_tensor(comparison.tolerance, dtype=torch.float64)
    for kind in ("answers", "asked_answers"):
        for method, answer in getattr(comparison, kind).items():
            values = {part.name: getattr(answer, part.name) for part in fields(Answer)}
            tensors |= {f"{kind}/{method}/{name}": value for name, value in values.items() if value is not None}
    return tensors


def _header(comparison: Comparison) -> dict[str, Any]:
    return {
        "kind": _KIND,
        "rows": [asdict(row) for row in comparison.rows],
        "answers": list(comparison.answers),
        "asked_answers": list(comparison.asked_answers),
        **{name: getattr(comparison, name) for name in _PLAIN},
    }


def _restored(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Comparison:
    tolerance = tensors["tolerance"]

    def answer(prefix: str) -> Answer:
        x, y, residual, outcome = (tensors[f"{prefix}/{name}"] for name in ("x", "y", "residual", "outcome"))
        return Answer(x, y, residual, outcome, tensors.get(f"{prefix}/judged"))

    def answers(kind: str) -> dict[str, Answer]:
        return {method: answer(f"{kind}/{method}") for method in header[kind]}

    return Comparison(
        rows=[Row(**row) for row in header["rows"]],
        answers=answers("answers"),
        asked_answers=answers("asked_answers"),
        tolerance=float(tolerance) if tolerance.ndim == 0 else tolerance,
        inputs=tensors["inputs"],
        targets=tensors["targets"],
        asked=tensors.get("asked"),
        low=tensors["low"],
        high=tensors["high"],
        **{name: header[name] for name in _PLAIN},
    )
