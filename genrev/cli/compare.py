"""genrev compare: several methods side by side on the outputs of held-out inputs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from genrev.cli.given import about_data, check_split, load_inverters, load_network, parts_line, read_splits
from genrev.cli.options import (
    Data,
    Files,
    Folder,
    PerhapsTheFile,
    PerhapsWhole,
    Settings,
    Shown,
    Whole,
    command_line,
    settings_by_method,
    typed_as,
)
from genrev.cli.steps import (
    METHODS,
    check_methods,
    check_seed,
    check_standard,
    fit_judge,
    fit_methods,
    one_thread,
    say,
    tell,
    train_standard,
)
from genrev.errors import ArgumentError
from genrev.files import output_folder

if TYPE_CHECKING:
    from genrev.comparison import Comparison
    from genrev.inverter import Inverter
    from genrev.network import Network

_TARGETS = 300
"""How many held-out inputs are asked for, where there are as many and nobody says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Compare(Shown):
    """Compare methods: ask each for inputs that give the outputs of held-out inputs, and measure all of them alike.

    Args:
        network: file of the network; where none is given, the standard network of xo, digits or idx is trained.
        methods: names, separated by commas; "cvae+newton" refines what cvae draws with newton.
        inverter: file of a trained method, as genrev train METHOD wrote it, which then need not learn again; repeat the
            option for several.
        targets: how many held-out inputs, whose outputs are the targets; by default 300, or all where there are fewer.
        samples: how many inputs to find for each target.
        set: keywords of a method, as in cvae.steps=400; genrev compare --methods cvae --help lists those of cvae.
        seed: decides all that is random, but not how the data are cut into parts.
        split: decides which of the data are learned from and which are held out: the number that the network and the
            inverters were trained with.
        out: folder for the report, the figures, the samples and a network that was trained; its parent must exist.
    """

    network: PerhapsTheFile = None
    data: Data = "digits"
    methods: Annotated[str, typed_as("NAME,NAME,...")] = ",".join(METHODS)
    inverter: Files = ()
    targets: PerhapsWhole = None
    samples: Annotated[int, typed_as("K")] = 4
    set: Settings = ()
    seed: Whole = 0
    split: Whole = 0
    out: Folder = "comparison"

    def run(self) -> None:
        """Train what is missing, compare, and print the table and the path of the report.

        Raises:
            GenrevError: something that was asked for can't be done.
        """
        from genrev.report import explanation

        names = list(dict.fromkeys(name.strip() for name in self.methods.split(",") if name.strip()))
        check_seed(self.seed)
        if self.inverter and self.network is None:
            raise ArgumentError("expected the network's file before --inverter, got none; name it first")
        network = None if self.network is None else load_network(self.network)
        given = {} if network is None else load_inverters(self.inverter, network)
        check_split([path for path in (self.network, *self.inverter) if path is not None], self.data, self.split)
        check_methods(names, given)
        _check_used(given, names)
        keywords = settings_by_method(self.set, [part for name in names for part in name.split("+")])
        with one_thread():
            with output_folder(self.out) as folder:
                comparison = self._compare(names, network, given, keywords, folder)
            # All is written by now, should nobody read to the end.
            tell(f"{comparison.table()}\n\n{explanation([asdict(row) for row in comparison.rows])}\n")
            if self.network is None:
                tell(f"network  {os.path.join(self.out, 'network.safetensors')}")
            tell(f"report   {os.path.join(self.out, 'report.html')}")

    def _compare(
        self,
        names: list[str],
        network: Network | None,
        given: Mapping[str, Inverter],
        keywords: Mapping[str, Mapping[str, Any]],
        folder: str,
    ) -> Comparison:
        from genrev.checkpoint import save
        from genrev.comparison import compare

        splits = read_splits(self.data, self.split, network)
        inputs = splits.targets.inputs[: self._count(len(splits.targets))]
        kind = self.data.partition(":")[0]
        if network is None:
            check_standard(kind)
        say(parts_line(self.data, splits))
        command = command_line("compare", self)
        if network is None:
            network = train_standard(kind, splits, seed=self.seed)
            about = {"command": command, **about_data(self.data, self.split, splits)}
            save(network, os.path.join(folder, "network.safetensors"), about=about)
        judge = fit_judge(splits, seed=self.seed)
        inverters = fit_methods(names, network, splits.train.inputs, seed=self.seed, keywords=keywords, given=given)
        say(f"  asking {', '.join(names)} for the outputs of {len(inputs)} held-out inputs, {self.samples} times")
        comparison = compare(
            network,
            inverters,
            inputs,
            reference=splits.reference.inputs,
            training=splits.train.inputs,
            judge=judge,
            samples=self.samples,
            seed=self.seed,
            names=splits.train.names,
            columns=splits.train.columns,
            command=command,
        )
        comparison.save(folder)
        return comparison

    def _count(self, available: int) -> int:
        """Return how many targets there are."""
        targets = min(_TARGETS, available) if self.targets is None else self.targets
        if not 1 <= targets <= available:
            raise ArgumentError(
                f"expected from 1 to {available} targets, the held-out inputs of {self.data}, got {targets}; "
                "ask for fewer"
            )
        if self.samples < 1:
            raise ArgumentError(f"expected at least 1 sample, got {self.samples}; ask for 4")
        return targets


def _check_used(given: Mapping[str, Inverter], names: list[str]) -> None:
    """Refuse an inverter that no method of the comparison has for a part."""
    parts = [*names, *(part for name in names for part in name.split("+"))]
    for name in given:
        if name not in parts:
            raise ArgumentError(
                f"expected inverters of the methods compared ({', '.join(names)}), got one of {name}; add it to "
                "--methods, or leave its file out"
            )
