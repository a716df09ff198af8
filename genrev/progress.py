"""Progress: what a long step has done so far, as a bar on the terminal and as lines in a log."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from genrev.files import append_lines, check_path

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
_LOGS: ContextVar[tuple[str, ...]] = ContextVar("logs", default=())


@contextmanager
def quiet() -> Iterator[None]:
    """Draw no bars inside; logs are written all the same.

    Example:
        >>> with quiet(), progress("counting", 3) as advance:
        ...     advance()
    """
    token = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(token)


@contextmanager
def logged(path: str | os.PathLike[str]) -> Iterator[None]:
    """Add a line of JSON to a file for all that a bar would show inside.

    A line holds ``label``, ``unit``, ``step`` and ``of``, the figures of that step (null where one isn't finite), and
    ``seconds`` since the first step began. What the file holds already stays: the log of a training that was killed and
    goes on is one log, in which the last few steps before the kill may stand twice. Another block's file, around this
    one, gets the same lines.

    Args:
        path: of a text file, or free; its folder must exist.

    Raises:
        ArgumentError: the path is none.
        FileError: the file can't be written to.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "log.jsonl")
        ...     with logged(path), progress("cvae", 2, unit="epoch") as advance:
        ...         advance(loss=0.5)
        ...     json.loads(path.read_text())["loss"]
        0.5
    """
    check_path(path)
    # The work may go to another folder.
    place = os.path.abspath(os.fsdecode(path))
    append_lines(place, [])
    token = _LOGS.set((*_LOGS.get(), place))
    try:
        yield
    finally:
        _LOGS.reset(token)


@contextmanager
def progress(
    label: str, of: int, *, unit: str = "step", done: int = 0, seconds: float = 0.0
) -> Iterator[Callable[..., None]]:
    """Give what is to be called after each step of a long work.

    The bar is drawn where the standard error is a terminal, and is gone afterwards.

    Args:
        label: what is at work.
        of: how many steps there are at most.
        unit: what a step is.
        done: how many steps were done before.
        seconds: that those took.

    Returns:
        A function that takes the figures of a step, numbers or words, by name.

    Example:
        >>> with progress("counting", 2) as advance:
        ...     for place in range(2):
        ...         advance(place=place)
    """
    began, step = time.perf_counter() - seconds, done
    logs, draw, close = _LOGS.get(), *_bar(label, of, unit, done)

    def advance(**figures: float | str) -> None:
        nonlocal step
        step += 1
        draw(figures)
        spent = round(time.perf_counter() - began, 3)
        line = {"label": label, "unit": unit, "step": step, "of": of, **figures, "seconds": spent}
        for path in logs:
            append_lines(path, [json.dumps({name: _value(value) for name, value in line.items()})])

    try:
        yield advance
    finally:
        close()


def _bar(
    label: str, of: int, unit: str, done: int
) -> tuple[Callable[[dict[str, float | str]], None], Callable[[], None]]:
    """Return how a bar is moved by a step, and how it is closed."""
    if _QUIET.get():
        return lambda figures: None, lambda: None
    from tqdm import tqdm

    bar = tqdm(total=of, initial=done, desc=label, unit=unit, disable=None, leave=False)

    def draw(figures: dict[str, float | str]) -> None:
        shown = {name: value if isinstance(value, str) else f"{value:.4g}" for name, value in figures.items()}
        bar.set_postfix(shown, refresh=False)
        bar.update()

    return draw, bar.close


def _value(value: float | str) -> float | str | None:
    # JSON has no word for NaN or infinity.
    return None if isinstance(value, float) and not math.isfinite(value) else value
