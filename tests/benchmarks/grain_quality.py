"""How close a denoiser's volumes are to the simulation that it learned from, for several ways to draw blocks.

    python tests/benchmarks/grain_quality.py grains --out quality

grows a volume with each, compares its grains with those of fresh Potts volumes, cut out at the same size, and looks
for seams: how much more often grains end where one block ends and the next begins. Grains of fewer than --min-voxels
are absorbed in both. Writes a table (.md), the volumes
(.npy) and slices side by side (.png). Hours on two cores for all; --only takes some.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.generation.effort import evaluations_per_block
from microrun.runtime.generation.generate import generate
from microrun.runtime.generation.recipe import LEAD
from microrun.runtime.generation.request import MIN_VOXELS, GenerateRequest
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.generation.tiling import Tiling
from microrun.runtime.progress import finish
from microrun.runtime.volumes.cleaning import absorb_grains
from microrun.runtime.volumes.compare import collect_measures, compare_measures
from microrun.runtime.volumes.measure import measure_grains
from microrun.training.diffusion.blocks import number_grains
from microrun.training.simulate.potts import Growth
from microrun.training.simulate.volumes import read_volumes, write_volumes

# As the paper counts: at 10 resamplings a timestep is denoised 11 times, the last tenth of them once.
WAYS = {
    f"{steps} steps, {again} resampling{'s' * (again != 1)}{', as RePaint' * (not lead)}": Sampling(
        steps, 1.0, again + 1, plain_steps=steps // 10, known_lead=lead
    )
    for lead, ways in (
        (LEAD, ((250, 1), (250, 5), (250, 10), (100, 1), (50, 0), (50, 1), (50, 5), (50, 10), (25, 0), (25, 1))),
        (0, ((100, 0), (100, 1), (25, 1))),
    )
    for steps, again in ways
}
MEASURES = ("volume_um3", "c_over_a", "nearest_um")
GROWTH = Growth((100, 100, 100), 50)
REFERENCE_SEED = 9000  # far from those of the training
VOLUMES, OTHER = 4, 1  # volumes that are compared with, and one that shows what chance does
Labels = NDArray[np.int32]
Measures = dict[str, NDArray[np.float64]]


def cut_corners(volume: Labels, size: int, min_voxels: int) -> list[Labels]:
    """Eight cubes of a periodic volume, their grains numbered anew and the smallest absorbed."""
    side = len(volume)
    cubes = []
    for corner in np.ndindex(2, 2, 2):
        places = [(step * side // 2 + np.arange(size)) % side for step in corner]
        cube = number_grains(volume[np.ix_(*places)])
        absorb_grains(cube, int(cube.max()) + 1, min_voxels)
        cubes.append(cube)
    return cubes


def make_reference(path: Path, size: int, min_voxels: int) -> tuple[Measures, Measures, Labels]:
    """Grains of fresh volumes, those of one that none of them is, and a cube to look at."""
    if not path.exists():
        finish(write_volumes(path, GROWTH, REFERENCE_SEED, VOLUMES + OTHER))
    volumes = [cut_corners(volume.grain_ids, size, min_voxels) for volume in read_volumes(path)]
    reference, other = volumes[:VOLUMES], volumes[VOLUMES:]
    measured = [
        collect_measures([measure_grains(cube) for cubes in some for cube in cubes]) for some in (reference, other)
    ]
    return measured[0], measured[1], other[0][0]


def seam_ratio(labels: Labels, tiling: Tiling) -> float:
    """How much more often neighbouring voxels differ across the border of two blocks than within one."""
    owner = np.zeros(tiling.shape, np.int64)
    for block in range(len(tiling) - 1, -1, -1):
        owner[tiling.windows(block)[0][0]] = block
    counts = np.zeros((2, 2))
    for axis in range(3):
        border, differ = (np.diff(array, axis=axis) != 0 for array in (owner, labels))
        for kind in (0, 1):
            counts[kind] += (border == kind).sum(), (differ & (border == kind)).sum()
    within, across = counts[:, 1] / counts[:, 0]
    return float(across / within)


def grow_way(denoiser: Denoiser, request: GenerateRequest) -> tuple[Labels, float]:
    """Grow a volume unless it is there; returns it and the seconds that it took."""
    started = time.monotonic()
    if not request.out.exists():
        finish(generate(request, denoiser))
    labels: Labels = np.load(request.out)
    return labels, time.monotonic() - started


def row_of(name: str, evaluations: int, values: Measures, reference: Measures, seams: float) -> str:
    """A line of the table."""
    rows = {row.measure: row for row in compare_measures(values, reference)}
    cells = [f"{rows[m].kl:.3f}" for m in MEASURES] + [f"{rows[m].wasserstein:.3g}" for m in MEASURES]
    middle = [f"{rows[m].median:.3g}" for m in MEASURES]
    chance = "/".join(f"{rows[m].kl_by_chance:.3f}" for m in MEASURES)
    return f"| {name} | {evaluations or ''} | " + " | ".join([*cells, *middle, chance, f"{seams:.2f}"]) + " |"


def draw_slices(slices: dict[str, Labels], out: Path) -> None:
    """Middle slices side by side, every grain in a colour of its own."""
    from matplotlib.figure import Figure

    figure = Figure((2.2 * len(slices), 2.6), layout="constrained")
    rng = np.random.default_rng(4)
    for axis, (name, labels) in zip(figure.subplots(1, len(slices), squeeze=False)[0], slices.items(), strict=True):
        colours = rng.uniform(0.25, 1, (labels.max() + 1, 3))
        axis.imshow(colours[labels[len(labels) // 2]], interpolation="nearest")
        axis.set_title(name, fontsize=8)
        axis.set_axis_off()
    figure.savefig(out, dpi=200)


def main(engine: str, out: Path, size: int, only: list[str], min_voxels: int, seed: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    reference, other, cube = make_reference(out / "potts.h5", size, min_voxels)
    heads = ["KL volume", "KL c/a", "KL nearest", "W volume", "W c/a", "W nearest"]
    heads += ["volume", "c/a", "nearest", "KL by chance", "seams"]
    lines = ["| | evaluations | " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) + 1) + "|"]
    lines.append(row_of("fresh Potts", 0, other, reference, 1.0))
    slices = {"Potts": cube}
    with open_denoiser(engine) as denoiser:
        for name, sampling in WAYS.items():
            if only and name not in only:
                continue
            setting = f"{size}-{min_voxels}-{seed}-{denoiser.info.sha256[:8]}"  # another's volumes are not taken
            file = out / f"{name.replace(',', '').replace(' ', '-')}-{setting}.npy"
            request = GenerateRequest((size, size, size), seed, sampling=sampling, out=file, min_voxels=min_voxels)
            request = request.settle(denoiser.spec)
            labels, seconds = grow_way(denoiser, request)
            values = collect_measures([measure_grains(labels)])
            _, known = evaluations_per_block(denoiser.diffusion.schedule, sampling)
            lines.append(row_of(name, known, values, reference, seam_ratio(labels, request.tiling)))
            print(lines[-1], f"{seconds:.0f} s", flush=True)
            slices[name] = labels
    (out / "quality.md").write_text("\n".join(lines) + "\n")
    draw_slices(slices, out / "slices.png")
    print("\n".join(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("engine")
    parser.add_argument("--out", type=Path, default=Path("quality"))
    parser.add_argument("--size", type=int, default=56)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--min-voxels", type=int, default=MIN_VOXELS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    main(arguments.engine, arguments.out, arguments.size, arguments.only, arguments.min_voxels, arguments.seed)
