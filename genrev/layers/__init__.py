"""Layers: which inputs of one layer give this output, and which outputs none, by type; open to types from outside."""

# Bounds of all types are registered where they are written.
import genrev.layers.affine
import genrev.layers.elementwise
import genrev.layers.normalised  # noqa: F401
from genrev.layers.backwards import inverses
from genrev.layers.bounds import Bounds, Interval, bounds
from genrev.layers.chain import Chain, Link
from genrev.layers.preimage import Inverse, Preimage, inverse, is_invertible
from genrev.layers.relaxation import everything, reach

__all__ = [
    "Bounds",
    "Chain",
    "Interval",
    "Inverse",
    "Link",
    "Preimage",
    "bounds",
    "everything",
    "inverse",
    "inverses",
    "is_invertible",
    "reach",
]
