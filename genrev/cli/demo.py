"""genrev demo: the question that genrev answers, on two networks, trained on the spot or shipped."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from genrev.cli.given import about_data
from genrev.cli.options import Folder, Shown, Whole
from genrev.cli.steps import METHODS, check_seed, fit_judge, fit_methods, one_thread, say, tell, train_standard
from genrev.files import output_folder, write_bytes

if TYPE_CHECKING:
    from genrev.comparison import Comparison
    from genrev.inverter import Inverter
    from genrev.network import Network

ASKED: dict[str, list[list[float]]] = {
    "xo": [[0.99, 0.01], [0.01, 0.99]],
    "digits": [[0.99 if place == digit else math.nan for place in range(10)] for digit in range(10)],
}
"""What each network is asked for by hand: a sure X and a sure O; each digit with p = 0.99, the rest free."""


SHIPPED = {"digits": ("digits", {"dbn": "digits-dbn"})}
"""For a kind of data, the files of a network and of slow learners that invert it, by method: they are not trained."""


@dataclass(frozen=True, kw_only=True)
class Demo(Shown):
    """Show what genrev does: train an X/O network and a digits network, and ask every method for their inputs.

    It takes a few minutes on two cores. With seed 0 the digits network, and a deep belief network that inverts it, are
    those that ship, where it runs beside their folder, checkpoints.

    Args:
        out: folder to write the reports, the networks and a picture to; it is made if its parent is there.
        seed: decides all that is random.
    """

    out: Folder = "demo"
    seed: Whole = 0

    def run(self) -> None:
        """Run the demo, at most a few minutes on two cores.

        Raises:
            FileError: the folder can't be made or written to.
        """
        check_seed(self.seed)
        run_demo(self.out, seed=self.seed, checkpoints="checkpoints")


def run_demo(
    out: str,
    *,
    seed: int = 0,
    methods: Sequence[str] = METHODS,
    n: int | None = None,
    targets: int = 200,
    samples: int = 4,
    keywords: Mapping[str, Mapping[str, Any]] | None = None,
    checkpoints: str | None = None,
) -> dict[str, Comparison]:
    """Train, fit, ask, print and save: all that `genrev demo` does, in any size.

    Args:
        out: folder to write to; made if its parent exists, and unmade if the demo fails.
        seed: non-negative integer: all randomness comes from it.
        methods: names as `genrev.build` takes them.
        n: how many examples of each kind of data; the usual if not given.
        targets: how many held-out inputs of each kind, at most, whose outputs are asked for.
        samples: how many inputs for each target, at least 1.
        keywords: by method, what it is built with.
        checkpoints: folder of what ships; where it is there, and seed and size are those that it was made with, it is
            taken instead of trained. None to train all.

    Returns:
        The comparison for each kind of data.

    Raises:
        FileError: the folder can't be made or written to.
    """
    from genrev.cli.picture import draw
    from genrev.cli.words import asked_table, legend
    from genrev.report import explanation

    with ExitStack() as stack:
        stack.enter_context(one_thread())
        stack.enter_context(output_folder(out))
        folders = {kind: stack.enter_context(output_folder(os.path.join(out, kind))) for kind in ASKED}
        found = {
            kind: _one(kind, folder, seed, methods, n, targets, samples, keywords, checkpoints)
            for kind, folder in folders.items()
        }
        picture = os.path.join(out, "xo.png")
        write_bytes(picture, draw(found["xo"]))
    for place in range(len(ASKED["xo"])):
        tell(f"\n{asked_table(found['xo'], place)}")
    tell(f"\n{legend(found['xo'])}")
    for kind, comparison in found.items():
        tell(f"\n{kind}: the outputs of {len(comparison.targets)} held-out inputs, asked of every method")
        tell(comparison.table())
    tell(f"\n{explanation([asdict(row) for comparison in found.values() for row in comparison.rows])}")
    tell(f"\npicture  {picture}")
    for kind, folder in folders.items():
        tell(f"report   {os.path.join(folder, 'report.html')}   ({kind}: all pictures, and what each method did)")
    return found


def _one(
    kind: str,
    folder: str,
    seed: int,
    methods: Sequence[str],
    n: int | None,
    targets: int,
    samples: int,
    keywords: Mapping[str, Mapping[str, Any]] | None,
    checkpoints: str | None,
) -> Comparison:
    """Return the comparison for one kind of data, saved with its network."""
    from genrev.checkpoint import save
    from genrev.comparison import compare
    from genrev.data import load_splits

    say(f"{kind}")
    splits = load_splits(kind, seed=seed, n=n)
    given: dict[str, Inverter] = {}
    shipped = None if seed or n is not None else _shipped(kind, checkpoints)
    if shipped is None:
        network = train_standard(kind, splits, seed=seed)
    else:
        network, given = shipped
        methods = [*methods, *given, *(f"{name}+newton" for name in given)]
    judge = fit_judge(splits, seed=seed)
    inverters = fit_methods(methods, network, splits.train.inputs, seed=seed, keywords=keywords, given=given)
    inputs, command = splits.targets.inputs[:targets], f"genrev demo --seed {seed}"
    say(f"  asking {len(methods)} methods for {len(ASKED[kind])} typed outputs and {len(inputs)} of held-out inputs")
    comparison = compare(
        network,
        inverters,
        inputs,
        reference=splits.reference.inputs,
        training=splits.train.inputs,
        judge=judge,
        samples=samples,
        seed=seed,
        asked=ASKED[kind],
        names=splits.train.names,
        command=command,
    )
    comparison.save(folder)
    about = {"command": command, **about_data(kind, seed, splits)}
    save(network, os.path.join(folder, "network.safetensors"), about=about)
    return comparison


def _shipped(kind: str, folder: str | None) -> tuple[Network, dict[str, Inverter]] | None:
    """Return the network of a kind of data and inverters of it that ship, or None where they are not at hand."""
    from genrev.checkpoint import load

    if folder is None or kind not in SHIPPED:
        return None
    name, others = SHIPPED[kind]
    files = {key: os.path.join(folder, f"{stem}.safetensors") for key, stem in {"": name, **others}.items()}
    if not all(os.path.isfile(file) for file in files.values()):
        return None
    network = load(files.pop(""))
    given = {method: load(file) for method, file in files.items()}
    say(f"  the network and {', '.join(given)} are those that ship, in {folder}")
    return network, given
