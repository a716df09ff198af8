"""genrev train classifier: a network that tells the classes of some data apart, to be inverted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genrev.cli.given import about_data, parts_line, read_splits
from genrev.cli.options import Data, File, Name, Names, PerhapsNumber, PerhapsWhole, Shown, Whole, Widths, command_line
from genrev.cli.steps import check_seed, one_thread, resuming, say, tell
from genrev.files import expect_writable

if TYPE_CHECKING:
    from genrev.data import Dataset

_COURSE = ("epochs", "batch_size", "rate", "weight_decay", "noise")
"""The options that say how it trains."""

_STEPS, _BATCH, _LEAST, _MOST = 4000, 100, 5, 40
"""About how many steps train a network that none is known for, of how many inputs; in how many epochs."""


@dataclass(frozen=True, kw_only=True)
class TrainClassifier(Shown):
    """Train a classifier on data, and save it: a network to be inverted.

    It learns from a part of the data; the rest is held out, to judge it and what inverts it. What is not said takes
    values that suit the data, which genrev inspect tells of the result. Stopped and started again with the same
    command, it goes on where it was.

    Args:
        layers: widths of the input and of every layer, as in 1024 8 8 2.
        activation: one name for all layers, or one for each, as in sigmoid, tanh or relu; the last is softmax or
            sigmoid.
        arch: "mlp" (fully connected) or "conv" (convolutions, for images).
        epochs: how often each input is seen.
        batch_size: how many inputs a step learns from.
        rate: learning rate of the first step.
        weight_decay: how hard weights are pulled to zero.
        noise: standard deviation of the noise that is added to inputs while it learns, in input units.
        seed: decides all that is random, but not how the data are cut into parts.
        split: decides which of the data are learned from and which are held out; use the same number for all that is to
            be compared.
        out: file to write the network to, such as net.safetensors.
    """

    data: Data
    out: File
    layers: Widths = ()
    activation: Names = ()
    arch: Name = "mlp"
    epochs: PerhapsWhole = None
    batch_size: PerhapsWhole = None
    rate: PerhapsNumber = None
    weight_decay: PerhapsNumber = None
    noise: PerhapsNumber = None
    seed: Whole = 0
    split: Whole = 0

    def run(self) -> None:
        """Train, save, and print how well the network reads inputs that it has not seen.

        Raises:
            GenrevError: something that was asked for can't be done.
        """
        check_seed(self.seed)
        expect_writable(self.out)
        from genrev.checkpoint import save
        from genrev.classifiers import accuracy, train_classifier

        splits = read_splits(self.data, self.split)
        keywords = self._keywords(splits.train)
        command = command_line("train classifier", self)
        say(parts_line(self.data, splits))
        with one_thread(), resuming(self.out, command):
            network = train_classifier(splits.train, seed=self.seed, **keywords)
            share = accuracy(network, splits.targets)
            about = {
                "command": command,
                **about_data(self.data, self.split, splits),
                "seed": self.seed,
                "held_out": {"inputs": len(splits.targets), "accuracy": share},
            }
            save(network, self.out, about=about)
        tell(f"reads {share:.1%} of {len(splits.targets)} inputs that it was not trained on")
        if is_chance(share, splits.targets):
            say("which is no better than one class named each time: try more --epochs, another --rate or --layers")
        tell(f"network  {self.out}")

    def _keywords(self, train: Dataset) -> dict[str, Any]:
        """Return what was asked for, and for the rest what is known to suit the data."""
        from genrev.classifiers import STANDARD

        shape, classes = tuple(train.inputs.shape[1:]), len(train.names)
        known = STANDARD.get(self.data.partition(":")[0])
        if known is None or self.arch != "mlp" or known.ends != (math.prod(shape), classes):
            said: dict[str, Any] = {"epochs": max(_LEAST, min(_MOST, round(_STEPS * _BATCH / len(train))))}
        else:
            said = dict(vars(known))
        said["arch"] = self.arch
        if self.layers and tuple(self.layers) != said.get("layers"):
            said |= {"layers": self.layers, "activation": None}
        if self.activation:
            said["activation"] = self.activation[0] if len(self.activation) == 1 else self.activation
        return said | {name: getattr(self, name) for name in _COURSE if getattr(self, name) is not None}


def is_chance(share: float, dataset: Dataset) -> bool:
    """Return whether a share of right answers is, within two standard errors, that of the commonest class alone.

    Args:
        share: in [0, 1], measured on the data.
        dataset: held out.
    """
    commonest = float(dataset.labels.bincount().max()) / len(dataset)
    return share <= commonest + 2 * math.sqrt(commonest * (1 - commonest) / len(dataset))
