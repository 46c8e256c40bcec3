"""From a source to prepared batches: taken in order, prepared anywhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.measuring import MEASURES
from microrun.runtime.array_types import Float32, Raw
from microrun.runtime.engines.engine import Lane
from microrun.runtime.errors import ScanError
from microrun.runtime.patterns.background import BLOCK, RunningBackground
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.scan import Scan
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
        (batch, H, W) float32: the lane's own inputs, so that nothing is copied between preprocessing and engine.
    ranges, flags, measures
        (batch, 2) float32, (batch,) bool and (batch, 5) float32.
    """

    raw: Raw
    prepared: Float32
    ranges: Float32
    flags: NDArray[np.bool_]
    measures: Float32

    @classmethod
    def for_lane(cls, scan: Scan, lane: Lane) -> Buffers:
        """Allocate what a lane needs beside its inputs, (batch, 1, H, W)."""
        batch = len(lane.inputs)
        chunk = min(batch, max(1, CHUNK_BYTES // scan.pattern_bytes))
        raw = np.empty((chunk, *scan.sig_shape), scan.dtype)
        ranges, flags = np.empty((batch, 2), np.float32), np.empty(batch, bool)
        return cls(raw, lane.inputs[:, 0], ranges, flags, np.empty((batch, MEASURES), np.float32))


@dataclass(frozen=True)
class Taken:
    """A batch that a lane has taken.

    Parameters
    ----------
    indices
        (n,) int64, ascending numbers of the patterns in the scan.
    background
        (H, W) float32 to subtract.
    """

    indices: NDArray[np.int64]
    background: Float32 = field(repr=False)


@dataclass(frozen=True)
class Claimed(Taken):
    """A batch that is still to be read: ``claim`` says where it lies."""

    claim: Claim


@dataclass(frozen=True)
class Binned(Taken):
    """A batch that was read and binned already: ``binned`` is (n, H, W) float32.

    Of ``measures``, (n, 5) float32, the saturation is known, which binned patterns do not show.
    """

    binned: Float32 = field(repr=False)
    measures: Float32 = field(repr=False)

    def part(self, part: slice | NDArray[np.bool_]) -> Binned:
        """Some of its patterns."""
        return replace(self, indices=self.indices[part], binned=self.binned[part], measures=self.measures[part])


TakenT = TypeVar("TakenT", bound=Taken)


class Feed(ABC, Generic[TakenT]):
    """Batches of a source.

    Parameters
    ----------
    source
        Where patterns come from.
    preprocessor
        For the source's detector.

    Attributes
    ----------
    background : (H, W) float32
        In use now.
    """

    background: Float32

    def __init__(self, source: Source, preprocessor: Preprocessor) -> None:
        self._source, self._preprocessor = source, preprocessor

    @abstractmethod
    def take(self, limit: int) -> TakenT | None:
        """Wait for the next batch of at most so many; None at the end. One thread at a time."""

    @abstractmethod
    def prepare(self, taken: TakenT, buffers: Buffers) -> None:
        """Fill the buffers with a batch's prepared patterns."""

    def warm(self, dtype: str) -> None:
        """Compile all that patterns of this pixel type need."""
        self._preprocessor.warm(dtype)


class StaticFeed(Feed[Claimed]):
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
        super().__init__(source, preprocessor)
        self.background = np.zeros(preprocessor.input_shape, np.float32) if background is None else background
        if self.background.shape != preprocessor.input_shape:
            raise ScanError(
                f"a background must have the engine's input shape {preprocessor.input_shape}; "
                f"got {self.background.shape}"
            )

    def take(self, limit: int) -> Claimed | None:
        """Wait for the next batch; None at the end."""
        claim = self._source.claim(limit)
        return None if claim is None else Claimed(claim.indices, self.background, claim)

    def prepare(self, taken: Claimed, buffers: Buffers) -> None:
        """Read and prepare a batch."""
        n, chunk = len(taken.indices), len(buffers.raw)
        for first in range(0, n, chunk):
            part = slice(first, min(first + chunk, n))
            raw = buffers.raw[: part.stop - first]
            self._source.read(taken.claim, first, raw)
            prepared, ranges, flags = buffers.prepared[part], buffers.ranges[part], buffers.flags[part]
            self._preprocessor.prepare(raw, taken.background, prepared, ranges, flags, buffers.measures[part])


class RunningFeed(Feed[Binned]):
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
        super().__init__(source, preprocessor)
        self._start = start
        self._running = RunningBackground(preprocessor.input_shape)
        self._rest: Binned | None = None
        self._again: list[int] = []  # patterns that are taken for a second time
        self._raw = np.empty((1, *source.scan.sig_shape), source.scan.dtype)
        self.background = np.zeros(preprocessor.input_shape, np.float32)

    def take(self, limit: int) -> Binned | None:
        """Wait for the next batch; None at the end."""
        while True:
            batch = self._rest or (self._next(limit) if self._running.known else self._first_block())
            if batch is None:
                return None
            self._rest = batch.part(slice(limit, None)) if len(batch.indices) > limit else None
            batch = batch.part(slice(None, limit))
            batch = batch.part((batch.indices >= self._start) | np.isin(batch.indices, self._again))
            if len(batch.indices):
                return batch

    def prepare(self, taken: Binned, buffers: Buffers) -> None:
        """Prepare the rest of a batch."""
        n = len(taken.indices)
        buffers.measures[:n] = taken.measures
        self._preprocessor.measure(taken.binned, taken.background, buffers.measures[:n])
        self._preprocessor.rescale(
            taken.binned, taken.background, buffers.prepared[:n], buffers.ranges[:n], buffers.flags[:n]
        )

    def _first_block(self) -> Binned | None:
        """Take blocks until the mean is known, which is theirs, too; blank ones at the start need not wait for it."""
        blocks: list[Binned] = []
        while not self._running.known and (block := self._read_block()) is not None:
            blocks.append(block)
            if len(block.indices) < BLOCK or not self._running.informative:
                break
        if not blocks:
            return None
        names = ("indices", "binned", "measures")
        indices, binned, measures = (np.concatenate([getattr(block, name) for block in blocks]) for name in names)
        return Binned(indices, self.background, binned, measures)

    def _read_block(self) -> Binned | None:
        """Wait for a whole block, or what is left of the scan."""
        parts: list[tuple[NDArray[np.int64], Float32, Float32]] = []
        count = 0
        while count < BLOCK and (claim := self._claim(BLOCK - count)) is not None:
            parts.append((claim.indices, *self._bin(claim)))
            count += len(claim)
        if not parts:
            return None
        indices, binned, measures = zip(*parts, strict=True)
        return self._add(np.concatenate(indices), np.concatenate(binned), np.concatenate(measures))

    def _next(self, limit: int) -> Binned | None:
        claim = self._claim(min(limit, self._running.room))
        return None if claim is None else self._add(claim.indices, *self._bin(claim))

    def _claim(self, limit: int) -> Claim | None:
        claim = self._source.claim(limit)
        if claim is not None and claim.again:
            self._again.extend(claim.indices.tolist())
        return claim

    def _add(self, indices: NDArray[np.int64], binned: Float32, measures: Float32) -> Binned:
        self.background = self._running.update(binned, ~self._preprocessor.find_blank(binned))
        return Binned(indices, self.background, binned, measures)

    def _bin(self, claim: Claim) -> tuple[Float32, Float32]:
        binned = np.empty((len(claim), *self._preprocessor.input_shape), np.float32)
        measures = np.empty((len(claim), MEASURES), np.float32)
        for first in range(len(claim)):
            self._source.read(claim, first, self._raw)
            self._preprocessor.bin(self._raw, binned[first : first + 1])
            self._preprocessor.find_saturated(self._raw, measures[first : first + 1])
        return binned, measures
