"""What holds for all commands: options that each of them takes, and how their help is laid out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from microrun.cli import console

PANEL = "For every command"


def _be_verbose(context: typer.Context, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        console.be_verbose()


def _be_quiet(context: typer.Context, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        console.be_quiet()


def _keep_log(context: typer.Context, path: Path | None) -> None:
    if path and not context.resilient_parsing:
        console.keep_log(path)


def _print_json(context: typer.Context, asked: bool) -> bool:
    if asked and not context.resilient_parsing:
        console.say_json_only()
    return asked


VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", callback=_be_verbose, expose_value=False, rich_help_panel=PANEL,
        help="Say how long each step takes, and where an error comes from.",
    ),
]  # fmt: skip
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", callback=_be_quiet, expose_value=False, rich_help_panel=PANEL,
        help="Print errors, warnings and tables only: no progress, no remarks.",
    ),
]  # fmt: skip
LogOption = Annotated[
    Path | None,
    typer.Option(
        "--log", callback=_keep_log, expose_value=False, rich_help_panel=PANEL, metavar="FILE",
        help="Append all that is said to this file, with the time; by default nothing is logged.",
    ),
]  # fmt: skip
JsonOption = Annotated[
    bool, typer.Option("--json", callback=_print_json, help="Print JSON, and nothing else, for other programs.")
]


def prepare(command: Any) -> Any:
    """Give a command, or all of a group, the options that every command has, and lay out the help.

    Parameters
    ----------
    command
        As typer has made it.

    Returns
    -------
    Command or group
        The same.
    """
    if isinstance(command, TyperGroup):
        for one in command.commands.values():
            prepare(one)
    else:
        command.params += _shared_options()
    if command.help:
        command.help = "\n\n".join(" ".join(part.split()) for part in command.help.split("\n\n"))
    _say_defaults(command.params)
    hide_types_of_flags(command.get_params(typer.Context(command, help_option_names=["-h", "--help"])))
    return command


def hide_types_of_flags(params: list[Any]) -> list[Any]:
    """Show flags without a type in the help, as nothing stands behind them.

    Parameters
    ----------
    params
        Of a command, as typer has made them.

    Returns
    -------
    list
        The same.
    """
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


def _say_defaults(params: list[Any]) -> None:
    """Say of options that neither have a default nor say one that there is none."""
    for param in params:
        silent = param.default in (None, "") and not isinstance(param.show_default, str)
        if silent and not (param.required or getattr(param, "is_flag", False) or "default" in (param.help or "")):
            param.show_default = "none"


def _shared_options() -> list[Any]:
    carrier = typer.Typer(add_completion=False)

    @carrier.command()
    def carry(verbose: VerboseOption = False, quiet: QuietOption = False, log: LogOption = None) -> None:
        """Carry the options."""

    return list(typer.main.get_command(carrier).params)
