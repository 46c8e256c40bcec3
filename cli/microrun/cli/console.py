"""What all commands share: consoles, progress bars, tables."""

from __future__ import annotations

import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from microrun.cli.streams import prepare_streams
from microrun.runtime.progress import Job, Result


class Update(Protocol):
    """Moves a progress bar."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show what is done, and a note beside it."""


MOST_CHARACTERS = 1000  # of an error, which may quote a damaged file
WIDE = 140  # columns where there is no terminal
prepare_streams()
# Brackets are parts of names, not of a markup.
out = Console(highlight=False, soft_wrap=True, markup=False, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def error_line(text: object) -> None:
    """Print an error as one line."""
    one_line = textwrap.shorten(str(text), MOST_CHARACTERS, placeholder=" …")
    err.print(Text.assemble(("error:", "bold red"), f" {one_line}"))


def warning_line(text: object) -> None:
    """Print a warning as one line."""
    err.print(Text.assemble(("warning:", "yellow"), f" {text}"))


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
    """Show a bar; yields what moves it."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(title, total=None, note="")

        def update(done: int, total: int, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=note)

        yield update


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
    out.print(table)


def print_rows(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a line of titles; all columns but the first are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    out.print(table)


def size_text(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
