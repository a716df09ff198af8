"""The report room: figures and pictures of a comparison as text and as one HTML file; pure functions of plain data.

It knows no network, no inverter and no file: `genrev.comparison` gathers what it needs and writes what it gives.
"""

from __future__ import annotations

from genrev.report.columns import COLUMNS, Column
from genrev.report.html import render
from genrev.report.text import explanation, table

__all__ = ["COLUMNS", "Column", "explanation", "render", "table"]
