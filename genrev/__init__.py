"""genrev: which inputs make a trained network give this output, and which of them look real?"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public names and where they live: resolved when first used, so that `genrev --help` needs no torch.
_PUBLIC = {
    "BestOf": "genrev.inverters.wrappers",
    "BijectiveInverter": "genrev.inverters.bijective",
    "BoundedPinvInverter": "genrev.inverters.bounded_pinv",
    "Comparison": "genrev.comparison",
    "CVAEInverter": "genrev.inverters.cvae",
    "DBNInverter": "genrev.inverters.boltzmann",
    "DecoderInverter": "genrev.inverters.decoder",
    "Equilibrium": "genrev.models.equilibrium",
    "GenrevError": "genrev.errors",
    "GradientInverter": "genrev.inverters.gradient",
    "INVERTERS": "genrev.inverters",
    "InputSpace": "genrev.space",
    "Inversion": "genrev.inverter",
    "Inverter": "genrev.inverter",
    "Judge": "genrev.judge",
    "Network": "genrev.network",
    "NewtonInverter": "genrev.inverters.newton",
    "Outcome": "genrev.inverter",
    "PinvInverter": "genrev.inverters.pinv",
    "RBMInverter": "genrev.inverters.boltzmann",
    "RecurrentInverter": "genrev.inverters.recurrent",
    "Refined": "genrev.inverters.wrappers",
    "RetrievalInverter": "genrev.inverters.retrieval",
    "Traits": "genrev.inverter",
    "build": "genrev.inverters",
    "compare": "genrev.comparison",
    "load": "genrev.checkpoint",
    "save": "genrev.checkpoint",
    "shard": "genrev.models.sharded_linear",
    "unroll": "genrev.models.recurrent",
}

__all__ = ["__version__", *sorted(_PUBLIC)]

if TYPE_CHECKING:
    from genrev.checkpoint import load, save
    from genrev.comparison import Comparison, compare
    from genrev.errors import GenrevError
    from genrev.inverter import Inversion, Inverter, Outcome, Traits
    from genrev.inverters import INVERTERS, build
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
    from genrev.judge import Judge
    from genrev.models.equilibrium import Equilibrium
    from genrev.models.recurrent import unroll
    from genrev.models.sharded_linear import shard
    from genrev.network import Network
    from genrev.space import InputSpace


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'genrev' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
