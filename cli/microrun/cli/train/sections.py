"""`microrun train sections`."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from microrun.cli import console
from microrun.cli.train.runs import check_run, joined, only_run, start_denoiser, train_denoiser
from microrun.runtime.errors import MicrorunError
from microrun.runtime.sections.section_set import Plane, SectionSet, read_sections
from microrun.runtime.spec import Training

if TYPE_CHECKING:
    from microrun.training.diffusion.denoiser_trainer import DenoiserTrainer
    from microrun.training.diffusion.section_config import SectionConfig
    from microrun.training.diffusion.section_trainer import SectionTrainer
    from microrun.training.diffusion.start import Start
    from microrun.training.loop.distributed import Processes

Steps = Annotated[
    int | None, typer.Option(help="Of the whole run, at most.", show_default="20000, or what fits into --hours")
]
Rate = Annotated[float | None, typer.Option(help="Of Adam.", show_default="0.001, or 0.0002 with --from")]
Network = Annotated[Literal["small", "published"] | None, typer.Option(help="Of a new network.", show_default="small")]
Representation = Annotated[
    Literal["codes", "rgb"] | None, typer.Option(help="Orientations as bits, or as IPF colours.", show_default="codes")
]
Embedding = Annotated[
    Literal["perceptron", "fourier"] | None,
    typer.Option(help="How power and speed enter a new network.", show_default="perceptron"),
]
WINDOW = {"show_default": "that of the data, or of --from"}
Power = Annotated[str | None, typer.Option(help="Window of training in W, LOW:HIGH.", **WINDOW)]
Speed = Annotated[str | None, typer.Option(help="Window of training in m/s, LOW:HIGH.", **WINDOW)]
HeldOut = Annotated[int | None, typer.Option(help="Cases to hold out.", show_default="a tenth of them, at least 1")]
Patience = Annotated[
    int | None, typer.Option(help="Stop after so many steps without a lower held-out loss.", show_default="never")
]
From = Annotated[Path | None, typer.Option("--from", help="Run, checkpoint or built-in model to begin from.")]
FineTune = Annotated[
    str | None, typer.Option(help="What of it is trained: all, up, last, or a number of up blocks.", show_default="all")
]
Retain = Annotated[float | None, typer.Option(help="Share of the loss that holds on to its predictions, such as 0.2.")]
Seed = Annotated[int | None, typer.Option(help="Of weights, held-out cases, draws and noise.", show_default="0")]


@dataclass(frozen=True)
class Request:
    """What a run is asked for: ``settings`` are those of a `SectionConfig` that were given."""

    data: Path
    folder: Path
    settings: dict[str, Any]
    start: Path | None
    hours: float


def sections(
    data: Annotated[Path, typer.Argument(help="Sections (.h5) of several cases.")],
    folder: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("sections-run"),
    plane: Annotated[Plane, typer.Option(help="Which sections to learn.")] = "across",
    steps: Steps = None,
    hours: Annotated[
        float, typer.Option(help="Stop after so many hours; --resume goes on.", show_default="no limit")
    ] = math.inf,
    batch: Annotated[int | None, typer.Option(help="Sections per step, of all GPUs.", show_default="16")] = None,
    learning_rate: Rate = None,
    network: Network = None,
    representation: Representation = None,
    embedding: Embedding = None,
    power: Power = None,
    speed: Speed = None,
    held_out_cases: HeldOut = None,
    patience: Patience = None,
    start: From = None,
    fine_tune: FineTune = None,
    retain: Retain = None,
    seed: Seed = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --folder, with its settings.")
    ] = False,
) -> None:
    """Train a denoiser that draws sections for a laser power and speed.

    Whole cases are held out, never crops of one. Leaves
    checkpoint.safetensors, with the averaged weights that were best on the
    cases held out, metrics.csv and loss.png in the run's folder. The state is
    saved with every report, and --resume goes on from there: on a CPU exactly.

    With --from a model is trained further: --fine-tune says what of it is
    free, and with --retain 0.2 its own predictions count beside the data.
    """
    asked = {
        "steps": steps, "batch": batch, "learning_rate": learning_rate, "representation": representation,
        "power_w": _window("--power", power), "speed_m_s": _window("--speed", speed), "held_out": held_out_cases,
        "patience": patience, "free": fine_tune, "distil": retain, "seed": seed,
    }  # fmt: skip
    settings = {name: value for name, value in asked.items() if value is not None}
    check_run(folder, hours, resume)
    request = Request(data, folder, settings, start, hours)
    with joined(folder) as processes:
        with console.step("reading the sections"):
            found = read_sections(data, plane)
            config, first = _configure(request, found, (network, embedding))
        _run(request, found, config, first, processes)


def _configure(request: Request, found: SectionSet, network: tuple[Any, Any]) -> tuple[SectionConfig, Start | None]:
    """Settings, those not given from the run that is resumed or from the model to begin from; and that model."""
    from microrun.training.diffusion.section_setup import Network, configure, go_on
    from microrun.training.diffusion.section_trainer import check_fit
    from microrun.training.diffusion.start import read_start

    first = None if request.start is None else read_start(request.start)
    try:
        if (request.folder / "state.pt").exists():
            config = go_on(request.folder, request.settings, Network(*network), first)
        else:
            config = configure(found, request.settings, Network(*network), first)
    except ValueError as error:
        raise MicrorunError(str(error)) from None
    check_fit(config, found, first)
    return config, first


def _run(request: Request, found: SectionSet, config: SectionConfig, first: Start | None, processes: Processes) -> None:
    from microrun.training.diffusion.section_trainer import SectionTrainer

    folder = request.folder
    source = Training(data=f"{request.data.name} ({found.origin})", licence="that of the sections")

    def make(chosen: SectionConfig) -> SectionTrainer:
        return SectionTrainer(chosen, found, folder, source, processes, first)

    folder.mkdir(parents=True, exist_ok=True)
    with only_run(folder) if processes.leads else contextlib.nullcontext():
        trainer = start_denoiser(config, folder, make, request.hours, "steps" not in request.settings)
        _print_start(found, config, trainer)
        train_denoiser(trainer, config.batch, request.hours, "section")


def _print_start(found: SectionSet, config: SectionConfig, trainer: DenoiserTrainer[Any]) -> None:
    from microrun.training.diffusion.sections import split_cases

    trained, held = split_cases(found, config.held_out, config.seed)
    free = sum(weights.numel() for weights in trainer.network.parameters() if weights.requires_grad)
    missing = float((found.orientation < 0).mean())
    names = ", ".join(map(str, sorted(set(held.case.tolist()))))
    console.out.print(f"trained  {len(trained):,} sections of {len(set(trained.case.tolist()))} cases")
    console.out.print(f"held out {len(held):,} sections, all of case {names}")
    window = ", ".join(f"{one.name} {one.low:g} to {one.high:g}" for one in config.conditions)
    console.out.print(f"window   {window}")
    console.out.print(
        f"network  {free:,} weights are trained, of {sum(w.numel() for w in trainer.network.parameters()):,}"
    )
    if missing:
        console.out.print(f"filled   {missing:.2%} of the cells have no orientation, and take that of the nearest")


def _window(option: str, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        raise MicrorunError(f"{option} is a window LOW:HIGH, such as 100:200; got {text!r}") from None
    if not 0 < low <= high < math.inf:
        raise MicrorunError(f"{option} must rise from above 0; got {text}")
    return low, high
