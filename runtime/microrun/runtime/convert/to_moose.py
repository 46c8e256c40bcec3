"""Volumes of grains for MOOSE: the text of DREAM.3D's that EBSDMeshGenerator and EBSDReader take, in 3D.

After lines that begin with # there is one for each voxel: phi1 PHI phi2 in radians, x y z of its centre in µm, and the
numbers of its feature, phase and symmetry. The reader wants every voxel, and one inside the box that the header states.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microrun.runtime.convert.present_grains import PresentGrains, find_present
from microrun.runtime.convert.text_columns import join_columns, set_column
from microrun.runtime.volumes.grain_volume import GrainVolume

MOST_VOXELS = 2**32 - 1
PHASE, VOID = 1, 0
TSL_NUMBERS = {
    "m-3m": 43, "m-3": 23, "6/mmm": 62, "6/m": 6, "-3m": 32, "-3": 3, "4/mmm": 42, "4/m": 4, "mmm": 22, "2/m": 2,
    "-1": 1,
}  # fmt: skip


def write_moose(volume: GrainVolume, path: Path) -> None:
    """Write the text; grain n is feature n + 1 of phase 1, voxels without a grain are feature 0 of phase 0.

    Parameters
    ----------
    volume
        What to write.
    path
        The file to make.

    Raises
    ------
    VolumeError
        If the volume cannot be read, has grains without an orientation, or too many voxels.
    OSError
        If the file cannot be written.
    """
    present = find_present(volume, "MOOSE's EBSD files", MOST_VOXELS)
    symmetry = TSL_NUMBERS[present.crystals.symmetry]
    angles = set_column([*("{:.6f} {:.6f} {:.6f} ".format(*euler) for euler in present.euler), "0 0 0 "])
    numbers = set_column([*(f" {number + 1} {PHASE} {symmetry}" for number in present.numbers), f" 0 {VOID} 0"])
    table = present.renumber(0, len(present.numbers))
    z, y, x = ([f"{origin + (n + 0.5) * volume.voxel_um:.9g}" for n in range(side)]
               for side, origin in zip(volume.labels.shape, volume.origin_um, strict=True))  # fmt: skip
    columns = set_column(x)
    with path.open("wb") as file:
        file.write(_head(volume, present, symmetry).encode("ascii"))
        for planes in volume.slabs():
            for height, plane in zip(z[planes], table[volume.read_grains(planes)], strict=True):
                for row, grains in zip(y, plane, strict=True):
                    lines = join_columns(angles[grains], columns, f" {row} {height}", numbers[grains], "\n")
                    file.write(np.ascontiguousarray(lines).data)


def _head(volume: GrainVolume, present: PresentGrains, symmetry: int) -> str:
    lines = ["microrun"]
    sides, origins = volume.labels.shape[::-1], volume.origin_um[::-1]
    for what, values in (
        ("STEP", [volume.voxel_um] * 3),
        ("MIN", origins),
        ("MAX", [origin + side * volume.voxel_um for origin, side in zip(origins, sides, strict=True)]),
        ("DIM", sides),
    ):
        lines += [f"{axis}_{what}: {value:.9g}" for axis, value in zip("XYZ", values, strict=True)]
    lines += [f"Phase_1: {present.crystals.phase or 'grains'}", f"Symmetry_1: {symmetry}",
              f"Features_1: {len(present.numbers)}", f"Num_Features: {len(present.numbers)}",
              "phi1 PHI phi2 x y z FeatureId PhaseId Symmetry"]  # fmt: skip
    return "".join(f"# {line}\n" for line in lines)
