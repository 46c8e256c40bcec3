"""One door to all formats that volumes of grains are written in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from microrun.runtime.convert.grain_volume import GrainVolume
from microrun.runtime.convert.to_dream3d import write_dream3d
from microrun.runtime.convert.to_vti import write_vti
from microrun.runtime.errors import OutputError
from microrun.runtime.files.output import written_beside

VolumeFormat = Literal["dream3d", "vti"]

VOLUME_WRITERS: dict[VolumeFormat, Callable[[GrainVolume, Path], None]] = {"dream3d": write_dream3d, "vti": write_vti}


def convert_volume(volume: GrainVolume, to: VolumeFormat, out: Path) -> None:
    """Write a volume of grains for another program.

    Parameters
    ----------
    volume
        The grains.
    to
        "dream3d": grain n is feature n + 1, voxels without grain are of feature 0, and the features have their number
        of voxels, volume in µm³, equivalent diameter and centroid. "vti": cell data of an image.
    out
        Written beside and renamed at the end.

    Raises
    ------
    VolumeError
        If the volume cannot be read, or its labels are no labels.
    OutputError
        If the name does not fit the format, or the disk is full.
    """
    if out.suffix.lower() != f".{to}":
        raise OutputError(f"{out}: {to} files end in .{to}")
    with written_beside(out) as beside:
        VOLUME_WRITERS[to](volume, beside)
