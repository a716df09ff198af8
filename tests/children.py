"""Several processes that run the same checks together, as torchrun would start them: each says what came of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SECONDS = 120
"""After which processes that wait for one another are ended."""

Check = Callable[[], Any]


def run(module: str, count: int, folder: Path, checks: list[str]) -> list[dict[str, Any]]:
    """Run checks, which are functions of a module of the tests, in processes that meet in a folder.

    Returns:
        For each process what each check returned, by its name.

    Raises:
        AssertionError: one failed, or the processes wait for one another.
    """
    tests = Path(__file__).parent
    folder.mkdir(exist_ok=True)
    paths = [str(tests), *(str(one) for one in tests.iterdir() if one.is_dir()), *sys.path]
    started = []
    for rank in range(count):
        code = f"import children; children.child({module!r}, {rank}, {count}, {str(folder)!r}, {checks!r})"
        # As torchrun does it; a test is to find no files of this process's where it is not told of them.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        with (folder / f"said-{rank}").open("w") as said:
            started.append(
                subprocess.Popen([sys.executable, "-c", code], stdout=said, stderr=said, env=environment, cwd=folder)
            )
    deadline = time.monotonic() + SECONDS
    try:
        left = list(started)
        while left and all(one.poll() in (None, 0) for one in started):
            assert time.monotonic() < deadline, f"the processes wait for one another:\n{_said(folder, count)}"
            try:
                left[0].wait(0.05)
                left.pop(0)
            except subprocess.TimeoutExpired:
                pass
        # The one that ended first has most to say.
        failed = [rank for rank, one in enumerate(started) if one.poll() not in (None, 0)]
        assert not failed, f"process {failed[0]} of {count} failed:\n{_said(folder, count)}"
    finally:
        for one in started:
            if one.poll() is None:
                one.kill()
            one.wait()
    return [json.loads((folder / f"found-{rank}").read_text()) for rank in range(count)]


def _said(folder: Path, count: int) -> str:
    return "\n".join(f"[{rank}] {(folder / f'said-{rank}').read_text()[-3000:]}" for rank in range(count))


def child(module: str, rank: int, count: int, folder: str, checks: list[str]) -> None:
    """Be one of the processes."""
    import importlib
    import warnings

    import torch
    import torch.distributed as dist

    functions: Mapping[str, Check] = vars(importlib.import_module(module))
    warnings.simplefilter("error")
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
    found = {}
    try:
        for name in checks:
            torch.manual_seed(0)
            began = time.monotonic()
            found[name] = functions[name]()
            print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        # At once: the others wait for this process.
        os._exit(1)
    Path(folder, f"found-{rank}").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()
