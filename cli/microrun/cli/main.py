"""The `microrun` command."""

from __future__ import annotations

import contextlib
import os
import sys

from microrun.cli.interrupts import CODE, heeded


def main() -> None:
    """Run the command line; Ctrl-C is one line, also while its parts are still being imported."""
    with heeded():
        try:
            from microrun.cli.app import run

            run()
        except KeyboardInterrupt:
            print("error: interrupted", file=sys.stderr)
            sys.exit(CODE)
        except MemoryError:  # before there is anything that could say more
            print("error: not enough memory", file=sys.stderr)
            sys.exit(1)


def command() -> None:
    """Do the same as a process of its own, which ends at once after an interruption.

    What is kept is written by then. Python's own end would let libraries go whose threads are still at work: they abort
    the process, or never come back.
    """
    try:
        main()
    except SystemExit as ended:
        if ended.code == CODE:
            _leave()
        raise


def _leave() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a pipe that nobody reads any more
            stream.flush()
    processes = sys.modules.get("multiprocessing.process")
    for child in processes.active_children() if processes else ():
        child.kill()
    os._exit(CODE)


if __name__ == "__main__":
    command()
