"""Tests of the parts of a report: what is shown, in which order, and how plots are laid out."""

from __future__ import annotations

import csv as sheets
import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
from reports import INF, NAN, Reader, beside, report, row, typed

from genrev.report import COLUMNS, csv, markdown, render, shown, table
from genrev.report.axes import Axis, around
from genrev.report.choice import PICKS, hits_and_misses
from genrev.report.curves import curve
from genrev.report.findings import ordered
from genrev.report.labels import Box, crosses, line, place
from genrev.report.markdown import escaped
from genrev.report.pictures import SIDE, VALUES, picture
from genrev.report.rerun import warning
from genrev.report.scatter import Scatter, scatter

EVIL = "</script><img src=x onerror=alert(1)>\"'`|*_\n# h {{7*191}}"


def figures(name: str, both: float | None = None, **values: Any) -> dict[str, Any]:
    return row(name, **{"converged": 1.0, "both": both, **values})


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [one["inverter"] for one in rows]


# Choice


def hits(residual: list[float], outcome: list[int], judged: list[int] | None, classes: list[int]) -> Any:
    found = {
        "residual": np.array(residual)[:, None],
        "outcome": np.array(outcome)[:, None],
        "judged": None if judged is None else np.array(judged)[:, None],
    }
    good, bad = hits_and_misses(found, classes)
    return [target for target, _ in good], [target for target, _ in bad]


def test_hits_are_met_and_seen_right_and_misses_are_the_worst_first() -> None:
    residual, outcome = [1e-5, 1e-6, 0.5, INF, 1e-7], [0, 0, 1, 4, 0]
    assert hits(residual, outcome, [0, 0, 0, -1, 1], [0] * 5) == ([1, 0], [3, 2, 4])


def test_where_no_class_is_asked_for_the_judge_has_no_say() -> None:
    assert hits([0.0, 0.0], [0, 0], [3, 4], [-1, -1]) == ([0, 1], [])
    assert hits([0.0, 0.5], [0, 1], None, [2, 2]) == ([0], [1])


def test_no_more_than_a_few_are_picked_and_what_is_nan_is_worst() -> None:
    count = 3 * PICKS
    good, bad = hits([*np.linspace(0.1, 0.9, count - 1), NAN], [1] * count, None, [0] * count)
    assert good == []
    assert bad == [count - 1, count - 2, count - 3, count - 4]


def test_all_that_stands_as_a_picture_is_said_to_be_shown() -> None:
    given = beside(report(batch=30, asked=typed([[0.9, 0.1]] * 12, samples=6)))
    page = Reader(render(given))
    pictures = shown(given)
    assert len(page.attributes("figure", within="gallery")) == sum(
        len(places)
        if key == "held_out" and name in ("real", "noise")
        else min(len(places), 10)
        if key == "held_out"
        else 40
        for key, methods in pictures.items()
        for name, places in methods.items()
        if key == "held_out" or name != "noise"
    )
    picked = sum(len(places) - 10 for places in pictures["held_out"].values())
    assert len(page.attributes("figure", within="picks")) == picked


# Axes and labels


@pytest.mark.parametrize("values", [(1e-9, 3.0), (0.5, 0.5), (1e-300, 1e300), (5e-324, 1.0), (1.0, 1e308)])
def test_a_logarithmic_axis_holds_its_values_between_powers_of_ten(values: tuple[float, float]) -> None:
    axis = Axis(*around(values, log=True), 0.0, 100.0, log=True)
    assert 0 <= axis.at(values[0]) <= axis.at(values[1]) <= 100
    ticks = axis.ticks(6)
    assert 1 <= len(ticks) <= 6
    assert all(math.log10(tick) == pytest.approx(round(math.log10(tick))) for tick in ticks)


@pytest.mark.parametrize("values", [(0.0, 1.0), (-3.0, 7e5), (2.5, 2.5), (0.0, 0.0), (1e-12, 2e-12), (-1e9, -1e9)])
def test_a_plain_axis_holds_its_values_and_has_few_round_ticks(values: tuple[float, float]) -> None:
    low, high = around(values)
    assert low < values[0] <= values[1] < high
    ticks = Axis(low, high, 0.0, 100.0).ticks(5)
    assert 1 <= len(ticks) <= 6
    assert ticks == sorted(ticks)
    assert all(low <= tick <= high for tick in ticks)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["spread", "one place", "one line", "in a corner"])
@pytest.mark.parametrize("across", [350.0, 700.0])
def test_labels_overlap_neither_each_other_nor_any_point(kind: str, across: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    spots = random.random((14, 2)) * [across, 400]
    if kind == "one place":
        spots[:] = spots[0]
    elif kind == "one line":
        spots[:, 1] = 200
    elif kind == "in a corner":
        spots = spots / 40
    texts = ["cvae+newton", "pinv", "a rather long name"] * 5
    area = Box(0, 0, across, 400)
    boxes = place([tuple(spot) for spot in spots.tolist()], texts[:14], 13, area)
    for one, other in itertools.combinations(boxes, 2):
        assert not one.meets(other)
    for (x, y), box in itertools.product(spots.tolist(), boxes):
        assert not box.meets(Box(x - 5, y - 5, x + 5, y + 5))
    assert all(area.holds(box) for box in boxes)


@pytest.mark.parametrize("seed", range(4))
def test_a_line_crosses_a_box_where_points_of_it_lie_within(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Whole numbers make lines along axes and through corners common.
    for _ in range(300):
        (x, y), (to_x, to_y), (a, b), (c, d) = random.integers(0, 5, (4, 2)).tolist()
        box = Box(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1)
        steps = np.linspace(0, 1, 1201)[:, None]
        dots = (1 - steps) * [x, y] + steps * [to_x, to_y]
        # A hair in from the edges, for a line along one is not within.
        inside = (dots > np.array([box.left, box.top]) + 1e-9) & (dots < np.array([box.right, box.bottom]) - 1e-9)
        assert crosses(((x, y), (to_x, to_y)), box) == bool(inside.all(1).any())


@pytest.mark.parametrize("seed", range(5))
def test_no_line_to_a_label_runs_through_another_where_there_is_room(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Nearly one point: each but the first few labels needs a line.
    spots = [tuple(spot) for spot in (random.random((8, 2)) * 4 + [300, 60]).tolist()]
    boxes = place(spots, ["retrieval+newton"] * 8, 13, Box(0, 0, 700, 400))
    lines = [line(spot, box) for spot, box in zip(spots, boxes, strict=True)]
    for one, box in itertools.permutations(range(8), 2):
        assert not crosses(lines[one], boxes[box])


def test_labels_without_any_room_are_placed_all_the_same() -> None:
    area = Box(0, 0, 30, 10)
    assert len(place([(5, 5)] * 9, ["much too long"] * 9, 13, area)) == 9


# The plot


def plot(rows: list[dict[str, Any]], tolerances: tuple[float, ...] = (1e-3,), across: float = 760.0) -> Scatter:
    found = scatter(rows, tolerances, across, 460.0)
    assert found is not None
    return found


def spots(found: Scatter) -> dict[str, Any]:
    return {point.name: point for point in found.points}


def seen(name: str, residual: float | None, judge: float, **values: Any) -> dict[str, Any]:
    return figures(name, judge, residual_median=residual, judge_agreement=judge, **values)


def test_exact_is_left_and_plausible_is_up() -> None:
    found = spots(plot([seen("good", 1e-6, 0.9), seen("bad", 0.5, 0.1)]))
    assert found["good"].x < found["bad"].x
    assert found["good"].y < found["bad"].y


def test_equal_ratios_of_residuals_are_equal_distances_and_the_tolerance_is_drawn_in_the_same_scale() -> None:
    found = plot([seen("a", 1e-5, 0.5), seen("b", 1e-3, 0.5), seen("c", 1e-1, 0.5)])
    a, b, c = (point.x for point in sorted(found.points, key=lambda point: point.name))
    assert b - a == pytest.approx(c - b, abs=0.02)
    assert found.tolerance == (b, b)


def test_no_residual_and_one_without_end_stand_in_strips_of_their_own() -> None:
    found = plot([seen("real", 0.0, 1.0), seen("a", 1e-5, 0.5), seen("broken", None, 0.1)])
    (start, end), (begin, last) = found.strips
    points = spots(found)
    assert start < points["real"].x < end < points["a"].x < begin < points["broken"].x < last
    assert [words for _, words, line in found.columns if not line] == ["0", "inf"]
    assert "residual inf" in points["broken"].words


def test_with_only_exact_methods_the_tolerance_makes_the_axis() -> None:
    found = plot([seen("real", 0.0, 1.0), seen("a", 0.0, 0.5)])
    assert found.area.left < found.tolerance[0] < found.area.right


def test_tolerances_of_several_outputs_are_a_band() -> None:
    low, high = plot([seen("a", 1e-5, 0.5)], (1e-3, 1e-2, 1e-1)).tolerance
    assert low < high


def test_real_and_noise_are_the_frame() -> None:
    found = plot([seen("real", 0.0, 0.97), seen("noise", 0.5, 0.1), seen("a", 1e-5, 0.5)])
    points = spots(found)
    assert [(y, name) for y, name, _ in found.frame] == [(points[name].y, name) for name in ("real", "noise")]
    assert points["a"].kind == "method"


@pytest.mark.parametrize(
    ("values", "measure"), [({"recall": 0.5, "coverage": 0.5}, "recall"), ({"coverage": 0.5}, "coverage")]
)
def test_without_a_judge_recall_stands_for_it_and_then_coverage(values: dict[str, float], measure: str) -> None:
    assert plot([figures("a", residual_median=0.1, **values)]).measure.key == measure


def test_where_nothing_says_how_real_inputs_look_there_is_no_plot_and_the_page_says_so() -> None:
    assert scatter([figures("a", residual_median=0.1)], [1e-3], 700, 400) is None
    assert "There is no plot" in Reader(render(report())).text


def test_a_method_without_a_judge_s_view_is_named_below_the_plot() -> None:
    assert plot([seen("a", 0.1, 0.5), figures("b", residual_median=0.1)]).missing == ["b"]


@pytest.mark.parametrize("across", [370.0, 760.0])
def test_labels_of_many_methods_at_one_point_are_all_legible(across: float) -> None:
    found = plot([seen(f"method+number{place}", 1e-6, 0.97) for place in range(12)], across=across)
    boxes = [
        Box(point.left, point.base - found.letter, point.left + 8.5 * len(point.label), point.base)
        for point in found.points
    ]
    assert not any(one.meets(other) for one, other in itertools.combinations(boxes, 2))
    assert sum(bool(point.leader) for point in found.points) >= 8


def test_marked_rows_are_hollow_say_so_and_never_hide_the_first() -> None:
    rows = [
        seen("real", 0.0, 0.9, recall=0.9, novelty=1.0),
        seen("cvae", 1e-5, 0.9, recall=0.8, novelty=0.9),
        seen("copy", 1e-5, 0.9, recall=0.9, novelty=0.0),
        seen("blurs", 1e-5, 0.9, recall=0.0, novelty=0.9),
    ]
    found = plot(rows)
    assert [point.name for point in found.points if point.hollow] == ["blurs", "copy"]
    assert "blurs: residual 1e-5, judge 90.0 %, unlike real data; copy: residual 1e-5, judge 90.0 %, copies" in (
        found.words
    )
    page = render(report(rows=rows))
    assert page.count('class="point method hollow"') == 2 * 2
    assert "Hollow points" in Reader(page).text
    assert "Hollow points" not in Reader(render(report(rows=rows[:2]))).text
    drawn = page[page.index('<svg class="plot') :]
    assert drawn.index(">copy</text>") < drawn.index(">cvae</text>")


def test_every_point_is_said_in_words_for_those_who_can_not_see_it() -> None:
    rows = [seen("real", 0.0, 1.0), seen("a", 1e-5, 0.5)]
    assert plot(rows).words == "real: residual 0, judge 100 %; a: residual 1e-5, judge 50.0 %"
    drawings = Reader(render(report(rows=rows))).attributes("svg", within="scatter")
    assert [drawing["role"] for drawing in drawings] == ["img", "img"]
    assert all("a: residual 1e-5, judge 50.0 %" in drawing["aria-label"] for drawing in drawings)


# Curves


def history(training: list[float], validation: list[float], best: int) -> dict[str, Any]:
    return {"of": "CVAEInverter", "training": training, "validation": validation, "best": best}


def coordinates(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.]+),([-\d.]+)", path)]


def test_a_curve_falls_with_the_loss_and_the_kept_epoch_lies_on_it() -> None:
    found = curve(history([3.0, 2.0, 1.0], [3.5, 1.5, 2.5], 1))
    lines = {kind: coordinates(path) for kind, path in found.lines}
    assert [y for _, y in lines["training"]] == sorted(y for _, y in lines["training"])
    assert found.kept == lines["validation"][1]
    assert found.columns[0][1] == "1"


def test_without_a_validation_share_the_training_loss_is_marked() -> None:
    found = curve(history([3.0, 2.0], [], 1))
    assert [kind for kind, _ in found.lines] == ["training"]
    assert found.kept == coordinates(found.lines[0][1])[1]
    assert found.words.endswith("epoch 2: training loss 2.")


def test_a_long_training_keeps_its_ends_and_its_best_epoch_and_little_else() -> None:
    losses = np.linspace(5, 1, 20_000).tolist()
    found = curve(history(losses, losses, 7777))
    points = coordinates(found.lines[1][1])
    assert len(points) <= 301
    assert found.kept in points
    assert points[0][0] == found.area.left
    assert points[-1][0] == found.area.right


@pytest.mark.parametrize("losses", [[1.0], [0.5, NAN, 0.25], [INF, 1.0], [-3.0, -4.0], [0.0, 0.0], [1e300, 1e-300]])
def test_odd_losses_are_drawn_within_the_area(losses: list[float]) -> None:
    found = curve(history(losses, [], 0))
    for _, path in found.lines:
        assert "nan" not in path
        assert "inf" not in path
        assert all(found.area.left <= x <= found.area.right for x, _ in coordinates(path))
        assert all(found.area.top <= y <= found.area.bottom for _, y in coordinates(path))


@pytest.mark.parametrize("losses", [[], [NAN], [INF, NAN]])
def test_without_a_finite_loss_there_is_no_curve(losses: list[float]) -> None:
    assert curve(history(losses, [], 0)) is None


def test_losses_that_differ_little_have_ticks_that_differ() -> None:
    words = [text for _, text in curve(history([1.00001, 1.00002], [], 1)).rows]
    assert len(set(words)) == len(words) > 1


def test_the_curves_of_a_method_stand_in_its_section() -> None:
    page = render(report(histories={"newton": [history([2.0, 1.0], [2.0, 1.5], 1)]}))
    newton = page[page.index("<h3><code>newton</code></h3>") : page.index("<h3><code>a&lt;u&gt;")]
    assert "CVAEInverter learned for 2 epochs and kept the weights of epoch 2" in newton
    assert newton.count('class="line validation"') == 2


# Cards


def test_each_picture_knows_its_nearest_training_input_and_how_far_it_is() -> None:
    reader = Reader(render(beside(report())))
    shots = [shot for shot in reader.attributes("figure", within="gallery") if shot["data-name"] == "newton"]
    # The median distance of the originals is 1.5.
    assert [shot["data-near"] for shot in shots] == [
        "It is a copy of training input 7.",
        "The nearest training input, number 7, is 2 away: 1.33 times what is usual for real inputs.",
        "The nearest training input, number 7, is 1 away: 0.67 times what is usual for real inputs.",
        "The nearest training input, number 7, is 3 away: 2.00 times what is usual for real inputs.",
    ]
    assert {shot["data-place"] for shot in shots} == {"0"}
    assert [kept["id"] for kept in reader.attributes("div") if "id" in kept] == ["t0"]
    assert all(
        "nearest training input" in image["alt"] or "copy of" in image["alt"]
        for image in reader.attributes("img", within="gallery")
    )


def test_a_training_input_that_was_not_kept_is_named_without_a_picture() -> None:
    given = beside(report())
    given["training"] = {"rows": [], "x": np.zeros((0, 1, 3, 3))}
    shots = Reader(render(given)).attributes("figure", within="gallery")
    assert not any("data-place" in shot for shot in shots)
    assert all("number 7" in shot["data-near"] or "input 7" in shot["data-near"] for shot in shots)


def test_an_answer_that_is_not_finite_is_near_nothing() -> None:
    given = beside(report())
    given["held_out"]["answers"]["newton"] |= {"nearest": np.full((4, 1), -1), "distance": np.full((4, 1), INF)}
    shots = Reader(render(given)).attributes("figure", within="gallery")
    assert sum("not finite" in shot["data-near"] for shot in shots) == 4


def test_a_card_finds_the_sentence_of_every_outcome() -> None:
    given = report()
    given["held_out"]["answers"]["newton"]["outcome"][:] = 2
    reader = Reader(render(given))
    explained = {item["id"] for item in reader.attributes("li") if "id" in item}
    asked = {f"outcome-{shot['data-outcome']}" for shot in reader.attributes("figure") if shot.get("data-outcome")}
    assert asked <= explained


# Names that are markup


def hostile() -> dict[str, Any]:
    given = beside(report(names=[EVIL, "O"], asked=typed([[0.9, 0.1]])))
    rename = {"newton": EVIL}
    for part in (given["held_out"], given["asked"]):
        part["answers"] = {rename.get(name, name): found for name, found in part["answers"].items()}
    given["rows"] = [seen(EVIL if name == "newton" else name, 1e-5, 0.5) for name in ("real", "noise", "newton")]
    given["notes"] = given["asked_notes"] = given["summaries"] = {EVIL: EVIL}
    given["histories"] = {EVIL: [{**history([2.0, 1.0], [], 1), "of": EVIL}]}
    given["about"] |= {"command": EVIL, "methods": {EVIL: EVIL}, "network": EVIL, EVIL: EVIL, "copies": 2, "targets": 4}
    return given


def test_no_name_becomes_markup_in_text_attribute_drawing_or_script() -> None:
    page = render(hostile())
    reader = Reader(page)
    assert "<img src=x" not in page
    assert page.count("</script>") == 1
    assert not [name for tag, attributes, _ in reader.found for name in attributes if name.startswith("on")]
    assert all((image["src"] or "").startswith("data:image/png") for image in reader.attributes("img"))
    assert "1337" not in re.sub(r"base64,[^\"]*", "", page)
    # The script is the same whatever the names are.
    script = re.search(r"<script>.*</script>", page, re.DOTALL)[0]
    assert script in render(report())


def test_no_name_becomes_markup_in_markdown() -> None:
    text = markdown(hostile())
    fenced = f"```sh\n{EVIL}\n```"
    assert fenced in text
    outside = text.replace(fenced, "")
    assert "\n# h" not in outside
    quoted = re.sub(r"(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)", "", outside)
    assert not re.findall(r"(?<!\\)[<>`|]", "\n".join(line for line in quoted.splitlines() if not line.startswith("|")))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {len(COLUMNS) + 2}


def test_a_line_that_begins_like_a_list_is_none() -> None:
    assert [escaped(text) for text in ("- a", "+ a", "= a", "12. a", "a - 1.", "-1", "0.5")] == [
        *("\\- a", "\\+ a", "\\= a", "&#49;2. a", "a - 1.", "\\-1", "0.5")
    ]


# Markdown and CSV


def test_markdown_says_question_figures_reasons_and_how_to_run_it_again() -> None:
    given = report(histories={"newton": [history([2.0, 1.0], [], 1)]})
    given["about"] |= {
        "command": "genrev compare --data digits",
        "torch": "2.6",
        "threads": 1,
        "data_fingerprint": "abc",
    }
    text = markdown(given)
    places = [
        text.index(words)
        for words in (
            "# Which inputs",
            "## The figures",
            "| method |",
            "## What each method did",
            "### newton",
            "It moves\\.",
        )
        if words in text
    ]
    assert places == sorted(places)
    for words in ("```sh\ngenrev compare --data digits\n```", "- torch: `2.6`", "- threads: `1`", "`abc`", "2 epochs"):
        assert words in text
    assert "base64" not in text
    assert text.endswith("\n")


def test_the_markdown_table_holds_the_figures_of_the_plain_one() -> None:
    rows = [seen("real", 0.0, 1.0), seen("newton", 1e-5, 0.5)]
    text = markdown(report(rows=rows))
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    plain = [re.split(r"\s{2,}", line.strip()) for line in table(ordered(rows)).splitlines()]
    assert [line[1:] for line in cells[2:]] == [line[1:] for line in plain[1:]]


def test_a_sheet_holds_every_figure_with_all_its_digits_and_nothing_for_null() -> None:
    rows = [seen("real", 0.0, 1 / 3), row('a,"b"\nc', converged=0.1)]
    read = list(sheets.DictReader(csv(rows).splitlines(keepends=True)))
    assert list(read[0]) == ["inverter", *(column.key for column in COLUMNS), "mark"]
    assert read[1]["inverter"] == 'a,"b"\nc'
    for given, found in zip(rows, read, strict=True):
        for column in COLUMNS:
            text = found[column.key]
            assert (None if text == "" else float(text)) == given[column.key]


# How to run it again


def test_the_command_is_given_as_it_was_typed() -> None:
    given = report()
    given["about"]["command"] = "genrev compare --data 'my data'"
    text = Reader(render(given)).text
    assert "How to run it again genrev compare --data 'my data'" in text
    assert "no command was given" in Reader(render(report())).text


@pytest.mark.parametrize(
    ("copies", "words"), [(0, ""), (1, "1 of 4 held-out inputs also stands"), (3, "3 of 4 held-out")]
)
def test_held_out_inputs_among_the_training_inputs_are_told(copies: int, words: str) -> None:
    given = report()
    given["about"] |= {"copies": copies, "targets": 4}
    assert warning(given["about"]).startswith(words)
    for text in (Reader(render(given)).text, markdown(given).replace("\\", "")):
        assert ("Take care" in text) == bool(copies)
        assert words in text


# Large pictures


def test_a_large_image_is_shrunk_to_means_and_its_page_says_so() -> None:
    x = np.kron(np.arange(16.0).reshape(4, 4) / 15, np.ones((SIDE, SIDE)))
    small = picture(x, np.zeros_like(x), np.ones_like(x))
    assert (small.width, small.height) == (SIDE, SIDE)
    shape = (1, 2 * SIDE, 3)
    text = Reader(render(report(shape, low=np.zeros(shape), high=np.ones(shape)))).text
    assert f"at most {SIDE} pixels a side" in text


def test_the_mean_of_a_square_is_its_mean_also_where_squares_are_cut() -> None:
    from genrev.report.pictures import _smaller

    x = np.random.default_rng(0).random((3, 2 * SIDE + 5, 7))
    small = _smaller(x)
    assert small.shape == (3, SIDE * 2 // 3 + 2, 3)
    assert small[1, 0, 0] == pytest.approx(x[1, :3, :3].mean())
    assert small[2, -1, -1] == pytest.approx(x[2, 3 * (small.shape[1] - 1) :, 6:].mean())


def test_of_many_bars_the_longest_of_each_few_is_drawn() -> None:
    x = np.zeros(4 * VALUES)
    x[6], x[9] = 1.0, NAN
    drawn = picture(x, np.zeros_like(x), np.ones_like(x))
    assert drawn.width == 10 * VALUES
    assert "M10,100V0H20V100z" in drawn.bars
    assert drawn.broken == "M20,100V0H30V100z"
    assert len(drawn.bars) < 30 * VALUES


# Inputs of few values


def test_a_short_input_s_values_stand_by_name_in_its_words_and_its_card() -> None:
    given = beside(report((2,), columns=["rooms", "age of the <house>"]), (2,))
    given["held_out"]["answers"]["newton"]["x"][0, 0] = [5.25, 1e-5]
    page = render(given)
    reader = Reader(page)
    shot = next(shot for shot in reader.attributes("figure", within="gallery") if shot["data-name"] == "newton")
    assert shot["data-values"].split(" ") == ["5.25", "1e-5"]
    picture_ = next(one for one in reader.attributes("svg", within="gallery") if "newton" in one["aria-label"])
    assert "rooms 5.25, age of the <house> 1e-5" in picture_["aria-label"]
    assert next(kept["data-values"] for kept in reader.attributes("div") if kept.get("id") == "t0") == "0.5 0.5"
    assert "rooms 0 to 1; age of the <house> 0 to 1." in " ".join(reader.text.split())


def test_values_without_names_are_numbered_and_long_inputs_and_images_have_none() -> None:
    assert "x0 0 to 1; x1 0 to 1." in " ".join(Reader(render(report((2,)))).text.split())
    for shape in ((17,), (1, 3, 3), (2, 2)):
        page = render(report(shape))
        assert "data-values" not in page
        assert "from left to right" not in page


def test_bars_too_many_for_a_card_are_named_all_the_same_where_they_have_names() -> None:
    names = [f"column {place}" for place in range(20)]
    page = Reader(render(report((20,), columns=names)))
    assert "; ".join(f"{name} 0 to 1" for name in names) in " ".join(page.text.split())
    assert not any("data-values" in shot for shot in page.attributes("figure", within="gallery"))
