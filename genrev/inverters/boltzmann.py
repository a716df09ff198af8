"""rbm and dbn: draws from p(input given output) by Boltzmann machines, the outputs clamped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from genrev.boltzmann.given import check_widths
from genrev.boltzmann.learning import learn
from genrev.boltzmann.stack import learn_stack
from genrev.checks import whole
from genrev.inverter import Traits
from genrev.inverters.clamped import Clamp, ClampedChain, DeepChain, FlatChain, output_groups
from genrev.inverters.conditions import Conditions
from genrev.inverters.machines import BoltzmannInverter
from genrev.models.dbn import DBN, BeliefLayer
from genrev.models.rbm import RBM
from genrev.network import Network
from genrev.training import seeded


class RBMInverter(BoltzmannInverter[RBM]):
    """Learns inputs and the network's outputs in one restricted Boltzmann machine, and draws with the outputs clamped.

    It learns from inputs and what the network says of them; labels are not used. What is free in a target is drawn with
    the rest, and known input values are clamped too. A clamp is not a match: the machine has its own view of what the
    network says. So the chain is tilted with ``match``; follow it with newton where the output must be met.

    Args:
        network: the network to invert.
        tolerance: the residual that counts as met, in output units.
        hidden: number of hidden units.
        visible: kind of the units of the inputs: "bernoulli", for pixels in a box; "gaussian"; or "auto": Bernoulli
            where all values have the same finite bounds.
        rule: how it learns: "pcd", "cd" or "pt".
        steps: how many updates it learns by.
        batch_size: inputs an update.
        rate: learning rate of the first update; "auto": 0.1, or 0.01 where the inputs' units are Gaussian.
        weight_decay: of the weights.
        gibbs: steps of the chain for each input that is drawn.
        guidance: how much more than learned the outputs weigh on the chain: above 1 buys agreement for variety.
        match: how strongly a step is refused that leads the network's output away from the target: by nats of
            probabilities, by squared tolerances of values; 0 for not at all; "auto": 5 for probabilities, 0 for values.

    Reference:
        Hinton, 2002, "Training products of experts by minimizing contrastive divergence"; Larochelle and Bengio, 2008,
        "Classification using discriminative restricted Boltzmann machines" (outputs as visible units).

    Example:
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Linear(3, 1), space=InputSpace((3,)))
        >>> RBMInverter(network, steps=2).fit(torch.randn(32, 3)).reconstruct([[0.5]], samples=4, seed=0).x.shape
        torch.Size([1, 4, 3])
    """

    traits: ClassVar[Traits] = Traits(
        summary="The Boltzmann machine draws an input with the outputs clamped to the target.",
        learns=True,
        stochastic=True,
        steps="gibbs",
        drawing=("gibbs", "guidance", "match"),
    )

    def __init__(
        self,
        network: Network,
        *,
        tolerance: float | Tensor = 1e-3,
        hidden: int = 256,
        visible: str = "auto",
        rule: str = "pcd",
        steps: int = 10_000,
        batch_size: int = 20,
        rate: float | str = "auto",
        weight_decay: float = 1e-4,
        gibbs: int = 100,
        guidance: float = 1.0,
        match: float | str = "auto",
    ) -> None:
        super().__init__(network, tolerance=tolerance)
        self._check(visible, rule, gibbs, guidance, match)
        self.hidden = whole("hidden", hidden)
        self._course(steps, batch_size, rate, weight_decay)

    def _learn(self, v: Tensor, y: Tensor, seed: int) -> RBM:
        with seeded(seed, v.device):
            rbm = RBM(self._groups(), self.hidden).to(v)
        learn(rbm, torch.cat([v, y], 1), self._lesson(len(v)), seed=seed, label="rbm")
        return rbm

    def _groups(self) -> list[tuple[str, int]]:
        return [(self._kind, self.network.space.size), *output_groups(self.network)]

    def _model(self, conditions: Conditions) -> RBM:
        return RBM(self._groups(), self.hidden)

    def _state_size(self) -> int:
        return self.network.space.size

    def _top(self, model: RBM) -> RBM:
        return model

    def _first(self, model: RBM, v: Tensor) -> Tensor:
        return v

    def _carried(self, model: RBM, state: Tensor) -> Tensor:
        return model.visible_mean(state)[:, : model.sizes[0]]

    def _chain(self, model: RBM, clamp: Clamp, known: Tensor | None) -> ClampedChain:
        return FlatChain(model, clamp, known)


class DBNInverter(BoltzmannInverter[DBN]):
    """Learns codes of inputs layer by layer, and the last code with the network's outputs; draws with these clamped.

    It learns from inputs and what the network says of them; labels are not used. Beside many pixels a single machine
    hardly minds a few outputs; beside a code of a hundred units it does.

    Args:
        network: the network to invert.
        tolerance: the residual that counts as met, in output units.
        hidden: widths of the codes from the inputs up; the last is that of the machine that the outputs join.
        visible: kind of the units of the inputs: "bernoulli", for pixels in a box; "gaussian"; or "auto": Bernoulli
            where all values have the same finite bounds.
        rule: how it learns: "pcd", "cd" or "pt".
        steps: how many updates each layer learns by.
        batch_size: inputs an update.
        rate: learning rate of the first update; "auto": 0.1, or 0.01 where the inputs' units are Gaussian.
        weight_decay: of the weights.
        gibbs: steps of the chain for each input that is drawn.
        guidance: how much more than learned the outputs weigh on the chain: above 1 buys agreement for variety.
        match: how strongly a step is refused that leads the network's output away from the target: by nats of
            probabilities, by squared tolerances of values; 0 for not at all; "auto": 5 for probabilities, 0 for values.

    Reference:
        Hinton, Osindero and Teh, 2006, "A fast learning algorithm for deep belief nets".

    Example:
        >>> from genrev import InputSpace
        >>> network = Network(torch.nn.Linear(3, 1), space=InputSpace((3,)))
        >>> inverter = DBNInverter(network, hidden=(8, 8), steps=2).fit(torch.randn(32, 3))
        >>> inverter.reconstruct([[0.5]], samples=4, seed=0).x.shape
        torch.Size([1, 4, 3])
    """

    traits: ClassVar[Traits] = Traits(
        summary="The deep belief network draws an input with the outputs beside its last code clamped to the target.",
        learns=True,
        stochastic=True,
        steps="gibbs",
        drawing=("gibbs", "guidance", "match"),
    )

    def __init__(
        self,
        network: Network,
        *,
        tolerance: float | Tensor = 1e-3,
        hidden: Sequence[int] = (100, 200),
        visible: str = "auto",
        rule: str = "pcd",
        steps: int = 10_000,
        batch_size: int = 20,
        rate: float | str = "auto",
        weight_decay: float = 1e-4,
        gibbs: int = 100,
        guidance: float = 1.0,
        match: float | str = "auto",
    ) -> None:
        super().__init__(network, tolerance=tolerance)
        self._check(visible, rule, gibbs, guidance, match)
        self.hidden = check_widths(hidden)
        self._course(steps, batch_size, rate, weight_decay)

    def _learn(self, v: Tensor, y: Tensor, seed: int) -> DBN:
        groups = output_groups(self.network)
        dbn, _ = learn_stack(
            v, self.hidden, kind=self._kind, outputs=groups, y=y, lesson=self._lesson(len(v)), seed=seed, label="dbn"
        )
        return dbn

    def _model(self, conditions: Conditions) -> DBN:
        kind, size, layers = self._kind, self.network.space.size, []
        for width in self.hidden[:-1]:
            layers.append(BeliefLayer(kind, size, width))
            kind, size = "bernoulli", width
        return DBN(layers, RBM([(kind, size), *output_groups(self.network)], self.hidden[-1]))

    def _state_size(self) -> int:
        return self.hidden[-2]

    def _top(self, model: DBN) -> RBM:
        return model.top

    def _first(self, model: DBN, v: Tensor) -> Tensor:
        return (model.encode(v) > 0.5).to(v)

    def _carried(self, model: DBN, state: Tensor) -> Tensor:
        return state[:, : model.top.sizes[0]]

    def _chain(self, model: DBN, clamp: Clamp, known: Tensor | None) -> ClampedChain:
        return DeepChain(model, clamp, known)
