"""Print whether trainings killed at random moments end as if they weren't, and what keeping their state costs."""

import argparse
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from genrev import CVAEInverter, load, save
from genrev.classifiers import STANDARD
from genrev.data import load_splits
from genrev.errors import GenrevError
from genrev.files import remove_leftovers
from genrev.progress import quiet
from genrev.resume import resumable
from genrev.tensor_files import read_tensors

# A child that is forked has all imported already, and is killed as any process is.
FORK = multiprocessing.get_context("fork")


def in_a_child(work: Callable[..., None], *args: object, limit: float | None = None) -> bool:
    """Do work in a process that is killed after some seconds, and return whether it was."""
    process = FORK.Process(target=work, args=args)
    process.start()
    process.join(limit)
    # To a process that has ended nothing is done.
    process.kill()
    process.join()
    if process.exitcode not in (0, -9):
        raise SystemExit(f"a training failed with status {process.exitcode}")
    return process.exitcode == -9


class Training:
    """The training of a cvae on digits, and where it leaves what it learned."""

    def __init__(self, folder: Path, steps: int, hidden: int) -> None:
        self.folder, self.steps, self.hidden = folder, steps, hidden
        self.inputs = load_splits("digits", seed=0).train.inputs
        self.result, self.state, self.time = folder / "cvae.safetensors", folder / "cvae.state", folder / "seconds"
        # Who has taken a gradient can't fork any more.
        in_a_child(self._train_network)
        self.network = load(folder / "network.safetensors")

    def _train_network(self) -> None:
        with quiet():
            network = replace(STANDARD["digits"], epochs=3).train(load_splits("digits", seed=0).train)
            save(network, self.folder / "network.safetensors")

    def plain(self) -> None:
        """Train without a state."""
        began = time.perf_counter()
        inverter = CVAEInverter(self.network, steps=self.steps, hidden=self.hidden)
        with quiet():
            inverter.fit(self.inputs, seed=0)
        self.time.write_text(str(time.perf_counter() - began))
        save(inverter, self.result)

    def kept(self, every: float) -> None:
        """Train with a state."""
        # Of the result, whose writing may be killed too.
        remove_leftovers(self.result)
        with resumable(self.state, about={"data": "digits"}, every=every):
            self.plain()

    def learned(self) -> dict[str, torch.Tensor]:
        """Return the tensors that the last training saved, and take its file away."""
        tensors = read_tensors(self.result)[0]
        self.result.unlink()
        return tensors

    def seconds(self, work: Callable[..., None], *args: object) -> float:
        """Return how long a training takes."""
        in_a_child(work, *args)
        self.result.unlink()
        return float(self.time.read_text())

    def readable(self) -> bool:
        """Whether the state file can be read, if there is one."""
        if not self.state.exists():
            return True
        try:
            torch.load(self.state, weights_only=True)
            with resumable(self.state, about={"data": "digits"}) as found:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            return found
        except (GenrevError, RuntimeError):
            return False


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--steps", type=int, default=300, help="of the trainings that are killed")
    options.add_argument("--hidden", type=int, default=32, help="their width: what is small is saved often")
    options.add_argument("--every", type=float, default=0.0, help="seconds between their saves; 0 for each step")
    options.add_argument("--long", type=int, default=4000, help="steps of the trainings that are timed; 0 for none")
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--seed", type=int, default=0, help="of the moments")
    args = options.parse_args()
    torch.set_num_threads(1)
    # The first optimiser imports for seconds what every child would import again.
    torch.optim.AdamW([torch.zeros(1)])
    draw = random.Random(args.seed)

    with tempfile.TemporaryDirectory() as folder:
        training = Training(Path(folder), args.steps, args.hidden)
        in_a_child(training.plain)
        wanted = training.learned()
        span = training.seconds(training.kept, args.every)
        kills = identical = unreadable = found = 0
        while kills < args.kills:
            killed = in_a_child(training.kept, args.every, limit=draw.uniform(0, span))
            kills += killed
            found += training.state.exists()
            unreadable += not training.readable()
            in_a_child(training.kept, args.every)
            tensors = training.learned()
            same = tensors.keys() == wanted.keys() and all(torch.equal(tensors[name], wanted[name]) for name in wanted)
            identical += killed and same
        left = sorted({path.name for path in Path(folder).iterdir()} - {"network.safetensors", "seconds"})
        print(
            f"{kills} kills in trainings of {span:.1f} s, {found} with a state to go on from: {identical} identical "
            f"ends, {unreadable} unreadable files, {len(left)} files left behind {', '.join(left)}".rstrip()
        )
        if args.long:
            training.steps, training.hidden = args.long, 256
            pairs = [
                (training.seconds(training.plain), training.seconds(training.kept, 1.0)) for _ in range(args.repeats)
            ]
            ratios = [kept / plain for plain, kept in pairs]
            print(
                f"keeping the state of {args.long} steps ({statistics.median(plain for plain, _ in pairs):.1f} s) "
                f"takes {statistics.median(ratios):.3f} times as long ({min(ratios):.3f} to {max(ratios):.3f})"
            )
    sys.exit(0 if identical == kills and not unreadable and not left else 1)


if __name__ == "__main__":
    main()
