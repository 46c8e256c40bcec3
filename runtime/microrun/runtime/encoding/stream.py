"""Encoding as a stream: lanes that each take, prepare and run a batch; results in scan order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.encoding.feed import Buffers, Feed, RunningFeed, StaticFeed, Taken
from microrun.runtime.encoding.meter import Meter, Statistics
from microrun.runtime.engines.engine import Engine, Lane
from microrun.runtime.engines.lanes import OrderedPool
from microrun.runtime.errors import ScanError
from microrun.runtime.files.closing import Closing
from microrun.runtime.latents.batch import EncodedBatch, is_sampled
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.source import Source

PENDING_PER_LANE = 4  # batches that may be taken and wait for the consumer

Background = Float32 | Literal["running"] | None


Content = TypeVar("Content")


@dataclass(frozen=True)
class _Timed(Generic[Content]):
    """A batch, and when it was taken."""

    content: Content
    taken_at: float


class EncodeStream(Closing):
    """An iterator of `EncodedBatch`, made by `encode`. Leave it by ``with``, or exhaust it.

    Parameters
    ----------
    feed
        Takes and prepares batches of the source.
    source, engine
        Where patterns come from, and what encodes them.
    start
        First pattern to encode.
    """

    def __init__(self, feed: Feed[Any], source: Source, engine: Engine, start: int) -> None:
        self._feed, self._source, self._start = feed, source, start
        self._reached = start
        self._flagged = np.zeros(source.scan.total, bool)
        self._batch = engine.info.batch
        lanes = [engine.lane() for _ in range(engine.info.lanes)]
        buffers = [Buffers.for_lane(source.scan, lane) for lane in lanes]
        feed.warm(source.scan.dtype)
        for lane in lanes:
            lane.run(np.zeros((1, *engine.spec.input_shape), np.float32))
        workers = [partial(self._encode, *own) for own in zip(lanes, buffers, strict=True)]
        self._meter = Meter(source.scan.total - start)
        self._pool = OrderedPool(self._take, workers, PENDING_PER_LANE * len(lanes))

    @property
    def background(self) -> Float32:
        """Background in use, (H, W) float32; zeros for none."""
        return self._feed.background

    @property
    def statistics(self) -> Statistics:
        """Where the stream stands now."""
        return self._meter.read(self._available, self._source.dropped)

    def stop(self) -> None:
        """End the stream after the batches that are under way."""
        self._source.stop()

    def ready(self, timeout_s: float) -> bool:
        """Wait at most so long for the next batch; True if it is there, or the stream has ended."""
        return self._pool.ready(timeout_s)

    def close(self) -> None:
        """End the stream at once and wait for its lanes."""
        self._source.stop()
        self._pool.close()

    def __iter__(self) -> Iterator[EncodedBatch]:
        return self

    def __next__(self) -> EncodedBatch:
        try:
            timed = next(self._pool)
        except StopIteration:
            raise
        except Exception:  # nothing comes after it
            self.close()
            raise
        batch = timed.content
        new = batch.indices >= self._reached  # others are taken again, since they were zeros when the source looked
        flagged = int(batch.flags.sum()) - int(self._flagged[batch.indices].sum())
        self._flagged[batch.indices] = batch.flags
        self._meter.count(int(new.sum()), flagged, timed.taken_at, self._available)
        self._reached = max(self._reached, int(batch.indices.max()) + 1)
        return batch

    @property
    def _available(self) -> int:
        return self._source.available - self._start

    def _take(self) -> _Timed[Taken] | None:
        taken = self._feed.take(self._batch)
        return None if taken is None else _Timed(taken, time.perf_counter())

    def _encode(self, lane: Lane, buffers: Buffers, timed: _Timed[Taken]) -> _Timed[EncodedBatch]:
        taken = timed.content
        self._feed.prepare(taken, buffers)
        n = len(taken.indices)
        encoded = EncodedBatch(
            indices=taken.indices,
            latents=lane.compute(n).copy(),
            ranges=buffers.ranges[:n].copy(),
            flags=buffers.flags[:n].copy(),
            measures=buffers.measures[:n].copy(),
            sampled=buffers.prepared[:n][is_sampled(taken.indices)],
        )
        return _Timed(encoded, timed.taken_at)


def encode(
    source: Source,
    engine: Engine,
    background: Background = None,
    *,
    start: int = 0,
    preprocessor: Preprocessor | None = None,
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
    preprocessor
        One of the scan's detector: with bad pixels to fill, or a background that is scaled to each pattern. None
        for that of the engine's spec.

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

    Examples
    --------
    >>> from microrun.runtime import FileSource, encode, open_engine
    >>> with open_engine("vae32") as engine, encode(FileSource("scan.up1"), engine) as stream:
    ...     print(sum(len(batch.latents) for batch in stream))
    9
    """
    engine.spec.require("encoder", source=engine.info.path.name, task="encoding")
    preprocessor = preprocessor or Preprocessor(engine.spec.preprocessing, source.scan.sig_shape)
    _check_preprocessor(preprocessor, engine, source)
    if not isinstance(background, str):
        return EncodeStream(StaticFeed(source, preprocessor, background), source, engine, start)
    if background == "running":
        return EncodeStream(RunningFeed(source, preprocessor, start), source, engine, start)
    raise ScanError(f"the background must be an array, 'running' or None; got {background!r}")


def _check_preprocessor(preprocessor: Preprocessor, engine: Engine, source: Source) -> None:
    """Refuse one of another detector or input; whether the background is scaled is the caller's choice."""
    if preprocessor.sig_shape != source.scan.sig_shape:
        scan = f"the scan has patterns of {source.scan.sig_shape}"
        raise ScanError(f"the preprocessor is for a detector of {preprocessor.sig_shape}; {scan}")
    mine = preprocessor.preprocessing
    wanted = replace(engine.spec.preprocessing, scale_background=mine.scale_background, inverted=mine.inverted)
    if preprocessor.preprocessing != wanted:
        raise ScanError(f"the preprocessor makes {preprocessor.preprocessing}; the engine takes {wanted}")
