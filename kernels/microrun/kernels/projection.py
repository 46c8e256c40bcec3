"""Gnomonic projection of a master pattern onto a detector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microrun.kernels.compiling import fast_kernel

FOUR_OVER_PI = np.float32(4 / math.pi)


@fast_kernel
def project_gnomonic(master: Any, rotation: Any, centre_px: Any, out: Any) -> None:
    """Look up, for every pixel of a detector, the master pattern in the direction that the pixel lies in.

    The two hemispheres are square equal-area Lambert projections (Roşca, 2010; doi:10.1051/0004-6361/201015278) whose
    outermost pixels lie on the equator; between pixels the pattern is bilinear.

    Parameters
    ----------
    master
        (2, m, m) float32: upper and lower hemisphere.
    rotation
        (3, 3) float32 that takes directions (right, up, from source to detector) to the crystal's axes.
    centre_px
        (x, y, z) float32 in pixels: pattern centre from the detector's left and upper edge, and its distance.
    out
        (rows, cols) float32.
    """
    rows, cols = out.shape
    half = np.float32(0.5) * np.float32(master.shape[1] - 1)
    last = np.int64(master.shape[1] - 2)
    one = np.float32(1)
    for i in range(rows):
        up = (centre_px[1] - (np.float32(i) + np.float32(0.5))) / centre_px[2]
        for j in range(cols):
            right = (np.float32(j) + np.float32(0.5) - centre_px[0]) / centre_px[2]
            x = rotation[0, 0] * right + rotation[0, 1] * up + rotation[0, 2]
            y = rotation[1, 0] * right + rotation[1, 1] * up + rotation[1, 2]
            z = rotation[2, 0] * right + rotation[2, 1] * up + rotation[2, 2]
            length = math.sqrt(x * x + y * y + z * z)
            radius = math.sqrt(max(one - abs(z) / length, np.float32(0)))
            far, near = (x, y) if abs(x) >= abs(y) else (y, x)
            along = radius if far >= 0 else -radius
            across = along * FOUR_OVER_PI * math.atan(near / far) if far != 0 else np.float32(0)
            to_right, down = (along, across) if abs(x) >= abs(y) else (across, along)
            column = min(max((to_right + one) * half, np.float32(0)), np.float32(2) * half)
            row = min(max((down + one) * half, np.float32(0)), np.float32(2) * half)
            left, top = min(np.int64(column), last), min(np.int64(row), last)
            dx, dy = column - np.float32(left), row - np.float32(top)
            side = 0 if z >= 0 else 1
            upper = master[side, top, left] * (one - dx) + master[side, top, left + 1] * dx
            lower = master[side, top + 1, left] * (one - dx) + master[side, top + 1, left + 1] * dx
            out[i, j] = upper * (one - dy) + lower * dy
