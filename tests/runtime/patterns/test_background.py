"""Backgrounds: means over scans, files, and a running mean that batches cannot change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.errors import ScanError
from microrun.runtime.patterns.background import (
    BLOCK,
    RunningBackground,
    load_background,
    mean_background,
    static_background,
)
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing

SHAPE = (3, 4)


@pytest.fixture
def preprocessor() -> Preprocessor:
    return Preprocessor(Preprocessing((30, 30)), (60, 60))


# Mean over a scan


def test_the_mean_over_a_scan(nickel_up1: Path, nickel: Any, preprocessor: Preprocessor) -> None:
    source = FileSource(nickel_up1)
    mean = mean_background(source, preprocessor)
    assert mean.dtype == np.float32
    assert_allclose(mean, oracles.bin_whole(nickel.patterns.mean(axis=0), 2), rtol=1e-6)
    claim = source.claim(9)
    assert claim is not None
    assert claim.indices.tolist() == list(range(9)), "a background must not claim patterns"


def test_a_background_is_chosen_by_a_word_or_a_file(nickel_up1: Path, nickel: Any, preprocessor: Preprocessor) -> None:
    source = FileSource(nickel_up1)
    assert_array_equal(static_background("auto", source, preprocessor), mean_background(source, preprocessor))
    assert_array_equal(static_background("none", source, preprocessor), np.zeros(preprocessor.input_shape))
    path = nickel_up1.with_name("background.npy")
    np.save(path, nickel.background)
    assert_array_equal(static_background(str(path), source, preprocessor), load_background(path, preprocessor))
    with pytest.raises(ScanError, match=r"mean: no such file"):
        static_background("mean", source, preprocessor)


@pytest.mark.parametrize(("subset", "taken"), [(1, [0]), (2, [0, 8]), (3, [0, 4, 8]), (9, range(9)), (99, range(9))])
def test_the_mean_over_an_even_subset(
    nickel_up1: Path, nickel: Any, preprocessor: Preprocessor, subset: int, taken: list[int]
) -> None:
    expected = nickel.patterns[list(taken)].mean(axis=0)
    mean = mean_background(FileSource(nickel_up1), preprocessor, subset)
    assert_allclose(mean, oracles.bin_whole(expected, 2), rtol=1e-6)


def test_the_mean_over_what_an_aborted_scan_left(tmp_path: Path) -> None:
    patterns = make_patterns(20, (6, 6))
    path = write_up(tmp_path / "a.up2", patterns, Header(sig_shape=(6, 6), nav_shape=(5, 5)), trailing=bytes(7))
    with pytest.warns(UserWarning, match="20 of the 25"):
        source = FileSource(path)
    mean = mean_background(source, Preprocessor(Preprocessing((3, 3)), (6, 6)))
    assert_allclose(mean, oracles.bin_whole(patterns.mean(axis=0), 2), rtol=1e-6)


# Files


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_an_image_of_the_detector(tmp_path: Path, nickel: Any, preprocessor: Preprocessor, dtype: str) -> None:
    np.save(tmp_path / "background.npy", nickel.background.astype(dtype))
    background = load_background(tmp_path / "background.npy", preprocessor)
    assert background.dtype == np.float32
    assert_allclose(background, oracles.bin_whole(nickel.background, 2), rtol=1e-6)


def test_an_image_that_is_already_binned(tmp_path: Path, preprocessor: Preprocessor) -> None:
    image = np.random.default_rng(0).random((30, 30))
    np.save(tmp_path / "background.npy", image)
    background = load_background(tmp_path / "background.npy", preprocessor)
    assert_array_equal(background, image.astype(np.float32))


@pytest.mark.parametrize("version", [1, 3])
def test_a_scan_of_the_background(tmp_path: Path, preprocessor: Preprocessor, version: int) -> None:
    patterns = make_patterns(7, (60, 60))
    path = write_up(tmp_path / "background.UP2", patterns, Header(version, (60, 60), (1, 7)))
    assert_allclose(load_background(path, preprocessor), oracles.bin_whole(patterns.mean(axis=0), 2), rtol=1e-6)


def check_refused(path: Path, preprocessor: Preprocessor) -> None:
    with pytest.raises(ScanError) as caught:
        load_background(path, preprocessor)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["a.npy", "a.png", "a", "a.up1", "a.up2"])
@pytest.mark.parametrize(
    "content", [None, b"", b"\x93NUMPY", b"\x89PNG\r\n", b"PK\x03\x04 no archive", b"text", bytes(80)]
)
def test_files_that_are_no_background(
    tmp_path: Path, preprocessor: Preprocessor, content: bytes | None, name: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    check_refused(path, preprocessor)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((60, 61)),
        np.zeros((120, 120)),
        np.zeros((1, 60, 60)),
        np.zeros(()),
        np.full((60, 60), np.nan),
        np.full((60, 60), np.inf),
        np.zeros((60, 60), complex),
        np.zeros((60, 60), bool),
        np.full((60, 60), "a"),
        np.full((60, 60), None),
    ],
    ids=lambda image: f"{image.dtype}{image.shape}",
)
def test_arrays_that_are_no_background(tmp_path: Path, preprocessor: Preprocessor, image: NDArray[Any]) -> None:
    np.save(tmp_path / "a.npy", image)
    check_refused(tmp_path / "a.npy", preprocessor)


@pytest.mark.parametrize("side", [30, 60])
def test_numbers_beyond_float32_are_no_background(tmp_path: Path, preprocessor: Preprocessor, side: int) -> None:
    np.save(tmp_path / "a.npy", np.full((side, side), 1e300))
    with np.errstate(over="ignore"):
        check_refused(tmp_path / "a.npy", preprocessor)


def test_a_truncated_image_is_refused(tmp_path: Path, preprocessor: Preprocessor) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((60, 60)))
    path.write_bytes(path.read_bytes()[:-1])
    check_refused(path, preprocessor)


def test_an_archive_is_refused(tmp_path: Path, preprocessor: Preprocessor) -> None:
    np.savez(tmp_path / "a.npz", background=np.zeros((60, 60)))
    check_refused(tmp_path / "a.npz", preprocessor)


def test_scans_that_are_no_background(tmp_path: Path, preprocessor: Preprocessor) -> None:
    for name, patterns in (("other", make_patterns(2, (30, 30))), ("empty", make_patterns(0, (60, 60)))):
        sig_shape = (patterns.shape[1], patterns.shape[2])
        check_refused(write_up(tmp_path / f"{name}.up2", patterns, Header(sig_shape=sig_shape)), preprocessor)


# Running mean


def run(binned: NDArray[np.float32], sizes: list[int]) -> NDArray[np.float32]:
    """Background of each pattern when batches of these sizes come in turn, never across a block."""
    running, backgrounds, start = RunningBackground(SHAPE), [], 0
    while start < len(binned):
        wanted = sizes[len(backgrounds) % len(sizes)] if start >= BLOCK else BLOCK
        batch = binned[start : start + min(wanted, running.room)]
        backgrounds.append(np.broadcast_to(running.update(batch), batch.shape).copy())
        start += len(batch)
    return np.concatenate(backgrounds)


def noise(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).uniform(0, 65535, (count, *SHAPE)).astype(np.float32)


@given(st.integers(1, 5 * BLOCK), st.lists(st.integers(1, BLOCK + 9), min_size=1, max_size=9))
def test_the_running_mean_does_not_depend_on_batches(count: int, sizes: list[int]) -> None:
    binned = noise(count)
    backgrounds = run(binned, sizes)
    assert_array_equal(backgrounds, run(binned, [BLOCK]))
    assert_allclose(backgrounds, oracles.running_backgrounds(binned), rtol=1e-6)


def test_a_block_is_renewed_only_when_it_is_full() -> None:
    binned = noise(3 * BLOCK)
    backgrounds = run(binned, [5])
    for block in range(3):
        assert len(np.unique(backgrounds[block * BLOCK : (block + 1) * BLOCK], axis=0)) == 1
    assert_array_equal(backgrounds[0], backgrounds[BLOCK])  # both: the mean over the first block
    assert not np.array_equal(backgrounds[BLOCK], backgrounds[2 * BLOCK])


def test_room_counts_down_to_the_next_block() -> None:
    running = RunningBackground(SHAPE)
    assert running.room == BLOCK
    running.update(noise(BLOCK))
    assert running.room == BLOCK
    running.update(noise(10))
    assert running.room == BLOCK - 10


def test_a_short_scan_has_its_own_mean() -> None:
    binned = noise(5)
    mean = RunningBackground(SHAPE).update(binned)
    assert mean.dtype == np.float32
    assert_allclose(mean, binned.mean(axis=0, dtype=np.float64), rtol=1e-6)


def test_many_bright_patterns_do_not_wear_the_mean_out() -> None:
    running, bright = RunningBackground((1, 1)), np.full((BLOCK, 1, 1), 65535.9, np.float32)
    for _ in range(200):
        mean = running.update(bright)
    assert_array_equal(mean, bright[0])


def test_a_background_is_not_changed_after_it_was_given() -> None:
    running = RunningBackground(SHAPE)
    first = running.update(noise(BLOCK))
    kept = first.copy()
    running.update(noise(1))
    running.update(noise(BLOCK - 1))
    running.update(noise(2))
    assert_array_equal(first, kept)
