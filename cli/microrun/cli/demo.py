"""`microrun demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import _console
from microrun.cli.encode import SUFFIX, run
from microrun.runtime.engine import open_engine
from microrun.runtime.latents import open_latents
from microrun.runtime.maps import draw_overview
from microrun.runtime.panels import save_figure
from microrun.runtime.session import EncodeRequest

NAV_SHAPE = (48, 64)
SIG_SHAPE = (480, 480)
GRAINS = 16
STEP_UM = 0.5
SEED = 4


def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put scan, latents and maps (1.5 GB).")] = Path(
        "microrun-demo"
    ),
    engine: Annotated[str, typer.Option(help="An .onnx file, or the name of a built-in model.")] = "vae32",
) -> None:
    """Simulate a scan, encode it and draw its latent maps.

    The scan is a 480×480 UP2 file of an invented nickel sample: grains, twins, sub-grains rotated by up to
    2° and cells with more dislocations. It is kept, and simulated once only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scan = folder / "demo.up2"
    latents = scan.with_name(scan.stem + SUFFIX)
    if not scan.exists():
        _simulate(scan)
    latents.unlink(missing_ok=True)
    with open_engine(engine) as opened:
        _console.out.print(f"engine   {opened.info}")
        run(EncodeRequest(scan, latents), opened)
    picture = folder / "demo.overview.png"
    with open_latents(latents) as stored:
        save_figure(draw_overview(stored), picture)
    _console.out.print(f"maps     {picture}")
    _console.out.print(f"try      microrun inspect {latents}\n         microrun maps {latents} --montage")


def _simulate(path: Path) -> None:
    from microrun.training.simulate import Exposure, PatternSimulator, grow_sample, simulate_scan

    sample = grow_sample(NAV_SHAPE, GRAINS, SEED)
    with _console.progress_bar("simulating") as bar:
        simulate_scan(path, sample, PatternSimulator(SIG_SHAPE), Exposure(), SEED, STEP_UM, bar)
    _console.out.print(
        f"scan     {path} ({_console.size_text(path.stat().st_size)}), its truth in {path.stem}.truth.npz"
    )
