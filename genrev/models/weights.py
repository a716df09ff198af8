"""Modules with given weights, built only once it is known that these fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from genrev.arrays import expect_shaped

Module = TypeVar("Module", bound=nn.Module)


def with_weights(build: Callable[[], Module], weights: Mapping[str, Tensor], dtype: torch.dtype) -> Module:
    """Build a module and give it weights; no memory is taken for widths that those don't have.

    Args:
        build: builds the module, with whatever weights; the global generators are as before.
        weights: by the names of its state.
        dtype: of the weights.

    Returns:
        The module, on the CPU, in eval mode.

    Raises:
        ArgumentError: the weights are not those of the module.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> again = with_weights(lambda: nn.Linear(2, 1), layer.state_dict(), torch.float32)
        >>> torch.equal(again.weight, layer.weight)
        True
    """
    with torch.device("meta"):
        plan = build()
    expect_shaped(weights, {name: value.shape for name, value in plan.state_dict().items()}, dtype)
    with torch.random.fork_rng(devices=[]):
        module = build().to(dtype)
    module.load_state_dict(dict(weights))
    return module.eval()
