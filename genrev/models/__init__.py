"""Models: plain modules that know no inverter: classifiers, decoders, autoencoders."""

from collections.abc import Callable, Mapping

from torch import nn

from genrev.models.cvae import ConditionalVAE, calibrated
from genrev.models.mlp import ACTIVATIONS, MLP, fold_scale, mlp_from_weights, weights_from

__all__ = [
    "ACTIVATIONS",
    "CLASSIFIERS",
    "MLP",
    "ConditionalVAE",
    "calibrated",
    "fold_scale",
    "mlp_from_weights",
    "weights_from",
]

CLASSIFIERS: Mapping[str, Callable[..., nn.Module]] = {"mlp": MLP}
"""The networks that genrev builds itself, and so can build again from a file, by name."""
