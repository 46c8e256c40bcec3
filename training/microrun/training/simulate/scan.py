"""Write a simulated scan as a UP2 file, with its truth beside it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.files.output import written_beside
from microrun.runtime.progress import Job, Progress
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import UpWriter
from microrun.training.simulate.patterns import Exposure, Float32, PatternSimulator, blur
from microrun.training.simulate.sample import Sample

CHUNK_BYTES = 256 << 20  # of noise-free patterns in memory
REFERENCE_SIDE = 120  # blurs are stated for patterns of this size


def simulate_scan(
    path: Path,
    sample: Sample,
    simulator: PatternSimulator,
    exposure: Exposure,
    seed: int,
    step_um: float = 1.0,
) -> Job[Scan]:
    """Simulate the patterns of a sample into a version 3 UP2 file, with a record of progress after each pattern.

    Parameters
    ----------
    path
        The .up2 file to make; it gets its name when it is complete. The truth goes beside it, as
        ``NAME.truth.npz`` with the arrays of `Sample`, and ``pattern_centre``, ``sample_tilt`` and ``structure``.
    sample
        What lies under the beam.
    simulator, exposure
        Geometry and camera.
    seed
        The noise is a function of (seed, number of the pattern).
    step_um
        Step of the map in µm.

    Returns
    -------
    Scan
        The geometry that the file states.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    scan = Scan(sample.nav_shape, simulator.sig_shape, "uint16", "square", (step_um, step_um))
    background = exposure.background(scan.sig_shape)
    planes = _planes(scan.sig_shape)
    cells, neighbours = sample.cell.ravel(), sample.neighbour.ravel()
    mixture = sample.mixture.ravel()
    chunk = max(1, CHUNK_BYTES // (scan.pattern_bytes * 2))
    scale = min(scan.sig_shape) / REFERENCE_SIDE

    def expose(index: int, clean: dict[int, Float32]) -> NDArray[np.uint16]:
        shade = np.tensordot(sample.shading[cells[index]].astype(np.float32), planes, 1)
        rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, index]))
        share = mixture[index]
        signal = clean[cells[index]]
        if share > 0:
            signal = (1 - share) * signal + share * clean[neighbours[index]]
        return exposure.expose(signal, background * (1 + shade), rng)

    with written_beside(path) as beside:
        with UpWriter(beside, scan) as writer, ThreadPoolExecutor() as pool:
            for start in range(0, scan.total, chunk):
                indices = range(start, min(start + chunk, scan.total))
                needed = np.union1d(cells[indices], neighbours[indices][mixture[indices] > 0])
                projected = _project(sample, needed, simulator)
                blurred = pool.map(blur, projected, sample.blur_px[needed] * scale)
                clean = dict(zip(needed.tolist(), blurred, strict=True))
                for index, pattern in zip(indices, pool.map(lambda i: expose(i, clean), indices), strict=True):  # noqa: B023
                    writer.write(pattern[None])
                    yield Progress(index + 1, scan.total)
        _write_truth(path.with_suffix(".truth.npz"), sample, simulator)
    return scan


def _write_truth(path: Path, sample: Sample, simulator: PatternSimulator) -> None:
    """Write the sample and the detector's geometry beside and rename."""
    geometry = {
        "pattern_centre": np.array(simulator.pattern_centre),
        "sample_tilt": np.array(simulator.sample_tilt),
        "structure": np.array(simulator.matrix.crystal.phase if simulator.matrix else "fcc"),
    }
    with written_beside(path) as beside:
        np.savez_compressed(beside, **vars(sample), **geometry)  # type: ignore[arg-type]


def _planes(shape: tuple[int, int]) -> Float32:
    """One and the gradients from the middle to the right and to the lower edge, (3, rows, cols)."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij")
    return np.stack([np.ones_like(x), x, y])


def _project(sample: Sample, cells: NDArray[np.int64], simulator: PatternSimulator) -> Float32:
    """Noise-free patterns of cells, phase by phase."""
    projected = np.empty((len(cells), *simulator.sig_shape), np.float32)
    for phase in np.unique(sample.phase[cells]):
        mine = sample.phase[cells] == phase
        shift = sample.centre_shift[cells[mine]]
        rotations = sample.rotations[cells[mine]]
        projected[mine] = simulator.project(rotations, shift if shift.any() else None, int(phase))
    return projected
