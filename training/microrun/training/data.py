"""Prepared patterns for training, from UP files, through the runtime's own reader and preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.background import mean_background
from microrun.runtime.preprocess import Preprocessor
from microrun.runtime.sources import Claim, Source
from microrun.runtime.spec import Preprocessing

_CHUNK = 64


@dataclass(frozen=True)
class Prepared:
    """Prepared patterns of several scans.

    Parameters
    ----------
    patterns
        (n, H, W) float16 in [−1, 1], memory-mapped.
    training, held_out
        Numbers of the patterns to train and to test on.
    pixel_keep
        (H, W) bool, True inside the mask.
    """

    patterns: NDArray[np.float16]
    training: NDArray[np.int64]
    held_out: NDArray[np.int64]
    pixel_keep: NDArray[np.bool_]

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation inside the mask, over a bounded subset of the training patterns."""
        subset = self.patterns[self.training[:: max(1, len(self.training) // 1000)]]
        pixels = subset[:, self.pixel_keep].astype(np.float64)
        return float(pixels.mean()), float(pixels.std())


def prepare_scans(
    scans: Sequence[Source],
    preprocessing: Preprocessing,
    cache: Path,
    *,
    patterns_per_scan: int,
    held_out: float,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Take random patterns from each scan and prepare them into one memory-mapped file.

    Parameters
    ----------
    scans
        Finished scans; each gets its own background.
    preprocessing
        As the model's spec will state.
    cache
        The .npy file to make.
    patterns_per_scan
        Patterns from each scan at most.
    held_out
        Share of each scan's patterns kept for testing.
    seed
        Of the selection.
    progress
        Called with (patterns done, total).

    Returns
    -------
    Prepared
        Patterns without information are left out.
    """
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(scan.available)[:patterns_per_scan] for scan in scans]
    total = sum(map(len, chosen))
    shape = (total, *preprocessing.input_shape)
    patterns = np.lib.format.open_memmap(cache, "w+", np.float16, shape)
    training, tested, done = [], [], 0
    for scan, indices in zip(scans, chosen, strict=True):
        split = round(len(indices) * held_out)
        order = np.arange(done, done + len(indices))
        informative = _prepare(scan, indices, preprocessing, patterns[done : done + len(indices)])
        tested.append(order[:split][informative[:split]])
        training.append(order[split:][informative[split:]])
        done += len(indices)
        progress(done, total)
    keep = Preprocessor(preprocessing, scans[0].scan.sig_shape).pixel_keep
    return Prepared(patterns, np.concatenate(training), np.concatenate(tested), keep)


def _prepare(
    scan: Source, indices: NDArray[np.int64], preprocessing: Preprocessing, out: NDArray[np.float16]
) -> NDArray[np.bool_]:
    """Fill ``out``; return which patterns carry information."""
    preprocessor = Preprocessor(preprocessing, scan.scan.sig_shape)
    background = mean_background(scan, preprocessor)
    raw = np.empty((_CHUNK, *scan.scan.sig_shape), scan.scan.dtype)
    prepared = np.empty((_CHUNK, *preprocessor.input_shape), np.float32)
    ranges, flags = np.empty((_CHUNK, 2), np.float32), np.empty(len(indices), bool)
    claim = Claim(indices)
    for first in range(0, len(indices), _CHUNK):
        n = min(_CHUNK, len(indices) - first)
        scan.read(claim, first, raw[:n])
        preprocessor.prepare(raw[:n], background, prepared[:n], ranges[:n], flags[first : first + n])
        out[first : first + n] = prepared[:n]
    return ~flags
