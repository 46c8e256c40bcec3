"""Pixels of a camera that are dead, hot or stuck: found over a scan, and filled from their neighbours."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64, Raw
from microrun.runtime.patterns.informative import sample_raw
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.patterns.warp import Warp
from microrun.runtime.scans.source import IndexedSource
from microrun.runtime.scans.up2 import ScanWarning
from microrun.runtime.spec import Preprocessing

SAMPLE, LEAST = 64, 16  # patterns that are looked at; different ones, below which nothing is said of pixels
SAMPLE_BYTES = 1 << 26
FAR = 10.0  # spreads from what the pixels around show: none of a good camera's are
SHARE = 0.05  # of the patterns in which a bad pixel is so far off
SMALLEST = 0.02  # of its level that a pixel spreads, whatever the scan shows
WINDOW = 7  # pixels that the neighbourhood is wide


def preprocessor_for(
    source: IndexedSource, preprocessing: Preprocessing, among: int | None = None, warp: Warp | None = None
) -> Preprocessor:
    """Preprocessor for a scan that fills the bad pixels of its camera, if it has any.

    Parameters
    ----------
    source
        The scan; its patterns are read by number.
    preprocessing
        From the engine's spec.
    among
        How many first patterns are looked at, of a scan that grows; None for all.
    warp
        As for `Preprocessor`.

    Returns
    -------
    Preprocessor

    Raises
    ------
    ScanError
        If the source gives each pattern once only, cannot be read, or its detector is too small.

    Warns
    -----
    ScanWarning
        If there are bad pixels; it says how many.
    """
    plain = Preprocessor(preprocessing, source.scan.sig_shape, warp=warp)
    bad = find_bad_pixels(source, plain, among)
    if not bad.any():
        return plain
    text = f"{getattr(source, 'path', 'the scan')}: {describe_bad_pixels(bad)}"
    warnings.warn(text, ScanWarning, stacklevel=1)  # here, so that one scan is said once
    return Preprocessor(preprocessing, source.scan.sig_shape, bad, warp)


def describe_bad_pixels(bad: NDArray[np.bool_]) -> str:
    """How many pixels of a camera are bad, and what is done, in a line."""
    count = int(bad.sum())
    are = "is" if count == 1 else "are"
    return f"{count:,} of {bad.size:,} pixels {are} dead, hot or stuck: filled from those around"


def find_bad_pixels(source: IndexedSource, preprocessor: Preprocessor, among: int | None = None) -> NDArray[np.bool_]:
    """Find the bad pixels of a scan's camera.

    Parameters
    ----------
    source
        The scan; 64 of its patterns are read, evenly spaced, or fewer of a very large detector.
    preprocessor
        For what it calls no information.
    among
        As for `preprocessor_for`.

    Returns
    -------
    (rows, cols) bool, of the detector's shape, True for bad pixels; none where fewer than 16 patterns differ

    Raises
    ------
    ScanError
        If the source gives each pattern once only, or cannot be read.
    """
    count = min(SAMPLE, max(LEAST, SAMPLE_BYTES // source.scan.pattern_bytes))
    # Copies of one pattern, as of a simulation without noise, would make all of its pixels look stuck.
    different = {pattern.tobytes(): pattern for pattern in sample_raw(source, preprocessor, count, among)}
    patterns = [pattern for pattern in different.values() if not _is_flat(pattern)]
    if len(patterns) < LEAST:
        return np.zeros(source.scan.sig_shape, bool)
    return judge_pixels(np.array(patterns, source.scan.dtype))


def judge_pixels(patterns: Raw) -> NDArray[np.bool_]:
    """Tell bad pixels by what those around them show, pattern by pattern and over all.

    Parameters
    ----------
    patterns
        (n, rows, cols) uint8 or uint16; brightness may differ between them.

    Returns
    -------
    (rows, cols) bool

    Notes
    -----
    A pixel is bad if it never changes though those around it do, or if it is far off in 1 of 20 patterns, 3 at least:
    farther than 10 spreads, both from the level around it over all patterns and from the pixels two places away in
    the same pattern. Sharp bands are near in the one sense or the other.
    """
    gain = patterns.mean(axis=(1, 2))
    gain /= gain.mean()
    level, spread = _level_and_spread(patterns, gain)
    stuck: NDArray[np.bool_] = (patterns.min(axis=0) == patterns.max(axis=0)) & (spread >= 2)
    least = max(3, int(np.ceil(SHARE * len(patterns))))
    far = _count_far(patterns, gain, level, FAR * _floor(spread, level)) >= least
    if not far.any():
        return stuck
    apart = np.stack([_stand_apart(pattern / one) for pattern, one in zip(patterns, gain, strict=True)])
    usual = _floor(_local_median(np.sqrt((apart**2).mean(axis=0))), level)
    alone: NDArray[np.bool_] = (np.abs(apart) > FAR * usual).sum(axis=0) >= least
    return stuck | (far & alone)


def _is_flat(pattern: Raw) -> bool:
    """Whether a pattern is constant but for a few pixels, which may be bad ones."""
    low, high = np.quantile(pattern[::3, ::3], (0.02, 0.98))
    return bool(low == high)


def _level_and_spread(patterns: Raw, gain: Float64) -> tuple[Float64, Float64]:
    """Mean and standard deviation over the patterns, typical of each pixel's surroundings; (rows, cols) each."""
    total, squares = np.zeros(patterns.shape[1:]), np.zeros(patterns.shape[1:])
    for pattern, one in zip(patterns, gain, strict=True):
        value = pattern / one
        total += value
        squares += value * value
    mean = total / len(patterns)
    variance = squares / len(patterns) - mean**2
    return _local_median(mean), _local_median(np.sqrt(np.maximum(variance, 0)))


def _count_far(patterns: Raw, gain: Float64, level: Float64, limit: Float64) -> NDArray[np.int64]:
    """In how many patterns each pixel is farther from its level than the limit."""
    count = np.zeros(level.shape, np.int64)
    for pattern, one in zip(patterns, gain, strict=True):
        count += np.abs(pattern / one - level) > limit
    return count


def _floor(spread: Float64, level: Float64) -> Float64:
    """Spread, but not less than is usual on the detector, a share of the level, or a count."""
    return np.maximum(np.maximum(spread, np.median(spread)), np.maximum(SMALLEST * level, 1.0))


def _stand_apart(pattern: Float64) -> Float64:
    """Each pixel less the median of the four that are two places away: over a bad line's other half, and blobs."""
    padded = np.pad(pattern, 2, mode="symmetric")  # a pixel beside the edge must not stand for its own neighbour
    around = np.stack([padded[:-4, 2:-2], padded[4:, 2:-2], padded[2:-2, :-4], padded[2:-2, 4:]])
    apart: Float64 = pattern - (around.sum(axis=0) - around.max(axis=0) - around.min(axis=0)) / 2
    return apart


def _local_median(image: Float64) -> Float64:
    """Median of seven along rows, then along columns: neither bad pixels nor bad lines change it."""
    half = WINDOW // 2
    for _ in range(2):
        padded = np.pad(image, ((0, 0), (half, half)), mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)
        image = np.partition(windows, half, axis=-1)[..., half].T
    return image
