"""Inverters: one file a family, and the one table from name to class that all else reads."""

from __future__ import annotations

from typing import Any

from genrev.errors import UnknownNameError, nearest
from genrev.inverter import Inverter
from genrev.inverters.cvae import CVAEInverter
from genrev.inverters.decoder import DecoderInverter
from genrev.inverters.gradient import GradientInverter
from genrev.inverters.newton import NewtonInverter
from genrev.inverters.pinv import PinvInverter
from genrev.inverters.retrieval import RetrievalInverter
from genrev.inverters.wrappers import BestOf, Refined
from genrev.network import Network

__all__ = ["INVERTERS", "BestOf", "Refined", "build"]


class _Table(dict[str, type[Inverter]]):
    def __missing__(self, name: str) -> type[Inverter]:
        raise UnknownNameError(f"expected a method of {', '.join(self)}, got {name!r}{nearest(str(name), self)}")


INVERTERS: dict[str, type[Inverter]] = _Table(
    {
        "pinv": PinvInverter,
        "gradient": GradientInverter,
        "newton": NewtonInverter,
        "retrieval": RetrievalInverter,
        "decoder": DecoderInverter,
        "cvae": CVAEInverter,
    }
)
"""Every inverter by name. Adding one means its file and its line here."""


def build(name: str, network: Network, **keywords: Any) -> Inverter:
    """Build an inverter from its name; "cvae+newton" means `Refined`.

    Args:
        name: of `INVERTERS`, or several joined by +, each refining the one before.
        network: the network to invert.
        keywords: for every part of the name, such as ``tolerance``.

    Returns:
        The inverter, not fitted.

    Raises:
        UnknownNameError: a part of the name is in no line of the table.

    Example:
        >>> import torch
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Linear(3, 1), space=InputSpace((3,)))
        >>> type(build("retrieval+newton", network)).__name__
        'Refined'
    """
    first, *others = (INVERTERS[part](network, **keywords) for part in name.split("+"))
    for then in others:
        first = Refined(first, then)
    return first
