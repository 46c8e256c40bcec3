"""From a source to prepared batches: claims in order, prepares anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Raw
from microrun.runtime.errors import ScanError
from microrun.runtime.patterns.background import BLOCK, RunningBackground
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.source import Claim, Source

CHUNK_BYTES = 1 << 20  # raw patterns that stay in a core's cache between reading and binning


@dataclass(frozen=True)
class Buffers:
    """Buffers of one lane.

    Parameters
    ----------
    raw
        (chunk, rows, cols) of the scan's pixel type.
    prepared
        (batch, H, W) float32.
    ranges, flags
        (batch, 2) float32 and (batch,) bool.
    """

    raw: Raw
    prepared: Float32
    ranges: Float32
    flags: NDArray[np.bool_]

    @classmethod
    def for_lane(cls, source: Source, preprocessor: Preprocessor, batch: int) -> Buffers:
        """Allocate for a source, a preprocessing and a batch."""
        scan = source.scan
        chunk = min(batch, max(1, CHUNK_BYTES // scan.pattern_bytes))
        return cls(
            np.empty((chunk, *scan.sig_shape), scan.dtype),
            np.empty((batch, *preprocessor.input_shape), np.float32),
            np.empty((batch, 2), np.float32),
            np.empty(batch, bool),
        )


@dataclass(frozen=True)
class Job:
    """A batch that a lane has taken.

    Parameters
    ----------
    claim
        The patterns.
    background
        (H, W) float32 to subtract.
    binned
        (n, H, W) float32 if they were read and binned already.
    """

    claim: Claim
    background: Float32 = field(repr=False)
    binned: Float32 | None = field(default=None, repr=False)


class StaticFeed:
    """Batches of a source whose background is known.

    Parameters
    ----------
    source
        Where patterns come from.
    preprocessor
        For the source's detector.
    background
        (H, W) float32, binned; None subtracts nothing.

    Raises
    ------
    ScanError
        If the background has another shape.
    """

    def __init__(self, source: Source, preprocessor: Preprocessor, background: Float32 | None) -> None:
        self._source, self._preprocessor = source, preprocessor
        self.background = np.zeros(preprocessor.input_shape, np.float32) if background is None else background
        if self.background.shape != preprocessor.input_shape:
            raise ScanError(
                f"a background must have the engine's input shape {preprocessor.input_shape}; "
                f"got {self.background.shape}"
            )

    def take(self, limit: int) -> Job | None:
        """Wait for the next batch; None at the end. One thread at a time."""
        claim = self._source.claim(limit)
        return None if claim is None else Job(claim, self.background)

    def prepare(self, job: Job, buffers: Buffers) -> None:
        """Fill the buffers with the job's prepared patterns."""
        n, chunk = len(job.claim), len(buffers.raw)
        for first in range(0, n, chunk):
            part = slice(first, min(first + chunk, n))
            raw = buffers.raw[: part.stop - first]
            self._source.read(job.claim, first, raw)
            self._preprocessor.prepare(
                raw, job.background, buffers.prepared[part], buffers.ranges[part], buffers.flags[part]
            )


class RunningFeed:
    """Batches of a source whose background is the running mean of its own patterns.

    Parameters
    ----------
    source
        Where patterns come from; it must start at the scan's first pattern.
    preprocessor
        For the source's detector.
    start
        Patterns before this one only enter the mean: they were encoded by an earlier run.
    """

    def __init__(self, source: Source, preprocessor: Preprocessor, start: int = 0) -> None:
        self._source, self._preprocessor, self._start = source, preprocessor, start
        self._running = RunningBackground(preprocessor.input_shape)
        self._pending: Job | None = None
        self._primed = False
        self._raw = np.empty((1, *source.scan.sig_shape), source.scan.dtype)
        self.background = np.zeros(preprocessor.input_shape, np.float32)

    def take(self, limit: int) -> Job | None:
        """Wait for the next batch; None at the end. One thread at a time."""
        while True:
            job = self._pending or (self._next(limit) if self._primed else self._first_block())
            if job is None:
                return None
            now, self._pending = _split(job, limit)
            now = _without_before(now, self._start)
            if len(now.claim):
                return now

    def prepare(self, job: Job, buffers: Buffers) -> None:
        """Fill the buffers with the job's prepared patterns."""
        assert job.binned is not None
        n = len(job.claim)
        self._preprocessor.rescale(
            job.binned, job.background, buffers.prepared[:n], buffers.ranges[:n], buffers.flags[:n]
        )

    def _first_block(self) -> Job | None:
        claims: list[NDArray[np.int64]] = []
        pieces: list[Float32] = []
        count = 0
        while count < BLOCK and (claim := self._source.claim(BLOCK - count)) is not None:
            claims.append(claim.indices)
            pieces.append(self._bin(claim))
            count += len(claim)
        self._primed = True
        return self._job(np.concatenate(claims), np.concatenate(pieces)) if claims else None

    def _next(self, limit: int) -> Job | None:
        claim = self._source.claim(min(limit, self._running.room))
        return None if claim is None else self._job(claim.indices, self._bin(claim))

    def _job(self, indices: NDArray[np.int64], binned: Float32) -> Job:
        self.background = self._running.update(binned)
        return Job(Claim(indices), self.background, binned)

    def _bin(self, claim: Claim) -> Float32:
        binned = np.empty((len(claim), *self._preprocessor.input_shape), np.float32)
        for first in range(len(claim)):
            self._source.read(claim, first, self._raw)
            self._preprocessor.bin(self._raw, binned[first : first + 1])
        return binned


Feed = StaticFeed | RunningFeed


def _split(job: Job, limit: int) -> tuple[Job, Job | None]:
    return _part(job, slice(None, limit)), (_part(job, slice(limit, None)) if len(job.claim) > limit else None)


def _without_before(job: Job, start: int) -> Job:
    return _part(job, slice(int(np.searchsorted(job.claim.indices, start)), None))


def _part(job: Job, part: slice) -> Job:
    assert job.binned is not None
    return Job(Claim(job.claim.indices[part]), job.background, job.binned[part])
