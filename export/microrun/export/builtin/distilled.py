"""Make the built-in encoders that see through what real cameras add, from those of the chain, by latent distillation.

    MICRORUN_MASTERS=MASTERS python -m microrun.export.builtin.distilled FOLDER

takes FOLDER/vaeD/vaeD.safetensors, which `microrun.export.builtin.encoders` leaves, as teachers, and leaves the
students with their ONNX files in FOLDER/distilled-vaeD, and vae128, to which vae64 is widened, in FOLDER/wide-2. It may
be interrupted and started again. Beside kikuchipy's nickel master pattern (CC BY 4.0) it learns from those of EMsoft's
database (BSD-3; doi:10.1184/R1/9974612), which MASTERS holds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from microrun.export.builtin.ship import ship, simulate_held_out
from microrun.runtime.domain import Domain
from microrun.runtime.spec import Training
from microrun.training.loop.checkpoint import CHECKPOINT
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.materials import load_material, make_material
from microrun.training.simulate.camera.patterns import CameraSimulator
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.simulate.masters.find import USUAL_KEV, Master, load_nickel
from microrun.training.vae.config import VaeConfig
from microrun.training.vae.distil import DistilConfig, DistilTrainer
from microrun.training.vae.fine_tune import fine_tune, read_start
from microrun.training.vae.mixed import EPOCH, hold_out
from microrun.training.vae.trainer import VaeTrainer
from microrun.training.vae.twins import SimulatedTwins

# The teachers know nickel; the other face-centred phases are like it, and keep the students from its finest details.
MATERIALS = (
    ("nickel", (15.0, 20.0, 30.0), 0.30),
    ("copper", (20.0,), 0.10),
    ("aluminum", (15.0, 20.0), 0.10),
    ("gold", (20.0,), 0.05),
    ("gamma-iron", (20.0,), 0.10),
)
KIKUCHIPY = 0.35  # share of kikuchipy's nickel
# Where 95 of 100 patterns with noise half as strong as the bands decode right, and 9 of 10 with noise as strong, at
# least; of gold a quarter does, whose zone axes are too bright.
KNOWN = Domain(
    phases=("nickel", "copper", "aluminum", "gamma-iron"),
    energy_kev=(15.0, 30.0),
    pattern_centre=((0.36, 0.48), (0.74, 0.84), (0.46, 0.54)),
    noise=(0.1, 1.0),
)
# vae128 starts from vae64, widened; encoder and decoder learn together to give the bands back, first those of all
# cameras, then those of the phases and pattern centres that are known.
NEAR = replace(Conditions(), pattern_centre=((0.37, 0.47), (0.74, 0.84), (0.46, 0.54)), noise=(0.1, 2.0))
NEAR_SHARES = (0.40, 0.30, 0.10, 0.10, 0.0, 0.10)  # of kikuchipy's nickel and of MATERIALS
WIDE = VaeConfig(batch=32, learning_rate=3e-4, beta=0.5, seed=1)
WIDE_STEPS, WIDE_SIZE = (150, 400), 128
STAGES = {
    "vae32": DistilConfig(batch=64, steps=3_600, seed=1),
    "vae64": DistilConfig(batch=64, steps=1_200, seed=1),
}


def make_simulator(
    seed: int, conditions: Conditions | None = None, shares: Sequence[float] | None = None
) -> CameraSimulator:
    """Simulator of what models learn from.

    Parameters
    ----------
    seed
        Of all that is random.
    conditions
        Of the cameras; None for all.
    shares
        Of kikuchipy's nickel and of each of `MATERIALS`; None for theirs.
    """
    found = [load_material(phase, energies) for phase, energies, _ in MATERIALS]
    usual = make_material([Master(load_nickel(), found[0].crystal, USUAL_KEV, "kikuchipy", dynamical=True)])
    shares = shares or [KIKUCHIPY, *(share for *_, share in MATERIALS)]
    return CameraSimulator([usual, *found], shares, conditions or Conditions(), seed)


def distil(folder: Path, name: str, config: DistilConfig) -> Path:
    """Teach one student; it goes on where it was interrupted.

    Parameters
    ----------
    folder
        That of all models.
    name
        Of the teacher, and of the student.
    config
        How it is taught.

    Returns
    -------
    Path
        Folder of its run.
    """
    start = read_start(folder / name / f"{name}.safetensors")
    run = folder / f"distilled-{name}"
    run.mkdir(exist_ok=True)
    config = replace(config, teacher=start.origin)
    with PatternStream(make_simulator(config.seed), config.batch) as stream:
        trainer = DistilTrainer(config, SimulatedTwins(stream), run, start.model, start.spec)
        trainer.resume()
        for report in trainer.run(trainer.report_every):
            print(
                f"step {report.step}/{report.steps}  latents differ by {report.latent_error:.3f} of their spread "
                f"(untaught {report.before:.3f})  {report.patterns_per_s:.0f} patterns/s",
                flush=True,
            )
    return run


def widen_further(folder: Path, narrow: Path) -> Path:
    """Train vae128; it goes on where it was interrupted.

    Parameters
    ----------
    folder
        That of all models.
    narrow
        Checkpoint of vae64.

    Returns
    -------
    Path
        Folder of its run.
    """
    start, run = narrow, folder
    simulators = (make_simulator(1), make_simulator(1, NEAR, NEAR_SHARES))
    for number, (steps, simulator) in enumerate(zip(WIDE_STEPS, simulators, strict=True), 1):
        run = folder / f"wide-{number}"
        run.mkdir(exist_ok=True)
        asked = replace(WIDE, epochs=steps / (EPOCH // WIDE.batch))
        config, model = fine_tune(asked, read_start(start), WIDE_SIZE)
        with PatternStream(simulator, config.batch) as stream:
            source = Training(data="", licence="CC BY 4.0")
            trainer = VaeTrainer(config, hold_out(simulator), run, source, model, None, stream)
            trainer.resume()
            for report in trainer.run(trainer.report_every):
                print(f"step {report.step}/{report.steps}  R² {report.held_out_r2:.3f}", flush=True)
        start = run / CHECKPOINT
    return run


def main(folder: Path) -> None:
    """Teach all students, widen the last of them, and ship them."""
    held_out = simulate_held_out(folder)
    shipped = [ship(distil(folder, name, config), name, held_out, KNOWN) for name, config in STAGES.items()]
    ship(widen_further(folder, shipped[-1]), f"vae{WIDE_SIZE}", held_out, KNOWN, make_simulator(1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
