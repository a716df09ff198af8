"""The chain of layers that a network is, found by watching it run; what is no chain is said to be none, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers.preimage import is_invertible

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")

_WAY_OUT = "use an inverter that needs no chain: 'newton', 'gradient', 'retrieval', 'decoder' or 'cvae'"


@dataclass(frozen=True, eq=False)
class Link:
    """One layer of a chain.

    Args:
        name: of the module in its network.
        module: the layer.
        input_shape: of one of its inputs.
    """

    name: str
    module: nn.Module
    input_shape: tuple[int, ...]


class Chain:
    """The layers of a network in the order they run, each fed by the one before.

    Args:
        module: the network, in eval mode.
        x: ``(batch, *input_shape)``: inputs on which the chain must reproduce the network.
        forward: how to run the network, if not by calling the module.
        head: a last layer that is no part of the module.

    Raises:
        LayerError: the network is no chain of its modules.

    Example:
        >>> module = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
        >>> [link.name for link in Chain(module, torch.randn(2, 3))]
        ['0', '1']
    """

    def __init__(
        self,
        module: nn.Module,
        x: Tensor,
        *,
        forward: Callable[[Tensor], Tensor] | None = None,
        head: nn.Module | None = None,
    ) -> None:
        with torch.no_grad():
            # A layer that works in place must write on nothing but copies.
            given = x.clone()
            y, calls = _watch(module, given, forward or module)
            self.links = _connect(calls, given, y)
            if head is not None:
                self.links.append(Link("head", head, tuple(y.shape[1:])))
                y = head(y)
            self._check(x, y)

    def __iter__(self) -> Iterator[Link]:
        return iter(self.links)

    def __len__(self) -> int:
        return len(self.links)

    def titles(self) -> list[str]:
        """Return what a person calls each layer: one of weights and all behind it, up to the next, are one to them.

        Example:
            >>> module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
            >>> Chain(module, torch.randn(2, 3)).titles()[1:]
            ["the hidden layer (Tanh, '1')", "the output layer (Linear, '2')"]
        """
        weighted = [any(p.ndim > 1 for p in link.module.parameters()) for link in self.links]
        number = list(accumulate(weighted))
        return [
            f"{_title(place, number[-1])} ({type(link.module).__name__}, {link.name!r})"
            for place, link in zip(number, self.links, strict=True)
        ]

    def _check(self, x: Tensor, y: Tensor) -> None:
        value = x.clone()
        for link in self.links:
            value = link.module(value.reshape(len(value), *link.input_shape))
        scale = y.abs().max().clamp(min=1.0)
        if value.shape != y.shape or not bool(((value - y).abs() <= 1e-4 * scale).all()):
            raise LayerError(
                "expected a network that is a chain of its modules, got one whose output differs from its modules' run "
                f"one after another; {_WAY_OUT}"
            )


def _title(place: int, layers: int) -> str:
    """Return the name of one of several layers, from 1; 0 is what stands before the first."""
    if place == 0:
        return "what the input goes through first"
    if place == layers:
        return "the output layer"
    if layers == 2:
        return "the hidden layer"
    return f"the {_ORDINALS[place - 1]} hidden layer" if place <= len(_ORDINALS) else f"hidden layer {place}"


def _watch(module: nn.Module, x: Tensor, forward: Callable[[Tensor], Tensor]) -> tuple[Tensor, list[Any]]:
    """Run the network and note every call of a layer: name, module, what came in, what went out."""
    calls: list[Any] = []
    entered: list[Any] = []
    with ExitStack() as hooks:
        for name, layer in _layers(module, ""):

            def enter(layer: nn.Module, args: tuple[Any, ...]) -> None:
                entered.append(_writes(args[0] if args else None))

            def note(layer: nn.Module, args: tuple[Any, ...], output: Any, name: str = name) -> None:
                calls.append((name, layer, args, output, entered.pop(), _writes(output)))

            hooks.callback(layer.register_forward_pre_hook(enter).remove)
            hooks.callback(layer.register_forward_hook(note).remove)
        y = forward(x)
    return y, calls


def _layers(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    children = list(module.named_children())
    if not children or is_invertible(module):
        yield name or type(module).__name__, module
        return
    for child, layer in children:
        yield from _layers(layer, f"{name}.{child}" if name else child)


def _connect(calls: list[Any], x: Tensor, y: Tensor) -> list[Link]:
    links: list[Link] = []
    seen: set[nn.Module] = set()
    before, value, written = "the input", x, 0
    for name, layer, args, output, came, left in calls:
        if layer in seen:
            raise LayerError(
                f"expected a chain in which every layer runs once, got {name!r} ({type(layer).__name__}) run twice; "
                f"give each use a module of its own, or {_WAY_OUT}"
            )
        seen.add(layer)
        if len(args) != 1 or not _hands_over(value, args[0]) or came != written:
            raise _gap(before, f"{name!r} ({type(layer).__name__})")
        if not isinstance(output, Tensor):
            raise LayerError(
                f"expected layers that return one tensor, got {type(output).__name__} from {name!r}; {_WAY_OUT}"
            )
        links.append(Link(name, layer, tuple(args[0].shape[1:])))
        before, value, written = f"{name!r} ({type(layer).__name__})", output, left
    if not _hands_over(value, y) or _writes(y) != written:
        raise _gap(before, "the output")
    return links


def _gap(before: str, after: str) -> LayerError:
    return LayerError(
        f"expected a chain of modules, each fed by the one before, got something else between {before} and {after}, "
        f"such as a function in forward (F.relu) or a skip connection; write it as modules, or {_WAY_OUT}"
    )


def _writes(value: Any) -> int:
    """Return how often a tensor was written to in place, its views included: a function between layers may do that."""
    return value._version if isinstance(value, Tensor) and not value.is_inference() else 0


def _hands_over(given: Any, taken: Any) -> bool:
    """Whether a tensor arrived as it left, or only reshaped."""
    if not isinstance(given, Tensor) or not isinstance(taken, Tensor):
        return False
    return given is taken or (given.data_ptr() == taken.data_ptr() and given.numel() == taken.numel())
