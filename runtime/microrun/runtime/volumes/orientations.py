"""Crystal orientations of a volume's grains, and where an HDF5 file keeps them: beside its labels.

The data set ``euler_angles`` (grains, 3) float32 lies in the group of ``grain_id``; row n belongs to grain n. That of
other labels has their name before its own. Angles are Bunge's phi1, Phi, phi2 in radians: they turn the sample's axes
into the crystal's. The sample's x, y, z are the volume's last, middle and first axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import VolumeError
from microrun.runtime.files.hdf5 import hdf5_errors, open_hdf5, reason_of
from microrun.runtime.json_text import UNREADABLE
from microrun.runtime.volumes.volume import LABELS

EULER = "euler_angles"
CONVENTION = "Bunge phi1, Phi, phi2 in radians, from sample to crystal; x, y, z are the last, middle and first axis"
LAUE_GROUPS = ("-1", "2/m", "mmm", "4/m", "4/mmm", "-3", "-3m", "6/m", "6/mmm", "m-3", "m-3m")


@dataclass(frozen=True, eq=False)
class GrainOrientations:
    """Orientations of grains of one phase.

    Parameters
    ----------
    euler
        (n, 3) float64 Bunge angles phi1, Phi, phi2 in radians of grains 0 to n − 1; NaN for numbers without a grain.
    symmetry
        Laue group of the crystals, one of `LAUE_GROUPS`.
    phase
        Crystal structure such as "fcc"; empty where only the symmetry is known.
    texture
        Where the orientations come from, for people.
    """

    euler: Float64
    symmetry: str
    phase: str = ""
    texture: str = ""


def write_orientations(path: Path, labels: str, orientations: GrainOrientations) -> None:
    """Keep orientations in an HDF5 file that holds labels; those that were there are replaced.

    Parameters
    ----------
    path
        The file.
    labels
        Name of the labels' data set.
    orientations
        What to keep.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with hdf5_errors(), h5py.File(path, "r+") as file:
        name = _name_beside(labels)
        if name in file:
            del file[name]
        stored = file.create_dataset(name, data=orientations.euler.astype(np.float32))
        stored.attrs["convention"] = CONVENTION
        for key in ("symmetry", "phase", "texture"):
            stored.attrs[key] = getattr(orientations, key)


def read_orientations(path: Path, name: str) -> GrainOrientations | None:
    """Read the orientations of the grains of a volume.

    Parameters
    ----------
    path
        The volume's file.
    name
        `Volume.name` of the volume that was opened from it.

    Returns
    -------
    GrainOrientations or None
        None if the file holds none for these labels.

    Raises
    ------
    VolumeError
        If the file is damaged, or they are no such table.
    """
    if path.suffix.lower() == ".npy":
        return None
    labels = name.removeprefix(f"{path}:")
    try:
        with open_hdf5(path) as file:
            stored = file.get(_name_beside(labels))
            if not isinstance(stored, h5py.Dataset):
                return None
            euler = _check_table(path, stored)
            said = {key: _read_text(stored.attrs.get(key)) for key in ("symmetry", "phase", "texture")}
    except (OSError, *UNREADABLE, RuntimeError) as error:
        raise VolumeError(f"{path}: is damaged ({reason_of(error)})") from None
    if said["symmetry"] not in LAUE_GROUPS:
        raise VolumeError(f"{path}: {EULER} states the symmetry {said['symmetry']!r}; run microrun orient again")
    return GrainOrientations(euler, **said)


def _name_beside(labels: str) -> str:
    group, slash, name = labels.rpartition("/")
    return group + slash + (EULER if name == LABELS else f"{name}_{EULER}")


def _check_table(path: Path, stored: h5py.Dataset) -> Float64:
    if len(stored.shape or ()) != 2 or stored.shape[1] != 3 or stored.dtype.kind != "f":
        raise VolumeError(f"{path}: {EULER} must be (grains, 3) of floats; got {stored.shape} {stored.dtype}")
    euler: Float64 = stored[()].astype(np.float64)
    return euler


def _read_text(attribute: Any) -> str:
    return attribute if isinstance(attribute, str) else ""
