"""Models: plain modules that know no inverter: classifiers, decoders, autoencoders, structured layers."""

from collections.abc import Callable, Mapping

from genrev.models.block_diagonal_linear import BlockDiagonalLinear
from genrev.models.convnet import ConvNet, check_image
from genrev.models.convolutional import UpConvDecoder
from genrev.models.cvae import ConditionalVAE, calibrated
from genrev.models.layered import ACTIVATIONS, Layered
from genrev.models.low_rank_linear import LowRankLinear
from genrev.models.mlp import MLP, fold_scale, mlp_from_weights, weights_from
from genrev.models.sharded_linear import ShardedLinear, shard
from genrev.models.sparse_linear import SparseLinear
from genrev.models.streamed_linear import StreamedLinear
from genrev.models.weights import with_weights

__all__ = [
    "ACTIVATIONS",
    "CLASSIFIERS",
    "MLP",
    "BlockDiagonalLinear",
    "ConditionalVAE",
    "ConvNet",
    "Layered",
    "LowRankLinear",
    "ShardedLinear",
    "SparseLinear",
    "StreamedLinear",
    "UpConvDecoder",
    "calibrated",
    "check_image",
    "fold_scale",
    "mlp_from_weights",
    "shard",
    "weights_from",
    "with_weights",
]

CLASSIFIERS: Mapping[str, Callable[..., Layered]] = {"mlp": MLP, "conv": ConvNet}
"""The networks that genrev builds itself, and so can build again from a file, by name."""
