"""genrev inspect: what is in a file that genrev saved."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from genrev.cli.options import TheFile
from genrev.cli.steps import printable, tell
from genrev.errors import FileError

_WIDTH = 13


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Say what is in a file: a network or an inverter, its shapes, how it learned and how it was made.

    Args:
        file: that genrev saved.
    """

    file: TheFile

    def run(self) -> None:
        """Read the file and print what it holds.

        Raises:
            FileError: it is missing, damaged or foreign.
        """
        for term, text in _gather(self.file):
            tell(printable(f"{term:<{_WIDTH}}{text}"))


def _gather(path: str) -> list[tuple[str, str]]:
    """Return what a file holds: terms and texts, in the order of print."""
    from genrev.checkpoint import load
    from genrev.files import read_tensors

    # What was changed since it was saved shows in the tensors and the header together.
    _, header = read_tensors(path)
    # A whole reading proves that header and tensors fit; only the owner of a module can load what inverts it.
    if header.get("kind") == "network" or "network" in header:
        load(path)
    try:
        return [*_lines(header), ("file", f"{os.path.getsize(path):,} bytes, written by {_versions(header)}")]
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError) as cause:
        raise FileError(
            f"expected a file that genrev.save wrote, got {path!r} whose header lacks its parts; save it again"
        ) from cause


def _lines(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if header["kind"] == "comparison":
        yield "kind", f"the samples of a comparison of {', '.join(row['inverter'] for row in header['rows'])}"
        return
    if header["kind"] == "network":
        yield "kind", "network"
        yield from _network(header, header["shapes"])
    else:
        yield "kind", f"inverter {_name(header)}"
        yield from _inverter(header)
        if "network" in header:
            yield "network", "inside"
            yield from _network(header["network"], header["shapes"])
        else:
            yield "network", "a module of your own, not inside: load the file with network="
        yield "fingerprint", f"{header['fingerprint'][:16]} (of the network)"
    yield from _made(header["about"])


def _network(header: Mapping[str, Any], shapes: Mapping[str, list[int]]) -> Iterator[tuple[str, str]]:
    said = ", ".join(f"{name}={value!r}" for name, value in header["arguments"].items())
    yield "module", f"{header['class']}({said}), {header['dtype']}"
    yield "inputs", f"shape {tuple(header['shape'])}"
    end = f", up to {header['stop']!r}" if header["stop"] else ""
    yield "outputs", f"{header['outputs']}{end}"
    weights = sum(math.prod(shape) for name, shape in shapes.items() if name.startswith("network."))
    yield "weights", f"{weights:,} numbers"
    if header.get("history"):
        yield "learned", _course(header["history"])


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
