"""Inverters: one file a family, and the one table from name to class that all else reads."""

from __future__ import annotations

import re
from typing import Any

from genrev.checks import called_as
from genrev.errors import ArgumentError, UnknownNameError, nearest
from genrev.inverter import Inverter
from genrev.inverters.bijective import BijectiveInverter
from genrev.inverters.boltzmann import DBNInverter, RBMInverter
from genrev.inverters.bounded_pinv import BoundedPinvInverter
from genrev.inverters.cvae import CVAEInverter
from genrev.inverters.decoder import DecoderInverter
from genrev.inverters.gradient import GradientInverter
from genrev.inverters.newton import NewtonInverter
from genrev.inverters.pinv import PinvInverter
from genrev.inverters.recurrent import RecurrentInverter
from genrev.inverters.retrieval import RetrievalInverter
from genrev.inverters.wrappers import BestOf, Refined
from genrev.network import Network

__all__ = ["INVERTERS", "BestOf", "Refined", "build"]


class _Table(dict[str, type[Inverter]]):
    def __missing__(self, name: str) -> type[Inverter]:
        raise UnknownNameError(
            f"expected a method of {', '.join(self)}, got {name!r}{nearest(str(name), self) or '; choose one of them'}"
        )


INVERTERS: dict[str, type[Inverter]] = _Table(
    {
        "pinv": PinvInverter,
        "bounded-pinv": BoundedPinvInverter,
        "bijective": BijectiveInverter,
        "recurrent": RecurrentInverter,
        "gradient": GradientInverter,
        "newton": NewtonInverter,
        "retrieval": RetrievalInverter,
        "decoder": DecoderInverter,
        "cvae": CVAEInverter,
        "rbm": RBMInverter,
        "dbn": DBNInverter,
    }
)
"""Every inverter by name. Adding one means its file and its line here."""


@called_as("build('cvae+newton', network)")
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
        ArgumentError: a part behind a + uses no start, or a keyword is not one of every part.

    Example:
        >>> import torch
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Linear(3, 1), space=InputSpace((3,)))
        >>> type(build("retrieval+newton", network)).__name__
        'Refined'
        >>> INVERTERS["newton"].traits.learns
        False
    """
    _check_name(name)
    first, *others = (INVERTERS[part](network, **keywords) for part in name.split("+"))
    for then in others:
        first = Refined(first, then)
    return first


def _check_name(name: Any) -> None:
    """Refuse a name that builds nothing, with what was probably meant."""
    parts = name.split("+") if isinstance(name, str) else []
    where = f" in {name!r}" if len(parts) > 1 else ""
    for part in parts or [name]:
        if not isinstance(part, str) or part not in INVERTERS:
            raise UnknownNameError(
                f"expected a method of {', '.join(INVERTERS)}, or one refined by another as in 'cvae+newton', got "
                f"{part!r}{where}{_meant(part)}"
            )
    for part in parts[1:]:
        if not INVERTERS[part].traits.uses_start:
            movers = [other for other, kind in INVERTERS.items() if kind.traits.uses_start]
            swapped = "+".join(sorted(parts, key=lambda one: one in movers))
            raise ArgumentError(
                f"expected what stands behind a + to move an input ({', '.join(movers)}), got {part!r} in {name!r}"
                + (f"; did you mean {swapped!r}?" if parts[0] in movers else "; name one of those, or leave it out")
            )


def _meant(part: Any) -> str:
    """Return the nearest method, or how several are written."""
    several = [one for one in re.split(r"\W+", part) if one] if isinstance(part, str) else []
    if len(several) > 1 and all(one in INVERTERS for one in several):
        joined = "+".join(sorted(several, key=lambda one: INVERTERS[one].traits.uses_start))
        return f"; name them one by one, or write {joined!r} for what the first finds, refined by the other"
    return nearest(str(part), INVERTERS) or "; choose one of them"
