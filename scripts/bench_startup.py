"""Print what importing genrev adds to importing torch, and how long the command line takes to show its help."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

TORCH = "import torch"
GENREV = "import torch; from genrev import Network, Refined; from genrev.inverters import INVERTERS"


def seconds(command: list[str]) -> float:
    """Return how long a command takes."""
    began = time.perf_counter()
    # From the second start on Python finds its modules compiled, unless it was told to keep nothing.
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=surroundings)
    return time.perf_counter() - began


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=15)
    args = options.parse_args()
    help_command = [str(Path(sys.executable).with_name("genrev")), "--help"]
    torch_alone, genrev_too, shown = [], [], []
    for command in ([sys.executable, "-c", GENREV], help_command):
        seconds(command)
    # Taken in turn, so that a drift of the machine meets all alike.
    for _ in range(args.repeats):
        torch_alone.append(seconds([sys.executable, "-c", TORCH]))
        genrev_too.append(seconds([sys.executable, "-c", GENREV]))
        shown.append(seconds(help_command))
    base, both = statistics.median(torch_alone), statistics.median(genrev_too)
    print(f"import torch: {base:.2f} s; with genrev's names: {both:.2f} s ({both / base - 1:+.1%})")
    print(f"genrev --help: {statistics.median(shown):.2f} s")


if __name__ == "__main__":
    main()
