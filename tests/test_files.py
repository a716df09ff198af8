"""Tests of output folders and of atomic writes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sentences import assert_one_sentence

from genrev.errors import ArgumentError, FileError
from genrev.files import expect_file, output_folder, read_bytes, write_bytes, write_text


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_folder_is_made_and_stays_with_what_was_written(tmp_path: Path) -> None:
    with output_folder(tmp_path / "new") as folder:
        write_bytes(f"{folder}/file", b"here")
    assert folder == str(tmp_path / "new")
    assert os.listdir(tmp_path / "new") == ["file"]


@pytest.mark.parametrize("stop", [ZeroDivisionError, KeyboardInterrupt])
def test_a_folder_that_was_made_is_unmade_if_the_work_fails(tmp_path: Path, stop: type[BaseException]) -> None:
    def work() -> None:
        with output_folder(tmp_path / "new") as folder:
            write_bytes(f"{folder}/file", b"here")
            raise stop

    with pytest.raises(stop):
        work()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_was_there_keeps_what_it_held_if_the_work_fails(tmp_path: Path) -> None:
    write_bytes(tmp_path / "mine", b"mine")
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["mine"]


def test_a_folder_is_made_where_a_link_points_and_unmade_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "goal")
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path / "link"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["link"]
    with output_folder(tmp_path / "link"):
        pass
    assert (tmp_path / "goal").is_dir()


def test_a_folder_named_from_here_is_unmade_though_the_work_went_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        with output_folder("new"):
            os.chdir("/")
            raise ZeroDivisionError

    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeroDivisionError):
        work()
    assert os.listdir(tmp_path) == []


def test_a_place_that_can_be_no_folder_is_a_file_error_and_stays(tmp_path: Path) -> None:
    write_bytes(tmp_path / "mine", b"mine")
    for place, cause in (
        (tmp_path / "no" / "such", f"got no folder {str(tmp_path / 'no')!r}; make it first"),
        (tmp_path / "mine", f"got a file at {str(tmp_path / 'mine')!r}; choose another"),
        (tmp_path / "mine" / "below", f"got a file at {str(tmp_path / 'mine')!r}; choose another"),
        (tmp_path / "mine" / "far" / "below", f"got a file at {str(tmp_path / 'mine')!r}; choose another"),
        (f"{tmp_path}/a\0b", "got 'embedded null byte'; choose another"),
    ):
        with pytest.raises(FileError) as caught, output_folder(place):
            pass
        assert_one_sentence(str(caught.value))
        assert cause in str(caught.value)
    assert os.listdir(tmp_path) == ["mine"]
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_a_folder_that_may_not_be_written_to_is_a_file_error_and_unmade_if_it_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old").mkdir()
    monkeypatch.setattr(tempfile, "TemporaryFile", failing(errno.EACCES))
    for name in ("old", "new"):
        with pytest.raises(FileError) as caught, output_folder(tmp_path / name):
            pass
        assert f"got 'Permission denied' in {str(tmp_path / name)!r}; choose another path, or" in str(caught.value)
    assert os.listdir(tmp_path) == ["old"]


def test_a_write_leaves_the_bytes_and_nothing_else(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"\x00\r\nbytes")
    assert (tmp_path / "file").read_bytes() == b"\x00\r\nbytes"
    assert os.listdir(tmp_path) == ["file"]


def test_a_write_replaces_what_was_there(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"longer than the next")
    write_bytes(tmp_path / "file", b"")
    assert (tmp_path / "file").read_bytes() == b""


def test_a_string_is_as_good_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_bytes("file", b"here")
    assert (tmp_path / "file").read_bytes() == b"here"


def test_the_longest_file_name_is_allowed(tmp_path: Path) -> None:
    write_bytes(tmp_path / ("n" * 255), b"long")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"long"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_an_ordinary_open(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "ours", b"")
        (tmp_path / "plain").write_bytes(b"")
    finally:
        os.umask(before)
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_permissions_of_a_replaced_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_bytes(b"old")
    path.chmod(0o751)
    write_bytes(path, b"new")
    assert path.stat().st_mode & 0o7777 == 0o751


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "file").read_bytes() == b"new"


def test_text_is_utf8_with_its_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "page", "f⁻¹(y)\r\nü\n")
    assert (tmp_path / "page").read_bytes() == "f⁻¹(y)\r\nü\n".encode()


def test_text_that_utf8_cannot_hold_is_an_argument_error_that_leaves_the_file(tmp_path: Path) -> None:
    write_text(tmp_path / "page", "old")
    with pytest.raises(ArgumentError) as caught:
        write_text(tmp_path / "page", "half \ud800")
    assert_one_sentence(str(caught.value))
    assert (tmp_path / "page").read_text() == "old"


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, step, failing(code))
    with pytest.raises(FileError) as caught:
        write_bytes(tmp_path / "file", b"new")
    assert_one_sentence(str(caught.value))
    assert os.strerror(code) in str(caught.value)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_interrupt_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_missing_folder_is_a_file_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"got no folder '.*missing'; make it first") as caught:
        write_bytes(tmp_path / "missing" / "file", b"")
    assert_one_sentence(str(caught.value))


def test_a_folder_in_the_way_is_a_file_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match="got a folder"):
        write_bytes(tmp_path / "folder", b"")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_path_below_a_file_is_a_file_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileError, match=r"got a file at '.*file'; choose another path"):
        write_bytes(tmp_path / "file" / "below", b"")
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize("path", [None, 3, 1.5, ["folder"]])
def test_what_is_no_path_is_an_argument_error(path: Any) -> None:
    for use in (lambda: write_bytes(path, b""), lambda: read_bytes(path), lambda: expect_file(path)):
        with pytest.raises(ArgumentError, match=r"expected a path as a string or a pathlib\.Path") as caught:
            use()
        assert_one_sentence(str(caught.value))
    with pytest.raises(ArgumentError), output_folder(path):
        pass


def test_a_path_with_a_null_is_a_file_error(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        write_bytes(f"{tmp_path}/a\0b", b"")
    assert_one_sentence(str(caught.value))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_neither_replaced_nor_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="a device, a pipe or a socket"):
        write_bytes(tmp_path / "pipe", b"")
    with pytest.raises(FileError, match="a device, a pipe or a socket"):
        read_bytes(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_importing_files_imports_neither_torch_nor_safetensors() -> None:
    code = "import sys, genrev.files, genrev.tensor_files; print({'torch', 'safetensors', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).stdout == b"set()\n"
