"""What a run writes of itself into the file of its latents: blocks of patterns, alarms, and where it stands."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol

import numpy as np

from microrun.runtime.encoding.meter import Statistics
from microrun.runtime.encoding.spot_check import SpotCheck
from microrun.runtime.encoding.stream import EncodeStream
from microrun.runtime.engines.engine import Engine
from microrun.runtime.errors import OutputError
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.watched import FAILED, STOPPED, WHOLE, WRITING, Alarm, RunStatus
from microrun.runtime.latents.writer import FLUSH_S, LatentsWriter
from microrun.runtime.monitor.scan_monitor import News, ScanMonitor
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.source import Source

BEAT_S = 1.0  # between signs of life, where no patterns come


class Awaited(Protocol):
    """What batches come from."""

    def ready(self, timeout_s: float) -> bool:
        """Wait at most so long for the next; True if it is there, or none will come."""


class RunWatch:
    """Watch a run; leave it by ``with``, before its writer is closed.

    Parameters
    ----------
    writer
        Of the latents.
    engine
        That makes them; its decoder lies beside its file.
    preprocessor
        What the scan is encoded with.
    source
        The scan.
    """

    def __init__(self, writer: LatentsWriter, engine: Engine, preprocessor: Preprocessor, source: Source) -> None:
        self._writer, self._source = writer, source
        self._known = engine.spec.known
        self._check = SpotCheck(engine, preprocessor)
        self._since = time.time()
        self._now: Statistics | None = None
        self.restart(source)

    def restart(self, source: Source) -> None:
        """Begin again, or go on with what the file holds."""
        writer = self._writer
        self._source, origin = source, writer.origin
        self._written = writer.written
        self._flagged = np.zeros(len(self._written), bool)
        self._flagged[writer.flagged] = True
        self._monitor = ScanMonitor(origin.scan, self._known, writer.monitor, writer.done, origin.part)
        writer.keep_alarms(self._monitor.alarms)

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """All so far."""
        return self._monitor.alarms

    def take(self, batch: EncodedBatch, now: Statistics) -> None:
        """Take note of a batch, and of where the run stands."""
        self._keep(self._monitor.add(batch, self._check.compare(batch)))
        self._written[batch.indices], self._flagged[batch.indices] = True, batch.flags
        self._tell(WRITING, now)

    def warm(self) -> None:
        """Make ready for patterns that are sampled, the first of which would wait for it, and all behind it."""
        self._check.warm()

    def await_next(self, stream: EncodeStream, batches: Awaited | None = None) -> None:
        """Wait for the next batch, of the stream itself if of nothing else; while none comes, all is on the disk."""
        waited_s = FLUSH_S
        while not (batches or stream).ready(waited_s):
            self._tell(WRITING, stream.statistics)
            self._writer.flush()
            waited_s = BEAT_S

    def __enter__(self) -> RunWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._check.close()
        if isinstance(error, OutputError):  # there is no file to tell it
            return
        self._keep(self._monitor.finish())
        self._tell(FAILED if isinstance(error, Exception) else self._ask_the_file(), self._now)

    def _ask_the_file(self) -> int:
        """State of a run that ended without an error."""
        self._writer.flush()  # what waits to be written is not missing
        return WHOLE if self._writer.is_complete else STOPPED

    def _keep(self, news: News) -> None:
        for number, row in news.blocks.items():
            self._writer.keep_block(number, row)
        if news.alarms:
            self._writer.keep_alarms(self._monitor.alarms)

    def _tell(self, state: int, now: Statistics | None) -> None:
        self._now = now
        done, total = int(np.count_nonzero(self._written)), self._writer.origin.scan.total
        lost = now.dropped if now else 0  # what an earlier run lost, this one encodes, or loses again
        self._writer.keep_status(
            RunStatus(
                state=state,
                since=self._since,
                heartbeat=time.time(),
                rate=now.rate if now else 0.0,
                done=done,
                there=min(max(done, self._source.available), total),
                total=total,
                dropped=min(lost, total - done),  # what was lost and is there now is lost no more
                flagged=int(np.count_nonzero(self._flagged)),
                blocks=self._monitor.blocks,
                alarms=len(self._monitor.alarms),
                baseline=self._monitor.baseline,
            )
        )
