"""genrev invert: inputs that give an output, from a network's file, as a picture or as arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from genrev.cli.given import class_names, column_names, load_inverters, load_network, method_of, read_splits
from genrev.cli.options import (
    Files,
    Number,
    PerhapsData,
    PerhapsFile,
    PerhapsName,
    Settings,
    Shown,
    TheNetwork,
    Whole,
    settings_by_method,
    typed_as,
)
from genrev.cli.steps import check_methods, check_seed, fit_methods, one_thread, say, tell
from genrev.errors import ArgumentError
from genrev.files import expect_writable, write_bytes

if TYPE_CHECKING:
    from genrev.inverter import Inversion, Inverter
    from genrev.network import Network

_ENDINGS = (".png", ".npz", ".csv")
"""Those of `genrev.cli.formats`, which needs torch."""


@dataclass(frozen=True, kw_only=True)
class Invert(Shown):
    """Find inputs that make a network give an output.

    Ask with --target for outputs, or with --class for a class. What learns (cvae, dbn, rbm, decoder, retrieval) comes
    from a file with --inverter, or learns first from --data; pinv, gradient and newton need neither.

    Args:
        network: file of the network, as genrev train classifier or genrev import wrote it.
        method: how to search: "newton", or "cvae+newton", which moves what cvae draws onto the target with newton. By
            default newton, behind the method in --inverter if there is one.
        inverter: file of a trained method, as genrev train METHOD wrote it; repeat the option for several.
        target: outputs to ask for: a number for each, "any" where any value will do; or an .npy file of them, NaN where
            any value will do.
        label: class to ask for instead, by name or number: its probability alone is asked.
        confidence: probability, from 0 to 1, that is asked for the class.
        samples: how many inputs to find for each target.
        known: .npy file of an input of which some values are fixed; NaN where they are free.
        start: .npy file of an input to stay near.
        tolerance: how far an output may be from what was asked for and still count as met, in output units.
        set: keywords of a method, as in newton.steps=50 or cvae.steps=400; genrev invert --method newton --help lists
            those of newton.
        seed: decides all that is random, but not how the data are cut into parts.
        split: decides which of the data are learned from and which are held out, where --data is given.
        out: file to write to: .png for a picture, .csv for a table with a row for each input found, .npz for the arrays
            x, y, target, residual and outcome.
    """

    network: TheNetwork
    method: PerhapsName = None
    inverter: Files = ()
    data: PerhapsData = None
    target: Annotated[tuple[str, ...], typed_as("VALUE ...")] = ()
    label: Annotated[str | None, typed_as("CLASS", name="class")] = None
    confidence: Annotated[float, typed_as("P")] = 0.99
    samples: Annotated[int, typed_as("K")] = 1
    known: PerhapsFile = None
    start: PerhapsFile = None
    tolerance: Number = 1e-3
    set: Settings = ()
    seed: Whole = 0
    split: Whole = 0
    out: PerhapsFile = None

    def run(self) -> None:
        """Find the inputs, write them, and print what was asked, what was reached, and what the outcome means.

        Raises:
            GenrevError: something that was asked for can't be done.
        """
        check_seed(self.seed)
        self._check_out()
        if bool(self.target) == (self.label is not None):
            got = "both; leave one out" if self.target else "neither; write --target 0.99 0.01"
            raise ArgumentError(f"expected either --target or --class, got {got}")
        from genrev.cli.answers import answer_lines, outcome_lines, paragraph
        from genrev.cli.asked import as_input, in_typed_words, parse_class, parse_target, unusual
        from genrev.numpy_files import read_npy

        with one_thread():
            network = load_network(self.network)
            names, columns = class_names(self.network, network), column_names(self.network, network)
            if self.label is None:
                target = parse_target(self.target, network)
            else:
                target = parse_class(self.label, self.confidence, network, names)
            said = {"known": self.known, "start": self.start}
            shape = network.space.shape
            points = {name: as_input(read_npy(path), shape) for name, path in said.items() if path is not None}
            inverter = self._inverter(network)
            method, stochastic = method_of(inverter), inverter.traits.stochastic
            with in_typed_words(self.target, network):
                found = inverter.reconstruct(target, samples=self.samples, seed=self.seed, **points)
            remark = unusual(target, inverter.outputs_seen, names) if self.label is not None else ""
            if remark:
                say(paragraph(remark))
            for line in answer_lines(found, names, columns):
                tell(line)
            if self.samples > 1 and not stochastic:
                say(f"{method} draws nothing at random: all {self.samples} samples of a target are the same input")
            for line in outcome_lines(found, method, stochastic=stochastic, names=names):
                tell(line)
            self._write(found, network, names, columns)

    def _check_out(self) -> None:
        if self.out is None:
            return
        if os.path.splitext(self.out)[1] not in _ENDINGS:
            raise ArgumentError(f"expected --out to end in {' or '.join(_ENDINGS)}, got {self.out!r}; rename it")
        expect_writable(self.out)

    def _inverter(self, network: Network) -> Inverter:
        """Return the method that is asked for, made of fitted parts and of what needs no fitting."""
        given = load_inverters(self.inverter, network)
        name = self.method or _usual(given)
        check_methods([name], given)
        parts = name.split("+")
        self._check_start(name, given.get(name) or given.get(parts[0]))
        unused = [one for one in given if one != name and one not in parts]
        if unused:
            raise ArgumentError(
                f"expected inverters that {name} is made of, got one of {unused[0]}; leave it out, or name its --method"
            )
        keywords = {part: {"tolerance": self.tolerance} for part in parts}
        for part, said in settings_by_method(self.set, parts).items():
            keywords[part] |= said
        inputs = None if self.data is None else read_splits(self.data, self.split, network).train.inputs
        inverter = fit_methods([name], network, inputs, seed=self.seed, keywords=keywords, given=given)[name]
        inverter.tolerance = self.tolerance
        return inverter

    def _check_start(self, name: str, given: Inverter | None) -> None:
        """Refuse a start for a method that would not begin there, before anything is fitted."""
        from genrev.inverters import INVERTERS

        first = name.split("+")[0]
        traits = INVERTERS[first].traits if given is None else given.traits
        if self.start is not None and not traits.uses_start:
            local = [one for one, kind in INVERTERS.items() if kind.traits.uses_start]
            raise ArgumentError(
                f"expected a method that stays near --start ({' or '.join(local)}), got {name}, where {first} "
                "proposes inputs of its own; name another --method, or leave --start out"
            )

    def _write(
        self, found: Inversion, network: Network, names: Sequence[str] | None, columns: Sequence[str] | None
    ) -> None:
        if self.out is None:
            from genrev.cli.answers import is_short

            if not is_short(found):
                say("the inputs themselves are written nowhere: --out x.png draws them")
            return
        from genrev.cli.formats import FORMATS

        what, made = FORMATS[os.path.splitext(self.out)[1]]
        write_bytes(self.out, made(found, network.space, names, columns))
        tell(f"{what:<8} {self.out}")


def _usual(given: Mapping[str, Inverter]) -> str:
    """Return the method that is meant where none is named: what is given, moved onto the target."""
    if len(given) > 1:
        raise ArgumentError(
            f"expected --method where several inverters are given, got none; name one made of {', '.join(given)}"
        )
    for name, inverter in given.items():
        return name if inverter.traits.uses_start or "+" in name or " " in name else f"{name}+newton"
    return "newton"
