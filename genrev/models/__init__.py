"""Models: plain modules that know no inverter: classifiers, decoders, autoencoders."""

from genrev.models.cvae import ConditionalVAE
from genrev.models.mlp import ACTIVATIONS, MLP, mlp_from_weights

__all__ = ["ACTIVATIONS", "MLP", "ConditionalVAE", "mlp_from_weights"]
