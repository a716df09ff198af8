"""What the training of a method left behind: its losses by epoch, those of a wrapper's parts included."""

from __future__ import annotations

from typing import Any

from genrev.inverter import Inverter
from genrev.training import History


def curves(inverter: Inverter) -> list[dict[str, Any]]:
    """Return the courses of training that a method rests on.

    Args:
        inverter: any, wrappers included.

    Returns:
        For each, plain values: ``of``, the class that learned; ``training`` and ``validation``, its losses by epoch;
        and ``best``, the epoch, from 0, whose weights were kept. None for what does not learn in epochs.

    Example:
        >>> import torch
        >>> from genrev import InputSpace, Network, NewtonInverter
        >>> curves(NewtonInverter(Network(torch.nn.Linear(2, 1), space=InputSpace((2,)))))
        []
    """
    history = getattr(inverter, "history", None)
    own = [{"of": type(inverter).__name__, **vars(history)}] if isinstance(history, History) else []
    parts = [part for part in inverter.arguments().values() if isinstance(part, Inverter)]
    return own + [curve for part in parts for curve in curves(part)]
