"""`microrun train`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microrun.cli import _console
from microrun.runtime.errors import MicrorunError, ScanError
from microrun.runtime.scan import parse_grid
from microrun.runtime.session import ScanFile, open_scan
from microrun.runtime.spec import Preprocessing, Training

if TYPE_CHECKING:
    from microrun.training.config import VaeConfig
    from microrun.training.data import Prepared

app = typer.Typer(no_args_is_help=True, help="Train models on scans.")


@app.callback()
def _group() -> None:
    """Keep `vae` a subcommand while it is the only one."""


@app.command()
def vae(
    scans: Annotated[list[Path], typer.Argument(help="Finished .up1 or .up2 files, all of one detector shape.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("vae-run"),
    latent: Annotated[int, typer.Option(help="Latent size: 16, 32, 64, 128 or 256.")] = 32,
    batch: Annotated[int, typer.Option(help="Patterns per step.")] = 256,
    epochs: Annotated[int, typer.Option(help="Passes over the training patterns.")] = 250,
    hours: Annotated[float, typer.Option(help="Stop after this long; --resume goes on.")] = math.inf,
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 1e-3,
    beta: Annotated[float, typer.Option(help="Weight of the KL term.")] = 1.0,
    patterns_per_scan: Annotated[int, typer.Option(help="Random patterns from each scan, at most.")] = 16_000,
    grid: Annotated[str | None, typer.Option(help="ROWSxCOLS, for scans whose header has no grid.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, selection, order and noise.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train the variational autoencoder of Calvat et al. on scans.

    Leaves checkpoint.safetensors, metrics.csv and loss.png in the run's folder; the state is saved with
    every report, and --resume goes on from there.
    """
    from microrun.training.config import VaeConfig

    try:
        config = VaeConfig(
            latent_size=latent,
            batch=batch,
            epochs=epochs,
            learning_rate=learning_rate,
            beta=beta,
            patterns_per_scan=patterns_per_scan,
            seed=seed,
        )
    except ValueError as error:
        raise MicrorunError(str(error)) from None
    if (out / "state.pt").exists() and not resume:
        raise MicrorunError(f"{out}: holds a run; go on with --resume, or choose another --out")
    sources = [open_scan(scan, parse_grid(grid) if grid else None) for scan in scans]
    for source in sources:
        if source.scan.sig_shape != sources[0].scan.sig_shape:
            raise ScanError(
                f"{source.path}: patterns of {source.scan.sig_shape}; {sources[0].path.name} has "
                f"{sources[0].scan.sig_shape}. Train on scans of one detector shape"
            )
    out.mkdir(parents=True, exist_ok=True)
    _train(config, _prepare(sources, config, out), out, scans, hours)


def _prepare(sources: list[ScanFile], config: VaeConfig, folder: Path) -> Prepared:
    from microrun.training.data import prepare_scans

    with _console.progress_bar("preparing") as bar:
        return prepare_scans(
            sources,
            Preprocessing(),
            folder / "prepared.npy",
            patterns_per_scan=config.patterns_per_scan,
            held_out=config.held_out,
            seed=config.seed,
            progress=bar,
        )


def _train(config: VaeConfig, data: Prepared, folder: Path, scans: list[Path], hours: float) -> None:
    from microrun.training.curves import draw_loss
    from microrun.training.loop import Report, VaeTrainer

    source = Training(data=", ".join(scan.name for scan in scans), licence="that of the scans")
    trainer = VaeTrainer(config, data, folder, source)
    trainer.resume()
    with _console.progress_bar("training", "steps") as bar:

        def report(now: Report) -> None:
            bar(now.step, now.steps, f"{now.patterns_per_s:,.0f} patterns/s")
            _console.out.print(
                f"step {now.step:>6,}  L2 {now.l2_per_pixel:.4f}  KL {now.kl:6.1f}  held-out R² {now.held_out_r2:.3f}"
            )

        try:
            trainer.run(max(1, min(200, trainer.steps // 50)), report, hours)
        finally:
            if (folder / "metrics.csv").exists():
                draw_loss(folder / "metrics.csv", folder / "loss.png")
    _console.out.print(f"wrote {folder / 'checkpoint.safetensors'} and {folder / 'loss.png'}")
    _console.out.print(f"next  microrun export {folder / 'checkpoint.safetensors'} --to onnx")
