"""Equiaxed grains to melt: the substrate, and each layer of powder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.solidification import ORIENTATIONS
from microrun.training.simulate.solidify.grains import Grains

GRAIN_UM3 = 2667.0  # mean volume of the paper's substrate grains: cubes of 13.9 µm


def fill_voronoi(grains: Grains, cell_um: float, seed: tuple[int, ...], first_id: int) -> int:
    """Fill cells with the Voronoi regions of random points, each of a random orientation.

    Parameters
    ----------
    grains
        Views of the cells to fill.
    cell_um
        Edge of a cell.
    seed
        Numbers that, together, make the same grains again.
    first_id
        Of the new grains.

    Returns
    -------
    int
        The id after the last one.
    """
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    shape = grains.orientation.shape
    count = max(1, round(np.prod(shape) * cell_um**3 / GRAIN_UM3))
    points = rng.random((count, 3)) * shape
    orientations = rng.integers(0, ORIENTATIONS, count).astype(np.int8)
    tree = cKDTree(points)
    places = np.indices((1, *shape[1:])).reshape(3, -1).T + 0.5
    for z in range(shape[0]):  # by planes: a volume of places takes thirty times the memory of its grains
        nearest: NDArray[np.int64] = tree.query(places + np.array([z, 0, 0]))[1].reshape(shape[1:])
        grains.orientation[z] = orientations[nearest]
        grains.grain_id[z] = first_id + nearest
    return first_id + count
