"""Pixels that are dead, hot or stuck over a scan are found and filled; a good camera's patterns keep their bits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.errors import ScanError
from microrun.runtime.patterns.background import mean_background
from microrun.runtime.patterns.bad_pixels import find_bad_pixels, judge_pixels, preprocessor_for
from microrun.runtime.patterns.pixel_filling import PixelFilling
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.up2 import ScanWarning
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing

ROWS, COLS = 24, 28
PREPROCESSING = Preprocessing((12, 12))


def camera(count: int, dtype: str = "uint16", noise: float = 0.03, seed: int = 0) -> NDArray[Any]:
    """Patterns of a few grains: bands on a bright spot, brightness that drifts, noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:ROWS, :COLS]
    spot = 0.4 + 0.6 * np.exp(-(((x - 12) / 20) ** 2) - ((y - 10) / 18) ** 2)
    phase = rng.choice(rng.uniform(0, 6, (5, 1, 1)), count)
    bands = 1 + 0.1 * np.sin(x / 2 + y / 3 + phase) + 0.05 * (np.abs(x - y + 2 * phase) < 2)
    light = np.linspace(0.7, 1, count)[:, None, None]
    values = 0.5 * spot * bands * light * (1 + noise * rng.standard_normal((count, ROWS, COLS)))
    return (np.clip(values, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def write(path: Path, patterns: NDArray[Any]) -> FileSource:
    header = Header(sig_shape=(patterns.shape[1], patterns.shape[2]), nav_shape=(1, len(patterns)))
    return FileSource(write_up(path, patterns, header))


BAD = {
    "hot": lambda top, flicker: top,
    "dead": lambda top, flicker: 0,
    "hot in half of the patterns": lambda top, flicker: np.where(flicker < 0.5, top, -1),
    "hot in one of six patterns": lambda top, flicker: np.where(np.arange(len(flicker)) % 6 == 0, top, -1),
    "dead in half of the patterns": lambda top, flicker: np.where(flicker < 0.5, 0, -1),
    "stuck in the middle": lambda top, flicker: top // 5,
}


def spoil(patterns: NDArray[Any], place: tuple[Any, Any], kind: str, top: int) -> None:
    values = np.broadcast_to(BAD[kind](top, np.random.default_rng(9).random(len(patterns))), len(patterns))
    pixels = patterns[:, place[0], place[1]]
    wide = values.reshape(-1, *(1,) * (pixels.ndim - 1))
    patterns[:, place[0], place[1]] = np.where(wide < 0, pixels, wide).astype(patterns.dtype)


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535)])
@settings(max_examples=8)
@given(row=st.integers(0, ROWS - 1), col=st.integers(0, COLS - 1))
def test_a_bad_pixel_is_found_wherever_it_is(kind: str, dtype: str, top: int, row: int, col: int) -> None:
    patterns = camera(48, dtype)
    spoil(patterns, (row, col), kind, top)
    assert np.argwhere(judge_pixels(patterns)).tolist() == [[row, col]]


@pytest.mark.parametrize(
    "place", [(slice(None), 9), (slice(9, 11), slice(None)), (slice(5, 8), slice(9, 12))], ids=["line", "lines", "blob"]
)
def test_bad_lines_and_blobs_are_found(place: tuple[Any, Any]) -> None:
    patterns, expected = camera(48), np.zeros((ROWS, COLS), bool)
    spoil(patterns, place, "hot in half of the patterns", 65535)
    expected[place] = True
    assert_array_equal(judge_pixels(patterns), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_a_good_camera_has_no_bad_pixel(noise: float, dtype: str, seed: int) -> None:
    assert not judge_pixels(camera(64, dtype, noise, seed)).any()
    assert not judge_pixels(make_patterns(64, (ROWS, COLS), dtype, seed)).any()


def test_a_scan_of_copies_or_of_few_patterns_says_nothing(tmp_path: Path) -> None:
    few = camera(15)
    few[:, 5, 5] = 65535
    for name, patterns in (("few", few), ("copies", few[np.arange(100) % 2])):
        source = write(tmp_path / f"{name}.up2", patterns)
        assert not find_bad_pixels(source, Preprocessor(PREPROCESSING, (ROWS, COLS))).any()


@pytest.mark.parametrize("value", [0, 65535])
def test_blank_frames_hide_no_bad_pixel(tmp_path: Path, value: int) -> None:
    patterns = camera(100)
    patterns[40:] = value
    patterns[::2, 5, 6] = 65535 - value  # also in the blank frames, which are blank none the less
    source = write(tmp_path / "a.up2", patterns)
    with pytest.warns(ScanWarning, match="1 of 672 pixels is dead, hot or stuck: filled"):
        preprocessor = preprocessor_for(source, PREPROCESSING)
    assert np.argwhere(preprocessor.bad_pixels).tolist() == [[5, 6]]
    with pytest.warns(ScanWarning, match="60 of 100 patterns carry no information"):
        mean_background(source, preprocessor)


# Filling


def nearest_mean(pattern: NDArray[Any], bad: NDArray[Any], row: int, col: int) -> float:
    """Mean of the four nearest good pixels, the first rows' of equally near ones, by looking at all."""
    good = sorted(((r - row) ** 2 + (c - col) ** 2, r, c) for r, c in np.argwhere(~bad).tolist())
    return float(np.mean([pattern[r, c] for _, r, c in good[:4]]))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.3, 0.9]), st.sampled_from(["uint8", "uint16", "float32"]))
def test_bad_pixels_get_the_mean_of_the_nearest_good_ones(seed: int, share: float, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    bad = rng.random((9, 7)) < share
    bad.flat[rng.permutation(63)[:4]] = False
    patterns = rng.integers(0, 255, (3, 9, 7)).astype(dtype)
    kept = patterns.copy()
    filled = PixelFilling(bad).fill(patterns) if bad.any() else patterns
    assert_array_equal(patterns, kept)
    assert filled.dtype == patterns.dtype
    assert_array_equal(filled[:, ~bad], patterns[:, ~bad])
    for number, row, col in ((n, *place) for n in range(3) for place in np.argwhere(bad).tolist()):
        wanted = nearest_mean(patterns[number], bad, row, col)
        assert filled[number, row, col] == (np.rint(wanted) if dtype != "float32" else np.float32(wanted))


def test_a_camera_of_bad_pixels_only_is_refused() -> None:
    with pytest.raises(ScanError, match="81 of 81 pixels are bad"):
        PixelFilling(np.ones((9, 9), bool))


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_pixel_hardly_changes_what_is_prepared(tmp_path: Path, kind: str) -> None:
    good = camera(60)
    spoiled = good.copy()
    spoil(spoiled, (11, 13), kind, 65535)
    outs = []
    for name, patterns in (("good", good), ("spoiled", spoiled)):
        source = write(tmp_path / f"{name}.up2", patterns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ScanWarning)
            preprocessor = preprocessor_for(source, PREPROCESSING)
        out = np.empty((60, 12, 12), np.float32)
        background = mean_background(source, preprocessor)
        preprocessor.prepare(patterns, background, out, np.empty((60, 2), np.float32), np.empty(60, bool))
        outs.append(out)
    assert np.corrcoef(outs[0].ravel(), outs[1].ravel())[0, 1] > 0.99


def test_without_bad_pixels_nothing_is_copied_or_changed(tmp_path: Path) -> None:
    patterns = camera(60)
    found = preprocessor_for(write(tmp_path / "a.up2", patterns), PREPROCESSING)
    plain = Preprocessor(PREPROCESSING, (ROWS, COLS))
    assert found._fill(patterns) is patterns
    outs = [np.empty((60, 12, 12), np.float32) for _ in range(2)]
    for preprocessor, out in zip((found, plain), outs, strict=True):
        preprocessor.bin(patterns, out)
    assert_array_equal(*outs)


def test_a_background_image_is_filled_alike() -> None:
    bad = np.zeros((ROWS, COLS), bool)
    bad[10, 12] = True
    image = np.full((ROWS, COLS), 100.0)
    image[10, 12] = 60_000
    assert_array_equal(Preprocessor(PREPROCESSING, (ROWS, COLS), bad).bin_image(image), np.full((12, 12), 100.0))
