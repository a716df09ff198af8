"""Tests of the report in a browser: it needs nothing, fits phones and desks, and its cards and columns work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import BROWSER, Browser
from reports import answer, beside, report, row, typed, watched

from genrev.report import render

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]

WIDTHS, SCHEMES = (400, 1400), ("light", "dark")
CARD = "document.getElementById('card')"


def whole() -> dict[str, Any]:
    """A report that has one of everything."""
    given = beside(report(batch=12, asked=typed([[0.9, 0.1], [0.1, 0.9]], samples=4)))
    answers = given["held_out"]["answers"]
    answers["a+rather_long_name+of_a_method"] = answers.pop("a<u>&'c'")
    given["asked"]["answers"]["newton"]["outcome"][0, 1] = 1
    answers["newton"]["outcome"][3] = 1
    for found in answers.values():
        found["judged"] = np.zeros((12, 1), int)
    figures = {"judge_agreement": 0.5, "both": 0.4, "recall": 0.5, "converged": 0.5}
    given["rows"] = [
        row("real", **figures, residual_median=0.0),
        row("noise", **figures, residual_median=0.5),
        row("newton", **{**figures, "recall": 0.9}, residual_median=1e-6),
        row("a+rather_long_name+of_a_method", **{**figures, "both": 0.3}, residual_median=None),
    ]
    given["chains"] = {"newton": watched([0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], rows=4)}
    note = "CONVERGED " + "a_long_word_without_any_end" * 9
    given["notes"] = {"newton": "It moved.", "a+rather_long_name+of_a_method": note}
    course = {"of": "CVAEInverter", "training": [3.0, 2.0, 1.5], "validation": [3.5, 2.0, 2.5], "best": 1}
    given["histories"] = {"newton": [course]}
    given["about"] |= {"command": "genrev compare --data digits " * 9, "data_fingerprint": "0123456789abcdef" * 4}
    return given


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(whole()), encoding="utf-8")
    return path


def middle(browser: Browser, selector: str, place: int = 0) -> tuple[float, float]:
    """Scroll to an element and return where it is painted."""
    found = f"document.querySelectorAll({selector!r})[{place}]"
    browser.run(f"{found}.scrollIntoView({{block: 'center', inline: 'center', behavior: 'instant'}})")
    x, y, width, height = browser.run(f"(r => [r.x, r.y, r.width, r.height])({found}.getBoundingClientRect())")
    return x + width / 2, y + height / 2


def is_open(browser: Browser) -> bool:
    return not browser.run(f"{CARD}.hidden") and browser.run(f"{CARD}.getBoundingClientRect().height") > 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_says_no_error_asks_for_nothing_and_fits(
    browser: Browser, page: Path, width: int, scheme: str
) -> None:
    browser.open(page, width=width, scheme=scheme, touch=width < 500)
    for x, y in (middle(browser, ".shot"), middle(browser, "svg.plot")):
        browser.click(x, y)
    assert browser.said("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded") == []
    asked = [event["request"]["url"] for event in browser.said("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("data:")] == [page.resolve().as_uri()]
    assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert browser.run("document.body.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pictures_and_plots_are_painted(browser: Browser, page: Path, width: int, scheme: str) -> None:
    browser.open(page, width=width, scheme=scheme)
    sizes = browser.run(
        "[...document.querySelectorAll('.shot img')].map(i => [i.naturalWidth, i.clientWidth, i.clientHeight])"
    )
    assert len(sizes) > 40
    assert all(natural == 3 and across >= 40 and down >= 40 for natural, across, down in sizes)
    boxes = browser.run(
        "[...document.querySelectorAll('.gallery img, svg.plot')].map(i => i.getBoundingClientRect())"
        ".filter(r => r.width && r.right <= innerWidth).map(r => [r.x + scrollX, r.y + scrollY, r.width, r.height])"
    )
    # A picture of noise has many shades; a plot has its paper, its lines and its points.
    for box in (boxes[0], boxes[-1], boxes[-2]):
        assert len(np.unique(browser.pixels(box).reshape(-1, 3), axis=0)) >= 5


def test_dark_paper_is_dark_and_light_paper_is_light(browser: Browser, page: Path) -> None:
    shades = []
    for scheme in SCHEMES:
        browser.open(page, width=1400, scheme=scheme)
        shades.append(int(browser.pixels((0, 0, 8, 8)).mean()))
    assert shades[0] > 200
    assert shades[1] < 60


@pytest.mark.parametrize("scheme", SCHEMES)
def test_words_stand_out_from_their_paper(browser: Browser, page: Path, scheme: str) -> None:
    """The contrast of every colour of text is at least 4.5 to 1, as WCAG 2.1 asks for."""
    browser.open(page, width=1400, scheme=scheme)
    colours = browser.run(
        "(s => Object.fromEntries(['ink', 'dim', 'good', 'bad', 'other', 'paper', 'soft', 'ceiling', 'floor']"
        ".map(n => [n, s.getPropertyValue('--' + n).trim()])))(getComputedStyle(document.documentElement))"
    )

    def light(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    for text in ("ink", "dim", "good", "bad", "other"):
        for paper in ("paper", "ceiling", "floor"):
            low, high = sorted((light(colours[text]), light(colours[paper])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, paper)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_film_scrolls_within_its_page_and_its_frames_have_cards(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    film = "document.querySelector('.film')"
    across, room = browser.run(f"[{film}.clientWidth, {film}.closest('.scroll').clientWidth]")
    assert (across > room) == (width == 400)
    browser.click(*middle(browser, ".film .shot img", 10))
    assert is_open(browser)
    assert browser.run(f"{CARD}.querySelector('.who').textContent") == "newton after 1000 steps"
    assert "MISSED: Draw more." in browser.run(f"{CARD}.innerText")
    browser.press("ArrowRight")
    assert is_open(browser)
    heads, pictures = (
        browser.run(f"[...{film}.querySelectorAll({found!r})].map(e => Math.round(e.getBoundingClientRect().x))")
        for found in ("thead th + th", "tbody tr:first-child td")
    )
    assert heads == pictures


def test_pointing_at_a_picture_shows_its_card_and_leaving_hides_it(browser: Browser, page: Path) -> None:
    browser.open(page, width=1400)
    x, y = middle(browser, ".noise + tr .shot img", 2)
    browser.point(x, y)
    assert is_open(browser)
    said = browser.run(f"{CARD}.innerText")
    for words in ("newton", "Asked for", "Residual 2.5e-7", "CONVERGED", "The judge sees X", "number 7"):
        assert words in said
    assert browser.run(f"{CARD}.querySelectorAll('img').length") == 2
    browser.point(2, 2)
    assert not is_open(browser)


def test_a_click_keeps_the_card_and_escape_or_a_click_elsewhere_closes_it(browser: Browser, page: Path) -> None:
    browser.open(page, width=1400)
    for close in (lambda: browser.press("Escape"), lambda: browser.click(700, 5)):
        x, y = middle(browser, ".noise + tr .shot img", 1)
        browser.point(x, y)
        browser.click(x, y)
        browser.point(2, 2)
        assert is_open(browser)
        close()
        assert not is_open(browser)


def test_the_keyboard_reaches_every_picture_of_a_gallery_by_tab_and_arrows(browser: Browser, page: Path) -> None:
    browser.open(page, width=1400)
    name = "document.activeElement.dataset.name"
    while browser.run(name) is None:
        browser.press("Tab")
    assert is_open(browser)
    first = browser.run(name)
    browser.press("ArrowRight")
    assert is_open(browser)
    assert browser.run(name) == first
    browser.run("document.querySelectorAll('.gallery')[1].querySelector('.shot').focus()")
    for expected in ("noise", "newton", "a+rather_long_name+of_a_method"):
        browser.press("ArrowDown")
        assert browser.run(name) == expected
    browser.press("Escape")
    assert not is_open(browser)
    browser.press("Enter")
    assert is_open(browser)
    browser.press("Tab")
    assert browser.run(name) != "a+rather_long_name+of_a_method"


def test_a_tap_opens_the_card_within_the_screen_and_its_button_closes_it(browser: Browser, page: Path) -> None:
    browser.open(page, width=400, touch=True)
    browser.tap(*middle(browser, ".noise + tr .shot img", 1))
    assert is_open(browser)
    left, top, right, bottom = browser.run(f"(r => [r.left, r.top, r.right, r.bottom])({CARD}.getBoundingClientRect())")
    assert left >= 0
    assert top >= 0
    assert right <= 400
    assert bottom <= 900
    found = f"(r => [r.x + r.width / 2, r.y + r.height / 2])({CARD}.querySelector('.close').getBoundingClientRect())"
    browser.tap(*browser.run(found))
    assert not is_open(browser)


def test_a_column_s_head_sorts_the_methods_and_leaves_the_frame(browser: Browser, page: Path) -> None:
    browser.open(page, width=1400)
    names = "[...document.querySelectorAll('.figures tbody th code')].map(h => h.textContent)"
    before = browser.run(names)
    assert before == ["real", "noise", "newton", "a+rather_long_name+of_a_method"]
    heads = browser.run("[...document.querySelectorAll('.figures thead th')].map(h => h.textContent)")
    recall = next(place for place, head in enumerate(heads) if head.startswith("recall"))
    for expected in ("descending", "ascending"):
        browser.run(f"document.querySelectorAll('.figures thead button')[{recall}].click()")
        sort = browser.run(f"document.querySelectorAll('.figures thead th')[{recall}].getAttribute('aria-sort')")
        assert sort == expected
        after = browser.run(names)
        assert after[:2] == before[:2]
        assert (after[2] == before[2]) == (expected == "descending")
    browser.run("document.querySelector('.figures thead button').click()")
    assert browser.run(names) == before


def test_vectors_have_cards_too(browser: Browser, tmp_path: Path) -> None:
    given = beside(report((5,)), (5,))
    (tmp_path / "report.html").write_text(render(given), encoding="utf-8")
    browser.open(tmp_path / "report.html", width=400)
    browser.run("document.querySelectorAll('.shot')[5].click()")
    assert is_open(browser)
    assert browser.run(f"{CARD}.querySelectorAll('svg').length") == 2
    assert browser.said("Runtime.exceptionThrown") == []


def test_the_card_of_a_short_input_sets_its_values_beside_those_of_the_nearest(
    browser: Browser, tmp_path: Path
) -> None:
    given = beside(report((2,), columns=["rooms", "floor"]), (2,))
    given["held_out"]["answers"]["noise"]["x"][0, 0] = [5.25, -3.0]
    (tmp_path / "report.html").write_text(render(given), encoding="utf-8")
    browser.open(tmp_path / "report.html", width=400)
    rows = f"[...{CARD}.querySelectorAll('.values tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    browser.run("document.querySelector('.shot[data-name=noise]').click()")
    assert browser.run(rows) == [["rooms", "5.25", "0.5"], ["floor", "-3", "0.5"]]
    assert browser.said("Runtime.exceptionThrown") == []


def test_the_page_reads_without_scripts_and_prints(browser: Browser, page: Path) -> None:
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page, width=1400)
        assert browser.printed().startswith(b"%PDF")
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)
    browser.open(page, width=1400)
    browser.ask("Emulation.setEmulatedMedia", media="print")
    assert browser.run(f"getComputedStyle({CARD}).display") == "none"
    assert browser.run("getComputedStyle(document.querySelector('svg.broad')).display") == "block"
    browser.ask("Emulation.setEmulatedMedia", media="")


def test_hostile_names_run_nothing(browser: Browser, tmp_path: Path) -> None:
    evil = '"><img src=x onerror="window.hit=1"><script>window.hit=1</script>'
    given = whole()
    given["names"] = [evil, "O"]
    given["held_out"]["answers"][evil] = answer(12, 1, (1, 3, 3), 2)
    given["rows"].append(row(evil, converged=0.5, judge_agreement=0.5, both=0.5, residual_median=0.1))
    given["notes"][evil] = given["summaries"][evil] = evil
    given["histories"][evil] = [{"of": evil, "training": [2.0, 1.0], "validation": [], "best": 1}]
    given["about"]["command"] = evil
    (tmp_path / "report.html").write_text(render(given), encoding="utf-8")
    browser.open(tmp_path / "report.html", width=1400)
    shots = browser.run("document.querySelectorAll('.shot').length")
    browser.run(f"for (let i = 0; i < {shots}; i++) document.querySelectorAll('.shot')[i].click()")
    assert browser.run("window.hit === undefined")
    assert browser.said("Runtime.exceptionThrown", "Log.entryAdded") == []
