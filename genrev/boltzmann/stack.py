"""How a deep belief network learns greedily: layer upon layer, each a Boltzmann machine of the code below it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genrev.boltzmann.given import check_outputs, check_values, check_widths
from genrev.boltzmann.learning import Diary, Lesson, learn
from genrev.checks import check_seed, of_type
from genrev.models.dbn import DBN, BeliefLayer
from genrev.models.rbm import RBM
from genrev.models.units import units_of
from genrev.training import seeded


def learn_stack(
    v: Tensor,
    hidden: Sequence[int],
    *,
    kind: str = "bernoulli",
    outputs: Sequence[tuple[str, int]] = (),
    y: Tensor | None = None,
    lesson: Lesson | None = None,
    top: Lesson | None = None,
    seed: int = 0,
    label: str = "dbn",
) -> tuple[DBN, list[Diary]]:
    """Learn a deep belief network layer by layer, from the data up.

    Each layer learns the codes of the one below, whose means it takes for probabilities and draws from anew in every
    update. The last machine learns codes and outputs together.

    Args:
        v: ``(n, visible)``, n >= 2: data of one kind of units.
        hidden: widths of the codes from the data up, two or more; the last is that of the machine on top.
        kind: of the units of the data: "bernoulli" or "gaussian".
        outputs: kind and size of each group of outputs that the machine on top has beside the last code.
        y: ``(n, outputs)``: those outputs, group beside group.
        lesson: how each layer learns; `Lesson()` by default.
        top: how the machine on top learns; as the others do by default.
        seed: of everything random.
        label: what the progress bar says.

    Returns:
        The network, and what was measured while each layer learned.

    Raises:
        ArgumentError: fewer than two widths, data or outputs that the units can't take, or another argument of the
            wrong type.

    Reference:
        Hinton, Osindero and Teh, 2006, "A fast learning algorithm for deep belief nets".

    Example:
        >>> v, y = torch.eye(4).repeat(5, 1), torch.eye(2).repeat(10, 1)
        >>> dbn, diaries = learn_stack(v, (3, 5), outputs=[("one-hot", 2)], y=y, lesson=Lesson(epochs=1))
        >>> len(dbn.beliefs), len(diaries)
        (1, 2)
    """
    # What only the last machine minds is checked before the first one learns.
    widths, seed = check_widths(hidden), check_seed(seed)
    for name, value in (("lesson", lesson), ("top", top)):
        of_type(name, value or Lesson(), Lesson)
    beside = units_of(outputs) if len(outputs) else []
    size = v.shape[-1] if isinstance(v, Tensor) and v.ndim == 2 else 1
    check_values(units_of([(kind, size)]), v)
    check_outputs(beside, y, len(v))
    layers, diaries = [], []
    for place, width in enumerate(widths[:-1]):
        rbm = _machine([(kind, v.shape[-1])], width, v, seed + place)
        diaries.append(learn(rbm, v, lesson, seed=seed + place, label=f"{label}, layer {place + 1}"))
        layers.append(BeliefLayer.of(rbm))
        with torch.no_grad():
            v = layers[-1].code_mean(v.to(rbm.weight))
        kind = "bernoulli"
    rbm = _machine([(kind, v.shape[-1]), *outputs], widths[-1], v, seed + len(layers))
    joint = v if y is None else torch.cat([v, y.to(v)], 1)
    diaries.append(learn(rbm, joint, top or lesson, seed=seed + len(layers), label=f"{label}, top"))
    return DBN(layers, rbm).requires_grad_(False), diaries


def _machine(groups: Sequence[tuple[str, int]], hidden: int, like: Tensor, seed: int) -> RBM:
    with seeded(seed, like.device):
        return RBM(groups, hidden).to(like)
