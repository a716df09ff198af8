"""The chain of layers that a network is, found in the graph of a forward pass; what is no chain is said why."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers.functions import NoLayerError, layer, linear
from genrev.layers.links import Residual, Scaled
from genrev.layers.operators import is_sums
from genrev.layers.trace import Node, trace

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")

_WAY_OUT = "use an inverter that needs no chain: 'newton', 'gradient', 'retrieval', 'decoder' or 'cvae'"


@dataclass(frozen=True, eq=False)
class Link:
    """One layer of a chain.

    Args:
        name: of the module in its network, or of the function that the layer is: ``"relu_1"``.
        module: the layer.
        input_shape: of one of its inputs.
    """

    name: str
    module: nn.Module
    input_shape: tuple[int, ...]

    @property
    def weighted(self) -> bool:
        """Whether a person would count it as a layer: one of weights, and not of a scale for each value."""
        return is_sums(self.module) or any(p.ndim > 1 for p in self.module.parameters())


class Chain:
    """The layers of a network in the order they run, each fed by the one before.

    A function in the forward pass is the layer of the same kind (F.relu, x @ W.T + b, x / 255), a sum x + g(x) of a
    chain g a `Residual`; reshapes only tell each layer the shape of its inputs.

    Args:
        module: the network, in eval mode.
        x: ``(batch, *input_shape)``: inputs on which the chain must reproduce the network.
        forward: how to run the network, if not by calling the module.
        head: a last layer that is no part of the module.

    Raises:
        LayerError: the network is no chain; the message names the step that is none.

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
            y, self.links = _find(module, x, forward or module)
            if head is not None:
                self.links.append(Link("head", head, tuple(y.shape[1:])))
                y = head(y)
            self._check(x, y)
            # A number that was read off this batch is another for a lone row.
            alone = (forward or module)(x[-1:].clone())
            self._check(x[-1:], alone if head is None else head(alone))

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
        weighted = [link.weighted for link in self.links]
        number = list(accumulate(weighted))
        return [
            f"{_title(place, number[-1])} ({type(link.module).__name__}, {link.name!r})"
            for place, link in zip(number, self.links, strict=True)
        ]

    def _check(self, x: Tensor, y: Tensor) -> None:
        value = x.clone()
        for link in self.links:
            value = link.module(value.reshape(len(value), *link.input_shape))
        scale = y.nan_to_num(0.0, 0.0, 0.0).abs().max().clamp(min=1.0)
        # Weights that are not finite are the layer's matter, whose name is then told.
        if value.shape != y.shape or not torch.allclose(value, y, rtol=0.0, atol=1e-4 * float(scale), equal_nan=True):
            raise LayerError(
                "expected a network that is a chain of its layers, got one whose output differs from theirs; "
                f"write it as modules that run one after another, or {_WAY_OUT}"
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


def _find(module: nn.Module, x: Tensor, forward: Callable[[Tensor], Tensor]) -> tuple[Tensor, list[Link]]:
    """Run the network and return its output and the layers that it came through.

    What a module of the user's own does inside is followed; where that is no chain, the module itself is one layer.
    """
    try:
        # A layer that works in place must write on nothing but copies.
        y, last = trace(module, x.clone(), forward, whole=False)
        return y, _Walk(len(x)).links(last)
    except LayerError as error:
        y, last = trace(module, x.clone(), forward, whole=True)
        try:
            links = _Walk(len(x)).links(last)
        except LayerError:
            raise error from None
        if [link.module for link in links] == [module]:
            raise
        return y, links


@dataclass(frozen=True, eq=False)
class _Sum:
    """A step x + g(x) of the trail of a network.

    Args:
        node: the sum.
        body: the steps of g, in the order they run.
        sign: of g.
    """

    node: Node
    body: list[_Sum | Node]
    sign: int


_Trail = list[_Sum | Node]


class _Walk:
    """The way from a network's output back to its input, and the layers on it.

    Args:
        rows: of the inputs.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._trails: dict[Node, _Trail] = {}
        self._seen: set[nn.Module] = set()

    def links(self, last: Node) -> list[Link]:
        """Return the layers between the input and a step, in the order they run.

        Args:
            last: the step.

        Raises:
            LayerError: they are no chain.
        """
        self._last: Node | None = None
        links = self._linked(self._trail(last))
        return links + self._reshape(last)

    def _trail(self, last: Node) -> _Trail:
        """Return the steps from the input up to one, in the order they run."""
        passed: list[Node] = []
        node = last
        while node not in self._trails and len(node.inputs) == 1 and not node.trouble:
            passed.append(node)
            node = node.inputs[0]
        if node not in self._trails:
            self._trails[node] = self._begin(node)
        for step in reversed(passed):
            self._trails[step] = [*self._trails[step.inputs[0]], step]
        return self._trails[last]

    def _begin(self, node: Node) -> _Trail:
        if node.trouble:
            raise _no_link(node, node.trouble)
        if not node.inputs:
            return []
        if len(node.inputs) == 2 and node.function in ("add", "iadd", "sub", "isub") and not node.keywords:
            for kept, moved in (node.inputs, node.inputs[::-1]):
                trail, start = self._trail(moved), self._trail(kept)
                if trail[: len(start)] != start or _shape(kept) != _shape(moved) or _shape(kept) != _shape(node):
                    continue
                if "add" in node.function or kept is node.inputs[0]:
                    return [*start, _Sum(node, trail[len(start) :], 1 if "add" in node.function else -1)]
        raise _no_link(node, "which joins values that went two ways, as a skip connection that is no x + g(x) does")

    def _linked(self, trail: _Trail) -> list[Link]:
        links: list[Link] = []
        for step in trail:
            node = step.node if isinstance(step, _Sum) else step
            module = self._module(step)
            if module is None:
                continue
            given = node.given
            assert given is not None
            if given.ndim < 2 or len(given) != self._rows or len(node.output) != self._rows:
                raise _no_link(node, "which does not keep the inputs of a batch apart in its first dimension")
            links.append(Link(node.name, module, tuple(given.shape[1:])))
            self._add_bias(links)
            self._last = node
        return links

    def _module(self, step: _Sum | Node) -> nn.Module | None:
        if isinstance(step, _Sum):
            body = self._linked(step.body)
            layers, shapes = [link.module for link in body], [link.input_shape for link in body]
            if step.sign < 0:
                one = torch.ones((), dtype=step.node.output.dtype)
                layers, shapes = [*layers, Scaled(-one, 0 * one)], [*shapes, _shape(step.node)]
            return Residual(layers, shapes).eval()
        if step.module is None:
            try:
                return layer(step)
            except NoLayerError as error:
                raise _no_link(step, str(error)) from None
        # What has no weights is the same wherever it is used.
        if step.module in self._seen and step.module.state_dict():
            raise LayerError(
                f"expected a chain in which every layer runs once, got {step} run twice; give each use a module of its "
                f"own, or {_WAY_OUT}"
            )
        self._seen.add(step.module)
        if not isinstance(step.output, Tensor):
            raise LayerError(
                f"expected layers that return one tensor, got {type(step.output).__name__} from {step}; {_WAY_OUT}"
            )
        return step.module

    def _add_bias(self, links: list[Link]) -> None:
        """Make one linear layer of a product and of a constant that is added to it."""
        if len(links) < 2 or not isinstance(links[-1].module, Scaled):
            return
        product, added = links[-2].module, links[-1].module
        if type(product) is not nn.Linear or product.bias is not None or product in self._seen:
            # What is no function's product is the network's own layer.
            return
        width, shape = product.out_features, added.shift.shape
        plain = added.scale.ndim == 0 and float(added.scale) == 1
        if plain and shape.numel() in (1, width) and shape[-1:] in ((), (1,), (width,)):
            bias = added.shift.flatten().expand(width)
            links[-2:] = [Link(links[-2].name, linear(product.weight, bias), links[-2].input_shape)]

    def _reshape(self, last: Node) -> list[Link]:
        """Return the layers that bring the last values into the shape in which they are returned."""
        node = last
        while self._last is None and node.inputs:
            node = node.inputs[0]
        given, shape = _shape(self._last or node), _shape(last)
        if given == shape:
            return []
        if math.prod(given) != math.prod(shape):
            raise _no_link(last, "which does not keep the inputs of a batch apart in its first dimension")
        flat, shaped = nn.Flatten(), nn.Unflatten(1, shape)
        links = [Link(last.name, flat, given), Link(f"{last.name}.shape", shaped, (math.prod(shape),))]
        return links[:1] if len(shape) == 1 else links


def _shape(node: Node) -> tuple[int, ...]:
    return tuple(node.output.shape[1:]) if isinstance(node.output, Tensor) else ()


def _no_link(node: Node, why: str) -> LayerError:
    return LayerError(
        f"expected a chain of layers, each fed by the one before, got {node}, {why}; write it as modules that run one "
        f"after another, or {_WAY_OUT}"
    )
