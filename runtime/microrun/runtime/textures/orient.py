"""Orientations for the grains of a volume: drawn from a texture, perhaps matched to a map, and kept with the labels."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import OutputError, TextureError, VolumeError
from microrun.runtime.files.disk import check_room
from microrun.runtime.files.output import written_beside
from microrun.runtime.progress import Progress
from microrun.runtime.textures.crystal import Crystal
from microrun.runtime.textures.matching import Matched, match, measure_boundaries
from microrun.runtime.textures.measured import MeasuredMap, read_map
from microrun.runtime.textures.neighbours import Touching, find_touching
from microrun.runtime.textures.open import open_texture
from microrun.runtime.textures.texture import Texture
from microrun.runtime.volumes.grain_volume import GrainVolume
from microrun.runtime.volumes.orientations import GrainOrientations, write_orientations
from microrun.runtime.volumes.volume import LABELS, open_volume

SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True)
class OrientRequest:
    """Which grains get which orientations.

    Parameters
    ----------
    volume
        Labels of grains, .npy or .h5.
    out
        The .h5 to make or replace; it may be the volume itself.
    texture
        As `open_texture` takes it.
    phase
        The crystals, where the texture does not state them: "fcc", "bcc", "hcp", "hcp:1.6", or a point group.
    misorientations
        A map whose misorientations of neighbours are matched; None to leave grains as they are drawn.
    seed
        Of the random numbers.
    dataset
        Data set of a .h5 volume; None for the only one with three dimensions.

    Raises
    ------
    OutputError
        If OUT is no .h5.

    Examples
    --------
    >>> from microrun.runtime import OrientRequest
    >>> OrientRequest("grains.npy", "oriented.h5", texture="fibre:001@z:15").texture
    'fibre:001@z:15'
    """

    volume: str | Path
    out: str | Path
    texture: str = "uniform"
    phase: str | None = None
    misorientations: str | Path | None = None
    seed: int = 0
    dataset: str | None = None

    def __post_init__(self) -> None:
        if Path(self.out).suffix.lower() not in SUFFIXES:
            raise OutputError(f"{self.out}: labels and orientations are kept in one file, which ends in .h5")
        if self.seed < 0:
            raise TextureError(f"a seed is 0 or more; got {self.seed}")


@dataclass(frozen=True)
class Oriented:
    """What was done.

    Parameters
    ----------
    grains
        Number of grains that got an orientation.
    crystal
        Of all of them.
    notes
        What the texture says of itself.
    matched
        How near the misorientations came to those of a map; None where none was given.
    """

    grains: int
    crystal: Crystal
    notes: tuple[str, ...]
    matched: Matched | None


def orient(request: OrientRequest) -> Generator[Progress, None, Oriented]:
    """Give every grain of a volume an orientation, and write labels and orientations into one file.

    Parameters
    ----------
    request
        Which grains get which orientations.

    Returns
    -------
    generator of Progress
        A job, whose result is an `Oriented`. The same request gives the same orientations on every machine.

    Raises
    ------
    VolumeError
        If the volume cannot be read, has no grains, or its labels are none.
    TextureError
        If the texture or the map cannot be used, or they are of different crystals.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> from microrun.runtime import OrientRequest, finish, orient
    >>> finish(orient(OrientRequest("grains.npy", "oriented.h5", seed=3))).grains
    8
    """
    texture, reference = _open(request)
    path, matched = Path(request.volume), None
    with open_volume(path, request.dataset) as labels:
        volume = GrainVolume(labels)
        counts = volume.count_voxels()
        present = np.flatnonzero(counts)
        if not len(present):
            raise VolumeError(f"{labels.name}: contains no grains: no label is 0 or more")
        generator = np.random.default_rng(request.seed)
        drawn = texture.draw(len(present), generator)
        if reference is not None:
            target = measure_boundaries(reference)
            touching = _renumber((yield from find_touching(volume)), present)
            drawn, matched = yield from match(drawn, touching, target, texture.crystal.symmetry, generator)
    euler = np.full((len(counts), 3), np.nan)
    euler[present] = drawn
    _write(path, request, GrainOrientations(euler, *texture.crystal[:2], _describe(request)))
    return Oriented(len(present), texture.crystal, tuple(texture.notes), matched)


def _open(request: OrientRequest) -> tuple[Texture, MeasuredMap | None]:
    """The texture, and the map to match; where one of them states no crystals, they are those of the other."""
    texture = open_texture(request.texture, request.phase)
    if request.misorientations is None:
        return texture, None
    reference = read_map(Path(request.misorientations), request.phase)
    ours, theirs = texture.crystal, reference.crystal
    if ours.assumed and not theirs.assumed:
        texture = open_texture(request.texture, theirs.phase or theirs.symmetry)
    elif theirs.assumed:
        reference = dataclasses.replace(reference, crystal=ours)
    if texture.crystal.symmetry != reference.crystal.symmetry:
        raise TextureError(
            f"{reference.source}: its crystals have symmetry {theirs.symmetry}; those of the texture {ours.symmetry}"
        )
    return texture, reference


def _renumber(touching: Touching, present: NDArray[np.int64]) -> Touching:
    return Touching(np.searchsorted(present, touching.pairs), touching.faces)


def _describe(request: OrientRequest) -> str:
    texture = request.texture if request.texture.startswith("fib") else Path(request.texture).name
    beside = "" if request.misorientations is None else f", misorientations of {Path(request.misorientations).name}"
    return f"{texture}{beside}, seed {request.seed}"


def _write(path: Path, request: OrientRequest, orientations: GrainOrientations) -> None:
    with written_beside(Path(request.out)) as beside:
        if path.suffix.lower() != ".npy":
            with open_volume(path, request.dataset) as labels:
                name = labels.name.removeprefix(f"{path}:")
            shutil.copyfile(path, beside)
        else:
            name = LABELS
            _copy_array(path, beside)
        write_orientations(beside, name, orientations)


def _copy_array(path: Path, out: Path) -> None:
    """Copy labels into the data set that `microrun segment` writes, slab by slab."""
    with open_volume(path) as labels:
        volume = GrainVolume(labels)
        check_room(out, 4 * int(np.prod(labels.shape)))
        with h5py.File(out, "w") as file:
            stored = file.create_dataset(LABELS, labels.shape, np.int32)
            for planes in volume.slabs():
                stored[planes] = volume.read_grains(planes)
