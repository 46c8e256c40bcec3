"""Volumes of grains for Neper: its raster tessellation, .tesr of format 2.1, and orientations, .ori.

Neper calls Bunge's angles, in degrees, ``euler-bunge:active``. Cells are numbered from 1 without gaps; ``*id`` gives
them back their numbers: grain n is cell n + 1. Data are text: Neper skips what looks like blanks before binary ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.convert.present_grains import PresentGrains, find_present
from microrun.runtime.convert.text_columns import set_column
from microrun.runtime.volumes.grain_volume import GrainVolume

MOST_VOXELS = 2**31 - 1
SYMMETRIES = {"m-3m": "cubic", "6/mmm": "hexagonal", "-1": "triclinic"}  # others by the names of their Laue groups
IDS_A_LINE = 20


def write_neper(volume: GrainVolume, path: Path, orientations: Path) -> None:
    """Write the tessellation and the orientations of its cells; voxels without a grain are void, 0.

    Parameters
    ----------
    volume
        What to write; lengths are in µm.
    path
        The .tesr to make.
    orientations
        The .ori to make: a line for each cell.

    Raises
    ------
    VolumeError
        If the volume cannot be read, has grains without an orientation, or too many voxels.
    OSError
        If a file cannot be written.
    """
    present = find_present(volume, "Neper's tessellations", MOST_VOXELS)
    lines = [_line(euler) for euler in np.rad2deg(present.euler)]
    with orientations.open("w", encoding="ascii", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
    cells = set_column([f" {number}" for number in range(len(present.numbers) + 1)])
    table = present.renumber(1, 0)
    with path.open("wb") as data:
        data.write(_head(volume, present, lines).encode("ascii"))
        for planes in volume.slabs():
            for plane in table[volume.read_grains(planes)]:
                text = cells[plane].reshape(len(plane), -1)
                ends = np.full((len(plane), 1), ord("\n"), np.uint8)
                data.write(np.concatenate([text, ends], axis=1).data)
        data.write(b"***end\n")


def _line(euler: Float64) -> str:
    return " ".join(f"{angle:17.12f}" for angle in euler)


def _head(volume: GrainVolume, present: PresentGrains, orientations: list[str]) -> str:
    symmetry = present.crystals.symmetry
    ids = [str(number + 1) for number in present.numbers]
    lines = ["***tesr", " **format", "   2.1", " **general", "   3",
             "   " + " ".join(map(str, volume.labels.shape[::-1])),
             "   " + " ".join([f"{volume.voxel_um:.12g}"] * 3),
             "  *origin", "   " + " ".join(f"{place:.12g}" for place in volume.origin_um[::-1]),
             " **cell", f"   {len(ids)}", "  *id"]  # fmt: skip
    lines += ["   " + " ".join(ids[first : first + IDS_A_LINE]) for first in range(0, len(ids), IDS_A_LINE)]
    lines += ["  *ori", "   euler-bunge:active", *(f"   {line}" for line in orientations)]
    lines += ["  *crysym", f"   {SYMMETRIES.get(symmetry, symmetry)}", " **data", "   ascii\n"]
    return "\n".join(lines)
