"""`microrun bench`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.catalogue import DEFAULT_ENGINE
from microrun.runtime.engines.engine import Device, EngineRequest, Precision
from microrun.runtime.engines.open import open_denoiser, open_engine
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.destination import check_file
from microrun.runtime.progress import Job, Result

if TYPE_CHECKING:
    from microrun.cli.bench.measurement import Table

app = typer.Typer(no_args_is_help=True, help="Measure speed against limits and peers, in one run.")
LATENT_SIZES = (32, 128)
KEEPS_UP = 0.9  # of the camera's rate
Devices = Annotated[list[str] | None, typer.Option(help="auto, cpu or cuda; auto by default.")]
Lanes = Annotated[int | None, typer.Option(help="Parallel workers; by default what suits the engine.")]
Batch = Annotated[int | None, typer.Option(help="Samples per run of the engine; by default what suits it.")]
Repeats = Annotated[int, typer.Option(min=1, help="Of every measurement; medians are shown.")]
Out = Annotated[Path | None, typer.Option(help="A .json file to write the numbers to as well; by default none.")]


@app.command()
def encode(
    latent: Annotated[
        list[int] | None, typer.Option(help="Latent sizes of random models to measure; by default 32 and 128.")
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(help="Measure this .onnx or .plan file or built-in model; by default random ones."),
    ] = None,
    device: Devices = None,
    precision: Annotated[list[str] | None, typer.Option(help="auto, f32, bf16, f16 or int8; auto by default.")] = None,
    lanes: Lanes = None,
    batch: Batch = None,
    patterns: Annotated[int, typer.Option(help="480×480 patterns in the scan (0.46 MB each).")] = 1536,
    repeats: Repeats = 5,
    out: Out = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure encoding of 480×480 patterns, end to end and part by part.

    --latent, --engine, --device and --precision may be repeated; every combination is measured, in turns.
    Random models have a peer: the same network in PyTorch float32, fed by kikuchipy's background removal,
    binning and rescaling. Nothing else should run meanwhile.
    """
    from microrun.cli.bench import models
    from microrun.cli.bench.encode import list_doubts, measure_encode, write_scan
    from microrun.runtime.maps.compared_models import check_alike

    if latent and engine:
        raise MicrorunError("expected --latent for random models or --engine for given ones; got both")
    _check_out(out, overwrite)
    asks = models.parse_asks(device or ["auto"], precision or ["auto"], lanes, batch)
    sizes = () if engine else latent or LATENT_SIZES
    if sizes:
        models.check_latent_sizes(sizes)
    with _workplace("writing a scan") as (folder, held, rename):
        given = [models.given_encoder(name) for name in engine or ()]
        scan = write_scan(folder, patterns)
        measured = given + [models.random_encoder(size, folder) for size in sizes]
        subjects, refused = _watch(models.open_models(measured, asks, open_engine, held), rename)
        check_alike([subject.engine for subject in subjects])
        for warning in (*refused, *list_doubts(scan, subjects)):
            console.warning_line(warning)
        machine, *tables = _watch(measure_encode(scan, subjects, repeats), rename)
    _report("480×480 uint16 patterns", out, [machine], tables)


@app.command()
def latency(
    engine: Annotated[
        str, typer.Option(help="A .plan or .onnx file, or the name of a built-in model.")
    ] = DEFAULT_ENGINE,
    device: Annotated[Device, typer.Option(help="Where to run.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="What to compute in; auto is the fastest.")] = "auto",
    runs: Annotated[int, typer.Option(min=1, help="Patterns of every measurement.")] = 500,
    rate: Annotated[float, typer.Option(min=1, help="Patterns per second of the camera.")] = 118,
    out: Out = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure how long one 480×480 pattern takes, for programs that wait for its latents.

    The engine has one lane and a batch of one. Measured are preprocessing and the engine alone, and a stream
    from the camera's push to the latents, as a program that embeds microrun sees it.
    """
    from microrun.cli.bench.latency import DELIVERED, measure_latency
    from microrun.cli.bench.machine import machine_table
    from microrun.cli.bench.models import engine_table

    _check_out(out, overwrite)
    with open_engine(engine, device, EngineRequest(precision, 1, 1)) as opened:
        opened_as = engine_table(engine, opened.info)
        with console.step(f"{runs} patterns, those of the stream at {rate:g}/s"):
            tables = measure_latency(opened, runs, rate)
    if tables[-1][DELIVERED] < KEEPS_UP * rate:
        console.warning_line(
            f"the stream delivers {tables[-1][DELIVERED]:,.0f} patterns/s, less than {rate:g}/s: patterns wait "
            "for one another; with more lanes and larger batches it is faster, see `microrun bench encode`"
        )
    _report("one 480×480 uint16 pattern", out, [machine_table(), opened_as], tables)


@app.command()
def serve(
    engine: Annotated[
        str, typer.Option(help="A .plan or .onnx file, or the name of a built-in model.")
    ] = DEFAULT_ENGINE,
    device: Annotated[Device, typer.Option(help="Where to run.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="What to compute in; auto is the fastest.")] = "auto",
    batch: Batch = None,
    patterns: Annotated[int, typer.Option(min=1, help="480×480 patterns that are pushed at full speed.")] = 2000,
    runs: Annotated[int, typer.Option(min=1, help="Patterns that are pushed at the camera's rate.")] = 500,
    rate: Annotated[float, typer.Option(min=1, help="Patterns per second of the camera.")] = 118,
    out: Out = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure pushing 480×480 patterns to `microrun serve`, against pushing them within the process.

    The service is a process of its own; patterns go through shared memory. Times are from the push to the latents in
    the hands of the program that pushed. Nothing else should run meanwhile.
    """
    from microrun.cli.bench.machine import machine_table
    from microrun.cli.bench.models import engine_table
    from microrun.cli.bench.serve import compare, measure_in_process, measure_service, started_service, tell_queue

    _check_out(out, overwrite)
    with _workplace("pushing in the process") as (folder, _, rename):
        with open_engine(engine, device, EngineRequest(precision, None, batch)) as opened:
            opened_as = engine_table(engine, opened.info)
            direct = measure_in_process(opened, patterns, runs, rate)
        rename("pushing to the service")
        options = ["--engine", engine, "--device", device, "--precision", precision]
        options += [] if batch is None else ["--batch", str(batch)]
        with started_service(folder, options) as token_file:
            served = measure_service(token_file, patterns, runs, rate)
    compare(served, direct)
    title = f"480×480 uint16 patterns; p50, p99: from push to latents, at {rate:g} patterns/s"
    _report(title, out, [machine_table(), opened_as], [direct, served])
    if queue := tell_queue(rate, direct, served):
        console.warning_line(queue)


@app.command()
def segment(
    size: Annotated[
        list[int] | None, typer.Option(min=2, help="Voxels along each side of the volumes; by default 64, 128 and 256.")
    ] = None,
    large: Annotated[
        bool, typer.Option("--large", help="Also give scikit-learn 128³: half a minute, and 1 GB of memory.")
    ] = False,
    stl: Annotated[Path | None, typer.Option(help="Voxelise this part; by default a sphere of 50,000 faces.")] = None,
    part_size: Annotated[int, typer.Option(min=2, help="Voxels along the part's longest side.")] = 256,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the segmentation; by default one a core.")
    ] = None,
    repeats: Repeats = 5,
    out: Out = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure segmentation into grains, voxelisation of parts, and tilings, against the usual libraries.

    Volumes are Voronoi cells with noise, segmented as by scikit-learn's DBSCAN, whose labels must come out the same;
    "of memory" is the share of the speed at which values could be read and labels written once. Parts are
    voxelised by trimesh and VTK, too. Nothing else should run meanwhile.
    """
    from microrun.cli.bench import segment as grains
    from microrun.cli.bench import voxelise

    _check_out(out, overwrite)
    name, triangles = voxelise.load_part(stl)
    for line in grains.list_missing():
        console.warning_line(line)
    with console.step("memory") as rename:
        machine = grains.measure_host(threads or count_cores(), repeats)
        largest = grains.LARGE if large else grains.ALWAYS
        volumes = _watch(grains.measure_segmentation(size or grains.SIZES, machine, repeats, largest), rename)
        parts = _watch(voxelise.measure_voxelisation(name, triangles, part_size, repeats), rename)
        tiled = grains.measure_tiling(grains.TILED, repeats)
    _report("volumes", out, [machine], volumes, parts, [tiled])


@app.command()
def generate(
    engine: Annotated[
        list[str] | None, typer.Option(help="Measure this .onnx file or built-in denoiser; by default random weights.")
    ] = None,
    device: Devices = None,
    precision: Annotated[list[str] | None, typer.Option(help="auto, f32, bf16 or f16; auto by default.")] = None,
    lanes: Lanes = None,
    batch: Batch = None,
    size: Annotated[
        int, typer.Option(help="Voxels along each side of the volume whose evaluations are counted.")
    ] = 128,
    repeats: Repeats = 3,
    out: Out = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure evaluations of denoisers against GrainPaint's networks, and count those that volumes take.

    --engine, --device and --precision may be repeated; every combination is measured, in turns. GrainPaint's
    networks run in PyTorch float32. Nothing else should run meanwhile.
    """
    from microrun.cli.bench import models
    from microrun.cli.bench.generate import contend, count_evaluations, measure_networks, open_peers
    from microrun.cli.bench.machine import machine_table
    from microrun.runtime.generation.effort import check_block
    from microrun.runtime.generation.recipe import PRESETS, presets_of

    _check_out(out, overwrite)
    asks = models.parse_asks(device or ["auto"], precision or ["auto"], lanes, batch)
    with _workplace("opening") as (folder, held, rename):
        measured = [models.given_model(name) for name in engine or ()] or [models.random_denoiser(folder)]
        subjects, refused = _watch(models.open_models(measured, asks, open_denoiser, held), rename)
        for subject in subjects:
            check_block(subject.engine.spec)
        diffusion = subjects[0].engine.diffusion
        presets = {name: sampling for name, sampling in presets_of(diffusion).items() if name in PRESETS}
        volumes = count_evaluations(size, presets, diffusion.schedule)
        peers, left_out = open_peers(subject.engine.info.device for subject in subjects)
        for warning in (*refused, *left_out):
            console.warning_line(warning)
        networks = _watch(measure_networks(list(map(contend, subjects)), peers, repeats), rename)
    _report("blocks of 32³", out, [machine_table()], networks, volumes)


@app.command()
def solidify(
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; by default one a core.")] = None,
    repeats: Repeats = 5,
    out: Out = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure the phase field of solidification against the paper's equations in NumPy, on the same box.

    All cells of the box are hot, with 20 order parameters each; both come to the same values, or the measurement
    ends. "of memory" is the share of the speed at which order parameters could be read and written once. Nothing
    else should run meanwhile.
    """
    from microrun.cli.bench.solidify import measure_solidification

    _check_out(out, overwrite)
    with console.step("memory") as rename:
        machine, *tables = _watch(measure_solidification(threads or count_cores(), repeats), rename)
    _report("solidification", out, [machine], tables)


@contextmanager
def _workplace(doing: str) -> Iterator[tuple[Path, ExitStack, console.Rename]]:
    """A folder, what closes engines before it is removed, and a line that says what is being done."""
    with (
        TemporaryDirectory(prefix="microrun-bench-") as folder,
        ExitStack() as held,
        console.step(doing) as rename,
    ):
        yield Path(folder), held, rename


def _watch(job: Job[Result], rename: console.Rename) -> Result:
    return console.watch(job, lambda done, total, note="": rename(f"{note} ({done} of {total} done)"))


def _check_out(out: Path | None, overwrite: bool) -> None:
    """Minutes of measuring must not be lost to a name."""
    if out:
        check_file(out, overwrite, endings=[".json"])


def _report(heading: str, out: Path | None, *groups: list[Table]) -> None:
    """Print groups of tables, each side by side, and write all of them where that is asked for."""
    from microrun.cli.bench.measurement import print_tables, write_tables

    console.results.print(heading, style="bold")
    for tables in groups:
        print_tables(tables)
    if out:
        write_tables(out, [table for tables in groups for table in tables])
