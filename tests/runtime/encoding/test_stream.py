"""Encoding as a stream: results in scan order whatever lanes and batches, errors in their place, no thread left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.array_types import Raw
from microrun.runtime.encoding.stream import PENDING_PER_LANE, EncodeStream, encode
from microrun.runtime.errors import EngineError, ScanError, SpecError
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import Claim, MemorySource, Source
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


@pytest.fixture
def patterns() -> NDArray[Any]:
    return make_patterns(COUNT, SIG_SHAPE)


@pytest.fixture
def path(tmp_path: Path, patterns: NDArray[Any]) -> Path:
    return write_up(tmp_path / "scan.up2", patterns, Header(sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(LONG_S)
    assert not any(thread.is_alive() for thread in left)


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


@pytest.mark.parametrize(("lanes", "batch"), [(1, 150), (2, 3), (3, 16), (4, 64)])
@pytest.mark.parametrize("background", backgrounds(), ids=["none", "given", "running"])
def test_results_depend_on_neither_lanes_nor_batch(path: Path, background: Background, lanes: int, batch: int) -> None:
    expected = collect(encode(FileSource(path), ProjectionEngine(SPEC, 1, 1), background))
    np.testing.assert_array_equal(expected.indices, np.arange(COUNT))
    found = collect(encode(FileSource(path), UnevenEngine(SPEC, lanes, batch), background))
    assert_same(found, expected)


@pytest.mark.parametrize(("lanes", "batch", "capacity"), [(1, 1, 1), (2, 8, 4), (3, 16, 256)])
@pytest.mark.parametrize("background", backgrounds(), ids=["none", "given", "running"])
def test_pushed_patterns_give_the_same_as_a_file(
    path: Path, patterns: NDArray[Any], background: Background, lanes: int, batch: int, capacity: int
) -> None:
    expected = collect(encode(FileSource(path), ProjectionEngine(SPEC), background))
    source = MemorySource(Scan(NAV_SHAPE, SIG_SHAPE), capacity)
    stream = encode(source, UnevenEngine(SPEC, lanes, batch), background)
    pushing = camera(source, patterns)
    found = collect(stream)
    pushing.join(LONG_S)
    assert_same(found, expected)


def test_the_last_pattern_is_waited_for_when_there_is_no_room_yet(patterns: NDArray[Any]) -> None:
    source = MemorySource(Scan((1, 2), SIG_SHAPE), capacity=1)
    source.push(patterns[0])
    first = source.claim(1)
    assert first is not None
    pushing = camera(source, patterns[1:2])  # waits: the only room is claimed, but not read
    time.sleep(0.1)
    claims: list[Claim | None] = []
    claiming = threading.Thread(target=lambda: claims.append(source.claim(1)), daemon=True)
    claiming.start()
    time.sleep(0.1)
    source.read(first, 0, np.empty((1, *SIG_SHAPE), np.uint16))
    for thread in (pushing, claiming):
        thread.join(LONG_S)
    assert claims[0] is not None
    assert claims[0].indices.tolist() == [1]


@pytest.mark.parametrize("background", backgrounds()[:2], ids=["none", "given"])
def test_latents_are_the_engine_on_prepared_patterns(
    path: Path, patterns: NDArray[Any], background: NDArray[np.float32] | None
) -> None:
    found = collect(encode(FileSource(path), ProjectionEngine(SPEC), background))
    given = np.zeros((4, 4), np.float32) if background is None else background
    np.testing.assert_allclose(found.latents, expected_latents(patterns, given), atol=1e-5)
    assert not found.flags.any()


def test_a_stream_may_start_later(path: Path) -> None:
    whole = collect(encode(FileSource(path), ProjectionEngine(SPEC), None))
    late = collect(encode(FileSource(path, start=70), ProjectionEngine(SPEC), None, start=70))
    assert late.indices.tolist() == list(range(70, COUNT))
    np.testing.assert_array_equal(late.latents, whole.latents[70:])
    again = collect(encode(FileSource(path), ProjectionEngine(SPEC), "running"))
    later = collect(encode(FileSource(path), ProjectionEngine(SPEC), "running", start=70))
    assert later.indices.tolist() == list(range(70, COUNT))
    np.testing.assert_array_equal(later.latents, again.latents[70:])


def test_patterns_without_information_are_flagged(tmp_path: Path, patterns: NDArray[Any]) -> None:
    patterns[[0, 70, 149]] = np.array([0, 1234, 65535])[:, None, None]
    path = write_up(tmp_path / "flat.up2", patterns, Header(sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE))
    found = collect(encode(FileSource(path), ProjectionEngine(SPEC), None))
    assert np.flatnonzero(found.flags).tolist() == [0, 70, 149]
    assert not found.latents[found.flags].any()
    assert np.isfinite(found.latents).all()


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("place", ["read", "claim", "engine", "unexpected"])
def test_an_error_comes_after_the_results_before_it(path: Path, patterns: NDArray[Any], place: str, lanes: int) -> None:
    source: Source = FileSource(path)
    engine = ProjectionEngine(SPEC, lanes, 4)
    kind: type[BaseException] = ScanError
    if place == "read":
        source = CountingSource(path, read_fails_at=30)
    elif place == "claim":
        source = CountingSource(path, claim_fails_at=30)
    else:
        kind = EngineError if place == "engine" else ZeroDivisionError
        latents = collect(encode(FileSource(path), engine, None)).latents
        engine = FailingEngine(lanes, 4, latents[30], kind("broken"))
    indices: list[int] = []

    def consume() -> None:
        with pytest.raises(kind), encode(source, engine, None) as stream:
            for batch in stream:
                indices.extend(batch.indices.tolist())

    within_time(consume)
    assert indices == list(range(28))


def test_an_error_in_the_running_mean_reaches_the_consumer(path: Path) -> None:
    found: list[int] = []

    def consume() -> None:
        with (
            pytest.raises(ScanError, match="reading failed"),
            encode(CountingSource(path, read_fails_at=100), ProjectionEngine(SPEC, 2, 4), "running") as stream,
        ):
            for batch in stream:
                found.extend(batch.indices.tolist())

    within_time(consume)
    assert found == list(range(100))


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("after", [0, 2])
def test_a_file_may_be_left_in_the_middle(path: Path, after: int, running: bool) -> None:
    def leave() -> None:
        with encode(FileSource(path), ProjectionEngine(SPEC, 3, 4), "running" if running else None) as stream:
            for _ in range(after):
                next(stream)

    within_time(leave)


def test_a_live_stream_may_be_left_while_lanes_wait(patterns: NDArray[Any]) -> None:
    source = MemorySource(Scan(NAV_SHAPE, SIG_SHAPE))

    def leave() -> None:
        with encode(source, ProjectionEngine(SPEC, 3, 4), None) as stream:
            source.push(patterns[0])
            assert next(stream).indices.tolist() == [0]

    within_time(leave)
    assert source.push(patterns[1]) is False


def test_closing_twice_and_reading_on_ends(path: Path) -> None:
    def close_twice() -> None:
        stream = encode(FileSource(path), ProjectionEngine(SPEC, 2, 4), None)
        stream.close()
        stream.close()
        assert len(list(stream)) <= 2 * PENDING_PER_LANE

    within_time(close_twice)


def test_stop_ends_a_stream_after_what_is_under_way(path: Path) -> None:
    engine = GatedEngine(lanes=2, batch=4)
    source = CountingSource(path)
    with encode(source, engine, None) as stream:
        wait_until(lambda: source.claims == 2)
        stream.stop()
        engine.gate.set()
        indices = [index for batch in stream for index in batch.indices.tolist()]
    assert indices == list(range(8))


def test_stop_ends_a_live_stream(patterns: NDArray[Any]) -> None:
    source = MemorySource(Scan(NAV_SHAPE, SIG_SHAPE))
    with encode(source, ProjectionEngine(SPEC, 2, 4), None) as stream:
        for pattern in patterns[:5]:
            source.push(pattern)
        taken = [next(stream)]
        stream.stop()
        taken.extend(stream)
    indices = [index for batch in taken for index in batch.indices.tolist()]
    assert indices == list(range(len(indices)))
    assert source.push(patterns[5]) is False


@pytest.mark.parametrize("lanes", [1, 2])
def test_results_that_nobody_takes_hold_the_lanes_back(path: Path, lanes: int) -> None:
    limit = PENDING_PER_LANE * lanes
    source = CountingSource(path)
    with encode(source, ProjectionEngine(SPEC, lanes, 1), None) as stream:
        wait_until(lambda: source.claims >= limit)
        time.sleep(0.05)
        assert source.claims == limit
        assert stream.statistics.done == 0
        for _ in range(3):
            next(stream)
        wait_until(lambda: source.claims >= limit + 3)
        time.sleep(0.05)
        assert source.claims == limit + 3


def test_kernels_and_engine_are_warm_before_the_source_is_touched(path: Path) -> None:
    events: list[str] = []

    class NotingSource(FileSource):
        def claim(self, limit: int) -> Claim | None:
            events.append("claim")
            return super().claim(limit)

    class NotingEngine(ProjectionEngine):
        def project(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
            events.append("run")
            return super().project(inputs)

    with encode(NotingSource(path), NotingEngine(SPEC, 2, 16), None) as stream:
        assert events[:2] == ["run", "run"]
        for _ in stream:
            pass
    assert events[2] == "claim"


def test_statistics_of_a_file(path: Path) -> None:
    with encode(FileSource(path), ProjectionEngine(SPEC, 2, 16), None) as stream:
        before = stream.statistics
        assert (before.done, before.total, before.lag, before.dropped) == (0, COUNT, COUNT, 0)
        assert (before.rate, before.remaining_s) == (0.0, float("inf"))
        next(stream)
        now = stream.statistics
        assert (now.done, now.lag) == (16, COUNT - 16)
        assert 0 < now.latency_s == now.worst_latency_s
        assert 0 < now.first_s <= now.elapsed_s
        for _ in stream:
            pass
        after = stream.statistics
    assert (after.done, after.lag) == (COUNT, 0)
    assert after.worst_latency_s >= after.latency_s
    assert after.mean_rate == pytest.approx(COUNT / after.elapsed_s)
    assert after.rate > 0
    assert after.remaining_s == 0


def test_statistics_of_a_part_count_only_that(path: Path) -> None:
    with encode(FileSource(path, start=100), ProjectionEngine(SPEC, 2, 16), None, start=100) as stream:
        assert (stream.statistics.total, stream.statistics.lag) == (50, 50)
        for _ in stream:
            pass
        assert (stream.statistics.done, stream.statistics.lag) == (50, 0)


def test_statistics_of_a_live_scan(patterns: NDArray[Any]) -> None:
    source = MemorySource(Scan(NAV_SHAPE, SIG_SHAPE))
    with encode(source, ProjectionEngine(SPEC, 1, 1), None) as stream:
        for pattern in patterns[:3]:
            source.push(pattern)
        assert (stream.statistics.total, stream.statistics.lag) == (COUNT, 3)
        next(stream)
        assert (stream.statistics.done, stream.statistics.lag) == (1, 2)


def test_dropped_patterns_leave_gaps_and_are_counted(patterns: NDArray[Any]) -> None:
    engine = GatedEngine(lanes=1, batch=2)
    source = MemorySource(Scan(NAV_SHAPE, SIG_SHAPE), capacity=4, drop=True)
    accepted = [number for number, pattern in enumerate(patterns[:6]) if source.push(pattern)]
    assert accepted == [0, 1, 2, 3]
    with encode(source, engine, None) as stream:
        engine.gate.set()
        indices = [index for _ in range(2) for index in next(stream).indices.tolist()]
        assert source.push(patterns[6])
        source.finish()
        rest = [index for batch in stream for index in batch.indices.tolist()]
        assert stream.statistics.dropped == 2
    assert indices + rest == [0, 1, 2, 3, 6]


def test_a_background_in_use_can_be_asked_for(path: Path) -> None:
    given = backgrounds()[1]
    for background in (None, given):
        with encode(FileSource(path), ProjectionEngine(SPEC), background) as stream:
            np.testing.assert_array_equal(stream.background, np.zeros((4, 4)) if background is None else given)


def test_what_does_not_fit_is_refused(path: Path, tmp_path: Path) -> None:
    decoder = ProjectionEngine(ModelSpec("backwards", "decoder", 16, Preprocessing((4, 4), 0)))
    with pytest.raises(SpecError, match="is a decoder; encoding needs an encoder"):
        encode(FileSource(path), decoder)
    large = ProjectionEngine(ModelSpec("large", "encoder", 3, Preprocessing((20, 20), 0)))
    with pytest.raises(ScanError, match="8×8 are too small for an engine that takes 20×20"):
        encode(FileSource(path), large)


def test_a_background_of_another_shape_is_refused(path: Path) -> None:
    smaller = np.zeros((2, 2), np.float32)
    with pytest.raises(ScanError, match="background"):
        encode(FileSource(path), ProjectionEngine(SPEC), smaller).close()


def test_a_background_is_no_keyword_but_running(path: Path) -> None:
    with pytest.raises(ScanError, match="'running' or None; got 'mean'"):
        encode(FileSource(path), ProjectionEngine(SPEC), "mean")  # type: ignore[arg-type]
