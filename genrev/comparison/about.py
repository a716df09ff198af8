"""How a comparison was measured: versions, what was compared, and on which data; no date and no place.

So the same measurement says the same, wherever and whenever it is run.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genrev import __version__
from genrev.inverter import Inverter
from genrev.network import Network


def machine(network: Network) -> dict[str, Any]:
    """Return the versions and the device that a comparison runs on."""
    return {
        "genrev": __version__,
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
        "device": network.device.type,
        "threads": torch.get_num_threads(),
    }


def subject(network: Network, inverters: Mapping[str, Inverter]) -> dict[str, Any]:
    """Return what is inverted, and by what."""
    space = network.space
    return {
        "network": repr(network),
        "outputs": network.outputs,
        "network_fingerprint": network.fingerprint(),
        "bounded": bool((space.low.isfinite() & space.high.isfinite()).all()),
        "methods": {name: describe(inverter) for name, inverter in inverters.items()},
    }


def describe(inverter: Inverter) -> str:
    """Return an inverter as the call that builds it, its network left out.

    Args:
        inverter: any, wrappers included.

    Example:
        >>> from genrev import InputSpace, RetrievalInverter
        >>> describe(RetrievalInverter(Network(torch.nn.Identity(), space=InputSpace((1,)))))
        'RetrievalInverter(tolerance=0.001)'
    """
    said = (f"{name}={describe_value(value)}" for name, value in inverter.arguments().items())
    return f"{type(inverter).__name__}({', '.join(said)})"


def describe_value(value: Any) -> str:
    """Return what a keyword of an inverter was given, parts of a wrapper as calls."""
    if isinstance(value, Inverter):
        return describe(value)
    return repr(value.tolist() if isinstance(value, Tensor) else value)


def kind(classifier: Any) -> str:
    """Return the name of a classifier, and of each step of one that scikit-learn made of several."""
    if isinstance(steps := getattr(classifier, "steps", None), list):
        return ", ".join(kind(step) for _, step in steps)
    # The repr of a function holds its address, which differs from run to run.
    return getattr(classifier, "__qualname__", type(classifier).__name__)


def fingerprint(data: tuple[Tensor, ...]) -> str:
    """Return a hash of the inputs that were used; 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for values in data:
        digest.update(f"{values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.cpu().double().numpy().tobytes())
    return digest.hexdigest()
