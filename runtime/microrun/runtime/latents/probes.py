"""Which scan latents belong to: hashes of patterns all over it, kept in the latents file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import LatentsError

if TYPE_CHECKING:
    from microrun.runtime.latents.reader import Latents
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


def check_same_scan(latents: Latents, source: ScanFile) -> None:
    """Refuse a scan that latents were not made from.

    Parameters
    ----------
    latents
        With hashes of the patterns that were encoded.
    source
        The scan, as far as it exists.

    Raises
    ------
    LatentsError
        If the map has another shape, or one of these patterns differs.
    ScanError
        If the scan cannot be read.
    """
    found, wanted = latents.origin.scan.nav_shape, source.scan.nav_shape
    if found != wanted:
        raise LatentsError(
            f"{latents.path}: is of a map of {found[0]}×{found[1]}; {source.path} has {wanted[0]}×{wanted[1]}"
        )
    for number, known in zip(probe_numbers(source.scan.total), latents.probes, strict=True):
        if not known.any() or number >= source.available:
            continue
        now = hash_pattern(source, int(number))
        if (now != known).any():
            raise LatentsError(
                f"{latents.path}: is of another scan than {source.path}: pattern {number:,} was another when it was "
                "encoded"
            )
