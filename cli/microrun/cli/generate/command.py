"""`microrun generate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import console
from microrun.cli.generate.asked import SIZE, Scale, Sizes, read_asked, settle_here
from microrun.cli.generate.growth import print_estimate, show_growth
from microrun.runtime.engines.engine import Device, EngineRequest, Precision
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.destination import check_file
from microrun.runtime.generation.blueprint import name_computed
from microrun.runtime.generation.cluster import connect, describe
from microrun.runtime.generation.effort import measure_speed
from microrun.runtime.generation.generate import generate as generate_volume
from microrun.runtime.generation.generate import generate_by
from microrun.runtime.generation.grow_on_dask import grow_on_dask
from microrun.runtime.generation.left_over import clear_left_over
from microrun.runtime.generation.recipe import RELAX_SWEEPS, Order, Preset, PresetName
from microrun.runtime.generation.request import MIN_VOXELS, GenerateRequest
from microrun.runtime.generation.workshops import RemoteEngine
from microrun.runtime.volumes.volume import SUFFIXES

DEFAULT_DENOISER = "grains"


def generate(
    out: Annotated[Path, typer.Option(help="The .h5 or .npy file to make: grain of every voxel, (z, y, x).")],
    size: Annotated[
        str | None, typer.Option(help=f"Voxels along each side, or ZxYxX; {SIZE} by default. With --stl: longest side.")
    ] = None,
    engine: Annotated[str, typer.Option(help="An .onnx file, or the name of a built-in denoiser.")] = DEFAULT_DENOISER,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same volume.")] = 0,
    preset: Annotated[
        PresetName, typer.Option(help="Quality against time; repaint draws as the paper, 25 times as long.")
    ] = "default",
    timesteps: Annotated[int | None, typer.Option(min=1, help="Timesteps, instead of the preset's.")] = None,
    resample: Annotated[
        int | None, typer.Option(min=0, help="How often each is drawn again where voxels are known, likewise.")
    ] = None,
    stl: Annotated[Path | None, typer.Option(help="Grow a part of this shape.")] = None,
    part: Annotated[Path | None, typer.Option(help="The same by a .npy mask of `microrun voxelize`.")] = None,
    order: Annotated[
        Order | None,
        typer.Option(help="Of the blocks: from everywhere, or from the centre; by default as suits the engine."),
    ] = None,
    periodic: Annotated[
        str, typer.Option(help="Axes along which opposite faces fit: z,y,x, some of them, or all.")
    ] = "",
    known: Annotated[
        Path | None, typer.Option(help="Grains to continue, .npy or .h5: integers (z, y, x), -1 where unknown.")
    ] = None,
    mean_grain_um: Annotated[
        float | None,
        typer.Option(help="Mean diameter of the grains in µm; without --voxel-um it sets how large a voxel is."),
    ] = None,
    voxel_um: Annotated[float | None, typer.Option(help="Edge of a voxel in µm.")] = None,
    size_um: Annotated[str | None, typer.Option(help="--size in µm.")] = None,
    min_voxels: Annotated[int, typer.Option(min=0, help="Smaller grains join a neighbour.")] = MIN_VOXELS,
    relax: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Sweeps that straighten boundaries, as curvature does; 0 leaves them as drawn.",
            show_default=f"{RELAX_SWEEPS}, of printed metal 0",
        ),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to run.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="What to compute in; auto is the fastest.")] = "auto",
    batch: Annotated[int | None, typer.Option(help="Blocks that a worker of the engine draws at once.")] = None,
    dask: Annotated[str | None, typer.Option(help="Address of a Dask scheduler whose workers do it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
) -> None:
    """Grow a grain structure of any size, or in the shape of a part.

    Finished blocks are kept in OUT.blocks until all are there: whatever
    happens, the same command goes on from them. The result is the same
    whatever the batch, and however many workers.
    """
    _check_free(out, overwrite, [path for path in (known, part, stl) if path])
    scale = Scale(engine, voxel_um, mean_grain_um)
    shape, mask, given = read_asked(Sizes(size, size_um, stl, part, known), scale)
    request = GenerateRequest(
        shape, seed, order, Preset(preset, timesteps, resample), periodic,
        scale.grain_voxels, out=out, part=mask, known=given, min_voxels=min_voxels, relax=relax,
        voxel_um=scale.voxel_um,
    )  # fmt: skip
    if dask is not None:
        _generate_on_dask(request, dask, RemoteEngine(_as_workers_find(engine), device, precision, batch), dry_run)
    else:
        _generate_here(request, engine, device, EngineRequest(precision, batch=batch), dry_run)


def _check_free(out: Path, overwrite: bool, sources: Sequence[Path]) -> None:
    cleared = clear_left_over(out) if out.exists() and not overwrite else None
    said = f"whole: what a run that was killed then had left in {cleared} is cleared; " if cleared else ""
    check_file(out, overwrite, endings=SUFFIXES, sources=sources, advice=said)


def _generate_here(request: GenerateRequest, engine: str, device: Device, asked: EngineRequest, dry_run: bool) -> None:
    request = settle_here(request, engine)  # refuses before anything is opened
    with console.step("opening the engine"):
        denoiser = open_denoiser(engine, device, asked)
    with denoiser:
        request = request.settle(denoiser.spec)  # refuses before anything is measured or grown
        if dry_run:
            with console.step("measuring"):
                rate = measure_speed(denoiser)
            print_estimate(request, denoiser.spec, denoiser.info, rate)
            return
        console.out.print(f"engine   {denoiser.info}")
        show_growth(generate_volume(request, denoiser), request, denoiser.spec)


def _generate_on_dask(request: GenerateRequest, address: str, engine: RemoteEngine, dry_run: bool) -> None:
    if dry_run:
        raise MicrorunError("--dry-run measures this machine; leave out --dask")
    with connect(address) as client:
        spec, info = describe(client, engine)
        console.out.print(f"workers  {len(client.scheduler_info()['workers'])} at {address}")
        console.out.print(f"engine   {info.path.name} with {name_computed(info)}")
        request = request.settle(spec)
        growing = generate_by(request, spec, info, lambda folder: grow_on_dask(client, engine, folder))
        show_growth(growing, request, spec)


def _as_workers_find(engine: str) -> str:
    """A file by its whole path, since workers may have been started elsewhere; a built-in model by its name."""
    return str(Path(engine).resolve()) if Path(engine).is_file() else engine
