"""`microrun bench`."""

from __future__ import annotations

import dataclasses
import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from microrun.cli import console
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.catalogue import DEFAULT_ENGINE
from microrun.runtime.engines.engine import Device, EngineRequest, Precision
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.files.output import write_text

app = typer.Typer(no_args_is_help=True, help="Measure speed against limits and peers, in one run.")
LATENT_SIZES = (32, 128)
KEEPS_UP = 0.9  # of the camera's rate
Json = Annotated[Path | None, typer.Option("--json", help="Write the numbers here, too.")]


@app.command()
def encode(
    latent: Annotated[
        list[int] | None, typer.Option(help="Latent sizes of random models to measure; by default 32 and 128.")
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help="Measure this .onnx or .plan file or built-in model instead.")
    ] = None,
    device: Annotated[list[str] | None, typer.Option(help="auto, cpu or cuda; auto by default.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="auto, f32, bf16, f16 or int8; auto by default.")] = None,
    lanes: Annotated[int | None, typer.Option(help="Of the engines.")] = None,
    batch: Annotated[int | None, typer.Option(help="Of the engines.")] = None,
    patterns: Annotated[int, typer.Option(help="480×480 patterns in the scan (0.46 MB each).")] = 1536,
    repeats: Annotated[int, typer.Option(min=1, help="Of every measurement; medians are shown.")] = 5,
    out: Json = None,
) -> None:
    """Measure encoding of 480×480 patterns, end to end and part by part.

    --latent, --engine, --device and --precision may be repeated; every combination is measured, in turns.
    Random models have a peer: the same network in PyTorch float32, fed by kikuchipy's background removal,
    binning and rescaling. Nothing else should run meanwhile.
    """
    from microrun.cli.bench import encode as measure
    from microrun.cli.bench import engines
    from microrun.cli.bench.tables import print_encode

    if latent and engine:
        raise MicrorunError("expected --latent for random models or --engine for given ones; got both")
    _check_out(out)
    wanted = engines.Wanted.parse(device or ["auto"], precision or ["auto"], lanes, batch)
    sizes = () if engine else latent or LATENT_SIZES
    if sizes:
        engines.check_latent_sizes(sizes)
    with (
        TemporaryDirectory(prefix="microrun-bench-") as folder,
        ExitStack() as held,
        console.err.status("writing a scan") as status,
    ):
        given = [engines.GivenModel(name) for name in engine or ()]
        scan = measure.write_scan(Path(folder), patterns)
        models: list[engines.Model] = [*given, *(engines.RandomModel(size, scan.path.parent) for size in sizes)]
        subjects, refused = engines.open_subjects(models, wanted, held, status.update)
        for warning in (*refused, *measure.list_doubts(scan, subjects)):
            console.warning_line(warning)
        machine, results = measure.measure_encode(scan, subjects, repeats, status.update)
    print_encode(machine, results)
    _write(out, {"machine": machine, "encode": results})


@app.command()
def latency(
    engine: Annotated[
        str, typer.Option(help="A .plan or .onnx file, or the name of a built-in model.")
    ] = DEFAULT_ENGINE,
    device: Annotated[Device, typer.Option(help="Where to run.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="What to compute in; auto is the fastest.")] = "auto",
    runs: Annotated[int, typer.Option(min=1, help="Patterns of every measurement.")] = 500,
    rate: Annotated[float, typer.Option(min=1, help="Patterns per second of the camera.")] = 118,
    out: Json = None,
) -> None:
    """Measure how long one 480×480 pattern takes, for programs that wait for its latents.

    The engine has one lane and a batch of one. Measured are preprocessing and the engine alone, and a stream
    from the camera's push to the latents, as a program that embeds microrun sees it.
    """
    from microrun.cli.bench.latency import measure_latency
    from microrun.cli.bench.machine import cpu_name
    from microrun.cli.bench.tables import print_latency

    _check_out(out)
    with open_engine(engine, device, EngineRequest(precision, 1, 1)) as opened:
        info = opened.info
        with console.err.status(f"{runs} patterns, those of the stream at {rate:g}/s"):
            found = measure_latency(opened, runs, rate)
    machine = {"cpu": cpu_name(), "cores": count_cores()}
    opened_as = {name: getattr(info, name) for name in ("device", "precision", "library", "sha256")}
    console.out.print(f"[bold]{engine}, {info.precision} on {info.device}[/]: {info.library}, 1 lane of 1")
    console.out.print("{cpu}, {cores} cores".format(**machine))
    print_latency(found)
    if found.delivered_patterns_s < KEEPS_UP * rate:
        console.warning_line(
            f"the stream delivers {found.delivered_patterns_s:,.0f} patterns/s, less than {rate:g}/s: patterns wait "
            "for one another; with more lanes and larger batches it is faster, see `microrun bench encode`"
        )
    _write(out, {"machine": machine, "engine": {"name": engine, **opened_as}, "latency": found})


@app.command()
def segment(
    size: Annotated[list[int] | None, typer.Option(min=2, help="Volumes; by default 64³, 128³ and 256³.")] = None,
    large: Annotated[
        bool, typer.Option("--large", help="Give scikit-learn 128³, too: half a minute, and 1 GB of memory.")
    ] = False,
    stl: Annotated[Path | None, typer.Option(help="Voxelise this part instead of a sphere of 50,000 faces.")] = None,
    part_size: Annotated[int, typer.Option(min=2, help="Voxels along the part's longest side.")] = 256,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the segmentation; all cores by default.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Of every measurement; medians are shown.")] = 5,
    out: Json = None,
) -> None:
    """Measure segmentation into grains, voxelisation of parts, and tilings, against the usual libraries.

    Volumes are Voronoi cells with noise, segmented as by scikit-learn's DBSCAN, whose labels must come out the same;
    "of memory" is the share of the speed at which values could be read and labels written once. Parts are
    voxelised by trimesh and VTK, too. Nothing else should run meanwhile.
    """
    from microrun.cli.bench import peers, voxelise
    from microrun.cli.bench import segment as measure
    from microrun.cli.bench.volume_tables import print_segment

    _check_out(out)
    name, triangles = voxelise.load_part(stl)
    for line in peers.list_missing():
        console.warning_line(line)
    with console.err.status("memory") as status:
        host = measure.measure_host(threads or count_cores(), repeats)
        largest = measure.LARGE if large else measure.ALWAYS
        volumes = measure.measure_segmentation(size or measure.SIZES, host, repeats, largest, status.update)
        part = voxelise.measure_voxelisation(name, triangles, part_size, repeats, status.update)
        tiled = measure.measure_tiling(measure.TILED, repeats)
    print_segment(host, volumes, part, tiled)
    _write(out, {"machine": host, "segmentation": volumes, "voxelisation": part, "tiling": tiled})


@app.command()
def generate(
    engine: Annotated[
        list[str] | None, typer.Option(help="Measure this .onnx file or built-in denoiser; by default random weights.")
    ] = None,
    device: Annotated[list[str] | None, typer.Option(help="auto, cpu or cuda; auto by default.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="auto, f32, bf16 or f16; auto by default.")] = None,
    lanes: Annotated[int | None, typer.Option(help="Of the engines.")] = None,
    batch: Annotated[int | None, typer.Option(help="Of the engines.")] = None,
    size: Annotated[int, typer.Option(help="Of the volume whose plans are compared.")] = 128,
    repeats: Annotated[int, typer.Option(min=1, help="Of every measurement; medians are shown.")] = 3,
    out: Json = None,
) -> None:
    """Measure evaluations of denoisers against GrainPaint's networks, and count those that volumes take.

    --engine, --device and --precision may be repeated; every combination is measured, in turns. GrainPaint's
    networks run in PyTorch float32. Nothing else should run meanwhile.
    """
    from microrun.cli.bench import denoisers
    from microrun.cli.bench import generate as measure
    from microrun.cli.bench.engines import Wanted
    from microrun.cli.bench.machine import cpu_name
    from microrun.cli.bench.volume_tables import print_generate
    from microrun.runtime.generation.recipe import PRESETS

    _check_out(out)
    wanted = Wanted.parse(device or ["auto"], precision or ["auto"], lanes, batch)
    with (
        TemporaryDirectory(prefix="microrun-bench-") as folder,
        ExitStack() as held,
        console.err.status("opening") as status,
    ):
        models = denoisers.list_models(engine or (), Path(folder))
        opened, refused = denoisers.open_denoisers(models, wanted, held, status.update)
        plans = measure.list_plans((size, size, size), PRESETS, opened[0][1].diffusion.schedule)
        peers, left_out = denoisers.open_peers(denoiser.info.device for _, denoiser in opened)
        for warning in (*refused, *left_out):
            console.warning_line(warning)
        ours = [measure.contend(name, denoiser) for name, denoiser in opened]
        networks = measure.measure_networks(ours, peers, repeats, status.update)
    machine = {"cpu": cpu_name(), "cores": count_cores()}
    print_generate("{cpu}, {cores} cores".format(**machine), networks, size, plans)
    _write(out, {"machine": machine, "networks": networks, "plans": plans})


def _check_out(out: Path | None) -> None:
    """Minutes of measuring must not be lost to a name."""
    if out and (out.is_dir() or not out.parent.is_dir()):
        raise OutputError(f"{out}: expected a file's name in a folder that exists")


def _write(out: Path | None, numbers: dict[str, Any]) -> None:
    if out:
        write_text(out, json.dumps(numbers, indent=1, default=dataclasses.asdict) + "\n")
        console.out.print(f"wrote {out}")
