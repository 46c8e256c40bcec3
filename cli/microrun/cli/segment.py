"""`microrun segment`."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.runtime.files.destination import check_file
from microrun.runtime.volumes.axes import list_axes
from microrun.runtime.volumes.segment import Components, SegmentOptions, Summary, write_labels
from microrun.runtime.volumes.segment import segment as segment_volume
from microrun.runtime.volumes.volume import SUFFIXES, Volume, open_volume


def segment(
    volume: Annotated[Path, typer.Argument(help="A volume (z, y, x) as .npy or .h5; NaN is outside.")],
    out: Annotated[Path, typer.Option(help="The labels, .npy or .h5: int32, -1 noise and outside, 0... grains.")],
    value_scale: Annotated[
        float | None, typer.Option(help="How many voxels a difference of 1 in value counts; DBSCAN needs it.")
    ] = None,
    eps: Annotated[float, typer.Option(help="Largest distance of neighbours in (z, y, x, value); below 2.")] = 1.9,
    min_samples: Annotated[int, typer.Option(help="Neighbours that make a core voxel, itself among them.")] = 15,
    components: Annotated[
        int, typer.Option(help="6 or 26: connected voxels of one value instead of DBSCAN; below 0 is outside.")
    ] = 0,
    fill: Annotated[bool, typer.Option("--fill", help="Give noise voxels the label of most neighbours.")] = False,
    min_voxels: Annotated[
        int, typer.Option(help="Grains of fewer voxels join the neighbour with the largest face; 0 keeps all.")
    ] = 0,
    periodic: Annotated[
        str, typer.Option(help="Axes along which components go on at the opposite face: z,y,x, some of them, or all.")
    ] = "",
    dataset: Annotated[str | None, typer.Option(help="Data set of a .h5 volume; by default the only 3D one.")] = None,
    part: Annotated[Path | None, typer.Option(help="A .npy mask of bool, True inside the part.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Segment a volume into grains: DBSCAN exactly as scikit-learn's, at the speed of the lattice.

    The volume may be larger than memory.
    """
    options = SegmentOptions(value_scale, eps, min_samples, cast(Components, components), fill, min_voxels, periodic)
    check_file(out, overwrite, endings=SUFFIXES, sources=[path for path in (volume, part) if path])
    with (
        open_volume(volume, dataset, part, positive=bool(components)) as opened,
        console.step("segmenting"),
    ):
        started = time.perf_counter()
        _start_kernels(opened, options)
        start_s = time.perf_counter() - started
        summary = write_labels(opened, options, out)
    console.out.print(f"volume   {opened.name} ({'×'.join(map(str, opened.shape))})")
    _print_summary(summary, start_s)
    _print_faces(options.periodic, opened.periodic)
    say_wrote(out)
    say_next("grains", out)


def _print_faces(joined: str, stated: str) -> None:
    """Say how grains were counted that go on at the opposite face of a periodic volume, as others count otherwise."""
    if joined:
        console.out.print(f"faces    grains are joined across those along {list_axes(joined)}: each counts once")
    if left := [axis for axis in stated if axis not in joined]:
        console.out.print(
            f"faces    the volume is periodic along {', '.join(left)}, where grains were cut: one that goes on at the "
            f"opposite face counts at each (--periodic {','.join(stated)} with --components joins them)"
        )


def _start_kernels(volume: Volume, options: SegmentOptions) -> None:
    """Segment a few voxels likewise, so that the time that is measured is none of loading compiled code."""
    values = np.zeros((8, 8, 8), volume.read_dtype)
    values[0, 0, 0] = 1e6
    few = dataclasses.replace(options, min_samples=2, min_voxels=min(options.min_voxels, 2))
    segment_volume(Volume(values, "start"), few, np.empty(values.shape, np.int32))


def _print_summary(summary: Summary, start_s: float) -> None:
    points = summary.voxels - summary.outside
    print_line = console.out.print
    print_line(f"grains   {summary.grains:,}")
    print_line(f"noise    {summary.noise:,} of {points:,} voxels ({summary.noise / points:.2%})")
    if summary.outside:
        print_line(f"outside  {summary.outside:,} voxels")
    speed = summary.voxels / summary.seconds / 1e6
    print_line(f"time     {summary.seconds:.2g} s: {speed:.1f} Mvoxel/s, after {start_s:.1f} s to start")
