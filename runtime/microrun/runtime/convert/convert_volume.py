"""One door to all formats that volumes of grains are written in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from microrun.runtime.convert.to_abaqus import write_abaqus
from microrun.runtime.convert.to_damask import write_damask
from microrun.runtime.convert.to_dream3d import write_dream3d
from microrun.runtime.convert.to_moose import write_moose
from microrun.runtime.convert.to_neper import write_neper
from microrun.runtime.convert.to_vti import write_vti
from microrun.runtime.errors import OutputError
from microrun.runtime.files.output import written_beside
from microrun.runtime.volumes.grain_volume import GrainVolume

VolumeFormat = Literal["dream3d", "vti", "damask", "abaqus", "moose", "neper"]
VOLUME_FORMATS: tuple[VolumeFormat, ...] = get_args(VolumeFormat)


class Format(NamedTuple):
    """Who writes a format, and how its files end: that of the name that is given, and of those beside it."""

    write: Callable[..., None]
    suffix: str
    beside: tuple[str, ...] = ()
    default: str = ""  # ending of a name that nobody gave; by default the suffix


FORMATS: dict[VolumeFormat, Format] = {
    "dream3d": Format(write_dream3d, ".dream3d"),
    "vti": Format(write_vti, ".vti"),
    "damask": Format(write_damask, ".vti", (".material.yaml",), ".damask.vti"),  # so that it is not that of ParaView
    "abaqus": Format(write_abaqus, ".inp"),
    "moose": Format(write_moose, ".txt"),
    "neper": Format(write_neper, ".tesr", (".ori",)),
}


def name_files(source: Path, to: VolumeFormat, out: Path | None = None) -> list[Path]:
    """Files that a conversion makes.

    Parameters
    ----------
    source
        The volume's file.
    to
        The format.
    out
        Name of the first file; None for that of the source with the format's ending.

    Returns
    -------
    list of Path
        The file that was named, and those beside it.
    """
    form = FORMATS[to]
    first = out or source.with_suffix(form.default or form.suffix)
    return [first, *(first.with_suffix(suffix) for suffix in form.beside)]


def convert_volume(volume: GrainVolume, to: VolumeFormat, out: Path) -> None:
    """Write a volume of grains for another program.

    Parameters
    ----------
    volume
        The grains; all formats but the first two need their orientations.
    to
        "dream3d": grain n is feature n + 1, voxels without grain are of feature 0, and the features have their number
        of voxels, volume in µm³, equivalent diameter and centroid, and orientations where there are. "vti": cell data
        of an image. "damask": a grid and its materials. "abaqus": a mesh of cubes. "moose": text for its EBSDReader.
        "neper": a raster tessellation and its orientations.
    out
        The file to make, as `name_files` has it; written beside and renamed at the end.

    Raises
    ------
    VolumeError
        If the volume cannot be read, its labels are no labels, orientations are missing, or the format cannot hold it.
    OutputError
        If the name does not fit the format, or the disk is full.
    """
    form = FORMATS[to]
    if out.suffix.lower() != form.suffix:
        raise OutputError(f"{out}: {to} files end in {form.suffix}")
    with ExitStack() as files:
        form.write(volume, *(files.enter_context(written_beside(path)) for path in name_files(out, to, out)))
