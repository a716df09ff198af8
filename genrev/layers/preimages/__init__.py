"""The inverses of layers, one file a family; each registers itself."""

import genrev.layers.preimages.activations
import genrev.layers.preimages.gated
import genrev.layers.preimages.linear
import genrev.layers.preimages.moving
import genrev.layers.preimages.normalised
import genrev.layers.preimages.pooling
import genrev.layers.preimages.proportions
import genrev.layers.preimages.residual
import genrev.layers.preimages.scaled
import genrev.layers.preimages.sums  # noqa: F401
