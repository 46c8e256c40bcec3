"""Latents of some consecutive patterns, as they leave an engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32


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
    """

    indices: NDArray[np.int64]
    latents: Float32
    ranges: Float32
    flags: NDArray[np.bool_]
