"""`microrun bench`."""

from __future__ import annotations

import dataclasses
import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from microrun.cli import _console
from microrun.runtime.engine import DEFAULT_ENGINE, Device, EngineRequest, Precision, count_cores, open_engine
from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.output import write_text

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
    from microrun.cli import _bench_encode as measure
    from microrun.cli import _bench_engines as engines
    from microrun.cli._bench_tables import print_encode

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
        _console.err.status("writing a scan") as status,
    ):
        given = [engines.GivenModel(name) for name in engine or ()]
        scan = measure.write_scan(Path(folder), patterns)
        models: list[engines.Model] = [*given, *(engines.RandomModel(size, scan.path.parent) for size in sizes)]
        subjects, refused = engines.open_subjects(models, wanted, held, status.update)
        for warning in (*refused, *measure.list_doubts(scan, subjects)):
            _console.warning_line(warning)
        machine, results = measure.measure_encode(scan, subjects, repeats, status.update)
    print_encode(machine, results)
    _write(out, {"machine": dataclasses.asdict(machine), "encode": [dataclasses.asdict(result) for result in results]})


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
    from microrun.cli._bench_latency import measure_latency
    from microrun.cli._bench_machine import cpu_name
    from microrun.cli._bench_tables import print_latency

    _check_out(out)
    with open_engine(engine, device, EngineRequest(precision, 1, 1)) as opened:
        info = opened.info
        with _console.err.status(f"{runs} patterns, those of the stream at {rate:g}/s"):
            found = measure_latency(opened, runs, rate)
    machine = {"cpu": cpu_name(), "cores": count_cores()}
    opened_as = {name: getattr(info, name) for name in ("device", "precision", "library", "sha256")}
    _console.out.print(f"[bold]{engine}, {info.precision} on {info.device}[/]: {info.library}, 1 lane of 1")
    _console.out.print("{cpu}, {cores} cores".format(**machine))
    print_latency(found)
    if found.delivered_patterns_s < KEEPS_UP * rate:
        _console.warning_line(
            f"the stream delivers {found.delivered_patterns_s:,.0f} patterns/s, less than {rate:g}/s: patterns wait "
            "for one another; with more lanes and larger batches it is faster, see `microrun bench encode`"
        )
    _write(out, {"machine": machine, "engine": {"name": engine, **opened_as}, "latency": dataclasses.asdict(found)})


def _check_out(out: Path | None) -> None:
    """Minutes of measuring must not be lost to a name."""
    if out and (out.is_dir() or not out.parent.is_dir()):
        raise OutputError(f"{out}: expected a file's name in a folder that exists")


def _write(out: Path | None, numbers: dict[str, Any]) -> None:
    if out:
        write_text(out, json.dumps(numbers, indent=1) + "\n")
        _console.out.print(f"wrote {out}")
