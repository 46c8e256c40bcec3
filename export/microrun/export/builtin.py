"""Make the built-in engine: simulate scans, train D = 32, export, measure.

    python -m microrun.export.builtin FOLDER

takes about an hour on two cores, may be interrupted and started again, and leaves
``vae32.onnx`` and ``vae32.decoder.onnx`` in FOLDER. Everything it learns from is licensed CC BY 4.0:
kikuchipy's nickel master pattern and samples invented here.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from microrun.export.recorded import MATERIALS, recorded_patterns
from microrun.export.to_onnx import export_checkpoint
from microrun.runtime.file_sources import FileSource
from microrun.runtime.preprocess import Preprocessor
from microrun.runtime.spec import Preprocessing, Training
from microrun.training.checkpoint import load_checkpoint, save_checkpoint
from microrun.training.config import VaeConfig
from microrun.training.data import prepare_scans
from microrun.training.evaluate import reconstruct, reconstruction_correlation, reconstruction_r2
from microrun.training.loop import Report, VaeTrainer
from microrun.training.simulate import Exposure, PatternSimulator, grow_sample, random_sample, simulate_scan

SIG_SHAPE = (120, 120)  # simulated at the engine's size: binning 480×480 would only average the noise
NAV_SHAPE = (50, 50)
RANDOM_SCANS, GRAIN_SCANS = 8, 4
HELD_OUT_SEED = 1000
HELD_OUT_EXPOSURE = Exposure(electrons=9_600, gain=4.5)  # 600 per pixel of a 480×480 camera, binned
CONFIG = VaeConfig(latent_size=32, batch=64, epochs=25, seed=1)
SOURCE = Training(
    data=(
        "simulated nickel at 20 kV: kikuchipy's dynamical master pattern (doi:10.5281/zenodo.4288857), 8 scans of "
        "random orientations and 4 invented polycrystals, each with its own pattern centre, background, "
        "contrast (0.05-0.2), dose (3,000-40,000 electrons per binned pixel) and blur (0.6-2.4 px)"
    ),
    licence="CC BY 4.0",
)


def simulate_training_scan(path: Path, number: int) -> None:
    """Simulate one scan with geometry and camera of its own; one that exists is kept."""
    if path.exists():
        return
    rng = np.random.default_rng((7, number))
    centre = (rng.uniform(0.40, 0.60), rng.uniform(0.65, 0.85), rng.uniform(0.45, 0.65))
    electrons = float(np.exp(rng.uniform(np.log(3_000), np.log(40_000))))
    exposure = Exposure(
        electrons=electrons,
        contrast=rng.uniform(0.05, 0.2),
        gain=45_000 / electrons,
        background_centre=(rng.uniform(-0.1, 0.1), rng.uniform(-0.15, 0.05)),
        background_width=rng.uniform(0.28, 0.45),
    )
    grains = number >= RANDOM_SCANS
    sample = grow_sample(NAV_SHAPE, 60, number) if grains else random_sample(NAV_SHAPE, number)
    beside = path.with_name("part-" + path.name)
    simulate_scan(beside, sample, PatternSimulator(SIG_SHAPE, centre), exposure, seed=number)
    beside.replace(path)


def simulate_scans(folder: Path) -> list[Path]:
    """Simulate all scans to train on, and last the one to test on; those that exist are kept."""
    paths = [folder / f"scan{number:02d}.up2" for number in range(RANDOM_SCANS + GRAIN_SCANS)]
    for number, path in enumerate(paths):
        simulate_training_scan(path, number)
        print(f"scan {number + 1} of {len(paths)}: {path}", flush=True)
    held_out = folder / "held-out.up2"
    sample = grow_sample(NAV_SHAPE, 60, HELD_OUT_SEED)
    if not held_out.exists():
        simulate_scan(held_out, sample, PatternSimulator(SIG_SHAPE), HELD_OUT_EXPOSURE, HELD_OUT_SEED)
    return [*paths, held_out]


def train(folder: Path, paths: list[Path]) -> None:
    """Train in a folder; goes on where it was interrupted."""
    data = prepare_scans(
        [FileSource(path) for path in paths],
        Preprocessing(),
        folder / "prepared.npy",
        patterns_per_scan=CONFIG.patterns_per_scan,
        held_out=CONFIG.held_out,
        seed=CONFIG.seed,
    )
    trainer = VaeTrainer(CONFIG, data, folder, SOURCE)
    trainer.resume()
    trainer.run(100, _print)


def judge(folder: Path, held_out: Path) -> Path:
    """Write the checkpoint again, with how well it reconstructs what it never saw."""
    model, spec = load_checkpoint(folder / "checkpoint.safetensors")
    keep = Preprocessor(spec.preprocessing, SIG_SHAPE).pixel_keep
    tested = prepare_scans(
        [FileSource(held_out)],
        spec.preprocessing,
        folder / "tested.npy",
        patterns_per_scan=CONFIG.patterns_per_scan,
        held_out=0.0,
        seed=0,
    )
    sets = {"simulated_scan": np.asarray(tested.patterns, np.float32)}
    sets |= {material: recorded_patterns(material, spec.preprocessing) for material in MATERIALS}
    metrics = dict(spec.training.metrics)
    for name, prepared in sets.items():
        patterns = torch.from_numpy(prepared)[:, None]
        reconstructed = reconstruct(model, patterns)
        metrics[f"{name}_correlation"] = round(reconstruction_correlation(patterns, reconstructed, keep), 4)
        if len(patterns) > 100:
            metrics[f"{name}_r2"] = round(reconstruction_r2(patterns, reconstructed, keep), 4)
    judged = replace(spec, training=replace(spec.training, metrics=metrics))
    path = folder / f"{spec.name}.safetensors"
    save_checkpoint(path, model.state_dict(), judged)
    print(metrics, flush=True)
    return path


def _print(report: Report) -> None:
    print(
        f"step {report.step}/{report.steps}  loss {report.loss:.4f}  L2 {report.l2_per_pixel:.4f}  "
        f"KL {report.kl:.1f}  held-out R2 {report.held_out_r2:.3f}  {report.patterns_per_s:.0f} patterns/s",
        flush=True,
    )


def main(folder: Path) -> None:
    """Simulate, train, judge and export."""
    folder.mkdir(parents=True, exist_ok=True)
    *paths, held_out = simulate_scans(folder)
    train(folder, paths)
    checkpoint = judge(folder, held_out)
    for exported in export_checkpoint(checkpoint, checkpoint.with_suffix(".onnx")):
        print(f"wrote {exported.path}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
