"""genrev completion: a script that has a shell complete genrev's commands and options."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

from tyro.conf import FlagCreatePairsOff, OmitSubcommandPrefixes, Positional, arg, subcommand


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Print a script that has a shell complete commands and options: source <(genrev completion bash).

    Args:
        shell: "bash" or "zsh".
    """

    shell: Positional[Annotated[Literal["bash", "zsh"], arg(metavar="SHELL")]]

    def run(self) -> None:
        """Print the script."""
        import tyro

        from genrev.cli import COMMANDS
        from genrev.inverters import INVERTERS

        learners = [name for name, kind in INVERTERS.items() if kind.traits.learns]
        script = io.StringIO()
        with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
            tyro.extras.subcommand_cli_from_dict(
                _tree(COMMANDS, learners),
                prog="genrev",
                args=["--tyro-print-completion", self.shell],
                config=(FlagCreatePairsOff, OmitSubcommandPrefixes),
            )
        print(script.getvalue(), end="")


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
