"""Labels of grains from files: of microrun, NumPy, HDF5, SPPARKS and DREAM3D."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import VolumeError
from microrun.runtime.files.hdf5 import open_hdf5, reason_of
from microrun.runtime.files.npy import map_array
from microrun.runtime.json_text import UNREADABLE, parse_object
from microrun.runtime.volumes.dream3d import is_dream3d, read_cells
from microrun.runtime.volumes.spparks import is_dump, read_dump
from microrun.runtime.volumes.tally import split_pieces
from microrun.runtime.volumes.volume import LABELS, Volume

HDF5 = (".h5", ".hdf5", ".dream3d")


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """Grains of a volume as a file holds them.

    Parameters
    ----------
    name
        Of the data set, or of the file.
    labels
        (z, y, x) integers: grains 0, 1, …; negative where there is none.
    voxel_um
        Edge of a voxel in µm; None if the file does not say.
    order
        Order of the blocks that it was grown from, such as "isotropic"; empty if it was not.
    absorbed_voxels
        Smaller grains had joined others before it was written, as the file says; 0 if it says nothing.
    remarks
        What was guessed, a sentence each.
    kind
        What it is of, as the file says: "potts" or "am", printed metal; empty if it says nothing.
    periodic
        Axes along which it goes on at its opposite face, as `parse_axes` gives them.
    joined
        (z, y, x) integers: labels of a periodic volume before its grains are cut at the faces; None of others.
    """

    name: str
    labels: NDArray[Any]
    voxel_um: float | None = None
    order: str = ""
    absorbed_voxels: int = 0
    remarks: tuple[str, ...] = ()
    kind: str = ""
    periodic: str = ""
    joined: NDArray[Any] | None = None


def read_labels(path: Path, dataset: str | None = None) -> Iterator[LabelledVolume]:
    """Read the volumes of a file, one after another.

    Parameters
    ----------
    path
        A .npy of labels (z, y, x); HDF5; a file of DREAM3D (6 or NX), or a text dump of SPPARKS.
    dataset
        Name of a data set in HDF5. By default it is ``grain_id``, or else all of integers and three dimensions; of
        DREAM3D's files it is FeatureIds.

    Yields
    ------
    LabelledVolume
        Grains of a periodic volume are cut at its faces. Those of SPPARKS are voxels of one spin that hang together by
        their faces.

    Raises
    ------
    VolumeError
        If it is missing, damaged, or of another kind, has no such data set, or its grains are too many voxels to cut.
    MemoryError
        If there is less memory than it takes.
    """
    if not path.exists():
        raise VolumeError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if dataset is not None and suffix not in HDF5:
        raise VolumeError(f"{path}: data sets have names in HDF5 files (.h5) and .dream3d only; leave {dataset!r} out")
    try:
        if suffix == ".npy":
            yield LabelledVolume(path.stem, map_array(path))
        elif suffix in HDF5:
            yield from _read_hdf5(path, dataset)
        elif path.is_file() and is_dump(path):
            yield _cut_spins(path)
        else:
            raise VolumeError(f"{path}: labels are read from .npy, .h5, .dream3d and text dumps of SPPARKS")
    except (OSError, *UNREADABLE, RuntimeError) as error:
        reason = reason_of(error)
        raise VolumeError(f"{path}: cannot be read, it is damaged or of another format ({reason})") from None


def _cut_spins(path: Path) -> LabelledVolume:
    snapshot = read_dump(path)
    several = f"holds {snapshot.snapshots:,} snapshots; the last, of time {snapshot.time}, is taken"
    remarks = (several,) if snapshot.snapshots > 1 else ()
    return LabelledVolume(path.stem, _cut(str(path), snapshot.spins), remarks=remarks)


def _cut(source: str, labels: NDArray[Any]) -> NDArray[np.int32]:
    """Grains of a volume that ends at its faces."""
    try:
        return split_pieces(labels)
    except VolumeError as error:
        raise VolumeError(f"{source}: {error}") from None


def _read_hdf5(path: Path, dataset: str | None) -> Iterator[LabelledVolume]:
    with open_hdf5(path, own=path.suffix.lower() != ".dream3d") as file:
        try:
            if is_dream3d(file):
                name, labels, edge_um = read_cells(file, dataset)
                yield LabelledVolume(name, labels, edge_um)
                return
            names = _choose(file, dataset)
        except VolumeError as error:
            raise VolumeError(f"{path}: {error}") from None
        for name in names:
            yield _describe(file, name)


def _choose(file: h5py.File, dataset: str | None) -> list[str]:
    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) == 3:
            found[name] = item

    file.visititems(note)
    if dataset is not None:
        wanted = dataset.strip("/")
        if wanted not in found:
            raise VolumeError(
                f"has no data set {dataset} of three dimensions; those that it has: {', '.join(found) or 'none'}"
            )
        return [wanted]
    if not found:
        raise VolumeError("contains no data set of three dimensions")
    whole = [name for name, item in found.items() if item.dtype.kind in "iu"]
    return [LABELS] if LABELS in found else sorted(whole or found)


def _describe(file: h5py.File, name: str) -> LabelledVolume:
    data = file[name]
    stated = Volume(data, f"{file.filename}:{name}")
    if stated.dtype.kind not in "iu":
        raise VolumeError(f"{stated.name}: expected integer labels (z, y, x); got {stated.dtype} {stated.shape}")
    options, blueprint = (_decode(data.attrs.get(kind)) for kind in ("options", "blueprint"))
    labels, absorbed = data[()], int(options.get("min_voxels", 0))
    kind = str(data.attrs.get("kind", file.attrs.get("kind", "")))
    order, cut = str(blueprint.get("order", "")), _cut(stated.name, labels) if stated.periodic else labels
    joined = labels if stated.periodic else None
    return LabelledVolume(name, cut, stated.voxel_um, order, absorbed, (), kind, stated.periodic, joined)


def _decode(attribute: Any) -> dict[str, Any]:
    """An attribute that we wrote as JSON; empty if it is another's."""
    with contextlib.suppress(*UNREADABLE):
        return parse_object(attribute) if isinstance(attribute, str) else {}
    return {}
