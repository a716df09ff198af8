"""How a comparison was measured, and what to type to run it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ABOUT = {
    "genrev": "its version",
    "torch": "its version",
    "python": "its version",
    "threads": "how many computed; more change times and rounding, nothing else",
    "seed": "of everything random",
    "samples": "inputs found for each target",
    "targets": "outputs of held-out inputs, asked of every method: what the figures are measured on",
    "asked": "targets typed by hand: in the pictures and notes, in no figure",
    "reference": "other held-out inputs: the real inputs that recall and coverage are measured against",
    "training": "inputs that the methods learned from: what novelty is measured against",
    "neighbours": "the k of recall and coverage: how many of its own set an input's surroundings hold",
    "judge": "the independent classifier",
    "outputs": "what kind of numbers the network gives",
    "network_fingerprint": "the same for the same weights",
    "data_fingerprint": "the same for the same inputs",
}
"""What a line of how it was measured means, where its name and value do not say it."""

_APART = ("methods", "command", "copies")
"""What is said elsewhere: the calls by the methods, the command above the list, the copies in a sentence."""


def lines(about: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return how a comparison was measured: what, how much, and what that means.

    Args:
        about: by name.

    Example:
        >>> lines({"seed": 0, "judge": None})
        [('seed', '0', 'of everything random'), ('judge', '-', 'the independent classifier')]
    """
    return [
        (name.replace("_", " "), "-" if value is None else str(value), _ABOUT.get(name, ""))
        for name, value in about.items()
        if name not in _APART and (name, value) != ("asked", 0)
    ]


def warning(about: Mapping[str, Any]) -> str:
    """Return what makes the figures less than honest, or nothing.

    Args:
        about: by name.

    Example:
        >>> warning({"copies": 2, "targets": 40})[:60]
        '2 of 40 held-out inputs also stand among the training inputs'
        >>> warning({"copies": 0, "targets": 40})
        ''
    """
    copies, targets = about.get("copies") or 0, about.get("targets")
    if not copies:
        return ""
    stand = "stands" if copies == 1 else "stand"
    return (
        f"{copies} of {targets} held-out inputs also {stand} among the training inputs. A method can have learned "
        "those by heart, so that the figures flatter methods that learn."
    )
