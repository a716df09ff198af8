"""Saving and loading networks and inverters: one safetensors file each, with a JSON header that says how it came."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genrev.arrays import expect_shaped
from genrev.checks import called_as, check_seed, real, whole
from genrev.errors import ArgumentError, FileError, GenrevError
from genrev.inverter import DataSummary, Inverter
from genrev.inverters import INVERTERS, BestOf, Refined
from genrev.models import CLASSIFIERS, ShardedLinear, with_weights
from genrev.network import Network
from genrev.space import InputSpace
from genrev.tensor_files import read_header, read_tensors, write_tensors
from genrev.training import History

_SUMMARY = ("low", "high", "mean", "variance", "covariance")
_MOST_COVARIANCE = 256
"""Values an input, above which the covariance is left out of a file: it would be most of it."""


@called_as("save(inverter, 'inverter.safetensors')")
def save(thing: Network | Inverter, path: str | Path, *, about: Mapping[str, Any] | None = None) -> None:
    """Save a network that genrev built, or any fitted or unfitted inverter.

    An inverter's file holds its network too, if genrev built that one; else the fingerprint of the user's module alone.

    Args:
        thing: what to save.
        path: the file; replaced in one step if it is there.
        about: how it was made, in words and numbers that JSON can hold; `about` reads them again.

    Raises:
        ArgumentError: the network is a module of the user's own, the inverter of a kind that genrev does not know, or
            ``about`` nothing that JSON can hold; or a weight of the network is not finite.
        FileError: the file can't be written; what was there is as it was.

    Example:
        >>> from genrev.models import MLP
        >>> network = Network(MLP((2, 1)), space=InputSpace((2,)))
        >>> save(network, "network.safetensors")
        >>> load("network.safetensors").fingerprint() == network.fingerprint()
        True
    """
    tensors: dict[str, Tensor] = {}
    if isinstance(thing, Network):
        if _sharded(thing):
            raise ArgumentError(
                "expected a network whose layers are whole, got one spread over processes; save the one that it was "
                "made of, and inverters of this one, which load with network="
            )
        if not _built(thing):
            raise ArgumentError(
                f"expected a network that genrev builds ({', '.join(CLASSIFIERS)}), got a module of type "
                f"{type(thing.module).__name__}; save its state_dict, and its inverters, which load with network="
            )
        _expect_finite(thing)
        header = _describe_network(thing, tensors)
    elif isinstance(thing, Inverter):
        header = _describe_inverter(thing, tensors, "")
        header["fingerprint"] = thing.network.fingerprint()
        if _built(thing.network):
            _expect_finite(thing.network)
            header["network"] = _describe_network(thing.network, tensors)
    else:
        raise ArgumentError(
            f"expected a Network or an Inverter, got {type(thing).__name__}; save one of those, and a module of your "
            "own with torch"
        )
    header["about"] = {} if about is None else dict(about)
    header["shapes"] = {name: list(tensor.shape) for name, tensor in tensors.items()}
    header["versions"] = {"genrev": _version(), "torch": torch.__version__, "python": platform.python_version()}
    write_tensors(path, tensors, header)


@called_as("load('inverter.safetensors')")
def load(path: str | Path, *, network: Network | None = None) -> Any:
    """Load what `save` saved.

    Args:
        path: the file.
        network: the network that the inverter in the file inverts; needed where that is a module of the user's own.

    Returns:
        A `Network` or an `Inverter`.

    Raises:
        ArgumentError: ``network`` is no `Network`.
        FileError: the file is missing, damaged or foreign, of another network, or needs ``network``.

    Example:
        >>> from genrev import RetrievalInverter
        >>> network = Network(torch.nn.Linear(2, 1), space=InputSpace((2,)))
        >>> save(RetrievalInverter(network).fit(torch.randn(5, 2)), "retrieval.safetensors")
        >>> load("retrieval.safetensors", network=network).fitted
        True
    """
    if network is not None and not isinstance(network, Network):
        raise ArgumentError(
            f"expected a genrev.Network for network=, got {type(network).__name__}; write Network(module, space=...)"
        )
    tensors, header = read_tensors(path)
    try:
        _expect_header(header, tensors)
        return _load(path, tensors, header, network)
    except FileError:
        raise
    except (GenrevError, LookupError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError) as cause:
        raise FileError(
            f"expected a file that genrev.save wrote, got {path} whose header and tensors do not fit ({cause!r:.120}); "
            "save it again"
        ) from cause


@called_as("about('inverter.safetensors')")
def about(path: str | Path) -> dict[str, Any]:
    """Return how the network or inverter in a file was made, as far as the one who saved it said.

    Args:
        path: of a file that `save` wrote.

    Returns:
        What `save` was given as ``about``; empty where that was nothing.

    Raises:
        FileError: the file is missing, damaged or foreign.

    Example:
        >>> from genrev.models import MLP
        >>> save(Network(MLP((2, 1)), space=InputSpace((2,))), "network.safetensors", about={"data": "two numbers"})
        >>> about("network.safetensors")
        {'data': 'two numbers'}
    """
    said = read_header(path).get("about", {})
    if not isinstance(said, dict):
        raise FileError(f"expected a file that genrev.save wrote, got {path} with a header of another kind; save again")
    return said


def _load(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any], network: Network | None) -> Any:
    if header["kind"] == "network":
        if network is not None:
            raise FileError(f"expected an inverter's file to go with network=, got a network in {path}; leave it out")
        built = _build_network(header, tensors)
        _expect_used(tensors)
        return built
    if header["kind"] not in _kinds():
        raise FileError(
            f"expected a network or an inverter of {', '.join(_kinds())} in {path}, got {header['kind']!r:.60}; choose "
            "another file, or update genrev to read it"
        )
    if network is None:
        if "network" not in header:
            raise FileError(
                f"expected network= for an inverter of a module of your own, got none with {path}; "
                "give the network that it was saved for"
            )
        network = _build_network(header["network"], tensors)
    if network.fingerprint() != header["fingerprint"]:
        raise FileError(
            f"expected the network that {path} was saved for, got one with another fingerprint "
            "(weights, structure, input space or outputs differ); give that network, or fit again"
        )
    # Where the network was given, that in the file is not needed.
    for prefix in ("network.", "space."):
        _taken(prefix, tensors)
    inverter = _build_inverter(header, tensors, "", network)
    _expect_used(tensors)
    return inverter


def _expect_header(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    if header["shapes"] != {name: list(tensor.shape) for name, tensor in tensors.items()}:
        raise ArgumentError("expected the shapes that the header tells, got others; get an undamaged copy")
    for name in ("about", "versions"):
        if not isinstance(header[name], dict):
            raise ArgumentError(f"expected a dict for {name}, got {header[name]!r:.60}; get an undamaged copy")


def _expect_used(tensors: Mapping[str, Tensor]) -> None:
    """Refuse what nothing has taken."""
    for name in tensors:
        raise ArgumentError(f"expected no more tensors, got one named {name!r:.60}; get an undamaged copy")


def _expect_finite(network: Network) -> None:
    for name, values in network.module.state_dict().items():
        if not bool(values.isfinite().all()):
            raise ArgumentError(f"expected finite weights, got NaN or infinity in {name!r}; train the network again")


def _kinds() -> dict[str, type[Inverter]]:
    """Return the class of every kind of inverter: the table as it is now, for a method may be added at any time."""
    return {**INVERTERS, "refined": Refined, "best-of": BestOf}


def _built(network: Network) -> bool:
    return type(network.module) in CLASSIFIERS.values() and not _sharded(network)


def _sharded(network: Network) -> bool:
    return any(isinstance(layer, ShardedLinear) for layer in network.module.modules())


def _version() -> str:
    from genrev import __version__

    return __version__


def _describe_network(network: Network, tensors: dict[str, Tensor]) -> dict[str, Any]:
    names = {kind: name for name, kind in CLASSIFIERS.items()}
    tensors |= {f"network.{name}": value for name, value in network.module.state_dict().items()}
    tensors |= {"space.low": network.space.low, "space.high": network.space.high}
    module: Any = network.module
    return {
        "kind": "network",
        "class": names[type(module)],
        "arguments": module.arguments,
        "dtype": str(network.dtype).removeprefix("torch."),
        "shape": list(network.space.shape),
        "outputs": network.outputs,
        "head": None if network.head is None else network.outputs,
        "stop": network.stop,
        "history": None if network.history is None else vars(network.history),
    }


def _build_network(header: Mapping[str, Any], tensors: dict[str, Tensor]) -> Network:
    dtype = {"float32": torch.float32, "float64": torch.float64}[header["dtype"]]
    kind, arguments = CLASSIFIERS[header["class"]], header["arguments"]
    module = with_weights(lambda: kind(**arguments), _taken("network.", tensors), dtype)
    bounds = _taken("space.", tensors)
    expect_shaped(bounds, {"low": header["shape"], "high": header["shape"]}, torch.float64)
    space = InputSpace(header["shape"], bounds["low"], bounds["high"])
    said = header["head"] is not None or header["stop"] is not None
    network = Network(module, space=space, outputs=None if said else header["outputs"])
    _expect_finite(network)
    if header["stop"] is not None:
        network = network.until(header["stop"])
    heads = {None: lambda: network, "softmax": network.with_softmax, "sigmoid": network.with_sigmoid}
    network = heads[header["head"]]()
    if network.outputs != header["outputs"]:
        raise ArgumentError(f"expected outputs as {network.outputs}, got {header['outputs']!r:.60}; save it again")
    # Files of before it was kept have none.
    network.history = _history(header.get("history"))
    return network


def _describe_inverter(inverter: Inverter, tensors: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    names = {kind: name for name, kind in _kinds().items()}
    if type(inverter) not in names:
        raise ArgumentError(
            f"expected an inverter of {', '.join(names.values())}, got {type(inverter).__name__}; "
            "give it a line in genrev.inverters.INVERTERS"
        )
    parts, arguments = {}, {}
    for name, value in inverter.arguments().items():
        if isinstance(value, Inverter):
            parts[name] = _describe_inverter(value, tensors, f"{prefix}{name}.")
        elif isinstance(value, Tensor):
            tensors[f"{prefix}argument.{name}"] = value
        else:
            arguments[name] = value
    if inverter.data is not None:
        tensors |= {f"{prefix}data.{name}": value for name, value in _summary(inverter.data).items()}
        tensors |= {f"{prefix}learned.{name}": value for name, value in inverter._tensors().items()}
    history = getattr(inverter, "history", None)
    return {
        "kind": names[type(inverter)],
        "arguments": arguments,
        "parts": parts,
        "fitted": inverter.data is not None,
        "seed": inverter.fit_seed,
        "fit_seconds": inverter.fit_seconds,
        "history": None if history is None else vars(history),
    }


def _build_inverter(header: Mapping[str, Any], tensors: dict[str, Tensor], prefix: str, network: Network) -> Inverter:
    arguments = {**header["arguments"], **_taken(f"{prefix}argument.", tensors)}
    for name, part in header["parts"].items():
        arguments[name] = _build_inverter(part, tensors, f"{prefix}{name}.", network)
    kind: Any = _kinds()[header["kind"]]
    inverter: Inverter = kind(**arguments) if header["parts"] else kind(network, **arguments)
    if header["fitted"] is True:
        summary = {name: value.to(network.device) for name, value in _taken(f"{prefix}data.", tensors).items()}
        _expect_summary(summary, network)
        covariance = summary.pop("covariance", None)
        inverter.data = DataSummary(**summary, covariance=covariance)
        learned = _taken(f"{prefix}learned.", tensors)
        with torch.no_grad():
            inverter._restore({name: value.to(network.device) for name, value in learned.items()})
    elif header["fitted"] is not False:
        raise ArgumentError(f"expected true or false for fitted, got {header['fitted']!r:.60}; save it again")
    inverter.fit_seed = None if header["seed"] is None else check_seed(header["seed"])
    inverter.fit_seconds = None if header["fit_seconds"] is None else real("fit_seconds", header["fit_seconds"])
    if header["history"] is not None:
        inverter.history = _history(header["history"])  # type: ignore[attr-defined]
    return inverter


def _expect_summary(summary: Mapping[str, Tensor], network: Network) -> None:
    shapes = dict.fromkeys(("low", "high", "mean", "variance"), network.space.shape)
    if "covariance" in summary:
        shapes["covariance"] = (network.space.size, network.space.size)
    expect_shaped(summary, shapes, network.dtype)


def _history(said: Mapping[str, Any] | None) -> History | None:
    """Return how something learned, as a header tells it."""
    if said is None:
        return None
    history = History(said["training"], said["validation"], said["best"])
    epochs = [*history.training, *history.validation]
    if not (type(history.training) is list is type(history.validation)) or not all(
        type(one) is float for one in epochs
    ):
        raise ArgumentError("expected a history with lists of losses, got other values; save it again")
    if not 0 <= whole("best", history.best, least=0) < max(len(history.training), len(history.validation), 1):
        raise ArgumentError(f"expected the best of the epochs, got {history.best!r:.60}; save it again")
    return history


def _summary(data: DataSummary) -> dict[str, Tensor]:
    values = {name: getattr(data, name) for name in _SUMMARY}
    if data.covariance is not None and len(data.covariance) > _MOST_COVARIANCE:
        values["covariance"] = None
    return {name: value for name, value in values.items() if value is not None}


def _taken(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the tensors out whose names begin so, and return them under the rest of their names."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}
