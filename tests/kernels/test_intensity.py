"""Preparation of patterns against plain numpy, and the patterns that carry no information."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.kernels.binning import area_weights
from microrun.kernels.intensity import prepare_area, prepare_whole, rescale_pattern, rescale_patterns

Results = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]
SHAPE = (5, 6)
LEVELS = st.one_of(st.just(0.0), st.floats(2**-10, 65535, width=32))  # of intensities
PATTERNS = arrays(np.float32, SHAPE, elements=LEVELS)
MASKS = arrays(np.bool_, SHAPE)


def buffers(count: int, shape: tuple[int, int]) -> Results:
    out = np.full((count, *shape), np.nan, np.float32)
    return out, np.full((count, 2), np.nan, np.float32), np.zeros(count, bool)


def rescaled(
    binned: NDArray[Any],
    background: NDArray[Any] | None = None,
    keep: NDArray[Any] | None = None,
    scaled: bool = False,
) -> Results:
    shape = (binned.shape[1], binned.shape[2])
    background = np.zeros(shape, np.float32) if background is None else background
    keep = np.ones(shape, bool) if keep is None else keep
    results = buffers(len(binned), shape)
    rescale_patterns(binned.astype(np.float32), background, keep.astype(np.float32), scaled, *results)
    return results


def whole(patterns: NDArray[Any], factor: int, background: NDArray[Any], keep: NDArray[Any]) -> Results:
    results = buffers(len(patterns), background.shape)
    prepare_whole(patterns, factor, background, keep.astype(np.float32), False, *results)
    return results


def area(patterns: NDArray[Any], background: NDArray[Any], keep: NDArray[Any]) -> Results:
    results = buffers(len(patterns), background.shape)
    rows, cols = (area_weights(size, side) for size, side in zip(patterns.shape[1:], background.shape, strict=True))
    prepare_area(patterns, *rows, *cols, background, keep.astype(np.float32), False, *results)
    return results


def check(
    results: Results, expected: list[oracles.Prepared], keep: NDArray[Any], largest: float, relative: float
) -> None:
    """Compare with the oracle, as exactly as intensities of that size allow."""
    for out, value_range, flagged, want in zip(*results, expected, strict=True):
        assert flagged == want.flagged
        assert_array_equal(out[~keep], 0)
        if flagged:
            check_flagged(out, value_range)
            continue
        assert out.min() >= -1
        assert out.max() <= 1
        assert out[keep].min() == -1
        assert_allclose(out[keep].max(), 1, atol=1e-6)
        assert_allclose(value_range, want.value_range, atol=3 * relative * largest)
        assert_allclose(out, want.out, atol=oracles.rescale_tolerance(largest, want.value_range, relative))


def check_flagged(out: NDArray[Any], value_range: NDArray[Any]) -> None:
    assert_array_equal(out, 0)
    assert np.isfinite(value_range).all()
    assert value_range[0] == value_range[1]


def clear_cut(want: oracles.Prepared, raw: NDArray[Any], largest: float) -> bool:
    """Neither constant nor nearly so: what float32 can tell apart."""
    return want.flagged or min(np.ptp(raw), want.value_range[1] - want.value_range[0]) > 1e-4 * largest


@given(PATTERNS, PATTERNS, MASKS)
def test_rescaling_is_min_max_inside_the_mask(
    binned: NDArray[Any], background: NDArray[Any], keep: NDArray[Any]
) -> None:
    largest = float(max(binned.max(), background.max()))
    want = oracles.rescale_pattern(binned, background, keep)
    assume(clear_cut(want, binned[keep], largest))
    check(rescaled(binned[None], background, keep), [want], keep, largest, 3e-7)


@given(PATTERNS, MASKS, st.floats(0.25, 8, width=32), st.integers(0, 100))
def test_gain_and_offset_do_not_matter(binned: NDArray[Any], keep: NDArray[Any], gain: float, offset: int) -> None:
    assume(keep.any() and np.ptp(binned[keep]) > 1e-2 * (binned.max() + offset))
    other = (binned * gain + offset).astype(np.float32)
    out, _, _ = rescaled(np.stack([binned, other]), keep=keep)
    assert_allclose(out[0], out[1], atol=1e-3)


@given(PATTERNS, PATTERNS, MASKS)
def test_a_background_is_scaled_to_the_pattern_by_least_squares_inside_the_mask(
    binned: NDArray[Any], background: NDArray[Any], keep: NDArray[Any]
) -> None:
    brought = oracles.to_brightness(binned, background, keep)
    assume(keep.any() and 1e-4 < brought[keep].max() < 1e8)
    largest = float(max(brought[keep].max(), background[keep].max()))
    want = oracles.rescale_pattern(brought, background, keep)
    assume(clear_cut(want, brought[keep], largest))
    check(rescaled(binned[None], background, keep, scaled=True), [want], keep, largest, 1e-6)


@given(PATTERNS, PATTERNS, MASKS, st.floats(0.25, 8, width=32))
def test_a_falling_beam_current_changes_nothing_where_the_background_is_scaled(
    binned: NDArray[Any], background: NDArray[Any], keep: NDArray[Any], current: float
) -> None:
    brought = oracles.to_brightness(binned, background, keep)
    assume(keep.any() and (brought != binned).any() and brought[keep].max() < 1e8)
    assume(np.ptp((brought - background)[keep]) > 1e-2 * max(brought[keep].max(), background[keep].max()))
    out, value_ranges, _ = rescaled(np.stack([binned, binned * np.float32(current)]), background, keep, scaled=True)
    assert_allclose(out[0], out[1], atol=1e-3)
    assert_allclose(value_ranges[0], value_ranges[1], atol=1e-3 * brought[keep].max())


@pytest.mark.parametrize("scaled", [False, True])
def test_what_lies_outside_the_mask_does_not_matter(scaled: bool) -> None:
    rng = np.random.default_rng(8)
    binned, background = rng.random((1, *SHAPE), np.float32), rng.random(SHAPE, np.float32)
    keep = oracles.circular_keep(SHAPE, 0)
    other, other_background = binned.copy(), background.copy()
    other[:, ~keep], other_background[~keep] = np.nan, 1e30
    first, second = rescaled(binned, background, keep, scaled), rescaled(other, other_background, keep, scaled)
    for one, two in zip(first, second, strict=True):
        assert_array_equal(one, two)


def test_without_a_background_there_is_nothing_to_scale() -> None:
    binned = np.random.default_rng(9).random((2, *SHAPE), np.float32)
    for one, two in zip(rescaled(binned), rescaled(binned, scaled=True), strict=True):
        assert_array_equal(one, two)


@given(
    st.data(),
    st.sampled_from(["uint8", "uint16"]),
    st.integers(1, 5),
    st.integers(2, 5),
    st.integers(2, 5),
    st.booleans(),
)
def test_preparing_by_whole_factors(
    data: st.DataObject, dtype: str, factor: int, rows: int, cols: int, background_too: bool
) -> None:
    patterns = data.draw(arrays(dtype, (2, rows * factor, cols * factor)))
    background = data.draw(arrays(np.float32, (rows, cols), elements=LEVELS)) * np.float32(background_too)
    keep = data.draw(arrays(np.bool_, (rows, cols)))
    largest = float(max(patterns.max(), background.max()))
    expected = oracles.prepare_whole(patterns, factor, background, keep)
    for want, pattern in zip(expected, patterns, strict=True):
        assume(clear_cut(want, oracles.bin_whole(pattern, factor)[keep], largest))
    check(whole(patterns, factor, background, keep), expected, keep, largest, 1e-6)


@given(
    st.data(),
    st.sampled_from(["uint8", "uint16"]),
    st.tuples(st.integers(1, 15), st.integers(1, 15)),
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
)
def test_preparing_by_area(data: st.DataObject, dtype: str, shape: tuple[int, int], out_shape: tuple[int, int]) -> None:
    patterns = data.draw(arrays(dtype, (2, *shape)))
    background = data.draw(arrays(np.float32, out_shape, elements=LEVELS))
    keep = data.draw(arrays(np.bool_, out_shape))
    largest = float(max(patterns.max(), background.max()))
    expected = oracles.prepare_area(patterns, background, keep)
    for want, pattern in zip(expected, patterns, strict=True):
        # Whatever is constant here up to rounding is the matter of the tests below.
        assume(want.flagged or clear_cut(want, oracles.bin_area(pattern, out_shape)[keep], largest))
        assume(not (want.flagged and keep.any() and pattern.any()))
    check(area(patterns, background, keep), expected, keep, largest, 3e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [(480, 480), (622, 512), (156, 128), (60, 60)])
def test_detectors_to_the_input_of_an_engine(shape: tuple[int, int], dtype: str) -> None:
    top = np.iinfo(dtype).max
    rng = np.random.default_rng(3)
    patterns = rng.integers(0, top, (2, *shape), dtype, endpoint=True)
    background = rng.uniform(0, top / 2, (120, 120)).astype(np.float32)
    keep = oracles.circular_keep((120, 120), 0)
    expected = oracles.prepare_area(patterns, background, keep)
    check(area(patterns, background, keep), expected, keep, float(top), 3e-6)
    if shape[0] == 480:
        check(whole(patterns, 4, background, keep), expected, keep, float(top), 1e-6)


GREYS = np.array([0, 1, 7, 100, 255, 1000, 54321, 65535], np.uint16)


def constant_patterns(shape: tuple[int, int]) -> NDArray[np.uint16]:
    return np.broadcast_to(GREYS[:, None, None], (len(GREYS), *shape)).copy()


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 7, 16, 255])
def test_constant_patterns_are_flagged_at_whole_factors(factor: int) -> None:
    background = np.arange(9, dtype=np.float32).reshape(3, 3)
    for subtracted in (background, 0 * background):
        results = whole(constant_patterns((3 * factor, 3 * factor)), factor, subtracted, np.ones((3, 3)))
        assert results[2].all()
        for out, value_range in zip(*results[:2], strict=True):
            check_flagged(out, value_range)


@pytest.mark.parametrize(
    ("shape", "side"),
    [
        ((622, 512), 120),
        ((156, 128), 120),
        ((60, 60), 120),
        ((130, 130), 120),
        ((100, 100), 120),
        ((60, 60), 13),
    ],
)
def test_constant_patterns_are_flagged_at_any_factor(shape: tuple[int, int], side: int) -> None:
    background = np.zeros((side, side), np.float32)
    results = area(constant_patterns(shape), background, oracles.circular_keep((side, side), 0))
    assert_array_equal(GREYS[~results[2]], [], "these levels became patterns of rounding errors")
    for out, value_range in zip(*results[:2], strict=True):
        check_flagged(out, value_range)


@given(PATTERNS, MASKS)
def test_a_pattern_equal_to_its_background_is_flagged(binned: NDArray[Any], keep: NDArray[Any]) -> None:
    out, value_ranges, flags = rescaled(binned[None], binned, keep)
    assert flags.all()
    check_flagged(out[0], value_ranges[0])


def test_what_lies_outside_the_mask_does_not_count() -> None:
    keep = np.zeros(SHAPE, bool)
    keep[1:4, 1:4] = True
    binned = np.random.default_rng(4).random(SHAPE, np.float32)
    wild = binned.copy()
    wild[~keep] = np.resize([np.nan, np.inf, -np.inf, 1e30], np.count_nonzero(~keep))
    out, value_ranges, flags = rescaled(np.stack([binned, wild]), keep=keep)
    assert not flags.any()
    assert_array_equal(out[0], out[1])
    assert_array_equal(value_ranges[0], value_ranges[1])
    constant = np.where(keep, 3, binned)[None]
    assert rescaled(constant, keep=keep)[2].all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["pattern", "background"])
def test_nan_and_inf_are_flagged_wherever_they_are(where: str, bad: float) -> None:
    for pixel in range(SHAPE[0] * SHAPE[1]):
        binned, background = np.random.default_rng(pixel).random((2, *SHAPE), np.float32)
        (binned if where == "pattern" else background).flat[pixel] = bad
        out, value_ranges, flags = rescaled(binned[None], background)
        assert flags.all(), f"pixel {pixel}"
        check_flagged(out[0], value_ranges[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nothing_but_nan_or_inf_is_flagged(bad: float) -> None:
    out, value_ranges, flags = rescaled(np.full((1, *SHAPE), bad, np.float32))
    assert flags.all()
    check_flagged(out[0], value_ranges[0])


@given(
    arrays(np.float32, SHAPE, elements=st.floats(width=32)),
    arrays(np.float32, SHAPE, elements=st.floats(width=32)),
)
def test_no_numbers_whatsoever_give_nan(binned: NDArray[Any], background: NDArray[Any]) -> None:
    out, value_ranges, flags = rescaled(binned[None], background)
    assert np.isfinite(out).all()
    assert np.isfinite(value_ranges).all()
    assert np.abs(out).max() <= 1
    assert not (flags.any() and out.any())


@pytest.mark.parametrize("contrast", [1e-45, 1e-40, 1e-38])
def test_a_vanishing_contrast_gives_no_nan(contrast: float) -> None:
    binned = np.zeros((1, *SHAPE), np.float32)
    binned[0, 2, 3] = contrast
    assert np.isfinite(rescaled(binned)[0]).all()


def test_two_values_by_hand() -> None:
    binned = np.array([[[10, 20], [15, 12.5]]], np.float32)
    background = np.array([[0, 5], [0, 0]], np.float32)
    keep = np.array([[True, True], [True, False]])
    out, value_ranges, flags = rescaled(binned, background, keep)
    assert_array_equal(out[0], [[-1, 1], [1, 0]])
    assert_array_equal(value_ranges[0], [10, 15])
    assert not flags[0]


@pytest.mark.parametrize("way", ["rescaled", "area"])
def test_pixels_beside_the_detector_get_the_mean_and_no_part_in_the_range(way: str) -> None:
    rng = np.random.default_rng(6)
    keep, beside = rng.random(SHAPE) < 0.6, rng.random(SHAPE) < 0.3
    patterns = rng.integers(100, 200, (3, *SHAPE), np.uint16)
    patterns[:, beside] = 9999
    patterns[1, ~beside] = 50  # without information
    prepare, background = {"rescaled": rescaled, "area": area}[way], np.zeros(SHAPE, np.float32)
    out, ranges, flags = prepare(patterns, background, np.where(beside, -1.0, keep))
    expected, expected_ranges, _ = prepare(patterns, background, keep & ~beside)
    assert_array_equal(ranges, expected_ranges)
    assert_array_equal(flags, [False, True, False])
    assert_array_equal(out[:, ~beside], expected[:, ~beside])
    means = expected[:, keep & ~beside].mean(axis=1)
    assert_allclose(out[:, beside], np.repeat(means[:, None], beside.sum(), axis=1), atol=1e-6)


def test_rescaling_in_place_gives_the_same() -> None:
    binned = np.random.default_rng(5).random((3, *SHAPE), np.float32)
    background, keep = np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    out, value_ranges, flags = buffers(3, SHAPE)
    rescale_patterns(binned, background, keep, False, out, value_ranges, flags)
    single = np.empty_like(out[0])
    assert not rescale_pattern(binned[1], background, keep, False, single, np.empty(2, np.float32))
    assert_array_equal(single, out[1])
    rescale_patterns(binned, background, keep, False, binned, value_ranges, flags)
    assert_array_equal(binned, out)
