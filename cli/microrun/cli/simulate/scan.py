"""`microrun simulate scan`, and the group that it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.cli.pattern_centre import parse_centre
from microrun.cli.simulate import experiment, meltpool, sections, solidify, volumes
from microrun.runtime.errors import ScanError
from microrun.runtime.files.destination import check_files
from microrun.runtime.maps.orientation_file import read_orientations
from microrun.runtime.scans.scan import parse_grid

if TYPE_CHECKING:
    from microrun.training.simulate.masters.find import Master

app = typer.Typer(no_args_is_help=True, help="Make data with known truth.")
app.command("potts")(volumes.potts)
app.command("am")(volumes.am)
app.command("meltpool")(meltpool.meltpool)
app.command("solidify")(solidify.solidify)
app.command("sections")(sections.sections)
app.command("experiment")(experiment.experiment)
ELECTRONS = {"low": 38_400.0, "medium": 9_600.0, "high": 2_400.0}  # per pixel of a 120-pixel pattern
SHADING = 0.018  # a third of the patterns' variance is then smooth, as in real ones of nickel


@app.command()
def scan(
    out: Annotated[Path, typer.Argument(help="The .up2 file to make; its truth goes beside it.")],
    orientations: Annotated[
        Path | None, typer.Option(help="An .ang or an orix .h5 file to take the orientations from.")
    ] = None,
    grid: Annotated[str, typer.Option(help="ROWSxCOLS of an invented map.")] = "48x64",
    grains: Annotated[int, typer.Option(min=1, help="Grains of an invented map.")] = 16,
    particles: Annotated[int, typer.Option(min=0, help="Particles of titanium carbide in an invented map.")] = 0,
    phase: Annotated[str | None, typer.Option(help="Such as ferrite or Ti; by default nickel.")] = None,
    kv: Annotated[float | None, typer.Option(min=1, max=100, help="Voltage in kV; by default 20.")] = None,
    master: Annotated[
        Path | None, typer.Option(help="Master pattern: EMsoft's .sht, or a file that kikuchipy reads.")
    ] = None,
    noise: Annotated[
        Literal["low", "medium", "high"], typer.Option(help="38,400, 9,600 or 2,400 electrons a pixel.")
    ] = "medium",
    detector: Annotated[int, typer.Option(min=60, max=960, help="Side of the patterns in pixels.")] = 120,
    pc: Annotated[str, typer.Option(help="Pattern centre X,Y,Z in EDAX's convention.")] = "0.42,0.79,0.50",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same scan.")] = 0,
    step: Annotated[float, typer.Option(help="Step in µm.")] = 1.0,
    overwrite: OverwriteOption = False,
) -> None:
    """Simulate a scan: grains, twins, sub-grains, deformed cells, particles; or a given map.

    Without --phase and --master it is of nickel. Master patterns of other phases are looked for in the folder that
    the environment variable MICRORUN_MASTERS names.
    """
    from microrun.training.simulate.patterns import Exposure, PatternSimulator
    from microrun.training.simulate.sample import Recipe, grow_sample, map_sample
    from microrun.training.simulate.scan import simulate_scan

    check_files([out, out.with_suffix(".truth.npz")], overwrite, endings=[".up2"])
    matrix = _choose_master(phase, kv, master)
    if orientations:
        found = read_orientations(orientations)
        if not found.valid.all():
            raise ScanError(f"{orientations}: {(~found.valid).sum()} of its points are not indexed; a scan needs all")
        sample = map_sample(found.rotations, seed, Recipe(blur_px=(0.8, 0.8), shading=SHADING))
    else:
        sample = grow_sample(parse_grid(grid), grains, seed, Recipe(particles=particles, shading=SHADING))
    electrons = ELECTRONS[noise] * (120 / detector) ** 2
    exposure = Exposure(electrons=electrons, gain=30_000 / electrons)
    with console.progress_bar("simulating") as bar:
        simulator = PatternSimulator((detector, detector), parse_centre(pc), matrix=matrix)
        console.watch(simulate_scan(out, sample, simulator, exposure, seed, step), bar)
    if matrix:
        console.out.print(f"of    {matrix.crystal.name} at {matrix.energy_kev:g} kV, master pattern: {matrix.source}")
    say_wrote(out, note=f", its truth in {out.stem}.truth.npz")
    say_next("encode", out)


def _choose_master(phase: str | None, kv: float | None, path: Path | None) -> Master | None:
    """The master pattern that is asked for; None for the usual one."""
    from microrun.training.simulate.masters.find import USUAL_KEV, find_master, load_master

    if path is None:
        return None if phase is None and kv is None else find_master(phase or "nickel", kv or USUAL_KEV)
    found = load_master(path, kv)
    if phase and not found.crystal.is_called(phase):
        raise ScanError(f"{path}: is of {found.crystal.name} ({found.crystal.formula}); {phase} is asked for")
    return found
