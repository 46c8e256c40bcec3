"""The data sets of a latents file, as they are before anything is written."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.files.disk import check_room
from microrun.runtime.latents.origin import FORMAT, Origin
from microrun.runtime.latents.probes import HASH_BYTES, probe_numbers
from microrun.runtime.latents.watched import make_watched

CHUNK_BYTES = 1 << 18


def _arrays(origin: Origin) -> dict[str, tuple[tuple[int, ...], str, float]]:
    """Shape, type and fill value of the data sets that are written pattern by pattern."""
    rows, cols = origin.scan.nav_shape
    return {
        "latents": ((rows, cols, origin.spec.latent_size), origin.dtype, np.nan),
        "ranges": ((rows, cols, 2), "float32", np.nan),
        "flags": ((rows, cols), "uint8", 0),
        "written": ((rows, cols), "uint8", 0),
    }


def try_room(path: Path, origin: Origin) -> None:
    """Raise OSError if the disk has no room for the file; HDF5 does not survive one that is full.

    Parameters
    ----------
    path
        Of the file.
    origin
        What the latents are made from and with.
    """
    points = math.prod(origin.scan.nav_shape)
    arrays = sum(np.dtype(dtype).itemsize * math.prod(shape) for shape, dtype, _ in _arrays(origin).values())
    check_room(path, int(1.1 * (arrays + 16 * points)))  # with the positions


def make_arrays(file: h5py.File, origin: Origin, background: Float32) -> None:
    """Make all data sets of a file, empty.

    Parameters
    ----------
    file
        Open for writing.
    origin
        What the latents are made from and with.
    background
        (H, W) float32, as subtracted.
    """
    file.attrs.update(format=FORMAT, spec=origin.spec.to_json(), origin=origin.to_json())
    # All room is taken at once: a disk that fills up later cannot stop the run.
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    for name, (shape, dtype, fill) in _arrays(origin).items():
        row_bytes = np.dtype(dtype).itemsize * math.prod(shape[1:])
        chunks = (max(1, min(shape[0], CHUNK_BYTES // row_bytes)), *shape[1:])
        file.create_dataset(name, shape, dtype, chunks=chunks, fillvalue=fill, dcpl=early)
    for name in ("x_um", "y_um"):
        file.create_dataset(name, origin.scan.nav_shape, "f8")
    for row in range(origin.scan.nav_shape[0]):
        x, y = origin.scan.row_positions_um(row)
        file["x_um"][row], file["y_um"][row] = origin.part.place(x, y, origin.scan) if origin.part else (x, y)
    file.create_dataset("background", data=background)
    unknown = np.zeros((len(probe_numbers(origin.scan.total)), HASH_BYTES), np.uint8)
    file.create_dataset("probes", data=unknown)
    file.create_dataset("familiarity", data=np.full(3, np.nan))  # an attribute cannot be added while others read
    make_watched(file, origin.scan.total)
