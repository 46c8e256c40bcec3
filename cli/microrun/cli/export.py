"""`microrun export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from microrun.cli import console
from microrun.cli.model_words import describe_deviation
from microrun.cli.outputs import OverwriteOption, say_next
from microrun.cli.scan_name import ScanNameOption
from microrun.runtime.engines.nvidia.build_plan import DEFAULT_BATCHES, BuildRequest
from microrun.runtime.engines.nvidia.tensorrt_library import TITLES
from microrun.runtime.errors import EngineError
from microrun.runtime.files.destination import check_files
from microrun.runtime.files.quoting import quoted
from microrun.runtime.scans.open import open_scan
from microrun.runtime.scans.up2 import PIXEL_TYPES

if TYPE_CHECKING:
    from microrun.export.calibration import QuantiseRequest
    from microrun.export.export import Made

Source = Annotated[Path, typer.Argument(help="A checkpoint, an .onnx file, or the name of a built-in model.")]
Target = Annotated[Literal["onnx", "tensorrt", "tensorrt_rtx"], typer.Option(help="What to make.")]
Out = Annotated[Path | None, typer.Option(help="NAME.onnx or NAME.plan; by default beside the source.")]
Precision = Annotated[
    Literal["f32", "f16", "int8"] | None,
    typer.Option(help="Of weights; by default an .onnx file's own, of a checkpoint f32 (plans, denoisers: f16)."),
]
Calibrate = Annotated[Path | None, typer.Option(help="Scan to calibrate int8 on.")]
HeldOut = Annotated[
    Path | None, typer.Option(help="Scan to judge int8 on; by default the other half of the one calibrated on.")
]
Background = Annotated[str, typer.Option(help="Of these scans: auto (their mean), none, or a .npy/.up1/.up2 file.")]
Batch = Annotated[
    int | None,
    typer.Option(
        help="Largest batch of a plan, and the one it is fastest at.",
        show_default=f"{DEFAULT_BATCHES['encoder']}, of denoisers {DEFAULT_BATCHES['denoiser']}",
    ),
]
ComputeCapability = Annotated[
    list[str] | None,
    typer.Option(help="TensorRT-RTX: build for these cards only, such as 7.5 for Turing; by default all RTX cards."),
]
Workspace = Annotated[
    int | None, typer.Option(help="Scratch memory of the card that a layer may use, in MB; by default all there is.")
]
TimingCache = Annotated[Path | None, typer.Option(help="File that keeps timings between builds.")]
VersionCompatible = Annotated[
    bool, typer.Option("--version-compatible", help="TensorRT: a plan that newer versions run as well.")
]
HardwareCompatible = Annotated[
    bool, typer.Option("--hardware-compatible", help="TensorRT: a plan for all cards from Ampere on.")
]


def export(
    source: Source,
    to: Target = "onnx",
    out: Out = None,
    precision: Precision = None,
    calibrate: Calibrate = None,
    held_out: HeldOut = None,
    background: Background = "auto",
    scan_name: ScanNameOption = None,
    batch: Batch = None,
    compute_capability: ComputeCapability = None,
    workspace: Workspace = None,
    timing_cache: TimingCache = None,
    version_compatible: VersionCompatible = False,
    hardware_compatible: HardwareCompatible = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Export a model to ONNX or to TensorRT plans, and compare every file with what it was made from.

    The decoder goes into NAME.decoder.onnx or NAME.decoder.plan. Where the results differ too much, nothing is
    written. TensorRT builds for the card in this machine; TensorRT-RTX builds for all RTX cards, also on machines
    without one.
    """
    targets = tuple(compute_capability or ())
    if to == "onnx":
        if any((batch, targets, workspace, timing_cache, version_compatible, hardware_compatible)):
            raise EngineError("options of plans need --to tensorrt or tensorrt_rtx")
        build = None
    else:
        build = BuildRequest(to, batch, targets, workspace, timing_cache, version_compatible, hardware_compatible)
    from microrun.export.export import ExportRequest
    from microrun.export.export import export as export_model

    target = out or _default_out(source, to, precision)
    if target != source:
        check_files([target, _decoder_of(target)], overwrite, endings=[".onnx" if to == "onnx" else ".plan"])
    calibration = _calibration(calibrate, held_out, background, scan_name)
    request = ExportRequest(source, target, precision, calibration, build, overwrite)
    with console.progress_bar("exporting", "steps") as bar:
        made = console.watch(export_model(request), bar)
    for one in made:
        _print(one)
    say_next("inspect", target)


def _default_out(source: Path, to: str, precision: str | None) -> Path:
    name = source.stem if source.suffix in (".safetensors", ".onnx") else source.name
    middle = ".int8" if precision == "int8" else ""
    return source.with_name(name + middle + (".onnx" if to == "onnx" else ".plan"))


def _decoder_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}.decoder{path.suffix}")


def _calibration(
    scan: Path | None, held_out: Path | None, background: str, scan_name: str | None
) -> QuantiseRequest | None:
    if scan is None:
        if held_out or background != "auto" or scan_name:
            options = "--held-out, --background and --scan-name"
            raise EngineError(f"{options} are for int8: give --precision int8 and --calibrate SCAN")
        return None
    from microrun.export.calibration import QuantiseRequest

    source = open_scan(scan, scan_name=scan_name)
    if held_out is None:
        return QuantiseRequest(source, None, background)
    named = held_out.suffix.lower() not in PIXEL_TYPES  # of UP files, none has a name
    return QuantiseRequest(source, open_scan(held_out, scan_name=scan_name if named else None), background)


def _print(made: Made) -> None:
    size = console.size_text(made.path.stat().st_size)
    spec, record = made.spec, made.record
    if record is None:
        console.out.print(f"wrote    {quoted(made.path)} ({size}); {describe_deviation(spec.parity_error)}")
    else:
        cards = ", ".join(record.compute_capabilities)
        console.out.print(
            f"wrote    {quoted(made.path)} ({size}) and its .json: {spec.precision}, {TITLES[record.library]} "
            f"{record.version}, compute capability {cards}, built in {record.build_s:.1f} s"
        )
        compared = (
            "not compared yet: no card here runs it; it is compared whenever it is opened"
            if record.parity_error is None
            else describe_deviation(record.parity_error, "the ONNX model")
        )
        console.out.print(f"      {compared}")
    if spec.quantisation and spec.kind == "encoder":
        cost = spec.quantisation
        console.out.print(
            f"      int8 on {cost.held_out_patterns:,} patterns that it was not calibrated on: latents change by "
            f"{100 * cost.latent_error:.1f} % of their spread, features rank alike to {cost.rank_correlation:.3f}, "
            f"{cost.top_kept} of the {min(5, spec.latent_size)} best stay"
        )
