"""The reader of CSV files: every usual way of writing a table, and one sentence for each way a file can be wrong."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sentences import assert_one_sentence

from genrev.data import load_splits, table
from genrev.errors import ArgumentError, FileError

PLAIN = "5.1,-3,a\n4.9,3e2,b\n.5,+1.,a\n"
X = [[5.1, -3.0], [4.9, 300.0], [0.5, 1.0]]


def put(folder: Path, text: str | bytes) -> Path:
    (folder / "own.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / "own.csv"


def read(folder: Path, text: str | bytes) -> tuple[list[list[float]], list[str]]:
    """Return the inputs and the name of every row's class."""
    data = table(put(folder, text))
    return data.inputs.tolist(), [data.names[label] for label in data.labels]


# What is read


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.rstrip("\n"),
        PLAIN + "\n \n\r\n",
        "\n" + PLAIN.replace("\n", "\n\n"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", " , "),
        "width,height,kind\n" + PLAIN,
        "width,height,1\n" + PLAIN,
        '"the width, in cm","a ""height""","kind\nof thing"\n' + PLAIN,
        "wi;dth,hei;ght,kind\n" + PLAIN,
        "Länge;Höhe;Art\n" + PLAIN.replace(",", ";"),
        ",height,kind\n" + PLAIN,
        '"5.1","-3","a"\n' + PLAIN.partition("\n")[2],
        '5.1, "-3", "a"\n 4.9, 3e2 ,b \n".5","+1."," a"\n',
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_same_table_is_read_however_it_is_written(tmp_path: Path, text: str, mark: str):
    inputs, labels = read(tmp_path, mark + text)
    assert inputs == torch.tensor(X, dtype=torch.float32).tolist()
    assert labels == ["a", "b", "a"]


@pytest.mark.parametrize("dialect", ["excel", "excel-tab", "unix"])
@pytest.mark.parametrize("shape", [(2, 1), (30, 7)])
def test_what_python_writes_comes_back(tmp_path: Path, dialect: str, shape: tuple[int, int]):
    values = np.random.default_rng(0).normal(size=shape) * 10.0 ** np.arange(-3, shape[1] - 3)
    labels = [f"class, {row % 2}" for row in range(shape[0])]
    with open(tmp_path / "own.csv", "w", newline="") as file:
        csv.writer(file, dialect).writerows([*row, label] for row, label in zip(values.tolist(), labels, strict=True))
    data = table(tmp_path / "own.csv")
    np.testing.assert_array_equal(data.inputs.numpy(), values.astype(np.float32))
    assert [data.names[label] for label in data.labels] == labels


def test_numbers_are_classes_in_their_order_and_names_are_sorted(tmp_path: Path):
    labels = [str(number) for number in (11, 3, *range(12))]
    data = table(put(tmp_path, "".join(f"{row},{label}\n" for row, label in enumerate(labels))))
    assert data.names == tuple(map(str, range(12)))
    assert data.labels.tolist() == [11, 3, *range(12)]
    assert read(tmp_path, "1,0.0\n2,1.0\n3,+1\n")[1] == ["0", "1", "1"]
    assert table(put(tmp_path, "1,O\n2,X\n3,Ä\n4,A b\n")).names == ("A b", "O", "X", "Ä")


def test_inputs_live_in_the_box_from_each_column_s_least_to_its_greatest(tmp_path: Path):
    data = table(put(tmp_path, PLAIN.replace(",a", ",7,a").replace(",b", ",7,b")))
    assert data.space.low.float().tolist() == torch.tensor([0.5, -3, 7], dtype=torch.float32).tolist()
    assert data.space.high.float().tolist() == torch.tensor([5.1, 300, 7], dtype=torch.float32).tolist()
    assert bool(data.space.contains(data.inputs).all())


def test_a_header_gives_columns_their_names_in_what_is_said(tmp_path: Path):
    assert "line 4, column 2 (height), of" in refused(tmp_path, "width,height,kind\n" + PLAIN.replace("+1.", "one"))
    assert "line 3, column 2, of" in refused(tmp_path, PLAIN.replace("+1.", "one"))


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("", ()),
        ("width,height,kind\n", ("width", "height")),
        (" the  width ,,kind\n", ("the width", "column 2")),
        (f"{'w' * 50}a,{'w' * 50}b,kind\n", ("column 1 (" + "w" * 40 + ")", "column 2 (" + "w" * 40 + ")")),
    ],
)
def test_columns_are_named_as_in_the_header_and_stay_so_in_every_part(tmp_path: Path, header: str, columns: tuple):
    data = table(put(tmp_path, header + PLAIN))
    assert data.columns == columns
    assert data.take([2, 0]).columns == columns


def test_the_file_is_cut_into_four_parts_of_one_space(tmp_path: Path):
    path = put(tmp_path, "".join(f"{row},{row**2},{row % 2}\n" for row in range(200)))
    parts = load_splits(f"csv:{path}")
    assert [len(part) for part in (parts.train, parts.judge, parts.targets, parts.reference)] == [100, 30, 35, 35]
    assert parts.train.space is parts.reference.space
    assert parts.train.space.high.tolist() == [199.0, 199.0**2]
    few = load_splits(f"csv:{path}", n=20)
    assert len(few.train) == 10
    assert few.train.space.high.tolist() == [199.0, 199.0**2]


# What is refused


def refused(folder: Path, text: str | bytes) -> str:
    path = put(folder, text)
    with pytest.raises(FileError) as caught:
        table(path)
    assert_one_sentence(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))
    return str(caught.value)


BAD: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "expected rows of numbers, each with a label, got none"),
    "a mark alone": ("\ufeff", "got none"),
    "blank lines alone": ("\n \n\n", "got none"),
    "a header alone": ("width,kind\n", "got none"),
    "a zero byte": (b"1,2,a\n3,\x004,b\n", "got a zero byte in line 2"),
    "UTF-16": (PLAIN.encode("utf-16"), "expected a CSV file as text in UTF-8, got byte 0xff in line 1"),
    "Latin letters of another time": ("Länge,Art\n1,a\n".encode("latin-1"), "got byte 0xe4 in line 1"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "got byte 0x89 in line 1"),
    "one column": ("a\nb\n", "separated by tabs, semicolons or commas, got one column in line 1"),
    "spaces between": ("1 2 a\n3 4 b\n", "got one column in line 1"),
    "text": ("1,2,a\n3,x,b\n", "expected a number in line 2, column 2, of .*, got 'x'; leave the row"),
    "a label in the middle": ("1,a,2\n3,b,4\n", "got 'a' in column 2 and '1' in column 1"),
    "text below a header": ("h,k\n1,a\nh,a\n", r"line 3, column 1 \(h\), of .*, got 'h'"),
    "all text": ("a,b,c\nd,e,f\n", r"expected a number in line 2, column 1 \(a\), of .*, got 'd'"),
    "a gap": ("1,2,a\n3,,b\n", "in line 2, column 2, of .*, got an empty field; fill it in"),
    "a gap in the first line": ("1,,a\n3,4,b\n", "in line 1, column 2, of .*, got an empty field"),
    "gaps alone": ("1,2,a\n,,\n", "in line 2, column 1, of .*, got an empty field"),
    "nothing but gaps": (",,\n,,\n", "in line 1, column 1, of .*, got an empty field"),
    "NA": ("1,2,a\n3,NA,b\n", "got 'NA'"),
    "NA in the first line": ("1,NA,a\n3,4,b\n", "got 'NA' in column 2 and '1' in column 1; name every column"),
    "a name that is a number": ("year,2020,kind\n1,2,a\n", "got 'year' in column 1 and '2020' in column 2"),
    "NaN": ("1,2,a\n3,nan,b\n", "expected a finite number in line 2, column 2, of .*, got nan"),
    "infinity": ("h,g,k\n1,2,a\n\n3,-inf,b\n", r"in line 4, column 2 \(g\), of .*, got -inf"),
    "too large to read": ("1,2,a\n3,1e999,b\n", "in line 2, column 2, of .*, got inf"),
    "too large": ("1,2,a\n3,1e16,b\n", "expected values up to 1e[+]15, got 1e[+]16 in column 2"),
    "too alike": ("t,k\n1700000000,a\n1700000100,b\n", r"in column 1 \(t\) of .*; subtract 1.7e[+]09 from it first"),
    "too small": ("1,2e-20,a\n3,1e-20,b\n", "differ by 1e-15 or not at all, got 1e-20 in column 2"),
    "underscores": ("1,2,a\n3,4_0,b\n", "got '4_0'"),
    "hexadecimal": ("1,2,a\n3,0x10,b\n", "got '0x10'"),
    "decimal commas": ("1,5;2,5;a\n2,5;3,5;b\n", "a decimal point in line 1, column 1, of .*, got '1,5'; write 1.5"),
    "decimal commas and names": ("h;g;k\n1;2,5;a\n2;3;b\n", r"in line 2, column 2 \(g\), of .*, got '2,5'; write 2.5"),
    "decimal commas and tabs": ("1,5\t2\ta\n2\t3\tb\n", "got '1,5'; write 1.5"),
    "quoted decimal commas": ('"1,5",2,a\n"2,5",3,b\n', "got '1,5'; write 1.5"),
    "a short row": ("1,2,a\n3,b\n", "expected 3 fields in every line, got 2 in line 2"),
    "a long row": ("1,2,a\n\n3,4,5,b\n", "expected 3 fields in every line, got 4 in line 3"),
    "a short header": ("h,k\n1,2,a\n", "expected 2 fields in every line, got 3 in line 2"),
    "a header twice": ("h,g,h\n1,2,a\n3,4,b\n", "names in the header, line 1 of .*, got 'h' in columns 1 and 3"),
    "no label": ("1,2,a\n3,4,\n", "expected a label in line 2, column 3, of .*, got an empty field"),
    "NaN for a label": ("1,2,0\n3,4,nan\n", "expected a label in line 2, column 3, of .*, got 'nan'"),
    "one class": ("1,a\n2,a\n", "expected at least two classes in the last column, got a alone"),
    "one class of number 0": ("1,0\n2,0\n", "expected at least two classes in the last column, got 0 alone"),
    "one class of number 1": ("1,1\n2,1\n", "expected at least two classes in the last column, got 1 alone"),
    "a skipped class": (
        "h,k\n1,0\n2,1\n3,3\n",
        r"labels in the last column \(k\) to be 0 to 2 without a gap, got 0, 1, 3 .*; number the",
    ),
    "classes from 1": (
        "1,1\n2,2\n",
        "0 to 1 without a gap, got 1, 2 in .*; subtract 1, or write words such as 'class 1'",
    ),
    "classes below 0": ("1,-1\n2,1\n", "without a gap, got -1, 1 in .*; number the classes anew, or write words"),
    "whole measurements": (
        "".join(f"{row},{100 + 7 * row % 40}\n" for row in range(40)),
        "last column to be names, .* got '100' in line 1 of .*; put the column of labels last, or write words such as",
    ),
    "many classes from 1": (
        "".join(f"{row},{1 + row % 20}\n" for row in range(100)),
        "last column to be 0 to 19 .*; subtract 1, or",
    ),
    "classes from -1": ("1,-1\n2,0\n", "without a gap, got -1, 0 in .*; add 1, or write words"),
    "fractions as labels": (
        "1,0\n2,0.5\n",
        "labels in the last column to be names, .* got '0.5' in line 2 of .*; put the column of labels last, or",
    ),
    "numbers and names": ("1,0\n2,b\n3,1\n", "all numbers or all names, got '0' in line 1 and 'b' in line 2"),
    "a number of many digits": ("1,0\n2," + "9" * 9999 + "\n", "without a gap, got 0, 9"),
    "a huge field": ("1,2,a\n" + "1" * 200_000 + ",2,b\n", r"at most 131072 characters .*, got line \d of"),
    "a long text": ("1,2,a\n" + "x" * 9999 + ",2,b\n", "got 'x{40}'[.][.][.];"),
    "an open quote": ('1,2,a\n"3,4,b\n', r"quotes in pairs, got line \d of"),
    "text after a quote": ('1,2,a\n"3"3,4,b\n', "quotes in pairs, got line 2 of"),
    "a line end in a field": ('1,2,a\n"x\ny",4,b\n', r"expected a number in line 3, column 1, of .*, got 'x\\ny'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_wrong_is_refused_in_one_sentence(tmp_path: Path, case: str):
    text, words = BAD[case]
    said = refused(tmp_path, text)
    assert re.search(words, said), said


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(FileError, match=r"expected a CSV file, got .*, which is no file; check the path"):
            table(path)


def test_load_splits_asks_for_the_file_and_for_enough_in_it(tmp_path: Path):
    with pytest.raises(ArgumentError, match='expected "csv:FILE", got "csv" without a file; name the file'):
        load_splits("csv")
    path = put(tmp_path, "1,a\n2,b\n3,a\n4,a\n5,a\n")
    with pytest.raises(ArgumentError, match=r"expected at least 4 examples of each class, .*, got 1 of 'b'"):
        load_splits(f"csv:{path}")
    put(tmp_path, "".join(f"{row},{row % 2}\n" for row in range(20)))
    with pytest.raises(ArgumentError, match="expected n of at most 20, the examples in"):
        load_splits(f"csv:{path}", n=21)
    assert len(load_splits(f"csv:{path}", n=20).train) == 10
