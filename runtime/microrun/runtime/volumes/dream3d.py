"""DREAM3D's files: the features of all cells of an image, and how large a cell is.

Version 6 keeps ``DataContainers/NAME/CellData/FeatureIds``, (z, y, x, 1), with the size of a cell as the data set
``SPACING`` of ``_SIMPL_GEOMETRY`` beside CellData; DREAM3D-NX keeps ``DataStructure/NAME/Cell Data/FeatureIds``, with
the attribute ``_SPACING`` of NAME. Sizes are x, y, z. Feature 0 is no grain.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import VolumeError

FEATURES = "FeatureIds"
ROOTS = ("DataStructure", "DataContainers")
EQUAL = 1e-4  # relative, sides of a cube in float32
# Micrometres in a unit of length of simplnx's IGeometry, by its number: pico-, nano-, micro-, milli-, centimetre, …
UNITS_UM = {4: 1e-6, 5: 1e-3, 6: 1.0, 7: 1e3, 8: 1e4, 9: 1e5, 10: 1e6}
MICROMETRE = 6


class Cells(NamedTuple):
    """Cells of an image.

    Parameters
    ----------
    name
        Of the data set.
    labels
        (z, y, x) integers: features, −1 where there is none.
    edge_um
        Edge of a cell in µm; None if the file does not say.
    """

    name: str
    labels: NDArray[Any]
    edge_um: float | None


def is_dream3d(file: h5py.File) -> bool:
    """Whether an HDF5 file is one of DREAM3D's."""
    return any(isinstance(file.get(root), h5py.Group) for root in ROOTS)


def read_cells(file: h5py.File, dataset: str | None) -> Cells:
    """Read the features of all cells.

    Parameters
    ----------
    file
        Of DREAM3D.
    dataset
        Name of the data set; by default that called FeatureIds.

    Returns
    -------
    Cells
        What they are.

    Raises
    ------
    VolumeError
        If there is no such data set, or several, or cells are no cubes.
    """
    name = _choose(file, dataset)
    data = file[name]
    shape = data.shape[:3]
    if len(data.shape) not in (3, 4) or math.prod(data.shape[3:]) != 1 or data.dtype.kind not in "iu":
        raise VolumeError(f"{name} should hold whole numbers (z, y, x, 1); got {data.dtype} {data.shape}")
    ids = data[()].reshape(shape)
    labels = np.where(ids > 0, ids, -1) if ids.dtype.kind == "i" else np.where(ids > 0, ids.astype(np.int64), -1)
    return Cells(name, labels, _find_edge(data.parent.parent))


def _choose(file: h5py.File, dataset: str | None) -> str:
    if dataset is not None:
        if not isinstance(file.get(dataset), h5py.Dataset):
            raise VolumeError(f"has no data set {dataset}")
        return dataset
    found: list[str] = []

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and name.rpartition("/")[2] == FEATURES and len(item.shape or ()) > 2:
            found.append(name)

    file.visititems(note)
    if not found:
        raise VolumeError(f"a DREAM3D file without {FEATURES} of cells; segment it there first, or name others")
    if len(found) > 1:
        raise VolumeError(f"holds several {FEATURES}; name one as its data set: {', '.join(found)}")
    return found[0]


def _find_edge(geometry: h5py.Group) -> float | None:
    """Edge of a cell in µm."""
    if "_SPACING" in geometry.attrs:
        spacing = np.asarray(geometry.attrs["_SPACING"], np.float64)
        unit = UNITS_UM.get(int(geometry.attrs.get("Units", MICROMETRE)))
    else:
        kept = geometry.get("_SIMPL_GEOMETRY/SPACING")
        spacing = np.asarray(kept[()], np.float64) if isinstance(kept, h5py.Dataset) else np.empty(0)
        unit = UNITS_UM[MICROMETRE]
    if spacing.shape != (3,) or unit is None:
        return None
    if not (spacing.min() > 0 and spacing.max() < np.inf):
        raise VolumeError(f"its cells should be longer than 0; got {_sides(spacing)}")
    if spacing.max() > spacing.min() * (1 + EQUAL):
        raise VolumeError(f"cells must be cubes; got {_sides(spacing)} (x, y, z): resample them to cubes in DREAM3D")
    return float(f"{spacing[0]:.7g}") * unit


def _sides(spacing: NDArray[np.float64]) -> str:
    return " × ".join(f"{side:g}" for side in spacing)
