"""`microrun train diffusion`."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microrun.cli.train.runs import check_run, joined, only_run, start_denoiser, train_denoiser
from microrun.runtime.errors import MicrorunError
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Training

if TYPE_CHECKING:
    from microrun.training.diffusion.config import DiffusionConfig
    from microrun.training.diffusion.trainer import DiffusionTrainer
    from microrun.training.loop.distributed import Processes


def diffusion(
    data: Annotated[list[Path], typer.Argument(help="Volumes (.h5) of `microrun simulate potts` or `am`.")],
    folder: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("diffusion-run"),
    steps: Annotated[
        int | None, typer.Option(help="Of the whole run.", show_default="100000, or what fits into --hours")
    ] = None,
    hours: Annotated[float, typer.Option(help="Stop after this long; --resume goes on.")] = math.inf,
    batch: Annotated[int | None, typer.Option(help="Blocks per step, of all GPUs together.", show_default="8")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of Adam.", show_default="0.0005")] = None,
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
    seed: Annotated[int | None, typer.Option(help="Of weights, blocks and noise.", show_default="0")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --folder, with its settings.")
    ] = False,
) -> None:
    """Train a denoiser that grows grains in blocks of 32³ voxels.

    The last volume is held out. Leaves checkpoint.safetensors, metrics.csv
    and loss.png in the run's folder. The state is saved with every report,
    and --resume goes on from there: on a CPU exactly, on a card up to rounding.

    With --hours and without --steps, the speed is measured first, and as
    many steps are taken as fit.

    Several GPUs: torchrun --nproc-per-node 2 -m microrun.cli.main train diffusion …
    """
    asked = {
        "steps": steps,
        "batch": batch,
        "learning_rate": learning_rate,
        "schedule": _schedule(prediction) if prediction else None,
        "labels": labels,
        "n_colours": colours,
        "seed": seed,
    }
    settings = {name: value for name, value in asked.items() if value is not None}
    check_run(folder, hours, resume)
    with joined(folder) as processes:
        _run(data, folder, settings, hours, processes)


def _schedule(prediction: str) -> Schedule:
    from microrun.training.diffusion.config import GRAIN_SCHEDULE

    changed = {"prediction": prediction, "zero_terminal_snr": prediction != "eps"}
    return Schedule.from_dict({**GRAIN_SCHEDULE.to_dict(), **changed})


def _run(data: list[Path], folder: Path, settings: dict[str, Any], hours: float, processes: Processes) -> None:
    from microrun.training.diffusion.config import DiffusionConfig
    from microrun.training.diffusion.trainer import DiffusionTrainer
    from microrun.training.simulate.volumes import read_volumes

    started = (folder / "state.pt").exists()
    base = DiffusionConfig.load(folder / "config.json") if started else DiffusionConfig()
    try:
        config = _configure(base, settings)
    except ValueError as error:
        raise MicrorunError(str(error)) from None
    volumes = [volume for path in data for volume in read_volumes(path)]
    source = Training(data=", ".join(path.name for path in data), licence="that of the volumes")

    def make(chosen: DiffusionConfig) -> DiffusionTrainer:
        return DiffusionTrainer(chosen, volumes, folder, source, processes)

    folder.mkdir(parents=True, exist_ok=True)
    with only_run(folder) if processes.leads else contextlib.nullcontext():
        trainer = start_denoiser(config, folder, make, hours, "steps" not in settings)
        train_denoiser(trainer, config.batch, hours, "block")


def _configure(base: DiffusionConfig, settings: dict[str, Any]) -> DiffusionConfig:
    """Settings with the network, and the kind of prediction, that their labels need."""
    from microrun.training.diffusion.blocks import BlockSettings

    labels, colours = settings.get("labels", base.labels), settings.get("n_colours", base.n_colours)
    channels = BlockSettings(labels=labels, n_colours=colours).channels
    unet = replace(base.unet, in_channels=channels, out_channels=channels)
    schedule = base.schedule if labels == "bits" or base.schedule.prediction != "bits" else _schedule("v")
    return replace(base, **{"unet": unet, "schedule": schedule, **settings})
