"""`microrun simulate potts` and `am`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.destination import HDF5_ENDINGS, check_file

if TYPE_CHECKING:
    from microrun.training.simulate.potts import Build, Growth

SEEDS = 1 << 63  # that there are
Out = Annotated[Path, typer.Argument(help="The .h5 file to make.")]
Size = Annotated[int, typer.Option(min=3, max=1290, help="Voxels along each side.")]
Temperature = Annotated[float, typer.Option(min=0, help="In units of the energy between two neighbours.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the first volume; the others have the seeds that follow.")]
Count = Annotated[int, typer.Option(min=1, help="Number of volumes.")]


def potts(
    out: Out,
    size: Size = 100,
    duration: Annotated[int, typer.Option(min=1, help="Units of time, of 26 sweeps each.")] = 50,
    temperature: Temperature = 0.0,
    seed: Seed = 0,
    count: Count = 1,
    overwrite: OverwriteOption = False,
) -> None:
    """Simulate grain growth in periodic volumes, into HDF5."""
    from microrun.training.simulate.potts import Growth

    _simulate(out, Growth((size, size, size), duration, temperature), seed, count, overwrite)


def am(
    out: Out,
    size: Size = 100,
    advance: Annotated[int, typer.Option(min=1, help="Voxels that the melt pool moves from sweep to sweep.")] = 1,
    hatch: Annotated[int, typer.Option(min=1, help="Distance of the tracks, in voxels.")] = 12,
    layer: Annotated[int, typer.Option(min=1, help="Thickness of a layer, in voxels.")] = 6,
    pool: Annotated[str, typer.Option(help="The melt pool's LENGTHxWIDTHxDEPTH in voxels.")] = "40x24x14",
    mobile_zone: Annotated[int, typer.Option(min=1, help="Voxels around the pool in which grains grow.")] = 20,
    temperature: Temperature = 0.0,
    inside: Annotated[
        bool, typer.Option("--inside", help="Cut out of a larger build: no substrate, last layers or faces.")
    ] = False,
    seed: Seed = 0,
    count: Count = 1,
    overwrite: OverwriteOption = False,
) -> None:
    """Simulate additive manufacturing: a melt pool along tracks, layer upon layer, into HDF5."""
    from microrun.training.simulate.potts import Build, MeltPool

    melt_pool = MeltPool(*_parse_pool(pool), mobile_zone)
    build = Build((size, size, size), melt_pool, advance, hatch, layer, temperature, inside)
    _simulate(out, build, seed, count, overwrite)


def _parse_pool(text: str) -> tuple[int, int, int]:
    try:
        length, width, depth = map(int, text.lower().split("x"))
    except ValueError:
        raise typer.BadParameter(f"--pool is LENGTHxWIDTHxDEPTH such as 40x24x14, not {text!r}") from None
    return length, width, depth


def _simulate(out: Path, process: Growth | Build, seed: int, count: int, overwrite: bool) -> None:
    from microrun.training.simulate.volumes import write_volumes

    check_file(out, overwrite, endings=HDF5_ENDINGS)
    if seed + count > SEEDS:
        raise MicrorunError(f"--seed and those that follow it must be below 2⁶³; got {seed} and --count {count}")
    try:
        with console.progress_bar("simulating", "steps") as bar:
            made = console.watch(write_volumes(out, process, seed, count, keep_interrupted=True), bar)
    except MemoryError as error:
        raise MicrorunError(f"{error}: take a smaller --size, --pool or --mobile-zone") from None
    sides = "×".join(map(str, process.shape))
    say_wrote(out, note=f": volumes of {sides} voxels, seeds {seed} to {seed + made - 1}")
    say_next("grains", out)
    if made < count:
        rest = f"--seed {seed + made} --count {count - made}"
        console.error_line(f"interrupted; {made} of {count} volumes are kept: make the others in another file, {rest}")
        raise typer.Exit(130)
