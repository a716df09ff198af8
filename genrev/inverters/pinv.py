"""pinv: the textbook formula x = W+ (activation^-1(y) - b), layer by layer, and where it asks for the impossible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from genrev.equation import completed, moved_inside
from genrev.errors import ArgumentError
from genrev.inverter import Inversion, Inverter, Problem, Proposal, Traits
from genrev.layers import Inverse, Link, inverses
from genrev.network import Network


class PinvInverter(Inverter):
    """Goes backwards layer by layer: undoes the activation, then multiplies with the pseudo-inverse of the weights.

    Exact while every value that it asks for is one that its layer can give: an activation has a range, and a layer of
    more outputs than inputs can't give every combination. Else the nearest possible ones are used, and the answer
    misses: ``stats["clamped"]`` says in which of `layers`, and what share of their values; `explain` says it in words.
    Free entries of a target are filled with the middle of their range.

    Args:
        network: the network to invert: a chain of layers with registered inverses.
        tolerance: the residual that counts as met, in output units.

    Raises:
        LayerError: the network is no chain, or has a layer whose type has no registered inverse.

    Reference:
        Penrose, 1955, "A generalized inverse for matrices".

    Example:
        >>> from genrev import InputSpace
        >>> network = Network(nn.Sequential(nn.Linear(3, 2), nn.Sigmoid()), space=InputSpace((3,)))
        >>> bool(PinvInverter(network).reconstruct([[0.2, 0.7]]).converged)
        True
    """

    traits: ClassVar[Traits] = Traits(
        summary="The pseudo-inverse formula goes backwards layer by layer and picks the shortest values each time.",
        chain=True,
    )

    def __init__(self, network: Network, *, tolerance: float | Tensor = 1e-3) -> None:
        super().__init__(network, tolerance=tolerance)
        with torch.no_grad(), network.frozen():
            self._steps = self._prepare()

    @property
    def layers(self) -> list[str]:
        """The names of the layers whose outputs ``stats["clamped"]`` is about, last layer first."""
        return [step.link.name for step in self._steps]

    def _prepare(self) -> list[_Step]:
        """Compute what depends on the network alone: the inverse of each layer, last layer first."""
        chain = self.network.chain()
        parts = zip(chain.links, chain.titles(), inverses(chain.links), strict=True)
        return [_Step(link, title, invert) for link, title, invert in parts][::-1]

    def _propose(self, problem: Problem) -> Proposal:
        y = completed(moved_inside(problem.target, problem.tolerance, self.network), self.network.outputs)
        shares = []
        for step in self._steps:
            preimage = step.invert(y)
            shares.append(preimage.clamped.flatten(1).to(y.dtype).mean(1))
            y = preimage.x.reshape(len(y), *step.link.input_shape)
        outside = ~self.network.space.contains(y)
        return Proposal(
            y.reshape(len(y), *self.network.space.shape),
            {
                "clamped": torch.stack(shares, 1),
                "outside": outside.flatten(1).to(y.dtype).mean(1),
            },
        )

    def explain(self, found: Inversion) -> str:
        """Return what the formula asked for that no layer can give."""
        said = super().explain(found)
        clamped = found.stats.get("clamped")
        if clamped is None or clamped.shape[2:] != (len(self._steps),):
            raise ArgumentError("expected a result of this pinv, got another's; ask the inverter that gave it")
        asked = [step.asked(clamped[..., place]) for place, step in enumerate(self._steps) if clamped[..., place].any()]
        outside = found.stats["outside"]
        if outside.any():
            asked.append(f"{_percent(outside)} of the input values came out beyond the bounds of the input space")
        return f"{said} Clamped to the nearest possible: {'; '.join(asked)}." if asked else said


@dataclass(frozen=True, eq=False)
class _Step:
    """One layer on the way back.

    Args:
        link: the layer.
        title: what a person calls it.
        invert: from its outputs to their preimage.
    """

    link: Link
    title: str
    invert: Inverse

    def asked(self, clamped: Tensor) -> str:
        """Return what was asked of the layer that it can't give.

        Args:
            clamped: ``(batch, samples)``: the share of its values that no input gives.
        """
        if isinstance(self.link.module, nn.Linear):
            layer = self.link.module
            share, values = _percent((clamped > 0).double()), f"{layer.out_features} values"
            inputs = f"{layer.in_features} input{'s' * (layer.in_features != 1)}"
            return f"{share} of the answers asked {self.title} for {values} that its {inputs} can't give together"
        return f"{_percent(clamped)} of the values asked of {self.title} were beyond what it can give"


def _percent(share: Tensor) -> str:
    """Return a mean share; one that is not zero does not read as zero."""
    mean = float(share.double().mean())
    return f"{100 * mean:.0f} %" if mean >= 0.005 or mean == 0 else "under 1 %"
