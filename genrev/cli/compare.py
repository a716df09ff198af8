"""genrev compare: several methods side by side on the outputs of held-out inputs."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from genrev.cli.steps import (
    METHODS,
    check_methods,
    check_seed,
    check_standard,
    fit_judge,
    fit_methods,
    one_thread,
    say,
    train_standard,
)
from genrev.errors import ArgumentError
from genrev.files import output_folder

if TYPE_CHECKING:
    from genrev.data import Splits
    from genrev.network import Network


@dataclass(frozen=True)
class Compare:
    """Compare methods: ask each for inputs that give the outputs of held-out inputs, and measure all of them alike.

    Args:
        data: "xo" (drawn letters), "digits" (scanned handwriting), "idx:FOLDER" (MNIST's four files), "npz:FILE"
            (arrays x and y, or x_train, y_train, x_test and y_test) or "images:FOLDER" (a folder a class).
        network: file of a network that genrev saved; if none is given, the standard one of the data is trained; one's
            own data (npz, images) have none.
        methods: names, separated by commas; "cvae+newton" refines what cvae draws with newton.
        targets: how many held-out inputs; their outputs are the targets.
        samples: how many inputs to find for each target.
        seed: of everything random.
        out: folder for the report, the figures, the samples and a network that was trained; its parent must exist.
    """

    data: str = "digits"
    network: str | None = None
    methods: str = ",".join(METHODS)
    targets: int = 300
    samples: int = 4
    seed: int = 0
    out: str = "comparison"

    def run(self) -> None:
        """Train what is missing, compare, and print the table and the path of the report.

        Raises:
            GenrevError: something that was asked for can't be done.
        """
        names = list(dict.fromkeys(name.strip() for name in self.methods.split(",") if name.strip()))
        check_seed(self.seed)
        check_methods(names)
        network = None if self.network is None else _load_network(self.network)
        with one_thread(), output_folder(self.out) as folder:
            self._compare(names, network, folder)

    def _compare(self, names: list[str], network: Network | None, folder: str) -> None:
        from genrev.checkpoint import save
        from genrev.comparison import compare
        from genrev.data import load_splits
        from genrev.report import explanation

        splits = load_splits(self.data, seed=self.seed)
        self._check_counts(len(splits.targets))
        kind = self.data.partition(":")[0]
        if network is None:
            check_standard(kind)
        else:
            self._check_shape(network, splits)
        say(f"{self.data}: {len(splits.train)} inputs to learn from")
        if network is None:
            network = train_standard(kind, splits, seed=self.seed)
        judge = fit_judge(splits, seed=self.seed)
        inverters = fit_methods(names, network, splits.train.inputs, seed=self.seed)
        say(f"  asking {len(names)} methods for the outputs of {self.targets} held-out inputs, {self.samples} times")
        comparison = compare(
            network,
            inverters,
            splits.targets.inputs[: self.targets],
            reference=splits.reference.inputs,
            training=splits.train.inputs,
            judge=judge,
            samples=self.samples,
            seed=self.seed,
            names=splits.train.names,
        )
        comparison.save(folder)
        say(f"\n{comparison.table()}\n\n{explanation([asdict(row) for row in comparison.rows])}\n")
        if self.network is None:
            save(network, os.path.join(folder, "network.safetensors"))
            say(f"network  {os.path.join(folder, 'network.safetensors')}")
        say(f"report   {os.path.join(folder, 'report.html')}")

    def _check_counts(self, available: int) -> None:
        if not 1 <= self.targets <= available:
            raise ArgumentError(
                f"expected from 1 to {available} targets, the held-out inputs of {self.data}, got {self.targets}; "
                "ask for fewer"
            )
        if self.samples < 1:
            raise ArgumentError(f"expected at least 1 sample, got {self.samples}; ask for 4")

    def _check_shape(self, network: Network, splits: Splits) -> None:
        shape, classes = tuple(splits.train.inputs.shape[1:]), len(splits.train.names)
        if network.space.shape != shape or network.output_shape != (classes,):
            raise ArgumentError(
                f"expected a network for {self.data}, from inputs {shape} to {classes} outputs, got one from "
                f"{network.space.shape} to {network.output_shape}; choose the data that it was trained on"
            )


def _load_network(path: str) -> Network:
    from genrev.checkpoint import load
    from genrev.network import Network

    network = load(path)
    if not isinstance(network, Network):
        raise ArgumentError(
            f"expected a network in {path}, got a {type(network).__name__}; give the file of its network"
        )
    return network
