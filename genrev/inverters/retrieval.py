"""retrieval: the training input whose output is nearest; plausible by definition, and a copy."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from genrev.arrays import expect_shaped
from genrev.errors import ArgumentError
from genrev.inverter import Inverter, Problem, Proposal, Traits
from genrev.network import Network


class RetrievalInverter(Inverter):
    """Looks up the training input whose output is nearest to the target, in the greatest distance over what is asked.

    Args:
        network: the network to invert.
        tolerance: the residual that counts as met, in output units.

    Example:
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Identity(), space=InputSpace((1,)))
        >>> RetrievalInverter(network).fit([[0.0], [1.0]]).reconstruct([[0.8]]).x.item()
        1.0
    """

    traits: ClassVar[Traits] = Traits(
        summary="Retrieval returns the training input whose output is nearest: real, but a copy.", learns=True
    )

    def __init__(self, network: Network, *, tolerance: float | Tensor = 1e-3) -> None:
        super().__init__(network, tolerance=tolerance)
        self._inputs: Tensor | None = None
        self._outputs: Tensor | None = None

    @property
    def outputs_seen(self) -> Tensor | None:
        """The outputs that it looks targets up in; None before it is fitted."""
        return self._outputs

    def _row_bytes(self) -> int:
        assert self._outputs is not None
        return 3 * self._outputs.numel() * self._outputs.element_size()

    def _fit(self, inputs: Tensor, seed: int) -> None:
        self._inputs, self._outputs = inputs, self.network.evaluate(inputs)

    def _propose(self, problem: Problem) -> Proposal:
        assert self._inputs is not None
        assert self._outputs is not None
        target = problem.target[:, None]
        distance = (target - self._outputs[None]).abs() / problem.tolerance
        # What is not asked is no distance; an output that is not finite is never near, asked or not.
        distance = torch.where(target.isnan() & self._outputs.isfinite(), 0.0, distance.nan_to_num(math.inf))
        nearest = distance.flatten(2).amax(2).argmin(1)
        return Proposal(self._inputs[nearest], {"neighbour": nearest})

    def _tensors(self) -> dict[str, Tensor]:
        assert self._inputs is not None
        assert self._outputs is not None
        return {"inputs": self._inputs, "outputs": self._outputs}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        shapes = {"inputs": (None, *self.network.space.shape), "outputs": (None, *self.network.output_shape)}
        expect_shaped(tensors, shapes, self.network.dtype)
        inputs, outputs = tensors["inputs"], tensors["outputs"]
        if len(inputs) != len(outputs):
            raise ArgumentError(f"expected an output for each of {len(inputs)} inputs, got {len(outputs)}; fit again")
        self._inputs, self._outputs = inputs, outputs
