"""Slow, obvious twins of every kernel, in float64 and without cleverness."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]
Float = NDArray[np.float64]

BLOCK = 64


class Prepared(NamedTuple):
    """What the preparation of one pattern gives."""

    out: Float
    value_range: tuple[float, float]
    flagged: bool


def bin_whole(pattern: Image, factor: int) -> Float:
    """Mean of every block of factor×factor pixels."""
    rows, cols = pattern.shape[0] // factor, pattern.shape[1] // factor
    out = np.empty((rows, cols))
    for i in range(rows):
        for j in range(cols):
            block = pattern[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
            out[i, j] = block.astype(np.float64).mean()
    return out


def overlaps(size: int, out_size: int) -> Float:
    """Share of every input pixel in every output pixel, (out_size, size); edges counted in whole numbers."""
    share = np.zeros((out_size, size))
    for i in range(out_size):
        for y in range(size):
            start, stop = max(i * size, y * out_size), min((i + 1) * size, (y + 1) * out_size)
            share[i, y] = max(0, stop - start) / size
    return share


def part_overlaps(size: int, out_size: int, start: Fraction, stop: Fraction) -> Float:
    """Share of every input pixel in what lies within the input of every output pixel, from start to stop."""
    share = np.zeros((out_size, size))
    width = (stop - start) / out_size
    for i in range(out_size):
        low, high = start + i * width, start + (i + 1) * width
        inside = [max(Fraction(0), min(high, Fraction(y + 1)) - max(low, Fraction(y))) for y in range(size)]
        if sum(inside):
            share[i] = [float(part / sum(inside)) for part in inside]
    return share


def bin_area(pattern: Image, out_shape: tuple[int, int]) -> Float:
    """Mean over the exact area under every output pixel."""
    rows, cols = overlaps(pattern.shape[0], out_shape[0]), overlaps(pattern.shape[1], out_shape[1])
    binned: Float = rows @ pattern.astype(np.float64) @ cols.T
    return binned


def circular_keep(shape: tuple[int, int], radius: int) -> NDArray[np.bool_]:
    """True for pixels whose centre lies within the circle about the middle."""
    limit = min(shape) / 2 if radius == 0 else radius
    keep = np.empty(shape, bool)
    for i in range(shape[0]):
        for j in range(shape[1]):
            distance = np.hypot(i + 0.5 - shape[0] / 2, j + 0.5 - shape[1] / 2)
            keep[i, j] = radius == -1 or distance <= limit
    return keep


def rescale_pattern(binned: Image, background: Image, keep: NDArray[np.bool_]) -> Prepared:
    """Subtract the background and stretch what is inside the mask to [−1, 1]."""
    raw = binned.astype(np.float64)
    corrected = raw - background.astype(np.float64)
    inside = corrected[keep]
    finite = bool(np.isfinite(raw[keep]).all() and np.isfinite(inside).all())
    if not inside.size or not finite or np.ptp(raw[keep]) == 0 or np.ptp(inside) == 0:
        return Prepared(np.zeros(raw.shape), (np.nan, np.nan), True)
    low, high = float(inside.min()), float(inside.max())
    out = np.zeros(raw.shape)
    out[keep] = 2 * (inside - low) / (high - low) - 1
    return Prepared(out, (low, high), False)


def to_brightness(binned: Image, background: Image, keep: NDArray[np.bool_]) -> Float:
    """A pattern divided by the s for which s·background is nearest to it inside the mask, if there is one."""
    pattern = binned.astype(np.float64)
    if not background[keep].any() or not pattern[keep] @ background[keep] > 0:
        return pattern
    (share,), *_ = np.linalg.lstsq(background[keep].astype(np.float64)[:, None], pattern[keep])
    brought: Float = pattern / share
    return brought


def rescale_patterns(binned: Image, background: Image, keep: NDArray[np.bool_]) -> list[Prepared]:
    """`rescale_pattern` for each of (n, H, W)."""
    return [rescale_pattern(pattern, background, keep) for pattern in binned]


def prepare_whole(patterns: Image, factor: int, background: Image, keep: NDArray[np.bool_]) -> list[Prepared]:
    """Bin by a whole factor, then rescale."""
    return [rescale_pattern(bin_whole(pattern, factor), background, keep) for pattern in patterns]


def prepare_area(patterns: Image, background: Image, keep: NDArray[np.bool_]) -> list[Prepared]:
    """Bin by area to the background's shape, then rescale."""
    shape = (background.shape[0], background.shape[1])
    return [rescale_pattern(bin_area(pattern, shape), background, keep) for pattern in patterns]


def crop_square(image: Image) -> Image:
    """Cut the last two axes to a square about their centre."""
    rows, cols = image.shape[-2:]
    side = min(rows, cols)
    top, left = (rows - side) // 2, (cols - side) // 2
    return image[..., top : top + side, left : left + side]


def rescale_tolerance(largest: float, value_range: tuple[float, float], relative: float) -> float:
    """How far a rescaled value may be off if intensities up to ``largest`` are off by ``relative``."""
    return 1e-6 + 6 * relative * largest / (value_range[1] - value_range[0])


def running_backgrounds(binned: Image, informative: NDArray[np.bool_] | None = None) -> Float:
    """Background of each of (n, H, W) patterns: the informative ones' mean before its block; in the first, its own.

    The first block is as long as it takes to hold 32 of them; blocks without any at the start have no background.
    """
    count = len(binned)
    good = np.ones(count, bool) if informative is None else informative
    begin = 0
    while begin < count and not good[begin : begin + BLOCK].any():
        begin += BLOCK
    end = begin + BLOCK
    while end < count and good[:end].sum() < BLOCK // 2:
        end += BLOCK
    backgrounds = np.zeros(binned.shape)
    for n in range(begin, count):
        before = np.arange(count) < (n // BLOCK * BLOCK if n >= end else end)
        backgrounds[n] = binned[good & before].astype(np.float64).mean(axis=0)
    return backgrounds


def measure_pattern(binned: Image, background: Image, keep: NDArray[np.bool_]) -> tuple[Float, Float]:
    """Mean, contrast, nothing, sharpness and correlation with the background of every second line.

    Returns
    -------
    expected, error : (5,) float64
        Infinite errors are of what float32 cannot tell from rounding.
    """
    used = np.zeros_like(keep)
    used[::2] = keep[::2]
    expected, error = np.full(5, np.nan), np.full(5, np.inf)
    error[0] = 1e-5 * max(np.abs(binned).max(), 1)
    if not used.any():
        return expected, error
    b, g = binned.astype(np.float64), background.astype(np.float64)
    expected[0] = abs(b[used].mean())
    (variance, together), (_, behind) = np.cov(b[used], g[used], bias=True)
    spread, spread_behind = (np.ptp(image) for image in (b, g))
    if behind > 1e-2 * spread_behind**2 and variance > 1e-2 * spread**2:
        expected[4], error[4] = together / np.sqrt(variance * behind), 1e-2
        share = together / behind
    elif not g.any():
        share = 0.0
    else:
        return expected, error
    rest = b - share * g
    near, far = (_mean_square_difference(rest, used, apart) for apart in (2, 4))
    size = (np.abs(b).max() + abs(share) * np.abs(g).max()) ** 2
    signal = variance - share * together - near / 2
    if signal > 1e-2 * size:
        expected[3], error[3] = (far - near) / (2 * signal), 1e-2
        if expected[0] > 1e-2 * np.abs(b).max():
            expected[1], error[1] = np.sqrt(signal) / expected[0], 1e-2
    return expected, error


def _mean_square_difference(image: Float, used: NDArray[np.bool_], apart: int) -> float:
    """Of pixels of a row, whose fourth neighbour to the right is used, too."""
    squares = [
        (image[row, col + apart] - image[row, col]) ** 2
        for row, col in zip(*np.nonzero(used), strict=True)
        if col + 4 < used.shape[1] and used[row, col + 4]
    ]
    return float(np.mean(squares)) if squares else 0.0
