"""One's own data as text: a strict reader of CSV files, which names the line and the column of what it refuses."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrev.data.dataset import Dataset
from genrev.data.features import as_features, box
from genrev.data.labels import check_classes
from genrev.errors import FileError

_DELIMITERS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
"""From the rarest within a field to the commonest: the first of two that fit alike is taken."""

_SAMPLE = 50
"""How many rows tell what stands between fields."""

_HEAD = 2**20
"""How many characters are looked at for that."""

_SHOWN = 40
"""How many characters of a field a sentence shows."""

_SOME, _EACH = 12, 4
"""More whole numbers than some, with fewer rows for each than classes need, are measurements and no labels."""

_DIGITS = 18
"""Of a label that is a number, at most: no data have as many classes."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+(\.0*)?")
_NO_NUMBER = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


def table(path: str | Path) -> Dataset:
    """Read a CSV file: columns of numbers, the last one the label.

    Fields are separated by commas, semicolons or tabs, whichever fits the first 50 rows, and may stand in double
    quotes; numbers have a decimal point. The first row is a header if all of its fields but the last are text or empty,
    at least one of them text; no two of its names are the same. Blank lines are skipped. The file is text in UTF-8,
    with or without a byte order mark.

    Args:
        path: of the file. Labels are the whole numbers 0, 1, 2, ... without a gap, or names.

    Returns:
        Inputs `(n, columns - 1)` in units of their own, in the box from each column's least to its greatest value in
        the file, so that what is held out lies inside; a column may be constant. Classes are in the order of their
        numbers, or sorted by name. Columns are named as in the header, if there is one.

    Raises:
        FileError: the file is missing, no text, ragged or empty, a field is no number, labels skip a number or are all
            the same.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "own.csv")
        ...     _ = file.write_text("length,width,kind\\n1.5,20,short\\n7.5,30,long\\n")
        ...     data = table(file)
        >>> data, data.space.high.tolist()
        (Dataset(2 inputs (2,); classes long, short), [7.5, 30.0])
    """
    path = Path(path)
    text = _text(path)
    sheet = _Sheet(path, underscores="_" in text)
    for line, row in _rows(text, path):
        sheet.add(line, row)
    inputs = sheet.inputs()
    names, labels = sheet.classes()
    return Dataset(inputs, labels, names, box(inputs), sheet.columns())


@dataclass
class _Sheet:
    """The rows of a file, as far as they were read.

    Args:
        path: of the file.
        underscores: whether it holds any: Python takes 1_000 for a number.
    """

    path: Path
    underscores: bool
    header: list[str] | None = None
    width: int = 0
    values: array[float] = field(default_factory=lambda: array("d"))
    labels: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, line: int, row: list[str]) -> None:
        """Take a row over: the first one as the header, if it is one."""
        if not self.width:
            self.width = len(row)
            if self.width < 2:
                raise FileError(
                    f"expected columns of numbers and a label, separated by {_or(_DELIMITERS.values())}, got one "
                    f"column in line {line} of {self.path}; add the label as the last column"
                )
            if self._is_header(line, row):
                self.header = _header(line, row, self.path)
                return
        if len(row) != self.width:
            raise FileError(
                f"expected {self.width} fields in every line, got {len(row)} in line {line} of {self.path}; fill the "
                "gaps, or leave the row out"
            )
        try:
            if self.underscores and "_" in "".join(row[:-1]):
                raise ValueError
            self.values.extend(map(float, row[:-1]))
        except ValueError:
            raise self._no_number(line, row) from None
        label = row[-1].strip()
        if not label or _NO_NUMBER.fullmatch(label):
            raise FileError(
                f"expected a label in {self.place(line, self.width - 1)}, got {_shown(label)}; fill it in, or leave "
                "the row out"
            )
        self.labels.append(label)
        self.lines.append(line)

    def inputs(self) -> torch.Tensor:
        """Return the features, float32 `(n, width - 1)`."""
        if not self.lines:
            raise FileError(
                f"expected rows of numbers, each with a label, got none in {self.path}; check that this is the "
                "right file"
            )
        values = np.frombuffer(self.values).reshape(len(self.lines), -1)
        if not np.isfinite(values).all():
            row, column = (int(at) for at in np.argwhere(~np.isfinite(values))[0])
            raise FileError(
                f"expected a finite number in {self.place(self.lines[row], column)}, got {values[row, column]}; leave "
                "the row out"
            )
        return as_features(values, self.title, self.path)

    def classes(self) -> tuple[tuple[str, ...], torch.Tensor]:
        """Return the names of the classes, and the number of every row's."""
        seen, name = sorted(set(self.labels)), self.header[-1] if self.header else ""
        title = f"the last column ({name})" if name else "the last column"
        numbers = [label for label in seen if _NUMBER.fullmatch(label)]
        words = [label for label in seen if not _NUMBER.fullmatch(label)]
        if numbers and words:
            raise FileError(
                f"expected the labels in {title} to be all numbers or all names, got {self._where(numbers[0])} and "
                f"{self._where(words[0])} of {self.path}; write them alike"
            )
        odd = [label for label in numbers if not _WHOLE.fullmatch(label)]
        if odd:
            raise self._measured(odd[0], title)
        # Python refuses to read whole numbers of thousands of digits.
        values: dict[str, Any] = {label: int(label.partition(".")[0][:_DIGITS]) for label in numbers}
        values |= {word: word for word in words}
        classes = sorted(set(values.values()))
        if numbers and _SOME < len(classes) != classes[-1] + 1 and _EACH * len(classes) > len(self.labels):
            raise self._measured(self.labels[0], title)
        check_classes(classes, title, self.path)
        places = {value: number for number, value in enumerate(classes)}
        return tuple(map(str, classes)), torch.tensor([places[values[label]] for label in self.labels])

    def _measured(self, label: str, title: str) -> FileError:
        """Return what is said of numbers that tell no classes apart."""
        return FileError(
            f"expected the labels in {title} to be names, or the numbers 0, 1, 2, ..., got {self._where(label)} of "
            f"{self.path}; put the column of labels last, or write words such as 'low' and 'high' for ranges of "
            "these values"
        )

    def columns(self) -> tuple[str, ...]:
        """Return the names of the features; none without a header."""
        if self.header is None:
            return ()
        names = [name or self.title(column) for column, name in enumerate(self.header[:-1])]
        # Long names that differ were cut to be alike.
        return tuple(names) if len(set(names)) == len(names) else tuple(map(self.title, range(len(names))))

    def title(self, column: int) -> str:
        """Return what a person calls a column, counted from 0."""
        name = "" if self.header is None else self.header[column]
        return f"column {column + 1} ({name})" if name else f"column {column + 1}"

    def place(self, line: int, column: int) -> str:
        """Return where a field stands."""
        return f"line {line}, {self.title(column)}, of {self.path}"

    def _is_header(self, line: int, row: list[str]) -> bool:
        """Return whether a first row names the columns; one that names some of them is an oversight."""
        filled = [place for place, text in enumerate(row[:-1]) if text.strip()]
        names = [place for place in filled if not _like_a_number(row[place])]
        if names and len(names) < len(filled):
            number = next(place for place in filled if place not in names)
            raise FileError(
                f"expected names or numbers in all columns but the last of line {line} of {self.path}, got "
                f"{_shown(row[names[0]])} in column {names[0] + 1} and {_shown(row[number])} in column {number + 1}; "
                "name every column with a word, or give a number in each"
            )
        return bool(names)

    def _no_number(self, line: int, row: list[str]) -> FileError:
        column = next(place for place, text in enumerate(row[:-1]) if not _reads(text))
        text = row[column].strip()
        place = self.place(line, column)
        if not text:
            return FileError(f"expected a number in {place}, got an empty field; fill it in, or leave the row out")
        if _DECIMAL_COMMA.fullmatch(text):
            return FileError(
                f"expected a number with a decimal point in {place}, got {_shown(text)}; write "
                f"{text.replace(',', '.')[:40]}, in the whole file"
            )
        return FileError(
            f"expected a number in {place}, got {_shown(text)}; leave the row or the column out, or put it last if it "
            "is the label"
        )

    def _where(self, label: str) -> str:
        return f"{_shown(label)} in line {self.lines[self.labels.index(label)]}"


def _text(path: Path) -> str:
    """Return a file as text."""
    if not os.path.isfile(path):
        raise FileError(f"expected a CSV file, got {path}, which is no file; check the path")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FileError(f"expected a file that can be read, got {path} ({error}); check its permissions") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FileError(
            f"expected a CSV file as text in UTF-8, got byte {raw[error.start]:#04x} in line {line} of {path}; save it "
            "as 'CSV UTF-8'"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise FileError(
            f"expected a CSV file as text in UTF-8, got a zero byte in line {line} of {path}; save it as 'CSV UTF-8'"
        )
    return text


def _rows(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give each row that is not blank, with the number of the line that it ends in."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), skipinitialspace=True, strict=True)
    try:
        for row in reader:
            if len(row) > 1 or any(field.strip() for field in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise FileError(
            f"expected fields of at most {csv.field_size_limit()} characters with their quotes in pairs, got line "
            f"{reader.line_num} of {path} ({error}); write that row again"
        ) from None


def _delimiter(text: str) -> str:
    """Return what stands between fields: what cuts the first rows into as many each, all numbers but the last."""
    return max(_DELIMITERS, key=lambda delimiter: _fit(_sample(text, delimiter), delimiter))


def _sample(text: str, delimiter: str) -> list[list[str]]:
    head = io.StringIO(text[:_HEAD], newline="")
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        rows.extend(row for row in itertools.islice(csv.reader(head, delimiter=delimiter), _SAMPLE) if row)
    # The last may have been cut in two.
    return rows[:-1] if len(text) > _HEAD and len(rows) > 1 else rows


def _fit(rows: list[list[str]], delimiter: str) -> tuple[bool, bool, int]:
    even = len({len(row) for row in rows}) == 1 and len(rows[0]) > 1
    fields = [text for row in rows[1:] or rows for text in row[:-1]]
    numeric = all(
        _NUMBER.fullmatch(text.strip()) or (delimiter != "," and _DECIMAL_COMMA.fullmatch(text.strip()))
        for text in fields
    )
    return even and numeric, even, len(rows[0]) if rows and not even else 0


def _header(line: int, row: list[str], path: Path) -> list[str]:
    names = [" ".join(name.split())[:_SHOWN] for name in row]
    for place, name in enumerate(row):
        first = row.index(name)
        if name.strip() and first < place:
            raise FileError(
                f"expected different names in the header, line {line} of {path}, got {_shown(name)} in columns "
                f"{first + 1} and {place + 1}; rename one"
            )
    return names


def _like_a_number(text: str) -> bool:
    return any(kind.fullmatch(text.strip()) for kind in (_NUMBER, _DECIMAL_COMMA, _NO_NUMBER))


def _reads(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _shown(text: str) -> str:
    """Return a field as a sentence can show it."""
    return repr(text[:_SHOWN]) + "..." * (len(text) > _SHOWN) if text else "an empty field"


def _or(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"
