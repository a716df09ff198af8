"""Layers: which inputs of one layer give this output, and which outputs none, by type; open to types from outside."""

# Bounds and inverses of all types are registered where they are written.
import genrev.layers.affine
import genrev.layers.elementwise
import genrev.layers.normalised
import genrev.layers.preimages  # noqa: F401
from genrev.layers.backwards import inverses
from genrev.layers.bounds import Bounds, Interval, bounds
from genrev.layers.chain import Chain, Link
from genrev.layers.preimage import AffineSet, Box, Branches, Inverse, Point, Preimage, inverse, is_invertible
from genrev.layers.relaxation import everything, reach

__all__ = [
    "AffineSet",
    "Bounds",
    "Box",
    "Branches",
    "Chain",
    "Interval",
    "Inverse",
    "Link",
    "Point",
    "Preimage",
    "bounds",
    "everything",
    "inverse",
    "inverses",
    "is_invertible",
    "reach",
]
