"""Simulated volumes in one HDF5 file.

The file's attributes: ``format``, ``kind`` ("potts" or "am"), ``process`` (all settings, as JSON), ``time_unit``
(what a step is). Each volume is a data set ``volume_0000``, ``volume_0001``, … (Z, Y, X) int32 of grain ids 0, 1, …
in the order of their first voxels, in compressed chunks of 32³; a grain's voxels hang together by their faces, in a
periodic volume also across its faces. A volume's attributes: ``seed``, which makes it again alone, ``steps``,
``periodic`` and ``grains``.

The file is written beside and renamed, so that it is always whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.kernels.colouring import label_grains
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.hdf5 import open_hdf5, reason_of
from microrun.runtime.files.output import written_beside
from microrun.runtime.json_text import UNREADABLE, parse_object
from microrun.runtime.progress import Job, Progress
from microrun.training.simulate.potts import Build, Growth, Spins, build_potts, grow_potts

FORMAT = "microrun volumes 1"
CHUNK = 32
LEAST_GRAIN = 27  # voxels of a grain that counts in a mean diameter; smaller ones are absorbed in what is generated


@dataclass(frozen=True, eq=False)
class SimulatedVolume:
    """Grains that a process of known settings made.

    Parameters
    ----------
    grain_ids
        (Z, Y, X) int32.
    kind
        "potts" or "am".
    periodic
        Whether opposite faces touch.
    hatch
        Of "am", voxels from track to track; 0 if that is not known.
    """

    grain_ids: NDArray[np.int32]
    kind: str
    periodic: bool
    hatch: int = 0


def write_volumes(
    path: Path, process: Growth | Build, seed: int, count: int, keep_interrupted: bool = False
) -> Job[int]:
    """Simulate volumes and write them, with a record of progress after each step.

    Parameters
    ----------
    path
        The HDF5 file to make or replace.
    process
        What to simulate.
    seed
        Of the first volume; the others have the seeds that follow.
    count
        Number of volumes.
    keep_interrupted
        On Ctrl-C leave a file of the volumes that are finished, if there are any.

    Returns
    -------
    int
        Volumes written: fewer than asked for if it was interrupted.

    Raises
    ------
    OutputError
        If the disk is full; a file that was there before still is.
    """
    with _new_file(path) as file:
        file.attrs.update(format=FORMAT, kind=process.kind, process=json.dumps(dataclasses.asdict(process)))
        file.attrs["time_unit"] = process.time_unit
        steps = process.steps
        for number in range(count):
            name = f"volume_{number:04}"
            try:
                for step, spins in enumerate(_simulate(process, seed + number), 1):
                    yield Progress(number * steps + step, count * steps, f"volume {number + 1} of {count}")
                    if step == steps:
                        _write_volume(file, name, label_volume(spins, process), seed + number, process)
            except KeyboardInterrupt:
                if not (keep_interrupted and number):
                    raise
                file.pop(name, None)  # half written
                return number
    return count


def label_volume(spins: Spins, process: Growth | Build) -> SimulatedVolume:
    """Number the grains of simulated spins.

    Parameters
    ----------
    spins
        (Z, Y, X) int32; what hangs together by faces with one spin is a grain.
    process
        What made them.
    """
    grain_ids = np.empty(spins.shape, np.int32)
    label_grains(np.ascontiguousarray(spins), process.periodic, grain_ids)
    return SimulatedVolume(grain_ids, process.kind, process.periodic, getattr(process, "hatch", 0))


def read_volumes(path: Path) -> list[SimulatedVolume]:
    """Read all volumes of a file.

    Parameters
    ----------
    path
        From `write_volumes`.

    Raises
    ------
    MicrorunError
        If it is no such file.
    """
    try:
        with open_hdf5(path) as file:
            if file.attrs.get("format") != FORMAT:
                raise MicrorunError(f"{path}: holds no volumes of `microrun simulate potts` or `am`")
            kind, hatch = file.attrs["kind"], int(parse_object(file.attrs["process"]).get("hatch", 0))
            return [
                SimulatedVolume(file[name][()], kind, bool(file[name].attrs["periodic"]), hatch)
                for name in sorted(file)
            ]
    except (OSError, *UNREADABLE, RuntimeError) as error:
        raise MicrorunError(f"{path}: cannot be read as a file of simulated volumes ({error})") from None


def mean_grain_voxels(volumes: Sequence[SimulatedVolume]) -> float | None:
    """Mean diameter of grains, as a denoiser's spec states it.

    Parameters
    ----------
    volumes
        Whose grains count. Of one that is not periodic those that touch its faces do not.

    Returns
    -------
    float or None
        In voxels, of spheres of the same volumes; None if no grain counts.
    """
    sizes = []
    for volume in volumes:
        counts = np.bincount(volume.grain_ids.ravel())
        if not volume.periodic:
            cut = np.ones(volume.grain_ids.shape, bool)
            cut[1:-1, 1:-1, 1:-1] = False
            counts[np.unique(volume.grain_ids[cut])] = 0
        sizes.append(counts[counts >= LEAST_GRAIN])
    diameters = np.cbrt(np.concatenate(sizes) * (6 / np.pi))
    return round(float(diameters.mean()), 3) if diameters.size else None


def identify(volumes: Sequence[SimulatedVolume]) -> str:
    """SHA-256 of volumes, in hexadecimal.

    Parameters
    ----------
    volumes
        In their order.
    """
    digest = hashlib.sha256()
    for volume in volumes:
        digest.update(f"{volume.kind} {volume.periodic} {volume.grain_ids.shape}".encode())
        digest.update(np.ascontiguousarray(volume.grain_ids).data)
    return digest.hexdigest()


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[h5py.File]:
    with written_beside(path) as beside:
        try:
            with h5py.File(beside, "w", rdcc_nbytes=0) as file:  # no cache: a full disk shows when data are written
                yield file
        except RuntimeError as error:  # of a full disk, when the file is closed
            raise OSError(reason_of(error)) from None


def _simulate(process: Growth | Build, seed: int) -> Iterator[Spins]:
    return grow_potts(process, seed) if isinstance(process, Growth) else build_potts(process, seed)


def _write_volume(file: h5py.File, name: str, volume: SimulatedVolume, seed: int, process: Growth | Build) -> None:
    grain_ids = volume.grain_ids
    chunks = tuple(min(CHUNK, side) for side in grain_ids.shape)
    made = file.create_dataset(name, data=grain_ids, chunks=chunks, shuffle=True, compression="gzip")
    made.attrs.update(seed=seed, steps=process.steps, periodic=volume.periodic, grains=int(grain_ids.max()) + 1)
