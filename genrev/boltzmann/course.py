"""The course of a training by updates that are no gradients of a loss: epochs, a falling rate, progress, resume."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genrev.boltzmann.products import coarse_products
from genrev.progress import progress
from genrev.resume import tracked
from genrev.training import generators, set_generators


class Course(ABC):
    """A training at some update: all that the updates to come depend on.

    Args:
        model: that learns; without gradients.
        examples: how many it learns from.
        epochs: passes over them.
        batch_size: examples an update.
        rate: of the first update; falls to zero in a straight line.
        device: of the examples.
    """

    def __init__(
        self, model: nn.Module, examples: int, *, epochs: int, batch_size: int, rate: float, device: torch.device
    ) -> None:
        self._model, self._examples, self.epochs = model, examples, epochs
        self._batch_size, self._first_rate, self._device = batch_size, rate, device
        self.diary: dict[str, list[float]] = {}
        self.epoch, self.seconds = 0, 0.0
        self._order, self._done = torch.empty(0, dtype=torch.int64), 0
        self._began = time.perf_counter()

    @abstractmethod
    def update(self, rows: Tensor, rate: float) -> None:
        """Learn from some examples.

        Args:
            rows: their numbers.
            rate: how far to go.
        """

    @abstractmethod
    def measure(self) -> dict[str, float]:
        """Return the figures of an epoch that has ended, by name; NaN for what does not apply."""

    @abstractmethod
    def kept(self) -> dict[str, Any]:
        """Return what else goes on from update to update, beside the model: tensors and dicts of them, by name."""

    @abstractmethod
    def keep(self, state: Mapping[str, Any]) -> None:
        """Take up what `kept` returned.

        Args:
            state: by name.
        """

    def follow(self, what: Callable[[], Mapping[str, Any]], label: str) -> None:
        """Learn to the end, from where an earlier process was stopped if there was one.

        Args:
            what: gives all that decides the result, by name; see `genrev.resume.tracked`.
            label: what the progress bar says.
        """
        with tracked(lambda: {"label": str(label), "epochs": self.epochs, **what()}) as run:
            run.restore(self._take_end if run.over else self._take)
            if run.over:
                return
            with progress(label, self.epochs, unit="epoch", done=self.epoch, seconds=self.seconds) as advance:
                while self.epoch < self.epochs:
                    if self._step():
                        latest = {name: values[-1] for name, values in self.diary.items()}
                        advance(**{name: value for name, value in latest.items() if not math.isnan(value)})
                    run.offer(self._give)
            run.end(self._give_end)

    @property
    def _updates(self) -> int:
        return math.ceil(self._examples / self._batch_size)

    def _step(self) -> bool:
        """Make one update, and return whether that ended an epoch."""
        if not self._done:
            self._order = torch.randperm(self._examples, device=self._device)
        done = self.epoch * self._updates + self._done
        rows = self._order[self._done * self._batch_size :][: self._batch_size]
        with coarse_products():
            self.update(rows, self._first_rate * (1 - done / (self.epochs * self._updates)))
        self._done += 1
        if self._done < self._updates:
            return False
        for name, value in self.measure().items():
            self.diary.setdefault(name, []).append(value)
        self.epoch, self._done = self.epoch + 1, 0
        return True

    def _give(self) -> dict[str, Any]:
        """Return the state, which shares the model's memory."""
        return {
            "model": self._model.state_dict(),
            "kept": self.kept(),
            "order": self._order,
            "generators": generators(self._device),
            "place": [self.epoch, self._done],
            **self._measured(),
        }

    def _take(self, state: Mapping[str, Any]) -> None:
        self._model.load_state_dict(state["model"])
        self.keep(state["kept"])
        self._order = state["order"].to(self._device)
        self.epoch, self._done = map(int, state["place"])
        self._take_measured(state)
        set_generators(self._device, state["generators"])

    def _give_end(self) -> dict[str, Any]:
        """Return what the training ended with, in memory of its own."""
        return {"model": {name: one.clone() for name, one in self._model.state_dict().items()}, **self._measured()}

    def _take_end(self, state: Mapping[str, Any]) -> None:
        self._model.load_state_dict(state["model"])
        self._take_measured(state)

    def _measured(self) -> dict[str, Any]:
        return {"diary": self.diary, "seconds": self.seconds + time.perf_counter() - self._began}

    def _take_measured(self, state: Mapping[str, Any]) -> None:
        self.diary = {str(name): [*map(float, values)] for name, values in state["diary"].items()}
        self.seconds, self._began = float(state["seconds"]), time.perf_counter()
