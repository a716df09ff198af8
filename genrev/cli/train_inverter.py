"""genrev train METHOD: an inverter that learns what inputs of a network look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genrev.cli.given import about_data, check_split, load_network, parts_line, read_splits
from genrev.cli.options import (
    Data,
    File,
    Number,
    Settings,
    Shown,
    TheMethod,
    Whole,
    check_keywords,
    command_line,
    settings,
)
from genrev.cli.steps import check_seed, one_thread, resuming, say, tell
from genrev.errors import ArgumentError, UnknownNameError, nearest
from genrev.files import expect_writable
from genrev.report.columns import compact

if TYPE_CHECKING:
    from torch import Tensor

    from genrev.inverter import Inverter
    from genrev.network import Network

_TRIED = 200
"""How many held-out outputs are asked for at most, to say how well it learned."""


@dataclass(frozen=True, kw_only=True)
class TrainInverter(Shown):
    """Train a method that learns (cvae, dbn, rbm, decoder or retrieval) to invert a network, and save it.

    It learns from inputs and what the network says of them; labels are not used. Stopped and started again with the
    same command, it goes on where it was. To train the network itself see genrev train classifier --help.

    Args:
        method: cvae, dbn, rbm, decoder or retrieval.
        network: file of the network that it will invert.
        set: keywords of the method, as in steps=8000 latent=32; genrev train METHOD --help lists those of METHOD.
        tolerance: how far an output may be from what was asked for and still count as met, in output units.
        seed: decides all that is random, but not how the data are cut into parts.
        split: decides which of the data are learned from and which are held out: the number that the network was
            trained with.
        out: file to write the trained method to, such as cvae.safetensors.
    """

    method: TheMethod
    network: File
    data: Data
    out: File
    set: Settings = ()
    tolerance: Number = 1e-3
    seed: Whole = 0
    split: Whole = 0

    def run(self) -> None:
        """Train, save, and print how near its draws come to outputs of inputs that it has not seen.

        Raises:
            GenrevError: something that was asked for can't be done.
        """
        check_seed(self.seed)
        expect_writable(self.out)
        keywords = settings(self.set)
        from genrev.checkpoint import save

        network = load_network(self.network)
        check_split([self.network], self.data, self.split)
        inverter = self._build(network, keywords)
        splits = read_splits(self.data, self.split, network)
        command = command_line("train", self)
        say(parts_line(self.data, splits))
        say(f"{self.method} learns from {len(splits.train)} inputs and what the network says of them")
        with one_thread(), resuming(self.out, command, network):
            inverter.fit(splits.train.inputs, seed=self.seed)
            held_out = tried(inverter, splits.targets.inputs[:_TRIED], seed=self.seed)
            about = {"command": command, **about_data(self.data, self.split, splits), "seed": self.seed}
            save(inverter, self.out, about={**about, "held_out": held_out})
        tell(
            f"learned in {inverter.fit_seconds:.0f} s; asked for the outputs of {held_out['inputs']} held-out inputs: "
            f"median residual {compact(held_out['median_residual'])}, met {held_out['met']:.1%}"
        )
        tell(f"inverter {self.out}")

    def _build(self, network: Network, keywords: dict[str, object]) -> Inverter:
        from genrev.inverters import INVERTERS, build

        learners = [name for name, kind in INVERTERS.items() if kind.traits.learns]
        if self.method not in INVERTERS:
            hint = nearest(self.method, learners) or "; choose one of them"
            raise UnknownNameError(f"expected a method that learns ({', '.join(learners)}), got {self.method!r}{hint}")
        check_keywords(self.method, keywords)
        inverter = build(self.method, network, **{"tolerance": self.tolerance, **keywords})
        if self.method not in learners:
            raise ArgumentError(
                f"expected a method that learns ({', '.join(learners)}), got {self.method!r}; it needs no training: "
                "name it to genrev invert or genrev compare"
            )
        return inverter


def tried(inverter: Inverter, inputs: Tensor, *, seed: int) -> dict[str, Any]:
    """Return how near one answer to each of some held-out outputs comes.

    Args:
        inverter: fitted.
        inputs: ``(n, *input_shape)``, held out; their outputs are asked for.
        seed: of the draws.
    """
    found = inverter.reconstruct(inverter.network.evaluate(inputs), seed=seed)
    return {
        "inputs": len(inputs),
        "median_residual": float(found.residual.median()),
        "met": float(found.converged.double().mean()),
    }
