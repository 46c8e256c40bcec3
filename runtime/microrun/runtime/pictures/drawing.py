"""What is drawn of a volume: as many of its voxels as a picture shows, and their colours."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import VolumeError
from microrun.runtime.files.hdf5 import open_hdf5
from microrun.runtime.json_text import UNREADABLE
from microrun.runtime.pictures.colour_maps import is_diverging
from microrun.runtime.pictures.grain_colours import GrainColours
from microrun.runtime.pictures.painting import VALUES, Image, colour_grains, shade_values
from microrun.runtime.pictures.panels import find_limits
from microrun.runtime.volumes.volume import SLAB_BYTES, Volume

LARGEST_SIDE = 256  # voxels that are drawn along the longest side
AXES = ("z", "y", "x")
PRINTED_FORMATS = ("microrun part 1", "microrun melt pool 1")  # of files that state their step
PART_SHARE = 0.25  # of the voxels are outside, or more: a part. Fewer are noise between grains


class Printed(NamedTuple):
    """Of a printed volume: the edge of a voxel in µm, None if it is not stated, and the names of its axes."""

    voxel_um: float | None
    axes: tuple[str, str, str] = ("z, build", "y", "x, scan")


@dataclass(frozen=True, eq=False)
class Drawing:
    """What is drawn of a volume.

    Parameters
    ----------
    name
        Name of the volume.
    shape
        (z, y, x) voxels of the whole volume.
    values
        (z, y, x) every ``stride``-th voxel: int32 grains, −1 for none, or float32, NaN for none.
    stride
        Voxels from one that is drawn to the next.
    voxel_um
        Edge of a voxel in µm, None if it is not known.
    axes
        Names of the first, middle and last axis.
    grain_colours
        Colours of grains by their orientations; None for one of its own for each.
    cmap
        matplotlib's name of the colours of values.
    """

    name: str
    shape: tuple[int, int, int]
    values: NDArray[Any]
    stride: int = 1
    voxel_um: float | None = None
    axes: tuple[str, str, str] = AXES
    grain_colours: GrainColours | None = None
    cmap: str = VALUES

    @property
    def of_grains(self) -> bool:
        """Whether it shows grains, not values."""
        return self.values.dtype.kind == "i"

    @functools.cached_property
    def solid(self) -> NDArray[np.bool_]:
        """Voxels that are not air; noise between grains is none."""
        known: NDArray[np.bool_] = self.values >= 0 if self.of_grains else ~np.isnan(self.values)
        return known if known.mean() <= 1 - PART_SHARE else np.ones_like(known)

    @functools.cached_property
    def limits(self) -> tuple[float, float]:
        """Values between which the colours lie, with 0 in the middle of diverging ones."""
        return find_limits(self.values, signed=is_diverging(self.cmap))

    def colour(self, values: NDArray[Any]) -> Image:
        """Colours of some of its voxels."""
        if not self.of_grains:
            return shade_values(values, *self.limits, self.cmap)
        return colour_grains(values) if self.grain_colours is None else self.grain_colours.colour(values)

    def length_text(self, voxels: float) -> str:
        """Length for people."""
        if self.voxel_um is not None:
            return f"{voxels * self.voxel_um:.4g} µm"
        return f"{voxels:.4g} voxel{'' if voxels == 1 else 's'}"


def read_drawing(
    volume: Volume,
    voxel_um: float | None = None,
    axes: tuple[str, str, str] = AXES,
    grain_colours: GrainColours | None = None,
    cmap: str | None = None,
) -> Drawing:
    """Read as many voxels as are drawn; whole numbers are grains, and others values.

    Parameters
    ----------
    volume
        One of any size.
    voxel_um
        Edge of a voxel in µm, None if it is not known.
    axes
        Names of the first, middle and last axis.
    grain_colours
        From `colour_by_orientation`; without them each grain has a colour of its own.
    cmap
        matplotlib's name of the colours of values; None for `VALUES`.

    Returns
    -------
    Drawing

    Raises
    ------
    VolumeError
        If it cannot be read, there is nothing to draw, the edge is no length, or colours are asked for that do not fit:
        a colour map for grains, orientations for values.
    """
    if voxel_um is not None and not 0 < voxel_um < math.inf:
        raise VolumeError(f"the edge of a voxel is more than 0 µm; got {voxel_um:g}")
    depth, rows, cols = volume.shape
    stride = math.ceil(max(volume.shape) / LARGEST_SIDE)
    planes = stride * max(1, SLAB_BYTES // (rows * cols * volume.read_dtype.itemsize * stride))
    slabs = (volume.read(z, min(z + planes, depth)) for z in range(0, depth, planes))
    values = _as_grains_or_values(np.concatenate([slab[::stride, ::stride, ::stride].copy() for slab in slabs]))
    if not ((values >= 0) if values.dtype.kind == "i" else np.isfinite(values)).any():
        raise VolumeError(f"{volume.name}: there is nothing to draw: no voxel has a grain or a value")
    of_grains = values.dtype.kind == "i"
    if of_grains and cmap is not None:
        raise VolumeError(f"{volume.name}: holds grains; --cmap colours values, --ipf grains")
    if not of_grains and grain_colours is not None:
        raise VolumeError(f"{volume.name}: holds values; --ipf colours grains, --cmap values")
    return Drawing(Path(volume.name).name, volume.shape, values, stride, voxel_um, axes, grain_colours, cmap or VALUES)


def read_printed(path: Path) -> Printed | None:
    """What a volume that was printed, in a simulation of these commands, says of itself.

    Parameters
    ----------
    path
        The volume's file.

    Returns
    -------
    Printed or None
        None for other volumes, and what is damaged.
    """
    if path.suffix.lower() == ".npy":
        return None
    try:
        with open_hdf5(path) as file:
            built = file.attrs.get("format") in PRINTED_FORMATS
            step = file.attrs.get("step_um") if built else None
            return Printed(None if step is None else float(step)) if built or file.attrs.get("kind") == "am" else None
    except (OSError, *UNREADABLE, RuntimeError):  # the volume itself may be whole
        return None


def _as_grains_or_values(values: NDArray[Any]) -> NDArray[Any]:
    """Grains as int32, −1 for none, if all are whole numbers; otherwise float32, NaN for none."""
    known = np.isfinite(values)
    some = values[known]
    if (some == np.floor(some)).all() and (np.abs(some) < 2**31).all():
        return np.where(known & (values >= 0), values, -1).astype(np.int32)
    return np.where(known, values, np.nan).astype(np.float32)
