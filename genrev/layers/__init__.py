"""Layers: which inputs of one layer give this output, by the layer's type; open to types from outside."""

from genrev.layers.chain import Chain
from genrev.layers.preimage import Preimage, inverse, is_invertible

__all__ = ["Chain", "Preimage", "inverse", "is_invertible"]
