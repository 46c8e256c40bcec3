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
from microrun.kernels.potts import NEIGHBOURS, below, draw, gather


@exact_kernel
def relax_window(
    window: NDArray[np.int64], key: Any, wraps: Wraps, is_fixed: NDArray[np.bool_], labels: NDArray[np.int32]
) -> None:
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
    labels
        (Z, Y, X) int32, changed in place; negative ones stay.
    """
    _, rows, cols = labels.shape
    others, counts = np.empty(NEIGHBOURS, np.int32), np.empty(NEIGHBOURS, np.int32)
    for z in range(window[0, 0], window[0, 1], window[0, 2]):
        for y in range(window[1, 0], window[1, 1], window[1, 2]):
            for x in range(window[2, 0], window[2, 1], window[2, 2]):
                if labels[z, y, x] < 0 or (is_fixed.size and is_fixed[z, y, x]):
                    continue
                found, like = gather(labels, (z, y, x), wraps, others, counts)
                choice = below(draw(key, (z * rows + y) * cols + x), NEIGHBOURS)
                if choice < found and others[choice] >= 0 and counts[choice] >= like:
                    labels[z, y, x] = others[choice]
