"""What a latents file says of the run that writes it, as pages are told it: its state, what was measured, alarms."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.latents.watched import FAILED, MEASURED, STOPPED, WRITING, Alarm, RunStatus
from microrun.runtime.view.growing_map import GrowingMap

LATE_S = 10.0  # after which a writer of another machine is gone, if it says nothing
DIGITS = 4
ENDS = {STOPPED: "stopped", FAILED: "failed"}


class RunWatch:
    """Follow status, monitor and alarms of a latents file, which those of older versions lack.

    Parameters
    ----------
    points
        The map of the file.

    Attributes
    ----------
    status : RunStatus or None
        Where the run stands; None where the file does not say.
    alarms : list of dict
        All so far, with the rows of the map at which they began and ended, as pages take them.
    changed : int
        Counts changes of what was measured, and of alarms.
    """

    def __init__(self, points: GrowingMap) -> None:
        self._points = points
        self.status: RunStatus | None = None
        self.alarms: list[dict[str, Any]] = []
        self.changed = 0
        self._rows: list[list[float | None]] = []
        self._beat, self._beat_at, self._beats = 0.0, 0.0, 0
        self.look()

    def look(self) -> None:
        """Read what is new."""
        status = self._points.ask(lambda latents: latents.status)
        if status is None:
            return
        before, self.status = self.status, status
        self._note_heartbeat(status)
        if before is None or (before.blocks, before.alarms, before.state) != (
            status.blocks, status.alarms, status.state,
        ):  # fmt: skip
            self._read(*self._points.ask(lambda latents: (latents.monitor, latents.alarms)))

    def is_alive(self) -> bool:
        """Whether the writer has said that it goes on, since this is looked at and within the last ten seconds."""
        return self._beats > 1 and time.monotonic() - self._beat_at < LATE_S

    @property
    def ended(self) -> str:
        """How a run ended before its time, by its own words; empty where it did not, or does not say."""
        return ENDS.get(self.status.state, "") if self.status else ""

    def tell(self, first: int) -> dict[str, Any]:
        """Blocks from a number on, and all alarms.

        Parameters
        ----------
        first
            How many blocks the page has.
        """
        baseline = self.status.baseline if self.status else 0
        return {
            "names": list(MEASURED),
            "from": first,
            "blocks": self._rows[first:],
            "alarms": self.alarms,
            "learned": self._row_of(baseline) if baseline else None,
        }

    def _note_heartbeat(self, status: RunStatus) -> None:
        """Count what it says; its clock is not asked, which may be that of another machine."""
        if status.state != WRITING:
            self._beats = 0
        elif status.heartbeat != self._beat:
            self._beat, self._beat_at = status.heartbeat, time.monotonic()
            self._beats += 1

    def _read(self, monitor: NDArray[Any] | None, alarms: tuple[Alarm, ...] | None) -> None:
        if monitor is not None:
            self._rows += [self._to_page(row) for row in monitor[len(self._rows) :]]
        self.alarms = [self._describe(alarm) for alarm in alarms or ()]
        self.changed += 1

    def _to_page(self, row: np.void) -> list[float | None]:
        """Where on the map it begins, in rows and parts of one, and all that was measured; None for what was not."""
        rows, cols = self._points.scan.locate(np.array([row["first"]]))
        begins = int(rows[0]) + int(cols[0]) / self._points.shape[1]
        return [begins, *(_short(row[name]) for name in MEASURED)]

    def _describe(self, alarm: Alarm) -> dict[str, Any]:
        end = None if alarm.end is None else self._row_of(alarm.end)
        about = {"what": alarm.what, "text": alarm.text, "change": _short(alarm.change)}
        return {**about, "row": self._row_of(alarm.start), "end": end}

    def _row_of(self, number: int) -> int:
        last = self._points.scan.total - 1
        rows, _ = self._points.scan.locate(np.array([min(max(0, number), last)]))
        return int(rows[0])


def _short(value: float) -> float | None:
    return round(float(value), DIGITS) if np.isfinite(value) else None
