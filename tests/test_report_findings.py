"""Tests of the order of a comparison, of its marks and of its answer in short, on comparisons made by hand."""

from __future__ import annotations

import csv as sheets
import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
from reports import Reader, answer, report, row

from genrev.report import COLUMNS, csv, explanation, markdown, render, table
from genrev.report.findings import COPIES, MARKS, NEARLY, UNLIKE, doubt, mark, order, ordered, tag, variety
from genrev.report.headline import headline

Rows = list[dict[str, Any]]


def figures(name: str, both: float | None = None, recall: float | None = None, **values: Any) -> dict[str, Any]:
    return row(name, **{"converged": 1.0, "both": both, "recall": recall, **values})


def letters() -> Rows:
    """Figures of X/O: a judge of two classes takes noise for one of them half of the time."""
    return [
        figures("real", 0.98, 0.83, coverage=0.97, novelty=1.0),
        figures("noise", 0.04, 0.0, coverage=0.0, novelty=3.0),
        figures("gradient", 0.99, 0.0, coverage=1.0, novelty=1.05),
        figures("retrieval", 0.95, 0.8, coverage=0.97, novelty=0.0),
        figures("retrieval+newton", 0.97, 0.8, coverage=0.97, novelty=0.03),
        figures("cvae", 0.37, 0.43, coverage=1.0, novelty=0.55),
        figures("cvae+newton", 0.97, 0.4, coverage=1.0, novelty=0.55),
    ]


def names(rows: Rows) -> list[str]:
    return [one["inverter"] for one in rows]


def short(rows: Rows) -> str:
    return "".join(piece.text for piece in headline(rows))


# The order


def test_the_frame_stands_first_then_what_fits_and_is_varied_and_copies_last() -> None:
    expected = ["real", "noise", "cvae+newton", "cvae", "gradient", "retrieval+newton", "retrieval"]
    for rows in itertools.permutations(letters()):
        assert names(ordered(rows)) == expected


def test_what_fools_the_judge_without_recall_stands_below_what_is_varied() -> None:
    rows = [figures("real", 1.0, 0.9), figures("smudges", 1.0, 0.0), figures("honest", 0.2, 0.8)]
    assert names(ordered(rows)) == ["real", "honest", "smudges"]


def test_among_equals_in_variety_the_share_that_fits_counts() -> None:
    for recall in (None, 0.0, 0.8):
        rows = [figures("low", 0.1, recall), figures("noise", 0.9, 0.0), figures("high", 0.8, recall)]
        assert names(ordered(rows)) == ["noise", "high", "low"]


def test_among_equals_the_smaller_residual_stands_first_and_one_without_end_last() -> None:
    rows = [
        figures("endless", 0.5),
        figures("rough", 0.5, residual_median=0.1),
        figures("exact", 0.5, residual_median=0.0),
    ]
    assert names(ordered(rows)) == ["exact", "rough", "endless"]


def test_without_a_judge_what_was_met_stands_for_both() -> None:
    rows = [
        figures("exact blurs", recall=0.1),
        figures("a bit of both", recall=0.5, converged=0.5),
        figures("loose", recall=1.0, converged=0.1),
    ]
    assert names(ordered(rows)) == ["a bit of both", "exact blurs", "loose"]


def test_a_small_change_of_a_figure_never_moves_a_row_past_one_that_is_far_from_it() -> None:
    """The marks have thresholds; the order has none but that of copies."""
    better = figures("better", 0.9, 0.8)
    for recall in np.linspace(0, 0.7, 71):
        rows = [figures("real", 1.0, 0.9), better, figures("worse", 0.95, float(recall))]
        assert names(ordered(rows)) == ["real", "better", "worse"]


# Variety


def test_variety_is_the_lesser_of_recall_and_coverage_beside_those_of_real() -> None:
    real = figures("real", 1.0, 0.8, coverage=0.9)
    for recall, coverage in itertools.product((0.0, 0.2, 0.8, 1.0), repeat=2):
        found = variety(figures("a", recall=recall, coverage=coverage), [real])
        assert found == pytest.approx(min(recall / 0.8, coverage / 0.9, 1.0))


def test_neither_blurs_nor_noise_spread_wide_are_varied() -> None:
    real = figures("real", 1.0, 0.9, coverage=0.97)
    blurs, wide = figures("blurs", 1.0, 0.0, coverage=1.0), figures("wide", 1.0, 1.0, coverage=0.0)
    assert variety(blurs, [real]) == variety(wide, [real]) == 0
    assert mark(blurs, [real]) == mark(wide, [real]) == UNLIKE


def test_variety_is_unknown_where_nothing_was_measured_or_real_inputs_show_none() -> None:
    assert variety(figures("a", 0.5), [figures("real", 1.0)]) is None
    assert variety(figures("a", 0.5, 0.5), [figures("real", 1.0, 0.0)]) is None
    assert variety(figures("a", 0.5, 0.5), []) == 0.5


# The marks


def test_marks_are_words_relative_to_the_row_of_real() -> None:
    rows = letters()
    assert {one["inverter"]: mark(one, rows) for one in rows if mark(one, rows)} == {
        "gradient": UNLIKE,
        "retrieval": COPIES,
        "retrieval+newton": NEARLY,
    }
    assert [tag(one, rows) for one in rows[:2]] == ["ceiling", "floor"]


@pytest.mark.parametrize(("recall", "marked"), [(0.0, True), (0.29, True), (0.31, False), (0.9, False)])
def test_less_than_a_third_of_the_variety_of_real_inputs_is_marked(recall: float, marked: bool) -> None:
    rows = [figures("real", 1.0, 0.9), figures("a", 1.0, recall)]
    assert mark(rows[1], rows) == (UNLIKE if marked else "")


def test_what_was_not_measured_is_not_marked() -> None:
    rows = [figures("real", 1.0), figures("a", 1.0)]
    assert mark(rows[1], rows) == ""


def test_every_rendering_has_the_same_order_and_the_same_marks_and_hides_no_figure() -> None:
    given = report(rows=letters())
    given["held_out"]["answers"] = {name: answer(4, 1, (1, 3, 3), 2) for name in names(letters())}
    given["notes"] = dict.fromkeys(names(letters())[2:], "")
    page, text, expected = render(given), markdown(given), names(ordered(letters()))
    marks = [mark(one, letters()) for one in ordered(letters())]

    plain = [re.split(r"\s{2,}", line) for line in table(letters()).splitlines()[1:]]
    assert [line[0] for line in plain] == expected
    assert [line[1 + len(COLUMNS)] if len(line) > 1 + len(COLUMNS) else "" for line in plain] == marks

    read = list(sheets.DictReader(csv(letters()).splitlines()))
    assert [line["inverter"] for line in read] == expected
    assert [line["mark"] for line in read] == marks

    cells = [line.strip("|").split("|")[0] for line in text.splitlines() if line.startswith("|")][2:]
    assert [re.findall(r"[`*]+([^`*]+)[`*]+", cell)[0] for cell in cells] == expected
    assert [(re.findall(r"\((.*)\)", cell) or [""])[0] for cell in cells] == ["ceiling", "floor", *marks[2:]]

    for kind in ("gallery", "figures"):
        rows = re.findall(r'<th scope="row">(.*?)</th>', page[page.index(f'<table class="{kind}') :], re.DOTALL)
        rows = rows[: len(expected)]
        assert [re.sub(r"<[^>]*>", "", re.search(r"<code>(.*?)</code>", one)[1]) for one in rows] == expected
        assert [word for one, word in zip(rows, marks, strict=True) if word and word not in one] == []
    sections = [re.sub(r"<[^>]*>", "", one) for one in re.findall(r"<h3>(.*?)</h3>", page)]
    assert sections == expected[2:] == re.findall(r"^### `(.*)`$", text, flags=re.MULTILINE)


def test_a_mark_that_occurs_is_explained_in_page_markdown_and_shell() -> None:
    given = report(rows=letters())
    for words in MARKS.values():
        for said in (Reader(render(given)).text, markdown(given).replace("\\", "")):
            assert words in said
        assert words in " ".join(explanation(letters()).split())
    assert not any(words in Reader(render(report())).text for words in MARKS.values())


def test_the_order_is_said_in_the_words_of_the_columns() -> None:
    assert order(letters()).startswith(
        "The methods stand in the order of both multiplied by variety (the lesser of recall"
    )
    assert order([figures("a", recall=0.5)]).startswith("The methods stand in the order of met multiplied by variety")
    assert order([figures("a", 0.5)]) == "The methods stand in the order of both; copies stand last."
    given = report(rows=letters())
    for said in (Reader(render(given)).text, markdown(given), " ".join(explanation(letters()).split())):
        assert order(letters()) in said


# In short


def test_the_answer_in_short_is_the_best_of_those_that_invent_what_real_gets_and_who_copies() -> None:
    assert short(letters()) == (
        "Of the methods that invent inputs, cvae+newton comes first: 97.0 % of its inputs give what was asked and look "
        "right to the judge (real 98.0 %, noise 4.0 %). As a set they are less varied than real inputs (recall 0.40, "
        "real 0.83). gradient does as well by that count, but its inputs are unlike real data. retrieval only copies "
        "training inputs. retrieval+newton returns training inputs nearly unchanged."
    )


def test_names_are_set_apart_in_page_and_markdown() -> None:
    given = report(rows=letters())
    assert "invent inputs, <code>cvae+newton</code> comes first" in render(given)
    assert "**In short:** Of the methods that invent inputs, `cvae+newton` comes first" in markdown(given)
    assert {piece.text for piece in headline(letters()) if piece.name} <= set(names(letters()))


def test_where_all_that_invent_are_unlike_real_data_that_is_the_answer() -> None:
    rows = [one for one in letters() if "cvae" not in one["inverter"]]
    assert short(rows).startswith(
        "No method makes inputs that are like real data as a set. gradient comes nearest: 99.0 % of its inputs give "
        "what was asked and look right to the judge (real 98.0 %, noise 4.0 %), but they are blurs, noise or much "
        "alike (recall 0.00, real 0.83). retrieval only copies"
    )


def test_where_nothing_fits_nothing_comes_first() -> None:
    rows = [*letters()[:2], figures("pinv", 0.0, 0.0), figures("other", 0.0, 0.5)]
    assert short(rows) == (
        "No method found an input that gives what was asked and looks right to the judge (real 98.0 %, noise 4.0 %)."
    )
    rows = [figures("real", recall=0.8), figures("a", recall=0.1, converged=0.0)]
    assert short(rows) == "No method found an input that gives what was asked (real 100 %)."


def test_where_all_copy_it_is_said_that_none_invents() -> None:
    rows = [one for one in letters() if one["inverter"] in ("real", "noise", "retrieval")]
    assert short(rows) == "No method here invents inputs. retrieval only copies training inputs."


def test_the_figure_that_says_how_varied_inputs_are_is_the_lesser() -> None:
    real = figures("real", 1.0, 0.8, coverage=0.8)
    assert "(coverage 0.40, real 0.80)" in short([real, figures("a", 1.0, 0.8, coverage=0.4)])
    said = short([real, figures("a", 1.0, 0.79, coverage=1.0)])
    assert "about as varied as real inputs (recall 0.79, real 0.80)" in said


def test_without_a_judge_or_without_recall_nothing_is_said_of_them() -> None:
    unjudged = short([figures("real", recall=0.8), figures("a", recall=0.8), figures("b", recall=0.5)])
    assert unjudged == (
        "Of the methods that invent inputs, a comes first: 100 % of its inputs give what was asked (real 100 %). As a "
        "set they are about as varied as real inputs (recall 0.80, real 0.80). There was no judge."
    )
    assert short([figures("real", 1.0), figures("a", 0.5)]) == (
        "a: 50.0 % of its inputs give what was asked and look right to the judge (real 100 %)."
    )


@pytest.mark.parametrize(("targets", "near"), [(50, True), (5000, False)])
def test_a_method_that_chance_may_have_put_second_is_named_beside_the_first(targets: int, near: bool) -> None:
    rows = [figures("real", 1.0, 0.8), figures("a", 0.97, 0.8), figures("b", 0.93, 0.8), figures("c", 0.4, 0.8)]
    said = "".join(piece.text for piece in headline(rows, targets))
    assert ("b is so near behind that more targets may turn the order round." in said) == near
    assert ("c is" in said, "c are" in said) == (False, False)
    blurs = [*rows, figures("blurs", 0.97, 0.1)]
    assert "blurs" not in "".join(piece.text for piece in headline(blurs, 50)).partition("so near")[0]


def test_two_methods_that_are_always_right_are_named_together() -> None:
    rows = [figures("real", 1.0, 0.8), figures("a", 1.0, 0.8), figures("b", 1.0, 0.8)]
    assert "b is so near behind" in "".join(piece.text for piece in headline(rows, 20))


def test_without_a_method_nothing_is_said() -> None:
    assert headline(letters()[:2]) == headline([]) == []
    assert "In short" not in Reader(render(report(rows=letters()[:2]))).text


def test_a_share_is_in_doubt_by_the_greatest_binomial_standard_error() -> None:
    for n in (1, 40, 1000):
        errors = [math.sqrt(p * (1 - p) / n) for p in np.linspace(0, 1, 101)]
        assert doubt(n) == pytest.approx(max(errors))
