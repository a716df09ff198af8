"""Files: atomic writes, folders that are unmade on failure, and what to say of a path that is none.

It knows no class of genrev but its errors.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from genrev.errors import ArgumentError, FileError


@contextlib.contextmanager
def output_folder(path: str | os.PathLike[str]) -> Iterator[str]:
    """Make a folder if there is none, and unmake it with all that it holds if the work that was to fill it fails.

    Args:
        path: where to; its parent must exist. A link is followed.

    Raises:
        ArgumentError: the path is neither a string nor a path.
        FileError: the folder can't be made or written to.

    Example:
        >>> with tempfile.TemporaryDirectory() as place, output_folder(f"{place}/new") as folder:
        ...     os.listdir(folder)
        []
    """
    check_path(path)
    goal = ""
    with contextlib.ExitStack() as undo:
        try:
            goal = os.path.realpath(path)
            if not os.path.isdir(goal):
                os.mkdir(goal)
                undo.callback(shutil.rmtree, goal, ignore_errors=True)
            # What is allowed is best learned by doing it.
            with tempfile.TemporaryFile(dir=goal):
                pass
        except (OSError, ValueError) as error:
            raise FileError(
                f"expected a folder to write to at {shown(path)}, {_obstacle(goal, error, makes=True)}"
            ) from error
        yield os.fspath(path)
        undo.pop_all()


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all.

    Whatever goes wrong, the path holds either what it held before or all of the data. A link is followed, and the
    permissions are those that an ordinary ``open`` gives.

    Args:
        path: of a file, or free; its folder must exist.
        data: all that the file will hold.

    Raises:
        FileError: the folder is missing or can't be written to, the path isn't a file's, or the disk is full.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "greeting")
        ...     write_bytes(path, b"hello")
        ...     path.read_bytes()
        b'hello'
    """
    with _writing(path) as goal:
        _replace(goal, data, _mode(goal))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write a text file in UTF-8, whole or not at all.

    Args:
        path: of a file, or free; its folder must exist.
        text: all that the file will hold; line ends stay as they are.

    Raises:
        ArgumentError: the path is none, or the text holds half a surrogate pair, which UTF-8 has no bytes for.
        FileError: as in :func:`write_bytes`.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "page.html")
        ...     write_text(path, "f(x) = y\n")
        ...     path.read_text()
        'f(x) = y\n'
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"expected text that UTF-8 can hold, got {text[error.start]!a} at {error.start}; replace it"
        ) from error
    write_bytes(path, data)


def append_lines(path: str | os.PathLike[str], lines: Iterable[str]) -> None:
    r"""Add lines to the end of a text file in UTF-8, each of them whole.

    Args:
        path: of a file, or free; its folder must exist. A link is followed.
        lines: without their ends; with none of them the file is made, if it isn't there, and a last line without an
            end, as a killed process leaves one, is ended.

    Raises:
        ArgumentError: the path is none.
        FileError: as in :func:`write_bytes`.

    Example:
        >>> import pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "log")
        ...     append_lines(path, ["one"])
        ...     append_lines(path, ["two", "three"])
        ...     path.read_text()
        'one\ntwo\nthree\n'
    """
    text = b"".join(f"{line}\n".encode() for line in lines)
    with _writing(path) as goal:
        _mode(goal)
        # One unbuffered write a call, so that lines of several writers stay whole.
        with open(goal, "a+b", buffering=0) as file:
            if not text and file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                text = b"" if file.read(1) == b"\n" else b"\n"
            while text:
                text = text[file.write(text) :]


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read all that a file holds.

    Args:
        path: of a file.

    Raises:
        ArgumentError: the path is none.
        FileError: there is no file, or it may not be read.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_bytes(f"{folder}/greeting", b"hello")
        ...     read_bytes(f"{folder}/greeting")
        b'hello'
    """
    expect_file(path)
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def expect_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a path that no file can be written to, before the work whose result it is to hold.

    Args:
        path: as for :func:`write_bytes`; what is there stays as it is.

    Raises:
        ArgumentError: the path is none.
        FileError: as in :func:`write_bytes`.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     expect_writable(f"{folder}/file")
    """
    # What is allowed is best learned by doing it.
    with _writing(path) as goal:
        _mode(goal)
        with tempfile.TemporaryFile(dir=os.path.dirname(goal)):
            pass


def expect_file(path: str | os.PathLike[str]) -> None:
    """Refuse a path that there is nothing to read at.

    Args:
        path: of what should be a file.

    Raises:
        ArgumentError: the path is none.
        FileError: there is nothing, or a folder, or what would be waited for.

    Example:
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     expect_file(file.name)
    """
    check_path(path)
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise FileError(f"expected a file at {shown(path)}, got '{reason(error)}'; check the path") from error
    # Opening a pipe would wait for ever.
    if not stat.S_ISREG(mode):
        raise FileError(f"expected a file at {shown(path)}, got {_kind(mode)}; check the path")


def check_path(path: Any) -> None:
    """Refuse what is no path; a number would be taken for an open file.

    Args:
        path: what was given for one.

    Raises:
        ArgumentError: it is neither a string nor a path.

    Example:
        >>> check_path("network.safetensors")
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise ArgumentError(f"expected a path as a string or a pathlib.Path, got {path!r:.60}; write 'folder/name'")


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what :func:`write_bytes` left beside a path when its process was killed.

    Args:
        path: of the file that was to be written; nobody may be writing it now.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     remove_leftovers(f"{folder}/file")
    """
    check_path(path)
    with contextlib.suppress(OSError, ValueError):
        folder, name = os.path.split(os.path.realpath(path))
        beginning = _temporary(name)
        for left in os.listdir(folder):
            if os.fsdecode(left).startswith(beginning):
                os.unlink(os.path.join(folder, left))


def unreadable(path: str | os.PathLike[str], error: Exception) -> FileError:
    """Return the error that says why a file could not be read.

    Args:
        path: of the file.
        error: what the system said.

    Example:
        >>> print(unreadable("x.npy", OSError(13, "Permission denied")))
        expected to read 'x.npy', got 'Permission denied'; check the file and its permissions
    """
    return FileError(f"expected to read {shown(path)}, got '{reason(error)}'; check the file and its permissions")


def shown(path: str | os.PathLike[str]) -> str:
    r"""Return a path as a message shows it.

    Args:
        path: any.

    Example:
        >>> print(shown("a\nb"))
        'a\nb'
    """
    # A path may hold bytes or line ends that no terminal shows; repr escapes them.
    return repr(os.fspath(path))


def reason(error: BaseException) -> str:
    """Return what an error says, in one line without a stop at the end.

    Args:
        error: any; of one that says nothing, its type.

    Example:
        >>> reason(OSError(28, "No space left on device"))
        'No space left on device'
    """
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


@contextlib.contextmanager
def _writing(path: str | os.PathLike[str]) -> Iterator[str]:
    """Give the place that a path leads to, and say in a sentence what stands in the way of writing there."""
    check_path(path)
    goal = ""
    try:
        # Replacing a link would leave the file that it points to as it was.
        goal = os.path.realpath(os.fsdecode(path))
        yield goal
    except FileError:
        raise
    except (OSError, ValueError) as error:
        raise FileError(f"expected to write {shown(path)}, {_obstacle(os.path.dirname(goal), error)}") from error


def _mode(path: str) -> int | None:
    """Return the permissions of the file at the path, or None where there is none."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    # A device such as /dev/null must not be replaced by a file.
    if not stat.S_ISREG(mode):
        raise FileError(f"expected {shown(path)} to be a file or free, got {_kind(mode)}; choose another path")
    return stat.S_IMODE(mode)


def _replace(path: str, data: bytes, mode: int | None) -> None:
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f"{_temporary(name)}{secrets.token_hex(8)}.tmp")
    try:
        # Opened as usual, not by mkstemp, whose files nobody but the owner may read.
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _temporary(name: str) -> str:
    """Return what the names of a file's temporary files begin with: short, however long its own is."""
    return f".genrev-{zlib.crc32(os.fsencode(name)):08x}-"


def _obstacle(folder: str, error: Exception, *, makes: bool = False) -> str:
    """Return what stands in the way of writing, and what to do about it, as the end of a sentence.

    Args:
        folder: to write to.
        error: what the system said.
        makes: whether the folder is made where only it is missing.
    """
    got = f"got '{reason(error)}'"
    if not isinstance(error, OSError):
        return f"{got}; choose another path"
    place, needed = folder, os.path.dirname(folder) if makes else folder
    while not os.path.lexists(place) and place != os.path.dirname(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        return f"got a file at {shown(place)}; choose another path"
    if not os.path.isdir(needed):
        return f"got no folder {shown(needed)}; make it first, or choose another path"
    # Some systems of files say of what may not be made that it is not there.
    if isinstance(error, (PermissionError, FileNotFoundError)):
        return f"{got} in {shown(place)}; choose another path, or get leave to write there"
    return f"{got}; choose another path"


def _kind(mode: int) -> str:
    return "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or a socket"
