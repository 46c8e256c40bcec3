"""Encoding as a stream: results in scan order whatever lanes and batches, and what is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from streams import (
    COUNT,
    LONG_S,
    NAV_SHAPE,
    SIG_SHAPE,
    SPEC,
    Background,
    GatedEngine,
    UnevenEngine,
    assert_same,
    backgrounds,
    camera,
    collect,
    expected_latents,
)
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.encoding.stream import encode
from microrun.runtime.errors import ScanError, SpecError
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import Claim, MemorySource
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import ModelSpec, Preprocessing
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


class Hasty(FileSource):
    """Claims some patterns again at the end, as where zeros were seen that were gone when they were read."""

    again: tuple[int, ...] = ()

    def claim(self, limit: int) -> Claim | None:
        claim = super().claim(limit)
        if claim is None and self.again:
            claim, self.again = Claim(np.array(self.again), again=True), ()
        return claim


def test_patterns_taken_again_are_counted_once_and_flagged_as_they_are(path: Path, patterns: NDArray[Any]) -> None:
    patterns[6] = 0
    source = Hasty(write_up(path, patterns, Header(sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE)))
    source.again = (3, 7)  # neither of them was blank when it was read first
    with encode(source, ProjectionEngine(SPEC)) as stream:
        for _ in stream:
            assert 0 <= stream.statistics.flagged <= 1
        assert (stream.statistics.done, stream.statistics.flagged) == (COUNT, 1)
