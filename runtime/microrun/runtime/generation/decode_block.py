"""The colours of a finished block: each voxel's is that of a grain at or beside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.decoding import number_pieces, settle
from microrun.runtime.array_types import Float32, Mask
from microrun.runtime.colour_codes import nearest_colours

GRAIN_VOXELS = 27  # of a piece that is a grain: 3³, as many as `GenerateRequest` keeps
CUT_VOXELS = 9  # of one that a face of the block cuts: the rest of it may be beyond


def decode_block(values: Float32, n_colours: int, known: Mask) -> NDArray[np.int8]:
    """Turn the values of a finished block into colours.

    Parameters
    ----------
    values
        (channels, z, y, x) float32. Those of one channel are rounded, voxel by voxel.
    n_colours
        Number of colours.
    known
        (z, y, x) bool: voxels that were given, whose colours stay.

    Returns
    -------
    (z, y, x) int8
        Without pieces, of unknown voxels, that are too small for a grain; unless no piece is large enough for one.
    """
    colours = nearest_colours(values, n_colours)
    if len(values) == 1:
        return colours
    is_settled = _grains(colours) | known
    while not is_settled.all() and settle(values, colours, is_settled):
        pass
    return colours


def _grains(colours: NDArray[np.int8]) -> Mask:
    """Bool, True for voxels of pieces that are large enough for a grain."""
    pieces = np.empty(colours.shape, np.int32)
    count = number_pieces(colours, pieces)
    sizes = np.bincount(pieces.ravel(), minlength=count)
    inside = np.zeros(colours.shape, bool)
    inside[1:-1, 1:-1, 1:-1] = True
    is_cut = np.bincount(pieces[~inside], minlength=count) > 0
    mask: Mask = (sizes >= np.where(is_cut, CUT_VOXELS, GRAIN_VOXELS))[pieces]
    return mask
