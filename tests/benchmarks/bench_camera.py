"""Simulation of patterns for training, one core, in one run: projection against kikuchipy, and all of it.

    python tests/benchmarks/bench_camera.py

prints medians. A projection reads four pixels of the master pattern for each of its own and writes one: that many
bytes a second are named beside what the machine copies.
"""

from __future__ import annotations

import numpy as np
from timing import median_seconds

from microrun.kernels.projection import project_gnomonic
from microrun.training.simulate.camera.bands import View
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.materials import load_material
from microrun.training.simulate.camera.patterns import CameraSimulator
from microrun.training.simulate.patterns import PatternSimulator

PATTERNS, REPEATS, SIDE = 100, 7, 120
BYTES = 5 * 4 * SIDE * SIDE  # of one projection


def main() -> None:
    nickel = load_material("nickel", (20,))
    rotations = np.random.default_rng(0).normal(size=(PATTERNS, 4))
    rotations /= np.linalg.norm(rotations, axis=1)[:, None]
    centre = np.array([0.42, 0.79, 0.50])
    turns = [View(rotation, centre, 70.0).turn() for rotation in rotations]
    centre_px = (np.array([0.42, 0.21, 0.50]) * SIDE).astype(np.float32)
    out, source = np.empty((SIDE, SIDE), np.float32), np.ones(1 << 24, np.float32)
    kikuchipy = PatternSimulator((SIDE, SIDE))
    simulator = CameraSimulator([nickel], [1], Conditions())

    def project() -> None:
        for turn in turns:
            project_gnomonic(nickel.masters[0], turn, centre_px, out)

    ours, peer = median_seconds(project, REPEATS), median_seconds(lambda: kikuchipy.project(rotations), REPEATS)
    whole = median_seconds(lambda: simulator.make(0, PATTERNS), REPEATS)
    copied = 2 * source.nbytes / median_seconds(lambda: np.copyto(np.empty_like(source), source), REPEATS)
    print(f"projection                 {PATTERNS / ours:>8,.0f} patterns/s  {peer / ours:.1f} × kikuchipy")
    print(f"  memory                   {PATTERNS * BYTES / ours / 1e9:>8.2f} GB/s of {copied / 1e9:.1f}")
    print(f"pattern with all residues  {PATTERNS / whole:>8,.0f} patterns/s")


if __name__ == "__main__":
    main()
