"""Tests of retrieval: the nearest training input, by a plain search over all of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from genrev.errors import NotFittedError
from genrev.inverter import Outcome
from genrev.inverters.retrieval import RetrievalInverter
from genrev.network import Network
from genrev.space import InputSpace


def network(m: int = 3) -> Network:
    return Network(nn.Sequential(nn.Linear(5, m), nn.Tanh()).double(), space=InputSpace((5,)))


def plain(target: list[float], outputs: list[list[float]], tolerance: list[float]) -> int:
    """The place of the output whose greatest distance over what is asked is the smallest."""
    distances = [
        max(abs(y - t) / unit for y, t, unit in zip(row, target, tolerance, strict=True) if not math.isnan(t))
        for row in outputs
    ]
    return distances.index(min(distances))


@pytest.mark.parametrize("tolerance", [1e-3, [1e-3, 1.0, 100.0]])
@pytest.mark.parametrize("free", [[], [1], [0, 2]])
def test_it_is_the_input_whose_output_is_nearest(free: list[int], tolerance: float | list[float]) -> None:
    net = network()
    inputs, target = torch.randn(60, 5), torch.rand(30, 3)
    target[:, free] = math.nan
    units = tolerance if isinstance(tolerance, list) else [tolerance] * 3
    inverter = RetrievalInverter(net, tolerance=torch.tensor(tolerance)).fit(inputs)
    found = inverter.reconstruct(target)
    outputs = net.evaluate(inputs).tolist()
    expected = torch.tensor([plain(row, outputs, units) for row in target.tolist()])
    assert torch.equal(found.stats["neighbour"][:, 0], expected)
    assert torch.equal(found.x[:, 0], inputs[expected])


def test_a_training_input_finds_itself() -> None:
    net = network()
    inputs = torch.randn(40, 5)
    found = RetrievalInverter(net).fit(inputs).reconstruct(net.evaluate(inputs), samples=3)
    assert bool(found.converged.all())
    assert torch.equal(found.x, inputs[:, None].expand(40, 3, 5))


def test_a_target_that_no_training_input_has_is_missed() -> None:
    found = RetrievalInverter(network()).fit(torch.randn(10, 5)).reconstruct([[0.99, -0.99, 0.99]])
    assert found.outcome.tolist() == [[Outcome.MISSED]]


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    inverter = RetrievalInverter(net).fit(torch.randn(60, 5))
    target = torch.rand(30, 3)
    whole = inverter.reconstruct(target).x
    monkeypatch.setattr("genrev.network.MEMORY", 4 * (net.row_bytes + inverter._row_bytes()))
    assert torch.equal(inverter.reconstruct(target).x, whole)


def test_what_it_was_fitted_on_is_its_own() -> None:
    inputs = torch.randn(10, 5)
    inverter = RetrievalInverter(network()).fit(inputs)
    before = inverter.reconstruct([[0.1, 0.2, 0.3]]).x
    inputs.zero_()
    assert torch.equal(inverter.reconstruct([[0.1, 0.2, 0.3]]).x, before)


def test_a_training_input_whose_output_is_not_finite_is_never_nearest() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sqrt()

    net = Network(Root(), space=InputSpace((1,), -10.0, 10.0))
    found = RetrievalInverter(net).fit([[-1.0], [4.0], [9.0]]).reconstruct([[2.1]])
    assert found.x.flatten().tolist() == [4.0]


def test_known_values_are_put_back() -> None:
    known = torch.tensor([math.nan, 7.0, math.nan, math.nan, math.nan])
    x = RetrievalInverter(network()).fit(torch.randn(10, 5)).reconstruct(torch.rand(4, 3), known=known).x
    assert bool((x[..., 1] == 7).all())


def test_it_must_be_fitted_first() -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        RetrievalInverter(network()).reconstruct([[0.1, 0.2, 0.3]])
