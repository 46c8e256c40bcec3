"""What is said of a part beside its voxels: thin walls and pieces; `microrun bench voxelise` measures voxels.

    python tests/benchmarks/bench_parts.py

prints medians in milliseconds for a sphere of 49,612 faces, beside the whole voxelisation, and for noise that falls
into many pieces.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from timing import median_seconds

from microrun.cli.bench.voxelise import SPHERE_BANDS, make_sphere
from microrun.kernels.pieces import bridge_pieces, drop_pieces, measure_pieces
from microrun.kernels.walls import find_walls
from microrun.runtime.volumes.parts import voxelize_triangles
from microrun.runtime.volumes.tally import split_pieces

REPEATS = 5
UNIT = 65536
THIN = 2.0


def main() -> None:
    sphere = make_sphere(SPHERE_BANDS)
    for size in (128, 256, 512):
        units = np.rint((sphere + 1) * UNIT * size / 2).astype(np.int64)
        filled = (np.random.default_rng(size).random((size, size, size)) < 0.1).astype(np.uint8)
        pieces = split_pieces(filled.astype(np.int32) - 1)
        print(f"{size}³, ms")
        for name, work in {
            "voxelisation, all cores": partial(voxelize_triangles, sphere, size),
            "walls along one axis": partial(find_walls, units, (size, size, size), THIN),
            "pieces of noise": partial(measure_pieces, filled),
            "the same, dropped": lambda filled=filled: drop_pieces(filled.copy(), 5),
            "the same, joined": lambda filled=filled, pieces=pieces: bridge_pieces(pieces, filled.copy()),
        }.items():
            print(f"  {name:<26}{1e3 * median_seconds(work, REPEATS):>9.1f}", flush=True)


if __name__ == "__main__":
    main()
