"""The one training loop for everything that learns: progress, early stop on a validation share, one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from genrev.checks import real, whole
from genrev.errors import GenrevError


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
) -> History:
    """Minimise a loss over examples with Adam, and keep the weights that did best on the validation share.

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

    Returns:
        The losses by epoch.

    Raises:
        ArgumentError: a count, a rate or a weight is out of range.
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
    from tqdm import tqdm

    epochs, batch_size = whole("epochs", epochs, least=0), whole("batch_size", batch_size)
    rate, weight_decay = real("rate", rate, above=True), real("weight_decay", weight_decay)
    device = next(model.parameters()).device
    held = int(size * validation) if size >= 10 else 0
    history = History()
    with seeded(seed, device):
        order = torch.randperm(size, device=device)
        kept, learned = order[:held], order[held:]
        optimiser = torch.optim.AdamW(_groups(model, weight_decay), lr=rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, epochs))
        best, state, since, chosen = float("inf"), _copy(model), 0, 0
        bar = tqdm(range(epochs), desc=label, unit="epoch", disable=None, leave=False)
        for epoch in bar:
            model.train()
            history.training.append(_epoch(loss, optimiser, learned, batch_size))
            schedule.step()
            model.eval()
            if not held:
                bar.set_postfix(loss=f"{history.training[-1]:.4g}")
                chosen = epoch
                continue
            history.validation.append(_validate(loss, kept, batch_size, seed, device))
            bar.set_postfix(loss=f"{history.training[-1]:.4g}", validation=f"{history.validation[-1]:.4g}")
            if history.validation[-1] < best:
                best, state, since, chosen = history.validation[-1], _copy(model), 0, epoch
            else:
                since += 1
                if since >= patience:
                    break
        bar.close()
        if held:
            model.load_state_dict(state)
    model.eval()
    return History(history.training, history.validation, chosen)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _epoch(loss: Callable[[Tensor], Tensor], optimiser: torch.optim.Optimizer, rows: Tensor, batch_size: int) -> float:
    total = 0.0
    for batch in rows[torch.randperm(len(rows), device=rows.device)].split(batch_size):
        optimiser.zero_grad()
        value = loss(batch).mean()
        if not bool(value.isfinite()):
            raise GenrevError(
                f"expected a finite training loss, got {value.item()}; scale the inputs, or lower the rate"
            )
        value.backward()
        optimiser.step()
        total += value.item() * len(batch)
    return total / len(rows)


def _validate(
    loss: Callable[[Tensor], Tensor], rows: Tensor, batch_size: int, seed: int, device: torch.device
) -> float:
    # The same draws after every epoch, so that epochs differ by their weights alone.
    with seeded(seed + 1, device), torch.no_grad():
        return sum(float(loss(batch).sum()) for batch in rows.split(batch_size)) / len(rows)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
