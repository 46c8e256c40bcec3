"""Engines and sources that a stream is tested with, and what it is compared by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Raw
from microrun.runtime.encoding.stream import EncodeStream
from microrun.runtime.errors import ScanError
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.source import Claim, MemorySource
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.runtime.testing import ProjectionEngine

SIG_SHAPE = (8, 8)
NAV_SHAPE = (10, 15)
COUNT = 150
SPEC = ModelSpec("projection", "encoder", 3, Preprocessing((4, 4), 0))
LONG_S = 60.0  # for what would otherwise hang; nothing waits that long
Background = NDArray[np.float32] | Literal["running"] | None


class UnevenEngine(ProjectionEngine):
    """Lanes take differently long, so that batches are ready out of order."""

    def project(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        time.sleep(float(np.abs(inputs).sum()) % 0.003)
        return super().project(inputs)


class GatedEngine(ProjectionEngine):
    """Waits before every batch but the warming ones until the gate is open."""

    def __init__(self, lanes: int, batch: int) -> None:
        super().__init__(SPEC, lanes, batch)
        self.gate = threading.Event()

    def project(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        if inputs.any():
            assert self.gate.wait(LONG_S)
        return super().project(inputs)


class CountingSource(FileSource):
    """Counts what is claimed, and fails where it is told to."""

    def __init__(self, path: Path, *, read_fails_at: int | None = None, claim_fails_at: int | None = None) -> None:
        super().__init__(path)
        self.read_fails_at, self.claim_fails_at = read_fails_at, claim_fails_at
        self.claims = 0

    def claim(self, limit: int) -> Claim | None:
        claim = super().claim(limit)
        self.claims += 1
        if claim is not None and self.claim_fails_at is not None and self.claim_fails_at in claim.indices:
            raise ScanError("claiming failed")
        return claim

    def read(self, claim: Claim, first: int, out: Raw) -> None:
        if self.read_fails_at in claim.indices:
            raise ScanError("reading failed")
        super().read(claim, first, out)


class FailingEngine(ProjectionEngine):
    """Fails on the batch that holds one pattern, recognised by its latents."""

    def __init__(self, lanes: int, batch: int, fails_on: NDArray[np.float32], error: BaseException) -> None:
        super().__init__(SPEC, lanes, batch)
        self.fails_on, self.error = fails_on, error

    def project(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        latents = super().project(inputs)
        if (latents == self.fails_on).all(axis=1).any():
            raise self.error
        return latents


def within_time(work: Callable[[], object]) -> None:
    """Run what must not hang."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(LONG_S)
    assert not thread.is_alive(), "hangs"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def camera(source: MemorySource, patterns: NDArray[Any]) -> threading.Thread:
    """Push patterns from a thread of its own."""
    thread = threading.Thread(target=lambda: [source.push(pattern) for pattern in patterns], daemon=True)
    thread.start()
    return thread


def collect(stream: EncodeStream) -> EncodedBatch:
    """Put all batches together."""
    with stream:
        batches = list(stream)
    parts = ([getattr(batch, name) for batch in batches] for name in ("indices", "latents", "ranges", "flags"))
    return EncodedBatch(*(np.concatenate(part) for part in parts))


def assert_same(found: EncodedBatch, expected: EncodedBatch) -> None:
    """Compare bit by bit."""
    for name in ("indices", "latents", "ranges", "flags"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def backgrounds() -> list[Background]:
    return [None, np.linspace(0, 60_000, 16, dtype=np.float32).reshape(4, 4), "running"]


def expected_latents(patterns: NDArray[Any], background: NDArray[np.float32]) -> NDArray[np.float32]:
    preprocessor = Preprocessor(SPEC.preprocessing, SIG_SHAPE)
    n = len(patterns)
    prepared = np.empty((n, 4, 4), np.float32)
    preprocessor.prepare(patterns, background, prepared, np.empty((n, 2), np.float32), np.empty(n, bool))
    return prepared.reshape(n, 16) @ ProjectionEngine(SPEC).weights
