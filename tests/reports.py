"""Reports as plain data, small enough to be read in a test, and a reader of pages."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from typing import Any

import numpy as np

from genrev.report import COLUMNS

NAN, INF = math.nan, math.inf
OUTCOMES = {0: ("CONVERGED", "Within tolerance."), 1: ("MISSED", "Draw more."), 2: ("STALLED", "No closer.")}


FIGURES = ("judge_agreement", "network_agreement", "converged", "residual_median")


def row(name: str, **figures: float) -> dict[str, Any]:
    return {"inverter": name, **{column.key: None for column in COLUMNS}, **figures}


def answer(batch: int, samples: int, shape: tuple[int, ...], outputs: int, **values: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "x": random.random((batch, samples, *shape)),
        "y": random.random((batch, samples, outputs)),
        "residual": np.full((batch, samples), 2.5e-7),
        "outcome": np.zeros((batch, samples), int),
        "judged": None,
        "nearest": None,
        "distance": None,
        **values,
    }


def report(shape: tuple[int, ...] = (1, 3, 3), *, batch: int = 4, outputs: int = 2, **values: Any) -> dict[str, Any]:
    methods = ["real", "noise", "newton", "a<u>&'c'"]
    return {
        "rows": [row(name, converged=0.5, residual_median=0.25) for name in methods],
        "summaries": {"newton": "It moves.", "a<u>&'c'": "It <b>stays</b>."},
        "notes": {"newton": "It moved <far>.", "a<u>&'c'": "It stayed."},
        "asked_notes": {},
        "histories": {},
        "chains": {},
        "about": {
            "seed": 0,
            "judge": None,
            "network": "Network(<MLP>)",
            "methods": {"newton": "NewtonInverter(steps=7)"},
        },
        "names": ["X", "O"],
        "columns": None,
        "tolerance": "0.001",
        "tolerances": [0.001],
        "training": {"rows": [], "x": np.zeros((0, *shape))},
        "low": np.zeros(shape),
        "high": np.ones(shape),
        "fixed": True,
        "outcomes": OUTCOMES,
        "held_out": {
            "targets": np.full((batch, outputs), 0.5),
            "classes": [place % 2 for place in range(batch)],
            "answers": {name: answer(batch, 1, shape, outputs) for name in methods},
        },
        "asked": None,
        **values,
    }


def typed(targets: list[list[float]], samples: int = 2, **values: Any) -> dict[str, Any]:
    outputs = len(targets[0])
    return {
        "targets": np.array(targets),
        "classes": [0] * len(targets),
        "answers": {name: answer(len(targets), samples, (1, 3, 3), outputs, **values) for name in ("noise", "newton")},
    }


def watched(steps: list[int], rows: int = 2, shape: tuple[int, ...] = (1, 3, 3), **values: Any) -> dict[str, Any]:
    """What chains came to, of ``rows`` targets of two classes, judged right at the end alone."""
    count = len(steps)
    random = np.random.default_rng(0)
    judged = np.full((rows, count), -1)
    judged[:, -1] = np.arange(rows) % 2
    shares = [(place + 1) / (count + 1) for place in range(count)]
    return {
        "steps": steps,
        "count": 64,
        "courses": {**dict.fromkeys(FIGURES[:3], shares), "residual_median": [1 - share for share in shares]},
        "frame": {name: dict.fromkeys(FIGURES, share) for name, share in (("real", 0.95), ("noise", 0.05))},
        "whole": True,
        "targets": np.full((rows, 2), 0.5),
        "classes": [place % 2 for place in range(rows)],
        "x": random.random((rows, count, *shape)),
        "residual": np.full((rows, count), 0.25),
        "outcome": np.ones((rows, count), int),
        "judged": judged,
        **values,
    }


def beside(given: dict[str, Any], shape: tuple[int, ...] = (1, 3, 3)) -> dict[str, Any]:
    """Give every answer for held-out targets a nearest training input: the one of number 7, farther away each time."""
    given["training"] = {"rows": [7], "x": np.full((1, *shape), 0.5)}
    for found in given["held_out"]["answers"].values():
        batch = len(found["x"])
        found["nearest"] = np.full((batch, 1), 7)
        found["distance"] = np.arange(batch)[:, None].astype(float)
    return given


class Reader(HTMLParser):
    """Checks that every element is closed in turn, and collects text and attributes."""

    EMPTY = ("meta", "img", "br", "path", "wbr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.classes: list[str] = []
        self.texts: list[str] = []
        self.found: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), tuple(self.classes)))
        if tag not in self.EMPTY:
            self.open.append(tag)
            self.classes.append(dict(attrs).get("class") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag
            self.classes.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def attributes(self, tag: str, *, within: str = "") -> list[dict[str, str | None]]:
        """The attributes of every such element, within one of a class where that is given."""
        return [
            attributes
            for found, attributes, classes in self.found
            if found == tag and (not within or any(within in each.split() for each in classes))
        ]
