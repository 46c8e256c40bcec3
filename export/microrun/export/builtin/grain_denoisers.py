"""What is alike in making the denoisers of grains: simulate into a file, train and go on, write what ships."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from microrun.export.denoiser_to_onnx import export_denoiser
from microrun.runtime.errors import MicrorunError
from microrun.training.diffusion.checkpoint import load_denoiser, save_denoiser
from microrun.training.diffusion.trainer import DiffusionTrainer
from microrun.training.simulate.potts import Build, Growth
from microrun.training.simulate.volumes import SimulatedVolume, read_volumes, write_volumes

LICENCE = "BSD-3-Clause"
RUN = "run"  # folder of the training, in that of all


def simulate(path: Path, recipe: Growth | Build, first_seed: int, count: int) -> list[SimulatedVolume]:
    """Simulated volumes, all in one file; they are read if it exists.

    Raises
    ------
    MicrorunError
        If the file holds another number of them.
    """
    if not path.exists():
        for now in write_volumes(path, recipe, first_seed, count):
            if now.done % recipe.steps == 0:
                print(now.phase, flush=True)
    volumes = read_volumes(path)
    if len(volumes) != count:
        raise MicrorunError(f"{path}: expected {count} volumes, got {len(volumes)}; delete it to simulate them")
    return volumes


def train(trainer: DiffusionTrainer, run: Path) -> Path:
    """Train to the end, from where it was interrupted, with a line now and then; returns the checkpoint."""
    trainer.resume()
    for report in trainer.run(trainer.report_every):
        print(
            f"step {report.step}/{report.steps}  loss {report.loss:.4f}  held out {report.held_out_loss:.4f}  "
            f"{report.blocks_per_s:.1f} blocks/s",
            flush=True,
        )
    return run / "checkpoint.safetensors"


def ship(checkpoint: Path, folder: Path, metrics: Mapping[str, float], name: str) -> Path:
    """Write what ships, in half precision.

    Parameters
    ----------
    checkpoint
        That training left.
    folder
        Gets a .safetensors and an .onnx file.
    metrics
        What was measured of the volumes that it draws, added to what training measured.
    name
        Of the model and its files.

    Returns
    -------
    Path
        The .onnx file.
    """
    unet, spec = load_denoiser(checkpoint)
    path = folder / f"{name}.safetensors"
    training = replace(spec.training, metrics={**spec.training.metrics, **metrics})
    weights = {key: tensor.half() for key, tensor in unet.state_dict().items()}
    save_denoiser(path, weights, unet.config, replace(spec, name=name, training=training))
    exported = export_denoiser(path, path.with_suffix(".onnx"), "f16").path
    print(f"wrote {path} and {exported}", flush=True)
    return exported


def make_run(folder: Path) -> Path:
    """Folder of the training, made with all above it."""
    run = folder / RUN
    run.mkdir(parents=True, exist_ok=True)
    return run
