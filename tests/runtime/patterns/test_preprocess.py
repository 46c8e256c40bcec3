"""Preprocessing against the oracle, against kikuchipy's own steps, and back again."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.errors import ScanError
from microrun.runtime.patterns.preprocess import Preprocessor, restore_patterns
from microrun.runtime.spec import Preprocessing

Float32 = NDArray[np.float32]
Results = tuple[Float32, Float32, NDArray[np.bool_]]


def prepare(preprocessor: Preprocessor, patterns: NDArray[Any], background: Float32 | None = None) -> Results:
    shape = preprocessor.input_shape
    background = np.zeros(shape, np.float32) if background is None else background
    out = np.full((len(patterns), *shape), np.nan, np.float32)
    value_ranges, flags = np.full((len(patterns), 2), np.nan, np.float32), np.ones(len(patterns), bool)
    preprocessor.prepare(patterns, background, out, value_ranges, flags)
    return out, value_ranges, flags


def binned(preprocessor: Preprocessor, patterns: NDArray[Any]) -> NDArray[np.float32]:
    out = np.full((len(patterns), *preprocessor.input_shape), np.nan, np.float32)
    preprocessor.bin(patterns, out)
    return out


def square(side: int, radius: int = 0) -> Preprocessing:
    return Preprocessing((side, side), radius)


def noise(shape: tuple[int, ...], dtype: str, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    ("shape", "side"),
    [((480, 480), 120), ((622, 512), 120), ((156, 128), 120), ((60, 60), 120), ((60, 70), 30), ((61, 59), 29)],
)
def test_all_steps_agree_with_the_oracle(shape: tuple[int, int], side: int, dtype: str) -> None:
    preprocessor = Preprocessor(square(side), shape)
    patterns, top = noise((2, *shape), dtype), float(np.iinfo(dtype).max)
    background = noise((side, side), dtype, 1).astype(np.float32) / 4
    keep = oracles.circular_keep((side, side), 0)
    expected = oracles.prepare_area(oracles.crop_square(patterns), background, keep)
    out, value_ranges, flags = prepare(preprocessor, patterns, background)
    assert_array_equal(preprocessor.pixel_keep, keep)
    assert not flags.any()
    for got, value_range, want in zip(out, value_ranges, expected, strict=True):
        assert_allclose(got, want.out, atol=oracles.rescale_tolerance(top, want.value_range, 3e-6))
        assert_allclose(value_range, want.value_range, atol=1e-5 * top)


@pytest.mark.parametrize("radius", [-1, 0, 7])
def test_pixels_outside_the_mask_are_zero(nickel: Any, radius: int) -> None:
    preprocessor = Preprocessor(square(30, radius), (60, 60))
    out, _, _ = prepare(preprocessor, nickel.patterns)
    keep = oracles.circular_keep((30, 30), radius)
    assert_array_equal(out[:, ~keep], 0)
    assert_allclose(out[:, keep].min(axis=1), -1)
    assert_allclose(out[:, keep].max(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("side", [30, 13])
def test_binning_first_and_rescaling_later_is_the_same(nickel: Any, side: int) -> None:
    preprocessor = Preprocessor(square(side), (60, 60))
    background = preprocessor.bin_image(nickel.background)
    at_once = prepare(preprocessor, nickel.patterns, background)
    out = binned(preprocessor, nickel.patterns)
    value_ranges, flags = np.empty((9, 2), np.float32), np.empty(9, bool)
    preprocessor.rescale(out, background, out, value_ranges, flags)
    for first, second in zip(at_once, (out, value_ranges, flags), strict=True):
        assert_allclose(first, second, atol=2e-5)


@pytest.mark.parametrize("split", [1, 2, 5])
def test_results_do_not_depend_on_the_batch(nickel: Any, split: int) -> None:
    preprocessor = Preprocessor(square(20), (60, 60))
    background = preprocessor.bin_image(nickel.background)
    whole = prepare(preprocessor, nickel.patterns, background)
    parts = [prepare(preprocessor, nickel.patterns[n : n + split], background) for n in range(0, 9, split)]
    for first, second in zip(whole, zip(*parts, strict=True), strict=True):
        assert_array_equal(first, np.concatenate(second))


@pytest.mark.parametrize("factor", [2, 3])
def test_kikuchipy_does_the_same_on_nickel(nickel: Any, factor: int) -> None:
    import kikuchipy

    preprocessor = Preprocessor(square(60 // factor), (60, 60))
    out, _, flags = prepare(preprocessor, nickel.patterns, preprocessor.bin_image(nickel.background))

    signal = kikuchipy.load(nickel.path)
    signal.change_dtype("float32")
    signal.remove_static_background("subtract", static_bg=nickel.background.astype(np.float32), show_progressbar=False)
    signal.downsample(factor, show_progressbar=False)
    keep = preprocessor.pixel_keep
    # kikuchipy rescales whole patterns: bring what is outside the mask within the range inside.
    inside = signal.data[..., keep]
    signal.data = np.clip(signal.data, *(limit[..., None, None] for limit in (inside.min(-1), inside.max(-1))))
    signal.rescale_intensity(out_range=(-1, 1), dtype_out="float32", show_progressbar=False)

    assert not flags.any()
    theirs = signal.data.reshape(out.shape)
    assert_allclose(out[:, keep], theirs[:, keep], atol=2e-5)


def test_kikuchipy_bins_diamond_alike(diamond: Any) -> None:
    import kikuchipy

    signal = kikuchipy.signals.EBSD(diamond.patterns[0].astype(np.float32))
    rebinned = signal.rebin(scale=(4, 4)).data / 16
    ours = binned(Preprocessor(square(120), (480, 480)), diamond.patterns)[0]
    assert_allclose(ours, rebinned, rtol=1e-6)


@pytest.mark.parametrize("side", [30, 13, 120])
def test_restoring_inverts_the_rescaling(nickel: Any, side: int) -> None:
    preprocessor = Preprocessor(square(side), (60, 60))
    background = preprocessor.bin_image(nickel.background)
    out, value_ranges, _ = prepare(preprocessor, nickel.patterns, background)
    keep, before = preprocessor.pixel_keep, binned(preprocessor, nickel.patterns)
    restored = restore_patterns(out, value_ranges, background)
    assert restored.dtype == np.float32
    assert_allclose(restored[:, keep], before[:, keep], atol=1e-3)
    assert_allclose(restore_patterns(out, value_ranges)[:, keep], (before - background)[:, keep], atol=1e-3)


@pytest.mark.parametrize("offset", [0, 3])
def test_restoring_a_pattern_that_is_the_background(nickel: Any, offset: int) -> None:
    preprocessor = Preprocessor(square(30), (60, 60))
    background = preprocessor.bin_image(nickel.background)
    patterns = nickel.background[None] + np.uint8(offset)
    out, value_ranges, flags = prepare(preprocessor, patterns, background)
    assert flags.all()
    assert_array_equal(out, 0)
    assert_allclose(restore_patterns(out, value_ranges, background), binned(preprocessor, patterns), atol=1e-3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("side", [120, 180, 240, 360, 480, 100])
def test_patterns_equal_to_the_background_are_flagged(side: int, dtype: str) -> None:
    preprocessor = Preprocessor(square(120), (side, side))
    pattern = noise((side, side), dtype)
    out, value_ranges, flags = prepare(preprocessor, pattern[None], preprocessor.bin_image(pattern))
    assert flags.all(), "rounding was stretched to a pattern"
    assert_array_equal(out, 0)
    assert np.isfinite(value_ranges).all()


@pytest.mark.parametrize("level", [0, 255, 65535])
@pytest.mark.parametrize("shape", [(480, 480), (622, 512), (60, 60)])
def test_constant_patterns_are_flagged_among_others(shape: tuple[int, int], level: int) -> None:
    patterns = noise((3, *shape), "uint16")
    patterns[1] = level
    out, value_ranges, flags = prepare(Preprocessor(square(120), shape), patterns)
    assert flags.tolist() == [False, True, False]
    assert_array_equal(out[1], 0)
    assert np.isfinite(out).all()
    assert np.isfinite(value_ranges).all()


@pytest.mark.parametrize("shape", [(60, 80), (80, 60), (61, 60)])
def test_detectors_that_are_not_square_are_cropped_about_the_centre(shape: tuple[int, int]) -> None:
    patterns = noise((2, *shape), "uint16")
    preprocessor = Preprocessor(square(30), shape)
    cropped = oracles.crop_square(patterns)
    assert cropped.shape == (2, 60, 60)
    assert_array_equal(binned(preprocessor, patterns), binned(Preprocessor(square(30), (60, 60)), cropped))
    image = patterns[0].astype(np.float64)
    assert_allclose(preprocessor.bin_image(image), oracles.bin_whole(cropped[0], 2), rtol=1e-6)


def test_binned_images_agree_with_binned_patterns(diamond: Any) -> None:
    for side in (120, 100, 60):
        preprocessor = Preprocessor(square(side), (480, 480))
        image = preprocessor.bin_image(diamond.background)
        assert_allclose(image, binned(preprocessor, diamond.background[None])[0], rtol=1e-5)
        assert_allclose(image, oracles.bin_area(diamond.background, (side, side)), rtol=1e-5)


def test_images_must_have_the_shape_of_the_detector() -> None:
    preprocessor = Preprocessor(square(30), (60, 80))
    for shape in ((80, 60), (30, 30), (60, 80, 1), ()):
        with pytest.raises(ScanError, match=r"shape \(60, 80\); got"):
            preprocessor.bin_image(np.zeros(shape))


def test_detectors_that_are_too_small_are_refused() -> None:
    assert Preprocessor(square(120), (60, 60)).input_shape == (120, 120)
    with pytest.raises(ScanError, match=r"patterns of 80×59 are too small .* at least 60 pixels a side"):
        Preprocessor(square(120), (80, 59))
    with pytest.raises(ScanError, match="at least 61 pixels a side"):
        Preprocessor(square(121), (60, 60))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [(60, 60), (60, 70), (61, 61)])
def test_warming_compiles_what_a_stream_needs(shape: tuple[int, int], dtype: str) -> None:
    from microrun.kernels import binning, intensity

    preprocessor = Preprocessor(square(30), shape)
    preprocessor.warm(dtype)
    kernels = [binning.bin_whole, binning.bin_area, intensity.prepare_whole, intensity.prepare_area]
    compiled = [len(kernel.signatures) for kernel in kernels]  # type: ignore[attr-defined]
    patterns = noise((2, *shape), dtype)
    out, value_ranges, flags = prepare(preprocessor, patterns)
    preprocessor.rescale(binned(preprocessor, patterns), np.zeros((30, 30), np.float32), out, value_ranges, flags)
    assert [len(kernel.signatures) for kernel in kernels] == compiled  # type: ignore[attr-defined]
