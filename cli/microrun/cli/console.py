"""What all commands share: consoles, progress bars, tables; and how much of it is said."""

from __future__ import annotations

import json
import logging
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from microrun.cli.log_file import LogFile
from microrun.cli.plain_progress import PlainProgress
from microrun.cli.streams import prepare_streams
from microrun.runtime.progress import Job, Result


class Update(Protocol):
    """Moves a progress bar."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show what is done, and a note beside it."""


Rename = Callable[[str], None]  # changes the title of a step


class Spoken(Console):
    """A console whose lines also go into the log, if one is kept."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does."""
        super().print(*objects, **options)
        _log(logging.INFO, *objects, **options)


class Count(ProgressColumn):
    """How much is done; nothing as long as nobody knows of how much."""

    def render(self, task: Task) -> Text:
        """Draw it."""
        return Text(f"{task.completed:,.0f}/{task.total:,.0f} {task.fields['unit']}" if task.total else "")


class Left(TimeRemainingColumn):
    """How long it will take; nothing as long as that cannot be told."""

    def render(self, task: Task) -> Text:
        """Draw it."""
        return Text() if task.time_remaining is None else Text.assemble(super().render(task), " left")


MOST_CHARACTERS = 1000  # of an error, which may quote a damaged file
WIDE = 140  # columns where there is no terminal
prepare_streams()
_WIDTH = None if sys.stdout.isatty() else WIDE
# Brackets are parts of names, not of a markup.
out = Spoken(highlight=False, soft_wrap=True, markup=False, width=_WIDTH)
results = Spoken(highlight=False, soft_wrap=True, markup=False, width=_WIDTH)  # what was asked for: -q leaves it
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
_verbose = _quiet = False
_kept: LogFile | None = None


def be_verbose() -> None:
    """Say how long each step takes, and where an error comes from."""
    global _verbose
    _verbose = True


def be_quiet() -> None:
    """Say nothing but errors, warnings and results."""
    global _quiet
    _quiet = out.quiet = True


def be_silent() -> None:
    """Say nothing at all, as one of many processes that do the same."""
    be_quiet()
    results.quiet = err.quiet = True


def say_json_only() -> None:
    """Leave standard output to `print_json`."""
    out.quiet = results.quiet = True


def keep_log(path: Path) -> None:
    """Write all that is said into a file, too.

    Parameters
    ----------
    path
        The file; what is in it stays.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    global _kept
    _kept = LogFile(path)


def talk_as_usual() -> None:
    """Say what a command says that is asked for nothing else."""
    global _verbose, _quiet
    _verbose = _quiet = out.quiet = results.quiet = err.quiet = False


def end(code: int) -> None:
    """Close the log, if one is kept.

    Parameters
    ----------
    code
        The command's exit code.
    """
    global _kept
    kept, _kept = _kept, None
    if kept:
        kept.close(code)


def say_origin(error: BaseException) -> None:
    """Say where an error comes from: on standard error if that is asked for, and in the log.

    Parameters
    ----------
    error
        It, with its traceback.
    """
    if _verbose:
        err.print("".join(traceback.format_exception(error)).rstrip())
    if _kept:
        _kept.note_error(error)


def error_line(text: object) -> None:
    """Print an error as one line."""
    one_line = textwrap.shorten(str(text), MOST_CHARACTERS, placeholder=" …")
    err.print(Text.assemble(("error:", "bold red"), f" {one_line}"))
    _log(logging.ERROR, one_line)


def warning_line(text: object, kind: str = "warning") -> None:
    """Print a warning as one line."""
    err.print(Text.assemble((f"{kind}:", "yellow"), f" {text}"))
    _log(logging.WARNING, str(text))


def show_warnings_as_lines() -> None:
    """Make Python's warnings one line each, without source code."""

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        warning_line(message)

    warnings.showwarning = show


@contextmanager
def progress_bar(title: str, unit: str = "patterns") -> Iterator[Update]:
    """Show how far something is: by a bar on a terminal, else by a line every half minute; yields what moves it."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        Count(Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        Left(),
    )
    with _said(title, unit) as plain, _shown(columns) as progress:
        task = progress.add_task(title, total=None, note="", unit=unit)

        def update(done: int, total: int, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=note)
            plain.update(done, total, note)

        yield update


@contextmanager
def step(title: str) -> Iterator[Rename]:
    """Show that something goes on whose end nobody knows, and for how long it has; yields what changes the title."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with _said(title, "") as plain, _shown(columns) as progress:
        task = progress.add_task(title, total=None)

        def rename(now: str) -> None:
            progress.update(task, description=now)
            plain.title = now

        yield rename


@contextmanager
def _said(title: str, unit: str) -> Iterator[PlainProgress]:
    """Lines where no bar is shown, and in the log."""

    def say(line: str) -> None:
        if not (err.is_terminal or _quiet):
            err.print(line)
        _log(logging.INFO, line)

    with PlainProgress(title, unit, say) as plain:
        yield plain
    if _verbose:
        err.print(plain.summary())
        _log(logging.INFO, plain.summary())


def _shown(columns: Sequence[ProgressColumn]) -> Progress:
    return Progress(*columns, console=err, transient=True, disable=_quiet or not err.is_terminal)


def watch(job: Job[Result], update: Update) -> Result:
    """Run a job to its end, and show how far it is; returns its result. Ctrl-C always reaches the job."""
    try:
        now = next(job)
        while True:
            try:
                update(now.done, now.total, now.phase)
            except KeyboardInterrupt as interrupted:
                now = job.throw(interrupted)
            else:
                now = next(job)
    except StopIteration as end:
        result: Result = end.value
        return result


def print_table(title: str, rows: Mapping[str, object]) -> None:
    """Print names and values."""
    table = Table(title=title, show_header=False, box=None, title_justify="left", title_style="bold", padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, str(value))
    results.print(table)


def print_rows(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a line of titles; all columns but the first are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    results.print(table)


def size_text(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def print_json(data: object) -> None:
    """Print data as JSON; in plain ASCII, which every terminal and pipe takes as it is."""
    text = json.dumps(data, indent=1, allow_nan=False)
    print(text)
    _log(logging.INFO, text)


def _log(level: int, *objects: object, **options: object) -> None:
    if _kept:
        _kept.note(level, *objects, **options)
