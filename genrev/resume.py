"""Resume: the state of a training in a file, so that one that was killed goes on from there to the same end."""

from __future__ import annotations

import io
import itertools
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from genrev.checks import as_json, real
from genrev.errors import FileError
from genrev.files import expect_writable, read_bytes, remove_leftovers, write_bytes

_KIND, _FORMAT = "genrev training", 1
_SHARE = 0.02
"""The share of the time that saving the state may take."""

_DIGEST = re.compile("[0-9a-f]{64}")

_LONG = 60
"""How many characters of a value a sentence shows."""


@contextmanager
def resumable(
    path: str | os.PathLike[str], *, about: Mapping[str, Any] | None = None, every: float = 1.0
) -> Iterator[bool]:
    """Keep the state of every training inside in a file, so that the same block, run again after a kill, goes on.

    Run again in one process on the CPU, it ends with the same weights to the bit. The block should also save what was
    learned: the file is removed when the block ends well, and stays where an error or an interrupt ends it. Trainings
    are told apart by their order; those that were over are not repeated. A state that was kept for other arguments,
    data or models is refused. Trainings in other threads are not kept.

    Args:
        path: of the state, or free; its folder must exist. One process at a time may keep its state there.
        about: what else decides the result, by name: whatever ``json`` writes.
        every: seconds from one save to the next, at least; more where saving would take above a fiftieth of the time;
            0 saves after each step.

    Yields:
        Whether there was a state to go on from.

    Raises:
        ArgumentError: the path is none, ``about`` isn't JSON, or ``every`` is below 0.
        FileError: the state can't be written, is damaged or foreign, or was kept for something else.

    Example:
        >>> from genrev import DecoderInverter, InputSpace, Network, save
        >>> inverter = DecoderInverter(Network(torch.nn.Linear(2, 1), space=InputSpace((2,))), steps=9)
        >>> with resumable("decoder.safetensors.state", about={"data": "noise"}) as found:
        ...     save(inverter.fit(torch.rand(8, 2), seed=0), "decoder.safetensors")
        >>> found, os.path.exists("decoder.safetensors.state")
        (False, False)
    """
    every = real("every", every)
    state = _State(path, as_json("about", about or {}), every)
    token = _STATE.set(state)
    try:
        yield bool(state.runs)
    finally:
        _STATE.reset(token)
    state.remove()


def clock() -> float:
    """Return seconds, of which only differences mean anything, with those that killed processes spent on the same work.

    Example:
        >>> clock() <= clock()
        True
    """
    state = _STATE.get()
    return time.perf_counter() + (0.0 if state is None else state.earlier)


@contextmanager
def tracked(what: Callable[[], Mapping[str, Any]]) -> Iterator[Run]:
    """Give the next training of a `resumable` block its place in the state file; outside of one there is none.

    Args:
        what: gives all that decides the training's result, by name: plain values, hashes, and tensors, which may differ
            by rounding.

    Raises:
        FileError: the state in that place was kept for something else.

    Example:
        >>> with tracked(dict) as run:
        ...     run.over
        False
    """
    state = _STATE.get()
    if state is None:
        yield Run(None, {"over": False, "state": None})
        return
    # What trains inside of this training is part of it.
    token = _STATE.set(None)
    try:
        yield Run(state, state.next(dict(what())))
    finally:
        _STATE.reset(token)


def records(path: str | os.PathLike[str]) -> list[Mapping[str, Any]]:
    """Return what a state file holds of each training, in their order.

    Args:
        path: of the state.

    Returns:
        For each what decides its result (``what``), whether it is ``over``, and its ``state``, None before the first.

    Raises:
        FileError: the state is missing, damaged or foreign.

    Example:
        >>> import tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "state")
        >>> with resumable(path, every=0), tracked(lambda: {"epochs": 9}) as run:
        ...     run.offer(lambda: {"seconds": 1.5})
        ...     records(path)
        [{'what': {'epochs': 9}, 'over': False, 'state': {'seconds': 1.5}}]
    """
    found: list[Mapping[str, Any]] = _read(os.path.realpath(os.fsdecode(path)), repr(os.fspath(path)))["runs"]
    return found


class Run:
    """One training, as its state file sees it.

    Args:
        state: of the block; None outside of one.
        record: what the file holds of this training.
    """

    def __init__(self, state: _State | None, record: dict[str, Any]) -> None:
        self._state, self._record = state, record

    @property
    def over(self) -> bool:
        """Whether it ended in an earlier process."""
        return bool(self._record["over"])

    def restore(self, take: Callable[[dict[str, Any]], None]) -> None:
        """Have the state taken up that was saved, if there is one.

        Args:
            take: takes it; what it raises means that the state doesn't fit.

        Raises:
            FileError: it doesn't fit.
        """
        state, saved = self._state, self._record["state"]
        if state is None or saved is None:
            return
        try:
            take(saved)
            state.earlier += float(saved["seconds"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
            raise FileError(
                f"expected {state.name} to hold the state of this training, got values that don't fit it "
                f"({error!r:.80}); delete the file to begin anew"
            ) from error
        # The model has it now.
        if not self.over:
            self._record["state"] = None

    def offer(self, give: Callable[[], dict[str, Any]]) -> None:
        """Save the state if it is time to.

        Args:
            give: returns it: tensors, which may change afterwards, and plain values, among them ``seconds``.

        Raises:
            FileError: it can't be written.
        """
        if self._state is None or not self._state.due():
            return
        self._record["state"] = give()
        try:
            self._state.write()
        finally:
            self._record["state"] = None

    def end(self, give: Callable[[], dict[str, Any]]) -> None:
        """Note that the training is over, and save that if it is time to.

        Args:
            give: returns what it ended with: tensors, which don't change any more, and plain values.

        Raises:
            FileError: it can't be written.
        """
        if self._state is None:
            return
        self._record |= {"over": True, "state": give()}
        if self._state.due():
            self._state.write()


class _State:
    """A state file and what is to be in it: a record for each training, in their order."""

    def __init__(self, path: str | os.PathLike[str], about: dict[str, Any], every: float) -> None:
        expect_writable(path)
        remove_leftovers(path)
        # The work may go to another folder.
        self.name, self._path = repr(os.fspath(path)), os.path.realpath(os.fsdecode(path))
        self._about, self._every, self._place, self.earlier = about, every, 0, 0.0
        self.runs: list[dict[str, Any]] = []
        if os.path.exists(self._path):
            found = _read(self._path, self.name)
            self._expect_same(found["about"], about)
            self.runs = found["runs"]
        self._saved, self._pause = time.monotonic(), every

    def next(self, what: dict[str, Any]) -> dict[str, Any]:
        """Return the record of the next training."""
        if self._place == len(self.runs):
            self.runs.append({"what": what, "over": False, "state": None})
        record = self.runs[self._place]
        self._expect_same(record["what"], what)
        self._place += 1
        return record

    def due(self) -> bool:
        return time.monotonic() - self._saved >= self._pause

    def write(self) -> None:
        began, buffer = time.monotonic(), io.BytesIO()
        torch.save({"kind": _KIND, "format": _FORMAT, "about": self._about, "runs": self.runs}, buffer)
        write_bytes(self._path, buffer.getvalue())
        self._saved = time.monotonic()
        self._pause = max(self._every, (self._saved - began) / _SHARE) if self._every else 0.0

    def remove(self) -> None:
        # What the block itself saved under this name is no state. A state that can't be removed is taken up, or
        # refused, by the next block of that name.
        with suppress(OSError):
            _read(self._path, self.name)
            os.unlink(self._path)
        remove_leftovers(self._path)

    def _expect_same(self, theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
        for name in [*mine, *(name for name in theirs if name not in mine)]:
            one, other = theirs.get(name), mine.get(name)
            if not _alike(one, other):
                hidden = _opaque(one) or _opaque(other)
                how = f"of other {name}" if hidden else f"with {name} {' instead of '.join(_apart(one, other))}"
                raise FileError(
                    f"expected {self.name} to hold the state of this training, got one {how}; delete the file to begin "
                    "anew, or give the arguments that it was kept for"
                )


_STATE: ContextVar[_State | None] = ContextVar("state", default=None)


def _read(path: str, name: str) -> dict[str, Any]:
    data = read_bytes(path)
    try:
        # PyTorch reads damaged values as they are, and doesn't look at the archive's checksums.
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
            whole = stored and archive.testzip() is None
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True) if whole else None
    except Exception:
        # The archive, the pickle in it and the tensors all raise kinds of their own.
        found = None
    if not isinstance(found, dict) or found.get("kind") != _KIND or type(found.get("format")) is not int:
        raise FileError(
            f"expected {name} to be the state of a training, got damage or another format; check the path, and if it "
            "is a state delete it to begin anew"
        )
    if found["format"] > _FORMAT:
        raise FileError(f"expected {name} in format {_FORMAT}, got a newer one; update genrev to read it")
    if not isinstance(found.get("about"), dict) or not _records(found.get("runs")):
        raise FileError(
            f"expected {name} to hold what training was kept in it, got records of another form; delete the file to "
            "begin anew"
        )
    return found


def _records(runs: Any) -> bool:
    """Whether these are records of trainings: what each was of, whether it was over, and its state."""
    return isinstance(runs, list) and all(
        isinstance(run, dict)
        and isinstance(run.get("what"), dict)
        and isinstance(run.get("over"), bool)
        and (isinstance(run.get("state"), dict) or (run.get("state", run) is None and not run["over"]))
        for run in runs
    )


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        same = one.shape == other.shape and one.dtype == other.dtype
        return same and torch.allclose(one, other, rtol=1e-4, atol=1e-6, equal_nan=True)
    return type(one) is type(other) and (one == other or repr(one) == repr(other))


def _opaque(value: Any) -> bool:
    """Whether a value says nothing to a person."""
    return isinstance(value, Tensor) or (isinstance(value, str) and _DIGEST.fullmatch(value) is not None)


def _apart(one: Any, other: Any) -> list[str]:
    """Return two values in few words, long ones from the word on in which they differ."""
    texts, begin = [repr(one), repr(other)], 0
    if max(map(len, texts)) > _LONG:
        # What is cut has no quotes: only one of them would be left.
        texts = [value if isinstance(value, str) else repr(value) for value in (one, other)]
        alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(*texts, strict=False))
        begin = texts[0].rfind(" ", 0, len(list(alike))) + 1
    parts = [text[begin:] if len(text) <= begin + _LONG else f"{text[begin : begin + _LONG - 3]}..." for text in texts]
    return [f"... {part}" if begin else part for part in parts]
