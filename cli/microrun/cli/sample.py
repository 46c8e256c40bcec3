"""`microrun sample`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.runtime.engines.engine import Device, EngineRequest, Precision
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.destination import HDF5_ENDINGS, check_files
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.sections import draw_process_map
from microrun.runtime.sections.sample import (
    SAMPLING,
    SMOOTHING,
    SampleRequest,
    check_model,
    sample_sections,
    scale_points,
)
from microrun.runtime.sections.section_set import SectionSet, write_sections

DEFAULT_MODEL = "sections"
MOST_POINTS = 400
MOST_SECTIONS = 100_000  # a gigabyte of cells; more would be asked for by mistake
STEPS, DDIM_STEPS = SAMPLING.count, 25
Extrapolate = Annotated[
    bool, typer.Option("--extrapolate", help="Allow power and speed outside the window of training.")
]


def sample(
    power: Annotated[str, typer.Option(help="Laser power in W, several (100,150), or a range LOW:HIGH:STEP.")],
    speed: Annotated[str, typer.Option(help="Scanning speed in m/s, written in the same way.")],
    out: Annotated[Path, typer.Option(help="The .h5 file to make; a .png of the same name comes beside it.")],
    count: Annotated[int, typer.Option(min=1, help="Sections of each power and speed.")] = 16,
    engine: Annotated[str, typer.Option(help="An .onnx file, or the name of a built-in model.")] = DEFAULT_MODEL,
    timesteps: Annotated[
        int | None, typer.Option(min=1, help="Timesteps visited.", show_default=f"{STEPS}, with --ddim {DDIM_STEPS}")
    ] = None,
    ddim: Annotated[bool, typer.Option("--ddim", help="Add no noise between timesteps.")] = False,
    ddpm: Annotated[bool, typer.Option("--ddpm", help="Visit all timesteps, with noise added at each.")] = False,
    smoothing: Annotated[
        int, typer.Option(min=0, help="Passes in which cells take what most around them have; 0 as drawn.")
    ] = SMOOTHING,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same sections.")] = 0,
    extrapolate: Extrapolate = False,
    device: Annotated[Device, typer.Option(help="Where to run.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="What to compute in; auto is the fastest.")] = "auto",
    batch: Annotated[
        int | None, typer.Option(help="Sections that a worker of the engine draws at once; by default what suits it.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw sections of printed metal for a laser power and speed.

    Several powers and speeds make a process map in one picture. A section is
    the same whatever the batch, and whichever others are drawn beside it.
    """
    picture = out.with_suffix(".png")
    check_files([out, picture], overwrite, endings=HDF5_ENDINGS)
    if ddpm and (timesteps is not None or ddim):
        raise MicrorunError("--ddpm visits all timesteps and adds noise: leave out --timesteps and --ddim, or --ddpm")
    points = _pair(parse_values("--power", power), parse_values("--speed", speed), count)
    with console.step("opening the model"):
        denoiser = open_denoiser(engine, device, EngineRequest(precision, batch=batch))
    with denoiser:
        diffusion = check_model(denoiser)
        count_steps = diffusion.schedule.training_steps if ddpm else timesteps or (DDIM_STEPS if ddim else STEPS)
        sampling = Sampling(count_steps, eta=0.0 if ddim else 1.0)
        request = SampleRequest(points, count, seed, sampling, extrapolate, smoothing)
        scale_points(diffusion, request)
        console.out.print(f"engine   {denoiser.info}")
        with console.progress_bar("drawing", "evaluations") as bar:
            drawn = console.watch(sample_sections(denoiser, request), bar)
    write_sections(out, [drawn])
    save_figure(draw_process_map(drawn), picture)
    _print(drawn, request)
    say_wrote(out, picture)
    say_next("sections", out)


def _pair(powers: list[float], speeds: list[float], count: int) -> tuple[tuple[float, float], ...]:
    """All powers with all speeds."""
    pairs = len(powers) * len(speeds)
    if pairs > MOST_POINTS:
        raise MicrorunError(f"{len(powers)} powers and {len(speeds)} speeds are more than {MOST_POINTS} pairs")
    if pairs * count > MOST_SECTIONS:
        raise MicrorunError(
            f"{count} sections of each of {pairs} conditions are more than {MOST_SECTIONS:,} in all; ask for a smaller "
            f"--count, {MOST_SECTIONS // pairs:,} at most"
        )
    return tuple((w, v) for w in powers for v in speeds)


def _print(drawn: SectionSet, request: SampleRequest) -> None:
    unclear = float(drawn.details["unclear_cells"])
    console.out.print(f"drew     {len(drawn):,} sections, {request.count} of each of {len(request.points)} conditions")
    smoothed = float(drawn.details["smoothed_cells"])
    console.out.print(f"smoothed {smoothed:.1%} of the cells took the orientation of most around them")
    console.out.print(f"unclear  {unclear:.2%} of the cells are near no orientation, and got the nearest")


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
        If it is neither, the steps do not end at HIGH, or the values are more than `MOST_POINTS` or not all different.
    """
    try:
        numbers = [float(part) for part in text.split(":" if ":" in text else ",")]
    except ValueError:
        numbers = []
    if not numbers or (":" in text and len(numbers) != 3):
        raise MicrorunError(f"{option} is a number, several with commas, or LOW:HIGH:STEP; got {text!r}")
    values = _fill_range(option, *numbers) if ":" in text else numbers
    _check_number(option, len(values))
    if twice := [value for place, value in enumerate(values) if value in values[:place]]:
        raise MicrorunError(f"{option}: {twice[0]:g} is there twice; give each value once")
    return values


def _fill_range(option: str, low: float, high: float, step: float) -> list[float]:
    """The values of a range, both ends among them."""
    if not (0 < step < math.inf and -math.inf < low <= high < math.inf):
        raise MicrorunError(f"{option} rises from LOW to HIGH in steps above 0; got {low:g}:{high:g}:{step:g}")
    _check_number(option, (high - low) / step + 1)
    count = round((high - low) / step)
    if abs(low + count * step - high) > 1e-6 * step:
        raise MicrorunError(f"{option}: steps of {step:g} from {low:g} do not end at {high:g}")
    return [float(value) for value in np.linspace(low, high, count + 1).round(9)]


def _check_number(option: str, count: float) -> None:
    if count > MOST_POINTS + 0.5:
        raise MicrorunError(f"{option}: {count:.4g} values are more than {MOST_POINTS}; take larger steps, or fewer")
