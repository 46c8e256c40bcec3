"""What `microrun bench segment` measures: grains, parts and tilings, against the libraries usual for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from microrun.cli.bench.machine import cpu_name, on_all_cores
from microrun.cli.bench.peers import has
from microrun.cli.bench.timing import median_seconds, peak_bytes, seconds_of
from microrun.runtime.cores import count_cores
from microrun.runtime.errors import MicrorunError
from microrun.runtime.generation.tiling import tile_isotropic
from microrun.runtime.volumes.segment import Labels, SegmentOptions, segment
from microrun.runtime.volumes.volume import Volume

SIZES = (64, 128, 256)
ALWAYS, LARGE = 64, 128  # largest sizes that scikit-learn is given, and is given when asked
VOXELS_PER_GRAIN = 1728
NOISE, STRAY = 0.0025, 0.01  # standard deviation of the values, and the share of voxels with any value
VALUE_SCALE = 100.0
OPTIONS = SegmentOptions(VALUE_SCALE)
LEAST_BYTES = 8  # that must move for a voxel: its value read, its label written
WEIGHED_VOXELS = 1 << 20
COPY_BYTES = 1 << 28
OURS = "microrun"
TILED = 320
Values = NDArray[np.float32]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Host:
    """The processor, cores that this process may use, threads of our kernels, and bytes copied per second by them."""

    cpu: str
    cores: int
    threads: int
    copy_bytes_s: float


@dataclass(frozen=True)
class Segmented:
    """Segmentation of one noisy volume.

    Parameters
    ----------
    size
        Voxels along each axis.
    grains, noise
        Found, and the share of the voxels that is in none.
    seconds, voxels_s
        Median time, and voxels per second.
    voxel_bytes
        Memory per voxel at most, values and labels included; None where the system does not tell, and of volumes
        so small that other things weigh as much.
    of_memory
        Voxels per second, of what copying would allow if values were read once and labels written once.
    peer_seconds, of_peer
        Of scikit-learn's DBSCAN, with the same labels, and how often faster we are; None where it was not run.
    """

    size: int
    grains: int
    noise: float
    seconds: float
    voxels_s: float
    voxel_bytes: float | None
    of_memory: float
    peer_seconds: float | None
    of_peer: float | None


@dataclass(frozen=True)
class Tiled:
    """A tiling: voxels along each axis, its blocks, and the median time to plan it."""

    size: int
    blocks: int
    seconds: float


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


def measure_host(threads: int, repeats: int) -> Host:
    """Measure how fast so many threads copy."""
    source = np.ones(COPY_BYTES, np.uint8)
    target = np.empty_like(source)

    def copy(part: slice, _: int) -> None:
        np.copyto(target[part], source[part])

    taken = sorted(on_all_cores(copy, COPY_BYTES, threads) for _ in range(2 * repeats + 1))
    return Host(cpu_name(), count_cores(), threads, COPY_BYTES / taken[repeats])


def measure_segmentation(sizes: Sequence[int], host: Host, repeats: int, peer_up_to: int, say: Say) -> list[Segmented]:
    """Measure segmentation, and where it is not too slow scikit-learn's.

    Parameters
    ----------
    sizes
        Of the volumes, ascending.
    host
        From `measure_host`.
    repeats
        Of ours; scikit-learn takes seconds and is run once.
    peer_up_to
        Largest size for scikit-learn; 0 to leave it out.
    say
        Called with what is being done.

    Raises
    ------
    MicrorunError
        If scikit-learn finds other grains.
    """
    results = []
    for size in sizes:
        say(f"segmentation, {size}³")
        values = make_grains(size)
        own, labels = _time_segmentation(values, host, repeats)
        if size <= peer_up_to and has("sklearn"):
            say(f"scikit-learn's DBSCAN, {size}³")
            own = _beside_peer(own, values, labels)
        results.append(own)
    return results


def measure_tiling(size: int, repeats: int) -> Tiled:
    """Measure how long the plan of a cube takes."""
    plan = partial(tile_isotropic, (size, size, size))
    return Tiled(size, len(plan()), median_seconds(plan, repeats))


def _time_segmentation(values: Values, host: Host, repeats: int) -> tuple[Segmented, Labels]:
    volume, threads = Volume(values, "benchmark"), host.threads
    warm = Volume(values[:2], "warm-up")
    segment(warm, OPTIONS, np.empty(warm.shape, np.int32), threads)
    peak = None
    if values.size >= WEIGHED_VOXELS:
        peak = peak_bytes(lambda: segment(volume, OPTIONS, np.empty(values.shape, np.int32), threads))
    labels = np.empty(values.shape, np.int32)
    work = partial(segment, volume, OPTIONS, labels, threads)
    found = work()
    seconds = median_seconds(work, repeats)
    rate, possible = values.size / seconds, 2 * host.copy_bytes_s / LEAST_BYTES
    memory = None if peak is None else (values.nbytes + peak) / values.size
    noise = found.noise / values.size
    return Segmented(len(values), found.grains, noise, seconds, rate, memory, rate / possible, None, None), labels


def _beside_peer(own: Segmented, values: Values, labels: Labels) -> Segmented:
    from sklearn.cluster import DBSCAN

    scaled = values.ravel().astype(np.float64) * VALUE_SCALE
    points = np.column_stack([*np.indices(values.shape).reshape(3, -1), scaled])
    peer = DBSCAN(eps=OPTIONS.eps, min_samples=OPTIONS.min_samples, algorithm="kd_tree")
    seconds = seconds_of(lambda: peer.fit(points))
    if not np.array_equal(peer.labels_, labels.ravel()):
        raise MicrorunError(f"expected scikit-learn's labels at {own.size}³, ours differ: a defect; please report it")
    return dataclasses.replace(own, peer_seconds=seconds, of_peer=seconds / own.seconds)
