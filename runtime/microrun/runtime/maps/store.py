"""Conventional maps in one HDF5 file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import h5py

from microrun.runtime.files.disk import check_room
from microrun.runtime.files.hdf5 import hdf5_errors
from microrun.runtime.files.output import written_beside
from microrun.runtime.maps.conventional import PhysicsMaps
from microrun.runtime.scans.scan import Scan

FORMAT = "microrun physics 1"


def write_physics(path: Path, scan: Scan, maps: PhysicsMaps, about: Mapping[str, object] | None = None) -> None:
    """Write all maps that there are, by their names, beside and renamed.

    Parameters
    ----------
    path
        The .h5 file to make.
    scan
        Geometry, kept as an attribute in JSON.
    maps
        Those that are None are left out.
    about
        What they were made with, such as the geometry; each is kept as an attribute in JSON.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with written_beside(path) as beside, hdf5_errors():
        check_room(beside, sum(image.nbytes for image in vars(maps).values() if image is not None))
        with h5py.File(beside, "w") as file:
            file.attrs.update(format=FORMAT, scan=json.dumps(dataclasses.asdict(scan)))
            file.attrs.update({name: json.dumps(value) for name, value in (about or {}).items()})
            for name, image in vars(maps).items():
                if image is not None:
                    file.create_dataset(name, data=image)
