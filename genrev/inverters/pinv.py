"""pinv: the textbook formula x = W+ (activation^-1(y) - b), layer by layer, and where it asks for the impossible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from genrev.equation import completed, moved_inside
from genrev.errors import ArgumentError, LayerError
from genrev.inverter import Inversion, Inverter, Problem, Proposal, Traits
from genrev.layers import Inverse, Link, inverse
from genrev.network import Network

_PASSING = (nn.Identity, nn.Dropout, nn.Flatten)


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
        links, steps = chain.links, []
        for place, (link, title) in enumerate(zip(links, chain.titles(), strict=True)):
            # What only passes values on does not stand between a linear layer and its softmax.
            after = next((one.module for one in links[place + 1 :] if not isinstance(one.module, _PASSING)), None)
            module = _centred(link.module) if isinstance(after, (nn.Softmax, nn.LogSoftmax)) else link.module
            try:
                steps.append(_Step(link, title, inverse(module, link.input_shape)))
            except LayerError as error:
                raise LayerError(f"layer {link.name!r}: {error}") from None
        return steps[::-1]

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


def _centred(layer: nn.Module) -> nn.Module:
    """Leave out of a linear layer what a softmax behind it can't see: a constant added to all of its outputs.

    The pseudo-inverse of what is left solves for the constant and for the shortest input at once.
    """
    if not isinstance(layer, nn.Linear):
        return layer
    weight = layer.weight.detach()
    centred = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    centred = centred.to(weight.device, weight.dtype)
    centred.weight.copy_(weight - weight.mean(0))
    if layer.bias is not None:
        centred.bias.copy_(layer.bias - layer.bias.mean())
    return centred
