"""The inverses of the links of a chain, each prepared with regard to what stands behind it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from genrev.errors import LayerError
from genrev.layers.bounds import Interval, bounds, holds_for
from genrev.layers.chain import Link
from genrev.layers.operators import is_sums
from genrev.layers.preimage import Inverse, inverse
from genrev.layers.relaxation import everything

PASSING = (nn.Identity, nn.Dropout, nn.Flatten)
"""What only passes values on does not stand between a linear layer and its softmax."""


def inverses(links: Sequence[Link]) -> list[Inverse]:
    """Prepare the inverse of each link, in the order they run; a linear layer is freed of what a softmax can't see.

    Args:
        links: in the order they run.

    Raises:
        LayerError: the type of a layer has no registered inverse; the message names the layer.

    Example:
        >>> (invert,) = inverses([Link("1", nn.LeakyReLU(0.5), (1,))])
        >>> invert(torch.tensor([[-2.0]])).x.tolist()
        [[-4.0]]
    """
    found: list[Inverse] = []
    for place, link in enumerate(links):
        after = next((one.module for one in links[place + 1 :] if not isinstance(one.module, PASSING)), None)
        proportions = isinstance(after, (nn.Softmax, nn.LogSoftmax))
        module = _centred(link.module) if proportions and isinstance(link.module, nn.Linear) else link.module
        try:
            found.append(inverse(module, link.input_shape))
        except LayerError as error:
            raise LayerError(f"layer {link.name!r}: {error}") from None
    return found


def ranges(links: Sequence[Link], box: Interval) -> list[Interval]:
    """Return what the values that enter each link lie in, whatever the sums of the network give.

    Args:
        links: in the order they run.
        box: ``(1, *input_shape)``: what enters the first.

    Returns:
        ``(1, *input_shape)`` each, infinite where nothing is known.

    Example:
        >>> links = [Link("0", nn.Sigmoid(), (1,)), Link("1", nn.Linear(1, 1), (1,))]
        >>> box = ranges(links, everything((1,), torch.float64, torch.device("cpu")))[1]
        >>> box.low.tolist(), box.high.tolist()
        ([[0.0]], [[1.0]])
    """
    found = [box]
    for link, after in itertools.pairwise(links):
        nothing = everything(after.input_shape, torch.float64, box.low.device)
        try:
            given = box.reshape(1, *link.input_shape)
            known = holds_for(bounds.registry, link.module) and not is_sums(link.module)
            box = bounds(link.module, link.input_shape)(given).reshape(1, *after.input_shape) if known else nothing
        except LayerError:
            box = nothing
        found.append(box)
    return found


def _centred(layer: nn.Linear) -> nn.Linear:
    """Leave out of a linear layer what a softmax behind it can't see: a constant added to all of its outputs.

    The pseudo-inverse of what is left solves for the constant and for the shortest input at once.
    """
    weight = layer.weight.detach()
    centred: nn.Linear = nn.utils.skip_init(nn.Linear, *weight.shape[::-1], bias=layer.bias is not None)
    centred = centred.to(weight.device, weight.dtype)
    centred.weight.copy_(weight - weight.mean(0))
    if layer.bias is not None:
        centred.bias.copy_(layer.bias - layer.bias.mean())
    return centred
