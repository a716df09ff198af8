"""Tests of how chains are shown: the film, the figures below it, the drawing against the steps, and their words."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest
from reports import FIGURES, INF, NAN, OUTCOMES, Reader, report, watched

from genrev.report import markdown, render
from genrev.report.chains import Course, chain, course


def given(found: dict[str, Any], shape: tuple[int, ...] = (1, 3, 3)) -> dict[str, Any]:
    return report(shape, chains={"newton": found})


def unjudged(found: dict[str, Any]) -> dict[str, Any]:
    nothing = [None] * len(found["steps"])
    frame = {name: {**each, **dict.fromkeys(FIGURES[:2])} for name, each in found["frame"].items()}
    courses = {**found["courses"], **dict.fromkeys(FIGURES[:2], nothing)}
    classes = [-1] * len(found["classes"])
    return {**found, "courses": courses, "frame": frame, "judged": None, "classes": classes}


def section(page: str) -> str:
    start = page.index('<div class="chain">')
    return page[start : page.index("</section>", start)]


# The film


def test_a_film_has_a_row_a_target_and_a_picture_after_each_number_of_steps() -> None:
    page = render(given(watched([0, 1, 2, 5])))
    reader = Reader(section(page).removesuffix("</section>"))
    assert len(reader.attributes("img")) == 2 * 4
    words = [image["alt"] for image in reader.attributes("img")]
    assert words[0] == "newton after 0 steps, asked for X (0.5, 0.5), residual 0.25, MISSED, judge sees none, not X"
    assert words[1].startswith("newton after 1 step, ")
    assert words[7].startswith("newton after 5 steps, asked for O")
    assert words[7].endswith("judge sees O")
    heads = re.findall(r'<th scope="col">(.*?)</th>', section(page))
    assert heads[1:] == ["0", "1", "2", "5"]
    assert page.count('<div class="chain">') == 1


def test_vectors_are_filmed_as_bars_and_a_short_one_s_values_are_told() -> None:
    page = section(render(given(watched([0, 1], shape=(4,)), (4,))))
    assert page.count('class="bars"') == 4
    assert "x3 0." in page


def test_pictures_that_are_not_finite_are_drawn() -> None:
    found = watched([0, 3])
    found["x"][0, 1] = NAN
    found["residual"][0, 1] = INF
    page = render(given(found))
    assert "residual inf" in section(page)
    assert "Values that are not finite are drawn in magenta" in page


def test_an_outcome_that_only_a_film_shows_is_explained_for_its_card() -> None:
    page = render(given(watched([0, 1])))
    assert f'<li id="outcome-1"><span class="bad">✗</span> {": ".join(OUTCOMES[1])}' in page
    assert 'id="outcome-2"' not in page


def test_a_method_without_chains_has_no_film_in_page_or_text() -> None:
    for text in (render(report()), markdown(report())):
        assert "The chain on its way" not in text
    assert chain(report(), "newton") is None


def test_where_the_chain_is_not_all_of_the_method_it_is_said() -> None:
    assert "to the method's answer." in Reader(render(given(watched([0, 1])))).text
    assert "which the method then goes on from." in Reader(render(given(watched([0, 1], whole=False)))).text


# Figures


def test_the_figures_of_each_number_of_steps_stand_below_its_pictures() -> None:
    found = chain(given(watched([0, 1, 2])), "newton")
    assert [heading for heading, _, _ in found["figures"]] == ["judge", "network", "met", "residual"]
    assert found["figures"][0][2] == ["25.0 %", "50.0 %", "75.0 %"]
    assert found["figures"][3][2] == ["0.75", "0.5", "0.25"]


def test_without_classes_only_what_is_met_and_the_residual_stand_there() -> None:
    found = chain(given(unjudged(watched([0, 1, 2]))), "newton")
    assert [heading for heading, _, _ in found["figures"]] == ["met", "residual"]
    assert found["course"].title.startswith("↑ residual")
    assert "the median residual is 0.75 before the first step and 0.25 after 2 steps" in found["words"]
    assert "(that of random inputs is 0.05)" in found["words"]
    assert "By chance" not in found["words"]


def test_the_words_say_beginning_end_ceiling_and_chance() -> None:
    words = chain(given(watched([0, 1, 4])), "newton")["words"]
    assert words == (
        "One draw for each of 64 targets: the judge sees the class asked for in 25.0 % before the first step and in "
        "75.0 % after 4 steps (in 95.0 % of the real inputs); the network itself in 25.0 % and in 75.0 %. By chance "
        "such a share may be off by 6 percentage points (one standard error, at most)."
    )


def test_markdown_holds_the_same_figures_as_a_table() -> None:
    text = markdown(given(watched([0, 1, 2])))
    assert "| steps | 0 | 1 | 2 |\n| --- | ---: | ---: | ---: |\n| judge | 25.0 % | 50.0 % | 75.0 % |" in text
    assert "the judge sees the class asked for in 25.0 % before" in text


# The drawing


def dots(drawn: Course, place: int = 0) -> list[tuple[float, float]]:
    return drawn.lines[place][3]


def test_shares_rise_upwards_from_none_to_all_and_steps_run_to_the_right() -> None:
    drawn = course(watched([0, 1, 2, 5, 10, 20, 50, 100]))
    assert [kind for kind, *_ in drawn.lines] == ["judge", "network"]
    x, y = zip(*dots(drawn), strict=True)
    assert list(x) == sorted(x)
    assert list(y) == sorted(y, reverse=True)
    assert [words for _, words in drawn.rows] == ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]
    assert drawn.rows[0][0] == drawn.area.bottom
    assert drawn.rows[-1][0] == drawn.area.top
    # The dots lie on the line, and a share at its place between the ticks.
    assert [(float(a), float(b)) for a, b in re.findall(r"[ML]([\d.]+),([\d.]+)", drawn.lines[0][2])] == dots(drawn)
    middle = course(watched([0, 1], courses={**watched([0, 1])["courses"], "judge_agreement": [0.5, 0.5]}))
    assert dots(middle)[0][1] == pytest.approx((middle.area.top + middle.area.bottom) / 2)


def test_equal_ratios_of_steps_are_equal_distances_far_out_and_none_has_its_place() -> None:
    x = [at for at, _ in dots(course(watched([0, 1, 100, 1000, 10000])))]
    assert x[4] - x[3] == pytest.approx(x[3] - x[2], rel=0.02)
    # From 0 to 1 step it is as far as from 1 to 3.
    assert x[1] - x[0] == pytest.approx((x[4] - x[0]) * np.log(2) / np.log(10001), rel=1e-3)


def test_real_and_noise_are_the_frame_of_the_judge_s_share() -> None:
    drawn = course(watched([0, 1, 2]))
    assert [name for _, name in drawn.frame] == ["real", "noise"]
    assert drawn.frame[0][0] < drawn.frame[1][0]


def test_of_the_network_s_share_and_of_residuals_only_noise_is_the_frame() -> None:
    found = watched([0, 1, 2])
    found["courses"]["judge_agreement"] = [None] * 3
    for each, kind in ((found, "network"), (unjudged(found), "residual")):
        drawn = course(each)
        assert [name for _, name in drawn.frame] == ["noise"]
        assert [line[0] for line in drawn.lines] == [kind]


def test_residuals_begin_at_zero_or_where_they_are_far_apart_are_logarithmic() -> None:
    near, far = unjudged(watched([0, 1, 2])), unjudged(watched([0, 1, 2]))
    far["courses"]["residual_median"] = [1.0, 0.1, 0.001]
    assert not course(near).log
    assert course(near).rows[0] == (course(near).area.bottom, "0")
    drawn = course(far)
    assert drawn.log
    heights = [y for _, y in dots(drawn)]
    assert heights[2] - heights[1] == pytest.approx(2 * (heights[1] - heights[0]), rel=0.01)


@pytest.mark.parametrize("values", [[None, 0.5], [0.5, None], [0.0, 0.0], [1e300, 1e-300], [5.0, 5.0]])
def test_odd_residuals_are_drawn_within_the_area(values: list[float | None]) -> None:
    found = unjudged(watched([0, 1]))
    found["courses"]["residual_median"] = values
    found["frame"] = {}
    drawn = course(found)
    assert len(dots(drawn)) == sum(value is not None for value in values)
    for x, y in dots(drawn):
        assert drawn.area.left <= x <= drawn.area.right
        assert drawn.area.top <= y <= drawn.area.bottom
    render(given(found))


def test_a_residual_that_is_not_finite_breaks_the_line() -> None:
    found = unjudged(watched([0, 1, 2]))
    found["courses"]["residual_median"] = [0.5, None, 0.25]
    assert course(found).lines[0][2].count("M") == 2
    assert chain(given(found), "newton")["figures"][-1][2] == ["0.5", "inf", "0.25"]


@pytest.mark.parametrize("steps", [[0], [0, 1], [0, 1, 2, 3], [0, 1, 2, 5, 10, 20, 50, 100, 105], [0, 9, 10**9]])
def test_ticks_stand_apart_and_the_last_number_of_steps_is_always_there(steps: list[int]) -> None:
    drawn = course(watched(steps))
    if len(steps) == 1:
        assert drawn is None
        text = Reader(section(render(given(watched(steps)))).removesuffix("</section>")).text
        assert "in 50.0 %, without a step" in text
        return
    places = [x for x, _ in drawn.columns]
    assert min(b - a for a, b in itertools.pairwise(places)) >= 26 or len(places) == 2
    assert drawn.columns[0][1] == "0"
    assert drawn.columns[-1][1] == str(steps[-1])


def test_without_any_finite_figure_there_is_no_drawing() -> None:
    found = unjudged(watched([0, 1]))
    found["courses"]["residual_median"] = [None, None]
    assert course(found) is None
    assert "the median residual is inf before" in chain(given(found), "newton")["words"]


def test_one_row_is_enough_and_names_are_escaped() -> None:
    found = watched([0, 1], rows=1, count=1)
    evil = "a<u>&'c'"
    page = render(report(chains={evil: found}, names=["<script>X", "O"]))
    assert "<script>X" not in page
    assert "a<u>" not in page
    assert "One draw for one target" in Reader(page).text
