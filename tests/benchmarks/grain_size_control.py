"""How large the grains are that a denoiser draws, against how large they were asked for.

    python tests/benchmarks/grain_size_control.py MODEL.onnx --out sizes

grows periodic volumes, whose faces cut no grain, with mean diameters spread evenly over what the denoiser was trained
on, and measures the mean diameter of each as the spec counts it: of spheres of the same volumes, by number, of grains
of 27 voxels or more. Prints a table, and R² of the line asked = got: 1 − Σ(got − asked)² / Σ(asked − mean asked)². A
denoiser that takes no notice of what is asked for has an R² of 0 at best. Half an hour on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from microrun.runtime.conditions import GRAIN_VOXELS, Condition
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.generation.generate import generate
from microrun.runtime.generation.recipe import Preset
from microrun.runtime.generation.request import GenerateRequest
from microrun.runtime.progress import finish
from microrun.training.simulate.volumes import SimulatedVolume, mean_grain_voxels


def size_of(denoiser: Denoiser) -> Condition:
    """The condition that is the size of grains."""
    for condition in denoiser.diffusion.conditions:
        if condition.name == GRAIN_VOXELS:
            return condition
    raise SystemExit(f"{denoiser.spec.name} draws grains of one size")


def grow(denoiser: Denoiser, asked: float, seed: int, options: argparse.Namespace) -> float:
    """Mean diameter of the grains of a volume; the volume is kept, and not grown twice."""
    out = options.out / f"{asked:.2f}-{seed}.npy"
    if not out.exists():
        sides = (options.size,) * 3
        request = GenerateRequest(
            sides, seed, sampling=Preset(options.preset), periodic="zyx", grain_voxels=asked, out=out
        )
        finish(generate(request, denoiser))
    mean = mean_grain_voxels([SimulatedVolume(np.load(out), "potts", True)])
    assert mean is not None
    return mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("denoiser", help="An .onnx file, or the name of a built-in denoiser.")
    parser.add_argument("--out", type=Path, required=True, help="Folder of the volumes.")
    parser.add_argument("--size", type=int, default=72, help="Voxels along each side.")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--sizes", type=int, default=7, help="Number of sizes, evenly spread.")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    pairs = []
    with open_denoiser(options.denoiser, "cpu") as denoiser:
        window = size_of(denoiser)
        print("| asked | got | |\n|---:|---:|---:|")
        for asked in np.linspace(window.low, window.high, options.sizes):
            for seed in range(options.seeds):
                got = grow(denoiser, float(asked), seed, options)
                pairs.append((asked, got))
                print(f"| {asked:.2f} | {got:.2f} | {100 * (got / asked - 1):+.1f} % |", flush=True)
    wanted, found = np.array(pairs).T
    residue, spread = np.square(found - wanted).sum(), np.square(wanted - wanted.mean()).sum()
    print(f"\nR² of asked = got: {1 - residue / spread:.3f} (correlation {np.corrcoef(wanted, found)[0, 1]:.3f})")


if __name__ == "__main__":
    main()
