"""What all commands that write say and ask alike: --overwrite, what was written, and what to type next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import console
from microrun.runtime.files.quoting import quoted

OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace what is there; without it that is kept.")]
CmapOption = Annotated[
    str | None,
    typer.Option(
        help="Colours of values, by matplotlib's name, such as viridis, gray or RdBu_r. Those with a middle, such as "
        "RdBu_r, have 0 there where values have both signs."
    ),
]
RecolourOption = Annotated[
    bool, typer.Option("--recolour", help="Components of this scan, also where the model states some for all.")
]


def command_line(*words: object) -> str:
    """Write a command of microrun as it is typed.

    Parameters
    ----------
    words
        The command, its arguments and options, each as it is.
    """
    return " ".join(["microrun", *map(quoted, words)])


def say_wrote(*paths: Path, note: str = "") -> None:
    """Print which files were written, each on a line of its own, with its size.

    Parameters
    ----------
    paths
        Files.
    note
        What stands behind the first.
    """
    for path in paths:
        console.out.print(f"wrote    {quoted(path)} ({console.size_text(path.stat().st_size)}){note}")
        note = ""


def say_next(*words: object) -> None:
    """Print the command that is usually typed next, as the last line.

    Parameters
    ----------
    words
        As `command_line` takes them.
    """
    console.out.print(f"next     {command_line(*words)}")
