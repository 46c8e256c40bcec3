"""Whether latents and a scan belong together."""

from __future__ import annotations

from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.probes import hash_pattern, probe_numbers
from microrun.runtime.latents.reader import Latents
from microrun.runtime.scans.open import ScanFile


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
