"""Make the built-in encoder of ferrite, fine-tuned from vae32 on simulated patterns: its latents are others than those.

    MICRORUN_MASTERS=MASTERS python -m microrun.export.builtin.ferrite FOLDER

leaves vae32-ferrite with its ONNX files in FOLDER/ferrite. It takes an hour of one core, and may be interrupted and
started again. Master patterns are those of EMsoft's database (BSD-3; doi:10.1184/R1/9974612), which MASTERS holds.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from microrun.export.builtin.distilled import KNOWN
from microrun.export.builtin.ship import ship, simulate_held_out
from microrun.export.vae_from_onnx import read_autoencoder
from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.spec import Training
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.materials import load_material
from microrun.training.simulate.camera.patterns import CameraSimulator
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.simulate.masters.find import USUAL_KEV, find_master
from microrun.training.vae.config import VaeConfig
from microrun.training.vae.fine_tune import Start, fine_tune
from microrun.training.vae.mixed import EPOCH, hold_out
from microrun.training.vae.trainer import VaeTrainer

START, NAME, PHASE = "vae32", "vae32-ferrite", "ferrite"
ENERGIES_KEV = (15.0, 20.0, 30.0)
STEPS, BATCH = 1_500, 64
# Pattern centres of vae32; 88 to 94 of 100 patterns with noise half as strong as the bands decode right there.
DOMAIN = replace(KNOWN, phases=("alpha-iron",))


def train(folder: Path, steps: int = STEPS, batch: int = BATCH) -> Path:
    """Fine-tune; the run goes on where it was interrupted.

    Parameters
    ----------
    folder
        That of all models.
    steps
        Of the run.
    batch
        Patterns of a step.

    Returns
    -------
    Path
        Folder of the run.
    """
    run = folder / PHASE
    run.mkdir(parents=True, exist_ok=True)
    file = find_model(START)
    asked = VaeConfig(batch=batch, epochs=steps / (EPOCH // batch))
    config, model = fine_tune(asked, Start(file, *read_autoencoder(file)))
    conditions = replace(Conditions(), pattern_centre=DOMAIN.pattern_centre)
    simulator = CameraSimulator([load_material(PHASE, ENERGIES_KEV)], [1.0], conditions, config.seed)
    with PatternStream(simulator, batch) as stream:
        source = Training(licence="CC BY 4.0")
        trainer = VaeTrainer(config, hold_out(simulator), run, source, model, None, stream)
        trainer.resume()
        for report in trainer.run(trainer.report_every):
            print(f"step {report.step}/{report.steps}  R² {report.held_out_r2:.3f}", flush=True)
    return run


def main(folder: Path) -> None:
    """Train it, and ship it."""
    ship(train(folder), NAME, simulate_held_out(folder, find_master(PHASE, USUAL_KEV)), DOMAIN)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
