"""genrev inspect: what is in files that genrev saved."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genrev.cli.given import expect_saved
from genrev.cli.options import TheFiles
from genrev.cli.steps import printable, tell
from genrev.errors import ArgumentError, FileError

if TYPE_CHECKING:
    from genrev.network import Network
    from genrev.space import InputSpace

_WIDTH = 13


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Say what is in files: networks or inverters, their shapes, how they learned and how they were made.

    Args:
        files: files that genrev saved.
    """

    files: TheFiles

    def run(self) -> None:
        """Read the files and print what they hold.

        Raises:
            ArgumentError: no file is named, or one holds plain arrays.
            FileError: a file is missing, damaged or foreign.
        """
        if not self.files:
            raise ArgumentError("expected the files to look into, got none; name one that genrev saved")
        for number, lines in enumerate([_gather(path) for path in self.files]):
            if number:
                tell("")
            for term, text in lines:
                tell(printable(f"{term:<{_WIDTH}}{text}"))


def _gather(path: str) -> list[tuple[str, str]]:
    """Return what a file holds: terms and texts, in the order of print."""
    from genrev.checkpoint import load
    from genrev.network import Network
    from genrev.tensor_files import read_tensors

    expect_saved(path)
    # What was changed since it was saved shows in the tensors and the header together.
    _, header = read_tensors(path)
    network = None
    # A whole reading proves that header and tensors fit; only the owner of a module can load what inverts it.
    if header.get("kind") == "network" or "network" in header:
        loaded = load(path)
        network = loaded if isinstance(loaded, Network) else loaded.network
    file = f"{path}, {os.path.getsize(path):,} bytes"
    try:
        return [("file", f"{file}, written by {_versions(header)}"), *_lines(header, network)]
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError) as cause:
        raise FileError(
            f"expected a file that genrev.save wrote, got {path!r} whose header lacks its parts; save it again"
        ) from cause


def _lines(header: Mapping[str, Any], network: Network | None) -> Iterator[tuple[str, str]]:
    if header["kind"] == "comparison":
        yield "kind", f"the samples of a comparison of {', '.join(row['inverter'] for row in header['rows'])}"
        return
    if header["kind"] == "network":
        yield "kind", "network"
        yield from _network(header, network, header)
    else:
        yield "kind", f"inverter {_name(header)}"
        yield from _inverter(header)
        if "network" in header:
            yield "network", "inside"
            yield from _network(header["network"], network, header, "  ")
        else:
            yield "network", "a module of your own, not inside: load the file with network="
        yield "fingerprint", f"{header['fingerprint'][:16]} (of the network)"
    # The names of columns stand in the range.
    yield from _made({term: said for term, said in header["about"].items() if term != "columns" or network is None})


def _network(
    said: Mapping[str, Any], network: Network | None, header: Mapping[str, Any], indent: str = ""
) -> Iterator[tuple[str, str]]:
    """Say what a network is, from what the file says of it and of all that is in it."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in said["arguments"].items())
    yield f"{indent}module", f"{said['class']}({arguments}), {said['dtype']}"
    yield f"{indent}inputs", f"shape {tuple(said['shape'])}"
    if network is not None:
        yield f"{indent}range", _range(network.space, header["about"].get("columns"))
    end = f", up to {said['stop']!r}" if said["stop"] else ""
    yield f"{indent}outputs", f"{said['outputs']}{end}"
    weights = sum(math.prod(shape) for name, shape in header["shapes"].items() if name.startswith("network."))
    yield f"{indent}weights", f"{weights:,} numbers"
    if said.get("history"):
        yield f"{indent}learned", _course(said["history"])


def _range(space: InputSpace, columns: Any) -> str:
    """Say from where to where the values of an input go: each for itself where they are few and differ."""
    from genrev.report.values import SHORT, bounds, value_names

    low, high = space.low.flatten().tolist(), space.high.flatten().tolist()
    if space.alike:
        return bounds(low[0], high[0]) or "any number"
    if space.size > SHORT:
        return f"of each value its own, in all {bounds(min(low), max(high)) or 'any number'}"
    names = value_names(columns if isinstance(columns, list) and len(columns) == space.size else None, space.size)
    return ", ".join(f"{name} {bounds(*ends) or 'any number'}" for name, *ends in zip(names, low, high, strict=True))


def _inverter(header: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, part in header["parts"].items():
        yield f"{prefix}{name}", _name(part)
        yield from _inverter(part, f"{prefix}  ")
    if header["arguments"]:
        said = ", ".join(f"{name}={value!r}" for name, value in header["arguments"].items())
        yield f"{prefix}keywords", said
    if header["fitted"]:
        yield f"{prefix}fitted", f"in {header['fit_seconds'] or 0:.1f} s, seed {header['seed']}"
    if header["history"] is not None:
        yield f"{prefix}learned", _course(header["history"])


def _name(header: Mapping[str, Any]) -> str:
    parts = [_name(part) for part in header["parts"].values()]
    return f"{header['kind']} ({' then '.join(parts)})" if parts else str(header["kind"])


def _course(history: Mapping[str, Any]) -> str:
    training, validation = history["training"], history["validation"]
    if not training:
        return "in no epoch"
    text = f"in {len(training)} epochs, loss {training[0]:.4g} to {training[-1]:.4g}"
    if validation:
        best = int(history["best"])
        text += f"; on the validation share {validation[0]:.4g} to {validation[best]:.4g}, the least, after {best + 1}"
    return text


def _made(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for term, value in about.items():
        if isinstance(value, Mapping):
            text = ", ".join(f"{name} {_short(one)}" for name, one in value.items())
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else _short(value)
        yield term.replace("_", " "), text


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _versions(header: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in header["versions"].items())
