"""The one training loop for everything that learns: progress, resume, early stop on a validation share, one seed."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from genrev.checks import real, whole
from genrev.digest import digest
from genrev.errors import FileError, GenrevError
from genrev.progress import progress
from genrev.resume import records, tracked

_PROBES = 1024
"""How many examples' losses tell two trainings apart."""


@dataclass(frozen=True)
class History:
    """What a training run did.

    Args:
        training: mean loss of each epoch.
        validation: loss on the validation share after each epoch; empty without one.
        best: the epoch, from 0, whose weights were kept.

    Example:
        >>> history = History(training=[0.9, 0.4, 0.3], validation=[1.0, 0.5, 0.7], best=1)
        >>> history.validation[history.best]
        0.5
    """

    training: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best: int = 0


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Draw from one seed inside, with gradients, and leave the global generators as they were.

    Args:
        seed: non-negative integer.
        device: whose generator is used beside the CPU's.

    Example:
        >>> with seeded(0):
        ...     one = torch.rand(3)
        >>> with seeded(0):
        ...     again = torch.rand(3)
        >>> torch.equal(one, again)
        True
    """
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        torch.manual_seed(seed)
        yield


def train(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    size: int,
    *,
    epochs: int,
    batch_size: int = 64,
    rate: float = 1e-3,
    weight_decay: float = 0.0,
    validation: float = 0.1,
    patience: int = 50,
    seed: int = 0,
    label: str = "training",
    data: Mapping[str, Tensor] | None = None,
) -> History:
    """Minimise a loss over examples with Adam, and keep the weights that did best on the validation share.

    Inside of `genrev.resume.resumable` its state is kept in a file; all of it lies in the model's parameters and
    buffers, the optimiser and PyTorch's generators, so that neither model nor loss may keep any elsewhere.

    Args:
        model: whose parameters learn; in train mode for learning, in eval mode for validation and afterwards.
        loss: from example numbers ``(k,)`` to their losses ``(k,)``.
        size: number of examples.
        epochs: at most.
        batch_size: examples a step.
        rate: of the first step; falls to zero along a half cosine.
        weight_decay: decoupled, of all parameters with more than one dimension.
        validation: share of the examples that is held out to decide when to stop, in [0, 1); none below ten examples.
        patience: epochs without a better validation loss before the training stops.
        seed: of batches and of everything random in the loss.
        label: what the progress bar says.
        data: what the loss learns from, by name: a state that was kept for other data is refused.

    Returns:
        The losses by epoch.

    Raises:
        ArgumentError: a count, a rate or a weight is out of range.
        FileError: the state can't be written, or was kept for another training.
        GenrevError: the loss is not finite.

    Reference:
        Loshchilov and Hutter, 2019, "Decoupled weight decay regularization".

    Example:
        >>> x = torch.linspace(-1, 1, 64)[:, None]
        >>> model = nn.Linear(1, 1)
        >>> history = train(model, lambda rows: (model(x[rows]) - 3 * x[rows])[:, 0] ** 2, 64, epochs=60, rate=0.2)
        >>> round(model.weight.item())
        3
    """
    epochs, batch_size = whole("epochs", epochs, least=0), whole("batch_size", batch_size)
    rate, weight_decay = real("rate", rate, above=True), real("weight_decay", weight_decay)
    patience, device = whole("patience", patience, least=0), next(model.parameters()).device
    plan = {
        "label": str(label),
        "examples": int(size),
        "epochs": epochs,
        "batch_size": batch_size,
        "rate": rate,
        "weight_decay": weight_decay,
        "validation": float(validation),
        "patience": patience,
        "seed": int(seed),
    }
    with seeded(seed, device):
        order = torch.randperm(size, device=device)
        held = int(size * validation) if size >= 10 else 0
        optimiser = torch.optim.AdamW(_groups(model, weight_decay), lr=rate)
        course = _Course(model, loss, order[:held], order[held:], optimiser, epochs, batch_size, patience, seed)
        with tracked(lambda: {**plan, **course.marks(data or {})}) as run:
            run.restore(course.take_end if run.over else course.take)
            if not run.over:
                with progress(label, epochs, unit="epoch", done=course.epoch, seconds=course.seconds) as advance:
                    while not course.over:
                        if course.step():
                            advance(**course.figures())
                        run.offer(course.give)
                course.end()
                run.end(course.give_end)
    model.eval()
    return History(course.training, course.validation, course.chosen)


def reached(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return how far the last training in a state file of `genrev.resume.resumable` had come.

    Args:
        path: of the state.

    Returns:
        How many epochs are done, and of how many at most; all of them where the training is over, however early.

    Raises:
        FileError: the state is missing, damaged or foreign, or holds no training of `train`.

    Example:
        >>> import pathlib, tempfile
        >>> from genrev.resume import resumable
        >>> path, model = pathlib.Path(tempfile.mkdtemp(), "state"), nn.Linear(1, 1)
        >>> with resumable(path, every=0):
        ...     _ = train(model, lambda rows: model(rows[:, None].float())[:, 0] ** 2, 8, epochs=3)
        ...     reached(path)
        (3, 3)
    """
    try:
        last = records(path)[-1]
        of, state = int(last["what"]["epochs"]), last["state"]
        return of if last["over"] else 0 if state is None else int(state["place"][0]), of
    except (LookupError, TypeError, ValueError) as error:
        raise FileError(
            f"expected {os.fspath(path)!r} to hold the state of a training, got records of another form; delete the "
            "file to begin anew"
        ) from error


class _Course:
    """A training at some step: all that the steps to come depend on.

    Args:
        model: that learns.
        loss: from example numbers ``(k,)`` to their losses ``(k,)``.
        held: example numbers of the validation share.
        learned: those of the others.
        optimiser: of the model's parameters.
        epochs: at most.
        batch_size: examples a step.
        patience: epochs without a better validation loss before the end.
        seed: of the validation's draws.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor], Tensor],
        held: Tensor,
        learned: Tensor,
        optimiser: torch.optim.Optimizer,
        epochs: int,
        batch_size: int,
        patience: int,
        seed: int,
    ) -> None:
        self._model, self._loss, self._held, self._learned = model, loss, held, learned
        self._optimiser, self._epochs, self._batch_size = optimiser, epochs, batch_size
        self._patience, self._seed, self._device = patience, seed, learned.device
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, epochs))
        self.training: list[float] = []
        self.validation: list[float] = []
        self.epoch, self.chosen, self.seconds = 0, 0, 0.0
        self._best, self._since, self._kept = math.inf, 0, _copy(model) if len(held) else {}
        # Where in the epoch: its batches, how many are done, their summed losses, the generators when it began.
        self._batches: tuple[Tensor, ...] = ()
        self._done, self._total, self._generators = 0, 0.0, generators(self._device)
        self._began = time.perf_counter()

    @property
    def over(self) -> bool:
        """Whether the epochs or the patience ran out."""
        return self.epoch >= self._epochs or 0 < self._since >= self._patience

    def figures(self) -> dict[str, float]:
        """Return the losses of the last epoch."""
        validation = {"validation": self.validation[-1]} if self.validation else {}
        return {"loss": self.training[-1], **validation}

    def step(self) -> bool:
        """Learn from one batch, and return whether that ended an epoch."""
        if not self._done:
            self._generators = generators(self._device)
            self._batches = self._shuffled()
            self._model.train()
        self._learn(self._batches[self._done])
        self._done += 1
        if self._done < len(self._batches):
            return False
        self._end_epoch()
        return True

    def _shuffled(self) -> tuple[Tensor, ...]:
        order = torch.randperm(len(self._learned), device=self._device)
        return self._learned[order].split(self._batch_size)

    def _learn(self, batch: Tensor) -> None:
        self._optimiser.zero_grad()
        value = self._loss(batch).mean()
        if not bool(value.isfinite()):
            raise GenrevError(
                f"expected a finite training loss, got {value.item()}; scale the inputs, or lower the rate"
            )
        value.backward()
        self._optimiser.step()
        self._total += value.item() * len(batch)

    def _end_epoch(self) -> None:
        self.training.append(self._total / len(self._learned))
        self._schedule.step()
        self._model.eval()
        if not len(self._held):
            self.chosen = self.epoch
        else:
            self.validation.append(_validate(self._loss, self._held, self._batch_size, self._seed, self._device))
            if self.validation[-1] < self._best:
                self._best, self._since, self._kept = self.validation[-1], 0, _copy(self._model)
                self.chosen = self.epoch
            else:
                self._since += 1
        self.epoch, self._done, self._total = self.epoch + 1, 0, 0.0

    def end(self) -> None:
        """Leave the model with the weights that did best."""
        if len(self._held):
            _put(self._model, self._kept)

    def marks(self, data: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return what tells this training from others: hashes of its data and of its model, and its first losses."""
        told = {name: digest({name: values}) for name, values in data.items()}
        model = digest(_tensors(self._model), repr(self._model))
        return {**told, "first weights or layers": model, "losses at the start (data or settings)": self._probe()}

    def _probe(self) -> Tensor:
        """Return the losses of some examples before the first step, ``(k,)``: what the loss looks up shows in them."""
        # Whole batches only: some layers can't learn from a batch of one.
        count = max(1, _PROBES // self._batch_size) * self._batch_size
        before = _copy(self._model)
        self._model.train()
        with seeded(self._seed, self._device):
            parts = self._learned[:count].split(self._batch_size)
            losses = [self._loss(rows).detach().double().cpu() for rows in parts]
        _put(self._model, before)
        return torch.cat(losses)

    def give(self) -> dict[str, Any]:
        """Return the state, which shares the model's memory."""
        return {
            "model": _tensors(self._model),
            "kept": self._kept,
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "generators": generators(self._device),
            "epoch_generators": self._generators,
            "place": [self.epoch, self._done, self._total, self._best, self._since],
            **self._history(),
        }

    def take(self, state: dict[str, Any]) -> None:
        """Go on from a state, which is the course's from then on."""
        _put(self._model, state["model"])
        _expect_like(self._kept, state["kept"])
        self._kept = {name: values.to(self._device) for name, values in state["kept"].items()}
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        epoch, done, total, best, since = state["place"]
        self.epoch, self._done, self._since = int(epoch), int(done), int(since)
        self._total, self._best = float(total), float(best)
        self._take_history(state)
        self._generators = list(state["epoch_generators"])
        if self._done:
            # The batches are those that the generators gave when the epoch began.
            set_generators(self._device, self._generators)
            self._batches = self._shuffled()
            self._model.train()
            # One that isn't there is an IndexError.
            self._batches[self._done]
        set_generators(self._device, state["generators"])

    def give_end(self) -> dict[str, Any]:
        """Return what the training ended with, in memory of its own."""
        return {"model": _copy(self._model), **self._history()}

    def take_end(self, state: dict[str, Any]) -> None:
        """Be over, with what an earlier process ended with."""
        _put(self._model, state["model"])
        self._take_history(state)

    def _history(self) -> dict[str, Any]:
        seconds = self.seconds + time.perf_counter() - self._began
        return {"training": self.training, "validation": self.validation, "chosen": self.chosen, "seconds": seconds}

    def _take_history(self, state: dict[str, Any]) -> None:
        self.training, self.validation = [*map(float, state["training"])], [*map(float, state["validation"])]
        self.chosen, self.seconds = int(state["chosen"]), float(state["seconds"])
        self._began = time.perf_counter()


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _validate(
    loss: Callable[[Tensor], Tensor], rows: Tensor, batch_size: int, seed: int, device: torch.device
) -> float:
    # The same draws after every epoch, so that epochs differ by their weights alone.
    with seeded(seed + 1, device), torch.no_grad():
        return sum(float(loss(batch).sum()) for batch in rows.split(batch_size)) / len(rows)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return all that a model holds, buffers included that its state_dict leaves out."""
    return {name: values.detach() for name, values in (*model.named_parameters(), *model.named_buffers())}


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in _tensors(model).items()}


def _put(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    own = _tensors(model)
    _expect_like(own, tensors)
    for name, values in own.items():
        values.copy_(tensors[name])


def _expect_like(own: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> None:
    """Refuse what would be stretched or left out."""
    forms = [{name: (values.shape, values.dtype) for name, values in group.items()} for group in (own, others)]
    if forms[0] != forms[1]:
        raise ValueError("other tensors than the model's")


def generators(device: torch.device) -> list[Tensor]:
    """Return the states of the generators that a training on a device draws from.

    Args:
        device: of the training.

    Example:
        >>> len(generators(torch.device("cpu")))
        1
    """
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_generators(device: torch.device, states: list[Tensor]) -> None:
    """Set the generators that a training on a device draws from.

    Args:
        device: of the training.
        states: as `generators` returned them.

    Example:
        >>> with seeded(0):
        ...     before = generators(torch.device("cpu"))
        ...     one = torch.rand(2)
        ...     set_generators(torch.device("cpu"), before)
        ...     torch.equal(torch.rand(2), one)
        True
    """
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
