"""The monitor of one scan: from encoded batches to rows of blocks and to alarms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.known_latents import KnownLatents
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.watched import Alarm, block_size
from microrun.runtime.monitor.blocks import Blocks
from microrun.runtime.monitor.watch import Watch
from microrun.runtime.scans.part import Part
from microrun.runtime.scans.scan import Scan


@dataclass(frozen=True)
class News:
    """What a batch brought.

    Parameters
    ----------
    blocks
        Blocks that are over: their numbers, and rows of `MONITOR`.
    alarms
        Those that began, changed or ended, by their numbers.
    """

    blocks: dict[int, np.void]
    alarms: dict[int, Alarm]


class ScanMonitor:
    """Measure a scan while it is encoded. It says what it sees, and stops nothing.

    Parameters
    ----------
    scan
        Geometry.
    known
        Of the model's spec.
    before
        Rows of `MONITOR`, in order, of a run that is gone on with.
    done
        Patterns, from the first on, that it encoded.
    part
        Of a larger scan, which it is; None for a whole one.
    """

    def __init__(
        self, scan: Scan, known: KnownLatents | None, before: NDArray[Any] | None = None, done: int = 0,
        part: Part | None = None,
    ) -> None:  # fmt: skip
        size = block_size(scan.total)
        self._blocks, self._watch, self._numbers = Blocks(size, known, done), Watch(scan, size, part), set[int]()
        for row in () if before is None else before:
            self._watch.add(row)
            self._numbers.add(int(row["first"]) // size)

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """All so far."""
        return tuple(self._watch.alarms)

    @property
    def blocks(self) -> int:
        """How many are measured."""
        return len(self._numbers)

    @property
    def baseline(self) -> int:
        """Number of the pattern up to which was learned what is usual in the scan; 0 while it is."""
        return self._watch.baseline

    def add(self, batch: EncodedBatch, bands: Float64) -> News:
        """Take in patterns, and what became of the bands of those that are sampled."""
        return self._take(self._blocks.add(batch, bands))

    def finish(self) -> News:
        """Take in the last block, which may be short."""
        return self._take(self._blocks.finish())

    def _take(self, blocks: Iterable[tuple[int, np.void]]) -> News:
        news = News({}, {})
        for number, row in blocks:
            news.blocks[number] = row
            self._numbers.add(number)  # again, of the one in which a run was stopped
            news.alarms.update((place, self._watch.alarms[place]) for place in self._watch.add(row))
        return news
