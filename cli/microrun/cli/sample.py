"""`microrun sample`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from microrun.cli import console
from microrun.runtime.engines.engine import Device, EngineRequest, Precision
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.pictures.panels import save_figure
from microrun.runtime.pictures.sections import draw_process_map
from microrun.runtime.sections.sample import SampleRequest, check_model, sample_sections, scale_points
from microrun.runtime.sections.section_set import SectionSet, write_sections

DEFAULT_MODEL = "sections"
MOST_POINTS = 400


def sample(
    power: Annotated[str, typer.Option(help="Laser power in W, several (100,150), or a range LOW:HIGH:STEP.")],
    speed: Annotated[str, typer.Option(help="Scanning speed in m/s, likewise.")],
    out: Annotated[Path, typer.Option(help="The .h5 file to make; a .png of the same name comes beside it.")],
    count: Annotated[int, typer.Option(min=1, help="Sections of each power and speed.")] = 16,
    model: Annotated[str, typer.Option(help="An .onnx file, or the name of a built-in model.")] = DEFAULT_MODEL,
    steps: Annotated[int, typer.Option(min=1, help="Timesteps visited.")] = 25,
    ddpm: Annotated[bool, typer.Option("--ddpm", help="Visit all timesteps, with noise added at each.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same sections.")] = 0,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Allow power and speed outside the window of training.")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where to run.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="What to compute in; auto is the fastest.")] = "auto",
    batch: Annotated[int | None, typer.Option(help="Sections that a worker of the engine draws at once.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
) -> None:
    """Draw sections of printed metal for a laser power and speed.

    Several powers and speeds make a process map in one picture. A section is
    the same whatever the batch, and whichever others are drawn beside it.
    """
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists; replace it with --overwrite, or choose another --out")
    powers, speeds = parse_values("--power", power), parse_values("--speed", speed)
    if len(powers) * len(speeds) > MOST_POINTS:
        raise MicrorunError(f"{len(powers)} powers and {len(speeds)} speeds are more than {MOST_POINTS} pairs")
    points = tuple((w, v) for w in powers for v in speeds)
    with console.err.status("opening the model"):
        denoiser = open_denoiser(model, device, EngineRequest(precision, batch=batch))
    with denoiser:
        diffusion = check_model(denoiser)
        sampling = Sampling(diffusion.schedule.training_steps) if ddpm else Sampling(steps, eta=0.0)
        request = SampleRequest(points, count, seed, sampling, extrapolate)
        scale_points(diffusion, request)
        console.out.print(f"engine   {denoiser.info}")
        with console.progress_bar("drawing", "evaluations") as bar:
            drawn = console.watch(sample_sections(denoiser, request), bar)
    write_sections(out, [drawn])
    save_figure(draw_process_map(drawn), out.with_suffix(".png"))
    _print(drawn, request, out)


def _print(drawn: SectionSet, request: SampleRequest, out: Path) -> None:
    unclear = float(drawn.details["unclear_cells"])
    console.out.print(f"drew     {len(drawn):,} sections, {request.count} of each of {len(request.points)} conditions")
    console.out.print(f"unclear  {unclear:.2%} of the cells are near no orientation, and got the nearest")
    console.out.print(f"wrote    {out} and {out.with_suffix('.png').name}")
    console.out.print(f"next     microrun sections {out}")


def parse_values(option: str, text: str) -> list[float]:
    """Values of an option: one, several with commas between, or a range LOW:HIGH:STEP with both ends.

    Parameters
    ----------
    option
        Its name, for errors.
    text
        What was given.

    Raises
    ------
    MicrorunError
        If it is neither, or the steps do not end at HIGH.
    """
    try:
        if ":" not in text:
            return [float(part) for part in text.split(",")]
        low, high, step = map(float, text.split(":"))
    except ValueError:
        raise MicrorunError(f"{option} is a number, several with commas, or LOW:HIGH:STEP; got {text!r}") from None
    if not (step > 0 and low <= high < math.inf):
        raise MicrorunError(f"{option} rises from LOW to HIGH in steps above 0; got {text}")
    count = round((high - low) / step)
    if abs(low + count * step - high) > 1e-6 * step:
        raise MicrorunError(f"{option}: steps of {step:g} from {low:g} do not end at {high:g}")
    return [float(value) for value in np.linspace(low, high, count + 1).round(9)]
