"""The command line: one file a command, each gathers and then renders; torch is imported inside."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence

from genrev import __version__
from genrev.cli.compare import Compare
from genrev.cli.completion import Completion
from genrev.cli.demo import Demo
from genrev.cli.help import INTRODUCTION, Page, introduction, named_methods, overview
from genrev.cli.import_weights import ImportWeights
from genrev.cli.inspect import Inspect
from genrev.cli.invert import Invert
from genrev.cli.options import Command, Shown, expect_apart, options_of, repeated_options, shown_last
from genrev.cli.refusals import refusal
from genrev.cli.report import Report
from genrev.cli.train_classifier import TrainClassifier
from genrev.cli.train_inverter import TrainInverter
from genrev.errors import ArgumentError, GenrevError, nearest

COMMANDS: dict[str, type[Command]] = {
    "demo": Demo,
    "train classifier": TrainClassifier,
    "train": TrainInverter,
    "import": ImportWeights,
    "invert": Invert,
    "compare": Compare,
    "report": Report,
    "inspect": Inspect,
    "completion": Completion,
}
"""Every command by name. Adding one means its file and its line here."""

for _command in COMMANDS.values():
    shown_last(_command)

_HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments, without the program's name; those of the process if not given.

    Returns:
        The exit status: 0 for success, 2 for what the user can mend, 130 if interrupted, 141 if nobody reads on.

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
                expect_apart(command)
                with command.shown() if isinstance(command, Shown) else contextlib.nullcontext():
                    command.run()
            if sys.stdout is not None:
                sys.stdout.flush()
    except GenrevError as error:
        print(f"genrev: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        # PyTorch has no error of its own for it on the CPU.
        if not isinstance(error, MemoryError) and "can't allocate memory" not in str(error):
            raise
        print(
            "genrev: expected work that fits the memory of this machine, got more; take smaller widths, fewer samples "
            "or fewer targets",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _close_output()
        return 141
    except OSError as error:
        _close_output()
        reason = error.strerror or type(error).__name__
        print(
            f"genrev: expected to write the results, got '{reason}'; make room, or send them elsewhere", file=sys.stderr
        )
        return 2
    return 0


def _close_output() -> None:
    """Have what is still to be printed go nowhere: the interpreter would try once more as it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _any_terminal() -> Iterator[None]:
    """Have a sign that the terminal can't show, such as a bullet of tyro's, come out as a question mark."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):
        yield
        return
    errors = stream.errors
    stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        stream.reconfigure(errors=errors)


def _parse(argv: list[str]) -> Command | None:
    """Return the command that is asked for, with its options; None where help was asked for, and given."""
    name = _name(argv)
    if not name:
        print(overview(COMMANDS))
        return None
    import tyro

    rest = argv[len(name.split()) :]
    _check_options(name, rest)
    methods = named_methods(name, rest) if any(word in _HELP for word in rest) else []
    said, page = io.StringIO(), Page(sys.stdout)
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(page):
            return tyro.cli(
                COMMANDS[name],
                prog=f"genrev {name} {methods[0]}" if methods and name == "train" else f"genrev {name}",
                description=INTRODUCTION,
                args=rest,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if not stop.code:
            print(page.text(introduction(COMMANDS[name], methods, alone=name == "train")), end="")
            return None
        raise ArgumentError(refusal(name, COMMANDS[name], rest, said.getvalue())) from None


def _name(argv: list[str]) -> str:
    """Return the name of the command, of two words where there is such a one; empty where only help is asked for."""
    if argv and argv[0] in _HELP:
        return ""
    for words in (2, 1):
        if " ".join(argv[:words]) in COMMANDS:
            if words == 1:
                _check_second(argv[:2])
            return " ".join(argv[:words])
    name = argv[0] if argv else ""
    got = repr(name) if argv else "none"
    raise ArgumentError(
        f"expected a command ({', '.join(COMMANDS)}), got {got}{nearest(name, COMMANDS) or '; see genrev --help'}"
    )


def _check_second(words: list[str]) -> None:
    """Refuse a second word of a command that is nearly one of its own, as clasifier of train."""
    below = [name.split()[1] for name in COMMANDS if name.startswith(f"{words[0]} ")]
    hint = nearest(words[1], below) if len(words) > 1 else ""
    if hint:
        raise ArgumentError(f"expected {words[0]} {' or '.join([*below, 'METHOD'])}, got {words[1]!r}{hint}")


def _check_options(name: str, words: list[str]) -> None:
    """Refuse an option that a command has not, with the nearest that it has, and one that comes twice."""
    if any(word in _HELP for word in words):
        return
    options, repeated = list(options_of(COMMANDS[name])), repeated_options(COMMANDS[name])
    seen = set()
    for word in words:
        option = word.partition("=")[0]
        if not option.startswith("--"):
            continue
        if option not in options:
            raise ArgumentError(
                f"expected an option of {name} ({', '.join(options)}), got {option!r}"
                + (nearest(option, options) or f"; see genrev {name} --help")
            )
        if option in seen and option not in repeated:
            raise ArgumentError(f"expected {option} once, got it twice; leave one out{_gathered(name, option)}")
        seen.add(option)


def _gathered(name: str, option: str) -> str:
    """Say that an option takes several values at once, where it does."""
    several = options_of(COMMANDS[name])[option].default == ()
    return f", or write all its values behind one {option}" if several else ""
