"""Up-down learning: the ways up and down of a deep belief network learn apart, each from what the other draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genrev.boltzmann.chains import Draws
from genrev.boltzmann.course import Course
from genrev.boltzmann.given import check_outputs, check_values
from genrev.boltzmann.learning import add_class_slopes
from genrev.checks import check_seed, of_type, real, whole
from genrev.digest import digest
from genrev.errors import GenrevError
from genrev.models.dbn import DBN
from genrev.training import seeded


@dataclass(frozen=True)
class UpDown:
    """How a deep belief network is fine-tuned.

    Args:
        epochs: passes over the data.
        batch_size: examples an update.
        rate: learning rate of the first update; falls to zero in a straight line.
        gibbs: steps of the machine on top between the way up and the way down.
        weight_decay: of the weights, in each update times the rate.
        discriminative: of the machine on top, as in `genrev.boltzmann.learning.Lesson`.

    Raises:
        ArgumentError: a value is out of range.

    Example:
        >>> UpDown(epochs=5).gibbs
        3
    """

    epochs: int = 30
    batch_size: int = 100
    rate: float = 0.01
    gibbs: int = 3
    weight_decay: float = 1e-4
    discriminative: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "gibbs"):
            whole(name, getattr(self, name))
        real("rate", self.rate, above=True)
        real("weight_decay", self.weight_decay)
        real("discriminative", self.discriminative)


def fine_tune(
    dbn: DBN, v: Tensor, y: Tensor | None = None, lesson: UpDown | None = None, *, seed: int = 0, label: str = "up-down"
) -> dict[str, list[float]]:
    """Fine-tune a greedily learned deep belief network by contrastive wake-sleep.

    Awake, codes are drawn upwards from the data and the ways down learn to draw what lies below them; asleep, codes are
    drawn downwards from the machine on top, a few Gibbs steps from where waking left it, and the ways up learn to find
    them; the machine on top learns from both.

    Args:
        dbn: that learns, in place.
        v: ``(n, visible)``.
        y: ``(n, outputs)``: the outputs that stand beside the last code, if any.
        lesson: how; `UpDown()` by default.
        seed: of everything random.
        label: what the progress bar says.

    Returns:
        After each epoch, in nats an example: ``reconstruction`` of each layer's units from the drawn code above, and
        ``apart``, the mean free energy on top awake less that asleep, of the last batch.

    Raises:
        ArgumentError: there are not as many outputs as examples, or values that the units can't take; or another
            argument is of the wrong type.
        GenrevError: the weights are not finite any more.

    Reference:
        Hinton, Osindero and Teh, 2006, "A fast learning algorithm for deep belief nets", appendix B.

    Example:
        >>> from genrev.boltzmann.learning import Lesson
        >>> from genrev.boltzmann.stack import learn_stack
        >>> v = torch.eye(4).repeat(5, 1)
        >>> dbn, _ = learn_stack(v, (3, 5), lesson=Lesson(epochs=1))
        >>> len(fine_tune(dbn, v, lesson=UpDown(epochs=2))["apart"])
        2
    """
    lesson = UpDown() if lesson is None else of_type("lesson", lesson, UpDown)
    like = of_type("dbn", dbn, DBN).top.weight
    check_values([dbn.beliefs[0].below], v, least=1)
    check_outputs(dbn.top.groups[1:], y, len(v))
    v = v.to(like)
    with seeded(check_seed(seed), like.device), torch.no_grad():
        course = _Course(dbn, v, None if y is None else y.to(like), lesson)
        data = {"v": v} if y is None else {"v": v, "y": y}
        plan = {"lesson": repr(lesson), "seed": int(seed)}
        course.follow(lambda: {**plan, "data": digest(data), "first weights": digest(dbn.state_dict())}, label)
    return course.diary


class _Course(Course):
    def __init__(self, dbn: DBN, v: Tensor, y: Tensor | None, lesson: UpDown) -> None:
        super().__init__(
            dbn, len(v), epochs=lesson.epochs, batch_size=lesson.batch_size, rate=lesson.rate, device=v.device
        )
        self._dbn, self._v, self._y, self._lesson = dbn, v, y, lesson
        self._lost = torch.zeros((), dtype=torch.float64)
        self._seen = 0
        self._last = v.new_zeros(2, 0, dbn.top.size)

    def update(self, rows: Tensor, rate: float) -> None:
        """One waking and one sleep."""
        dbn, decay = self._dbn, 1 - rate * self._lesson.weight_decay
        draw = Draws(len(rows), self._v)
        below = dbn.beliefs[0].below.drawn(self._v[rows])
        for layer in dbn.beliefs:
            code = layer.sample_code(below, draw)
            field = layer.down(code)
            error = below - layer.below.mean(field)
            self._lost += layer.below.log_likelihood(below, field).sum()
            layer.down.weight.mul_(decay).add_(error.T @ code, alpha=rate / len(rows))
            layer.down.bias.add_(error.mean(0), alpha=rate)
            below = code
        awake = below if self._y is None else torch.cat([below, self._outputs(rows)], 1)
        asleep = awake
        for _ in range(self._lesson.gibbs):
            asleep = dbn.top.gibbs(asleep, draw)
        self._move_top(awake, asleep, rate, decay)
        code = asleep[:, : dbn.top.sizes[0]]
        for layer in reversed(dbn.beliefs):
            below = layer.sample(code, draw)
            error = code - layer.code_mean(below)
            layer.up.weight.mul_(decay).add_(error.T @ below, alpha=rate / len(rows))
            layer.up.bias.add_(error.mean(0), alpha=rate)
            code = below
        self._seen += len(rows)
        self._last = torch.stack([awake, asleep])

    def _outputs(self, rows: Tensor) -> Tensor:
        assert self._y is not None
        groups, sizes = self._dbn.top.groups[1:], self._dbn.top.sizes[1:]
        parts = zip(groups, self._y[rows].split(sizes, 1), strict=True)
        return torch.cat([group.drawn(values) for group, values in parts], 1)

    def _move_top(self, awake: Tensor, asleep: Tensor, rate: float, decay: float) -> None:
        """Have the machine on top learn."""
        top, count = self._dbn.top, len(awake)
        both = torch.cat([awake, asleep])
        weight = both.new_full((2 * count,), 1 / count)
        weight[count:] *= -1
        slopes = top.slopes(both, top.hidden_mean(both), weight)
        if self._lesson.discriminative:
            add_class_slopes(top, slopes, awake, self._lesson.discriminative)
        for name, values in top.named_parameters():
            if name == "weight":
                values.mul_(decay)
            values.add_(slopes[name], alpha=rate)
        for group in top.groups:
            group.hold()

    def measure(self) -> dict[str, float]:
        """What the ways down make of the codes, and how far the top is from what it is shown."""
        if not all(bool(values.isfinite().all()) for values in self._dbn.parameters()):
            raise GenrevError("expected finite weights, got NaN or infinity; scale the data, or lower the rate")
        reconstruction = float(self._lost) / max(1, self._seen)
        self._lost.zero_()
        self._seen = 0
        awake, asleep = (self._dbn.top.free_energy(states).mean() for states in self._last)
        return {"reconstruction": reconstruction, "apart": float(awake - asleep)}

    def kept(self) -> dict[str, Any]:
        """The sums of the epoch, and what the machine on top saw last."""
        return {"lost": self._lost, "seen": self._seen, "last": self._last}

    def keep(self, state: Mapping[str, Any]) -> None:
        """Go on from the sums of the epoch."""
        self._lost.copy_(state["lost"])
        self._seen, self._last = int(state["seen"]), state["last"].to(self._v)
