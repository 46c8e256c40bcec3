"""Batches of a source: the claims come in order, and what is prepared equals the slow twins."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import oracles
import pytest
from numpy.typing import NDArray
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.encoding import feed as feed_module
from microrun.runtime.encoding.feed import Buffers, Feed, RunningFeed, StaticFeed
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import MemorySource, Source
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing
from microrun.runtime.testing import FunctionLane

SIG_SHAPE = (8, 8)
PREPROCESSING = Preprocessing((4, 4), 0)
NAV_SHAPE = (10, 15)  # 150 patterns: two whole blocks of the running mean, and a part of a third


class Fed(NamedTuple):
    """All that a feed gave: numbers, prepared patterns, ranges, flags, and the background of every pattern."""

    indices: NDArray[np.int64]
    prepared: NDArray[np.float32]
    ranges: NDArray[np.float32]
    flags: NDArray[np.bool_]
    backgrounds: NDArray[np.float32]


@pytest.fixture
def preprocessor() -> Preprocessor:
    return Preprocessor(PREPROCESSING, SIG_SHAPE)


@pytest.fixture
def patterns() -> NDArray[Any]:
    """Random patterns, two of them constant."""
    made = make_patterns(150, SIG_SHAPE)
    made[[5, 100]] = 777
    return made


@pytest.fixture
def path(tmp_path: Path, patterns: NDArray[Any]) -> Path:
    return write_up(tmp_path / "scan.up2", patterns, Header(sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE))


def make_buffers(source: Source, batch: int) -> Buffers:
    return Buffers.for_lane(source.scan, FunctionLane(lambda inputs: inputs, (batch, 1, 4, 4)))


def drain(feed: Feed[Any], source: Source, limit: int) -> Fed:
    buffers = make_buffers(source, limit)
    parts: list[tuple[NDArray[Any], ...]] = []
    while (taken := feed.take(limit)) is not None:
        n = len(taken.indices)
        assert 1 <= n <= limit
        feed.prepare(taken, buffers)
        made = (buffers.prepared[:n], buffers.ranges[:n], buffers.flags[:n])
        backgrounds = np.repeat(taken.background[None], n, axis=0)
        parts.append((taken.indices, *(array.copy() for array in made), backgrounds))
    return Fed(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def check(fed: Fed, patterns: NDArray[Any], backgrounds: NDArray[Any]) -> None:
    """Compare with the slow twins, pattern by pattern."""
    keep = oracles.circular_keep((4, 4), 0)
    for index, prepared, limits, flag, background in zip(*fed, strict=True):
        expected = oracles.rescale_pattern(oracles.bin_whole(patterns[index], 2), backgrounds[index], keep)
        np.testing.assert_allclose(background, backgrounds[index], rtol=1e-5)
        assert flag == expected.flagged
        if flag:
            assert not prepared.any()
            continue
        tolerance = oracles.rescale_tolerance(65535, expected.value_range, 1e-6)
        np.testing.assert_allclose(prepared, expected.out, atol=tolerance)
        np.testing.assert_allclose(limits, expected.value_range, atol=0.1)


@pytest.mark.parametrize("limit", [1, 7, 64, 200])
def test_a_known_background_is_subtracted(
    path: Path, patterns: NDArray[Any], preprocessor: Preprocessor, limit: int
) -> None:
    source = FileSource(path)
    background = np.random.default_rng(1).uniform(0, 40_000, (4, 4)).astype(np.float32)
    fed = drain(StaticFeed(source, preprocessor, background), source, limit)
    np.testing.assert_array_equal(fed.indices, np.arange(150))
    check(fed, patterns, np.repeat(background[None], 150, axis=0))


def test_without_a_background_nothing_is_subtracted(
    path: Path, patterns: NDArray[Any], preprocessor: Preprocessor
) -> None:
    source = FileSource(path)
    feed = StaticFeed(source, preprocessor, None)
    check(drain(feed, source, 16), patterns, np.zeros((150, 4, 4)))
    assert not feed.background.any()


@pytest.mark.parametrize("chunk", [1, 3, 16])
def test_a_batch_may_be_read_in_chunks(
    path: Path, patterns: NDArray[Any], preprocessor: Preprocessor, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(feed_module, "CHUNK_BYTES", chunk * patterns[0].nbytes)
    source = FileSource(path)
    assert len(make_buffers(source, 16).raw) == chunk
    check(drain(StaticFeed(source, preprocessor, None), source, 16), patterns, np.zeros((150, 4, 4)))


@pytest.mark.parametrize("limit", [1, 7, 64, 200])
def test_the_running_mean_is_that_of_the_blocks_before(
    path: Path, patterns: NDArray[Any], preprocessor: Preprocessor, limit: int
) -> None:
    source = FileSource(path)
    feed = RunningFeed(source, preprocessor)
    fed = drain(feed, source, limit)
    np.testing.assert_array_equal(fed.indices, np.arange(150))
    binned = np.array([oracles.bin_whole(pattern, 2) for pattern in patterns])
    check(fed, patterns, oracles.running_backgrounds(binned, np.ptp(patterns, axis=(1, 2)) > 0))
    np.testing.assert_array_equal(feed.background, fed.backgrounds[-1])


BLANK_PARTS = {
    "shutter closed at first": slice(0, 70),
    "a few before the shutter closed": slice(3, 100),
    "one good pattern in the first block": slice(1, 64),
    "an aborted scan": slice(90, 150),
    "every other": slice(0, 150, 2),
    "all": slice(0, 150),
}


@pytest.mark.parametrize("blank", BLANK_PARTS.values(), ids=BLANK_PARTS)
@pytest.mark.parametrize(("value", "limit"), [(0, 7), (65535, 64)])
def test_blank_patterns_stay_out_of_the_running_mean(
    tmp_path: Path, preprocessor: Preprocessor, blank: slice, value: int, limit: int
) -> None:
    patterns = make_patterns(150, SIG_SHAPE, seed=4)
    patterns[blank] = value
    source = FileSource(write_up(tmp_path / "a.up2", patterns, Header(sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE)))
    fed = drain(RunningFeed(source, preprocessor), source, limit)
    np.testing.assert_array_equal(fed.indices, np.arange(150))
    good = np.ones(150, bool)
    good[blank] = False
    np.testing.assert_array_equal(fed.flags, ~good)
    binned = np.array([oracles.bin_whole(pattern, 2) for pattern in patterns])
    expected = oracles.running_backgrounds(binned, good)
    np.testing.assert_allclose(fed.backgrounds[good], expected[good], rtol=1e-6)


@pytest.mark.parametrize("start", [0, 1, 63, 64, 65, 149])
@pytest.mark.parametrize("limit", [5, 64])
def test_the_running_mean_depends_on_neither_batch_nor_start(
    path: Path, preprocessor: Preprocessor, limit: int, start: int
) -> None:
    one, other = FileSource(path), FileSource(path)
    whole = drain(RunningFeed(one, preprocessor), one, 16)
    part = drain(RunningFeed(other, preprocessor, start), other, limit)
    for expected, found in zip(whole, part, strict=True):
        np.testing.assert_array_equal(found, expected[start:])


def test_with_all_patterns_encoded_before_the_running_mean_gives_none(path: Path, preprocessor: Preprocessor) -> None:
    source = FileSource(path)
    feed = RunningFeed(source, preprocessor, 150)
    assert feed.take(16) is None
    assert feed.background.any()


@pytest.mark.parametrize("count", [1, 40, 64])
def test_a_scan_that_ends_in_the_first_block_uses_its_own_mean(
    tmp_path: Path, preprocessor: Preprocessor, count: int
) -> None:
    patterns = make_patterns(count, SIG_SHAPE, seed=3)
    path = write_up(tmp_path / "short.up2", patterns, Header(sig_shape=SIG_SHAPE, nav_shape=(1, count)))
    source = FileSource(path)
    fed = drain(RunningFeed(source, preprocessor), source, 16)
    binned = np.array([oracles.bin_whole(pattern, 2) for pattern in patterns])
    mean = binned.mean(axis=0)
    np.testing.assert_allclose(fed.backgrounds, np.repeat(mean[None], count, axis=0), rtol=1e-6)


def test_patterns_that_trickle_in_make_the_same_running_mean(
    path: Path, patterns: NDArray[Any], preprocessor: Preprocessor
) -> None:
    live = MemorySource(Scan(NAV_SHAPE, SIG_SHAPE), capacity=3)
    camera = threading.Thread(target=lambda: [live.push(pattern) for pattern in patterns], daemon=True)
    camera.start()
    found = drain(RunningFeed(live, preprocessor), live, 16)
    camera.join()
    file = FileSource(path)
    expected = drain(RunningFeed(file, preprocessor), file, 16)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def make_feed(source: Source, preprocessor: Preprocessor, running: bool) -> Feed[Any]:
    return RunningFeed(source, preprocessor) if running else StaticFeed(source, preprocessor, None)


@pytest.mark.parametrize("running", [False, True])
def test_no_patterns_give_no_batch(preprocessor: Preprocessor, running: bool) -> None:
    source = MemorySource(Scan(NAV_SHAPE, SIG_SHAPE))
    source.finish()
    feed = make_feed(source, preprocessor, running)
    assert feed.take(4) is None
    assert feed.take(4) is None
    assert not feed.background.any()


@pytest.mark.parametrize("running", [False, True])
def test_numbers_with_gaps_are_kept(preprocessor: Preprocessor, running: bool) -> None:
    source = MemorySource(Scan(NAV_SHAPE, SIG_SHAPE))
    for number in (0, 3, 4, 90):
        source.push(make_patterns(1, SIG_SHAPE, seed=number)[0], number)
    source.finish()
    fed = drain(make_feed(source, preprocessor, running), source, 3)
    assert fed.indices.tolist() == [0, 3, 4, 90]
