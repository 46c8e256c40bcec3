"""`microrun encode`."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from microrun.cli import console
from microrun.cli.alarms import Alarms
from microrun.cli.interrupts import SIGNALS, is_first
from microrun.cli.outputs import OverwriteOption, command_line, say_next, say_wrote
from microrun.cli.pattern_centre import parse_centre
from microrun.cli.region import RegionOption, asked_region
from microrun.cli.scan_name import ScanNameOption
from microrun.cli.view import show_beside
from microrun.runtime.encoding.encode_scan import EncodeRun, check_destination, encode_scan
from microrun.runtime.encoding.meter import Statistics
from microrun.runtime.encoding.request import BadPixels, EncodeRequest
from microrun.runtime.engines.catalogue import DEFAULT_ENGINE, MODELS
from microrun.runtime.engines.engine import Device, Engine, EngineRequest, Precision
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import MicrorunError, RefusedOutputError, ScanError
from microrun.runtime.files.destination import made_folder
from microrun.runtime.files.quoting import quoted
from microrun.runtime.files.shared_reading import warn_if_remote
from microrun.runtime.files.stems import stem_of
from microrun.runtime.scans.following_source import FollowingSource
from microrun.runtime.scans.open import ScanFile, whole_of
from microrun.runtime.scans.part_source import PartSource
from microrun.runtime.scans.picture_source import PictureSource
from microrun.runtime.scans.scan import parse_grid

SUFFIX = ".latents.h5"
ModelName = Annotated[str, typer.Option(help="A .plan or .onnx file, or the name of a built-in model.")]
BuildFirst = Annotated[
    bool, typer.Option("--build", help="Build a TensorRT plan of the .onnx file for this card first, and keep it.")
]


def encode(
    scans: Annotated[
        list[Path],
        typer.Argument(help="A .up1 or .up2 file, a folder of pictures, or another vendor's file; or several of them."),
    ],
    engine: ModelName = DEFAULT_ENGINE,
    build: BuildFirst = False,
    out: Annotated[Path | None, typer.Option(help="The latents file, .h5; by default SCAN.latents.h5.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder for the latents files; by default that of each scan.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on while the scan is being acquired.")] = False,
    grid: Annotated[str | None, typer.Option(help="ROWSxCOLS; by default as the file states.")] = None,
    step: Annotated[float | None, typer.Option(help="Step along rows in µm; by default as the file states.")] = None,
    scan_name: ScanNameOption = None,
    region: RegionOption = None,
    every: Annotated[
        int | None, typer.Option(min=1, help="Every so many of the rows and columns, for a quick look; by default all.")
    ] = None,
    background: Annotated[
        str,
        typer.Option(
            help="auto (mean of the scan; running with --follow), running, none, or a file: .npy, .tif, .up2."
        ),
    ] = "auto",
    device: Annotated[Device, typer.Option(help="Where to run.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="What to compute in; auto is the fastest.")] = "auto",
    lanes: Annotated[int | None, typer.Option(help="Parallel workers; by default what suits the engine.")] = None,
    batch: Annotated[int | None, typer.Option(help="Patterns per run of the engine; by default what suits it.")] = None,
    bad_pixels: Annotated[
        BadPixels, typer.Option(help="Fill pixels that are dead, hot or stuck over the scan, or keep them.")
    ] = "fill",
    scale_background: Annotated[
        bool | None,
        typer.Option(
            "--scale-background/--keep-background",
            help="Bring each pattern to the brightness of the background before it is subtracted, as where the beam "
            "current drifts; by default what the model was trained with.",
        ),
    ] = None,
    pc: Annotated[
        str | None,
        typer.Option(
            help="Pattern centre X,Y,Z of the scan in EDAX's convention: warp its patterns to the one that the model "
            "knows, where that is another; decode warps back."
        ),
    ] = None,
    invert: Annotated[
        bool | None,
        typer.Option("--invert/--keep-polarity", help="Bands are dark: turn patterns about, as the model knows them."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    view: Annotated[bool, typer.Option("--view", help="Show the latents in the browser, live.")] = False,
    idle_timeout: Annotated[float, typer.Option(min=0, help="Seconds without new patterns that end --follow.")] = 60.0,
    latents_type: Annotated[
        Literal["float32", "float16"], typer.Option(help="Pixel type of the stored latents.")
    ] = "float32",
    overwrite: OverwriteOption = False,
) -> None:
    """Encode a scan's patterns into latents.

    The latents file can be read while it is written (`microrun maps` does), and stays valid whatever
    happens; --resume goes on where an interrupted run ended.

    With --overwrite the old file stays until the new one is complete, and for good if the run is interrupted; with
    --follow it is replaced as soon as the first pattern is there, so that the new latents can be looked at.
    """
    outs = _name_latents(scans, out, folder)
    asked = EncodeRequest(
        scan=scans[0],
        out=outs[0],
        follow=follow,
        grid=parse_grid(grid) if grid else None,
        step_um=step,
        background=background,
        resume=resume,
        idle_timeout_s=idle_timeout,
        dtype=latents_type,
        scan_name=scan_name,
        bad_pixels=bad_pixels,
        scale_background=scale_background,
        pattern_centre=None if pc is None else parse_centre(pc),
        invert=invert,
        overwrite=overwrite,
        region=asked_region(region),
        every=every,
    )
    requests = [replace(asked, scan=one, out=latents) for one, latents in zip(scans, outs, strict=True)]
    with made_folder(outs[0].parent) if folder else nullcontext():
        _check(requests)
        with _open(engine, device, EngineRequest(precision, lanes, batch, build)) as opened:
            console.out.print(f"engine   {opened.info}")
            _run_all(requests, opened, view)
    say_next("maps", outs[0])


def _name_latents(scans: list[Path], out: Path | None, folder: Path | None) -> list[Path]:
    """Where the latents of each scan go."""
    if out and (folder or len(scans) > 1):
        raise RefusedOutputError(f"{out}: --out names the latents of one scan; for several name a folder, --folder DIR")
    if out:
        return [out]
    outs = [(folder or scan.parent) / (stem_of(scan) + SUFFIX) for scan in scans]
    twice = next((one for number, one in enumerate(outs) if one in outs[:number]), None)
    if twice:
        raise RefusedOutputError(f"{twice}: would be written for two of the scans; encode them to two folders")
    return outs


def _check(requests: list[EncodeRequest]) -> None:
    """Refuse what can be refused before minutes of building a plan."""
    if len(requests) > 1 and requests[0].follow:
        raise ScanError("one scan can be followed at a time: leave out --follow, or all scans but one")
    for request in requests:
        if not request.scan.exists():
            raise ScanError(f"{request.scan}: no such file")
        check_destination(request)
        warn_if_remote(request.out)


def _run_all(requests: list[EncodeRequest], engine: Engine, view: bool) -> None:
    """Encode one scan after the other; of several, one that cannot be encoded does not stop the rest."""
    failed: list[MicrorunError] = []
    for request in requests:
        if view:
            show_beside(request)
        try:
            run(request, engine)
        except MicrorunError as error:
            if len(requests) == 1:
                raise
            console.error_line(error)
            console.say_origin(error)
            failed.append(error)
    if failed:
        console.error_line(f"{len(failed)} of {len(requests)} scans could not be encoded, as said above")
        raise typer.Exit(failed[0].exit_code)


def _open(engine: str, device: Device, request: EngineRequest) -> Engine:
    with console.step("building a plan, unless it was before" if request.build else "opening the engine"):
        return open_engine(engine, device, request)


def run(request: EncodeRequest, engine: Engine) -> None:
    """Encode with a progress bar and print what was measured."""
    title = "following" if request.follow else "encoding"
    with console.progress_bar(title) as bar, _Interrupt() as interrupt, encode_scan(request, engine) as running:
        interrupt.run = running
        console.out.print(f"scan     {running.source.path.name}: {_describe(running.source)}")
        said = Alarms()
        for now in running:
            bar(now.done, now.total, f"{now.rate:,.0f}/s" + (f"  behind by {now.lag:,}" if request.follow else ""))
            said.say_new(running.alarms)
        said.say_new(running.alarms)  # of the last block, which may be short
    if running.discards:
        console.error_line(f"interrupted; {request.out} is as it was before")
        raise typer.Exit(130)
    _print_summary(request, running.statistics)
    said.say_all(running.alarms)
    if running.familiarity and not running.familiarity.known:
        _warn_unknown(running, request, engine)
    if interrupt.stopped and not request.follow:
        console.error_line("interrupted; go on with --resume")
        raise typer.Exit(130)


def _warn_unknown(running: EncodeRun, request: EncodeRequest, engine: Engine) -> None:
    """One line, with the cure."""
    familiarity = running.familiarity
    assert familiarity is not None
    if familiarity.inverted:
        other = "--keep-polarity" if running.inverted else "--invert"
        medians = f"median {familiarity.turned:.2f} instead of {familiarity.median:.2f}"
        text = f"bands seem to be dark: turned about, {engine.spec.name} knows these patterns ({medians})"
        console.warning_line(f"{text}; encode with {other}")
        return
    cure = command_line("train", "vae", request.scan, "--from", _checkpoint_of(engine))
    console.warning_line(f"these patterns are not like what {engine.spec.name} knows: {familiarity}; {cure}")


def _checkpoint_of(engine: Engine) -> Path | str:
    """What `train vae` goes on from: a built-in model's name, the checkpoint that lies beside the file, or the file."""
    path = engine.info.path
    if path.parent == MODELS:
        return path.stem
    beside = (path.with_suffix(".safetensors"), path.with_name("checkpoint.safetensors"))
    return next((one for one in beside if one.is_file()), path if path.suffix == ".onnx" else "CHECKPOINT")


class _Interrupt:
    """Ctrl-C ends the run and keeps what was encoded."""

    run: EncodeRun | None = None
    stopped = False

    def __enter__(self) -> _Interrupt:
        self._before = {number: signal.signal(number, self._stop) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        if not is_first():
            return
        if self.run is None:
            raise KeyboardInterrupt
        self.run.stop()
        self.stopped = True


def _describe(source: ScanFile) -> str:
    scan, opened = source.scan, whole_of(source)
    rows, cols = scan.nav_shape
    whole = source.available == scan.total and not isinstance(source, FollowingSource)
    state = f"{scan.total:,} patterns" if whole else f"{source.available:,} of {scan.total:,} patterns"
    step = f", step {scan.step_um[0]:g} µm" if scan.step_um[0] else ""
    said = f", {opened.understood}" if isinstance(opened, PictureSource) else ""
    said += f", {source.part}" if isinstance(source, PartSource) else ""
    return f"{rows}×{cols} {scan.grid} map{step}, {state} of {scan.sig_shape[0]}×{scan.sig_shape[1]} {scan.dtype}{said}"


def _print_summary(request: EncodeRequest, statistics: Statistics) -> None:
    if statistics.total == 0:
        console.out.print(f"complete {quoted(request.out)} had all patterns of the scan")
        return
    console.out.print(
        f"encoded  {statistics.done:,} patterns in {statistics.elapsed_s:.1f} s: {statistics.mean_rate:,.0f} per "
        f"second, the first after {statistics.first_s:.2f} s"
    )
    if request.follow:
        lost = f", {statistics.dropped:,} were lost" if statistics.dropped else ""
        console.out.print(
            f"behind   the camera by {statistics.mean_lag:.1f} patterns on average, {statistics.worst_lag:,} at most, "
            f"and by {1000 * statistics.worst_latency_s:.0f} ms at most{lost}"
        )
    say_wrote(request.out)
    if statistics.flagged:
        console.warning_line(
            f"{statistics.flagged:,} patterns are constant after the mask: they carry no information, "
            f"and no mean of the scan takes them in"
        )
    missing = statistics.total - statistics.done
    if missing > 0 and request.follow:
        console.warning_line(f"{missing:,} patterns of the scan are missing; --resume adds them once they are there")
