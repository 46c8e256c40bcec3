"""Make the built-in encoder of silicon, by translation of vae32: latents of both can be compared.

    MICRORUN_MASTERS=MASTERS python -m microrun.export.builtin.silicon FOLDER

leaves vae32-silicon with its ONNX files in FOLDER/silicon. It takes an hour of one core, and may be interrupted and
started again. Master patterns are those of EMsoft's database (BSD-3; doi:10.1184/R1/9974612), which MASTERS holds.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path

from microrun.export.builtin.distilled import KNOWN
from microrun.export.builtin.ship import ship, simulate_held_out
from microrun.export.vae_from_onnx import read_autoencoder
from microrun.runtime.engines.catalogue import find_model
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.materials import load_material
from microrun.training.simulate.camera.patterns import CameraSimulator
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.simulate.masters.find import USUAL_KEV, find_master
from microrun.training.vae.crystal_twins import (
    CrystalTwins,
    find_known_crystal,
    known_simulators,
    translated_conditions,
)
from microrun.training.vae.distil import DistilConfig
from microrun.training.vae.fine_tune import Start
from microrun.training.vae.translate import TranslateTrainer

TEACHER, NAME, PHASE = "vae32", "vae32-silicon", "silicon"
ENERGIES_KEV = (15.0, 20.0, 30.0)
CONFIG = DistilConfig(batch=64, steps=1_995)
# As of its teacher, and found alike: 95 of 100 patterns with noise half as strong as the bands decode right there.
DOMAIN = replace(KNOWN, phases=(PHASE,))


def translate(folder: Path, config: DistilConfig = CONFIG) -> Path:
    """Teach silicon; the run goes on where it was interrupted.

    Parameters
    ----------
    folder
        That of all models.
    config
        How it is taught.

    Returns
    -------
    Path
        Folder of the run.
    """
    run = folder / PHASE
    run.mkdir(parents=True, exist_ok=True)
    file = find_model(TEACHER)
    start = Start(file, *read_autoencoder(file))
    material = load_material(PHASE, ENERGIES_KEV)
    known = find_known_crystal(material.crystal, start.spec)
    assert known is not None
    conditions = translated_conditions(Conditions(), start.spec, given=False)
    new = CameraSimulator([material], [1.0], conditions, config.seed)
    with contextlib.ExitStack() as stack:
        streams = [PatternStream(one, config.batch) for one in (new, *known_simulators(known, new))]
        patterns, *guides = map(stack.enter_context, streams)
        twins, config = CrystalTwins(patterns, guides), replace(config, teacher=start.origin)
        trainer = TranslateTrainer(config, twins, run, start.model, start.spec)
        trainer.resume()
        for report in trainer.run(trainer.report_every):
            print(f"step {report.step}/{report.steps}  latents differ by {report.latent_error:.3f}", flush=True)
    return run


def main(folder: Path) -> None:
    """Teach it, and ship it."""
    ship(translate(folder), NAME, simulate_held_out(folder, find_master(PHASE, USUAL_KEV)), DOMAIN)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
