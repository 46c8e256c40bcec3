"""Every kernel against the same in plain NumPy, one core, in one run.

    python tests/benchmarks/bench_kernels.py

prints medians: patterns per second, gigabytes of raw pattern per second, and how many times NumPy's speed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from timing import median_seconds

from microrun.kernels.binning import area_weights, bin_area, bin_whole
from microrun.kernels.intensity import prepare_area, prepare_whole, rescale_patterns
from microrun.kernels.masking import circular_keep
from microrun.kernels.measuring import MEASURES, find_saturated, find_spans, measure_patterns

PATTERNS, REPEATS = 64, 9
OUT_SHAPE = (120, 120)


def numpy_bin(raw: np.ndarray) -> np.ndarray:
    n, height, width = raw.shape
    return raw.reshape(n, 120, height // 120, 120, width // 120).mean(axis=(2, 4), dtype=np.float32)


def numpy_area(raw: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return matrix @ raw.astype(np.float32) @ matrix.T


def numpy_rescale(binned: np.ndarray, background: np.ndarray, keep: np.ndarray) -> np.ndarray:
    corrected = binned - background
    inside = corrected[:, keep]
    low, high = (extreme(axis=1)[:, None, None] for extreme in (inside.min, inside.max))
    return np.where(keep, 2 * (corrected - low) / (high - low) - 1, 0)


def numpy_measure(binned: np.ndarray, background: np.ndarray, keep: np.ndarray) -> list[np.ndarray]:
    inside, behind = binned[:, keep], background[keep] - background[keep].mean()
    apart = inside - inside.mean(axis=1, keepdims=True)
    share = apart @ behind / (behind @ behind + 1e-9)
    rest = (binned - share[:, None, None] * background)[:, keep.any(axis=1)]
    squares = [np.square(rest[..., by:] - rest[..., :-by]).mean(axis=(1, 2)) for by in (2, 4)]
    return [inside.mean(axis=1), inside.std(axis=1), share, *squares]


def numpy_saturated(raw: np.ndarray) -> np.ndarray:
    lines = raw[:, ::16]
    largest = lines.max(axis=(1, 2), keepdims=True)
    return (2.0 * (lines == largest) - (lines >= largest - np.maximum(1, largest // 128))).mean(axis=(1, 2))


def main() -> None:
    rng = np.random.default_rng(0)
    background = np.full(OUT_SHAPE, 100, np.float32)
    keep = circular_keep(OUT_SHAPE, 0)
    weights = keep.astype(np.float32)
    out = np.empty((PATTERNS, *OUT_SHAPE), np.float32)
    binned = rng.uniform(0, 1, out.shape).astype(np.float32)
    ranges, flags = np.empty((PATTERNS, 2), np.float32), np.empty(PATTERNS, bool)
    whole = rng.integers(0, 4096, (PATTERNS, 480, 480)).astype(np.uint16)
    odd = rng.integers(0, 4096, (PATTERNS, 512, 512)).astype(np.uint16)
    axis = area_weights(512, 120)
    matrix = np.zeros((120, 512), np.float32)
    for row, (first, shares) in enumerate(zip(*axis, strict=True)):
        matrix[row, first : first + len(shares)] += shares[: 512 - first]

    spans, measures = find_spans(keep), np.empty((PATTERNS, MEASURES), np.float32)
    lines = np.stack([4 * np.arange(120), 4 * spans[:, 0], 4 * spans[:, 1]], axis=1)[::4].copy()
    uneven = np.linspace(90, 110, 120 * 120, dtype=np.float32).reshape(OUT_SHAPE)

    def each(kernel: Callable[..., None], raw: np.ndarray, *arguments: object) -> Callable[[], None]:
        return lambda: [kernel(pattern, *arguments, target) for pattern, target in zip(raw, out, strict=True)] and None

    rows: list[tuple[str, np.ndarray, Callable[[], object], Callable[[], object]]] = [
        ("bin_whole 480 → 120", whole, each(bin_whole, whole, 4), lambda: numpy_bin(whole)),
        ("bin_area 512 → 120", odd, each(bin_area, odd, *axis, *axis), lambda: numpy_area(odd, matrix)),
        (
            "rescale_patterns 120",
            binned,
            lambda: rescale_patterns(binned, background, weights, False, out, ranges, flags),
            lambda: numpy_rescale(binned, background, keep),
        ),
        (
            "prepare_whole 480 → 120",
            whole,
            lambda: prepare_whole(whole, 4, background, weights, False, out, ranges, flags),
            lambda: numpy_rescale(numpy_bin(whole), background, keep),
        ),
        (
            "prepare_area 512 → 120",
            odd,
            lambda: prepare_area(odd, *axis, *axis, background, weights, False, out, ranges, flags),
            lambda: numpy_rescale(numpy_area(odd, matrix), background, keep),
        ),
        (
            "measure_patterns 120",
            binned,
            lambda: measure_patterns(binned, uneven, spans, measures),
            lambda: numpy_measure(binned, uneven, keep),
        ),
        (
            "find_saturated 480",
            whole,
            lambda: find_saturated(whole, lines, measures),
            lambda: numpy_saturated(whole),
        ),
        (
            "prepare, measured, 480",
            whole,
            lambda: prepare_whole(whole, 4, uneven, weights, False, out, ranges, flags, (spans, lines, measures)),
            lambda: numpy_measure(numpy_rescale(numpy_bin(whole), background, keep), uneven, keep),
        ),
    ]
    print(f"{'kernel, one core':<26}{'patterns/s':>12}{'GB/s':>8}{'× NumPy':>10}")
    for name, raw, ours, theirs in rows:
        mine, numpys = median_seconds(ours, REPEATS), median_seconds(theirs, REPEATS)
        print(f"{name:<26}{PATTERNS / mine:>12,.0f}{raw.nbytes / mine / 1e9:>8.1f}{numpys / mine:>10.1f}")


if __name__ == "__main__":
    main()
