"""What a method's chains come to on their way: the same draws, after fewer steps than the method takes.

The noise of a chain depends on its target alone, so a chain that is stopped early is the beginning of the whole one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genrev.comparison.figures import Answer, asked_classes, quantile
from genrev.inverter import Inverter, Outcome
from genrev.judge import Judge
from genrev.metrics import agreement
from genrev.progress import progress
from genrev.report.choice import choose

_TARGETS = 100
"""On how many targets chains are watched at most: a share is then known to 5 points, and few draws are made again."""

_FILMED = 4
"""Of how many of these the pictures are kept at most."""


@dataclass(frozen=True, eq=False)
class Chain:
    """What the chains of one method have come to after some steps: the first sample of some of the targets.

    Args:
        steps: ``(k,)`` integers from 0, ascending: after how many; the last is how many the method takes.
        targets: ``(m,)`` integers, ascending: the numbers of the targets.
        residual: ``(m, k)``, in output units; inf where the result is not finite.
        outcome: ``(m, k)`` integers, members of `Outcome`.
        seen: ``(m, k)`` integers: the class that the network itself sees, -1 for none.
        judged: ``(m, k)`` integers: the class that the judge sees, -1 where x is not finite; None without a judge.
        filmed: ``(r,)`` integers: the numbers of the targets whose pictures are kept, each class in turn.
        x: ``(r, k, *input_shape)``: those pictures.

    Example:
        >>> from genrev import InputSpace, Network, RBMInverter
        >>> network = Network(torch.nn.Linear(3, 1), space=InputSpace((3,)))
        >>> rbm = RBMInverter(network, steps=1, gibbs=4).fit(torch.randn(32, 3))
        >>> whole = Answer.of(rbm.reconstruct([[0.5], [0.1]], seed=0), None)
        >>> found = watch(rbm, torch.tensor([[0.5], [0.1]]), whole, torch.tensor([-1, -1]), judge=None, seed=0)
        >>> found.steps.tolist(), found.x.shape
        ([0, 1, 2, 4], torch.Size([2, 4, 3]))
    """

    steps: Tensor
    targets: Tensor
    residual: Tensor
    outcome: Tensor
    seen: Tensor
    judged: Tensor | None
    filmed: Tensor
    x: Tensor


def watch_all(
    inverters: Mapping[str, Inverter],
    targets: Tensor,
    answers: Mapping[str, Answer],
    classes: Tensor,
    *,
    judge: Judge | None,
    seed: int,
) -> dict[str, Chain]:
    """Watch the chains of all methods that run some, or refine what a part of them draws by some.

    A part that is compared for itself is watched there alone.

    Args:
        inverters: by name, fitted.
        targets: ``(n, *output_shape)``.
        answers: by name, what the inverters found for these targets with this seed.
        classes: ``(n,)`` integers that the targets ask for, -1 for none.
        judge: an independent classifier, or None.
        seed: of everything random.
    """
    chained, found = _chained(inverters), {}
    if not chained:
        return {}
    with progress("chains", len(chained), unit="method") as advance:
        for name, inverter in chained.items():
            answer = answers[name] if inverter is inverters[name] else None
            found[name] = watch(inverter, targets, answer, classes, judge=judge, seed=seed)
            advance(method=name)
    return found


def watch(
    inverter: Inverter, targets: Tensor, answer: Answer | None, classes: Tensor, *, judge: Judge | None, seed: int
) -> Chain:
    """Draw again with fewer steps; the end are the answers that are there already, if any.

    Args:
        inverter: fitted; its traits name its steps. It is left as it is.
        targets: ``(n, *output_shape)``.
        answer: what it found for them with this seed; None to ask it.
        classes: ``(n,)`` integers that the targets ask for, -1 for none.
        judge: an independent classifier, or None.
        seed: of everything random.
    """
    keyword = inverter.traits.steps
    assert keyword is not None
    steps = ladder(int(inverter.arguments()[keyword]))
    filmed = choose(classes.tolist(), _FILMED)
    places = _watched(len(targets), filmed, seed)
    asked = targets[places.to(targets.device)]
    again = steps if answer is None else steps[:-1]
    frames = [Answer.of(_stopped(inverter, keyword, count).reconstruct(asked, seed=seed), judge) for count in again]
    if answer is not None:
        frames.append(first_samples(answer, places))
    rows = torch.searchsorted(places, torch.tensor(filmed))
    outputs = inverter.network.outputs
    return Chain(
        steps=torch.tensor(steps),
        targets=places,
        residual=torch.cat([frame.residual for frame in frames], 1),
        outcome=torch.cat([frame.outcome for frame in frames], 1),
        seen=torch.stack([seen_classes(frame, outputs) for frame in frames], 1),
        judged=None if judge is None else torch.cat([_judged(frame) for frame in frames], 1),
        filmed=torch.tensor(filmed),
        x=torch.cat([frame.x[rows] for frame in frames], 1),
    )


def ladder(last: int) -> list[int]:
    """Return after how many steps chains are looked at: 0, 1, 2, 5, 10, 20 and so on, and the last.

    Args:
        last: how many steps there are, at least 0. What comes so shortly before that it would show the same is left
            out.

    Example:
        >>> ladder(100), ladder(6), ladder(0)
        ([0, 1, 2, 5, 10, 20, 50, 100], [0, 1, 2, 6], [0])
    """
    counts, power = [0], 1
    while power <= last:
        counts += [factor * power for factor in (1, 2, 5)]
        power *= 10
    return [*(count for count in counts if 5 * count <= 4 * last and count < last), last]


def first_samples(answer: Answer, places: Tensor) -> Answer:
    """Return the first sample of some targets of an answer, as an answer to these.

    Args:
        answer: for the targets of a comparison.
        places: ``(m,)`` integers.
    """
    judged = None if answer.judged is None else answer.judged[places, :1]
    x, y, residual, outcome = (part[places, :1] for part in (answer.x, answer.y, answer.residual, answer.outcome))
    return Answer(x, y, residual, outcome, judged)


def seen_classes(answer: Answer, outputs: str) -> Tensor:
    """Return the class that the network itself sees in the first sample of each target, ``(batch,)``; -1 for none.

    Args:
        answer: any.
        outputs: what the outputs are: "softmax", "sigmoid" or "values".
    """
    y = answer.y[:, 0]
    return torch.where(y.flatten(1).isfinite().all(1), asked_classes(y, outputs), -1)


def courses(
    residual: Tensor, outcome: Tensor, seen: Tensor, judged: Tensor | None, wanted: Tensor
) -> dict[str, Sequence[float | None]]:
    """Return figures after each number of steps: None where one does not apply, or a residual is not finite.

    Args:
        residual: ``(m, k)``, in output units.
        outcome: ``(m, k)`` integers of `Outcome`.
        seen: ``(m, k)`` integers: the class that the network sees.
        judged: ``(m, k)`` integers: the class that the judge sees, or None.
        wanted: ``(m,)`` integers: the class that was asked for, -1 for none.

    Returns:
        By name, k figures: ``judge_agreement``, ``network_agreement``, ``converged``, ``residual_median``.

    Example:
        >>> seen = torch.tensor([[0, 1], [1, 1]])
        >>> courses(torch.ones(2, 2), torch.ones(2, 2).long(), seen, None, torch.tensor([1, 1]))["network_agreement"]
        [0.5, 1.0]
    """
    frames = range(residual.shape[1])
    return {
        "judge_agreement": [None if judged is None else agreement(judged[:, place], wanted) for place in frames],
        "network_agreement": [agreement(seen[:, place], wanted) for place in frames],
        "converged": (outcome == Outcome.CONVERGED).double().mean(0).tolist(),
        "residual_median": [quantile(residual[:, place], 0.5) for place in frames],
    }


def _chained(inverters: Mapping[str, Inverter]) -> dict[str, Inverter]:
    """Return what runs chains: under each name the inverter itself, or a part of it that stands under no other."""
    found = {name: inverter for name, inverter in inverters.items() if inverter.traits.steps is not None}
    for name, inverter in inverters.items():
        for part in _parts(inverter):
            if part.traits.steps is not None and all(part is not other for other in found.values()):
                found[name] = part
    return found


def _parts(inverter: Inverter) -> list[Inverter]:
    parts = [part for part in inverter.arguments().values() if isinstance(part, Inverter)]
    return parts + [inner for part in parts for inner in _parts(part)]


def _stopped(inverter: Inverter, keyword: str, steps: int) -> Inverter:
    """Return the same inverter, whose chains end after so many steps."""
    other = copy.copy(inverter)
    setattr(other, keyword, steps)
    return other


def _watched(count: int, filmed: Sequence[int], seed: int) -> Tensor:
    """Return the numbers of the targets to watch, ascending: those that are filmed, and others at random."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    # Noise depends on how many equal targets stand before one. Before the first of each class stand none that are not
    # filmed too, so that their pictures end with those of the gallery.
    return torch.tensor(sorted(list(dict.fromkeys([*filmed, *order]))[:_TARGETS]))


def _judged(frame: Answer) -> Tensor:
    assert frame.judged is not None
    return frame.judged
