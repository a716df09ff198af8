"""Fixtures and guards that tests share: float64, one seed, torch's globals as they were; a user's surroundings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# The tests' tensors are small: a second thread gains nothing, and beside any other work at once waits for its turn so
# long that the suite takes several times as long. Commands that tests start inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from genrev.inverters import INVERTERS


@pytest.fixture(autouse=True)
def _float64_and_globals_guarded() -> Iterator[None]:
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    left = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    torch.set_default_dtype(dtype)
    assert left == (torch.float64, threads, True), "the test left torch's globals changed"


@pytest.fixture
def as_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A temporary folder, float32, one thread, and the table of inverters as it was afterwards."""
    monkeypatch.chdir(tmp_path)
    table, threads = dict(INVERTERS), torch.get_num_threads()
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(1)
    yield
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(threads)
    INVERTERS.clear()
    INVERTERS.update(table)
