"""How far a step is, said now and then in plain lines: for job files, pipes and logs, where no bar can move."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FIRST_S = 2.0  # what takes less is not worth a word
EVERY_S = 30.0


class PlainProgress:
    """Says what is being done, how far it is and how long it may take: after two seconds, then every half minute.

    The lines come from a thread of their own, so that also a step says something that reports nothing for minutes.

    Parameters
    ----------
    title
        What is being done.
    unit
        What is counted.
    say
        Takes a line.
    """

    def __init__(self, title: str, unit: str, say: Callable[[str], None]) -> None:
        self.title, self.unit, self._say = title, unit, say
        self._done, self._total, self._note = 0, 0, ""
        self._started = self._since = time.monotonic()
        self._first = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="progress")

    def __enter__(self) -> PlainProgress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def update(self, done: int, total: int, note: str = "") -> None:
        """Take what is done of how much; what begins anew is timed anew.

        Parameters
        ----------
        done, total
            Pieces of work.
        note
            What stands behind them.
        """
        begins = self._done == 0 < done  # what came before the first piece was rather a start than work
        if begins or done < self._done or total != self._total:
            self._since, self._first = time.monotonic(), done
        self._done, self._total, self._note = done, total, note

    def line(self) -> str:
        """What there is to say now."""
        now = time.monotonic()
        parts = [f"{self._done:,} of {self._total:,} {self.unit}"] if self._total else []
        parts += [self._note] if self._note else []
        if self._total and self._done >= self._total:  # what is left is not counted, such as closing a file
            parts.append(f"finishing, {duration_text(now - self._started)} so far")
        elif self._done > self._first:
            left = (now - self._since) * (self._total - self._done) / (self._done - self._first)
            parts.append(f"about {duration_text(left)} left")
        else:
            parts.append(f"{duration_text(now - self._started)} so far")
        return f"{self.title}: {', '.join(parts)}"

    def summary(self) -> str:
        """What there is to say at the end."""
        counted = f"{self._done:,} {self.unit} in " if self._total else ""
        return f"{self.title}: {counted}{duration_text(time.monotonic() - self._started)}"

    def _run(self) -> None:
        wait = FIRST_S
        while not self._ended.wait(wait):
            self._say(self.line())
            wait = EVERY_S


def duration_text(seconds: float) -> str:
    """A time for people.

    Parameters
    ----------
    seconds
        How long.
    """
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
