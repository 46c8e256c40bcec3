"""The command line as users run it: in this process where that does, in one of its own where it must be."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from microrun.cli.main import main

PROGRESS = re.compile(r"(?!error|warning)[^:]+: .* (so far|left)$")


class Ran(NamedTuple):
    """Exit code and what was printed."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Output without its layout."""
        return " ".join(self.out.split())


Microrun = Callable[..., Ran]


def run_here(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ran:
    """Run the command in this process."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        patch.setattr(sys, "argv", ["microrun", *map(str, arguments)])
        before = signal.getsignal(signal.SIGINT)
        try:
            main()
            code: object = 0
        except SystemExit as stopped:
            code = stopped.code or 0
        finally:
            signal.signal(signal.SIGINT, before)
    captured = capsys.readouterr()
    assert isinstance(code, int)
    return Ran(code, captured.out, captured.err)


def start(*arguments: object, setup: str = "pass", folder: Path | None = None) -> subprocess.Popen[str]:
    """Start the command in a process of its own, after a line of Python; Ctrl-C reaches it as in a terminal."""
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # shells' background jobs do not
    script = f"{heed}\n{setup}\nfrom microrun.cli.main import command\ncommand()"
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], timeout_s: float = 120) -> Ran:
    """Wait for the end of a process."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"hangs; it said {out!r} and {err!r}")
    said = [line for line in err.splitlines(keepends=True) if not PROGRESS.match(line)]  # more of it where it is busy
    return Ran(process.returncode, out, "".join(said))


def check_refused(ran: Ran, *said: object, code: int = 2) -> None:
    """One line that starts with "error:", the exit code, no traceback."""
    assert ran.code == code, ran
    lines = ran.err.splitlines()
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("error: ")
    for part in said:
        assert str(part) in lines[0]


def hide_library(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Make Python find a library no more, as where it is not installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)  # type: ignore[arg-type]
