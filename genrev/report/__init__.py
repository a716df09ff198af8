"""The report room: figures and pictures of a comparison as text, Markdown, CSV and one HTML file; pure.

It knows no network, no inverter and no file: `genrev.comparison` gathers what it needs and writes what it gives.
"""

from __future__ import annotations

from genrev.report.choice import shown
from genrev.report.columns import COLUMNS, Column
from genrev.report.html import render
from genrev.report.markdown import markdown
from genrev.report.text import csv, explanation, table

__all__ = ["COLUMNS", "Column", "csv", "explanation", "markdown", "render", "shown", "table"]
