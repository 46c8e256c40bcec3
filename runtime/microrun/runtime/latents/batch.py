"""Latents of some consecutive patterns, as they leave an engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32

SAMPLED = 256  # of so many patterns one is decoded again


@dataclass(frozen=True)
class EncodedBatch:
    """Latents of consecutive patterns.

    Parameters
    ----------
    indices
        (n,) int64, ascending numbers of the patterns in the scan.
    latents
        (n, D) float32.
    ranges
        (n, 2) float32: intensities that −1 and 1 of the prepared patterns stand for.
    flags
        (n,) bool: True for patterns without information; their latents are those of an all-zero pattern.
    measures
        (n, 5) float32: mean and so on of each pattern, by the places in `microrun.kernels.measuring`; None where
        nothing was measured.
    sampled
        (m, H, W) float32: prepared patterns of those whose number `is_sampled`.
    """

    indices: NDArray[np.int64]
    latents: Float32
    ranges: Float32
    flags: NDArray[np.bool_]
    measures: Float32 | None = None
    sampled: Float32 | None = None


def is_sampled(indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of (n,) patterns are decoded again, to be compared: the last of each 256."""
    sampled: NDArray[np.bool_] = indices % SAMPLED == SAMPLED - 1
    return sampled
