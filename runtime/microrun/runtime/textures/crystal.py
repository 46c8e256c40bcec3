"""The crystals that a texture is of: what its source states, and what the caller says."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import ScanError, TextureError
from microrun.runtime.maps.orientations import point_group
from microrun.runtime.maps.structures import find_structure
from microrun.runtime.volumes.orientations import LAUE_GROUPS

ASSUMED = "fcc"


class Crystal(NamedTuple):
    """Symmetry of crystals.

    Parameters
    ----------
    symmetry
        Laue group.
    phase
        As `find_structure` takes it; empty where only the symmetry is known.
    assumed
        Whether nobody stated it.
    """

    symmetry: str
    phase: str = ""
    assumed: bool = False


def settle_crystal(source: str, stated: str | None, phase: str | None) -> Crystal:
    """Symmetry that a source states, or that the caller says, or that of fcc.

    Parameters
    ----------
    source
        The file or texture, for messages.
    stated
        A point group or EDAX's number of one; None where the source states none.
    phase
        What the caller says, as `point_group` takes it; None if nothing.

    Returns
    -------
    Crystal

    Raises
    ------
    TextureError
        If one of them is unknown, or they contradict each other.
    """
    asked = find_laue_group("--phase", phase) if phase else None
    found = find_laue_group(source, stated) if stated else None
    if asked and found and asked != found:
        raise TextureError(f"{source}: its crystals have symmetry {found}, which is not that of --phase {phase}")
    if asked or not found:
        taken = phase or ASSUMED
        structure = taken if find_structure(taken) else ""
        return Crystal(asked or find_laue_group(source, ASSUMED), structure, not asked)
    return Crystal(found)


def find_laue_group(source: str, symmetry: str) -> str:
    """Name of a Laue group; TextureError if the text names none."""
    try:
        name = str(point_group(symmetry).name)
    except ScanError as error:
        raise TextureError(f"{source}: {error}") from None
    if name not in LAUE_GROUPS:
        raise TextureError(f"{source}: symmetry {symmetry!r} has the Laue group {name}, which files cannot keep")
    return name


def find_direction(indices: tuple[int, ...], crystal: Crystal) -> Float64:
    """Unit vector of a crystal direction, in Cartesian axes: x along a, z along c.

    Parameters
    ----------
    indices
        u, v, w; or u, v, t, w of hexagonal crystals.
    crystal
        Whose it is.

    Returns
    -------
    (3,) float64

    Raises
    ------
    TextureError
        If there is no such direction, or c/a is needed and not known.
    """
    named = "".join(map(str, indices))
    hexagonal = crystal.symmetry in ("-3", "-3m", "6/m", "6/mmm")
    if not hexagonal and crystal.symmetry not in ("m-3", "m-3m"):
        raise TextureError(f"a fibre needs cubic or hexagonal crystals; got {crystal.symmetry}")
    if len(indices) == 4 and (not hexagonal or indices[0] + indices[1] + indices[2] != 0):
        raise TextureError(f"four indices are u, v, t, w of hexagonal crystals, u + v + t = 0; got {named}")
    if not any(indices):
        raise TextureError(f"a crystal direction has an index other than 0; got {named}")
    if not hexagonal:
        vector = np.array(indices, np.float64)
    else:
        u, v, w = indices if len(indices) == 3 else (indices[0] - indices[2], indices[1] - indices[2], indices[3])
        structure = find_structure(crystal.phase)
        if w and (u or v) and structure is None:
            raise TextureError(f"direction {named} needs the ratio of the cell's axes; give --phase hcp:C/A")
        ratio = structure.axis_ratio if structure else 1.0
        vector = np.array([u - v / 2, v * np.sqrt(3) / 2, w * ratio])
    unit: Float64 = vector / np.linalg.norm(vector)
    return unit
