"""Volumes of grains for DAMASK: its grid, .vti, and the orientations of its materials, .yaml.

The solver has a reader of its own, which knows less than VTK's: data inline in base64, all of it in the line after that
of its tag (DAMASK 3, src/VTI.f90). Lengths are in m.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.convert.present_grains import PresentGrains, find_present
from microrun.runtime.maps.structures import find_structure
from microrun.runtime.sections.grain_map import to_quaternions
from microrun.runtime.volumes.grain_volume import GrainVolume

MOST_VOXELS = 2**31 - 1
METRE = 1e-6  # in a µm
LATTICES = {
    "fcc": "cF", "diamond": "cF", "bcc": "cI", "m-3m": "cF", "m-3": "cF", "6/mmm": "hP", "6/m": "hP", "-3m": "hP",
    "-3": "hP", "4/mmm": "tI", "4/m": "tI", "mmm": "oP", "2/m": "mP", "-1": "aP",
}  # fmt: skip
CUBIC = ("cF", "cI")
GRAINS, VOID = "grains", "void"
HEAD = """\
# Written by microrun.
# The lattice {reason}. Add what the solver needs of each phase: mechanical, with elastic and plastic.
homogenization:
  SX:
    N_constituents: 1
    mechanical:
      type: pass
phase:
"""
MATERIAL = """\
- homogenization: SX
  constituents:
  - phase: {phase}
    v: 1.0
    O: [{rotation}]
"""


def write_damask(volume: GrainVolume, path: Path, materials: Path) -> None:
    """Write the grid and its materials; voxels without a grain are of one more material, of a phase of its own.

    Parameters
    ----------
    volume
        What to write.
    path
        The .vti to make: cell data ``material`` int32, from 0.
    materials
        The .yaml to make.

    Raises
    ------
    VolumeError
        If the volume cannot be read, has grains without an orientation, or too many voxels.
    OSError
        If a file cannot be written.
    """
    present = find_present(volume, "DAMASK's grids", MOST_VOXELS)
    with materials.open("w", encoding="ascii", newline="\n") as file:
        _write_materials(file, present)
    with path.open("wb") as file_of_grid:
        file_of_grid.write(_grid_head(volume).encode())
        for piece in _encode(volume, present):
            file_of_grid.write(piece)
        file_of_grid.write(b"\n</DataArray>\n</CellData>\n</Piece>\n</ImageData>\n</VTKFile>\n")


def _grid_head(volume: GrainVolume) -> str:
    extent = " ".join(f"0 {side}" for side in volume.labels.shape[::-1])
    origin = " ".join(repr(float(place) * METRE) for place in volume.origin_um[::-1])
    spacing = " ".join([repr(float(volume.voxel_um) * METRE)] * 3)
    return (
        '<?xml version="1.0"?>\n'
        '<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64">\n'
        f'<ImageData WholeExtent="{extent}" Origin="{origin}" Spacing="{spacing}">\n'
        f'<Piece Extent="{extent}">\n'
        "<CellData>\n"
        '<DataArray type="Int32" Name="material" format="binary">\n'
    )


def _encode(volume: GrainVolume, present: PresentGrains) -> Iterator[bytes]:
    """Base64 of the number of bytes and the bytes, as one stream, of which threes of bytes are encoded on their own."""
    table = present.renumber(0, len(present.numbers))
    left = (4 * math.prod(volume.labels.shape)).to_bytes(8, "little")
    for planes in volume.slabs():
        data = left + table[volume.read_grains(planes)].astype("<i4").tobytes()
        whole = len(data) - len(data) % 3
        yield base64.b64encode(data[:whole])
        left = data[whole:]
    yield base64.b64encode(left)


def _write_materials(file: TextIO, present: PresentGrains) -> None:
    crystals = present.crystals
    known = crystals.phase.partition(":")[0]
    reason = f"is that of {known}" if known else f"is a guess: only the symmetry {crystals.symmetry} is known"
    file.write(HEAD.format(reason=reason))
    lattice = LATTICES.get(known) or LATTICES[crystals.symmetry]
    file.write(f"  {GRAINS}:\n    lattice: {lattice}\n")
    structure = find_structure(crystals.phase)
    if structure and known == "hcp":
        file.write(f"    c/a: {structure.axis_ratio:g}\n")
    elif lattice not in CUBIC:  # only the symmetry is known, of which DAMASK makes no lattice
        file.write("    # The shape of its cell (c/a, or a, b, c and angles) is not known and is yours to add.\n")
    if present.void:
        file.write(f"  {VOID}:\n    lattice: cI\n")
    file.write("material:\n")
    gaps = len(present.numbers) <= present.numbers[-1]
    for number, rotation in zip(present.numbers, to_quaternions(present.euler), strict=True):
        if gaps:
            file.write(f"# grain {number}\n")
        file.write(MATERIAL.format(phase=GRAINS, rotation=_list(rotation)))
    if present.void:
        file.write(MATERIAL.format(phase=VOID, rotation=_list(np.array([1.0, 0, 0, 0]))))


def _list(rotation: Float64) -> str:
    positive = rotation if rotation[0] >= 0 else -rotation
    return ", ".join(f"{part:.12f}" for part in positive)
