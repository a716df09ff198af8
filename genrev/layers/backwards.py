"""The inverses of the links of a chain, each prepared with regard to what stands behind it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from genrev.errors import LayerError
from genrev.layers.chain import Link
from genrev.layers.preimage import Inverse, inverse

_PASSING = (nn.Identity, nn.Dropout, nn.Flatten)
"""What only passes values on does not stand between a linear layer and its softmax."""


def inverses(links: Sequence[Link]) -> list[Inverse]:
    """Prepare the inverse of each link, in the order they run; a linear layer is freed of what a softmax can't see.

    Args:
        links: in the order they run.

    Raises:
        LayerError: the type of a layer has no registered inverse; the message names the layer.

    Example:
        >>> import torch
        >>> (invert,) = inverses([Link("1", nn.LeakyReLU(0.5), (1,))])
        >>> invert(torch.tensor([[-2.0]])).x.tolist()
        [[-4.0]]
    """
    found: list[Inverse] = []
    for place, link in enumerate(links):
        after = next((one.module for one in links[place + 1 :] if not isinstance(one.module, _PASSING)), None)
        proportions = isinstance(after, (nn.Softmax, nn.LogSoftmax))
        module = _centred(link.module) if proportions and isinstance(link.module, nn.Linear) else link.module
        try:
            found.append(inverse(module, link.input_shape))
        except LayerError as error:
            raise LayerError(f"layer {link.name!r}: {error}") from None
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
