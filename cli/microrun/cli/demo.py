"""`microrun demo`."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import console
from microrun.cli.encode import SUFFIX, run
from microrun.cli.outputs import say_next, say_wrote
from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import OutputError
from microrun.runtime.files.destination import check_folder, made_folder
from microrun.runtime.files.quoting import quoted
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.latent_maps import draw_overview

NAV_SHAPE = (48, 64)
SIG_SHAPE = (480, 480)
GRAINS = 16
STEP_UM = 0.5
SEED = 4
SCAN_BYTES = math.prod(NAV_SHAPE) * math.prod(SIG_SHAPE) * 2


def demo(
    folder: Annotated[
        Path, typer.Argument(help=f"Where to put scan, latents and maps: {console.size_text(SCAN_BYTES)}.")
    ] = Path("microrun-demo"),
    engine: Annotated[str, typer.Option(help="An .onnx file, or the name of a built-in model.")] = "vae32",
) -> None:
    """Simulate a scan, encode it and draw its latent maps.

    The scan is a 480×480 UP2 file of an invented nickel sample: grains, twins, sub-grains rotated by up to
    2° and cells with more dislocations. It is kept, and simulated once only; latents and maps are made anew.
    """
    check_folder(folder)
    scan = folder / "demo.up2"
    latents = scan.with_name(scan.stem + SUFFIX)
    picture = folder / "demo.overview.png"
    with open_engine(engine) as opened, made_folder(folder):
        if not scan.exists():
            _say_effort(folder)
            _simulate(scan)
        console.out.print(f"engine   {opened.info}")
        run(EncodeRequest(scan, latents, overwrite=True), opened)
        with open_latents(latents) as stored:
            save_figure(draw_overview(stored), picture)
    say_wrote(picture)
    say_next("maps", latents, "--montage")


def _say_effort(folder: Path) -> None:
    """Say what is about to happen, and refuse at once what the disk has no room for."""
    needed, free = SCAN_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{folder}: the simulated scan takes {console.size_text(needed)}, and {console.size_text(free)} are free; "
            "name a folder on another disk"
        )
    console.out.print(
        f"demo     simulates {math.prod(NAV_SHAPE):,} patterns of {SIG_SHAPE[0]}×{SIG_SHAPE[1]} into "
        f"{quoted(folder)}: {console.size_text(needed)}, once, in a few minutes; "
        "delete the folder afterwards"
    )


def _simulate(path: Path) -> None:
    from microrun.training.simulate.patterns import Exposure, PatternSimulator
    from microrun.training.simulate.sample import grow_sample
    from microrun.training.simulate.scan import simulate_scan

    sample = grow_sample(NAV_SHAPE, GRAINS, SEED)
    with console.progress_bar("simulating") as bar:
        console.watch(simulate_scan(path, sample, PatternSimulator(SIG_SHAPE), Exposure(), SEED, STEP_UM), bar)
    say_wrote(path, note=f", its truth in {path.stem}.truth.npz")
