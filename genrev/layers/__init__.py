"""Layers: which inputs of one layer give this output, by the layer's type; open to types from outside."""

from genrev.layers.chain import Chain, Link
from genrev.layers.preimage import Inverse, Preimage, inverse, is_invertible

__all__ = ["Chain", "Inverse", "Link", "Preimage", "inverse", "is_invertible"]
