"""Latents of a region of their map, as if they were a file of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import LatentsError, ScanError
from microrun.runtime.latents.dataset import DIMENSIONS
from microrun.runtime.latents.origin import Origin
from microrun.runtime.latents.reader import Latents
from microrun.runtime.latents.same_scan import check_same_scan
from microrun.runtime.scans.open import ScanFile, whole_of
from microrun.runtime.scans.part import Part, Region, all_of, choose_part
from microrun.runtime.scans.part_source import PartSource

ON_THE_MAP = frozenset(name for name, dimensions in DIMENSIONS.items() if dimensions[0] == "row")


class LatentsRegion(Latents):
    """Some rows and columns of a latents file; closing it closes the file.

    Parameters
    ----------
    latents
        Open.
    window
        Which rows and columns of its map.
    """

    def __init__(self, latents: Latents, window: Part) -> None:
        super().__init__(latents.path, latents._file, _cut(latents.origin, window), latents.growing)
        self.window = window

    def spread(self, image: NDArray[Any], nothing: float) -> NDArray[Any]:
        """A map of the region, (rows, cols, …), on the map of the whole file, with a value where nothing is known."""
        spread = np.full((*self.window.whole, *image.shape[2:]), nothing, image.dtype)
        self.window.take(spread)[...] = image
        return spread

    @property
    def probes(self) -> NDArray[np.uint8]:
        """(n, 32) uint8 zeros: patterns of the whole file are hashed, not those of its regions."""
        return np.zeros_like(super().probes)

    def read(self, name: str, piece: Any = ()) -> NDArray[Any]:
        """As of the file, with rows and columns of the region."""
        if name not in ON_THE_MAP:
            return super().read(name, piece)
        asked = piece if isinstance(piece, tuple) else (piece,)
        rows, cols = (*asked, slice(None), slice(None))[:2]
        moved = _shift(rows, self.window.rows), _shift(cols, self.window.cols)
        return super().read(name, moved + asked[2:])


def take_region(latents: Latents, region: Region | None) -> Latents:
    """Latents of a region, or all of them.

    Parameters
    ----------
    latents
        Open.
    region
        Rows and columns of the scan, from `parse_region`, also where the latents are of a part of it already; None for
        all that the file has.

    Raises
    ------
    ScanError
        If the region lies beside the scan, or is no grid.
    LatentsError
        If the file holds nothing of it.
    """
    if region is None:
        return latents
    held = _held(latents)
    try:
        asked = choose_part(held.whole, region, None) or all_of(held.whole)
    except ScanError as error:
        raise ScanError(f"{latents.path}: {error}") from None
    rows, cols = (
        _inside(span, wanted, held.every)
        for span, wanted in zip((held.rows, held.cols), (asked.rows, asked.cols), strict=True)
    )
    if rows[0] >= rows[1] or cols[0] >= cols[1]:
        raise LatentsError(f"{latents.path}: holds {held}; none of it is in {asked}")
    window = Part(held.nav_shape, rows, cols)
    return latents if window.nav_shape == held.nav_shape else LatentsRegion(latents, window)


def match_source(latents: Latents, source: ScanFile) -> Latents:
    """Latents of the points of a scan, or of a part of one, if they were made from it.

    Parameters
    ----------
    latents
        Open; of the same points, or of more.
    source
        The scan, or the part.

    Raises
    ------
    LatentsError
        If they are of another scan, or lack some of the points.
    """
    held, whole = latents.origin.part, whole_of(source)
    check_same_scan(latents, PartSource(whole, held) if held else whole)
    wanted = source.part if isinstance(source, PartSource) else all_of(whole.scan.nav_shape)
    found = take_region(latents, (wanted.rows, wanted.cols))
    if _held(found) != wanted:
        cure = "give the --region of the latents, or latents of all that is wanted"
        raise LatentsError(f"{latents.path}: holds {_held(latents)}; wanted are {wanted}: {cure}")
    return found


def _held(latents: Latents) -> Part:
    """What of the scan a file holds."""
    return latents.origin.part or all_of(latents.origin.scan.nav_shape)


def _inside(held: tuple[int, int], wanted: tuple[int, int], every: int) -> tuple[int, int]:
    """Which of the rows that are held, or of the columns, are wanted: the first, and the one after the last."""
    count = len(range(*held, every))
    first, stop = (-((held[0] - edge) // every) for edge in wanted)
    return max(0, first), min(count, stop)


def _cut(origin: Origin, window: Part) -> Origin:
    held = origin.part or all_of(window.whole)
    rows, cols = (
        (first + span[0] * held.every, min(stop, first + span[1] * held.every))
        for (first, stop), span in zip((held.rows, held.cols), (window.rows, window.cols), strict=True)
    )
    part = Part(held.whole, rows, cols, held.every)
    return replace(origin, scan=window.cut(origin.scan), fingerprint="", part=part)


def _shift(item: Any, span: tuple[int, int]) -> Any:
    first, stop = span
    if not isinstance(item, slice):
        return first + int(item)
    start, end, step = item.indices(stop - first)
    return slice(first + start, first + end, step)
