"""`microrun grains`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from microrun.cli import console
from microrun.cli.everywhere import JsonOption
from microrun.cli.outputs import OverwriteOption, say_wrote
from microrun.runtime.errors import VolumeError
from microrun.runtime.files.destination import check_folder, made_folder
from microrun.runtime.files.output import write_text
from microrun.runtime.generation.tiling import STAGES, Region, tile_isotropic
from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.grain_distributions import Sample, draw_distributions
from microrun.runtime.volumes.axes import wraps_of
from microrun.runtime.volumes.judge import Judgement, Side, gather, judge, to_facts, warn_of
from microrun.runtime.volumes.measured import MeasuredFile, measure_file, settle_units
from microrun.runtime.volumes.tables import to_csv, to_json, to_markdown, to_sections
from microrun.runtime.volumes.volume import Shape

WRITTEN = ("csv", "json", "md", "png")

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def grains(
    volume: Annotated[
        Path, typer.Argument(help="Grains: .npy or .h5 of labels (z, y, x), .dream3d, or a text dump of SPPARKS.")
    ],
    reference: Annotated[
        list[str] | None,
        typer.Option(help="Grains to compare with, FILE or FILE:DATASET; may be given several times."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data set of VOLUME; by default grain_id, or all of three dimensions.")
    ] = None,
    voxel_um: Annotated[
        float | None,
        typer.Option(help="Edge of a voxel in µm, in files that do not say; by default lengths count voxels."),
    ] = None,
    min_voxels: Annotated[
        int, typer.Option(min=0, help="Grains of fewer voxels join a neighbour first, in all files; 0 keeps all.")
    ] = 0,
    by_stage: Annotated[
        bool, typer.Option("--by-stage", help="Sizes by the stage of the blocks, also if no file says that it has any.")
    ] = False,
    printed: Annotated[
        bool, typer.Option("--printed", help="Rows and columns of printed metal, also if no file says that it is.")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="Folder to write to; by default that of the volume.")] = None,
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure grains, and compare them with those of a reference.

    Verdicts are in words, beside what chance makes of the reference. Grains
    that the volume's faces may cut are left out of them, and measured in a
    table of their own with all others. Specks are pieces below 27 voxels;
    unstable voxels are those that a flip of the Potts model would improve.
    docs/grains.md defines each number.

    Writes a line for every grain (.csv), all tables and verdicts (.md, .json),
    and a picture of the distributions (.png). A file may hold several volumes;
    their grains are taken together.
    """
    if voxel_um is not None and not 0 < voxel_um < np.inf:
        raise VolumeError(f"--voxel-um is the edge of a voxel, more than 0; got {voxel_um:g}")
    place, name = folder or volume.parent, f"{volume.stem}.grains"
    check_folder(place, [f"{name}.{ending}" for ending in WRITTEN], overwrite)
    sources = [(volume, dataset), *map(_split_source, reference or ())]
    with console.step("measuring"):
        files = [measure_file(*sources[0], min_voxels, _paint_stages, by_stage, printed)]
        by_stage, printed = files[0].stages is not None, bool(files[0].printed)
        files += [measure_file(*source, min_voxels, _paint_stages, by_stage, printed) for source in sources[1:]]
        files, in_um, said = settle_units(files, voxel_um)
        judgement = judge(Side(files[:1]), Side(files[1:]) if reference else None)
    for warning in [*([said] if said else []), *warn_of(judgement)]:
        console.warning_line(warning)
    with made_folder(place):
        _write(judgement, in_um, place / name)
    if as_json:
        console.print_json(to_facts(judgement, in_um))


def _write(judgement: Judgement, in_um: bool, path: Path) -> None:
    """Write and print all tables; the path lacks its suffix."""
    texts = {
        "csv": to_csv(judgement.own.files[0].grains),
        "json": to_json(judgement, in_um),
        "md": to_markdown(judgement, in_um),
    }
    for suffix, text in texts.items():
        write_text(path.with_name(f"{path.name}.{suffix}"), text)
    with console.step("drawing"):
        save_figure(_draw(judgement, in_um), path.with_name(f"{path.name}.png"))
    _print(judgement, in_um)
    say_wrote(*(path.with_name(f"{path.name}.{ending}") for ending in WRITTEN))


def _split_source(text: str) -> tuple[Path, str | None]:
    """A file, and a data set if one is named behind a colon."""
    path, colon, dataset = text.rpartition(":")
    if not colon or len(path) < 2 or Path(text).exists():  # one letter is a drive of Windows
        return Path(text), None
    return Path(path), dataset


def _paint_stages(shape: Shape, periodic: str) -> NDArray[np.uint8]:
    """Stage of the tiling that each voxel belongs to: that of the first block which covers it.

    Blocks that close an odd period come after the eight stages of all others, and are a ninth together.
    """
    tiling = tile_isotropic(shape, Region(wraps=wraps_of(periodic)))
    stages = np.zeros(shape, np.uint8)
    for block, stage in reversed(list(enumerate(np.minimum(tiling.stages, STAGES.size)))):
        for of_volume, _ in tiling.windows(block):
            stages[of_volume] = stage
    return stages


def _draw(judgement: Judgement, in_um: bool) -> Figure:
    """Interior grains; all of them where none is known to be whole."""
    inside = bool(judgement.interior)
    samples = [Sample(_name(side.files, inside), gather(side, inside)) for side in judgement.sides]
    return draw_distributions(samples[0], samples[1] if len(samples) > 1 else None, in_um, judgement.verdicts)


def _name(files: Sequence[MeasuredFile], inside: bool) -> str:
    first = Path(files[0].source).name
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{first}{more}{', interior' * inside}"


def _print(judgement: Judgement, in_um: bool) -> None:
    for number, (title, headings, cells, lines) in enumerate(to_sections(judgement, in_um)):
        console.results.print("\n" * (number > 0) + title)
        if cells:
            console.print_rows(headings, cells)
        for line in lines:
            console.results.print(line)
    counts = judgement.own.summarise()[0]
    console.results.print(
        f"grains {counts['grains']:,}, {counts['at_boundary']:.0%} of them cut by faces or the outside"
    )
