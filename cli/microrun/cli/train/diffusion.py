"""`microrun train diffusion`."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microrun.cli.train.runs import check_run, joined, only_run, start_denoiser, train_denoiser
from microrun.runtime.engines.catalogue import MODELS, find_model, is_built_in
from microrun.runtime.errors import MicrorunError
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Training

if TYPE_CHECKING:
    from microrun.training.diffusion.config import DiffusionConfig
    from microrun.training.diffusion.start import Start
    from microrun.training.diffusion.trainer import DiffusionTrainer
    from microrun.training.loop.distributed import Processes
    from microrun.training.simulate.volumes import SimulatedVolume


@dataclass(frozen=True)
class Request:
    """What a run is asked for: ``settings`` are those of a `DiffusionConfig` that were given."""

    data: list[Path]
    folder: Path
    settings: dict[str, Any]
    start: Path | None
    hours: float
    size_input: bool


def diffusion(
    data: Annotated[list[Path], typer.Argument(help="Volumes (.h5) of `microrun simulate potts` or `am`.")],
    folder: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("diffusion-run"),
    steps: Annotated[
        int | None, typer.Option(help="Of the whole run.", show_default="100000, or what fits into --hours")
    ] = None,
    hours: Annotated[float, typer.Option(help="Stop after this long; --resume goes on.")] = math.inf,
    batch: Annotated[int | None, typer.Option(help="Blocks per step, of all GPUs together.", show_default="8")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of Adam.", show_default="0.0005, or 0.0002 with --from")
    ] = None,
    prediction: Annotated[
        str | None,
        typer.Option(
            help="bits or v, whose noise ends pure, or eps, the noise as GrainPaint's.", show_default="bits, else v"
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="bits of colours, colours as single values, or ids as GrainPaint's.", show_default="bits"),
    ] = None,
    colours: Annotated[int | None, typer.Option(help="Colours that grains have.", show_default="128")] = None,
    known_inputs: Annotated[
        bool | None,
        typer.Option(
            "--known-inputs", help="It sees what is known of a block, and grows without RePaint.", show_default=False
        ),
    ] = None,
    size_input: Annotated[
        bool | None,
        typer.Option(
            "--size-input",
            help="It is told the mean diameter of the grains: give volumes grown for several times, a file for each.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="Run, checkpoint, .onnx file or built-in model to begin from.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, blocks and noise.", show_default="0")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --folder, with its settings.")
    ] = False,
) -> None:
    """Train a denoiser that grows grains in blocks of 32³ voxels.

    The last volume is held out; with --size-input, the last of each file.
    Leaves checkpoint.safetensors, metrics.csv
    and loss.png in the run's folder. The state is saved with every report,
    and --resume goes on from there: on a CPU exactly, on a card up to rounding.

    With --hours and without --steps, the speed is measured first, and as
    many steps are taken as fit.

    With --from a model is trained further; with --known-inputs or
    --size-input, too, one that had none gets them, and begins as what it was.

    Several GPUs: torchrun --nproc-per-node 2 -m microrun.cli.main train diffusion …
    """
    asked = {
        "steps": steps,
        "batch": batch,
        "learning_rate": learning_rate,
        "schedule": _schedule(prediction) if prediction else None,
        "labels": labels,
        "n_colours": colours,
        "known_inputs": known_inputs,
        "seed": seed,
    }
    settings = {name: value for name, value in asked.items() if value is not None}
    check_run(folder, hours, resume)
    with joined(folder) as processes:
        _run(Request(data, folder, settings, start, hours, bool(size_input)), processes)


def _schedule(prediction: str) -> Schedule:
    from microrun.training.diffusion.config import GRAIN_SCHEDULE

    changed = {"prediction": prediction, "zero_terminal_snr": prediction != "eps"}
    return Schedule.from_dict({**GRAIN_SCHEDULE.to_dict(), **changed})


def _run(request: Request, processes: Processes) -> None:
    from microrun.training.diffusion.config import DiffusionConfig
    from microrun.training.diffusion.trainer import DiffusionTrainer
    from microrun.training.simulate.volumes import read_volumes

    folder, first = request.folder, None if request.start is None else _read_start(request.start)
    files = [read_volumes(path) for path in request.data]
    volumes, settings = [volume for file in files for volume in file], request.settings
    started = (folder / "state.pt").exists()
    base = DiffusionConfig.load(folder / "config.json") if started else DiffusionConfig()
    try:
        if first is not None:
            base = replace(base, **({"begun_from": first.origin} if started else _brought(first)))
        if request.size_input or base.grain_voxels is not None:
            volumes, held = _hold_out(files)
            settings = {**settings, "held_out": held, "grain_voxels": base.grain_voxels or _window(volumes)}
        config = _configure(base, settings)
    except ValueError as error:
        raise MicrorunError(str(error)) from None
    source = Training(data=", ".join(path.name for path in request.data), licence="that of the volumes")

    def make(chosen: DiffusionConfig) -> DiffusionTrainer:
        return DiffusionTrainer(chosen, volumes, folder, source, processes, first)

    folder.mkdir(parents=True, exist_ok=True)
    with only_run(folder) if processes.leads else contextlib.nullcontext():
        trainer = start_denoiser(config, folder, make, request.hours, "steps" not in settings)
        train_denoiser(trainer, config.batch, request.hours, "block")


def _hold_out(files: list[list[SimulatedVolume]]) -> tuple[list[SimulatedVolume], int]:
    """All volumes, those that are held out at the end, one of each file, and their number."""
    if min(map(len, files)) < 2:
        raise MicrorunError("--size-input holds the last volume of each file out; give files of 2 volumes or more")
    return [volume for file in files for volume in file[:-1]] + [file[-1] for file in files], len(files)


def _window(volumes: list[SimulatedVolume]) -> tuple[float, float]:
    """Mean diameters of the grains of volumes, in voxels, from the least to the largest, a little wider."""
    from microrun.training.simulate.volumes import mean_grain_voxels

    sizes = [size for volume in volumes if (size := mean_grain_voxels([volume])) is not None]
    if len(sizes) < len(volumes):
        raise MicrorunError("--size-input needs volumes with grains that no face cuts; simulate larger ones")
    return math.floor(10 * min(sizes)) / 10, math.ceil(10 * max(sizes)) / 10


def _read_start(path: Path) -> Start:
    """A denoiser to begin from; of one that ships without a checkpoint its .onnx file."""
    from microrun.export.denoiser_from_onnx import read_denoiser
    from microrun.training.diffusion.start import Start, read_start
    from microrun.training.diffusion.unet_config import GRAIN_UNET

    ships_alone = not path.exists() and is_built_in(path) and not (MODELS / f"{path}.safetensors").is_file()
    if path.suffix != ".onnx" and not ships_alone:
        return read_start(path)
    file = find_model(path)
    return Start(file, *read_denoiser(file, GRAIN_UNET))


def _configure(base: DiffusionConfig, settings: dict[str, Any]) -> DiffusionConfig:
    """Settings with the network, and the kind of prediction, that their labels need."""
    from microrun.training.diffusion.blocks import BlockSettings
    from microrun.training.diffusion.unet_config import entering_channels

    labels, colours = settings.get("labels", base.labels), settings.get("n_colours", base.n_colours)
    channels = BlockSettings(labels=labels, n_colours=colours).channels
    entering = entering_channels(channels, settings.get("known_inputs", base.known_inputs))
    told = int(settings.get("grain_voxels", base.grain_voxels) is not None)
    unet = replace(base.unet, in_channels=entering, out_channels=channels, condition_size=told)
    schedule = base.schedule if labels == "bits" or base.schedule.prediction != "bits" else _schedule("v")
    return replace(base, **{"unet": unet, "schedule": schedule, **settings})


def _brought(start: Start) -> dict[str, Any]:
    """What a model to begin from brings along."""
    from microrun.training.diffusion.start import FINE_TUNING_RATE

    diffusion = start.diffusion
    if not diffusion.n_colours or len(set(diffusion.sides)) != 1 or len(diffusion.sides) != 3:
        raise MicrorunError(f"{start.path}: is no denoiser of blocks in colours; begin from another model")
    return {
        "unet": start.unet.config, "schedule": diffusion.schedule, "n_colours": diffusion.n_colours,
        "labels": "bits" if diffusion.sample_shape[0] > 1 else "colours", "side": diffusion.sides[0],
        "known_inputs": diffusion.known_inputs, "learning_rate": FINE_TUNING_RATE, "begun_from": start.origin,
        "grain_voxels": next(((size.low, size.high) for size in diffusion.conditions), None),
    }  # fmt: skip
