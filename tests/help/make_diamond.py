"""Simulate the one pattern of 480×480 pixels that tests and parity are measured on, as a camera would record it.

    python tests/help/make_diamond.py tests/data/diamond_ebsd.h5 export/microrun/export/recorded.npz

made both files: the pattern and its static background in kikuchipy's layout, and the same beside the measured nickel
patterns, which stay. The crystal has the diamond structure, with the lattice parameter of silicon; its master pattern
is kinematical, so nothing here is anybody else's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.training.simulate.masters.crystal import CRYSTALS
from microrun.training.simulate.masters.find import USUAL_KEV, Master
from microrun.training.simulate.masters.kinematical import compute_kinematical
from microrun.training.simulate.patterns import Exposure, PatternSimulator, blur

SHAPE = (480, 480)
CENTRE = (0.52, 0.84, 0.49)
ROTATION = np.array([[0.82, 0.31, -0.43, 0.21]])
BRIGHTEST, DARK = 190.0, 12.0  # counts
ELECTRONS = 3_000.0  # a pixel
BLUR_PX = 3.0


def simulate() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pattern and static background, (480, 480) uint8 each."""
    crystal = next(crystal for crystal in CRYSTALS if crystal.name == "silicon")
    master = Master(compute_kinematical(crystal, USUAL_KEV), crystal, USUAL_KEV, "computed", False)
    rotation = ROTATION / np.linalg.norm(ROTATION)
    bands = blur(PatternSimulator(SHAPE, CENTRE, matrix=master).project(rotation)[0], BLUR_PX)
    exposure = Exposure(ELECTRONS, contrast=0.2, gain=BRIGHTEST / ELECTRONS, offset=DARK)
    bell = exposure.background(SHAPE)
    pattern = exposure.expose(bands, bell, np.random.default_rng(0))
    return pattern.clip(0, 255).astype(np.uint8), np.rint(BRIGHTEST * bell + DARK).astype(np.uint8)


def main(scan: Path, recorded: Path) -> None:
    """Write both files."""
    from kikuchipy.detectors import EBSDDetector
    from kikuchipy.signals import EBSD

    pattern, background = simulate()
    detector = EBSDDetector(SHAPE, pc=CENTRE, convention="edax", sample_tilt=70)
    EBSD(pattern[None], detector=detector, static_background=background).save(str(scan), overwrite=True)
    with np.load(recorded) as before:
        nickel = {name: before[name] for name in ("nickel", "nickel_background")}
    np.savez_compressed(recorded, **nickel, diamond=pattern[None], diamond_background=background)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
