"""What a comparison is given, checked: each mistake gets one sentence before anything is run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from genrev.arrays import as_numbers
from genrev.comparison.about import describe_value
from genrev.errors import ArgumentError
from genrev.inverter import Inverter
from genrev.network import Network, wrong_inputs


def check_inverters(network: Network, inverters: Mapping[str, Inverter]) -> float | Tensor:
    """Return the tolerance that all of them share."""
    if not isinstance(network, Network):
        raise ArgumentError(
            f"expected a genrev.Network, got {type(network).__name__}; write Network(module, space=...)"
        )
    if not isinstance(inverters, Mapping) or not inverters:
        raise ArgumentError(
            f"expected a dict of at least one inverter by name, got {inverters!r}; write "
            '{"newton": NewtonInverter(network)}'
        )
    fingerprint = network.fingerprint()
    first = next(iter(inverters.values()))
    for name, inverter in inverters.items():
        if not isinstance(inverter, Inverter):
            raise ArgumentError(f"expected inverters, got {type(inverter).__name__} under {name!r}; build it first")
        if not isinstance(name, str) or not name or name in ("real", "noise"):
            raise ArgumentError(f"expected names of inverters other than 'real' and 'noise', got {name!r}; rename it")
        if inverter.network is not network and inverter.network.fingerprint() != fingerprint:
            raise ArgumentError(
                f"expected inverters of the network compared, got another's under {name!r}; build it on this one"
            )
        if not _same_tolerance(first, inverter):
            raise ArgumentError(
                f"expected one tolerance for all inverters, got {describe_value(first.tolerance)} and "
                f"{describe_value(inverter.tolerance)}; build them with the same"
            )
    return first.tolerance


def _same_tolerance(one: Inverter, other: Inverter) -> bool:
    shape = one.network.output_shape
    a, b = (torch.as_tensor(each.tolerance, dtype=torch.float64).cpu().expand(shape) for each in (one, other))
    return torch.equal(a, b)


def check_inputs(name: str, values: Any, network: Network) -> Tensor:
    """Return inputs as a tensor of the network's type, on its device."""
    space = network.space
    x = as_numbers(name, values).detach().to(network.device, network.dtype)
    if x.ndim != len(space.shape) + 1 or tuple(x.shape[1:]) != space.shape or len(x) == 0:
        raise wrong_inputs(name, x.shape, network)
    if not bool(space.contains(x).all()) or bool(x.isinf().any()):
        raise ArgumentError(
            f"expected {name} within {space}, got values outside or not finite; scale them, or leave those rows out"
        )
    return x


def check_names(names: Sequence[str] | None, network: Network) -> list[str] | None:
    """Return the names of the classes as a list."""
    if names is None:
        return None
    count = math.prod(network.output_shape)
    expected = 2 if count == 1 and network.outputs == "sigmoid" else count
    if isinstance(names, str) or not isinstance(names, Sequence) or len(names) != expected:
        raise ArgumentError(f"expected {expected} class names, got {names!r}; give one for each class")
    return [str(name) for name in names]


def check_columns(columns: Sequence[str] | None, network: Network) -> list[str] | None:
    """Return the names of the values of an input as a list; no names where there are none."""
    if columns is None or (isinstance(columns, Sequence) and not isinstance(columns, str) and not columns):
        return None
    shape = network.space.shape
    if isinstance(columns, str) or not isinstance(columns, Sequence) or (len(columns),) != shape:
        raise ArgumentError(
            f"expected a column name for each value of inputs {shape}, got {columns!r:.60}; name all of them, or none, "
            "and none where inputs are no vectors"
        )
    return [str(column) for column in columns]


def check_command(command: Any) -> str | None:
    """Return the command that the comparison is run by."""
    if command is not None and not isinstance(command, str):
        raise ArgumentError(
            f"expected the command as a string, got {command!r:.60}; write command='genrev compare --data digits'"
        )
    return command
