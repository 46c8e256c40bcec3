"""Prepared patterns of a finished scan, in order, for what is not encoding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.source import IndexedSource, require_indexed

BATCH = 64


class PreparedBatch(NamedTuple):
    """Some patterns of a scan.

    Parameters
    ----------
    patterns
        (n, H, W) float32 in [−1, 1] inside the mask.
    ranges
        (n, 2) float32: intensities that −1 and 1 stand for.
    flags
        (n,) bool: True for patterns without information.
    mean
        (n,) float32: mean intensity inside the mask, with the background.
    """

    patterns: Float32
    ranges: Float32
    flags: NDArray[np.bool_]
    mean: Float32


def prepare_patterns(
    source: IndexedSource, preprocessor: Preprocessor, background: Float32, indices: NDArray[np.int64]
) -> Iterator[PreparedBatch]:
    """Read and prepare patterns of a scan.

    Parameters
    ----------
    source
        Its patterns are read by number.
    preprocessor
        For its detector.
    background
        (H, W) float32, binned.
    indices
        (n,) numbers of patterns, in the order wanted.

    Yields
    ------
    PreparedBatch
        Of 64 patterns; the last of fewer.

    Raises
    ------
    ScanError
        If the source gives every pattern once only, or a pattern cannot be read.
    """
    require_indexed(source)
    keep = preprocessor.pixel_keep
    for first in range(0, len(indices), BATCH):
        n = min(BATCH, len(indices) - first)
        raw = np.empty((n, *source.scan.sig_shape), source.scan.dtype)
        source.read_patterns(indices[first : first + n], raw)
        binned = np.empty((n, *preprocessor.input_shape), np.float32)
        preprocessor.bin(raw, binned)
        out, ranges, flags = np.empty_like(binned), np.empty((n, 2), np.float32), np.empty(n, bool)
        preprocessor.rescale(binned, background, out, ranges, flags)
        yield PreparedBatch(out, ranges, flags, binned[:, keep].mean(axis=1))
