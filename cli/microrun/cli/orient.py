"""`microrun orient`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.runtime.files.destination import HDF5_ENDINGS, check_file
from microrun.runtime.textures.orient import Oriented, OrientRequest
from microrun.runtime.textures.orient import orient as orient_grains


def orient(
    volume: Annotated[Path, typer.Argument(help="Labels of grains, .npy or .h5, (z, y, x); negative where none.")],
    texture: Annotated[
        str,
        typer.Option(help="uniform; a fibre, such as fibre:001@z:15; a map, .ang or .ctf; or an ODF, .txt."),
    ],
    out: Annotated[Path, typer.Option(help="The .h5 to make: labels and orientations; it may be VOLUME.")],
    phase: Annotated[
        str | None,
        typer.Option(help="Crystals: fcc, bcc, hcp, hcp:C/A or a point group; by default what TEXTURE states, or fcc."),
    ] = None,
    misorientations: Annotated[
        Path | None, typer.Option(help="A map whose misorientations of neighbours are matched, by swaps.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same orientations.")] = 0,
    dataset: Annotated[str | None, typer.Option(help="Data set of a .h5 volume; by default the only 3D one.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Give the grains of a volume crystal orientations of a texture.

    A fibre is a crystal direction, a sample direction (x, y, z, or three numbers) and a half width in degrees. Of a
    map, every indexed point is equally likely, so that orientations count by their area. An ODF is a table of phi1,
    Phi, phi2 in degrees and a density or weight, as MTEX exports it. docs/orientations.md says more.
    """
    request = OrientRequest(volume, out, texture, phase, misorientations, seed, dataset)
    sources = (Path(texture), *([misorientations] if misorientations else []))
    check_file(out, overwrite, endings=HDF5_ENDINGS, sources=sources)
    with console.progress_bar("orienting grains", "steps") as bar:
        made = console.watch(orient_grains(request), bar)
    _print_made(texture, made)
    say_wrote(out)
    say_next("convert", out, "--to", "damask")


def _print_made(texture: str, made: Oriented) -> None:
    print_line = console.out.print
    assumed = ", since nothing else is stated; --phase says otherwise" if made.crystal.assumed else ""
    print_line(f"grains    {made.grains:,}")
    print_line(f"crystals  {made.crystal.symmetry}{assumed}")
    for note in made.notes:
        print_line(f"texture   {texture}: {note}")
    if made.matched is not None:
        before, after, swaps = made.matched.before_deg, made.matched.after_deg, made.matched.swaps
        print_line(f"angles    {before:.2f}° from those of the map before, {after:.2f}° after {swaps:,} swaps")
