"""The trained network that is inverted, seen as a function; it is never changed."""

from __future__ import annotations

import hashlib
import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from genrev.arrays import as_numbers
from genrev.checks import called_as
from genrev.errors import ArgumentError, GenrevError, LayerError, UnknownNameError, nearest
from genrev.layers import Chain, Interval, Link, everything, reach
from genrev.noise import Noise, target_keys
from genrev.operators.processes import whole_blocks
from genrev.rows import filled
from genrev.space import InputSpace

if TYPE_CHECKING:
    from genrev.training import History

MEMORY = 2**28
"""Bytes that the values of one chunk of work may take."""

_LIGHT = 2**16
"""Bytes that a row of a forward pass may take for a few spare rows to cost next to nothing."""

_FEW = 2**16
"""Numbers that are kept to save drawing them again."""

OUTPUTS = ("softmax", "sigmoid", "values")

_LINKS = (nn.Sigmoid, nn.Tanh, nn.LeakyReLU, nn.ReLU, nn.ELU, nn.Softplus, nn.Softmax, nn.LogSoftmax)


_HELD: weakref.WeakSet[nn.Module] = weakref.WeakSet()
"""The modules that are frozen already, by an outer call."""


def wrong_inputs(name: str, shape: Sequence[int], network: Network) -> ArgumentError:
    """Return what is wrong with inputs of another shape than the network's, and the way to mend it that makes sense.

    Args:
        name: of the argument that they were given for.
        shape: theirs.
        network: whose inputs they should be.

    Example:
        >>> str(wrong_inputs("inputs", (9, 2), Network(nn.Linear(4, 3), space=InputSpace((4,)))))
        'expected inputs of shape (n, 4), got (9, 2); give inputs of this network, one a row'
    """
    right, shape = network.space.shape, tuple(shape)
    rows = ", ".join(["n", *map(str, right)])
    got, remedy = f"{shape}", "give inputs of this network, one a row"
    if shape and 0 in shape:
        got, remedy = f"none, of shape {shape}", "give at least one"
    elif shape == right:
        remedy = "a lone input needs a batch of one around it: x[None]"
    elif shape[1:] == network.output_shape:
        got = f"{shape}, the shape of the network's outputs"
        remedy = "give inputs: outputs are targets, for reconstruct"
    elif len(shape) > 1 and math.prod(shape[1:]) == math.prod(right):
        remedy = f"write x.reshape({', '.join(['-1', *map(str, right)])}) if its values are in that order"
    return ArgumentError(f"expected {name} of shape ({rows}), got {got}; {remedy}")


class _Reached(Exception):  # noqa: N818  (carries a value out of a forward pass; nothing went wrong)
    def __init__(self, output: Any) -> None:
        self.output = output


class Network:
    """A trained network f, seen as a function from an input space to outputs; genrev never changes it.

    The module runs in eval mode; its flags, ``requires_grad``, hooks and buffers are as before after every call, and
    no weights are copied.

    Args:
        module: any module from ``(batch, *space.shape)`` to ``(batch, *output_shape)`` that treats rows independently.
        space: the input space.
        outputs: what the outputs are: "softmax", "sigmoid" or "values"; read from the last module if not given.

    Attributes:
        history: how it learned, where genrev trained it.

    Raises:
        ArgumentError: the module does not run on inputs of that shape or gives one input two outputs, or ``outputs`` is
            none of the three, or not what the outputs are.

    Example:
        >>> network = Network(nn.Sequential(nn.Linear(4, 2), nn.Sigmoid()), space=InputSpace((4,), 0.0, 1.0))
        >>> network.outputs, network.output_shape, tuple(network(torch.zeros(3, 4)).shape)
        ('sigmoid', (2,), (3, 2))
    """

    @called_as("Network(module, space=InputSpace((1, 28, 28), low=0.0, high=1.0)), with the shape of one input")
    def __init__(self, module: nn.Module, *, space: InputSpace, outputs: str | None = None) -> None:
        if not isinstance(module, nn.Module):
            raise ArgumentError(
                f"expected a torch.nn.Module, got {_what(module)}; write a function as the forward of a "
                "module, and use Network.from_weights for plain arrays"
            )
        if not isinstance(space, InputSpace):
            raise ArgumentError(
                f"expected an InputSpace, got {type(space).__name__}; write space=InputSpace(shape, low, high)"
            )
        if outputs is not None and outputs not in OUTPUTS:
            raise ArgumentError(
                f"expected outputs to be one of {', '.join(OUTPUTS)}, got {outputs!r}"
                f"{nearest(str(outputs), OUTPUTS) or '; leave it out to have it read from the last module'}"
            )
        self._setup(module, space, outputs, head=None, stop=None)

    def _setup(
        self, module: nn.Module, space: InputSpace, outputs: str | None, head: nn.Module | None, stop: str | None
    ) -> Network:
        self.module, self.space = module, space
        # Behind the module, and the name of the submodule it ends at: None for most.
        self.head, self.stop = head, stop
        _expect_weights(module)
        parameter = next((p for p in module.parameters() if p.is_floating_point()), None)
        self.dtype = torch.float32 if parameter is None else parameter.dtype
        self.device = torch.device("cpu") if parameter is None else parameter.device
        self.history: History | None = None
        self._link: nn.Module | None = None
        self._overwrites = False
        self._samples: tuple[InputSpace, Tensor] | None = None
        y, self.row_bytes = self._probe()
        self.output_shape = tuple(y.shape[1:])
        self.outputs = outputs or self._read_outputs()
        self._check_repeats(y)
        self._check_said(y)
        return self

    @classmethod
    @called_as("Network.from_weights([W1, W2], [b1, b2]), W of shape (outputs, inputs)")
    def from_weights(
        cls,
        weights: Sequence[Any],
        biases: Sequence[Any],
        *,
        activation: str | Sequence[str] = "sigmoid",
        space: InputSpace | None = None,
    ) -> Network:
        """Build a network from the arrays of a program of one's own.

        Args:
            weights: one array a layer, of shape (outputs, inputs).
            biases: one array a layer, of shape (outputs,).
            activation: one name for all layers, or one a layer: see `genrev.models.ACTIVATIONS`.
            space: the input space; unbounded, of the first layer's width, if not given.

        Returns:
            The network, in the arrays' own precision (float64 for lists and integers).

        Raises:
            ArgumentError: shapes do not fit one another, or a weight is not finite.
            UnknownNameError: an activation has no such name.

        Example:
            >>> network = Network.from_weights([np.eye(2)], [np.zeros(2)], activation="identity")
            >>> network.evaluate(torch.ones(1, 2)).tolist()
            [[1.0, 1.0]]
        """
        from genrev.models import mlp_from_weights

        module = mlp_from_weights(weights, biases, activation=activation)
        return cls(module, space=space or InputSpace((np.shape(weights[0])[1],)))

    def with_softmax(self) -> Network:
        """Return the same network with a softmax behind its last module: logits become probabilities."""
        return self._with_head(nn.Softmax(-1))

    def with_sigmoid(self) -> Network:
        """Return the same network with a sigmoid behind its last module."""
        return self._with_head(nn.Sigmoid())

    def _with_head(self, head: nn.Module) -> Network:
        if self.outputs != "values":
            raise ArgumentError(
                f"expected a network that ends in plain values, got one that ends in {self.outputs}; use it as it is"
            )
        return object.__new__(Network)._setup(self.module, self.space, None, head, self.stop)

    @called_as()
    def until(self, name: str) -> Network:
        """Return the part of the network from its input to the output of one of its modules, again a network.

        Args:
            name: of the module, as in ``module.named_modules()``: "encoder.2".

        Raises:
            UnknownNameError: there is no such module.
            LayerError: the module does not run exactly once, or not before the end of this network.
            ArgumentError: it gives no batch of numbers.

        Example:
            >>> network = Network(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), space=InputSpace((4,)))
            >>> network.until("1").output_shape
            (3,)
        """
        modules = dict(self.module.named_modules())
        if not isinstance(name, str) or not name or name not in modules:
            names = [known for known in modules if known]
            raise UnknownNameError(
                f"expected the name of a module ({', '.join(names)}), got {name!r}"
                f"{nearest(str(name), names) or '; see module.named_modules()'}"
            )
        if self.stop is not None and not self._calls(modules[name], self._run):
            raise LayerError(
                f"expected a module that is done before {self.stop!r}, where this network ends, got {name!r}; "
                "take it from the whole network"
            )
        self._check_runs_once(name, modules[name])
        return object.__new__(Network)._setup(self.module, self.space, None, None, name)

    def _check_runs_once(self, name: str, module: nn.Module) -> None:
        calls = self._calls(module, self.module)
        if calls != 1:
            raise LayerError(
                f"expected module {name!r} to run once in a forward pass, got {calls} times; "
                "choose a module that runs once, or give each use a module of its own"
            )

    def _calls(self, module: nn.Module, forward: Callable[[Tensor], Any]) -> int:
        """Return how often a module runs to its end in a forward pass."""
        calls: list[Any] = []
        with self.frozen(), torch.no_grad():
            handle = module.register_forward_hook(lambda *call: calls.append(call[2]))
            try:
                forward(self._probe_input())
            finally:
                handle.remove()
        return len(calls)

    def __call__(self, x: Tensor) -> Tensor:
        """Return f(x), differentiable in x.

        Args:
            x: ``(batch, *space.shape)``.

        Returns:
            ``(batch, *output_shape)``.

        Raises:
            ArgumentError: the module does not run on x, because of its type or shape.
        """
        try:
            with self.frozen():
                return self._forward(x)
        except GenrevError:
            raise
        except Exception as error:
            wrong = self._misfit(x)
            if wrong is None:
                raise
            raise wrong from error

    def rowwise(self, x: Tensor) -> Tensor:
        """Return f(x), differentiable in x, with each row rounded as it would be beside any others.

        Args:
            x: ``(batch, *space.shape)``.

        Returns:
            ``(batch, *output_shape)``.
        """
        with self.frozen():
            return self._forward(self._filled(x))[: len(x)]

    def _filled(self, x: Tensor) -> Tensor:
        return filled(x) if self.row_bytes <= _LIGHT else x

    def evaluate(self, x: Tensor) -> Tensor:
        """Return f(x) without gradients, row by row as `rowwise` does, in chunks that keep to the memory bound.

        Args:
            x: ``(batch, *space.shape)``, converted to the network's dtype and device; lists and arrays will do.

        Returns:
            ``(batch, *output_shape)``.

        Raises:
            ArgumentError: x is no batch of inputs.
        """
        x = as_numbers("x", x).detach().to(self.device, self.dtype)
        if tuple(x.shape[1:]) != self.space.shape or x.ndim == 0:
            raise wrong_inputs("x", x.shape, self)
        with torch.no_grad():
            return torch.cat([self.rowwise(part) for part in x.split(self.rows_at_once())])

    def _misfit(self, x: Any) -> ArgumentError | None:
        """Return why the module can't run on x, if that is x's doing."""
        if not isinstance(x, Tensor):
            return ArgumentError(
                f"expected x as a tensor, got {type(x).__name__}; convert it, or use network.evaluate, which does"
            )
        if tuple(x.shape[1:]) != self.space.shape:
            return wrong_inputs("x", x.shape, self)
        if x.dtype != self.dtype or x.device != self.device:
            return ArgumentError(
                f"expected x as {self.dtype} on {self.device}, got {x.dtype} on {x.device}; convert it, or use "
                "network.evaluate, which does"
            )
        return None

    def rows_at_once(self, extra: int = 0) -> int:
        """Return how many rows of work fit the memory bound.

        Args:
            extra: bytes that a row takes beside one forward pass.
        """
        return max(1, MEMORY // (self.row_bytes + extra))

    def before_link(self, x: Tensor) -> tuple[Tensor, nn.Module | None]:
        """Return the values that enter the last monotone activation, row by row as `rowwise` does, and that activation.

        Behind a saturated sigmoid or softmax residuals say next to nothing; before it they are well scaled.

        Args:
            x: ``(batch, *space.shape)``.

        Returns:
            ``(batch, *output_shape)``, and the activation: None where the outputs are the values themselves.
        """
        rows, x = len(x), self._filled(x)
        with self.frozen():
            if self.head is not None:
                return self._body(x)[:rows], self.head
            if self._link is None:
                return self._before_function(self._body(x)[:rows])
            entering: list[Tensor] = []

            def keep(module: nn.Module, args: tuple[Tensor, ...], keywords: dict[str, Tensor]) -> None:
                value = args[0] if args else keywords["input"]
                entering.append(value.clone() if getattr(module, "inplace", False) else value)

            handle = self._link.register_forward_pre_hook(keep, with_kwargs=True)
            try:
                self._body(x)
            finally:
                handle.remove()
            return entering[-1][:rows], self._link

    def _before_function(self, y: Tensor) -> tuple[Tensor, nn.Module | None]:
        """Undo a softmax or sigmoid that is no module: the user said it is there."""
        tiny = torch.finfo(y.dtype).tiny
        if self.outputs == "softmax":
            return y.clamp(min=tiny).log(), nn.Softmax(-1)
        if self.outputs == "sigmoid":
            edge = torch.finfo(y.dtype).eps / 2
            return torch.logit(y.clamp(tiny, 1 - edge)), nn.Sigmoid()
        return y, None

    def chain(self) -> Chain:
        """Return the layers of the network in the order they run, checked on random inputs.

        Raises:
            LayerError: the network is no chain of layers; the message names the step that is none.
        """
        with self.frozen():
            return Chain(self.module, self._some_inputs(), forward=self._run, head=self.head)

    def reachable_box(self) -> Interval:
        """Return bounds that no output of the network leaves, whatever input of the space comes in.

        They are sound and not tight: what they leave out is proved impossible, what they hold may be so too. Intervals
        go through the layers, and where that is cheap straight lines through several of them; both allow for the
        rounding of the network's own precision. A layer of a type without `genrev.layers.bounds` gives anything, and of
        a network that is no chain of layers only the last activation is known: a sigmoid's outputs are in [0, 1].
        The proof takes it that a forward pass does the same for every input: one with an ``if`` on its values may pass
        for a chain that it is not.

        Returns:
            low and high, ``output_shape`` each, in float64, for the weights as they are now; infinite where nothing is
            known.

        Reference:
            Zhang, Weng, Chen, Hsieh and Daniel, 2018, "Efficient Neural Network Robustness Certification with General
            Activation Functions"; Gowal et al., 2018, "On the Effectiveness of Interval Bound Propagation for Training
            Verifiably Robust Models".

        Example:
            >>> module = nn.Linear(2, 1)
            >>> _ = nn.init.ones_(module.weight), nn.init.zeros_(module.bias)
            >>> box = Network(module, space=InputSpace((2,), 0.0, 1.0)).reachable_box()
            >>> [round(float(bound), 3) for bound in (box.low, box.high)]
            [-0.0, 2.0]
        """
        low, high = (bound.to(self.dtype).to(self.device) for bound in (self.space.low, self.space.high))
        with torch.inference_mode(False), torch.no_grad(), self.frozen():
            links = self._links()
            if links:
                box = Interval(low.double()[None], high.double()[None], self.dtype)
            else:
                # Nothing is known but of the last activation.
                box = everything(self.output_shape, self.dtype, torch.device("cpu"))
                links = [] if self.link is None else [Link("link", self.link, self.output_shape)]
            return reach(links, box, self.output_shape).reshape(*self.output_shape)

    def _links(self) -> list[Link]:
        """Return the layers of the network where it is a chain on a device that knows float64, else none."""
        if self.device.type == "mps":
            return []
        try:
            return self.chain().links
        except Exception:
            # Layers that do not run outside of their network, whatever they raise, are none of a chain.
            return []

    @property
    def link(self) -> nn.Module | None:
        """The last activation, where outputs are asked for behind it; None where there is none."""
        if self.head is not None:
            return self.head
        if self._link is not None:
            return self._link
        return {"softmax": nn.Softmax(-1), "sigmoid": nn.Sigmoid(), "values": None}[self.outputs]

    def _forward(self, x: Tensor) -> Tensor:
        y = self._body(x)
        return y if self.head is None else self.head(y)

    def _body(self, x: Tensor) -> Tensor:
        # A module that works in place must not write on the caller's values.
        return self._run(x.clone() if self._overwrites else x)

    def _run(self, x: Tensor) -> Tensor:
        if self.stop is None:
            return self.module(x)

        def stop(module: nn.Module, args: Any, output: Any) -> None:
            raise _Reached(output)

        handle = self.module.get_submodule(self.stop).register_forward_hook(stop)
        try:
            self.module(x)
        except _Reached as reached:
            return reached.output
        finally:
            handle.remove()
        raise LayerError(f"expected module {self.stop!r} to run in a forward pass, got none; choose one that runs")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Hold the module in eval mode without parameter gradients, and restore all it had afterwards."""
        if self.module in _HELD:
            yield
            return
        _HELD.add(self.module)
        modules = list(self.module.modules())
        training = [module.training for module in modules]
        parameters = [(p, p.requires_grad) for p in self.module.parameters()]
        buffers = [(m, name, b, b.clone()) for m in modules for name, b in m._buffers.items() if b is not None]
        try:
            for module in modules:
                module.training = False
            for parameter, _ in parameters:
                parameter.requires_grad_(False)
            yield
        finally:
            _HELD.discard(self.module)
            for module, flag in zip(modules, training, strict=True):
                module.training = flag
            for parameter, flag in parameters:
                parameter.requires_grad_(flag)
            for module, name, buffer, value in buffers:
                if not _same(buffer, value):
                    with torch.no_grad():
                        buffer.copy_(value)
                module._buffers[name] = buffer

    def _some_inputs(self) -> Tensor:
        """Return a few inputs from all over the space, the same ones each time."""
        space = self.space
        if self._samples is not None and self._samples[0] is space:
            return self._samples[1].clone()
        noise = Noise(target_keys(torch.arange(8.0)[:, None], 0)).uniform(space.shape)
        low = torch.where(space.low.isfinite(), space.low, torch.where(space.high.isfinite(), space.high - 2, -1.0))
        high = torch.where(space.high.isfinite(), space.high, low + 2)
        samples = (low + (high - low) * noise).to(self.device, self.dtype)
        # Drawn anew, they take longer than a small network.
        self._samples = (space, samples.clone()) if samples.numel() <= _FEW else None
        return samples

    def _probe_input(self) -> Tensor:
        return self.space.middle[None].to(self.device, self.dtype)

    def _probe(self) -> tuple[Tensor, int]:
        """Run the module once, to learn its output shape, its last activation and the memory one row takes."""
        with torch.inference_mode(False), self.frozen(), torch.no_grad(), ExitStack() as hooks:
            x = self._probe_input()
            taken, written = [x.numel()], x._version
            last: list[tuple[nn.Module, Any, int]] = []

            def keep(module: nn.Module, args: Any, output: Any) -> None:
                if isinstance(output, Tensor):
                    taken.append(output.numel())
                if isinstance(module, _LINKS):
                    last[:] = [(module, output, output._version)]

            for module in self.module.modules():
                hooks.callback(module.register_forward_hook(keep).remove)
            try:
                y = self._forward(x)
            except GenrevError:
                raise
            except Exception as error:
                cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise ArgumentError(
                    f"expected a module that runs on inputs of shape (batch, {', '.join(map(str, self.space.shape))}), "
                    f"got an error from it ({cause}); check the input space's shape, "
                    "and that the module runs on such a batch"
                ) from error
        if not isinstance(y, Tensor) or y.ndim < 2 or len(y) != 1 or not y.is_floating_point():
            got = f"shape {tuple(y.shape)}, {y.dtype}" if isinstance(y, Tensor) else type(y).__name__
            recurrent = isinstance(self.module, (nn.RNNBase, nn.RNNCellBase))
            raise ArgumentError(
                f"expected the module to return one floating-point tensor (batch, *output_shape), got {got}; "
                + ("unroll it: genrev.unroll(module, steps=...)" if recurrent else "wrap it in a module that does")
            )
        self._overwrites = x._version != written
        # The same tensor, not written to since.
        if last and last[0][1] is y and last[0][2] == y._version:
            self._link = last[0][0]
        return y, sum(taken) * x.element_size()

    def _check_repeats(self, y: Tensor) -> None:
        """Refuse a module that makes something up: no residual of it would be known."""
        with torch.inference_mode(False), torch.no_grad():
            again = self(self._probe_input())
        if not torch.allclose(y, again, rtol=1e-3, atol=1e-6, equal_nan=True):
            raise ArgumentError(
                "expected a module that gives an input the same output each time, got another the second time; take "
                "what is random out of its forward, or have it depend on self.training"
            )

    def _check_said(self, y: Tensor) -> None:
        """Refuse outputs that are not what they are said to be."""
        if self.outputs == "values" or not bool(y.isfinite().all()):
            return
        said = f"expected outputs that are a {self.outputs}'s"
        if bool(((y < 0) | (y > 1)).any()):
            worst = float(y.flatten()[(y.flatten() - 0.5).abs().argmax()])
            raise ArgumentError(
                f"{said}, got {worst:.4g}; put the function behind the network: "
                f"Network(module, space=...).with_{self.outputs}()"
            )
        total = y.sum(-1)
        if self.outputs == "softmax" and not bool(((total - 1).abs() <= 1e-3).all()):
            raise ArgumentError(
                f"{said}, got a sum of {float(total.flatten()[0]):.4g}; say outputs='sigmoid' where each is a "
                "probability of its own"
            )

    @property
    def differentiable(self) -> bool:
        """Whether gradients of the outputs reach the input, as they do not through NumPy, ``detach`` or ``no_grad``."""
        with torch.inference_mode(False), torch.enable_grad():
            y = self(self._some_inputs().requires_grad_())
        # Outputs that are the same everywhere have no gradients to lose.
        return y.requires_grad or bool((y == y[:1]).all())

    def _read_outputs(self) -> str:
        last = self.head or self._link
        if isinstance(last, nn.Softmax) and last.dim in (-1, len(self.output_shape)):
            return "softmax"
        return "sigmoid" if isinstance(last, nn.Sigmoid) else "values"

    def fingerprint(self) -> str:
        """Return a hash of the network: its structure, weights, input space and outputs; 64 hexadecimal digits."""
        digest = hashlib.sha256()
        kind = type(self.module)
        said = (f"{kind.__qualname__}", repr(self.module), repr(self.head), self.stop, self.outputs, self.space.shape)
        digest.update(repr(said).encode())
        state: Mapping[str, Any] = self.module.state_dict()
        tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        for name, value in [*sorted(tensors.items()), ("low", self.space.low), ("high", self.space.high)]:
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            for block in whole_blocks(value):
                digest.update(block.cpu().contiguous().flatten().clone().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        part = f", until={self.stop!r}" if self.stop else ""
        return (
            f"Network({type(self.module).__name__}, {self.space}, outputs={self.outputs!r}, "
            f"output_shape={self.output_shape}{part})"
        )


def _what(thing: Any) -> str:
    """Return what something is: for a class its name, which its type would hide."""
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__


def _expect_weights(module: nn.Module) -> None:
    for name, values in [*module.named_parameters(), *module.named_buffers()]:
        if nn.parameter.is_lazy(values):
            raise ArgumentError(
                f"expected a module whose weights are there, got the lazy {name!r}; run it once on a batch of inputs"
            )
        if values.is_meta:
            raise ArgumentError(
                f"expected a module whose weights are in memory, got {name!r} on the device 'meta'; load its weights"
            )


def _same(a: Tensor, b: Tensor) -> bool:
    if a.is_floating_point():
        return bool(((a == b) | (a.isnan() & b.isnan())).all())
    return torch.equal(a, b)
