"""`microrun voxelize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.runtime.files.destination import check_file
from microrun.runtime.files.output import written_beside
from microrun.runtime.volumes.chips import Tidying, describe_pieces
from microrun.runtime.volumes.parts import Part, load_part


def voxelize(
    part: Annotated[Path, typer.Argument(help="An STL file, in any units.")],
    size: Annotated[int, typer.Option(help="Voxels along the longest side.")],
    out: Annotated[Path, typer.Option(help="The .npy file to make: (z, y, x), True inside the part.")],
    join_pieces: Annotated[
        bool, typer.Option("--join-pieces", help="Fill the voxels between pieces that touch along edges or at corners.")
    ] = False,
    drop_pieces: Annotated[int, typer.Option(min=0, help="Leave out pieces of fewer voxels; 0 keeps all.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Turn the surface of a part into a mask of cubic voxels, to grow grains in its shape.

    A voxel is inside if at least two of three rays through its centre say so, which closes small holes. Bodies that
    overlap become one. A body inside another is a cavity if its faces point inward. What is guessed is said, and so are
    walls thinner than two voxels, which crumble into pieces: voxels that hang together by their faces.
    """
    check_file(out, overwrite, endings=(".npy",), sources=(part,))
    with console.step("voxelising"):
        made = load_part(part, size, Tidying(drop_pieces, join_pieces))
    with written_beside(out) as beside, beside.open("wb") as file:
        np.save(file, made.filled)
    for said in made.remarks:
        console.warning_line(f"{part}: {said}")
    depth, rows, cols = made.filled.shape
    filled = int(made.filled.sum())
    console.print_table(
        str(part),
        {
            "voxels": f"{depth} × {rows} × {cols} (z, y, x), each {made.voxel_edge:.4g} wide in the file's units",
            "filled": f"{filled:,}, {filled / made.filled.size:.1%} of the box",
            "volume": f"{made.volume:.6g}, the mesh's {made.mesh_volume:.6g}, in the file's units cubed{_off(made)}",
            "bodies": f"{made.bodies.total:,}, of them {made.bodies.cavities:,} cavities, in {made.pieces:,} pieces",
            "pieces": describe_pieces(made.piece_voxels),
            "odd rays": f"{made.odd_rays:,} of {made.rays:,}",
        },
    )
    say_wrote(out)
    say_next("generate", "--part", out, "--out", out.with_suffix(".h5"))


def _off(made: Part) -> str:
    """By how much the volume of the voxels is off."""
    return f": {round(made.volume / made.mesh_volume - 1, 4) + 0:+.2%}" if made.mesh_volume > 0 else ""
