"""Modules with given weights, built only once it is known that these fit, and weights that are what a layer needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from genrev.arrays import expect_shaped
from genrev.errors import ArgumentError

Module = TypeVar("Module", bound=nn.Module)

_PART = 2**20
"""Numbers that are looked at at once."""


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


def as_weights(name: str, values: Any, shape: Sequence[int | None], like: Tensor | None = None) -> Tensor:
    """Return the weights that a layer is given, if they are what they should be.

    Args:
        name: of the argument.
        values: what was given.
        shape: theirs; None for a size of at least 1.
        like: weights of the same layer, whose type and device theirs must be.

    Raises:
        ArgumentError: they are no finite floating-point numbers of that shape, or not like the others.

    Example:
        >>> as_weights("bias", torch.zeros(3), (2,))
        Traceback (most recent call last):
        genrev.errors.ArgumentError: expected bias of shape (2), got (3) in torch.float32; give one of that shape
    """
    fits = isinstance(values, Tensor) and values.ndim == len(shape) and values.is_floating_point()
    if not fits or not all(
        have == want if want is not None else have > 0 for want, have in zip(shape, values.shape, strict=True)
    ):
        sizes = ", ".join("n" if size is None else str(size) for size in shape)
        got = (
            f"({', '.join(map(str, values.shape))}) in {values.dtype}"
            if isinstance(values, Tensor)
            else type(values).__name__
        )
        raise ArgumentError(f"expected {name} of shape ({sizes}), got {got}; give one of that shape")
    if like is not None and (values.dtype != like.dtype or values.device != like.device):
        raise ArgumentError(
            f"expected {name} in {like.dtype} on {like.device} as the other weights are, got {values.dtype} on "
            f"{values.device}; convert it"
        )
    if not all_finite(values):
        raise ArgumentError(f"expected {name} of finite numbers, got NaN or infinity; train the network again")
    return values.detach()


def all_finite(values: Tensor) -> bool:
    """Return whether all values are finite, looking at a part at a time: the test takes as much memory as they do.

    Args:
        values: of any shape.

    Example:
        >>> all_finite(torch.tensor([1.0, torch.inf]))
        False
    """
    return all(bool(part.isfinite().all()) for part in values.detach().flatten().split(_PART))
