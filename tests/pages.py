"""What the README and the pages of the documentation hold: Python blocks, lines for the shell, links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text(page), flags=re.DOTALL)


def outputs(page: Path) -> list[str | None]:
    """What a page shows as the output of each of its Python blocks, in a block of text behind it; None where none."""
    found = re.findall(r"```python\n.*?```(?:\n\n```text\n(.*?)```)?", text(page), flags=re.DOTALL)
    return [shown or None for shown in found]


def reads_alike(printed: str, shown: str) -> bool:
    """Whether two outputs have the same words, whatever their lines, and numbers that other machines may round to."""
    number = r"(?<![\w.])-?\d[\d,]*(?:\.\d*)?(?:e[-+]?\d+)?"
    ours, theirs = ([re.sub(number, "#", one).split(), re.findall(number, one)] for one in (printed, shown))
    pairs = [[float(one.replace(",", "").rstrip(".")) for one in values] for values in (ours[1], theirs[1])]
    close = all(abs(one - other) <= 1e-4 + 0.02 * abs(other) for one, other in zip(*pairs, strict=False))
    return ours[0] == theirs[0] and close


def run(block: str, title: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a block as a module of its own, or with the names that blocks before it made; return its names."""
    # A class defined there looks its module's name up.
    found = {"__name__": "page"} if names is None else names
    exec(compile(block, title, "exec"), found)
    return found


def shell_lines(page: Path) -> list[list[str]]:
    """The words of every line for the shell that runs genrev, without its name and where its output goes."""
    blocks = re.findall(r"```sh\n(.*?)```", text(page), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [re.search(r"(?:^|\()genrev ([^)>]*)", line) for line in lines]
    return [shlex.split(one[1], comments=True) for one in found if one]


def commands_named(page: Path) -> list[str]:
    """What stands behind `genrev` in the running text, between backticks."""
    return re.findall(r"(?<!`)`genrev ([^`]+)`", text(page))


def links(page: Path) -> list[str]:
    """The files that a page links, as it writes them."""
    return [link.partition("#")[0] for link in re.findall(r"\]\((?!http|#)([^)]+)\)", text(page))]


def links_without_text(page: Path) -> list[str]:
    """The targets of links and pictures, Markdown's or HTML's, of which nobody can read what they are."""
    prose = re.sub(r"```.*?```", "", text(page), flags=re.DOTALL)
    markdown = re.findall(r"\[\s*\]\(([^)]*)\)", prose)
    hidden = [tag for tag in re.findall(r"<img\b[^>]*>", prose) if not re.search(r"alt=\"[^\"]+\"", tag)]
    return [*markdown, *hidden, *re.findall(r"<a\b([^>]*)>\s*</a>", prose)]
