"""genrev import: a network from the arrays of a program of one's own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from genrev.cli.options import File, Names, Number, TheFile, command_line, typed_as
from genrev.cli.steps import tell
from genrev.errors import ArgumentError
from genrev.files import expect_writable


@dataclass(frozen=True, kw_only=True)
class ImportWeights:
    """Make a network of plain arrays: W1, b1, W2, b2, ... in one .npz file.

    Each W has a row for each output of its layer and a column for each input, each b a number for each output.

    Args:
        weights: .npz file with the arrays.
        activation: one name for all layers, or one for each, as in sigmoid, tanh, relu, softmax or identity.
        shape: shape of one input, as in 1 32 32 for a picture; by default a list as long as W1 has columns.
        low: least value that an input may have.
        high: greatest value that an input may have.
        out: file to write the network to, such as net.safetensors.
    """

    weights: TheFile
    out: File
    activation: Names = ("sigmoid",)
    shape: Annotated[tuple[int, ...], typed_as("SIZE ...")] = ()
    low: Number = 0.0
    high: Number = 1.0

    def run(self) -> None:
        """Read the arrays, save the network, and print what it is.

        Raises:
            GenrevError: the file holds no such arrays, they do not fit one another, or the network can't be written.
        """
        expect_writable(self.out)
        from genrev.checkpoint import save
        from genrev.models import weights_from
        from genrev.network import Network
        from genrev.numpy_files import read_npz
        from genrev.space import InputSpace

        weights, biases = weights_from(read_npz(self.weights))
        width = weights[0].shape[1]
        shape = self.shape or (width,)
        if math.prod(shape) != width:
            raise ArgumentError(
                f"expected a shape of {width} values, the columns of W1, got {shape} with {math.prod(shape)}; give "
                "another --shape"
            )
        activation = self.activation[0] if len(self.activation) == 1 else self.activation
        space = InputSpace(shape, self.low, self.high)
        network = Network.from_weights(weights, biases, activation=activation, space=space)
        save(network, self.out, about={"command": command_line("import", self)})
        tell(repr(network))
        tell(f"network  {self.out}")
