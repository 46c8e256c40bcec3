"""How a stream ends: by an error in its place, by being left or stopped; no thread is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from streams import (
    COUNT,
    LONG_S,
    NAV_SHAPE,
    SIG_SHAPE,
    SPEC,
    CountingSource,
    FailingEngine,
    GatedEngine,
    collect,
    wait_until,
    within_time,
)
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.encoding.stream import PENDING_PER_LANE, encode
from microrun.runtime.errors import EngineError, ScanError
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import MemorySource, Source
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.testing import ProjectionEngine


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
