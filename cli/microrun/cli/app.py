"""The commands of `microrun`, and what becomes of their errors."""

from __future__ import annotations

import sys

import typer

from microrun.cli import console
from microrun.cli.commands import LazyGroup
from microrun.cli.everywhere import LogOption, QuietOption, VerboseOption
from microrun.cli.memory import check_limit, describe_shortage, lacks_memory
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.asked import answers_hold
from microrun.runtime.files.extras import say_missing

# The base of typer's usage errors; newer versions of typer carry a click of their own.
CLICK_ERROR: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From EBSD pattern scans to latent maps of the microstructure.",
    epilog="The Tab key completes commands and options once you have run: microrun --install-completion",
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        console.out.print(f"microrun {version('microrun')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log: LogOption = None,
) -> None:
    console.show_warnings_as_lines()
    check_limit()


def run() -> None:
    """Run the command line: bad input is one line and exit code 2, never a traceback."""
    code = 1
    console.talk_as_usual()
    try:
        code = _run()
    finally:
        console.end(code)
    sys.exit(code)


def _run() -> int:
    """Run a command, and return its exit code; an error that is ours is raised."""
    try:
        with answers_hold():
            return int(app(standalone_mode=False) or 0)
    except CLICK_ERROR as error:
        _report_usage(error)
        return 2
    except typer.Abort:
        console.error_line("interrupted")
        return 130
    except Exception as error:
        code = _report(error)
        console.say_origin(error)
        if code is None:
            raise
        return code


def _report(error: Exception) -> int | None:
    """Print an error that is the user's to mend, and return the exit code; None for one that is ours."""
    if lacks_memory(error):
        console.error_line(describe_shortage(error))
        return 1
    if isinstance(error, MicrorunError):
        console.error_line(error)
        return error.exit_code
    if isinstance(error, OSError):
        console.error_line(f"{error.filename or 'file'}: {error.strerror or error}")
        return 1
    if isinstance(error, ModuleNotFoundError):
        console.error_line(say_missing(error.name))
        return 2
    if isinstance(error, ImportError):
        console.error_line(f"{error.name or 'a library'} is installed but broken ({error}); see microrun doctor")
        return 2
    return None


def _report_usage(error: Exception) -> None:
    text = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    if text:  # empty where typer has printed the help instead
        console.error_line(f"{text} See {context.command_path if context else 'microrun'} --help.")
