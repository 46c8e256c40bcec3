"""The file that --log names: all that a command says, with the time, and how it ended."""

from __future__ import annotations

import io
import logging
import re
import sys
import time
from pathlib import Path

from rich.console import Console

from microrun.runtime.errors import OutputError, RefusedOutputError

WIDTH = 140
FORM = "%(asctime)s %(levelname)-7s %(message)s"
BEGINS = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")  # a line of a log
SECRET = re.compile(r"(token[= ])\S+")  # of an address, or of an option


class LogFile:
    """A log that goes on at the end of a file; what other libraries log is in it, too.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    OutputError
        If it cannot be written, or is a file of something else.
    """

    def __init__(self, path: Path) -> None:
        _check_is_log(path)
        try:
            self._handler = logging.FileHandler(path, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: the log cannot be written ({error.strerror or error})") from None
        self._handler.setFormatter(logging.Formatter(FORM, "%Y-%m-%d %H:%M:%S"))
        root = logging.getLogger()
        if not root.handlers and logging.lastResort:  # what is printed without a log is printed beside one, too
            root.addHandler(logging.lastResort)
        root.addHandler(self._handler)
        self._logger = logging.Logger("microrun")
        self._logger.addHandler(self._handler)
        self._started = time.monotonic()
        self.note(logging.INFO, " ".join(["microrun", *sys.argv[1:]]))

    def note(self, level: int, *objects: object, **options: object) -> None:
        """Write what is printed, as lines.

        Parameters
        ----------
        level
            Of `logging`.
        *objects
            Texts and tables.
        **options
            As rich prints them with.
        """
        text = io.StringIO()
        console = Console(file=text, width=WIDTH, highlight=False, soft_wrap=True, markup=False)
        console.print(*objects, **options)  # type: ignore[arg-type]
        for line in text.getvalue().splitlines():
            if line.strip():
                self._logger.log(level, SECRET.sub(r"\1…", line.rstrip()))

    def note_error(self, error: BaseException) -> None:
        """Write where an error came from.

        Parameters
        ----------
        error
            It, with its traceback.
        """
        self._logger.debug("", exc_info=error)

    def close(self, code: int) -> None:
        """Write how the command ended.

        Parameters
        ----------
        code
            Its exit code.
        """
        self.note(logging.INFO, f"exit code {code} after {time.monotonic() - self._started:.1f} s")
        root = logging.getLogger()
        root.removeHandler(self._handler)
        if logging.lastResort:
            root.removeHandler(logging.lastResort)
        self._handler.close()


def _check_is_log(path: Path) -> None:
    """Refuse to go on at the end of a scan, a model, or whatever else is no log."""
    try:
        with path.open("rb") as file:
            first = file.read(20)
    except OSError:  # there is none yet; why it cannot be written is said where it is opened
        return
    if first and not BEGINS.match(first):
        raise RefusedOutputError(f"{path}: is not a log of microrun; give another name to --log")
