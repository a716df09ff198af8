"""The saved object of a comparison: its table, its report, its files, and how they are read back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from genrev.comparison.chain import Chain
from genrev.comparison.figures import Answer, Row
from genrev.comparison.plain import plain
from genrev.comparison.whole import expect_whole
from genrev.errors import FileError
from genrev.files import check_path, output_folder, write_bytes
from genrev.report import csv, markdown, render, table
from genrev.tensor_files import read_tensors, write_tensors

_KIND = "comparison"
_SAMPLES, _FIGURES = "samples.safetensors", "comparison.json"
_PAGE, _TEXT, _SHEET = "report.html", "report.md", "figures.csv"

_FORMAT = 2
"""Of what stands in a comparison's file: 2 knows the nearest training inputs and the courses of training."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several inverters side by side, on the same targets.

    Args:
        rows: the figures: "real", "noise", then each inverter.
        summaries: by inverter, a sentence on how it picks its inputs.
        notes: by inverter, what it did on the held-out targets and why it failed where it did.
        inputs: ``(n, *input_shape)``: the held-out inputs.
        targets: ``(n, *output_shape)``: their outputs.
        answers: by row, what was found for the targets.
        asked: ``(batch, *output_shape)``: targets typed by hand, NaN where any value will do; or None.
        asked_notes: by inverter, what it did on those.
        asked_answers: by row but "real", what was found for those.
        histories: by inverter, the losses of each training that it rests on; see `genrev.comparison.learning.curves`.
        chains: by inverter that draws by chains, what these come to on their way; see `genrev.comparison.Chain`.
        training_rows: ``(k,)`` integers: the numbers of the training inputs that stand beside answers in the report.
        training_inputs: ``(k, *input_shape)``: those inputs.
        tolerance: the residual that counts as met: a number, or a tensor with one for each output.
        names: a name for each class, or None.
        columns: a name for each value of an input, or None.
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
    summaries: dict[str, str]
    notes: dict[str, str]
    inputs: Tensor
    targets: Tensor
    answers: dict[str, Answer]
    asked: Tensor | None
    asked_notes: dict[str, str]
    asked_answers: dict[str, Answer]
    histories: dict[str, list[dict[str, Any]]]
    chains: dict[str, Chain]
    training_rows: Tensor
    training_inputs: Tensor
    tolerance: float | Tensor
    names: list[str] | None
    columns: list[str] | None
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
        return render(plain(self))

    def markdown(self) -> str:
        """Return the report without its pictures, for a README."""
        return markdown(plain(self))

    def csv(self) -> str:
        """Return the figures for a spreadsheet: a line a row, empty where one does not apply."""
        return csv([asdict(row) for row in self.rows])

    def save_report(self, folder: str | os.PathLike[str]) -> list[str]:
        """Write what is made for people: ``report.html``, ``report.md`` and ``figures.csv``.

        Args:
            folder: where to; made if its parent exists.

        Returns:
            The paths of the files.

        Raises:
            FileError: the folder can't be made or written to.
        """
        pages = self._pages()
        with output_folder(folder) as path:
            _expect_no_folders(path)
            return _write(path, pages)

    def _pages(self) -> dict[str, bytes]:
        # A class or a method may bear the name of a file, which need not be text in any encoding.
        pages = {_PAGE: self.html(), _TEXT: self.markdown(), _SHEET: self.csv()}
        return {name: text.encode(errors="replace") for name, text in pages.items()}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the comparison and its report; the same comparison, the same bytes.

        ``samples.safetensors`` holds all of it, ``comparison.json`` the figures and what was measured how;
        ``report.html``, ``report.md`` and ``figures.csv`` are for people.

        Args:
            folder: where to; made if its parent exists.

        Raises:
            FileError: the folder can't be made or written to.
        """
        # All of it is made before the disk is touched.
        figures = {"rows": [asdict(row) for row in self.rows], "notes": self.notes, "about": self.about}
        text = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        pages = {_FIGURES: text.encode(errors="replace"), **self._pages()}
        tensors, header = _tensors(self), _header(self)
        with output_folder(folder) as path:
            _expect_no_folders(path)
            write_tensors(os.path.join(path, _SAMPLES), tensors, header)
            _write(path, pages)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Comparison:
        """Read what `save` wrote; all of it stands in ``samples.safetensors``, so that no mixture can be read.

        Args:
            folder: where `save` wrote to.

        Raises:
            FileError: the folder or the file is missing, damaged, no comparison, or one of another format.
        """
        check_path(folder)
        _expect_folder(folder)
        path = os.path.join(os.fsdecode(folder), _SAMPLES)
        tensors, header = read_tensors(path)
        try:
            if header["kind"] != _KIND:
                raise ValueError(header["kind"])
            _expect_format(path, header.get("format", 1))
            comparison = _restored(tensors, header)
            expect_whole(comparison)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
            raise FileError(
                f"expected {path!r} to hold a comparison, got a file without its parts; choose a folder that "
                "Comparison.save wrote"
            ) from error
        return comparison


def _write(folder: str, pages: Mapping[str, bytes]) -> list[str]:
    paths = [os.path.join(folder, name) for name in pages]
    for path, data in zip(paths, pages.values(), strict=True):
        write_bytes(path, data)
    return paths


def _expect_folder(folder: str | os.PathLike[str]) -> None:
    name = os.fspath(folder)
    try:
        if os.path.isdir(name):
            return
        got = "a file" if os.path.exists(name) else "nothing there"
    except ValueError:
        got = "no path"
    raise FileError(f"expected a folder that a comparison was saved in at {name!r}, got {got}; check the path")


def _expect_format(path: str, version: Any) -> None:
    if version == _FORMAT:
        return
    if isinstance(version, int) and version > _FORMAT:
        raise FileError(
            f"expected {path!r} to hold a comparison of format {_FORMAT}, got format {version}; update genrev"
        )
    raise FileError(
        f"expected {path!r} to hold a comparison of format {_FORMAT}, got format {version!r:.20}, which an earlier "
        "genrev saved; compare again"
    )


def _expect_no_folders(path: str) -> None:
    """Refuse a folder in the place of any file now, and not once others have been written."""
    names = (_SAMPLES, _FIGURES, _PAGE, _TEXT, _SHEET)
    taken = next((name for name in names if os.path.isdir(os.path.join(path, name))), None)
    if taken is not None:
        raise FileError(f"expected {taken!r} in {path!r} to be a file or free, got a folder; choose another folder")


_TENSORS = ("inputs", "targets", "asked", "training_rows", "training_inputs", "low", "high")
_PLAIN = ("summaries", "notes", "asked_notes", "histories", "names", "about")
_OPTIONAL = ("judged", "nearest", "distance")
_BY_METHOD = ("answers", "asked_answers", "chains")


def _tensors(comparison: Comparison) -> dict[str, Tensor]:
    single = {name: getattr(comparison, name) for name in _TENSORS}
    tensors = {name: value for name, value in single.items() if value is not None}
    tensors["tolerance"] = torch.as_tensor(comparison.tolerance, dtype=torch.float64)
    for kind in _BY_METHOD:
        for method, found in getattr(comparison, kind).items():
            values = {part.name: getattr(found, part.name) for part in fields(found)}
            tensors |= {f"{kind}/{method}/{name}": value for name, value in values.items() if value is not None}
    return tensors


def _header(comparison: Comparison) -> dict[str, Any]:
    return {
        "kind": _KIND,
        "format": _FORMAT,
        "rows": [asdict(row) for row in comparison.rows],
        **{kind: list(getattr(comparison, kind)) for kind in _BY_METHOD},
        "columns": comparison.columns,
        **{name: getattr(comparison, name) for name in _PLAIN},
    }


def _restored(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Comparison:
    tolerance = tensors["tolerance"]

    def parts(kind: type[Answer] | type[Chain], prefix: str) -> dict[str, Any]:
        names = [part.name for part in fields(kind)]
        found = {name: tensors.get(f"{prefix}/{name}") for name in names if name in _OPTIONAL}
        return found | {name: tensors[f"{prefix}/{name}"] for name in names if name not in _OPTIONAL}

    def answers(kind: str) -> dict[str, Answer]:
        return {method: Answer(**parts(Answer, f"{kind}/{method}")) for method in header[kind]}

    return Comparison(
        rows=[Row(**row) for row in header["rows"]],
        answers=answers("answers"),
        asked_answers=answers("asked_answers"),
        # Those saved before chains were watched have none.
        chains={method: Chain(**parts(Chain, f"chains/{method}")) for method in header.get("chains", [])},
        tolerance=float(tolerance) if tolerance.ndim == 0 else tolerance,
        inputs=tensors["inputs"],
        targets=tensors["targets"],
        asked=tensors.get("asked"),
        training_rows=tensors["training_rows"],
        training_inputs=tensors["training_inputs"],
        low=tensors["low"],
        high=tensors["high"],
        # Those saved before there were names for columns have none.
        columns=header.get("columns"),
        **{name: header[name] for name in _PLAIN},
    )
