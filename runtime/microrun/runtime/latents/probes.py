"""Hashes of patterns all over a scan, which tell it from others."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from microrun.runtime.scans.open import ScanFile

PROBES = 64
HASH_BYTES = 32


def probe_numbers(total: int) -> NDArray[np.int64]:
    """Numbers of the patterns that tell scans of so many apart: at most `PROBES`, evenly spread from first to last."""
    return np.unique(np.linspace(0, total - 1, PROBES).round().astype(np.int64))


def hash_pattern(source: ScanFile, number: int) -> NDArray[np.uint8]:
    """Hash of a pattern.

    Parameters
    ----------
    source
        The scan.
    number
        Of the pattern, which exists.

    Returns
    -------
    (`HASH_BYTES`,) uint8
        SHA-256 of its pixels; zeros for a pattern of one value, which tells nothing and may not be written yet.

    Raises
    ------
    ScanError
        If it cannot be read.
    """
    pattern = np.empty((1, *source.scan.sig_shape), source.scan.dtype)
    source.read_patterns(np.array([number]), pattern)
    if pattern.min() == pattern.max():
        return np.zeros(HASH_BYTES, np.uint8)
    return np.frombuffer(hashlib.sha256(pattern.tobytes()).digest(), np.uint8)
