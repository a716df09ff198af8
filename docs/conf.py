"""How Sphinx builds these pages: MyST Markdown, the furo theme, nothing fetched from anywhere."""

from __future__ import annotations

import sys
from pathlib import Path

import genrev

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "genrev"
copyright = "genrev's authors"
version = release = genrev.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "command_options"]
exclude_patterns = ["_build", "_ext"]
myst_heading_anchors = 3
# Quotation marks and dashes are typed as they are meant: they stand in commands, too.
smartquotes = False

html_theme = "furo"
html_title = f"genrev {version}"
html_copy_source = False
html_show_sphinx = False
# Furo's own letters are those of the reader's system: a page needs no network.
html_theme_options = {"navigation_with_keys": True}

# Words in single backticks are names of the code.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Reference"]
