"""Sweeps of the Potts model at T = 0 over grains, in a volume that may end at its faces, or at those of a part.

Follows `potts`: a voxel takes over the label of a neighbour if that does not raise its energy, its number of
neighbours of another label. Voxels without a grain neither change nor give anything; their neighbours' energy is that
of a free surface all the same, which they cannot escape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.borders import Wraps
from microrun.kernels.compiling import exact_kernel
from microrun.kernels.potts import NEIGHBOURS, below, disturb, draw, gather


@exact_kernel
def relax_window(
    window: NDArray[np.int64], key: Any, wraps: Wraps, is_fixed: NDArray[np.bool_], events: NDArray[np.uint8],
    labels: NDArray[np.int32],
) -> None:  # fmt: skip
    """Let the voxels of a window try one flip each.

    Parameters
    ----------
    window
        (3, 3) int64: first, end and step along z, y and x; no two of its voxels are neighbours.
    key
        64 bits, `sweep_key`.
    wraps
        Whether the volume goes on at its opposite face along z, y and x.
    is_fixed
        (Z, Y, X) bool, or (0, 0, 0) for none: voxels that stay as they are.
    events
        (Z, Y, X) uint8, changed in place: number of different labels around each voxel, 0 if it cannot flip, or
        `potts.UNKNOWN`. What cannot flip is skipped until something changes beside it.
    labels
        (Z, Y, X) int32, changed in place; negative ones stay.
    """
    _, rows, cols = labels.shape
    others, counts = np.empty(NEIGHBOURS, np.int32), np.empty(NEIGHBOURS, np.int32)
    for z in range(window[0, 0], window[0, 1], window[0, 2]):
        for y in range(window[1, 0], window[1, 1], window[1, 2]):
            for x in range(window[2, 0], window[2, 1], window[2, 2]):
                if events[z, y, x] == 0 or labels[z, y, x] < 0 or (is_fixed.size and is_fixed[z, y, x]):
                    continue
                choice = below(draw(key, (z * rows + y) * cols + x), NEIGHBOURS)
                if choice >= events[z, y, x]:
                    continue
                found, like = gather(labels, (z, y, x), wraps, others, counts)
                events[z, y, x] = count_flips(found, like, others, counts)
                if choice < events[z, y, x] and is_flip(others[choice], counts[choice], like):
                    labels[z, y, x] = others[choice]
                    disturb(events, (z, y, x))


@exact_kernel
def count_flips(found: int, like: int, others: NDArray[np.int32], counts: NDArray[np.int32]) -> int:
    """Give the number of different labels around a voxel, or 0 if it could take none of them over."""
    for k in range(found):
        if is_flip(others[k], counts[k], like):
            return found
    return 0


@exact_kernel
def is_flip(other: int, count: int, like: int) -> bool:
    """Say whether a voxel may take over a label with so many neighbours, instead of its own."""
    return bool(other >= 0 and count >= like)
