"""The restricted Boltzmann machine: its energy, the laws of either layer given the other, and one Gibbs step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from genrev.errors import ArgumentError
from genrev.models.units import BernoulliUnits, OneHotUnits, Units, units_of

Draw = Callable[[int], Tensor]
"""Gives ``(rows, size)`` independent draws from (0, 1), anew each time it is called with a size."""


class RBM(nn.Module):
    """p(v, h) = exp(-E(v, h)) / Z, with E = own(v) - b.(v - mu) - c.(h - lambda) - (v - mu) W (h - lambda).

    Visible units come in groups, such as the pixels and, beside them, the outputs of a network; hidden units are
    Bernoulli. Offsets mu and lambda make learning blind to whether a value is written as 0 or as 1. Every quantity has
    an inverse temperature beta: at beta the energy is beta E + (1 - beta) E0, with E0 that of the base rates, where
    visible units know nothing of the hidden ones. Chains, swaps and importance sampling all use that one energy.

    Args:
        groups: kind and size of each group of visible units: "bernoulli", "one-hot" or "gaussian".
        hidden: number of hidden units.

    Attributes:
        weight: ``(visible, hidden)``.
        visible: the groups, in their order.
        hidden: the hidden units.

    Raises:
        ArgumentError: there is no group, or one of a kind or size that does not exist.

    Reference:
        Hinton, 2002, "Training products of experts by minimizing contrastive divergence"; Melchior, Fischer and
        Wiskott, 2016, "How to center deep Boltzmann machines".

    Example:
        >>> rbm = RBM([("bernoulli", 6)], 4)
        >>> rbm.free_energy(torch.zeros(3, 6)).shape
        torch.Size([3])
    """

    def __init__(self, groups: Sequence[tuple[str, int]], hidden: int) -> None:
        super().__init__()
        self.visible = nn.ModuleList(units_of(groups))
        self.hidden = BernoulliUnits(hidden)
        nn.init.constant_(self.hidden.offset, 0.5)
        self.weight = nn.Parameter(0.01 * torch.randn(self.size, self.hidden.size))

    @property
    def size(self) -> int:
        """Number of visible units."""
        return sum(self.sizes)

    @property
    def sizes(self) -> list[int]:
        """Number of units of each visible group."""
        return [group.size for group in self.groups]

    @property
    def groups(self) -> list[Units]:
        """The groups of visible units."""
        return [group for group in self.visible if isinstance(group, Units)]

    @torch.no_grad()
    def begin(self, v: Tensor) -> None:
        """Set visible offsets, biases and base rates from data, before anything is learned.

        Args:
            v: ``(n, visible)``.
        """
        for group, values in zip(self.groups, v.split(self.sizes, -1), strict=True):
            group.begin(values)

    def energy(self, v: Tensor, h: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """Return the energy, ``(rows,)``.

        Args:
            v: ``(rows, visible)``.
            h: ``(rows, hidden)``.
            beta: inverse temperature in [0, 1]: a number, or ``(rows, 1)``, one for each row.
        """
        return self._visible_energy(v, beta) - (self.hidden_field(v, beta) * (h - self.hidden.offset)).sum(-1)

    def free_energy(self, v: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """Return F(v) = -log of the sum over h of exp(-E(v, h)), ``(rows,)``.

        Args:
            v: ``(rows, visible)``.
            beta: as in `energy`.
        """
        return self._visible_energy(v, beta) - self.hidden.log_partition(self.hidden_field(v, beta))

    def hidden_free_energy(self, h: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """Return -log of the sum over v of exp(-E(v, h)), ``(rows,)``.

        Args:
            h: ``(rows, hidden)``.
            beta: as in `energy`.
        """
        parts = zip(self.groups, self.visible_field(h, beta).split(self.sizes, -1), strict=True)
        inner = sum((group.log_partition(field, beta) for group, field in parts), h.new_zeros(len(h)))
        return -(beta * ((h - self.hidden.offset) * self.hidden.bias)).sum(-1) - inner

    def log_classes(self, v: Tensor) -> Tensor:
        """Return log p(unit is the one given v) of the last group, whose units are one-hot, ``(rows, size)``.

        Args:
            v: ``(rows, visible - size)``: the other groups.

        Raises:
            ArgumentError: the last group is of another kind.

        Reference:
            Larochelle and Bengio, 2008, "Classification using discriminative restricted Boltzmann machines".
        """
        return self._class_scores(*self._class_fields(v)).log_softmax(1)

    def class_slopes(self, v: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Return the slopes of the weighted sum of log p(last group given the others), by the parameters' names.

        Args:
            v: ``(rows, visible)``; the last group one-hot, or probabilities, over which the mean is taken.
            weight: ``(rows,)``.

        Raises:
            ArgumentError: the last group is of another kind.

        Reference:
            Larochelle and Bengio, 2008, "Classification using discriminative restricted Boltzmann machines".
        """
        size = self.groups[-1].size
        rest, y = v[:, :-size], v[:, -size:]
        field, rows = self._class_fields(rest)
        gap = (y - self._class_scores(field, rows).softmax(1)) * weight[:, None]
        pull = gap[..., None] * (self.hidden.mean(field[:, None] + rows) - self.hidden.offset)
        above = pull.sum(1)
        blank = torch.cat([rest, torch.zeros_like(y)], 1) - self._offset
        slope = blank.T @ above
        slope[-size:] += pull.sum(0)
        return {"weight": slope, "hidden.bias": above.sum(0), f"visible.{len(self.groups) - 1}.bias": gap.sum(0)}

    def _class_fields(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the fields on the hidden units without a class, ``(rows, hidden)``, and what each class adds."""
        classes = self.groups[-1]
        if not isinstance(classes, OneHotUnits):
            raise ArgumentError(
                f"expected one-hot units as the last group, got {classes.kind} ones; learn with classes"
            )
        blank = torch.cat([v, v.new_zeros(len(v), classes.size)], 1)
        return self.hidden_field(blank), self.weight[self.size - classes.size :]

    def _class_scores(self, field: Tensor, rows: Tensor) -> Tensor:
        """Return log p(class, v) of each class but for a constant, ``(rows, classes)``."""
        # One class at a time: all at once would take as many times the room.
        parts = [self.hidden.log_partition(field + row) for row in rows]
        return torch.stack(parts, 1) + self.groups[-1].bias

    def hidden_field(self, v: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """Return the field on the hidden units, ``(rows, hidden)``: the log-odds of each being 1.

        Args:
            v: ``(rows, visible)``.
            beta: as in `energy`.
        """
        field = torch.addmm(self.hidden.bias, v - self._offset, self.weight)
        return field if isinstance(beta, float) and beta == 1 else beta * field

    def visible_field(self, h: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """Return the field on the visible units, ``(rows, visible)``.

        Args:
            h: ``(rows, hidden)``.
            beta: as in `energy`.
        """
        field = torch.addmm(self._bias, h - self.hidden.offset, self.weight.T)
        return field if isinstance(beta, float) and beta == 1 else beta * field + (1 - beta) * self._base

    def hidden_mean(self, v: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """Return p(h = 1 given v), ``(rows, hidden)``.

        Args:
            v: ``(rows, visible)``.
            beta: as in `energy`.
        """
        return self.hidden.mean(self.hidden_field(v, beta))

    def visible_mean(self, h: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """Return the mean of v given h, ``(rows, visible)``.

        Args:
            h: ``(rows, hidden)``.
            beta: as in `energy`.
        """
        parts = zip(self.groups, self.visible_field(h, beta).split(self.sizes, -1), strict=True)
        return torch.cat([group.mean(field, beta) for group, field in parts], -1)

    def sample_hidden(self, v: Tensor, draw: Draw, beta: Tensor | float = 1.0) -> Tensor:
        """Return h drawn given v, ``(rows, hidden)``.

        Args:
            v: ``(rows, visible)``.
            draw: gives the random numbers.
            beta: as in `energy`.
        """
        return self.hidden.sample(self.hidden_field(v, beta), draw(self.hidden.size))

    def sample_visible(self, h: Tensor, draw: Draw, beta: Tensor | float = 1.0) -> Tensor:
        """Return v drawn given h, ``(rows, visible)``.

        Args:
            h: ``(rows, hidden)``.
            draw: gives the random numbers.
            beta: as in `energy`.
        """
        fields, uniform = self.visible_field(h, beta).split(self.sizes, -1), draw(self.size).split(self.sizes, -1)
        parts = zip(self.groups, fields, uniform, strict=True)
        return torch.cat([group.sample(field, u, beta) for group, field, u in parts], -1)

    def drawn(self, v: Tensor) -> Tensor:
        """Return data as the units can be, ``(rows, visible)``: probabilities are drawn from, by PyTorch's generator.

        Args:
            v: ``(rows, visible)``.
        """
        parts = zip(self.groups, v.split(self.sizes, -1), strict=True)
        return torch.cat([group.drawn(values) for group, values in parts], -1)

    def gibbs(self, v: Tensor, draw: Draw, beta: Tensor | float = 1.0, known: Tensor | None = None) -> Tensor:
        """Return v after one step of the chain: h given v, then v given h.

        Args:
            v: ``(rows, visible)``.
            draw: gives the random numbers.
            beta: as in `energy`.
            known: ``(rows, visible)``: values that are clamped, NaN where free; or None.
        """
        v = self.sample_visible(self.sample_hidden(v, draw, beta), draw, beta)
        return v if known is None else torch.where(known.isnan(), v, known)

    def slopes(self, v: Tensor, hidden: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Return the slopes of the weighted sum of -F(v) in all parameters, by name: the learning rule's statistics.

        Args:
            v: ``(rows, visible)``.
            hidden: ``(rows, hidden)``: the means given v.
            weight: ``(rows,)``.
        """
        away, above = v - self._offset, (hidden - self.hidden.offset) * weight[:, None]
        found = {"weight": away.T @ above, "hidden.bias": above.sum(0)}
        for place, (group, values) in enumerate(zip(self.groups, v.split(self.sizes, -1), strict=True)):
            found |= {f"visible.{place}.{name}": slope for name, slope in group.slopes(values, weight).items()}
        return found

    @torch.no_grad()
    def move_hidden_offset(self, offset: Tensor) -> None:
        """Change the hidden units' offsets, and the visible biases so that the machine's law stays what it is.

        Args:
            offset: ``(hidden,)``.
        """
        shift = (self.weight @ (offset - self.hidden.offset)).split(self.sizes)
        for group, values in zip(self.groups, shift, strict=True):
            group.bias.add_(values)
        self.hidden.offset.copy_(offset)

    @property
    def _offset(self) -> Tensor:
        return torch.cat([group.offset for group in self.groups])

    @property
    def _bias(self) -> Tensor:
        return torch.cat([group.bias for group in self.groups])

    @property
    def _base(self) -> Tensor:
        return torch.cat([group.base for group in self.groups])

    def _visible_energy(self, v: Tensor, beta: Tensor | float) -> Tensor:
        """Own terms and biases of the visible units at an inverse temperature."""
        bias = beta * self._bias + (1 - beta) * self._base
        parts = zip(self.groups, v.split(self.sizes, -1), strict=True)
        own = sum((group.own(values, beta) for group, values in parts), v.new_zeros(len(v)))
        return own - ((v - self._offset) * bias).sum(-1)
