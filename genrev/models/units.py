"""Groups of units of a Boltzmann machine: what values each can take, and its law given the field on it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from genrev.checks import one_of, whole
from genrev.errors import ArgumentError

_LEAST = 1e-3
"""How near to 0 and 1 the mean of a unit may be whose bias is taken from data."""

_NARROW = 1e-6
"""The least variance that counts, in those of the value that varies most; in units squared where none varies."""

_SHARP = math.log(1e4)
"""How much smaller than the data's the variance given the hidden units may become, as a difference of logarithms."""


class Units(nn.Module, ABC):
    """A group of units that are independent of one another given a field, a real number on each.

    The law of a value u given its field f is proportional to exp(f (u - offset) + the group's own terms). Means and
    biases of a machine that is blind to everything but this group, its base rates, stand beside: tempering and
    importance sampling begin there.

    Args:
        size: number of units.

    Attributes:
        bias: ``(size,)``: the field that stands on the units whatever the others do.
        offset: ``(size,)``: what is taken from values before anything is multiplied with them.
        base: ``(size,)``: the bias of the base rates.
    """

    kind: ClassVar[str]

    bias: nn.Parameter
    offset: Tensor
    base: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size = whole("size", size)
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("offset", torch.zeros(size))
        self.register_buffer("base", torch.zeros(size))

    def extra_repr(self) -> str:
        """The size, for PyTorch's printing."""
        return str(self.size)

    @torch.no_grad()
    def begin(self, values: Tensor) -> None:
        """Set offsets to the data's mean, and bias and base rates to those of units that know nothing of each other.

        Args:
            values: ``(n, size)``: data.
        """
        self.offset.copy_(values.mean(0))
        self.base.copy_(self._rates(values))
        self.bias.copy_(self.base)

    def hold(self) -> None:
        """Bring parameters that an update has led beyond all bounds back to them."""

    @abstractmethod
    def expect(self, values: Tensor, name: str) -> None:
        """Refuse values that such units can't take.

        Args:
            values: ``(n, size)``.
            name: what the sentence calls them.

        Raises:
            ArgumentError: some value is none of theirs.
        """

    @abstractmethod
    def _rates(self, values: Tensor) -> Tensor:
        """Return the biases, ``(size,)``, of independent units with the law of the data."""

    @abstractmethod
    def log_partition(self, field: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """Return the log of the sum, or integral, over all values of exp(field (u - offset) + own terms), ``(rows,)``.

        Args:
            field: ``(rows, size)``.
            beta: inverse temperature of the own terms, in [0, 1]: 0 has those of the base rates.
        """

    @abstractmethod
    def mean(self, field: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """Return the mean value given the field, ``(rows, size)``.

        Args:
            field: ``(rows, size)``.
            beta: as in `log_partition`.
        """

    @abstractmethod
    def sample(self, field: Tensor, uniform: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """Return values drawn given the field, ``(rows, size)``.

        Args:
            field: ``(rows, size)``.
            uniform: ``(rows, size)``: independent draws from (0, 1), which decide all that is random.
            beta: as in `log_partition`.
        """

    def drawn(self, values: Tensor) -> Tensor:
        """Return data as such units can be, ``(rows, size)``: probabilities are drawn from, by PyTorch's generator.

        Args:
            values: ``(rows, size)``: data.
        """
        return values

    def log_likelihood(self, values: Tensor, field: Tensor) -> Tensor:
        """Return log p(values given the field) in nats, ``(rows,)``.

        Args:
            values: ``(rows, size)``, as such units can be.
            field: ``(rows, size)``.
        """
        return (field * (values - self.offset)).sum(-1) - self.own(values) - self.log_partition(field)

    def slopes(self, values: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Return the slopes of the weighted sum of minus energies in the parameters of the group, by name.

        Args:
            values: ``(rows, size)``.
            weight: ``(rows,)``.
        """
        return {"bias": weight @ (values - self.offset)}

    def own(self, values: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """Return the energy of values by the group's own terms, bias left out, ``(rows,)``; 0 where there are none.

        Args:
            values: ``(rows, size)``.
            beta: as in `log_partition`.
        """
        return values.new_zeros(len(values))


class BernoulliUnits(Units):
    """Units that are 0 or 1, each by itself; data between count as probabilities of 1.

    Args:
        size: number of units.

    Example:
        >>> units = BernoulliUnits(2)
        >>> units.mean(torch.tensor([[0.0, 100.0]])).tolist()
        [[0.5, 1.0]]
    """

    kind = "bernoulli"

    def expect(self, values: Tensor, name: str) -> None:
        """Refuse what is no probability."""
        if not bool(((values >= 0) & (values <= 1)).all()):
            low, high = values.aminmax()
            raise ArgumentError(
                f"expected {name} in [0, 1] for Bernoulli units, got {low:g} to {high:g}; scale them, or take Gaussian "
                "units"
            )

    def _rates(self, values: Tensor) -> Tensor:
        return values.mean(0).clamp(_LEAST, 1 - _LEAST).logit()

    def log_partition(self, field: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """The sum over 0 and 1, unit by unit."""
        return nn.functional.softplus(field).sum(-1) - field @ self.offset

    def mean(self, field: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """The probability of 1: the logistic function of the field."""
        return field.sigmoid()

    def sample(self, field: Tensor, uniform: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """0 or 1."""
        return (uniform < field.sigmoid()).to(field)

    def drawn(self, values: Tensor) -> Tensor:
        """0 or 1, by probabilities."""
        return (torch.rand_like(values) < values).to(values)


class OneHotUnits(Units):
    """Units of which exactly one is 1 and the others 0; data that sum to 1 count as probabilities.

    Args:
        size: number of units.

    Example:
        >>> units = OneHotUnits(3)
        >>> units.sample(torch.zeros(1, 3), torch.tensor([[0.5, 0.0, 0.0]])).tolist()
        [[0.0, 1.0, 0.0]]
    """

    kind = "one-hot"

    def expect(self, values: Tensor, name: str) -> None:
        """Refuse what are no probabilities."""
        off = (values.sum(-1) - 1).abs()
        if not (bool((values >= 0).all()) and bool((off <= 1e-3).all())):
            raise ArgumentError(
                f"expected {name} of at least 0 that sum to 1 for one-hot units, got a sum that is {off.max():.2g} off "
                f"or values below 0; give probabilities"
            )

    def _rates(self, values: Tensor) -> Tensor:
        return values.mean(0).clamp(min=_LEAST).log()

    def log_partition(self, field: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """The sum over which unit is 1."""
        return field.logsumexp(-1) - field @ self.offset

    def mean(self, field: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """The probability of each unit to be the one: the softmax of the field."""
        return field.softmax(-1)

    def sample(self, field: Tensor, uniform: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """One unit 1, the others 0."""
        return self._pick(field.softmax(-1), uniform)

    def drawn(self, values: Tensor) -> Tensor:
        """One unit 1, by probabilities."""
        return self._pick(values, torch.rand_like(values))

    def _pick(self, probability: Tensor, uniform: Tensor) -> Tensor:
        # By the inverse of the distribution function; rounding may leave its last value below 1.
        place = (probability.cumsum(-1) < uniform[..., :1]).sum(-1).clamp(max=self.size - 1)
        return nn.functional.one_hot(place, self.size).to(probability)


class GaussianUnits(Units):
    """Units of real values, each with a variance of its own that is learned.

    Args:
        size: number of units.

    Attributes:
        log_precision: ``(size,)``: log of one over the variance given the field.
        base_log_precision: ``(size,)``: that of the base rates.

    Reference:
        Cho, Ilin and Raiko, 2011, "Improved learning of Gaussian-Bernoulli restricted Boltzmann machines".

    Example:
        >>> units = GaussianUnits(1)
        >>> units.sample(torch.tensor([[2.0]]), torch.tensor([[0.5]])).tolist()
        [[2.0]]
    """

    kind = "gaussian"

    base_log_precision: Tensor

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.log_precision = nn.Parameter(torch.zeros(size))
        self.register_buffer("base_log_precision", torch.zeros(size))

    @torch.no_grad()
    def begin(self, values: Tensor) -> None:
        """Set offsets, variances and base rates to the data's."""
        super().begin(values)
        variance = values.var(0)
        largest = float(variance.max())
        # What never changes has no variance to learn from.
        least = _NARROW * (largest if largest > 1e-20 else 1.0)
        self.base_log_precision.copy_(-variance.clamp(min=least).log())
        self.log_precision.copy_(self.base_log_precision)

    @torch.no_grad()
    def hold(self) -> None:
        """Of what never changes no variance is small enough: without an end to it the precision would overflow."""
        self.log_precision.clamp_(max=self.base_log_precision + _SHARP)

    def expect(self, values: Tensor, name: str) -> None:
        """Refuse what is not finite."""
        if not bool(values.isfinite().all()):
            raise ArgumentError(f"expected finite {name}, got NaN or infinity; leave those rows out")

    def _rates(self, values: Tensor) -> Tensor:
        return torch.zeros_like(self.bias)

    def precision(self, beta: Tensor | float = 1.0) -> Tensor:
        """Return one over the variance given the field.

        Args:
            beta: as in `log_partition`.
        """
        return beta * self.log_precision.exp() + (1 - beta) * self.base_log_precision.exp()

    def log_partition(self, field: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """The integral over all real values."""
        precision = self.precision(beta)
        return ((field.square() / precision + math.log(2 * math.pi) - precision.log()) / 2).sum(-1)

    def mean(self, field: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """The offset, and the field times the variance."""
        return self.offset + field / self.precision(beta)

    def sample(self, field: Tensor, uniform: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """The mean, and a normal draw of that variance."""
        precision = self.precision(beta)
        return self.offset + field / precision + torch.special.ndtri(uniform) / precision.sqrt()

    def slopes(self, values: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Those of the bias and of the log precision."""
        spread = weight @ (values - self.offset).square()
        return {**super().slopes(values, weight), "log_precision": -self.log_precision.exp() * spread / 2}

    def own(self, values: Tensor, beta: Tensor | float = 1.0) -> Tensor:
        """Half the squared distance to the offset, in deviations."""
        return (self.precision(beta) * (values - self.offset).square()).sum(-1) / 2


UNITS: dict[str, type[Units]] = {kind.kind: kind for kind in (BernoulliUnits, OneHotUnits, GaussianUnits)}
"""The kinds of units by name."""


def units_of(groups: Sequence[tuple[str, int]]) -> list[Units]:
    """Return groups of units that have learned nothing.

    Args:
        groups: kind and size of each.

    Raises:
        ArgumentError: they are no such pairs, or there are none.

    Example:
        >>> [group.size for group in units_of([("bernoulli", 784), ("one-hot", 10)])]
        [784, 10]
    """
    pairs = list(groups) if isinstance(groups, Sequence) and not isinstance(groups, str) else []
    if not pairs or not all(isinstance(pair, Sequence) and len(pair) == 2 for pair in pairs):
        raise ArgumentError(
            f"expected groups of units as pairs of a kind and a size, got {groups!r:.60}; write [('bernoulli', 784)]"
        )
    return [UNITS[one_of("kind", kind, UNITS)](size) for kind, size in pairs]
