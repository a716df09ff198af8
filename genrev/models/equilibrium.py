"""Deep equilibrium: a layer whose output y = s(W x + U y + b) is a fixed point, found by iteration."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from genrev.checks import called_as, one_of, whole
from genrev.layers import Inverse, Preimage, inverse

_KINDS: dict[str, tuple[Callable[[], nn.Module], Callable[[Tensor], Tensor]]] = {
    "tanh": (nn.Tanh, lambda y: 1 - y.square()),
    "sigmoid": (nn.Sigmoid, lambda y: y * (1 - y)),
    "relu": (nn.ReLU, lambda y: (y > 0).to(y)),
}
"""Activations by name, each with its slope as a function of its value."""

_NORM = 0.9
"""The greatest singular value of U to begin with: below 1 the fixed point is the only one, and iteration finds it."""

_NEWTON = 30
"""Steps of Newton's method for what iteration does not settle."""


class Equilibrium(nn.Module):
    """A layer whose output is the fixed point y of s(W x + U y + b), from y = 0; its gradients are the implicit ones.

    Iteration finds it where the layer contracts; what has not settled then goes on by Newton's method, and is NaN where
    that finds none either. Where U does not contract there may be several fixed points: it is the one that was found.

    Args:
        inputs: values of x.
        outputs: values of y.
        activation: s: "tanh", "sigmoid" or "relu".
        steps: iterations before Newton's method.

    Attributes:
        weight_ih: ``(outputs, inputs)``: W.
        weight_hh: ``(outputs, outputs)``: U, of norm 0.9 to begin with.
        bias: ``(outputs,)``: b.

    Raises:
        ArgumentError: a width is not positive, or the activation none of the three.

    Reference:
        Bai, Kolter and Koltun, 2019, "Deep equilibrium models".

    Example:
        >>> layer = Equilibrium(3, 5)
        >>> x = torch.ones(1, 3)
        >>> y = layer(x)
        >>> bool(torch.allclose(y, torch.tanh(x @ layer.weight_ih.T + y @ layer.weight_hh.T + layer.bias), atol=1e-6))
        True
    """

    @called_as("Equilibrium(inputs, outputs)")
    def __init__(self, inputs: int, outputs: int, *, activation: str = "tanh", steps: int = 200) -> None:
        super().__init__()
        inputs, outputs = whole("inputs", inputs), whole("outputs", outputs)
        self.kind = one_of("activation", activation, _KINDS)
        self.steps = whole("steps", steps, least=0)
        self.activation = _KINDS[self.kind][0]()
        self.weight_ih = nn.Parameter(torch.empty(outputs, inputs))
        self.weight_hh = nn.Parameter(torch.empty(outputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        with torch.no_grad():
            for parameter, width in ((self.weight_ih, inputs), (self.weight_hh, outputs), (self.bias, inputs)):
                parameter.uniform_(-(width**-0.5), width**-0.5)
            self.weight_hh.mul_(_NORM / torch.linalg.matrix_norm(self.weight_hh, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Return the fixed points; NaN where none was found.

        Args:
            x: ``(..., inputs)``.

        Returns:
            ``(..., outputs)``.
        """
        drive = functional.linear(x, self.weight_ih, self.bias)
        with torch.no_grad():
            y, settled = self._fixed_point(drive.detach())
        # One more step of Newton's method, with gradients: at a fixed point its derivative is the implicit one.
        y = y.where(settled, 0.0)
        away = self._next(drive, y) - y
        step = torch.linalg.solve_ex(self._one_less_slope(self._next(drive, y).detach()), away[..., None])[0][..., 0]
        return (y + step).where(settled, torch.nan)

    def _next(self, drive: Tensor, y: Tensor) -> Tensor:
        return self.activation(drive + functional.linear(y, self.weight_hh))

    def _one_less_slope(self, y: Tensor) -> Tensor:
        """Return 1 - s' U, ``(..., outputs, outputs)``, where s gives y."""
        slope = _KINDS[self.kind][1](y)
        return torch.eye(y.shape[-1]).to(y) - slope[..., None] * self.weight_hh.detach()

    def _fixed_point(self, drive: Tensor) -> tuple[Tensor, Tensor]:
        """Return y, and where it is a fixed point, ``(..., 1)`` of bool; a row that has settled is left as it is."""
        y = torch.zeros_like(drive)
        settled = torch.zeros_like(drive[..., :1], dtype=torch.bool)
        for attempt in range(self.steps + _NEWTON):
            new = self._next(drive, y)
            away = new - y
            size = y.abs().amax(-1, keepdim=True).clamp(min=1.0)
            settled = settled | (away.abs().amax(-1, keepdim=True) <= 8 * torch.finfo(y.dtype).eps * size)
            if bool(settled.all()):
                break
            if attempt >= self.steps:
                new = y + torch.linalg.solve_ex(self._one_less_slope(new), away[..., None])[0][..., 0]
            y = torch.where(settled, y, new)
        return y, settled

    def extra_repr(self) -> str:
        """Say the widths."""
        return f"{self.weight_ih.shape[1]}, {self.weight_ih.shape[0]}, steps={self.steps}"


@inverse.register
def _(layer: Equilibrium, input_shape: tuple[int, ...]) -> Inverse:
    """W+ (s^-1(y) - U y - b): the fixed point is known."""
    weight, within = layer.weight_ih.detach(), layer.weight_hh.detach()
    linear: nn.Linear = nn.utils.skip_init(nn.Linear, *weight.shape[::-1])
    linear.weight, linear.bias = (nn.Parameter(part.detach(), requires_grad=False) for part in (weight, layer.bias))
    back, undo = inverse(linear, input_shape), inverse(layer.activation, (len(weight),))

    def invert(y: Tensor) -> Preimage:
        preimage = undo(y)
        asked = back(preimage.x - y @ within.T)
        return asked.with_clamped(preimage.clamped | asked.clamped)

    return invert
