"""Encoding as a stream: lanes of threads that each take, prepare and run a batch; results in scan order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.encoding.feed import Buffers, Feed, Job, RunningFeed, StaticFeed
from microrun.runtime.encoding.meter import RATE_WINDOW_S, Statistics
from microrun.runtime.engines.engine import Engine, Lane
from microrun.runtime.errors import ScanError, SpecError
from microrun.runtime.files.closing import Closing
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.source import Source

PENDING_PER_LANE = 4  # finished batches that may wait for the consumer
WAKE_S = 0.2


@dataclass(frozen=True)
class _Ticket:
    number: int
    job: Job | BaseException
    taken_at: float


class EncodeStream(Closing):
    """An iterator of `EncodedBatch`, made by `encode`. Leave it by ``with``, or exhaust it."""

    def __init__(self, feed: Feed, source: Source, engine: Engine, preprocessor: Preprocessor, start: int) -> None:
        self._feed, self._source, self._engine = feed, source, engine
        self._preprocessor = preprocessor
        self._start = start
        self._changed = threading.Condition()
        self._taking = threading.Lock()
        self._results: dict[int, tuple[EncodedBatch | BaseException, float]] = {}
        self._taken = self._delivered = 0
        self._ended = False
        self._done = self._flagged = self._lags = self._worst_lag = 0
        self._first_s = self._latency_s = self._worst_latency_s = 0.0
        lanes = [engine.lane() for _ in range(engine.info.lanes)]
        buffers = [Buffers.for_lane(source, preprocessor, engine.info.batch) for _ in lanes]
        self._warm(lanes)
        self._began = time.perf_counter()
        self._marks = deque([(self._began, 0)])  # when, and how many were done then
        work = zip(lanes, buffers, strict=True)
        self._threads = [threading.Thread(target=self._work, args=own, daemon=True) for own in work]
        for thread in self._threads:
            thread.start()

    @property
    def background(self) -> Float32:
        """Background in use, (H, W) float32; zeros for none."""
        return self._feed.background

    @property
    def statistics(self) -> Statistics:
        """Where the stream stands now."""
        now = time.perf_counter()
        first_time, first_done = self._marks[0]
        span = now - first_time
        return Statistics(
            done=self._done,
            total=self._source.scan.total - self._start,
            rate=(self._done - first_done) / span if span > 0 else 0.0,
            lag=self._lag(),
            mean_lag=self._lags / max(1, self._delivered),
            worst_lag=self._worst_lag,
            latency_s=self._latency_s,
            worst_latency_s=self._worst_latency_s,
            dropped=self._source.dropped,
            flagged=self._flagged,
            elapsed_s=now - self._began,
            first_s=self._first_s,
        )

    def stop(self) -> None:
        """End the stream after the batches that are under way."""
        self._source.stop()

    def ready(self, timeout_s: float) -> bool:
        """Wait at most so long for the next batch; True if it is there, or the stream has ended."""
        with self._changed:
            return self._changed.wait_for(self._is_ready, timeout_s)

    def close(self) -> None:
        """End the stream at once and wait for its lanes."""
        self._source.stop()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __iter__(self) -> Iterator[EncodedBatch]:
        return self

    def __next__(self) -> EncodedBatch:
        with self._changed:
            while not self._changed.wait_for(self._is_ready, WAKE_S):
                pass  # on Windows, Ctrl-C is not seen within a wait
            if self._delivered not in self._results:
                raise StopIteration
            result, taken_at = self._results.pop(self._delivered)
            self._delivered += 1
            self._changed.notify_all()
        if isinstance(result, BaseException):
            self.close()
            self._delivered = self._taken  # nothing comes after an error
            raise result
        self._count(result, taken_at)
        return result

    def _is_ready(self) -> bool:
        return self._delivered in self._results or (self._ended and self._delivered >= self._taken)

    def _warm(self, lanes: list[Lane]) -> None:
        self._preprocessor.warm(self._source.scan.dtype)
        for lane in lanes:
            lane.run(np.zeros((1, *self._engine.spec.input_shape), np.float32))

    def _work(self, lane: Lane, buffers: Buffers) -> None:
        while (ticket := self._take()) is not None:
            try:
                result: EncodedBatch | BaseException = self._encode(ticket.job, lane, buffers)
            except BaseException as error:  # whatever it is, the consumer must hear of it
                result = error
            self._put(ticket, result)

    def _encode(self, job: Job | BaseException, lane: Lane, buffers: Buffers) -> EncodedBatch:
        if isinstance(job, BaseException):
            raise job
        self._feed.prepare(job, buffers)
        n = len(job.claim)
        latents = lane.run(buffers.prepared[:n, None]).copy()
        return EncodedBatch(job.claim.indices, latents, buffers.ranges[:n].copy(), buffers.flags[:n].copy())

    def _take(self) -> _Ticket | None:
        """Take the next batch, or the error that came instead; one lane at a time, so that order is kept."""
        with self._taking:
            self._await_room()
            if self._ended:
                return None
            try:
                job: Job | BaseException | None = self._feed.take(self._engine.info.batch)
            except BaseException as error:
                job = error
            with self._changed:
                if not isinstance(job, Job):
                    self._ended = True
                    self._changed.notify_all()
                if job is None:
                    return None
                self._taken += 1
                return _Ticket(self._taken - 1, job, time.perf_counter())

    def _await_room(self) -> None:
        with self._changed:
            limit = PENDING_PER_LANE * len(self._threads)
            while self._taken - self._delivered >= limit and not self._ended:
                self._changed.wait()

    def _put(self, ticket: _Ticket, result: EncodedBatch | BaseException) -> None:
        with self._changed:
            self._results[ticket.number] = result, ticket.taken_at
            if isinstance(result, BaseException):
                self._ended = True
            self._changed.notify_all()

    def _count(self, batch: EncodedBatch, taken_at: float) -> None:
        now = time.perf_counter()
        self._first_s = self._first_s or now - self._began
        self._latency_s = now - taken_at
        self._worst_latency_s = max(self._worst_latency_s, self._latency_s)
        lag = self._lag()
        self._done += len(batch.indices)
        self._flagged += int(batch.flags.sum())
        self._marks.append((now, self._done))
        while len(self._marks) > 1 and now - self._marks[1][0] > RATE_WINDOW_S:
            self._marks.popleft()
        self._lags += lag
        self._worst_lag = max(self._worst_lag, lag)

    def _lag(self) -> int:
        return max(0, self._source.available - self._start - self._done)


def check_encoder(engine: Engine) -> None:
    """Raise SpecError if an engine is no encoder."""
    if engine.spec.kind != "encoder":
        raise SpecError(f"{engine.info.path.name}: is a {engine.spec.kind}; encoding needs an encoder")


def encode(
    source: Source,
    engine: Engine,
    background: Float32 | Literal["running"] | None = None,
    *,
    start: int = 0,
) -> EncodeStream:
    """Encode patterns into latents, as fast as the engine's lanes allow.

    Parameters
    ----------
    source
        Where patterns come from. With ``start``, it delivers from that pattern on; with a running
        background always from the first.
    engine
        From `open_engine`.
    background
        (H, W) float32 to subtract, in the engine's input size (see `mean_background`, `load_background`);
        "running" for the running mean of the patterns themselves; None for none.
    start
        First pattern to encode.

    Returns
    -------
    EncodeStream
        Iterate it under ``with``. Kernels and engine are warm when this returns.

    Raises
    ------
    SpecError
        If the engine is no encoder.
    ScanError
        If its spec, or the background, does not fit the scan.
    """
    check_encoder(engine)
    preprocessor = Preprocessor(engine.spec.preprocessing, source.scan.sig_shape)
    if isinstance(background, str):
        if background != "running":
            raise ScanError(f"the background must be an array, 'running' or None; got {background!r}")
        feed: Feed = RunningFeed(source, preprocessor, start)
    else:
        feed = StaticFeed(source, preprocessor, background)
    return EncodeStream(feed, source, engine, preprocessor, start)
