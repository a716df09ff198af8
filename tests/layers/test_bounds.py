"""Tests of the bounds of layers: nothing leaves them in any precision, and where a closed form is known they are it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from genrev.errors import LayerError
from genrev.layers import Interval, bounds
from genrev.layers.affine import affine
from genrev.layers.bounds import holds_for
from genrev.layers.elementwise import curve

SMOOTH = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "elu-2": lambda: nn.ELU(2.0),
    "elu-falling": lambda: nn.ELU(-0.7),
    "selu": nn.SELU,
    "celu": lambda: nn.CELU(1.7),
    "softplus": nn.Softplus,
    "softplus-sharp": lambda: nn.Softplus(7.0, 3.0),
    "softplus-stepped": lambda: nn.Softplus(1.0, 1.0),
    "softplus-negative": lambda: nn.Softplus(1.0, -1.0),
    "log-sigmoid": nn.LogSigmoid,
    "softsign": nn.Softsign,
    "gelu": nn.GELU,
    "gelu-tanh": lambda: nn.GELU("tanh"),
    "silu": nn.SiLU,
    "mish": nn.Mish,
}
BENT = {
    "relu": nn.ReLU,
    "relu-in-place": lambda: nn.ReLU(inplace=True),
    "relu6": nn.ReLU6,
    "leaky": nn.LeakyReLU,
    "leaky-falling": lambda: nn.LeakyReLU(-0.3),
    "leaky-steep": lambda: nn.LeakyReLU(3.0),
    "prelu": lambda: seeded(nn.PReLU(4), 1.0),
    "prelu-one": lambda: nn.PReLU(init=-0.5),
    "hardtanh": lambda: nn.Hardtanh(-0.3, 2.1),
    "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish,
}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {**SMOOTH, **BENT}


def seeded(layer: nn.Module, scale: float = 0.5) -> nn.Module:
    """A layer with random weights and statistics."""
    for values in [*layer.parameters(), *layer.buffers()]:
        if values.is_floating_point():
            values.data = torch.randn_like(values) * scale
    for name, values in layer.named_buffers():
        if name.endswith("var"):
            values.data = values.abs() + 0.1
    return layer


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{name: (make, (4, 3)) for name, make in ACTIVATIONS.items()},
    "linear": (lambda: nn.Linear(6, 4), (6,)),
    "linear-no-bias": (lambda: nn.Linear(6, 4, bias=False), (3, 6)),
    "conv1d": (lambda: nn.Conv1d(2, 4, 3, padding=1, groups=2), (2, 7)),
    "conv2d": (lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1, padding_mode="circular"), (2, 6, 5)),
    "conv2d-same": (lambda: nn.Conv2d(2, 3, 4, padding="same", dilation=2, padding_mode="reflect"), (2, 9, 9)),
    "conv3d": (lambda: nn.Conv3d(1, 2, 2, bias=False), (1, 3, 4, 3)),
    "transposed1d": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1, groups=2), (4, 5)),
    "transposed2d": (lambda: nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, dilation=2), (3, 4, 3)),
    "transposed3d": (lambda: nn.ConvTranspose3d(2, 1, 2), (2, 3, 2, 3)),
    "batchnorm1d": (lambda: seeded(nn.BatchNorm1d(5)), (5,)),
    "batchnorm1d-length": (lambda: seeded(nn.BatchNorm1d(5)), (5, 3)),
    "batchnorm2d": (lambda: seeded(nn.BatchNorm2d(3)), (3, 2, 4)),
    "batchnorm3d": (lambda: nn.BatchNorm3d(2, affine=False), (2, 2, 1, 3)),
    "layernorm": (lambda: seeded(nn.LayerNorm(7)), (7,)),
    "layernorm-two": (lambda: seeded(nn.LayerNorm((3, 2), eps=1e-3)), (4, 3, 2)),
    "layernorm-plain": (lambda: nn.LayerNorm(2, elementwise_affine=False), (5, 2)),
    "groupnorm": (lambda: seeded(nn.GroupNorm(2, 6)), (6, 2, 2)),
    "groupnorm-flat": (lambda: nn.GroupNorm(3, 6, affine=False), (6,)),
    "flatten": (nn.Flatten, (2, 3, 2)),
    "unflatten": (lambda: nn.Unflatten(1, (2, 3)), (6,)),
    "identity": (nn.Identity, (3,)),
    "dropout": (nn.Dropout, (3,)),
    "dropout2d": (nn.Dropout2d, (3, 2, 2)),
    "avgpool1d": (lambda: nn.AvgPool1d(3, padding=1), (2, 8)),
    "avgpool2d": (lambda: nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False, padding=1), (2, 5, 5)),
    "avgpool3d": (lambda: nn.AvgPool3d(2, divisor_override=3), (1, 4, 4, 4)),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d((2, 3)), (2, 5, 7)),
    "adaptive-one": (lambda: nn.AdaptiveAvgPool1d(1), (2, 9)),
    "maxpool1d": (lambda: nn.MaxPool1d(3, stride=1, padding=1), (2, 8)),
    "maxpool2d": (lambda: nn.MaxPool2d(2, ceil_mode=True), (2, 5, 5)),
    "maxpool3d": (lambda: nn.MaxPool3d(2, dilation=2), (1, 4, 4, 4)),
    "shuffle": (lambda: nn.PixelShuffle(2), (8, 2, 3)),
    "unshuffle": (lambda: nn.PixelUnshuffle(2), (2, 4, 6)),
    "softmax": (lambda: nn.Softmax(-1), (5,)),
    "softmax-first": (lambda: nn.Softmax(1), (4, 3)),
    "softmax-one": (lambda: nn.Softmax(-1), (1,)),
    "softmax2d": (nn.Softmax2d, (3, 2, 2)),
    "log-softmax": (lambda: nn.LogSoftmax(-1), (5,)),
}
every = pytest.mark.parametrize("name", LAYERS)
both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def boxes(shape: tuple[int, ...], dtype: torch.dtype) -> list[Interval]:
    """Boxes of every kind: wide, narrow, a point, far off, and without bounds on either side or on both."""
    found = []
    for centre, width in [(0, 3), (0, 0.01), (5, 1), (-5, 1), (0, 100), (300, 2), (1e4, 1e-3), (0, 0), (1e3, 0)]:
        middle = centre + torch.randn(1, *shape)
        radius = width * torch.rand(1, *shape)
        found.append((middle - radius, middle + radius))
    middle = torch.randn(1, *shape)
    found += [(torch.full_like(middle, -math.inf), middle), (middle, torch.full_like(middle, math.inf))]
    some = torch.rand(1, *shape) < 0.5
    found.append((torch.where(some, -math.inf, middle), torch.where(some | (middle > 0.5), math.inf, middle + 1)))
    # What the network sees has its own precision.
    return [Interval(low.to(dtype).double(), high.to(dtype).double(), dtype) for low, high in found]


def inside(box: Interval, count: int = 300) -> Tensor:
    """Inputs of a box: even ones, corners, and half of each."""
    low, high = (end.expand(count, *end.shape[1:]) for end in (box.low, box.high))
    far = 10 ** (6 * torch.rand(count, *(1,) * (low.ndim - 1)) - 2)
    near = torch.where(low.isfinite(), low, torch.where(high.isfinite(), high - far, -far))
    top = torch.where(high.isfinite(), high, near + 2 * far)
    share = torch.rand(low.shape)
    kind = torch.arange(count).reshape(-1, *(1,) * (low.ndim - 1)) % 3
    share = torch.where(kind == 1, share.round(), torch.where((kind == 2) & (share < 0.5), 0.0, share))
    x = (near + (top - near) * share).to(box.dtype)
    return torch.minimum(torch.maximum(x, low.to(box.dtype)), high.to(box.dtype))


def expect_held(layer: nn.Module, box: Interval, x: Tensor) -> None:
    with torch.no_grad():
        y = layer(x.clone())
        found = bounds(layer, tuple(x.shape[1:]))(box)
    assert found.low.dtype == found.high.dtype == torch.float64
    assert found.low.shape == found.high.shape == (1, *y.shape[1:])
    assert not bool(found.low.isnan().any() | found.high.isnan().any())
    held = found.contains(y)
    worst = torch.maximum(found.low - y.double(), y.double() - found.high).amax()
    assert bool(held.all()), f"{layer} leaves its bounds by {float(worst)}"


@every
@both
def test_nothing_leaves_the_bounds_of_a_layer(name: str, dtype: torch.dtype) -> None:
    make, shape = LAYERS[name]
    for seed in range(6):
        torch.manual_seed(seed)
        layer = make().to(dtype).eval()
        for box in boxes(shape, dtype):
            expect_held(layer, box, inside(box))


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("name", ["linear", "conv2d", "transposed2d", "batchnorm2d", "avgpool2d", "log-softmax"])
def test_nothing_leaves_the_bounds_where_float32_cancels(name: str, scale: float) -> None:
    make, shape = LAYERS[name]
    layer = make().float().eval()
    for values in layer.parameters():
        values.data *= scale
    for _ in range(5):
        middle = (1e3 * torch.randn(1, *shape)).float().double()
        box = Interval(middle, middle, torch.float32)
        expect_held(layer, box, middle.float().expand(4, *shape))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_nothing_leaves_the_bounds_in_half_precision(dtype: torch.dtype) -> None:
    for layer in (nn.Linear(40, 5), nn.Sigmoid(), nn.GELU(), nn.Softmax(-1), nn.LeakyReLU()):
        layer.to(dtype)
        for box in boxes((40,), dtype)[:5]:
            expect_held(layer, box, inside(box))


@both
def test_a_long_sum_in_float32_stays_within_its_bounds(dtype: torch.dtype) -> None:
    layer = nn.Linear(20_000, 3).to(dtype)
    with torch.no_grad():
        layer.weight.abs_()
    middle = 100 * torch.rand(1, 20_000).to(dtype)
    found = bounds(layer, (20_000,))(Interval(middle.double(), middle.double(), dtype))
    shuffled = torch.randperm(20_000)
    with torch.no_grad():
        once = layer(middle)
        one_by_one = (layer.weight[:, shuffled] * middle[:, shuffled]).cumsum(1)[:, -1] + layer.bias
    assert bool(found.contains(once).all())
    assert bool(found.contains(one_by_one[None]).all())


# Exactness


def near(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def corner_bounds(weight: Tensor, bias: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The closed form: each output at the corner of the box that its weights' signs name."""
    least, most = torch.where(weight > 0, low, high), torch.where(weight > 0, high, low)
    return (weight * least).sum(1) + bias, (weight * most).sum(1) + bias


def test_a_linear_layer_attains_its_bounds() -> None:
    layer = nn.Linear(9, 5)
    low = torch.randn(9)
    high = low + torch.rand(9)
    found = bounds(layer, (9,))(Interval(low[None], high[None]))
    least, most = corner_bounds(layer.weight.detach(), layer.bias.detach(), low, high)
    near(found.low[0], least)
    near(found.high[0], most)


def dense(layer: nn.Module, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """A layer of sums as a matrix and a vector, column by column."""
    size = math.prod(shape)
    with torch.no_grad():
        bias = layer(torch.zeros(1, *shape)).flatten()
        return (layer(torch.eye(size).reshape(size, *shape)).flatten(1) - bias).T, bias


# A reflected pixel counts twice in a sum, with weights of either sign: bounds of that are sound and not attained.
SUMS = [name for name in LAYERS if holds_for(affine.registry, LAYERS[name][0]()) and name != "conv2d-same"]


@pytest.mark.parametrize("name", SUMS)
def test_a_layer_of_sums_attains_its_bounds_and_is_transposed_as_its_matrix(name: str) -> None:
    make, shape = LAYERS[name]
    layer = make().eval()
    weight, bias = dense(layer, shape)
    low = torch.randn(1, *shape)
    high = low + torch.rand(1, *shape)
    found = bounds(layer, shape)(Interval(low, high))
    least, most = corner_bounds(weight, bias, low.flatten(), high.flatten())
    near(found.low.flatten(), least)
    near(found.high.flatten(), most)
    rows = torch.randn(3, *found.low.shape[1:])
    near(affine(layer, shape).back(rows, shape).flatten(1), rows.flatten(1) @ weight)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "elu", "softplus", "leaky", "softsign", "log-sigmoid"])
def test_a_monotone_activation_behind_a_linear_layer_attains_its_bounds(name: str) -> None:
    layer, activation = nn.Linear(4, 6), ACTIVATIONS[name]()
    box = bounds(layer, (4,))(Interval(torch.zeros(1, 4), torch.ones(1, 4)))
    found = bounds(activation, (6,))(box)
    weight, bias = layer.weight.detach(), layer.bias.detach()
    ends = corner_bounds(weight, bias, torch.zeros(4), torch.ones(4))
    near(found.low[0], activation(ends[0]), 1e-8 if name == "softplus" else 1e-12)
    near(found.high[0], activation(ends[1]))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_bounds_of_an_activation_are_its_range_on_a_fine_grid(name: str) -> None:
    layer = ACTIVATIONS[name]()
    for low, high in [(-4.0, 3.0), (-1.0, -0.9), (-0.2, 0.1), (-9.0, -2.0), (0.5, 0.5), (2.0, 8.0), (-2.9, -1.5)]:
        box = Interval(torch.full((1, 4), low), torch.full((1, 4), high))
        found = bounds(layer, (4,))(box)
        with torch.no_grad():
            y = layer(torch.linspace(low, high, 20_001)[:, None].repeat(1, 4))
        assert bool(found.contains(y).all())
        # The grid misses a bend by its step; where a Softplus steps down the bounds know no side of it.
        loose = {"softplus-stepped": 0.4, "softplus-negative": 1.4, "softplus-sharp": 0.02}.get(name, 2e-3)
        assert bool((y.amin(0) - found.low <= loose).all())
        assert bool((found.high - y.amax(0) <= loose).all())


def test_activations_without_bounds_below_end_at_their_limits() -> None:
    everything = Interval(torch.full((1, 1), -math.inf), torch.full((1, 1), math.inf))
    limits = {
        "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, math.inf), "softsign": (-1.0, 1.0),
        "relu6": (0.0, 6.0), "elu": (-1.0, math.inf), "softplus": (0.0, math.inf), "log-sigmoid": (-math.inf, 0.0),
        "hardtanh": (-0.3, 2.1), "hardsigmoid": (0.0, 1.0), "hardswish": (-0.375, math.inf),
        "gelu": (-0.16997120747990369, math.inf), "silu": (-0.2784645427610738, math.inf),
        "mish": (-0.3088434130172504, math.inf), "leaky-falling": (0.0, math.inf),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        found = bounds(ACTIVATIONS[name](), (1,))(everything)
        near(found.low, torch.tensor([[low]]), 1e-9)
        near(found.high, torch.tensor([[high]]), 1e-9)


@pytest.mark.parametrize("kind", [nn.Softmax, nn.LogSoftmax])
def test_a_softmax_attains_its_bounds_at_corners(kind: type[nn.Module]) -> None:
    layer = kind(dim=-1)
    for scale in (1.0, 30.0, 700.0):
        low = scale * torch.randn(1, 5)
        high = low + scale * torch.rand(1, 5)
        found = bounds(layer, (5,))(Interval(low, high))
        corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 5)
        y = layer(low + (high - low) * corners)
        near(found.low[0], y.amin(0), 1e-10)
        near(found.high[0], y.amax(0), 1e-10)


def test_normalised_values_are_bounded_whatever_comes_in_while_rounding_is_small() -> None:
    wide = Interval(torch.full((1, 9), -1e6), torch.full((1, 9), 1e6))
    found = bounds(nn.LayerNorm(9), (9,))(wide)
    near(found.high, torch.full((1, 9), math.sqrt(8)), 1e-4)
    assert bool((found.low == -found.high).all())
    # In float32 the mean of such values is so rounded that their differences mean nothing.
    found = bounds(nn.LayerNorm(9).float(), (9,))(Interval(wide.low, wide.high, torch.float32))
    assert found.high.isinf().all()


def test_a_narrow_box_is_normalised_to_a_narrow_one() -> None:
    x = torch.randn(1, 6)
    for layer in (seeded(nn.LayerNorm(6)), seeded(nn.GroupNorm(2, 6))):
        found = bounds(layer, (6,))(Interval(x, x))
        near(found.low, layer(x).detach(), 1e-8)
        near(found.high, layer(x).detach(), 1e-8)


# What sees nothing, and what is no number


@both
def test_a_weight_of_zero_sees_nothing_of_an_input_without_bounds(dtype: torch.dtype) -> None:
    everything = Interval(torch.full((1, 2, 4), -math.inf), torch.full((1, 2, 4), math.inf), dtype)
    for layer in (nn.Linear(4, 3), nn.Conv1d(2, 3, 2), nn.BatchNorm1d(2), nn.ConvTranspose1d(2, 3, 2)):
        layer.to(dtype).eval()
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.fill_(0.3)
        found = bounds(layer, (2, 4))(everything)
        shift = torch.full_like(found.low, float(layer.bias.detach().double()[0]))
        near(found.low, shift, 1e-4 if dtype == torch.float32 else 1e-12)
        near(found.high, shift, 1e-4 if dtype == torch.float32 else 1e-12)
    layer = nn.Linear(4, 1).to(dtype)
    layer.weight.data = torch.tensor([[0.0, 1.0, 0.0, -2.0]], dtype=dtype)
    half = Interval(everything.low.clone(), everything.high.clone(), dtype)
    half.low[..., 1], half.high[..., 3] = 0.0, 1.0
    found = bounds(layer, (2, 4))(half)
    near(found.low, torch.full((1, 2, 1), -2.0 + layer.bias.item()), 1e-5)
    assert found.high.isinf().all()


def test_a_weight_that_is_no_number_leaves_what_it_touches_without_bounds() -> None:
    for value in (math.nan, math.inf, -math.inf):
        layer = nn.Linear(3, 2)
        layer.weight.data[0, 1] = value
        found = bounds(layer, (3,))(Interval(torch.zeros(1, 3), torch.ones(1, 3)))
        assert found.low[0].isinf().tolist() == found.high[0].isinf().tolist() == [True, False]
        assert (float(found.low[0, 0]), float(found.high[0, 0])) == (-math.inf, math.inf)
    norm = nn.BatchNorm1d(2).eval()
    norm.running_var[0] = -1.0
    found = bounds(norm, (2,))(Interval(torch.zeros(1, 2), torch.ones(1, 2)))
    assert found.high[0].isinf().tolist() == [True, False]
    slope = nn.PReLU(2)
    slope.weight.data[0] = math.nan
    found = bounds(slope, (2,))(Interval(-torch.ones(1, 2), torch.ones(1, 2)))
    assert found.high[0].isinf().tolist() == [True, False]


def test_what_may_overflow_has_no_bounds() -> None:
    layer = nn.Linear(2, 1, bias=False).float()
    layer.weight.data = torch.tensor([[1e30, 1.0]], dtype=torch.float32)
    box = Interval(torch.zeros(1, 2), torch.tensor([[1e10, 1.0]]), torch.float32)
    assert bounds(layer, (2,))(box).high.isinf().all()
    # The network's own value is infinite there, and a bounded activation brings it back.
    assert torch.tanh(layer(box.high.float())).item() == 1.0


# Types


def test_a_type_without_bounds_is_refused_with_the_way_to_add_it() -> None:
    class Strange(nn.Module):
        pass

    with pytest.raises(LayerError, match=r"expected a layer with registered bounds \(AdaptiveAvgPool1d, .*got Strange"):
        bounds(Strange(), (2,))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Softplus(-1.0),
        nn.CELU(-1.0),
        nn.Softmax(0),
        nn.BatchNorm1d(2, track_running_stats=False),
        nn.AvgPool1d(2),
    ],
    ids=repr,
)
def test_settings_that_have_no_rule_are_refused(layer: nn.Module) -> None:
    if isinstance(layer, nn.AvgPool1d):
        layer = nn.AvgPool2d(2, divisor_override=-1)
    with pytest.raises(LayerError):
        bounds(layer, (2,))


def test_a_type_of_ones_own_is_registered_like_an_inverse() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 2

    @bounds.register(Half)
    def _(layer: nn.Module, input_shape: tuple[int, ...]) -> Callable[[Interval], Interval]:
        return lambda x: Interval(x.low / 2, x.high / 2)

    assert float(bounds(Half(), (1,))(Interval(torch.zeros(1, 1), torch.ones(1, 1))).high) == 0.5
    assert holds_for(bounds.registry, Half())


def test_a_rule_holds_for_what_runs_as_its_type_does_alone() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    class Masked(nn.Conv1d):
        def _conv_forward(self, *args: Tensor) -> Tensor:
            return 2 * super()._conv_forward(*args)

    class Named(nn.Linear):
        pass

    patched = nn.Linear(2, 2)
    patched.forward = lambda x: x  # type: ignore[method-assign]
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(lambda layer, args, output: 2 * output)
    for layer in (Doubled(2, 2), Masked(2, 2, 1), patched, hooked):
        assert not holds_for(bounds.registry, layer)
    for layer in (Named(2, 2), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), copy.deepcopy(nn.ReLU6())):
        assert holds_for(bounds.registry, layer)


# Straight lines


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "leaky", "leaky-falling", "leaky-steep", "prelu-one"])
@both
def test_lines_hold_an_activation_on_a_fine_grid(name: str, dtype: torch.dtype) -> None:
    layer = ACTIVATIONS[name]().to(dtype)
    low = torch.cat([10 ** (4 * torch.rand(1, 400) - 2) * torch.randn(1, 400), torch.randn(1, 100)], 1)
    width = torch.cat([10 ** (8 * torch.rand(1, 400) - 6), torch.zeros(1, 100)], 1)
    low[0, :50] = -width[0, :50] / 2
    low[0, 50:60], width[0, 50:60] = 0.0, 1.0
    box = Interval(low.to(dtype).double(), (low + width).to(dtype).double(), dtype)
    lines = curve(layer, (500,)).lines(box)
    assert lines is not None
    share = torch.linspace(0, 1, 2001)[:, None]
    x = (box.low + (box.high - box.low) * share).to(dtype)
    x = torch.minimum(torch.maximum(x, box.low.to(dtype)), box.high.to(dtype))
    with torch.no_grad():
        y = layer(x).double()
    x = x.double()
    assert bool((lines.low_slope * x + lines.low <= y).all())
    assert bool((lines.high_slope * x + lines.high >= y).all())
    # They touch it, but for rounding.
    gap = torch.minimum(y - lines.low_slope * x - lines.low, lines.high_slope * x + lines.high - y).amin(0)
    assert bool((gap <= 1e-4 * (1 + y.abs().amax(0))).all())


def test_where_no_input_has_bounds_only_weights_of_zero_leave_some() -> None:
    layer = nn.Linear(3, 3)
    layer.weight.data = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1e-300, 0.0], [0.0, -2.0, 1.0]])
    everywhere = torch.full((1, 3), math.inf)
    box = bounds(layer, (3,))(Interval(-everywhere, everywhere))
    assert box.low[0, 1:].tolist() == [-math.inf, -math.inf]
    assert box.high[0, 1:].tolist() == [math.inf, math.inf]
    assert bool(box.low[0, 0] <= layer.bias[0] <= box.high[0, 0])
    assert float(box.high[0, 0] - box.low[0, 0]) < 1e-12
