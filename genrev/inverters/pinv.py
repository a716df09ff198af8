"""pinv: the textbook formula x = W+ (activation^-1(y) - b), layer by layer, and where it asks for the impossible."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genrev.equation import moved_inside
from genrev.errors import LayerError
from genrev.inverter import Inversion, Inverter, Problem, Proposal, Traits
from genrev.layers import inverse
from genrev.network import Network

_PASSING = (nn.Identity, nn.Dropout, nn.Flatten)


class PinvInverter(Inverter):
    """Goes backwards layer by layer: undoes the activation, then multiplies with the pseudo-inverse of the weights.

    Exact while every hidden value stays within what its activation can give. Where it does not, the value is clamped
    to the nearest one that can, and the answer misses: ``stats["clamped"]`` says in which layers, and how often.
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
        return [name for name, _, _ in self._steps]

    def _prepare(self) -> list[tuple[str, tuple[int, ...], Any]]:
        """Compute what depends on the network alone: the inverse of each layer, last layer first."""
        links = list(self.network.chain())
        steps = []
        for place, link in enumerate(links):
            # What only passes values on does not stand between a linear layer and its softmax.
            after = next((one.module for one in links[place + 1 :] if not isinstance(one.module, _PASSING)), None)
            module = _centred(link.module) if isinstance(after, (nn.Softmax, nn.LogSoftmax)) else link.module
            try:
                steps.append((link.name, link.input_shape, inverse(module, link.input_shape)))
            except LayerError as error:
                raise LayerError(f"layer {link.name!r}: {error}") from None
        return steps[::-1]

    def _propose(self, problem: Problem) -> Proposal:
        y = _filled(moved_inside(problem.target, problem.tolerance, self.network), self.network.outputs)
        shares = []
        for _, shape, invert in self._steps:
            preimage = invert(y)
            shares.append(preimage.clamped.flatten(1).to(y.dtype).mean(1))
            y = preimage.x.reshape(len(y), *shape)
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
        shares = found.stats["clamped"].flatten(0, 1).mean(0).tolist()
        asked = [
            f"{share:.0%} of the values asked of layer {name!r} were beyond what it can give"
            for name, share in zip(self.layers, shares, strict=True)
            if share > 0
        ]
        outside = float(found.stats["outside"].mean())
        if outside > 0:
            asked.append(f"{outside:.0%} of the input values came out beyond the bounds of the input space")
        reason = f" Clamped to the nearest possible: {'; '.join(asked)}." if asked else ""
        return super().explain(found) + reason


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


def _filled(target: Tensor, outputs: str) -> Tensor:
    """Fill what is free: the rest of a softmax's mass in equal parts, the middle of a sigmoid, else zero."""
    free = target.isnan()
    if outputs == "softmax":
        rest = (1 - target.nansum(-1, keepdim=True)).clamp(min=1e-6) / free.sum(-1, keepdim=True).clamp(min=1)
        filled = torch.where(free, rest, target)
        return torch.where(free.any(-1, keepdim=True), filled / filled.sum(-1, keepdim=True), target)
    return target.nan_to_num(0.5 if outputs == "sigmoid" else 0.0)
