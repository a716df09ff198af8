"""What commands are given: networks and inverters in files, and data, read and checked for one another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genrev.cli.steps import printable
from genrev.errors import ArgumentError

if TYPE_CHECKING:
    from genrev.data import Splits
    from genrev.inverter import Inverter
    from genrev.network import Network


def load_network(path: str) -> Network:
    """Return the network in a file.

    Args:
        path: of a file that genrev saved.

    Raises:
        ArgumentError: the file holds something else, such as plain arrays.
        FileError: it is missing, damaged or foreign.
    """
    from genrev.checkpoint import load
    from genrev.network import Network

    expect_saved(path)
    network = load(path)
    if not isinstance(network, Network):
        raise ArgumentError(
            f"expected a network in {path}, got a {type(network).__name__}; give the file of its network"
        )
    return network


def expect_saved(path: str) -> None:
    """Refuse arrays in the place of what genrev saved: they can become a network.

    Args:
        path: of a file.

    Raises:
        ArgumentError: it is an .npz file.
    """
    if path.lower().endswith(".npz") and os.path.isfile(path):
        raise ArgumentError(
            f"expected a file that genrev saved, got the arrays in {path}; where they are weights, make a network of "
            f"them first: genrev import {path} --out net.safetensors"
        )


def class_names(path: str, network: Network) -> list[str] | None:
    """Return the names of the classes that a network's file tells, None where it tells none.

    Args:
        path: of the file.
        network: in it.
    """
    from genrev.checkpoint import about

    names = about(path).get("classes")
    if not isinstance(names, list) or network.output_shape not in ((len(names),), (1,) * (len(names) == 2)):
        return None
    return [printable(str(name)) for name in names]


def column_names(path: str, network: Network) -> list[str] | None:
    """Return what a network's file says that the values of an input are called, None where it says nothing.

    Args:
        path: of the file.
        network: in it.
    """
    from genrev.checkpoint import about

    names = about(path).get("columns")
    if not isinstance(names, list) or network.space.shape != (len(names),):
        return None
    return [printable(str(name)) for name in names]


def load_inverters(paths: Sequence[str], network: Network) -> dict[str, Inverter]:
    """Return the inverters in files, by the names that methods have.

    Args:
        paths: of files that genrev saved.
        network: that all of them must invert.

    Raises:
        ArgumentError: a file holds something else, or two hold the same method.
        FileError: a file is missing, damaged, foreign, or of another network.
    """
    from genrev.checkpoint import load
    from genrev.inverter import Inverter
    from genrev.tensor_files import read_header

    found: dict[str, Inverter] = {}
    for path in paths:
        if read_header(path).get("kind") == "network":
            raise ArgumentError(
                f"expected the file of a trained method for --inverter, got a network in {path}; give what genrev "
                "train METHOD wrote"
            )
        inverter = load(path, network=network)
        if not isinstance(inverter, Inverter):
            raise ArgumentError(f"expected an inverter in {path}, got a {type(inverter).__name__}; give an inverter's")
        name = method_of(inverter)
        if name in found:
            raise ArgumentError(f"expected one file for each method, got two of {name}; leave {path} out")
        found[name] = inverter
    return found


def method_of(inverter: Inverter) -> str:
    """Return the name of the method that an inverter is of.

    Args:
        inverter: any that genrev loads.

    Example:
        >>> import torch
        >>> from genrev import InputSpace, Network, build
        >>> method_of(build("retrieval+newton", Network(torch.nn.Linear(2, 1), space=InputSpace((2,)))))
        'retrieval+newton'
    """
    from genrev.inverters import INVERTERS, BestOf, Refined

    if isinstance(inverter, Refined):
        return f"{method_of(inverter.first)}+{method_of(inverter.then)}"
    if isinstance(inverter, BestOf):
        return f"best of {inverter.n} {method_of(inverter.inverter)}"
    return next(name for name, kind in INVERTERS.items() if type(inverter) is kind)


def read_splits(data: str, split: int, network: Network | None = None) -> Splits:
    """Return data in their four parts.

    Args:
        data: as `genrev.data.load_splits` takes it.
        split: which cut.
        network: that must take such inputs and tell as many classes apart, if given.

    Raises:
        GenrevError: there are no such data, or they are none for the network.
    """
    from genrev.data import load_splits

    if not 0 <= split < 2**63:
        raise ArgumentError(f"expected --split from 0 to 2^63 - 1, got {split}; 0 will do")
    splits = load_splits(data, seed=split)
    if network is not None:
        _check_shape(network, data, splits)
    return splits


def parts_line(data: str, splits: Splits) -> str:
    """Say how many examples there are, and which part of them is for what.

    Args:
        data: as `genrev.data.load_splits` takes it.
        splits: the parts.
    """
    train, judge, targets, reference = (
        len(part) for part in (splits.train, splits.judge, splits.targets, splits.reference)
    )
    return (
        f"{train + judge + targets + reference} examples in {data}: {train} to learn from, {judge} for the judge of a "
        f"comparison, {targets + reference} held out ({targets} to ask for, {reference} to compare with)"
    )


def check_split(paths: Sequence[str], data: str, split: int) -> None:
    """Refuse another cut of the data than the one that a network or an inverter was trained with.

    What is held out would otherwise be, in part, what it learned from.

    Args:
        paths: of files that say what they were trained on, or do not.
        data: as `genrev.data.load_splits` takes it.
        split: which cut.

    Raises:
        ArgumentError: a file was trained with another cut of these data.
    """
    from genrev.checkpoint import about

    for path in paths:
        said = about(path)
        if said.get("data") == data and said.get("split", split) != split:
            raise ArgumentError(
                f"expected --split {said['split']}, the cut of {data} that {path} was trained with, got {split}; what "
                "is held out must be new to it"
            )


def _check_shape(network: Network, data: str, splits: Splits) -> None:
    shape, classes = tuple(splits.train.inputs.shape[1:]), len(splits.train.names)
    if network.space.shape != shape or network.output_shape not in ((classes,), (1,) if classes == 2 else (classes,)):
        raise ArgumentError(
            f"expected a network for {data}, from inputs {shape} to {classes} outputs, got one from "
            f"{network.space.shape} to {network.output_shape}; choose the data that it was trained on"
        )


def about_data(data: str, split: int, splits: Splits) -> dict[str, Any]:
    """Return what a file says of the data that its content was trained on.

    Args:
        data: as `genrev.data.load_splits` takes it.
        split: which cut.
        splits: the parts.
    """
    train = splits.train
    columns = {"columns": list(train.columns)} if train.columns else {}
    return {"data": data, "split": split, "inputs": len(train), "classes": list(train.names), **columns}
