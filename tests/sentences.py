"""What the tests ask of every error message."""

from __future__ import annotations


def assert_one_sentence(message: object) -> None:
    """One sentence, in which stand what was expected, what was got and what to do."""
    text = str(message)
    assert text.startswith("expected ")
    assert ", got " in text
    assert "; " in text
    assert "\n" not in text
