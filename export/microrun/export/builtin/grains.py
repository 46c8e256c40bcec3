"""Make the built-in denoiser: simulate volumes, train, export.

    python -m microrun.export.builtin.grains FOLDER

takes half an hour with a card such as an H200, most of it to simulate, and days without; it may be interrupted and
started again, and leaves ``grains.onnx`` and ``grains.safetensors`` in FOLDER. How good the volumes are that it draws
is measured afterwards; `ship` writes the figures into both files.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from microrun.export.denoiser_to_onnx import export_denoiser
from microrun.export.graph import save_model
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.output import written_beside
from microrun.runtime.progress import Progress
from microrun.runtime.spec import Training
from microrun.training.diffusion.checkpoint import load_denoiser, save_denoiser
from microrun.training.diffusion.config import DiffusionConfig
from microrun.training.diffusion.trainer import DiffusionReport, DiffusionTrainer
from microrun.training.simulate.potts import Growth
from microrun.training.simulate.volumes import SimulatedVolume, mean_grain_voxels, read_volumes, write_volumes

NAME = "grains"
LICENCE = "BSD-3-Clause"
GROWTH = Growth((100, 100, 100), steps=50)
VOLUMES = 48
FIRST_SEED = 1000
CONFIG = DiffusionConfig(batch=64, learning_rate=1.5e-3, decay=0.7, steps=26_795, seed=1)


def simulate(folder: Path) -> Path:
    """Simulate the volumes, all in one file; it is kept if it exists."""
    path = folder / "potts.h5"
    if not path.exists():
        for now in write_volumes(path, GROWTH, FIRST_SEED, VOLUMES):
            _print_volume(now)
    return path


def describe_data() -> str:
    """Say what is learned from, for the model's spec."""
    trained = VOLUMES - CONFIG.held_out
    return (
        f"{trained} volumes of {'×'.join(map(str, GROWTH.shape))} voxels by Potts grain growth to t = {GROWTH.steps} "
        f"(microrun simulate potts, seeds {FIRST_SEED} to {FIRST_SEED + trained - 1}), in {CONFIG.n_colours} colours "
        f"as {CONFIG.labels}"
    )


def train(folder: Path, volumes: Path) -> Path:
    """Train in FOLDER/run; goes on where it was interrupted. Returns the checkpoint."""
    run = folder / "run"
    run.mkdir(exist_ok=True)
    simulated = read_volumes(volumes)
    if len(simulated) != VOLUMES:
        raise MicrorunError(f"{volumes}: expected {VOLUMES} volumes, got {len(simulated)}; delete it to simulate them")
    source = Training(data=describe_data(), licence=LICENCE)
    trainer = DiffusionTrainer(CONFIG, simulated, run, source)
    trainer.resume()
    for report in trainer.run(trainer.report_every):
        print_report(report)
    return run / "checkpoint.safetensors"


def ship(checkpoint: Path, folder: Path, metrics: Mapping[str, float], name: str = NAME) -> Path:
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


def state_grain_size(path: Path, volumes: Sequence[SimulatedVolume]) -> None:
    """Write into the spec of a denoiser from before there was a place for it how large its grains are.

    Parameters
    ----------
    path
        The .onnx file; nothing but its spec changes.
    volumes
        Grown as those that it was trained on.
    """
    spec = read_model_spec(path)
    assert spec.diffusion is not None
    diffusion = replace(spec.diffusion, grain_voxels=mean_grain_voxels(volumes))
    with written_beside(path) as beside:
        save_model(onnx.load_model(path), replace(spec, diffusion=diffusion), beside)


def main(folder: Path) -> None:
    """Run all of it."""
    folder.mkdir(parents=True, exist_ok=True)
    ship(train(folder, simulate(folder)), folder, {})


def _print_volume(now: Progress) -> None:
    if now.done % GROWTH.steps == 0:
        print(now.phase, flush=True)


def print_report(report: DiffusionReport) -> None:
    """Say where training stands, in a line."""
    print(
        f"step {report.step}/{report.steps}  loss {report.loss:.4f}  held out {report.held_out_loss:.4f}  "
        f"{report.blocks_per_s:.1f} blocks/s",
        flush=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
