"""Maps that were computed from latents, kept in the latents file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import LatentsError
from microrun.runtime.files.disk import check_room
from microrun.runtime.files.hdf5 import hdf5_errors
from microrun.runtime.files.output import written_beside
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.writer import lock_latents


def store_maps(
    path: Path, group: str, maps: Mapping[str, NDArray[Any]], settings: Mapping[str, float | int | str | list[int]]
) -> None:
    """Put maps into a group of a latents file, in place of those that it held before.

    The file is copied, changed and renamed, so that it is valid at every moment.

    Parameters
    ----------
    path
        A latents file that nobody writes.
    group
        Name of the group.
    maps
        Arrays by name.
    settings
        What they were made with, as attributes of the group.

    Raises
    ------
    LatentsError
        If it is no latents file, or a run writes it or was killed.
    OutputError
        If it cannot be written.
    """
    with lock_latents(path), open_latents(path) as latents:
        if latents.growing:
            raise LatentsError(f"{path}: is being written, or its run was killed; end it with encode --resume")
        with written_beside(path, "maps cannot be added", overwrite=True) as beside, hdf5_errors():
            check_room(beside, path.stat().st_size + sum(array.nbytes for array in maps.values()))
            shutil.copyfile(path, beside)
            _write(beside, group, maps, settings)
            latents.close()  # Windows does not replace an open file


def _write(path: Path, group: str, maps: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:
    with h5py.File(path, "r+", libver="latest") as file:
        file.pop(group, None)
        made = file.create_group(group)
        for name, array in maps.items():
            made.create_dataset(name, data=array)
        made.attrs.update(
            {name: np.asarray(value) if isinstance(value, list) else value for name, value in settings.items()}
        )
