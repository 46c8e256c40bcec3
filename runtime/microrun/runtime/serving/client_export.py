"""The client for other languages, as it comes with the package: copied to where a program is built."""

from __future__ import annotations

from pathlib import Path

from microrun.runtime.files.destination import check_folder, made_folder
from microrun.runtime.files.output import write_whole

FILES = Path(__file__).parent / "client_files"
NAMES = ("microrun_client.h", "microrun_client.c", "example.c", "Example.cs", "example.py")


def export_client(folder: Path, overwrite: bool = False) -> list[Path]:
    """Write header, source and examples.

    Parameters
    ----------
    folder
        Where they go; it is made where there is none.
    overwrite
        Whether files of these names may be replaced.

    Returns
    -------
    list of pathlib.Path
        What was written.

    Raises
    ------
    RefusedOutputError
        If they are there and may not be replaced, or nothing can be written there.
    """
    check_folder(folder, NAMES, overwrite)
    with made_folder(folder):
        for name in NAMES:
            write_whole(folder / name, (FILES / name).read_bytes())
    return [folder / name for name in NAMES]
