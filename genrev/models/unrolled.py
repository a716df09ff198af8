"""A recurrent module over so many steps: a plain module from a sequence to a sequence, its first state fixed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from genrev.arrays import as_numbers
from genrev.checks import whole
from genrev.errors import ArgumentError

State = Tensor | tuple[Tensor, ...]
"""What a recurrent module keeps between two steps."""

CELLS = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)
STACKS = (nn.RNN, nn.LSTM, nn.GRU)


class Unrolled(nn.Module):
    """A recurrent module over a fixed number of steps, from a fixed state; `unroll` says what it takes.

    Args:
        module: the recurrent module, whose weights it shares.
        steps: how many steps of time a sequence has.
        state: what the module begins in, without a batch; zeros where it is left out.

    Raises:
        ArgumentError: the module is not recurrent, or the state not one of it.

    Example:
        >>> Unrolled(nn.GRUCell(2, 3), steps=5)(torch.zeros(1, 5, 2)).shape
        torch.Size([1, 5, 3])
    """

    def __init__(self, module: nn.Module, *, steps: int, state: Any = None) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            got = f"the class {module.__name__}" if isinstance(module, type) else type(module).__name__
            raise ArgumentError(
                f"expected a recurrent torch.nn.Module, got {got}; give an nn.RNN, nn.LSTM or nn.GRU, a cell of one, "
                "or a module of your own called as cell(x, state)"
            )
        self.steps = whole("steps", steps)
        self.module = module
        wanted = _state_shapes(module)
        if state is None and wanted is None:
            raise ArgumentError(
                f"expected the state that a cell of your own begins in, got none for {type(module).__name__}; give "
                "state=torch.zeros(hidden), or a tuple where it keeps several"
            )
        given = [torch.zeros(shape) for shape in wanted or ()] if state is None else _parts(state)
        _check_state(given, wanted, module)
        # A lone tensor is handed to the module as it is, and a tuple of one as a tuple.
        self._pair = len(wanted) > 1 if wanted is not None else isinstance(state, (tuple, list))
        like = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
        for place, part in enumerate(given):
            self.register_buffer(f"state{place}", part.detach().to(like.device, like.dtype, copy=True))

    @property
    def state(self) -> State:
        """What the module begins in, without a batch: a tensor, or a tuple of them."""
        parts = tuple(self._buffers.values())
        return parts if self._pair else parts[0]  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of all steps.

        Args:
            x: ``(batch, steps, in)``.

        Returns:
            ``(batch, steps, out)``; of a cell of your own ``(batch, steps, *output_shape)``.

        Raises:
            ArgumentError: x has another number of steps.
        """
        if x.ndim < 3 or x.shape[1] != self.steps:
            raise ArgumentError(
                f"expected sequences (batch, {self.steps}, in), got {tuple(x.shape)}; give sequences of so many steps, "
                "or unroll the module over theirs"
            )
        # CuDNN has no gradients in eval mode, and second ones in neither.
        plain = x.is_cuda and torch.is_grad_enabled() and not self.training
        with torch.backends.cudnn.flags(enabled=False) if plain else nullcontext():
            return self._run_stack(x) if isinstance(self.module, nn.RNNBase) else self._run_cell(x)

    def _run_stack(self, x: Tensor) -> Tensor:
        first = bool(self.module.batch_first)
        state = tuple(
            part.to(x)[:, None].expand(-1, len(x), -1).contiguous()  # type: ignore[union-attr]
            for part in self._buffers.values()
        )
        y, _ = self.module(x if first else x.transpose(0, 1), state if self._pair else state[0])
        return y if first else y.transpose(0, 1)

    def _run_cell(self, x: Tensor) -> Tensor:
        parts = tuple(
            part.to(x).expand(len(x), *part.shape)  # type: ignore[union-attr]
            for part in self._buffers.values()
        )
        state: State = parts if self._pair else parts[0]
        outputs = []
        for step in range(self.steps):
            output, state = self._outcome(self.module(x[:, step], state))
            outputs.append(output)
        return torch.stack(outputs, 1)

    def _outcome(self, result: Any) -> tuple[Tensor, State]:
        """Return the output and the new state, of what a cell returned."""
        listed = isinstance(result, (tuple, list))
        if self._pair and listed and all(isinstance(part, Tensor) for part in result):
            if len(result) == len(self._buffers):
                return result[0], tuple(result)
        elif listed and len(result) == 2 and isinstance(result[0], Tensor):
            output, state = result
            if self._pair and isinstance(state, (tuple, list)) and len(state) == len(self._buffers):
                return output, tuple(state)
            if not self._pair and isinstance(state, Tensor):
                return output, state
        elif not self._pair and isinstance(result, Tensor):
            return result, result
        got = f"{len(result)} parts" if listed else type(result).__name__
        state = f"a tuple of {len(self._buffers)} tensors" if self._pair else "a tensor"
        raise ArgumentError(
            f"expected {type(self.module).__name__} to return its new state, {state} as the first is, or (output, "
            f"state), got {got}; return one of the two"
        )

    def extra_repr(self) -> str:
        """Say how many steps there are."""
        return f"steps={self.steps}"


def _state_shapes(module: nn.Module) -> list[tuple[int, ...]] | None:
    """Return the shapes of the state of torch's own modules, without a batch; None for a cell of another's."""
    if isinstance(module, STACKS):
        copies = module.num_layers * (2 if module.bidirectional else 1)
        hidden = (copies, module.proj_size or module.hidden_size)
        return [hidden, (copies, module.hidden_size)] if isinstance(module, nn.LSTM) else [hidden]
    if isinstance(module, CELLS):
        return [(module.hidden_size,)] * (2 if isinstance(module, nn.LSTMCell) else 1)
    return None


def _parts(state: Any) -> list[Tensor]:
    """Return the tensors of a state: a list of numbers is one, a tuple or list of tensors or arrays several."""
    several = isinstance(state, tuple) or (isinstance(state, list) and any(isinstance(one, Tensor) for one in state))
    parts: Sequence[Any] = state if several else [state]
    return [as_numbers("state", part) for part in parts]


def _check_state(given: list[Tensor], wanted: list[tuple[int, ...]] | None, module: nn.Module) -> None:
    shapes = [tuple(part.shape) for part in given]
    if wanted is not None and shapes != wanted:
        raise ArgumentError(
            f"expected the state of {type(module).__name__} as {_listed(wanted)}, got {_listed(shapes)}; give it "
            "without a batch, or leave it out for zeros"
        )
    if not given or not all(bool(part.isfinite().all()) for part in given):
        got = "an empty tuple" if not given else "NaN or infinity in it"
        raise ArgumentError(f"expected a finite state, got {got}; give numbers")


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    """Return shapes as a person writes them."""
    return f"shape {shapes[0]}" if len(shapes) == 1 else f"a tuple of shapes {', '.join(map(str, shapes))}"
