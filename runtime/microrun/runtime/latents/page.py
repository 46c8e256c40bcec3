"""The page of a latents file in the browser, started as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from html import escape
from pathlib import Path

from microrun.runtime.errors import LatentsError, first_line

HEIGHT_PX = 640


@dataclass(frozen=True)
class Page:
    """A page that can be opened; in a notebook it shows itself.

    Parameters
    ----------
    address
        For a browser on this machine.
    """

    address: str

    def __str__(self) -> str:
        return self.address

    def _repr_html_(self) -> str:
        return f'<iframe src="{escape(self.address)}" width="100%" height="{HEIGHT_PX}" style="border: 0"></iframe>'


_processes: list[subprocess.Popen[str]] = []  # whose ends of pipes would close if they were forgotten


class Viewed:
    """Base of what has a latents file that can be looked at."""

    path: Path

    def view(self) -> Page:
        """Show the file in the browser, live while it grows: the page of `microrun view`.

        Returns
        -------
        Page
            A notebook shows it in place; elsewhere, open its ``address``. It is served on this machine alone, by a
            process that ends a minute after the page was closed and the run, and what called this, have ended.

        Raises
        ------
        LatentsError
            If it cannot be served, such as without the packages of the extra ``view``.
        """
        return open_page(self.path)


def open_page(latents: Path, scan: Path | None = None, scan_name: str | None = None) -> Page:
    """Start the process that serves the page.

    Parameters
    ----------
    latents
        A latents file that is there, or will be.
    scan
        Its scan; None for the one beside it.
    scan_name
        Which scan of an HDF5 file that holds several.

    Raises
    ------
    LatentsError
        If it cannot be served.
    """
    words = [sys.executable, "-P", "-m", "microrun.runtime.view", str(latents.absolute())]
    words += ["" if scan is None else str(scan.absolute()), scan_name or ""]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,  # Ctrl-C of a run is not meant for the page
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    address = process.stdout.readline().strip()
    if not address:
        _, error = process.communicate()
        raise LatentsError(first_line(error) if error else f"{latents}: its page ended before it began")
    _processes.append(process)
    threading.Thread(target=_drain, args=(process.stderr.fileno(),), daemon=True).start()
    return Page(address)


def _drain(pipe: int) -> None:
    """Read what a page says to nobody: a pipe that is full would hold it up."""
    while os.read(pipe, 1 << 16):
        pass
