"""Print what importing genrev adds to importing torch, and how long the command line takes to show its help."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

# Both in one process: between processes the same import differs by more than genrev takes.
IMPORTS = """
import time
began = time.perf_counter()
import torch
between = time.perf_counter()
from genrev import Network, Refined
from genrev.inverters import INVERTERS
print(between - began, time.perf_counter() - between)
"""


def run(command: list[str]) -> tuple[str, float]:
    """Return what a command prints, and how long it takes."""
    # From the second start on Python finds its modules compiled, unless it was told to keep nothing.
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=surroundings)
    return done.stdout, time.perf_counter() - began


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=15)
    args = options.parse_args()
    names = [sys.executable, "-c", IMPORTS]
    help_command = [str(Path(sys.executable).with_name("genrev")), "--help"]
    run(names), run(help_command)
    torch_alone, added, shown = [], [], []
    for _ in range(args.repeats):
        base, more = map(float, run(names)[0].split())
        torch_alone.append(base)
        added.append(more / base)
        shown.append(run(help_command)[1])
    spread = f"({min(added):+.1%} to {max(added):+.1%})"
    print(f"import torch: {statistics.median(torch_alone):.2f} s; genrev: {statistics.median(added):+.1%} {spread}")
    print(f"genrev --help: {statistics.median(shown):.2f} s")


if __name__ == "__main__":
    main()
