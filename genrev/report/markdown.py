"""A comparison as Markdown, for a README: the question, the figures, what each method did, and how to run it again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from genrev.report.columns import COLUMNS, LUCK, lucky
from genrev.report.findings import FRAME, MARKS, doubt, mark, order, ordered, tag
from genrev.report.headline import Piece, headline
from genrev.report.methods import sections
from genrev.report.rerun import lines, warning

_ARROWS = {"low": " ↓", "high": " ↑", "one": " →1", "": ""}

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&$])|^([-+=]|\d+(?=[.)](?: |$)))")
"""What could begin something in Markdown: anywhere, or at the beginning of a line."""


def markdown(report: Mapping[str, Any]) -> str:
    """Write a comparison as Markdown, without its pictures; the same report always gives the same text.

    Args:
        report: as `genrev.report.render` takes it.

    Returns:
        The text, with a line end after the last line.

    Example:
        >>> row = {"inverter": "newton", **{column.key: None for column in COLUMNS}, "converged": 1.0}
        >>> text = markdown({
        ...     "rows": [row], "notes": {}, "about": {}, "tolerance": "0.001", "tolerances": [0.001],
        ...     "outcomes": {}, "names": None, "columns": None, "low": [0.0], "high": [1.0],
        ...     "training": {"rows": [], "x": []},
        ...     "held_out": {"targets": [[0.5]], "classes": [-1], "answers": {}}, "asked": None,
        ... })
        >>> text.splitlines()[12][:28]
        '| `newton` | inf | inf | inf'
    """
    rows, about = report["rows"], report["about"]
    targets = len(report["held_out"]["targets"])
    said, marks = warning(about), {mark(row, rows) for row in rows}
    parts = [
        "# Which inputs x make the network give the output y, and which of them look real?",
        "Each method was given outputs y alone and asked for inputs x with f(x) = y. A good answer gives what was "
        "asked: its **residual**, the greatest distance of f(x) to what was asked, is at most "
        f"{escaped(report['tolerance'])}. And it looks like something that the network could really have seen.",
        *([f"**In short:** {_short(headline(rows, targets))}"] if headline(rows) else []),
        *([f"**Take care:** {escaped(said)}"] if said else []),
        "## The figures",
        f"Measured on {targets} held-out targets. Read each figure between two rows: **real**, the held-out inputs "
        "themselves, is the ceiling; **noise**, inputs drawn at random, is the floor. ↓ low is good, ↑ high is good, "
        f"→1 near one is good. {order(rows)} By chance a share may be off by "
        f"{100 * doubt(targets):.0f} percentage points (one standard error, at most).",
        _table(rows),
        "\n".join(f"- **{column.heading}**: {escaped(column.meaning)}." for column in COLUMNS)
        + "".join(f"\n- **{word}**: {escaped(meaning)}." for word, meaning in MARKS.items() if word in marks)
        + (f"\n- **noise**: {escaped(LUCK)}." if lucky(rows) else ""),
        "## What each method did",
        *(part for method in sections(report) for part in _method(method)),
        "## How to run it again",
        *([_fenced(about["command"])] if about.get("command") else []),
        "\n".join(f"- {escaped(name)}: {_code(value)}" for name, value, _ in lines(about)),
    ]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    r"""Return a text that reads as it is in Markdown, on one line.

    Args:
        text: any.

    Example:
        >>> print(escaped("a|b <i>\n*c*"))
        a\|b \<i\> \*c\*
    """

    return _SPECIAL.sub(_safe, _line(text))


def _safe(found: re.Match[str]) -> str:
    # No digit can be escaped; what stands behind it can.
    return f"&#{ord(found[0][0])};{found[0][1:]}" if found[0][0].isdigit() else f"\\{found[0]}"


def _short(pieces: Sequence[Piece]) -> str:
    """The headline, names as code; its pieces begin and end with blanks that count."""
    return "".join(_code(piece.text) if piece.name else _SPECIAL.sub(_safe, piece.text) for piece in pieces)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    heads = ["method", *(column.heading + _ARROWS[column.good] for column in COLUMNS)]
    lines = [heads, ["---", *["---:"] * len(COLUMNS)]]
    for row in ordered(rows):
        # A bar ends a cell, even in code.
        name, words = _code(row["inverter"]).replace("|", "\\|"), tag(row, rows)
        name = f"**{row['inverter']}**" if row["inverter"] in FRAME else name
        lines.append([f"{name} ({words})" if words else name, *(column.text(row[column.key]) for column in COLUMNS)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _method(method: Mapping[str, Any]) -> list[str]:
    several = len(method["parts"]) > 1
    said = [
        (f"*{part['title']}.* " if several else "") + escaped(part["note"]) for part in method["parts"] if part["note"]
    ]
    curves = [escaped(curve.words) for curve in method["curves"]]
    built = [_code(method["description"])] if method["description"] else []
    way = [] if method["chain"] is None else _way(method["chain"])
    return [f"### {_code(method['name'])}", *filter(None, [escaped(method["summary"])]), *built, *said, *curves, *way]


def _way(chain: Mapping[str, Any]) -> list[str]:
    """Write what chains come to after so many steps as a table."""
    lines = [["steps", *chain["steps"]], ["---", *("---:" for _ in chain["steps"])]]
    lines += [[heading, *cells] for heading, _, cells in chain["figures"]]
    return [
        f"The chain on its way. {escaped(chain['words'])}",
        "\n".join(f"| {' | '.join(cells)} |" for cells in lines),
    ]


def _code(text: str) -> str:
    """Quote a text with more backticks than it holds itself."""
    text = _line(text)
    ticks = "`" * (1 + max((len(found) for found in re.findall("`+", text)), default=0))
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{room}{text}{room}{ticks}" if text else ""


def _fenced(text: str) -> str:
    ticks = "`" * max(3, 1 + max((len(found) for found in re.findall("`+", text)), default=0))
    return f"{ticks}sh\n{text}\n{ticks}"


def _line(text: str) -> str:
    """What no line shows, such as a line end, would end a heading or a cell."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
