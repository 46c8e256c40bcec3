"""`microrun simulate solidify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.destination import HDF5_ENDINGS, check_files

if TYPE_CHECKING:
    from microrun.training.simulate.melt_pool.process import Process
    from microrun.training.simulate.solidify.build import Part
    from microrun.training.simulate.solidify.plan import Plan
    from microrun.training.simulate.solidify.temperature_files import Temperatures

LAYERS = 8  # as in the paper
WORRYING = 0.03  # of the melted cells that never solidified
File = Annotated[
    Path | None, typer.Option(help="Temperatures of another program instead: .vti, .nc, ExaCA's .csv, .catemp.")
]
Towards = Annotated[
    Literal["+x", "-x", "+y", "-y"], typer.Option(help="Where the laser moves to in a .vti or .nc file.")
]
Layers = Annotated[
    int | None,
    typer.Option(min=1, help="Number of layers.", show_default="8; of melting events 1, which may hold many"),
]


def solidify(
    out: Annotated[Path, typer.Option(help="The .h5 file to make; sections and a picture go beside it.")],
    pool: Annotated[Path | None, typer.Argument(help="The melt pool, from `microrun simulate meltpool`.")] = None,
    temperature_file: File = None,
    power: Annotated[
        float | None, typer.Option(help="Of the laser in W, which --temperature-file was made with.")
    ] = None,
    speed: Annotated[float | None, typer.Option(help="Of the laser in m/s, of the same file.")] = None,
    array: Annotated[str | None, typer.Option(help="Name of the temperature in a .vti or .nc file.")] = None,
    temperature_unit: Annotated[Literal["K", "C"] | None, typer.Option(help="By default as the file states.")] = None,
    length_unit: Annotated[Literal["m", "mm", "um"] | None, typer.Option(help="By default as the file states.")] = None,
    travel: Towards = "+x",
    layers: Layers = None,
    tracks: Annotated[int, typer.Option(min=1, help="Tracks side by side, every other one backwards.")] = 3,
    length: Annotated[float, typer.Option(help="Of the part along the tracks, in µm; tracks have no ends.")] = 250.0,
    hatch_um: Annotated[float, typer.Option(help="Distance of the tracks, in µm.")] = 100.0,
    layer_um: Annotated[float, typer.Option(help="Thickness of a layer, in µm.")] = 30.0,
    substrate: Annotated[float, typer.Option(help="Equiaxed grains below what melts, in µm.")] = 40.0,
    cell: Annotated[float, typer.Option(help="Edge of a cell in µm.")] = 2.0,
    dt: Annotated[float, typer.Option(help="Time step in s.")] = 4e-7,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same part.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; by default one a core.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Solidify layers of tracks behind a melt pool: grains in 3-D, sections, a picture.

    A phase field on 20 orientations (Xie et al. 2026, Eq. 11–17) wherever it
    is hotter than 1,200 K. After each track the state is kept in a file
    beside OUT: the same command goes on from there, to the same part.
    """
    from microrun.training.simulate.melt_pool.field import MovingField
    from microrun.training.simulate.solidify.plan import Plan

    paths = out, out.with_suffix(".sections.h5"), out.with_suffix(".png")
    check_files(paths, overwrite, endings=HDF5_ENDINGS, sources=[path for path in (pool, temperature_file) if path])
    if (pool is None) == (temperature_file is None):
        raise MicrorunError("expected a melt pool or --temperature-file FILE, one of the two")
    _refuse_needless(temperature_file or pool, array, temperature_unit, length_unit, travel)
    given = _read(temperature_file or pool or Path(), (power, speed), array, (temperature_unit, length_unit), travel)
    moving = isinstance(given.source, MovingField)
    if not moving:
        console.out.print("melting events: length, tracks, hatch and cells are those of the file, not of options")
    plan = Plan(layers or (LAYERS if moving else 1), tracks, length, hatch_um, layer_um, substrate, cell, dt, seed)
    checkpoint = out.with_suffix(".part.h5")
    part = _build(given, plan, threads, checkpoint)
    with console.step("cutting sections, and drawing"):
        _write(part, paths)
    checkpoint.unlink(missing_ok=True)
    _report(part, paths)


def _read(
    path: Path, laser: tuple[float | None, float | None], array: str | None,
    units: tuple[str | None, str | None], travel: Literal["+x", "-x", "+y", "-y"],
) -> Temperatures:  # fmt: skip
    from microrun.training.simulate.melt_pool.material import STEEL_316L
    from microrun.training.simulate.solidify.temperature_files import Stated, read_temperatures

    given = read_temperatures(path, Stated(_state_process(*laser), STEEL_316L, array, *units, travel))
    for note in given.notes:
        console.out.print(note)
    if given.source.material != STEEL_316L:
        console.warning_line(f"grains of {given.source.material.name} are grown by the laws of 316L")
    return given


def _build(given: Temperatures, plan: Plan, threads: int | None, checkpoint: Path) -> Part:
    from microrun.training.simulate.solidify.temperature_files import build_from_temperatures

    try:
        with console.progress_bar("solidifying", "steps") as bar:
            return console.watch(build_from_temperatures(given, plan, threads=threads, checkpoint=checkpoint), bar)
    except KeyboardInterrupt:
        kept = f"; finished tracks are kept in {checkpoint}: the same command goes on" if checkpoint.exists() else ""
        console.error_line(f"interrupted{kept}")
        raise typer.Exit(130) from None
    except MemoryError:
        raise MicrorunError("the part does not fit into memory: take fewer layers, tracks, or less --length") from None


def _refuse_needless(path: Path | None, *options: str | None) -> None:
    """Refuse what only grids of other programs need."""
    if path and path.suffix.lower() not in (".vti", ".nc") and options != (None, None, None, "+x"):
        raise MicrorunError(f"{path}: --array, --temperature-unit, --length-unit, --travel are for .vti and .nc files")


def _state_process(power: float | None, speed: float | None) -> Process | None:
    """What the user says of the laser; nothing where the file says it."""
    from microrun.training.simulate.melt_pool.process import Process

    if (power is None) != (speed is None):
        raise MicrorunError("expected --power and --speed together: they label the sections, and speed moves the field")
    return None if power is None or speed is None else Process(power, speed)


def _write(part: Part, paths: tuple[Path, Path, Path]) -> None:
    from microrun.runtime.pictures.figure_file import save_figure
    from microrun.runtime.pictures.part_sections import draw_part
    from microrun.runtime.sections.orientations import TABLE_1
    from microrun.runtime.sections.section_set import write_sections
    from microrun.training.simulate.solidify.sections import cut_sections
    from microrun.training.simulate.solidify.store import write_part

    write_part(paths[0], part)
    write_sections(paths[1], cut_sections(part))
    process, plan = part.field.process, part.plan
    title = (
        f"{process.power_w:g} W, {process.speed_m_s:g} m/s, {part.field.kind} field: {plan.layers} layers of "
        f"{plan.tracks} tracks, seed {plan.seed}"
    )
    figure = draw_part(part.grains.orientation, TABLE_1, plan.cell_um, part.track_middle(plan.tracks // 2), title)
    save_figure(figure, paths[2])


def _report(part: Part, paths: tuple[Path, Path, Path]) -> None:
    tally, shape = part.tally, part.grains.orientation.shape
    share = tally.unsolidified / tally.molten
    console.print_table(
        str(paths[0]),
        {
            "cells (z, y, x)": " × ".join(map(str, shape)) + f" of {part.plan.cell_um:g} µm",
            "melted": f"{tally.molten:,} cells, remelting counted",
            "nuclei": f"{tally.nuclei:,}",
            "never solidified": f"{tally.unsolidified:,} ({share:.2%}), filled from the nearest solid cell",
            "grains": f"{part.count_grains():,}",
        },
    )
    if share > WORRYING:
        console.warning_line(
            "so much stayed liquid down to 1,200 K because the front is no faster than 0.3 m/s; the grains on the "
            "track's axis below the surface are a guess"
        )
    say_wrote(*paths)
    say_next("sections", paths[1])
