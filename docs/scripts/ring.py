"""The mask of the ring that docs/generate.md shows: 28 × 96 × 96 voxels.

python docs/scripts/ring.py ring.npy
microrun generate --part ring.npy --seed 1 --out ring.h5
microrun render ring.h5 --out docs/images/grains-ring.png
"""

from __future__ import annotations

import sys

import numpy as np

RADIUS, THICKNESS = 34, 28  # voxels, of the circle in the middle and of what lies around it

if __name__ == "__main__":
    side = 2 * RADIUS + THICKNESS
    z, y, x = np.indices((THICKNESS, side, side)) + 0.5
    around = np.hypot(y - side / 2, x - side / 2) - RADIUS
    np.save(sys.argv[1], around**2 + (z - THICKNESS / 2) ** 2 < (THICKNESS / 2) ** 2)
