"""What to say about a voxelised part: what was guessed, what was left out, and what is doubtful."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.voxelize import LONGEST, UNIT
from microrun.runtime.volumes.surface import Surface
from microrun.runtime.volumes.thin_walls import ThinWalls

DOUBTFUL_SHARE = 0.1  # of the volume, by which voxels and mesh may differ before it is said


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found when a surface became voxels; volumes and areas in voxels.

    Parameters
    ----------
    surface
        Bodies and faces.
    size
        Voxels along the longest side.
    voxels
        Number inside.
    mesh_volume
        What the surface encloses.
    odd_rays, uneven_rays
        Number of rays that pass an odd number of faces, and an even number that does not turn in and out by turns.
    shared, behind
        Number of voxels in several bodies, and of those that are enclosed by faces which point inward.
    pieces
        (pieces,) int64, descending: voxels of each.
    walls
        Those thinner than two voxels.
    """

    surface: Surface
    size: int
    voxels: int
    mesh_volume: float
    odd_rays: int
    uneven_rays: int
    shared: int
    behind: int
    pieces: NDArray[np.int64]
    walls: ThinWalls


def remark(found: Findings) -> tuple[str, ...]:
    """Say what was guessed, left out or is doubtful.

    Parameters
    ----------
    found
        What was found.

    Returns
    -------
    tuple of str
        Sentences without a full stop; none for a closed surface of one body that is thick enough.
    """
    return (*_on_faces(found), *_on_bodies(found), *_on_voxels(found))


def _on_faces(found: Findings) -> list[str]:
    surface = found.surface
    said = []
    if surface.copies:
        said.append(f"{surface.copies:,} faces repeat others and are left out")
    if surface.touching:
        said.append(f"{surface.touching:,} faces lie back to back, where bodies touch, and are left out")
    if surface.turned_faces:
        said.append(f"{surface.turned_faces:,} faces pointed to another side than most of their body and are turned")
    if found.odd_rays:
        said.append(
            f"the mesh is open: {found.odd_rays:,} rays find a hole; where rays disagree, voxels follow two of three"
        )
    if found.uneven_rays:
        said.append(
            f"along {found.uneven_rays:,} rays the faces do not turn in and out by turns; there each face begins or "
            "ends the part, whichever way it turns"
        )
    return said


def _on_bodies(found: Findings) -> list[str]:
    bodies = found.surface.bodies
    said = []
    if bodies.turned:
        said.append(
            f"the faces of {bodies.turned:,} of {bodies.total:,} bodies pointed to the wrong side and are turned: only "
            "a cavity, with a body around it, has them point inward"
        )
    if bodies.nested:
        said.append(
            f"{bodies.nested:,} of {bodies.total:,} bodies lie in another with faces that point outward: they are "
            "filled; were they cavities, their faces would point inward"
        )
    if bodies.filled:
        said.append(
            f"{bodies.filled:,} of {bodies.total:,} bodies are cavities in more than one other: they are filled"
        )
    if found.shared:
        said.append(f"{found.shared:,} voxels lie in more than one body: they are filled once, as of one body")
    if found.behind:
        said.append(f"{found.behind:,} voxels lie in no body, only in cavities: they are empty")
    return said


def _on_voxels(found: Findings) -> list[str]:
    said = []
    off = found.voxels - found.mesh_volume
    larger = f"take a larger --size, such as {min(2 * found.size, LONGEST):,}"
    # An open mesh encloses no volume to compare with.
    if not found.odd_rays and abs(off) > min(found.surface.area / UNIT**2 / 2, DOUBTFUL_SHARE * abs(found.mesh_volume)):
        share = f"{off / found.mesh_volume:+.0%}" if found.mesh_volume > 0 else f"{off:+,.0f} voxels"
        said.append(f"the voxels' volume is not the mesh's ({share}); if walls are few voxels thick, {larger}")
    if len(found.pieces) > found.surface.bodies.total - found.surface.bodies.cavities:
        share = f"{found.pieces[0] / found.voxels:.0%}"
        said.append(
            f"the voxels fall into {len(found.pieces):,} pieces, the largest of {share} of them: walls thinner than "
            f"two voxels crumble; {larger}, or use --join-pieces or --drop-pieces of `microrun voxelize`"
        )
    return [*said, *found.walls.describe(larger)]
