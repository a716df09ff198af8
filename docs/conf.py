"""How Sphinx builds these pages: MyST Markdown, the furo theme, nothing fetched from anywhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

import genrev

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "genrev"
copyright = "genrev's authors"
version = release = genrev.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "command_options"]
exclude_patterns = ["_build", "_ext"]
myst_heading_anchors = 3
# Quotation marks are typed as they are meant: they stand in commands, too. Only dashes are made longer.
smartquotes_action = "D"

html_theme = "furo"
html_title = f"genrev {version}"
html_copy_source = False
html_show_sphinx = False
# Furo's own letters are those of the reader's system: a page needs no network.
html_theme_options = {"navigation_with_keys": True}

# Words in single backticks are names of the code, and links to it where they can be; see `mark_code` for the others.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
# As plain text, for what stands before a colon there is no type.
napoleon_custom_sections = ["Reference", "Returns", "Yields"]


def mark_code(app: Sphinx, kind: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Have what stands in single backticks and is no name, such as a shape or `.gz`, shown letter by letter.

    Args:
        app: Sphinx.
        kind: of thing.
        name: of the thing that has a docstring.
        thing: itself.
        options: of its directive.
        lines: of the docstring, which are changed.
    """

    def marked(found: re.Match[str]) -> str:
        said = found[1]
        return found[0] if said is None or re.fullmatch(r"[A-Za-z_][\w.]*", said) else f"``{said}``"

    lines[:] = re.sub(r"``.+?``|`([^`]+)`", marked, "\n".join(lines)).split("\n")


def setup(app: Sphinx) -> None:
    """Have docstrings changed before napoleon reads them.

    Args:
        app: Sphinx.
    """
    app.connect("autodoc-process-docstring", mark_code, priority=400)
