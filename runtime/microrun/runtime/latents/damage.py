"""Latents files that are damaged, or none: found before HDF5 reads them."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py

from microrun.runtime.errors import LatentsError, MicrorunError
from microrun.runtime.files.hdf5 import reason_of
from microrun.runtime.files.kinds import HDF5_SIGNATURE, check_kind
from microrun.runtime.json_text import UNREADABLE, check_fields
from microrun.runtime.latents.origin import FORMAT, Origin
from microrun.runtime.latents.probes import HASH_BYTES, probe_numbers
from microrun.runtime.latents.watched import TYPES, watched_shapes
from microrun.runtime.spec import ModelSpec

SUPERBLOCK = struct.Struct("<8sB2xB16xQ")  # signature, version, marks, end of the file
WHOLE = ("flags", "written", "probes")  # data sets of whole numbers; those of others are float


def check_superblock(path: Path) -> bool:
    """Refuse a file shorter than its superblock says; tell whether it is marked as being written.

    Only such a file is opened in SWMR mode: in it, HDF5 waits for bytes that are missing or damaged, for
    hours, or reads them as zeros.

    Parameters
    ----------
    path
        A file that is there.

    Raises
    ------
    LatentsError
        If it is no HDF5 file that `LatentsWriter` makes, or has lost its end.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        superblock = file.read(SUPERBLOCK.size)
    if len(superblock) < SUPERBLOCK.size or not superblock.startswith(HDF5_SIGNATURE):
        check_kind(path, "latents", LatentsError)
        raise LatentsError(f"{path}: is not a latents file: it is not HDF5")
    _, version, marks, end = SUPERBLOCK.unpack(superblock)
    if version != 3:
        check_kind(path, "latents", LatentsError)
        raise LatentsError(f"{path}: is not a latents file, but an HDF5 file of another program")
    if size < end:
        raise LatentsError(f"{path}: is damaged: {end} bytes were written, {size} are left; encode the scan again")
    return bool(marks)


def read_origin(path: Path, file: h5py.File) -> Origin:
    """Read what latents were made from, and compare the arrays with it.

    Parameters
    ----------
    path, file
        A file that is open.

    Raises
    ------
    LatentsError
        If it is no latents file, or damaged.
    """
    try:
        if file.attrs.get("format") == FORMAT:
            origin = Origin.from_json(file.attrs["origin"], ModelSpec.from_json(file.attrs["spec"], str(path)))
            check_fields(origin)
            _check_arrays(path, file, origin)
            return origin
    except (*UNREADABLE, OSError, RuntimeError, MicrorunError) as error:
        raise LatentsError(f"{path}: is damaged ({reason_of(error)}); encode the scan again") from None
    check_kind(path, "latents", LatentsError)
    raise LatentsError(f"{path}: is not a latents file, but an HDF5 file of another program or version")


def _check_arrays(path: Path, file: h5py.File, origin: Origin) -> None:
    shape = origin.scan.nav_shape
    size = path.stat().st_size
    expected = {
        "latents": (*shape, origin.spec.latent_size),
        "ranges": (*shape, 2),
        "flags": shape,
        "written": shape,
        "x_um": shape,
        "y_um": shape,
        "background": origin.spec.preprocessing.input_shape,
    }
    if "probes" in file:
        expected["probes"] = (len(probe_numbers(origin.scan.total)), HASH_BYTES)
    if "familiarity" in file:
        expected["familiarity"] = (3,)
    expected |= {name: wanted for name, wanted in watched_shapes(origin.scan.total).items() if name in file}
    for name, wanted in expected.items():
        if file[name].shape != wanted:
            raise ValueError(f"{name} is {file[name].shape}, expected {wanted}")
        if name in TYPES and file[name].dtype != TYPES[name]:
            raise ValueError(f"{name} holds {file[name].dtype}, expected {TYPES[name]}")
        if name not in TYPES and file[name].dtype.kind != ("u" if name in WHOLE else "f"):
            raise ValueError(f"{name} holds {file[name].dtype}, expected {'whole ' if name in WHOLE else ''}numbers")
        if _end_of(file[name]) > size:
            raise ValueError(f"{name} reaches beyond the end of the file")


def _end_of(data: h5py.Dataset) -> int:
    """First byte after what a data set has on disk."""
    if data.chunks is None:
        return int(data.id.get_offset() or 0) + int(data.nbytes)
    chunks = map(data.id.get_chunk_info, range(data.id.get_num_chunks()))
    return max((int(chunk.byte_offset) + int(chunk.size) for chunk in chunks), default=0)
