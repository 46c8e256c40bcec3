"""The file that --log names: all that a command says, with the time, and how it ended."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
import time
from pathlib import Path

from rich.console import Console

from microrun.runtime.errors import RefusedOutputError

WIDTH = 140
FORM = "%(asctime)s %(levelname)-7s %(message)s"
BEGINS = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")  # a line of a log
SECRET = re.compile(r"(token[= ])\S+")  # of an address, or of an option


class Handler(logging.FileHandler):
    """Appends to a file; what cannot be written is said once, and no more.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.problem: OSError | None = None
        super().__init__(path, encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, as long as lines can be written."""
        if self.problem is None:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging calls it so
        """Take down why a line was not written."""
        problem = sys.exc_info()[1]
        if not isinstance(problem, OSError):
            super().handleError(record)
        else:
            self.problem = problem

    def close(self) -> None:
        """Close the file; what of it is still in memory cannot be written, either, where a line could not."""
        with contextlib.suppress(OSError):
            super().close()


class LogFile:
    """A log that goes on at the end of a file; what other libraries log is in it, too.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    RefusedOutputError
        If it cannot be written, or is something else than a log.
    """

    def __init__(self, path: Path) -> None:
        _check_is_log(path)
        try:
            self._handler = Handler(path)
        except OSError as error:
            raise _refused(path, error) from None
        self._path = path
        self._handler.setFormatter(logging.Formatter(FORM, "%Y-%m-%d %H:%M:%S"))
        self._logger = logging.Logger("microrun")
        self._logger.addHandler(self._handler)
        self._started = time.monotonic()
        self.note(logging.INFO, " ".join(["microrun", *sys.argv[1:]]))
        if self._handler.problem:
            self._handler.close()
            raise _refused(path, self._handler.problem)
        root = logging.getLogger()
        if not root.handlers and logging.lastResort:  # what is printed without a log is printed beside one, too
            root.addHandler(logging.lastResort)
        root.addHandler(self._handler)

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
        """Write how the command ended; say if the log is not whole.

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
        if self._handler.problem:
            reason = self._handler.problem.strerror
            print(f"warning: {self._path}: the log is not whole, it could not be written ({reason})", file=sys.stderr)


def _refused(path: Path, error: OSError) -> RefusedOutputError:
    reason = error.strerror or error
    return RefusedOutputError(f"{path}: the log cannot be written ({reason}); name a file elsewhere as --log")


def _check_is_log(path: Path) -> None:
    """Refuse to go on at the end of a scan, a model, or whatever else is no log; opening a pipe would wait for ever."""
    if path.is_fifo() or path.is_socket() or path.is_dir():
        raise RefusedOutputError(f"{path}: is a {'folder' if path.is_dir() else 'pipe'}; name a file as --log")
    try:
        with path.open("rb") as file:
            first = file.read(20)
    except OSError:  # there is none yet; why it cannot be written is said where it is opened
        return
    if first and not BEGINS.match(first):
        raise RefusedOutputError(f"{path}: is not a log of microrun; give another name to --log")
