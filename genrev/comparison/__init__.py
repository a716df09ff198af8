"""The comparison room: several inverters on the same held-out outputs, measured alike, saved, and read back.

`run` asks them, `figures` says how an answer is measured, `chain` watches those that draw step by step, `saved` holds
the result and its files, and `plain` is the result as its report takes it.
"""

from __future__ import annotations

from genrev.comparison.about import describe
from genrev.comparison.chain import Chain
from genrev.comparison.figures import NEIGHBOURS, Answer, Row, asked_classes, quantile
from genrev.comparison.run import compare
from genrev.comparison.saved import Comparison

__all__ = ["NEIGHBOURS", "Answer", "Chain", "Comparison", "Row", "asked_classes", "compare", "describe", "quantile"]
