"""Blocks: an affine map with what stands behind it; together they are the network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genrev import InputSpace, Network
from genrev.errors import LayerError
from genrev.layers.blocks import blocks

NETWORKS = {
    "plain": (nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), (4,)),
    "flattened": (nn.Sequential(nn.Flatten(), nn.Linear(8, 3), nn.ReLU(), nn.Linear(3, 2), nn.Softmax(-1)), (2, 4)),
    "convolutions": (
        nn.Sequential(
            nn.Conv2d(2, 3, 3, stride=2, padding=1),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(12, 2),
        ),
        (2, 8, 8),
    ),
    "an activation first": (nn.Sequential(nn.Sigmoid(), nn.Linear(4, 3)), (4,)),
    "two affine maps in a row": (nn.Sequential(nn.Linear(4, 6), nn.Identity(), nn.Linear(6, 2), nn.Sigmoid()), (4,)),
    "dropout before a softmax": (nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Softmax(-1)), (4,)),
    "on the last of several dimensions": (
        nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Flatten(), nn.Linear(10, 2)),
        (2, 3),
    ),
}


def network(name: str) -> Network:
    torch.manual_seed(0)
    module, shape = NETWORKS[name]
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean, layer.running_var = torch.randn(3), torch.rand(3) + 0.5
    return Network(module.double(), space=InputSpace(shape))


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_one_after_another_are_the_network(name: str) -> None:
    one = network(name)
    x = torch.randn(5, *one.space.shape)
    value = x
    with torch.no_grad(), one.frozen():
        for block in blocks(one.chain()):
            value = block.forward(value.reshape(5, *block.input_shape))
    torch.testing.assert_close(value.reshape(5, *one.output_shape), one.evaluate(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_matrix_and_what_stands_behind_it_are_the_block(name: str) -> None:
    one = network(name)
    with torch.no_grad(), one.frozen():
        for block in blocks(one.chain()):
            x = torch.randn(5, *block.input_shape)
            weight, bias = block.matrix(torch.float64)
            values = x.flatten(1) @ weight.T + bias
            for link in block.activations:
                values = link.module(values.reshape(5, *link.input_shape)).flatten(1)
            torch.testing.assert_close(values, block.forward(x).flatten(1))


def test_affine_layers_in_a_row_are_one_block() -> None:
    assert [len(blocks(network(name).chain())) for name in ("two affine maps in a row", "convolutions")] == [1, 2]


def test_a_block_is_known_by_its_layer_of_weights() -> None:
    found = blocks(network("convolutions").chain())
    assert [block.name for block in found] == ["0", "5"]
    assert "output layer" in found[-1].title


def test_a_matrix_beyond_the_memory_bound_is_refused_by_the_layers_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrev.layers.blocks._MEMORY", 1000)
    block = blocks(network("convolutions").chain())[0]
    with pytest.raises(LayerError, match=r"expected layers whose matrix takes at most .* at '0'; use an inverter that"):
        block.matrix(torch.float64)
