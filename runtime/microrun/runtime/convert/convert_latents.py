"""Write a latents file in another format: beside and renamed, so that no name ever stands for half a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

from microrun.runtime.convert.chosen_features import ChosenFeatures
from microrun.runtime.convert.to_ang import write_ang
from microrun.runtime.convert.to_csv import write_csv
from microrun.runtime.convert.to_hspy import write_hspy
from microrun.runtime.convert.to_ome_tiff import write_ome_tiff
from microrun.runtime.convert.to_xdmf import heavy_part, write_xdmf
from microrun.runtime.convert.to_zarr import write_zarr
from microrun.runtime.errors import MicrorunError, OutputError, RefusedOutputError
from microrun.runtime.files.destination import ELSEWHERE, check_file
from microrun.runtime.files.hdf5 import reason_of
from microrun.runtime.files.output import BESIDE, name_new
from microrun.runtime.latents.reader import Latents

LatentsFormat = Literal["hspy", "ang", "csv", "ome-tiff", "xdmf", "zarr"]


class _Writer(NamedTuple):
    """What writes a format, and how its files may end; the first ending is the default."""

    write: Callable[[ChosenFeatures, Path], None]
    suffixes: tuple[str, ...]


LATENTS_WRITERS: dict[LatentsFormat, _Writer] = {
    "hspy": _Writer(write_hspy, (".hspy",)),
    "ang": _Writer(write_ang, (".ang",)),
    "csv": _Writer(write_csv, (".csv",)),
    "ome-tiff": _Writer(write_ome_tiff, (".ome.tiff", ".ome.tif")),
    "xdmf": _Writer(write_xdmf, (".xdmf",)),
    "zarr": _Writer(write_zarr, (".zarr",)),
}


def convert_latents(
    latents: Latents,
    to: LatentsFormat,
    out: Path | None = None,
    features: Sequence[int] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write latents in another format.

    Parameters
    ----------
    latents
        The file, finished or growing; of a growing one, what is written so far.
    to
        The format.
    out
        File, or for "zarr" folder, to make; by default the name of the latents with the format's ending.
    features
        Numbers of the features, 0 to D − 1; None for all. They are written in rising order.
    overwrite
        Replace what is there.

    Returns
    -------
    list of Path
        What was made; two files for "xdmf".

    Raises
    ------
    LatentsError
        If there is no such feature, nothing has been written yet, the file is damaged, or the format cannot
        hold its grid.
    OutputError
        If something is in the way, or it cannot be written, such as on a full disk.
    MicrorunError
        If the name of ``out`` does not fit the format.
    ModuleNotFoundError
        If the format's library is not installed.
    """
    write, suffixes = LATENTS_WRITERS[to]
    target = out or latents.path.with_name(latents.path.name.removesuffix(".h5") + suffixes[0])
    if not target.name.lower().endswith(suffixes):
        raise MicrorunError(f"{target}: {to} files end in {' or '.join(suffixes)}")
    parts = [heavy_part(target), target] if to == "xdmf" else [target]
    _check_free(parts, latents.path, overwrite)
    chosen = ChosenFeatures(latents, features)
    try:
        with TemporaryDirectory(prefix=BESIDE, dir=target.parent) as folder:
            write(chosen, Path(folder) / target.name)
            _publish(Path(folder), parts, overwrite)
    except (OSError, RuntimeError) as error:  # HDF5 gives either
        raise OutputError(f"{target}: cannot be written ({_reason(error)})") from None
    return parts


def _check_free(parts: Sequence[Path], source: Path, overwrite: bool) -> None:
    for part in parts:
        if not part.is_dir():
            check_file(part, overwrite, sources=(source,))
        elif not overwrite:
            raise RefusedOutputError(f"{part}: exists; replace it with --overwrite, {ELSEWHERE}")
        elif not (part / "zarr.json").is_file():
            raise RefusedOutputError(f"{part}: is a folder, but no zarr group; write to another place")


def _publish(folder: Path, parts: Sequence[Path], overwrite: bool) -> None:
    """Give what was made its names; the last part, which speaks of the others, goes first and comes last.

    Names that were free must be free still. A single file replaces the old one at once; a folder, and a file that
    speaks of another, cannot.
    """
    if not overwrite:
        named: list[Path] = []
        try:
            for part in parts:
                name_new(folder / part.name, part)
                named.append(part)
        except BaseException:
            for part in named:
                part.unlink()
            raise
        return
    if os.path.lexists(parts[-1]) and (len(parts) > 1 or parts[-1].is_dir()):
        parts[-1].rename(folder / "replaced")
    for part in parts:
        (folder / part.name).replace(part)


def _reason(error: OSError | RuntimeError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else reason_of(error)
