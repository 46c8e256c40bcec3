"""Volumes of grains for Abaqus: an .inp of cubes C3D8, with a set, an orientation and a section for each grain.

Nodes and elements are numbered along x, then y, then z, as if the box was full; where a voxel has no grain, there is no
element. Local directions 1 and 2 of a grain are its crystal's axes. Lengths are in µm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.convert.present_grains import PresentGrains, find_present
from microrun.runtime.convert.text_columns import join_columns, set_column, set_numbers
from microrun.runtime.errors import VolumeError
from microrun.runtime.sections.grain_map import to_quaternions
from microrun.runtime.textures.rotations import crystal_axes
from microrun.runtime.volumes.grain_volume import GrainVolume

MOST_NUMBERS = 999_999_999  # of nodes and elements
IDS_A_LINE = 16
MATERIAL = "CRYSTAL"


def write_abaqus(volume: GrainVolume, path: Path) -> None:
    """Write the mesh; its only material is without properties, which are the user's to add.

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
    nodes = math.prod(side + 1 for side in volume.labels.shape)
    if nodes > MOST_NUMBERS:
        raise VolumeError(
            f"{volume.labels.name}: Abaqus numbers at most {MOST_NUMBERS:,} nodes; the volume has {nodes:,}: cut it"
        )
    present = find_present(volume, "Abaqus' meshes", MOST_NUMBERS)
    with path.open("wb") as file:
        file.write(b"*Heading\nGrains, written by microrun; lengths in micrometres\n*Node\n")
        _write_nodes(file, volume)
        file.write(b"*Element, type=C3D8\n")
        _write_elements(file, volume)
        _write_sets(file, volume, present)
        for line in _sections(present):
            file.write(line.encode("ascii"))


def _planes(volume: GrainVolume) -> Iterator[tuple[int, NDArray[np.int32]]]:
    for planes in volume.slabs():
        yield from enumerate(volume.read_grains(planes), planes.start)


def _write_nodes(file: BinaryIO, volume: GrainVolume) -> None:
    """Corners of voxels with a grain, plane by plane."""
    depth, rows, cols = volume.labels.shape
    z, y, x = ([f"{origin + n * volume.voxel_um:.9g}" for n in range(side + 1)]
               for side, origin in zip(volume.labels.shape, volume.origin_um, strict=True))  # fmt: skip
    across, along = np.tile(set_column(x), (rows + 1, 1)), set_column(y).repeat(cols + 1, 0)
    size = (rows + 1) * (cols + 1)
    below = np.zeros((rows + 1, cols + 1), np.bool_)

    def write(plane: int, used: NDArray[np.bool_]) -> None:
        places = np.flatnonzero(used)
        numbers = set_numbers(places + plane * size + 1)
        file.write(join_columns(numbers, ", ", across[places], ", ", along[places], f", {z[plane]}\n").data)

    for plane, grains in _planes(volume):
        used = _corners(grains >= 0)
        write(plane, used | below)
        below = used
    write(depth, below)


def _corners(solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    used = np.zeros((solid.shape[0] + 1, solid.shape[1] + 1), np.bool_)
    for corner in (used[:-1, :-1], used[:-1, 1:], used[1:, :-1], used[1:, 1:]):
        corner |= solid
    return used


def _write_elements(file: BinaryIO, volume: GrainVolume) -> None:
    """Voxels with a grain: the corners of the lower face, then of the upper one, each against the clock."""
    _, rows, cols = volume.labels.shape
    size = (rows + 1) * (cols + 1)
    corners = np.array([0, 1, cols + 2, cols + 1])
    for plane, grains in _planes(volume):
        voxels = np.flatnonzero(grains >= 0)
        first = voxels + voxels // cols + plane * size + 1
        nodes = (first[:, None] + np.concatenate([corners, corners + size])).T
        columns: list[NDArray[np.uint8] | str] = [set_numbers(voxels + plane * rows * cols + 1)]
        for node in nodes:
            columns += [",", set_numbers(node)]
        file.write(join_columns(*columns, "\n").data)


def _write_sets(file: BinaryIO, volume: GrainVolume, present: PresentGrains) -> None:
    members = _sort_voxels(volume, present)
    stop = 0
    for number, count in zip(present.numbers, present.voxels, strict=True):
        start, stop = stop, stop + int(count)
        text = join_columns(set_numbers(members[start:stop]), ",")
        text[IDS_A_LINE - 1 :: IDS_A_LINE, -1] = text[-1, -1] = ord("\n")
        file.write(f"*Elset, elset=GRAIN_{number}\n".encode("ascii"))
        file.write(text.data)


def _sort_voxels(volume: GrainVolume, present: PresentGrains) -> NDArray[np.int32]:
    """Numbers of the elements, grain by grain: as long as the volume, and the only array that is."""
    members = np.empty(int(present.voxels.sum()), np.int32)
    table = present.renumber(0, -1)
    free = np.concatenate([[0], np.cumsum(present.voxels)])
    size = math.prod(volume.labels.shape[1:])
    for planes in volume.slabs():
        grains = table[volume.read_grains(planes)].ravel()
        order = np.argsort(grains, kind="stable")[int(np.count_nonzero(grains < 0)) :]
        found = np.bincount(grains[order], minlength=len(present.numbers))
        starts = np.concatenate([[0], np.cumsum(found)[:-1]])
        within = np.arange(len(order)) - np.repeat(starts, found)
        members[np.repeat(free[:-1], found) + within] = order + planes.start * size + 1
        free[:-1] += found
    return members


def _sections(present: PresentGrains) -> Iterator[str]:
    axes = crystal_axes(to_quaternions(present.euler))
    for number, (first, second, _) in zip(present.numbers, axes, strict=True):
        directions = ", ".join(f"{part:.12f}" for part in (*first, *second))
        yield f"*Orientation, name=ORIENTATION_{number}, system=RECTANGULAR\n{directions}\n3, 0.\n"
    for number in present.numbers:
        section = f"elset=GRAIN_{number}, orientation=ORIENTATION_{number}, material={MATERIAL}"
        yield f"*Solid Section, {section}\n,\n"
    yield f"*Material, name={MATERIAL}\n** Its properties are yours to add.\n"
