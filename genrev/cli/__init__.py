"""The command line: one file a command, each gathers and then renders; torch is imported inside."""

from __future__ import annotations

import contextlib
import inspect
import io
import sys
from collections.abc import Callable, Iterator, Sequence

from genrev import __version__
from genrev.cli.compare import Compare
from genrev.cli.demo import Demo
from genrev.errors import ArgumentError, GenrevError, nearest

COMMANDS: dict[str, Callable[..., Demo | Compare]] = {"demo": Demo, "compare": Compare}
"""Every command by name. Adding one means its file and its line here."""

_ABOUT = "Which inputs make a trained network give this output, and which of them look real?"
_HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments, without the program's name; those of the process if not given.

    Returns:
        The exit status: 0 for success, 2 for what the user can mend, 130 if interrupted.

    Example:
        >>> main(["--version"])
        genrev 0.1.0
        0
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        with _any_terminal():
            if argv == ["--version"]:
                print(f"genrev {__version__}")
                return 0
            command = _parse(argv)
            if command is not None:
                command.run()
    except GenrevError as error:
        print(f"genrev: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


@contextlib.contextmanager
def _any_terminal() -> Iterator[None]:
    """Have a sign that the terminal can't show, such as a bullet of tyro's, come out as a question mark."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper) or stream.encoding.lower() == "utf-8":
        yield
        return
    errors = stream.errors
    stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        stream.reconfigure(errors=errors)


def _parse(argv: list[str]) -> Demo | Compare | None:
    """Return the command that is asked for, with its options; None where help was asked for, and given."""
    import tyro

    _check_names(argv)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.extras.subcommand_cli_from_dict(
                COMMANDS, prog="genrev", description=f"{_ABOUT} Version {__version__}.", args=argv
            )
    except SystemExit as stop:
        if not stop.code:
            return None
        reason = _sentence(said.getvalue())
        raise ArgumentError(
            f"expected options with a value each, got '{reason}'; see genrev {argv[0]} --help"
        ) from None


def _check_names(argv: list[str]) -> None:
    """Refuse a command or an option that there is none of, with the nearest that there is."""
    if any(argument in _HELP for argument in argv):
        return
    name = argv[0] if argv else ""
    if name not in COMMANDS:
        got = f"got {name!r}{nearest(name, COMMANDS)}" if argv else "got none; see genrev --help"
        raise ArgumentError(f"expected a command ({', '.join(COMMANDS)}), {got}")
    options = [f"--{option}" for option in inspect.signature(COMMANDS[name]).parameters]
    for argument in argv[1:]:
        option = argument.partition("=")[0]
        if option.startswith("--") and option not in options:
            raise ArgumentError(
                f"expected an option of {name} ({', '.join(options)}), got {option!r}{nearest(option, options)}"
            )


def _sentence(box: str) -> str:
    """Return what an error box of tyro says, without its frame and what stands below its first line."""
    # The frame is of ASCII where the terminal can't show another.
    lines = [line.strip("│| ") for line in box.splitlines()[1:]]
    words = (line for line in lines if any(letter.isalpha() for letter in line))
    return next(words, "something else").rstrip(".")
