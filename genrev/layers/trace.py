"""The graph of a forward pass: which layers and functions ran on what, seen by letting it run once.

A pass that really runs may ask for shapes and lengths and branch on them, as a symbolic one may not; what is written in
place shows in the tensors' own counts of writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from genrev.layers.affine import affine
from genrev.layers.bounds import bounds
from genrev.layers.preimage import inverse


@dataclass(eq=False)
class Node:
    """One step of a forward pass.

    Args:
        name: of the module in its network, or of the function and which of its kind it is: ``"add_1"``.
        kind: the module's type, or the function's full name.
        inputs: the steps whose outputs go in, as far as these depend on the network's input.
        given: the first of the tensors that go in, as it came: shape and type.
        output: what came out.
        module: the layer, for a step that is one.
        function: its short name, for a step that is one.
        args: of the function, the input among them.
        keywords: of the function.
        place: where among these stands what depends on the network's input; -1 where elsewhere.
        trouble: what makes it no step of a chain, if something does.
    """

    name: str
    kind: str
    inputs: list[Node] = field(default_factory=list)
    given: Tensor | None = None
    output: Any = None
    module: nn.Module | None = None
    function: str = ""
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    place: int = -1
    trouble: str = ""

    def __str__(self) -> str:
        return f"{self.name!r} ({self.kind})"


def trace(module: nn.Module, x: Tensor, forward: Callable[[Tensor], Tensor], *, whole: bool) -> tuple[Tensor, Node]:
    """Run a network once; return its output and the step that it comes from.

    Args:
        module: whose layers are watched.
        x: ``(batch, *input_shape)``.
        forward: how to run it.
        whole: whether a module without children is one step, also if it is none of torch's and no rule is registered
            for its type; else what it does is followed.

    Example:
        >>> _, last = trace(nn.Linear(3, 2), torch.zeros(1, 3), lambda x: nn.functional.relu(x).exp(), whole=True)
        >>> str(last), str(last.inputs[0])
        ("'exp' (torch.Tensor.exp)", "'relu' (torch.nn.functional.relu)")
    """
    recorder = _Recorder(x, [name for name, _ in module.named_modules()])
    with ExitStack() as hooks:
        for name, layer in _layers(module, "", whole):
            enter, leave = recorder.hooks(name)
            hooks.callback(layer.register_forward_pre_hook(enter, with_kwargs=True).remove)
            hooks.callback(layer.register_forward_hook(leave, with_kwargs=True).remove)
        with recorder:
            y = forward(x)
    return y, recorder.end(y)


def _layers(module: nn.Module, name: str, whole: bool) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(module, torch.jit.ScriptModule):
        # It runs outside of Python, takes no hooks, and can't be followed.
        return
    children = list(module.named_children())
    ours = type(module).__module__.partition(".")[0] == "torch"
    if _is_known(module) or (not children and (ours or whole)):
        yield name or type(module).__name__, module
        return
    for child, layer in children:
        yield from _layers(layer, f"{name}.{child}" if name else child, whole)


def _is_known(module: nn.Module) -> bool:
    """Return whether a rule is registered for the type of a layer."""
    return any(rules.dispatch(type(module)) is not rules.dispatch(object) for rules in (inverse, bounds, affine))


class _Recorder(TorchFunctionMode):
    """Notes what runs, on tensors that depend on the network's input.

    Args:
        x: the network's input.
        taken: names that steps can't have.
    """

    def __init__(self, x: Tensor, taken: list[str]) -> None:
        super().__init__()
        self._taken, self._inside = set(taken), 0
        self._made: dict[int, tuple[Tensor, int, Node]] = {}
        self._entered: list[Node] = []
        self._keep(x, Node("input", "the input"))

    def _keep(self, value: Any, node: Node) -> None:
        node.output = value
        for tensor in _tensors(value):
            # The tensor is kept too: another one in its place would have its number.
            self._made[id(tensor)] = tensor, _writes(tensor), node

    def _begin(self, node: Node, given: Any) -> Node:
        """Note what goes into a step, before the step may write on it."""
        for tensor in _tensors(given):
            if id(tensor) in self._made:
                _, writes, source = self._made[id(tensor)]
                node.inputs.append(source)
                if node.given is None:
                    node.given = torch.empty_like(tensor, device="meta")
                if writes != _writes(tensor):
                    node.trouble = f"which reads what {source} gave after something else has written on it in place"
        return node

    def end(self, y: Any) -> Node:
        """Return the step that a network's output comes from."""
        if id(y) in self._made and self._made[id(y)][1] == _writes(y):
            return self._made[id(y)][2]
        return Node("output", "the output", trouble="which comes of something that can't be followed, such as NumPy")

    def hooks(self, name: str) -> tuple[Callable[..., None], Callable[..., None]]:
        """Return what is to be called before a layer runs and after it."""

        def enter(layer: nn.Module, args: Any, keywords: Any) -> None:
            if not self._inside:
                self._entered.append(self._begin(Node(name, type(layer).__name__, module=layer), (args, keywords)))
            self._inside += 1

        def leave(layer: nn.Module, args: Any, keywords: Any, output: Any) -> None:
            self._inside -= 1
            if not self._inside:
                node = self._entered.pop()
                if node.inputs:
                    self._keep(output, node)

        return enter, leave

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function, and note it unless a layer is what runs it."""
        keywords = kwargs or {}
        if self._inside:
            return func(*args, **keywords)
        full = resolve_name(func) or getattr(func, "__name__", "a function")
        full = full.removesuffix(".__get__")
        short = full.rpartition(".")[2].strip("_")
        node = Node(short, full, function=short, args=tuple(args), keywords=dict(keywords))
        if "input" in keywords:
            node.args = (node.keywords.pop("input"), *args)
        node.place = next((place for place, value in enumerate(node.args) if id(value) in self._made), -1)
        self._begin(node, (args, keywords))
        output = func(*args, **keywords)
        if node.inputs and any(True for _ in _tensors(output)):
            node.name = self._unused(short)
            self._keep(output, node)
        return output

    def _unused(self, name: str) -> str:
        found, number = name, 0
        while found in self._taken:
            number += 1
            found = f"{name}_{number}"
        self._taken.add(found)
        return found


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _writes(value: Tensor) -> int:
    """Return how often a tensor was written to in place, its views included."""
    return 0 if value.is_inference() else value._version
