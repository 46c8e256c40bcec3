"""Write a simulated scan as a UP2 file, with its truth beside it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.scan import Scan
from microrun.runtime.up2 import UpWriter
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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scan:
    """Simulate the patterns of a sample into a version 3 UP2 file.

    Parameters
    ----------
    path
        The .up2 file to make. The truth goes beside it, as ``NAME.truth.npz`` with the arrays of `Sample`.
    sample
        What lies under the beam.
    simulator, exposure
        Geometry and camera.
    seed
        The noise is a function of (seed, number of the pattern).
    step_um
        Step of the map in µm.
    progress
        Called with (patterns done, total).

    Returns
    -------
    Scan
        The geometry that the file states.
    """
    scan = Scan(sample.nav_shape, simulator.sig_shape, "uint16", "square", (step_um, step_um))
    background = exposure.background(scan.sig_shape)
    cells, neighbours = sample.cell.ravel(), sample.neighbour.ravel()
    mixture = sample.mixture.ravel()
    chunk = max(1, CHUNK_BYTES // (scan.pattern_bytes * 2))
    scale = min(scan.sig_shape) / REFERENCE_SIDE

    def expose(index: int, clean: dict[int, Float32]) -> NDArray[np.uint16]:
        rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, index]))
        share = mixture[index]
        signal = clean[cells[index]]
        if share > 0:
            signal = (1 - share) * signal + share * clean[neighbours[index]]
        return exposure.expose(signal, background, rng)

    with UpWriter(path, scan) as writer, ThreadPoolExecutor() as pool:
        for start in range(0, scan.total, chunk):
            indices = range(start, min(start + chunk, scan.total))
            needed = np.union1d(cells[indices], neighbours[indices][mixture[indices] > 0])
            shift = sample.centre_shift[needed]
            projected = simulator.project(sample.rotations[needed], shift if shift.any() else None)
            blurred = pool.map(blur, projected, sample.blur_px[needed] * scale)
            clean = dict(zip(needed.tolist(), blurred, strict=True))
            for index, pattern in zip(indices, pool.map(lambda i: expose(i, clean), indices), strict=True):  # noqa: B023
                writer.write(pattern[None])
                progress(index + 1, scan.total)
    np.savez_compressed(path.with_suffix(".truth.npz"), **vars(sample))
    return scan
