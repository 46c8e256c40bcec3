"""A part in HDF5, as other commands and programs read it.

Data sets ``grain_id`` (int32) and ``orientation`` (int8, a row of ``euler``), both (z, y, x) with z rising and the
tracks along x; ``euler`` (n, 3) float64 Bunge angles in radians. The attributes: ``format``, ``step_um``, and as JSON
``process``, ``material``, ``plan``, ``laws`` and ``tally``.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import h5py

from microrun.runtime.files.disk import check_room
from microrun.runtime.files.hdf5 import hdf5_errors
from microrun.runtime.files.output import written_beside
from microrun.runtime.sections.orientations import TABLE_1
from microrun.training.simulate.solidify.build import Part

FORMAT = "microrun part 1"
CHUNK = 32


def write_part(path: Path, part: Part) -> None:
    """Write a part.

    Parameters
    ----------
    path
        The HDF5 file to make or replace.
    part
        From `build_part`.

    Raises
    ------
    OutputError
        If it cannot be written; a file that was there before still is.
    """
    grains = part.grains
    with written_beside(path) as beside, hdf5_errors():
        check_room(beside, grains.orientation.nbytes)
        with h5py.File(beside, "w") as file:
            chunks = tuple(min(CHUNK, side) for side in grains.orientation.shape)
            for name, values in (("grain_id", grains.grain_id), ("orientation", grains.orientation)):
                file.create_dataset(name, data=values, chunks=chunks, shuffle=True, compression="gzip")
            file["euler"] = TABLE_1
            file.attrs.update(format=FORMAT, step_um=part.plan.cell_um, field=part.field.kind)
            for name, settings in (
                ("process", part.field.process), ("material", part.field.material), ("plan", part.plan),
                ("laws", part.laws), ("tally", part.tally),
            ):  # fmt: skip
                file.attrs[name] = json.dumps(dataclasses.asdict(settings))
