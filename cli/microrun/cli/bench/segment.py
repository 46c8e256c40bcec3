"""What `microrun bench segment` measures beside parts: grains against scikit-learn, and tilings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from microrun.cli.bench.machine import COPY, copying, machine_table
from microrun.cli.bench.measurement import Measuring, Table
from microrun.cli.bench.timing import peak_bytes, seconds_of
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.extras import say_missing
from microrun.runtime.generation.tiling import tile_isotropic
from microrun.runtime.progress import Progress
from microrun.runtime.volumes.segment import Labels, SegmentOptions, segment
from microrun.runtime.volumes.volume import Volume

SIZES = (64, 128, 256)
ALWAYS, LARGE = 64, 128  # largest sizes that scikit-learn is given, and is given when asked
VOXELS_PER_GRAIN = 1728
NOISE, STRAY = 0.0025, 0.01  # standard deviation of the values, and the share of voxels with any value
VALUE_SCALE = 100.0
OPTIONS = SegmentOptions(VALUE_SCALE)
LEAST_BYTES = 8  # that must move for a voxel: its value read, its label written
WEIGHED_VOXELS = 1 << 20  # in smaller volumes other things weigh as much
COPY_BYTES = 1 << 28
TILED = 320
PEER = "scikit-learn"
LIBRARIES = ("sklearn", "trimesh")  # that ours are compared with
Values = NDArray[np.float32]


def list_missing() -> list[str]:
    """Libraries that ours would be compared with if they were installed, and what brings them."""
    missing = [say_missing(module) for module in LIBRARIES if find_spec(module) is None]
    return missing if find_spec("vtkmodules") else [*missing, "VTK is not installed; pip install vtk"]


def voronoi_cells(size: int, cells: int) -> NDArray[np.int32]:
    """Label a cube by its nearest of some points, (size, size, size)."""
    from scipy.ndimage import distance_transform_edt

    rng = np.random.default_rng(0)
    labels = np.full((size, size, size), -1, np.int32)
    labels[tuple(rng.integers(0, size, (3, cells)))] = np.arange(cells)
    nearest = distance_transform_edt(labels < 0, return_distances=False, return_indices=True)
    found: NDArray[np.int32] = labels[tuple(nearest)]
    return found


def make_grains(size: int) -> Values:
    """Make what a network would: a value in [0, 1) for every cell, noise on it, and stray voxels."""
    cells = voronoi_cells(size, max(2, size**3 // VOXELS_PER_GRAIN))
    rng = np.random.default_rng(1)
    values: Values = rng.random(cells.max() + 1, np.float32)[cells]
    stray = rng.random(cells.shape, np.float32) < STRAY
    values[stray] = rng.random(int(stray.sum()), np.float32)
    values += np.float32(NOISE) * rng.standard_normal(cells.shape, np.float32)
    return values


def measure_host(threads: int, repeats: int) -> Table:
    """Measure how fast so many threads copy, and so how fast values could be read and labels written once."""
    machine = machine_table()
    machine.facts["threads"] = threads
    machine.detail += f", {threads} thread{'s' * (threads > 1)}; aims in brackets are for 2"
    copy = copying(np.ones(COPY_BYTES, np.uint8), threads)
    machine.note(COPY, "GB/s", *(COPY_BYTES / copy() / 1e9 for _ in range(2 * repeats + 1)))
    machine.note("memory allows", "Mvoxel/s", 2 * machine[COPY] * 1e3 / LEAST_BYTES)
    return machine


def measure_segmentation(sizes: Sequence[int], machine: Table, repeats: int, peer_up_to: int) -> Measuring:
    """Measure segmentation of volumes, and up to a size scikit-learn's, which takes seconds and is run once.

    Raises
    ------
    MicrorunError
        If scikit-learn finds other grains.
    """
    tables = [Table(f"segmentation, {size}³") for size in sizes]
    for number, (size, table) in enumerate(zip(sizes, tables, strict=True)):
        yield Progress(number, len(sizes), table.title)
        values = make_grains(size)
        labels = _segment(table, values, machine.facts["threads"], repeats)
        table.note("speed", "Mvoxel/s", values.size / table["time"] / 1e3, remark="(≥ 40)")
        table.ratio("of memory", "speed", "memory allows", of=machine)
        if size <= peer_up_to and find_spec("sklearn"):
            yield Progress(number, len(sizes), f"scikit-learn's DBSCAN, {size}³")
            table.note(PEER, "ms", 1e3 * check_with_peer(values, labels))
            table.ratio(f"× {PEER}", PEER, "time", remark="(≥ 300)")
    return tables


def check_with_peer(values: Values, labels: Labels) -> float:
    """Seconds of scikit-learn's DBSCAN on a volume; MicrorunError if its labels are not ours."""
    from sklearn.cluster import DBSCAN

    scaled = values.ravel().astype(np.float64) * VALUE_SCALE
    points = np.column_stack([*np.indices(values.shape).reshape(3, -1), scaled])
    peer = DBSCAN(eps=OPTIONS.eps, min_samples=OPTIONS.min_samples, algorithm="kd_tree")
    seconds = seconds_of(lambda: peer.fit(points))
    if not np.array_equal(peer.labels_, labels.ravel()):
        raise MicrorunError(
            f"expected scikit-learn's labels at {len(values)}³, ours differ: a defect; please report it"
        )
    return seconds


def measure_tiling(size: int, repeats: int) -> Table:
    """Measure how long the tiling of a cube takes."""
    table, work = Table(f"tiling, {size}³"), partial(tile_isotropic, (size, size, size))
    table.note("blocks", "", len(work()))
    table.note("time", "ms", *(1e3 * seconds_of(work) for _ in range(repeats)), remark="(< 50)")
    return table


def _segment(table: Table, values: Values, threads: int, repeats: int) -> Labels:
    volume, warm = Volume(values, "benchmark"), Volume(values[:2], "warm-up")
    segment(warm, OPTIONS, np.empty(warm.shape, np.int32), threads)
    if values.size >= WEIGHED_VOXELS:
        peak = peak_bytes(lambda: segment(volume, OPTIONS, np.empty(values.shape, np.int32), threads))
        if peak is not None:
            table.note("memory", "B/voxel", (values.nbytes + peak) / values.size, remark="(≤ 12)")
    labels = np.empty(values.shape, np.int32)
    work = partial(segment, volume, OPTIONS, labels, threads)
    found = work()
    table.note("grains", "", found.grains)
    table.note("noise", "%", 100 * found.noise / values.size)
    table.note("time", "ms", *(1e3 * seconds_of(work) for _ in range(repeats)))
    return labels
