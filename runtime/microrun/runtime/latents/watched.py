"""What a latents file holds of the run that writes it: medians of blocks of patterns, alarms, and its state.

All of it has its place in the file from the start, since nothing can be added while others read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.runtime.latents.batch import SAMPLED

BLOCK, MOST_BLOCKS = 64, 4096  # patterns of a block, as long as there are no more blocks than this
MEASURED = ("mean", "contrast", "saturated", "sharpness", "background", "distance", "unknown", "bands")
MONITOR = np.dtype([("first", "<i8"), ("count", "<i4"), *((name, "<f4") for name in MEASURED)])
MOST_ALARMS, LONGEST = 64, 160  # further alarms are counted only; bytes of a text
ALARMS = np.dtype([("start", "<i8"), ("end", "<i8"), ("what", "S16"), ("change", "<f4"), ("text", f"S{LONGEST}")])
EMPTY = -1  # start of an alarm that there is none of, and end of one that lasts
NOTHING, WRITING, WHOLE, STOPPED, FAILED = range(5)  # states
_COUNTS = ("done", "there", "total", "dropped", "flagged", "blocks", "alarms", "baseline")
STATUS = np.dtype(
    [("state", "<i4"), ("since", "<f8"), ("heartbeat", "<f8"), ("rate", "<f8"), *((name, "<i8") for name in _COUNTS)]
)
TYPES = {"monitor": MONITOR, "alarms": ALARMS, "status": STATUS}


@dataclass(frozen=True)
class Alarm:
    """Something that changed while a scan was acquired, or that the model does not know.

    Parameters
    ----------
    start
        Number of the pattern since which.
    end
        Number of the pattern at which it was over; None while it lasts.
    what
        Of `MEASURED`.
    change
        Against the first patterns of the scan: a share of their value (−0.18: 18 % less), or for "saturated",
        "background", "bands" and "unknown" the difference.
    text
        For people, with the likely cause.
    """

    start: int
    end: int | None
    what: str
    change: float
    text: str

    def to_row(self) -> tuple[int, int, bytes, float, bytes]:
        """As the file holds it."""
        text = self.text.encode()[:LONGEST].decode(errors="ignore").encode()
        return self.start, EMPTY if self.end is None else self.end, self.what.encode(), self.change, text

    @classmethod
    def from_row(cls, row: np.void) -> Alarm:
        """What `to_row` made."""
        values: Any = row.item()
        start, end, what, change, text = values
        lasts = None if end == EMPTY else end
        return cls(start, lasts, what.decode(errors="replace"), change, text.decode(errors="replace"))


class AlarmNews:
    """Alarms that were not told yet: each comes once, and again where it is named anew."""

    def __init__(self) -> None:
        self._told: dict[int, str] = {}

    def take(self, alarms: Sequence[Alarm]) -> list[Alarm]:
        """Those of all alarms so far that are to be told."""
        news = {number: alarm for number, alarm in enumerate(alarms) if self._told.get(number) != alarm.what}
        self._told.update((number, alarm.what) for number, alarm in news.items())
        return list(news.values())


@dataclass(frozen=True)
class RunStatus:
    """Where the run stands that writes a file.

    Parameters
    ----------
    state
        `NOTHING`, `WRITING`, `WHOLE`, `STOPPED` or `FAILED`. A run that was killed leaves `WRITING`, and an old
        heartbeat.
    since, heartbeat
        When it began, and when it was last known to go on: in s since 1970.
    rate
        Patterns per second.
    done, there, total
        Patterns that are encoded, that the scan has by now, and that it shall have.
    dropped, flagged
        Patterns that the source lost; that carry no information. As all counts, of the whole scan, also of a run that
        goes on.
    blocks, alarms
        Blocks that are measured; alarms so far.
    baseline
        Number of the pattern up to which was learned what is usual in this scan; 0 while it is.
    """

    state: int
    since: float
    heartbeat: float
    rate: float
    done: int
    there: int
    total: int
    dropped: int
    flagged: int
    blocks: int
    alarms: int
    baseline: int

    def to_row(self) -> tuple[float, ...]:
        """As the file holds it."""
        values = asdict(self)
        return tuple(values[name] for name in STATUS.names or ())


def block_size(total: int) -> int:
    """Patterns of a block of a scan of so many."""
    size = BLOCK
    while size * MOST_BLOCKS < total:
        size *= 2
    return size


def make_watched(file: h5py.File, total: int) -> None:
    """Make the data sets of a scan of so many patterns, empty."""
    size = block_size(total)
    rows = np.zeros(-(-total // size), MONITOR)
    rows["first"] = np.arange(len(rows)) * size
    for name in MEASURED:
        rows[name] = np.nan
    file.create_dataset("monitor", data=rows).attrs.update(block=size, sampled=SAMPLED)
    file.create_dataset("alarms", data=alarm_rows(()))
    file.create_dataset("status", data=np.zeros(1, STATUS))


def alarm_rows(alarms: Sequence[Alarm]) -> NDArray[Any]:
    """The table of a file, (`MOST_ALARMS`,) of `ALARMS`, with the first of so many alarms."""
    rows = np.zeros(MOST_ALARMS, ALARMS)
    rows["start"] = rows["end"] = EMPTY
    for number, alarm in enumerate(alarms[:MOST_ALARMS]):
        rows[number] = alarm.to_row()
    return rows


def watched_shapes(total: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the data sets that `make_watched` makes."""
    return {"monitor": (-(-total // block_size(total)),), "alarms": (MOST_ALARMS,), "status": (1,)}


class Watched:
    """Base of what shows how the run went that wrote a latents file.

    Attributes
    ----------
    monitor : (blocks,) array of `MONITOR`
        Medians of what was measured of each block of patterns, as far as there are some.
    alarms : tuple of Alarm
        What changed while the scan was acquired, or what the model does not know.
    status : RunStatus or None
        Where the run stands; None until it says something.

    Notes
    -----
    All are None in files of older versions.
    """

    _file: h5py.File

    def read(self, name: str, piece: Any = ()) -> NDArray[Any]:
        """One of the data sets."""
        raise NotImplementedError

    @property
    def monitor(self) -> NDArray[Any] | None:
        """(blocks,) array of `MONITOR`; None in files of older versions."""
        rows = self._read_watched("monitor")
        return None if rows is None else rows[rows["count"] > 0]

    @property
    def alarms(self) -> tuple[Alarm, ...] | None:
        """All alarms so far; None in files of older versions."""
        rows = self._read_watched("alarms")
        return None if rows is None else tuple(Alarm.from_row(row) for row in rows[rows["start"] != EMPTY])

    @property
    def status(self) -> RunStatus | None:
        """Where the run stands; None in files of older versions, and until the run says something."""
        rows = self._read_watched("status")
        if rows is None or rows[0]["state"] == NOTHING:
            return None
        return RunStatus(**{name: rows[0][name].item() for name in STATUS.names or ()})

    def _read_watched(self, name: str) -> NDArray[Any] | None:
        return self.read(name) if not self._file or name in self._file else None
