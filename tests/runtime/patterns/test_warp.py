"""Patterns from one pattern centre to another, against what a camera there would see, and against scipy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from oracles import circular_keep

from microrun.kernels.binning import area_weights
from microrun.kernels.intensity import prepare_area, prepare_whole
from microrun.runtime.errors import ScanError
from microrun.runtime.patterns.background import load_background
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.patterns.warp import Unwarp, Warp
from microrun.runtime.spec import Preprocessing

Image = NDArray[Any]
KNOWN = (0.42, 0.79, 0.50)
FAR = [(0.50, 0.70, 0.62), (0.42, 0.79, 0.62), (0.42, 0.70, 0.50), (0.50, 0.79, 0.50), (0.45, 0.75, 0.42)]
CENTRES = st.tuples(st.floats(0.3, 0.6), st.floats(0.6, 0.9), st.floats(0.35, 0.8))
MASK = circular_keep((120, 120), 0)
PATTERNS = Preprocessing((120, 120), 0)


def see(shape: tuple[int, int], centre: tuple[float, float, float]) -> Image:
    """A smooth image of the directions that a detector sees, by the convention as EDAX words it.

    x* counts in widths from the left, y* in heights from below, z* in the shorter side.
    """
    rows, cols = shape
    x, y, z = centre
    right = (np.arange(cols) + 0.5 - x * cols) / (z * min(shape))
    down = (np.arange(rows) + 0.5 - (1 - y) * rows) / (z * min(shape))
    seen: Image = 3000 + 900 * np.sin(5 * right[None, :] + 1) + 700 * np.cos(4 * down[:, None] + 2 * right[None, :])
    return seen


def binned(preprocessor: Preprocessor, pattern: Image) -> Image:
    out = np.full((1, *preprocessor.input_shape), np.nan, np.float32)
    preprocessor.bin(np.rint(pattern).astype(np.uint16)[None], out)
    return out[0]


@pytest.mark.parametrize("shape", [(120, 120), (480, 480), (60, 60), (120, 160), (160, 120), (243, 322), (97, 61)])
@pytest.mark.parametrize("centre", FAR)
def test_a_warped_pattern_is_what_a_camera_at_the_other_place_sees(
    shape: tuple[int, int], centre: tuple[float, float, float]
) -> None:
    preprocessor = Preprocessor(PATTERNS, shape, warp=Warp(centre, KNOWN))
    found, expected = binned(preprocessor, see(shape, centre)), see((120, 120), KNOWN)
    keep = preprocessor.pixel_keep
    assert not keep[~MASK].any() and keep.sum() > 0.4 * MASK.sum()
    coarse = 1 if min(shape) >= 120 else 3  # pixels of small detectors are repeated
    assert np.abs(found - expected)[keep].max() < 100 * coarse
    assert np.sqrt(((found - expected)[keep] ** 2).mean()) < 15 * coarse


@pytest.mark.parametrize("centre", FAR)
def test_scipy_warps_a_smooth_image_alike(centre: tuple[float, float, float]) -> None:
    from scipy.ndimage import map_coordinates

    preprocessor = Preprocessor(PATTERNS, (120, 120), warp=Warp(centre, KNOWN))
    pattern = np.rint(see((120, 120), centre))
    row, col = np.mgrid[:120, :120] + 0.5
    right, down = (col / 120 - KNOWN[0]) / KNOWN[2], (row / 120 - (1 - KNOWN[1])) / KNOWN[2]
    places = [
        ((1 - centre[1]) + down * centre[2]) * 120 - 0.5,
        (centre[0] + right * centre[2]) * 120 - 0.5,
    ]
    expected = map_coordinates(pattern, places, order=1, mode="nearest")
    inside = np.hypot(places[0] - 59.5, places[1] - 59.5) <= 61.3  # of whole pixels, and parts of them at the edge
    keep = preprocessor.pixel_keep
    assert not (keep & ~inside).any() and keep.sum() > 0.9 * (MASK & inside).sum()
    assert_allclose(binned(preprocessor, pattern)[keep], expected[keep], atol=60)


@pytest.mark.parametrize("shape", [(480, 480), (120, 120), (97, 97), (156, 128)])
def test_without_a_pattern_centre_all_is_as_it_was(shape: tuple[int, int]) -> None:
    patterns = np.random.default_rng(0).integers(0, 65535, (2, *shape), np.uint16)
    side = min(shape)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    cropped = patterns[:, top : top + side, left : left + side]
    background, keep = np.full((120, 120), 900, np.float32), MASK.astype(np.float32)
    made = [(np.empty((2, 120, 120), np.float32), np.empty((2, 2), np.float32), np.empty(2, bool)) for _ in range(2)]
    Preprocessor(PATTERNS, shape).prepare(patterns, background, *made[0])
    if side % 120:
        axis = area_weights(side, 120)
        prepare_area(cropped, *axis, *axis, background, keep, False, *made[1])
    else:
        prepare_whole(cropped, side // 120, background, keep, False, *made[1])
    for one, other in zip(*made, strict=True):
        assert_array_equal(one, other)


@given(CENTRES)
def test_a_pattern_centre_that_the_model_knows_changes_nothing(centre: tuple[float, float, float]) -> None:
    plain, warped = Preprocessor(PATTERNS, (60, 60)), Preprocessor(PATTERNS, (60, 60), warp=Warp(centre, centre))
    pattern = np.random.default_rng(1).integers(0, 255, (60, 60), np.uint8)
    assert_array_equal(warped.pixel_keep, plain.pixel_keep)
    assert_allclose(binned(warped, pattern), binned(plain, pattern), atol=1e-3)


@given(CENTRES, st.tuples(st.integers(60, 99), st.integers(60, 99)))
def test_the_way_back_undoes_the_way_there(centre: tuple[float, float, float], shape: tuple[int, int]) -> None:
    warp = Warp(centre, KNOWN)
    for there, back in zip(warp.to_model(shape), warp.to_scan(shape), strict=True):
        for edge in (0.0, 0.3, 1.0):
            seen = there[0] + edge * (there[1] - there[0])
            assert back[0] + seen * (back[1] - back[0]) == pytest.approx(edge)


@pytest.mark.parametrize("shape", [(120, 120), (120, 160)])
@pytest.mark.parametrize("centre", FAR)
def test_warped_there_and_back_a_pattern_is_itself(shape: tuple[int, int], centre: tuple[float, float, float]) -> None:
    warp = Warp(centre, KNOWN)
    preprocessor, unwarp = Preprocessor(PATTERNS, shape, warp=warp), Unwarp(warp, shape, MASK)
    pattern = see(shape, centre)
    there = binned(preprocessor, pattern).astype(np.float32)
    there[~MASK] = 1e6  # what a decoder says of them is nothing
    back, plain = unwarp.apply(there[None])[0], binned(Preprocessor(PATTERNS, shape), pattern)
    assert not unwarp.shown[~MASK].any()
    assert_array_equal(back[~unwarp.shown], 0)
    off = np.abs(back - plain)[unwarp.shown]
    assert np.quantile(off, 0.95) < 40 and off.max() < 250


def test_pixels_beside_the_detector_take_no_part_in_the_range() -> None:
    """Corners of a detector are dark, and beside it nothing is."""
    preprocessor = Preprocessor(PATTERNS, (120, 120), warp=Warp((0.42, 0.79, 0.62), KNOWN))
    pattern = np.where(MASK, see((120, 120), (0.42, 0.79, 0.62)), 0)
    rough = np.rint(pattern).astype(np.uint16)[None]
    out, ranges, flags = np.empty((1, 120, 120), np.float32), np.empty((1, 2), np.float32), np.empty(1, bool)
    preprocessor.prepare(rough, np.zeros((120, 120), np.float32), out, ranges, flags)
    keep = preprocessor.pixel_keep
    assert ranges[0, 0] > 1000
    assert_allclose([out[0, keep].min(), out[0, keep].max()], [-1, 1], atol=1e-5)
    assert_allclose(out[0, MASK & ~keep], out[0, keep].mean(), atol=1e-5)
    assert_array_equal(out[0, ~MASK], 0)


def test_a_small_detector_is_magnified() -> None:
    preprocessor = Preprocessor(PATTERNS, (60, 60), warp=Warp((0.5, 0.5, 0.25), (0.5, 0.5, 0.5)))
    found = binned(preprocessor, np.repeat(np.arange(60)[:, None], 60, 1))
    assert_array_equal(preprocessor.pixel_keep, MASK)
    assert_allclose(found[:, 60], 15 + np.arange(120) // 4, atol=1e-4)


@pytest.mark.parametrize("centre", [(0.42, 0.21, 0.50), (1.2, 0.79, 0.50), (0.42, 0.79, 2.0)])
def test_a_detector_that_hardly_sees_what_the_model_does_is_refused(centre: tuple[float, float, float]) -> None:
    """The first is in Bruker's convention."""
    with pytest.raises(ScanError, match=r"warped to 0\.42, 0\.79, 0\.5: the detector shows \d+% .* a third at least"):
        Preprocessor(PATTERNS, (120, 120), warp=Warp(centre, KNOWN))


@pytest.mark.parametrize(
    "centre",
    [(0.4, 0.8), (0.4, 0.8, 0.0), (0.4, 0.8, -1), (math.nan, 0.8, 0.5), (0.4, math.inf, 0.5), (201.6, 379.2, 240.0),
     (1.6, 0.5, 0.5), (0.5, -0.6, 0.5), (0.4, 0.8, 5.0), ("0.4", 0.8, 0.5), (True, 0.8, 0.5), (None, 0.8, 0.5)],
)  # fmt: skip
def test_what_is_no_pattern_centre_is_refused(centre: Any) -> None:
    for warp in ((centre, KNOWN), (KNOWN, centre)):
        with pytest.raises(ScanError, match="a pattern centre is") as error:
            Warp(*warp)
        assert "\n" not in str(error.value)


def test_a_background_is_warped_as_patterns_are(tmp_path: Any) -> None:
    preprocessor = Preprocessor(PATTERNS, (240, 240), warp=Warp(FAR[0], KNOWN))
    image = np.rint(see((240, 240), FAR[0])).astype(np.uint16)
    np.save(tmp_path / "background.npy", image)
    keep = preprocessor.pixel_keep
    background = load_background(tmp_path / "background.npy", preprocessor)
    assert_allclose(background[keep], binned(preprocessor, image)[keep], rtol=1e-5)
    np.save(tmp_path / "binned.npy", image[:120, :120])
    with pytest.raises(ScanError, match=r"binned\.npy: a background must have the detector's shape \(240, 240\)"):
        load_background(tmp_path / "binned.npy", preprocessor)
