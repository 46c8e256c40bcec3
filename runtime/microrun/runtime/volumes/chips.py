"""Pieces of a part's voxels: chips that are left out, and pieces that are joined where they touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.pieces import bridge_pieces, drop_pieces, measure_pieces
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.tally import split_pieces

LISTED = 5  # pieces whose sizes are said


@dataclass(frozen=True)
class Tidying:
    """What to do with the pieces of a part.

    Parameters
    ----------
    drop_below
        Pieces of fewer voxels are left out; 0 keeps all.
    join
        Whether to fill the voxels between pieces that touch along an edge or at a corner, first.

    Raises
    ------
    VolumeError
        If the size is below 0.
    """

    drop_below: int = 0
    join: bool = False

    def __post_init__(self) -> None:
        if self.drop_below < 0:
            raise VolumeError(
                f"pieces are left out below a size of 0 voxels (none of them) or more; got {self.drop_below}"
            )


class Tidied(NamedTuple):
    """Voxels of all pieces that are left, descending, (pieces,) int64; and what was done, a sentence each."""

    pieces: NDArray[np.int64]
    remarks: tuple[str, ...]


def tidy_pieces(filled: NDArray[np.uint8], tidying: Tidying) -> Tidied:
    """Join and leave out pieces: voxels that hang together by their faces.

    Parameters
    ----------
    filled
        (z, y, x) uint8, 1 inside and 0 outside, changed in place.
    tidying
        What to do.

    Returns
    -------
    Tidied
        What is left.

    Raises
    ------
    VolumeError
        If nothing would be left.
    """
    said = []
    sizes = measure_pieces(filled)
    if tidying.join and len(sizes) > 1:
        voxels, before = int(sizes.sum()), len(sizes)
        bridge_pieces(split_pieces(np.where(filled > 0, np.int8(0), np.int8(-1))), filled)
        sizes = measure_pieces(filled)
        if len(sizes) < before:
            added = int(sizes.sum()) - voxels
            said.append(f"{before:,} pieces are joined to {len(sizes):,} by {added:,} voxels, where they touch")
    small = sizes[sizes < tidying.drop_below]
    if len(small) == len(sizes) > 0:
        raise VolumeError(
            f"all of its pieces, {len(sizes):,}, have fewer than {tidying.drop_below:,} voxels, the largest "
            f"{sizes.max():,}: leave out smaller ones only"
        )
    if small.size:
        drop_pieces(filled, tidying.drop_below)
        chips = "piece" if len(small) == 1 else "pieces"
        said.append(
            f"{len(small):,} {chips} of fewer than {tidying.drop_below:,} voxels, {small.sum():,} in all, left out"
        )
    return Tidied(np.sort(sizes[sizes >= tidying.drop_below])[::-1], tuple(said))


def describe_pieces(pieces: NDArray[np.int64]) -> str:
    """How many pieces there are, and the voxels of the largest ones.

    Parameters
    ----------
    pieces
        (pieces,) int64, descending.

    Returns
    -------
    str
        Such as "3 of 1,200, 14 and 2 voxels".
    """
    sizes = [f"{size:,}" for size in pieces[:LISTED].tolist()]
    if len(pieces) > LISTED:
        return f"{len(pieces):,}, the largest of {', '.join(sizes)} voxels, the smallest of {pieces[-1]:,}"
    listed = " and ".join(filter(None, [", ".join(sizes[:-1]), sizes[-1]]))
    return f"{len(pieces):,} of {listed} voxels"
