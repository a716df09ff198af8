"""genrev completion: a script that has a shell complete genrev's commands and options."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, Literal, Union

from tyro.conf import FlagCreatePairsOff, OmitSubcommandPrefixes, Positional, subcommand

from genrev.cli.options import typed_as
from genrev.errors import ArgumentError

_SHELLS = ("bash", "zsh")


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Print a script that has a shell complete commands, options and methods: source <(genrev completion bash).

    Args:
        shell: "bash" or "zsh".
    """

    shell: Positional[Annotated[str, typed_as("SHELL")]]

    def run(self) -> None:
        """Print the script.

        Raises:
            ArgumentError: there is none for such a shell.
        """
        if self.shell not in _SHELLS:
            raise ArgumentError(
                f"expected a shell of {' or '.join(_SHELLS)}, got {self.shell!r}; work in one of them, or look options "
                "up with genrev COMMAND --help"
            )
        import tyro

        from genrev.cli import COMMANDS
        from genrev.inverters import INVERTERS

        learners = [name for name, kind in INVERTERS.items() if kind.traits.learns]
        # No network that a command reads has a recurrent layer.
        known = {name: kind.traits for name, kind in INVERTERS.items() if not kind.traits.recurrent}
        methods = (*known, *(f"{name}+newton" for name, traits in known.items() if not traits.uses_start))
        commands = {**COMMANDS, "invert": _offering(COMMANDS["invert"], "method", methods)}
        commands["compare"] = _offering(COMMANDS["compare"], "methods", methods)
        script = io.StringIO()
        with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
            tyro.extras.subcommand_cli_from_dict(
                _tree(commands, learners),
                prog="genrev",
                args=["--tyro-print-completion", self.shell],
                config=(FlagCreatePairsOff, OmitSubcommandPrefixes),
            )
        # Where it has nothing to offer, bash offers files: for what stands without an option.
        print(script.getvalue().replace("complete -F ", "complete -o default -F "), end="")


def _offering(command: type[Any], option: str, words: Sequence[str]) -> type[Any]:
    """Return a command of which one option takes some words alone, which the shell then offers."""
    hint: Any = Literal[tuple(words)]
    offered = (option, hint, field(default=words[0], kw_only=True))
    return make_dataclass(
        command.__name__, [offered], bases=(command,), frozen=True, namespace={"__doc__": command.__doc__}
    )


def _tree(commands: Mapping[str, type[Any]], learners: list[str]) -> dict[str, Callable[..., Any]]:
    """Return the commands, those of two words below the first, which takes the name of a method that learns, too."""
    tree: dict[str, Callable[..., Any]] = {name: kind for name, kind in commands.items() if " " not in name}
    for name in {name.split()[0] for name in commands if " " in name}:
        below = {full.split()[1]: kind for full, kind in commands.items() if full.startswith(f"{name} ")}
        below |= dict.fromkeys(learners, commands[name])
        tree[name] = _group(below)
    return tree


def _group(below: Mapping[str, type[Any]]) -> Callable[..., None]:
    def group(what: Any) -> None: ...

    kinds = tuple(Annotated[kind, subcommand(name)] for name, kind in below.items())
    group.__annotations__ = {"what": Union[kinds], "return": None}  # noqa: UP007
    return group
