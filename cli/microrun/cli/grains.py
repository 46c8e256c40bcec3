"""`microrun grains`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from microrun.cli import console
from microrun.runtime.errors import VolumeError
from microrun.runtime.files.output import write_text
from microrun.runtime.pictures.grain_distributions import draw_distributions
from microrun.runtime.pictures.panels import save_figure
from microrun.runtime.volumes.compare import collect_measures, compare_measures
from microrun.runtime.volumes.measure import Grains, measure_file
from microrun.runtime.volumes.tables import COMPARED, titles, to_cells, to_csv, to_json, to_markdown


def grains(
    volume: Annotated[Path, typer.Argument(help="Labels of grains, .npy or .h5, (z, y, x); negative where none.")],
    reference: Annotated[
        list[Path] | None, typer.Option(help="Labels to compare with; again for each further file.")
    ] = None,
    voxel_um: Annotated[float | None, typer.Option(help="Edge of a voxel; without it lengths count voxels.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default that of the volume.")] = None,
) -> None:
    """Measure grains, and compare them with those of a reference.

    Writes a line for every grain (.csv), medians, means and the distances from the reference (.md, .json), and a
    picture of the distributions (.png). An HDF5 file may hold several volumes; their grains are taken together.
    """
    in_um, voxel_um = voxel_um is not None, 1.0 if voxel_um is None else voxel_um
    if not 0 < voxel_um < np.inf:
        raise VolumeError(f"--voxel-um is the edge of a voxel, more than 0; got {voxel_um:g}")
    measured = measure_file(volume, voxel_um)
    beside = {str(path): measure_file(path, voxel_um) for path in reference or ()}
    values = collect_measures(list(measured.values()))
    theirs = collect_measures([one for file in beside.values() for one in file.values()]) if beside else None
    rows = compare_measures(values, theirs)
    figure = draw_distributions(values, theirs, in_um)
    about: dict[str, object] = {"file": str(volume), "voxel_um": voxel_um, **_summarise(measured)}
    about["reference"] = [{"file": name, **_summarise(file)} for name, file in beside.items()]
    folder = out or volume.parent
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{volume.stem}.grains"
    write_text(folder / f"{name}.csv", to_csv(measured))
    write_text(folder / f"{name}.json", to_json(rows, about))
    write_text(folder / f"{name}.md", to_markdown(rows, in_um))
    save_figure(figure, folder / f"{name}.png")
    named = [(titles(in_um)[row.measure], *to_cells(row)) for row in rows]
    console.print_rows(("", "median", "mean", *(COMPARED if theirs else ())), named)
    console.out.print(f"grains {about['grains']:,}, {about['at_boundary']:.0%} of them at the volume's boundary")
    console.out.print(f"wrote {folder / name}.csv, .json, .md, .png")


def _summarise(measured: dict[str, Grains]) -> dict[str, int | float]:
    touching = np.concatenate([grains.touches_boundary for grains in measured.values()])
    return {"volumes": len(measured), "grains": len(touching), "at_boundary": float(touching.mean())}
