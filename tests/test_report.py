"""Tests of the report: what the page says, what the pictures show, and that it needs nothing else."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from reports import INF, NAN, Reader, answer, report, row, typed

from genrev.report import COLUMNS, explanation, render, table
from genrev.report.captions import Captions
from genrev.report.columns import compact, percent
from genrev.report.pictures import picture, pixels, png

# The page


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere() -> None:
    page = render(report(asked=typed([[0.9, 0.1]]), asked_notes={"newton": "So."}))
    reader = Reader(page)
    assert page.startswith("<!doctype html>")
    assert "http" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert not reader.attributes("link") + reader.attributes("iframe")
    assert all(set(script) <= {"type"} for script in reader.attributes("script"))
    assert all(image["src"].startswith("data:image/png;base64,") for image in reader.attributes("img") if image["src"])


def test_every_method_is_named_with_its_note_and_what_it_is() -> None:
    text = Reader(render(report())).text
    for words in ("real", "noise", "newton", "a<u>&'c'", "It moved <far>.", "It stayed.", "NewtonInverter(steps=7)"):
        assert words in text


def test_everything_that_is_given_is_escaped() -> None:
    given = report(names=["<script>X", "O"])
    page = render(given)
    for raw in ("<u>", "<far>", "<MLP>", "<script>X", "<b>stays"):
        assert raw not in page


def test_the_same_report_gives_the_same_page() -> None:
    assert render(report()) == render(report())


def test_every_column_is_explained() -> None:
    text = Reader(render(report())).text
    for column in COLUMNS:
        assert column.heading in text
        assert " ".join(column.meaning.split()) in text


def test_pictures_come_before_figures_and_typed_targets_before_held_out_ones() -> None:
    text = Reader(render(report(asked=typed([[0.9, 0.1]])))).text
    places = [
        text.index(words) for words in ("typed by hand", "Outputs of held-out", "The figures", "What each method")
    ]
    assert places == sorted(places)


def test_at_most_ten_targets_and_twelve_methods_are_shown_and_the_numbers_are_said() -> None:
    given = report(batch=30)
    answers = {name: answer(30, 1, (1, 3, 3), 2) for name in ("real", "noise", *(f"m{place}" for place in range(20)))}
    given["held_out"]["answers"], given["notes"] = answers, {}
    given["rows"] = []
    reader = Reader(render(given))
    assert len(reader.attributes("img", within="gallery")) == 10 * 14
    assert "10 of 30 targets shown" in reader.text
    assert "14 of 22 rows" in reader.text


def test_the_first_target_of_every_class_is_shown_before_any_second() -> None:
    given = report(batch=40)
    given["held_out"]["classes"] = [0] * 35 + [1] * 5
    headings = [words for words in Reader(render(given)).texts if words in ("X", "O")]
    assert headings == ["X"] * 5 + ["O"] * 5


def test_several_samples_of_a_typed_target_are_shown_with_the_output_they_give() -> None:
    y = np.array([[[0.875, 0.125], [0.75, 0.25]]])
    reader = Reader(render(report(asked=typed([[0.9, NAN]], y=y))))
    assert len(reader.attributes("img", within="gallery")) == 4 * 4 + 2
    for words in ("0.9, any", "0.875,", "0.25"):
        assert words in reader.text


def test_a_method_that_repeats_itself_is_shown_once_and_it_is_said() -> None:
    x = np.zeros((1, 3, 1, 3, 3))
    reader = Reader(render(report(asked=typed([[0.9, 0.1]], 3, x=x))))
    assert len(reader.attributes("img", within="gallery")) == 4 * 4 + 1
    assert "one answer, each time" in reader.text


def test_each_picture_says_its_residual_and_outcome_in_words() -> None:
    given = report()
    given["held_out"]["answers"]["newton"] |= {
        "outcome": np.array([[0], [1], [2], [0]]),
        "residual": np.array([[1e-7], [0.5], [INF], [0.0]]),
        "judged": np.array([[0], [1], [-1], [0]]),
    }
    words = [image["alt"] for image in Reader(render(given)).attributes("img", within="gallery") if image["alt"]]
    newton = [alt for alt in words if alt.startswith("newton")]
    assert newton[0] == "newton, asked for X (0.5, 0.5), residual 1e-7, CONVERGED, judge sees X"
    assert sum("residual inf, STALLED, judge sees none" in alt for alt in newton) == 1


def misread() -> dict[str, Any]:
    """A report whose second original the network takes for an O and the judge for an X."""
    given = report()
    for found in given["held_out"]["answers"].values():
        found["judged"] = np.array([[0], [0], [0], [1]])
    return given


def heads(page: str) -> list[str]:
    """What stands above the columns of the last gallery."""
    last = page[page.rindex('<table class="gallery') :]
    found = re.findall(r"<th scope=\"col\">(.*?)</th>", last[: last.index("</thead>")], re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", one).split()) for one in found]


def test_a_column_is_headed_by_what_the_network_says_of_the_original() -> None:
    assert heads(render(report())) == [
        "asked for what the network says of the original",
        *("network: X 0.5, 0.5", "network: X 0.5, 0.5", "network: O 0.5, 0.5", "network: O 0.5, 0.5"),
    ]


def test_a_column_of_a_typed_target_is_headed_by_what_was_asked() -> None:
    page = render(report(asked=typed([[0.9, 0.1]])))
    assert heads(page[: page.index("Outputs of held-out inputs")]) == ["asked for", "X 0.9, 0.1"]


def test_where_the_judge_reads_an_original_otherwise_the_head_says_so_and_a_note_says_why() -> None:
    page = render(misread())
    assert [head for head in heads(page) if "judge" in head] == ["network: O 0.5, 0.5 judge: X"]
    text = Reader(page).text
    assert "The judge reads 1 of the 4 originals otherwise" in text
    assert "Answers are marked against what was asked all the same" in text


def test_originals_that_are_not_among_those_shown_are_counted_too() -> None:
    given = report(batch=30)
    given["held_out"]["answers"]["real"]["judged"] = 1 - np.array(given["held_out"]["classes"])[:, None]
    assert "The judge reads 30 of the 30 originals otherwise" in Reader(render(given)).text


def test_without_a_judge_or_without_a_difference_no_note_is_needed() -> None:
    agreeing = misread()
    agreeing["held_out"]["answers"]["real"]["judged"] = np.array([[0], [1], [0], [1]])
    for given in (report(), agreeing):
        page = render(given)
        assert "originals otherwise" not in Reader(page).text
        assert not [head for head in heads(page) if "judge" in head]


def test_an_answer_is_marked_against_what_was_asked_in_words_and_not_by_colour_alone() -> None:
    page = render(misread())
    assert "judge: X ≠ O" in Reader(page).text
    words = [image["alt"] for image in Reader(page).attributes("img", within="gallery") if image["alt"]]
    newton = [alt for alt in words if alt.startswith("newton")]
    assert sum(alt.endswith("judge sees X, not O") for alt in newton) == 1
    assert sum(alt.endswith("judge sees O") for alt in newton) == 1


def test_an_original_is_never_marked_as_a_wrong_answer() -> None:
    page = render(misread())
    start = page.index('<tr class="real">')
    originals = page[start : page.index("</tr>", start)]
    assert 'class="bad"' not in originals
    assert "≠" not in originals
    assert originals.count('<span class="other">judge: X</span>') == 1
    assert "the original, network says O (0.5, 0.5), judge sees X, not O" in originals


def test_how_it_was_measured_says_what_its_numbers_are() -> None:
    given = report()
    given["about"] |= {"asked": 2, "neighbours": 5, "torch": "2.6"}
    text = Reader(render(given)).text
    assert "asked 2 · targets typed by hand" in text
    assert "neighbours 5 · the k of recall and coverage" in text
    assert "torch 2.6" in text
    given["about"]["asked"] = 0
    assert "typed by hand" not in Reader(render(given)).text


def test_how_a_method_that_repeats_its_answer_is_counted_is_said() -> None:
    assert "counts as often as it was asked" in Reader(render(report())).text


def test_outcomes_are_counted_and_explained() -> None:
    given = report()
    given["held_out"]["answers"]["newton"]["outcome"] = np.array([[0], [1], [2], [0]])
    text = Reader(render(given)).text
    for words in ("CONVERGED 2 (50.0 %)", "MISSED 1 (25.0 %)", "Draw more.", "No closer."):
        assert words in text


def test_every_outcome_that_occurs_is_explained_and_it_is_said_which_no_picture_shows() -> None:
    given = report(batch=20, asked=typed([[0.9, 0.1]], samples=6))
    for answers in (given["held_out"]["answers"], given["asked"]["answers"]):
        for method in set(answers) - {"real"}:
            answers[method]["outcome"][:] = 1
    # Of twenty targets ten are shown, of six samples four, and of typed targets no noise.
    given["held_out"]["answers"]["newton"]["outcome"][-1] = 2
    given["asked"]["answers"]["newton"]["outcome"][0] = [0, 1, 1, 1, 2, 2]
    given["asked"]["answers"]["noise"]["outcome"][:] = 2
    text = Reader(render(given)).text
    by_hand, held_out = (
        re.search(pattern, text)[1]
        for pattern in (r"1 of 1 targets .*? rows\. (.*?) asked for", r"10 of 20 targets .*? target\. (.*?) asked for")
    )
    assert by_hand == "✓ CONVERGED, ✗ MISSED: explained below."
    assert held_out == "✗ MISSED: explained below."
    legend = text[text.index("Under each picture") : text.index("The figures")]
    assert "MISSED: Draw more. ■ STALLED: No closer. (In none of these pictures, but counted below.)" in legend
    assert "CONVERGED: Within tolerance." in legend


@pytest.mark.parametrize("shape", [(3, 3), (1, 3, 3), (3, 2, 2), (2, 4, 5), (1, 1), (1, 1, 1)])
def test_images_of_any_size_and_number_of_channels_are_pictures(shape: tuple[int, ...]) -> None:
    reader = Reader(render(report(shape)))
    assert len(reader.attributes("img", within="gallery")) == 16
    assert not reader.attributes("svg", within="gallery")


@pytest.mark.parametrize("shape", [(1,), (5,), (200,), (1, 2, 1, 2)])
def test_vectors_are_bars(shape: tuple[int, ...]) -> None:
    reader = Reader(render(report(shape)))
    assert len(reader.attributes("svg", within="gallery")) == 16
    assert not reader.attributes("img")
    assert "drawn as bars" in reader.text


def test_the_range_of_the_pictures_is_said() -> None:
    assert "from 0 (black) to 1 (white), the bounds of the input space" in Reader(render(report())).text
    free = report(fixed=False, low=np.full((1, 3, 3), -2.5))
    assert "from -2.5 (black) to 1 (white), the range of the training inputs" in Reader(render(free)).text


def test_values_that_are_not_finite_are_drawn_apart_and_it_is_said() -> None:
    assert "magenta" not in Reader(render(report())).text
    given = report()
    given["held_out"]["answers"]["newton"]["x"][0] = NAN
    assert "magenta" in Reader(render(given)).text


def test_the_report_knows_no_network_and_no_torch() -> None:
    code = "import sys, genrev.report; print(sorted({'torch', 'jinja2', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Pictures


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (4, 7, 3)])
def test_a_png_is_read_back_as_it_was_by_another_reader(shape: tuple[int, ...]) -> None:
    from matplotlib.image import imread

    shades = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(np.rint(255 * imread(io.BytesIO(png(shades)))).astype(np.uint8), shades)


def test_an_image_is_embedded_whole_and_unscaled() -> None:
    from matplotlib.image import imread

    x = np.array([[[0.0, 1.0], [0.5, 2.0]]])
    shown = picture(x, np.zeros_like(x), np.ones_like(x))
    data = base64.b64decode(shown.source.removeprefix("data:image/png;base64,"))
    assert (shown.width, shown.height) == (2, 2)
    assert imread(io.BytesIO(data)) == pytest.approx(np.array([[0, 1], [128 / 255, 1]]))


def test_one_scale_holds_for_a_whole_image_and_what_lies_beyond_is_at_its_end() -> None:
    assert pixels(np.array([[-9.0, -1.0, 0.0, 1.0, 9.0]]), -1.0, 1.0).tolist() == [[0, 0, 128, 255, 255]]


def test_three_channels_are_colours_and_other_numbers_stand_side_by_side() -> None:
    assert (
        pixels(np.eye(3)[:, :, None], 0.0, 1.0).tolist()
        == (255 * np.eye(3, dtype=int)[:, None]).reshape(3, 1, 3).tolist()
    )
    assert pixels(np.array([[[0.0]], [[1.0]]]), 0.0, 1.0).tolist() == [[0, 255]]


@pytest.mark.parametrize("shape", [(2, 2), (1, 2, 2), (3, 2, 2)])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_pixel_that_is_not_finite_has_a_colour_of_its_own(shape: tuple[int, ...], value: float) -> None:
    x = np.zeros(shape)
    x[..., 1, 0] = value
    assert pixels(x, 0.0, 1.0).tolist() == [[[0, 0, 0]] * 2, [[214, 39, 110], [0, 0, 0]]]


def test_a_range_of_no_width_is_drawn_too() -> None:
    assert pixels(np.ones((1, 1)), 1.0, 1.0).tolist() == [[0]]
    assert picture(np.ones(1), np.ones(1), np.ones(1)).bars == "M1,100V98H9V100z"


def test_bars_rise_and_fall_from_zero_each_in_its_own_range() -> None:
    bars = picture(np.array([5.0, -1.0, 2.0]), np.array([-10.0, -1.0, 1.0]), np.array([10.0, 1.0, 3.0])).bars
    tops = [tuple(map(int, found)) for found in re.findall(r"M\d+,(\d+)V(\d+)H", bars)]
    assert tops == [(50, 25), (50, 100), (100, 50)]


def test_a_bar_of_zero_is_still_seen_and_one_that_is_not_finite_is_marked() -> None:
    shown = picture(np.array([0.0, NAN]), np.zeros(2), np.ones(2))
    assert shown.bars == "M1,100V98H9V100z"
    assert shown.broken == "M11,100V0H19V100z"


# Words and figures


def test_shares_are_all_or_none_only_where_they_are() -> None:
    assert [percent(share) for share in (0.0, 1e-6, 0.25, 0.99999, 1.0)] == [
        "0 %",
        "<0.1 %",
        "25.0 %",
        ">99.9 %",
        "100 %",
    ]


@pytest.mark.parametrize(
    "value", [0.0, 1.0, -0.5, 0.01, float(np.float32(0.01)), 1e-9, 123.4, 999.4, 999.9, 5e12, -3e-5]
)
def test_numbers_are_short_and_keep_two_digits(value: float) -> None:
    text = compact(value)
    assert len(text) <= 7
    assert float(text) == pytest.approx(value, rel=0.05)


def test_the_table_says_inf_for_a_residual_and_a_dash_where_nothing_applies() -> None:
    lines = table([row("real", converged=1.0), row("a longer name", residual_median=1e-7, converged=0.5)]).splitlines()
    assert lines[1].split() == ["real", "inf", "inf", "inf", "100", "%", *"--------"]
    assert len({len(line) for line in lines}) == 1


def test_a_name_can_not_break_the_table() -> None:
    assert len(table([row("a\nb\x1b[31m")]).splitlines()) == 2


def test_a_target_of_many_outputs_is_captioned_by_its_class_or_by_what_was_asked() -> None:
    captions = Captions(None, False)
    target = np.full(10, NAN)
    target[3] = 0.99
    assert captions.target(target, 3) == {"title": "3", "detail": "0.99, rest any", "judged": ""}
    assert captions.target(target, -1) == {"title": "", "detail": "3: 0.99, …", "judged": ""}
    assert captions.target(np.arange(6.0), -1) == {"title": "", "detail": "0, 1, 2, 3, …", "judged": ""}


def test_an_output_is_written_as_one_only_where_it_is_one() -> None:
    captions = Captions(None, False)
    assert captions.target(np.array([0.99996, 4e-5]), 0)["detail"] == ">0.999, <0.001"
    assert captions.target(np.array([1.0, 0.0]), 0)["detail"] == "1, 0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00103, "1.03e-3"),
        (0.0010001, "1.0001e-3"),
        (0.00998, "1e-2"),
        (9.99e-4, "1e-3"),
        (5.96e-7, "6e-7"),
        (0.001, "1e-3"),
        (5.53e-5, "5.5e-5"),
        (0.25, "0.25"),
        (INF, "inf"),
    ],
)
def test_a_residual_just_beyond_the_tolerance_does_not_read_as_the_tolerance(value: float, text: str) -> None:
    given = report()
    given["held_out"]["answers"]["newton"]["residual"][:] = value
    assert f"residual {text}, CONVERGED" in render(given)


def test_recall_stands_before_coverage_because_only_recall_tells_blurs_from_letters() -> None:
    keys = [column.key for column in COLUMNS]
    assert keys.index("recall") + 1 == keys.index("coverage")
    meanings = {column.key: column.meaning for column in COLUMNS}
    assert "blurs" in meanings["recall"]
    assert "recall first" in meanings["coverage"]
    assert "0.97, not 1" in meanings["coverage"]


def test_the_explanation_has_a_short_line_or_two_for_every_column_in_the_order_of_the_table() -> None:
    lines = explanation([row("newton", converged=1.0)]).splitlines()
    headings = table([row("real", converged=1.0)]).splitlines()[0].replace("fit s", "fit").split()[1:]
    firsts = [line for line in lines if line[0] != " "]
    assert [line.split()[0] for line in firsts[2:-3]] == [*headings, "-"]
    assert [line.partition(":")[0] for line in firsts[-3:]] == ["copies", "nearly copies", "unlike real data"]
    assert max(map(len, lines)) <= 110
    assert len(lines) <= 26
    assert "real" in lines[0]
    assert "measured in the same way" in lines[0]


@pytest.mark.parametrize(("met", "said"), [(0.0, False), (0.056, True)])
def test_how_noise_can_meet_targets_is_said_where_it_does(met: float, said: bool) -> None:
    rows = [row("noise", converged=met), row("newton", converged=1.0)]
    assert ("drawn without a look" in explanation(rows)) == said
    assert ("drawn without a look" in Reader(render(report(rows=rows))).text) == said


def test_infinity_beyond_a_narrow_range_is_drawn() -> None:
    narrow = np.array([0.25, 0.25])
    drawn = picture(np.array([INF, -INF]), narrow, narrow + 1e-3)
    assert drawn.bars == ""
    assert drawn.broken.count("M") == 2
    assert pixels(np.full((1, 1), INF), 0.25, 0.251).tolist() == [[[214, 39, 110]]]
