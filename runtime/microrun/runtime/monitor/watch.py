"""Alarms from medians of blocks: each measure against what it was at first, and against what the model knows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.latents.watched import Alarm
from microrun.runtime.monitor.words import ABSOLUTE, describe
from microrun.runtime.scans.part import Part, all_of
from microrun.runtime.scans.scan import Scan

FIRST_PATTERNS, FIRST_ROWS, FIRST_BLOCKS = 2000, 3, 8  # that a scan is compared with: whichever are more
FIRST_SHARE = 0.1  # of the scan, that rows may take of it: there are scans of one row
WEIGHT, RARE_WEIGHT = 0.2, 0.5  # of a block in the moving average; of bands, which few blocks have
ON, OFF = 5.0, 3.0  # standard deviations of the first blocks at which an alarm begins, and ends
LASTS = 2  # blocks for which it must last before it is said
NEAR = 12  # blocks within which two changes have one cause
NORMAL = 1.4826  # of a normal distribution, the standard deviation over the median absolute deviation
LEAST_DEVIATION = 0.2  # of the least change that matters: first blocks that are more alike than this are so by chance
# The least change that matters, in the order in which a change explains those that come with it.
LEAST_CHANGE = {
    "saturated": 0.01,
    "background": 0.02,
    "mean": 0.10,
    "bands": 0.15,
    "sharpness": 0.08,
    "contrast": 0.12,
    "distance": 0.12,
}
EXPLAIN = ("bands", "sharpness")  # whose fall, even a smaller one, says what is behind a change that was seen
UNKNOWN_ON, UNKNOWN_OFF = 0.25, 0.15  # share of patterns beyond what the model knows


@dataclass(frozen=True)
class Usual:
    """What a measure was in the first blocks.

    Parameters
    ----------
    median, deviation
        Of the blocks; the deviation is a standard deviation, robustly.
    """

    median: float
    deviation: float

    @classmethod
    def of(cls, name: str, values: Float64) -> Usual | None:
        """None where too little was measured; and of what is told in shares near 0, such as the contrast of noise."""
        values = values[np.isfinite(values)]
        if len(values) < FIRST_BLOCKS // (4 if name == "bands" else 1):
            return None
        median = float(np.median(values))
        least = LEAST_CHANGE[name] * (1 if name in ABSOLUTE else abs(median))
        deviation = max(NORMAL * float(np.median(np.abs(values - median))), LEAST_DEVIATION * least)
        return cls(median, deviation) if name in ABSOLUTE or median > OFF * deviation else None

    def change(self, name: str, value: float) -> float:
        """As in `Alarm`."""
        return value - self.median if name in ABSOLUTE else value / self.median - 1


class Average:
    """A moving average, and for how many blocks it has been beyond a limit."""

    def __init__(self, value: float, weight: float = WEIGHT) -> None:
        self.value, self._weight, self.beyond, self.since = value, weight, 0, 0

    def add(self, value: float) -> None:
        """Take in a block."""
        self.value += self._weight * (value - self.value)

    def note(self, beyond: bool, first: int) -> None:
        """Count blocks beyond the limit."""
        if beyond and not self.beyond:
            self.since = first
        self.beyond = self.beyond + 1 if beyond else 0


class Watch:
    """Alarms of a scan, from one block to the next.

    Parameters
    ----------
    scan
        Geometry.
    block
        Patterns of a block.
    part
        Of a larger scan, whose rows are said; None if the scan is whole.

    Attributes
    ----------
    alarms : list of Alarm
        All so far; those that last have no end, and may change.
    baseline : int
        Number of the pattern up to which was learned what is usual; 0 while it is.
    """

    def __init__(self, scan: Scan, block: int, part: Part | None = None) -> None:
        self._scan, self._near, self._part = scan, NEAR * block, part or all_of(scan.nav_shape)
        rows = min(FIRST_ROWS * scan.nav_shape[1], FIRST_SHARE * scan.total)
        self._learn = max(FIRST_PATTERNS, rows)
        self._first: list[np.void] = []
        self._usual: dict[str, Usual] = {}
        self._averages: dict[str, Average] = {"unknown": Average(0.0)}
        self._open: dict[str, int] = {}  # number of the alarm that a measure began, or has a part in
        self.alarms: list[Alarm] = []
        self.baseline = 0

    def add(self, row: np.void) -> list[int]:
        """Take in the next block.

        Parameters
        ----------
        row
            Of `MONITOR`.

        Returns
        -------
        list of int
            Numbers of the alarms that began, changed or ended.
        """
        before = list(self.alarms)
        self._watch_unknown(row)
        if self.baseline:
            for name, usual in self._usual.items():
                self._watch(name, usual, row)
        else:
            self._first.append(row)
            if row["first"] + row["count"] >= self._learn and len(self._first) >= FIRST_BLOCKS:
                self._settle(row)
        return [number for number, alarm in enumerate(self.alarms) if [alarm] != before[number : number + 1]]

    def _settle(self, row: np.void) -> None:
        """Learn what is usual from the first blocks."""
        self.baseline = int(row["first"] + row["count"])
        rows = np.array(self._first)
        for name in LEAST_CHANGE:
            usual = Usual.of(name, rows[name].astype(np.float64))
            if usual is not None:
                weight = RARE_WEIGHT if name == "bands" else WEIGHT
                self._usual[name], self._averages[name] = usual, Average(usual.median, weight)

    def _watch(self, name: str, usual: Usual, row: np.void) -> None:
        if not np.isfinite(value := float(row[name])):
            return
        average = self._averages[name]
        average.add(value)
        change = usual.change(name, average.value)
        score, size = abs(average.value - usual.median) / usual.deviation, abs(change) / LEAST_CHANGE[name]
        first = int(row["first"])
        since = average.since if average.beyond else first
        explains = name in EXPLAIN and change < 0 and self._companion(since) is not None
        low = name in self._open or explains
        average.note(min(score / (OFF if low else ON), size / (OFF / ON if low else 1)) >= 1, first)
        self._follow(name, change, average, row)

    def _watch_unknown(self, row: np.void) -> None:
        """Whether the model knows such patterns, whatever the first ones were."""
        if not np.isfinite(value := float(row["unknown"])):
            return
        average = self._averages["unknown"]
        average.add(value)
        limit = UNKNOWN_OFF if "unknown" in self._open else UNKNOWN_ON
        average.note(average.value >= limit, int(row["first"]))
        self._follow("unknown", average.value, average, row)

    def _follow(self, name: str, change: float, average: Average, row: np.void) -> None:
        """Begin, change or end the alarm of a measure."""
        number = self._open.get(name)
        if number is None:
            if average.beyond >= LASTS:
                self._begin(name, change, average)
        elif not average.beyond:
            del self._open[name]
            self._release(name, number, row)
        elif self.alarms[number].what == name:
            self.alarms[number] = self._make(name, change, average, self.alarms[number].start)

    def _release(self, name: str, number: int, row: np.void) -> None:
        """End the alarm that a measure had a part in, unless others have; then it is not named after this one."""
        alarm, left = self.alarms[number], [other for other, place in self._open.items() if place == number]
        if not left:
            self.alarms[number] = replace(alarm, end=int(row["first"]))
        elif alarm.what == name:
            best = min(left, key=_rank)
            average, usual = self._averages[best], self._usual.get(best)
            change = usual.change(best, average.value) if usual else average.value
            self.alarms[number] = self._make(best, change, average, alarm.start)

    def _begin(self, name: str, change: float, average: Average) -> None:
        """Begin an alarm, unless another one explains the change, or this change another one."""
        place = self._companion(average.since)
        if place is None:
            self._open[name] = len(self.alarms)
            self.alarms.append(self._make(name, change, average, average.since))
            return
        self._open[name] = place
        if _rank(name) < _rank(self.alarms[place].what):
            self.alarms[place] = self._make(name, change, average, self.alarms[place].start)

    def _companion(self, since: int) -> int | None:
        """Number of an alarm that lasts, and began not long before."""
        near = (place for place in set(self._open.values()) if since - self.alarms[place].start <= self._near)
        return max(near, default=None)

    def _make(self, name: str, change: float, average: Average, start: int) -> Alarm:
        row = self._part.rows[0] + self._part.every * int(self._scan.locate(np.array([start]))[0][0])
        return Alarm(start, None, name, round(change, 4), describe(name, change, average.value, row))


def _rank(name: str) -> int:
    """Place in the order of explanations; what the model knows comes last."""
    order = [*LEAST_CHANGE, "unknown"]
    return order.index(name)
