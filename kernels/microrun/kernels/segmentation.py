"""DBSCAN on a lattice: the label array of scikit-learn, from passes over slabs of a volume.

Who is a neighbour, and who a core, says a rule of `neighbourhood`. A slab is clustered on its own, with a plane of
values on either side; faces of slabs are joined afterwards, and clusters are numbered by their first core voxel in
scan order. So neither slabs nor threads show in the result.

A slab's labels (int32) are first the parents of a union-find over core voxels, whose roots are the first voxels of
their clusters, then numbers of clusters within the slab; −1 for all other voxels. `borders` finishes them.

Values that are NaN or infinite are no points: no comparison with them holds, hence these kernels do without fast-math.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import exact_kernel
from microrun.kernels.neighbourhood import Rule
from microrun.kernels.union_find import number_roots, unite


class Slab(NamedTuple):
    """Planes of a volume, float32 or float64: (depth, rows, cols), and the (rows, cols) below and above; NaN beyond."""

    values: NDArray[Any]
    below: NDArray[Any]
    above: NDArray[Any]


class Layer(NamedTuple):
    """One plane: values, and labels or marks; both (rows, cols)."""

    values: NDArray[Any]
    labels: NDArray[Any]


@exact_kernel
def cluster_slab(slab: Slab, rule: Rule, out: NDArray[np.int32]) -> tuple[int, int]:
    """Number the clusters of core voxels within a slab, in scan order.

    Parameters
    ----------
    slab
        Values.
    rule
        What neighbours and cores are.
    out
        (depth, rows, cols) int32, C order: the cluster of each core voxel, −1 for all others.

    Returns
    -------
    clusters, points
        How many there are; a point is a voxel with a finite value.
    """
    depth, rows, cols = slab.values.shape
    planes = np.full((3, rows + 2, cols + 2), np.nan)
    cores = np.full((2, rows + 2, cols + 2), np.nan)
    parents = out.reshape(-1)
    _load_plane(slab.below, rule.scale, planes[2])
    _load_plane(slab.values[0], rule.scale, planes[0])
    points = 0
    for z in range(depth):
        lower, plane, upper = planes[(z + 2) % 3], planes[z % 3], planes[(z + 1) % 3]
        if z + 1 < depth:
            _load_plane(slab.values[z + 1], rule.scale, upper)
        else:
            _load_plane(slab.above, rule.scale, upper)
        points += _keep_cores(lower, plane, upper, rule, cores[z % 2])
        _link_plane(cores[(z + 1) % 2], cores[z % 2], rule.limits, z * rows * cols, parents)
    return number_roots(parents), points


@exact_kernel
def join_faces(lower: Layer, upper: Layer, rule: Rule, parents: NDArray[np.int64]) -> None:
    """Unite the clusters that touch across two planes.

    Parameters
    ----------
    lower, upper
        The last plane of a slab and the first of the next; labels are places in ``parents``, −1 for no core.
    rule
        What neighbours are.
    parents
        (clusters,) int64 of all slabs, changed in place; parents are never after their children.
    """
    rows, cols = lower.values.shape
    for y in range(rows):
        for x in range(cols):
            if lower.labels[y, x] < 0:
                continue
            value = np.float64(lower.values[y, x]) * rule.scale
            for v in range(max(y - 1, 0), min(y + 2, rows)):
                for u in range(max(x - 1, 0), min(x + 2, cols)):
                    limit = rule.limits[1 + (v - y) ** 2 + (u - x) ** 2]
                    close = abs(np.float64(upper.values[v, u]) * rule.scale - value) <= limit
                    if close and upper.labels[v, u] >= 0:
                        unite(parents, lower.labels[y, x], upper.labels[v, u])


@exact_kernel
def _load_plane(values: NDArray[Any], scale: float, out: NDArray[np.float64]) -> None:
    """Scale a plane into one with a rim of NaN."""
    rows, cols = values.shape
    for y in range(rows):
        for x in range(cols):
            out[y + 1, x + 1] = np.float64(values[y, x]) * scale


@exact_kernel
def _keep_cores(
    lower: NDArray[np.float64],
    plane: NDArray[np.float64],
    upper: NDArray[np.float64],
    rule: Rule,
    out: NDArray[np.float64],
) -> int:
    """Copy the core voxels of a plane, put NaN for the others, and return the number of points."""
    rows, cols = plane.shape
    counts = np.empty(cols - 2, np.int64)
    points = 0
    for y in range(1, rows - 1):
        counts[:] = 0
        _count_plane(lower, plane[y], y, 1, rule.limits, counts)
        _count_plane(plane, plane[y], y, 0, rule.limits, counts)
        _count_plane(upper, plane[y], y, 1, rule.limits, counts)
        for x in range(cols - 2):
            points += counts[x] > 0
            out[y, x + 1] = plane[y, x + 1] if counts[x] >= rule.min_samples else np.nan
    return points


@exact_kernel
def _count_plane(
    plane: NDArray[np.float64],
    centre: NDArray[np.float64],
    y: int,
    squared_step: int,
    limits: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    for v in range(y - 1, y + 2):
        squared = squared_step + (v - y) ** 2
        _count_row(plane[v], centre, limits[squared], limits[squared + 1], counts)


@exact_kernel
def _count_row(
    row: NDArray[np.float64], centre: NDArray[np.float64], middle: float, side: float, counts: NDArray[np.int64]
) -> None:
    left, straight, right = row[:-2], row[1:-1], row[2:]
    value = centre[1:-1]
    for x in range(counts.size):
        counts[x] += (
            np.int64(abs(left[x] - value[x]) <= side)
            + np.int64(abs(straight[x] - value[x]) <= middle)
            + np.int64(abs(right[x] - value[x]) <= side)
        )


@exact_kernel
def _link_plane(
    below: NDArray[np.float64],
    plane: NDArray[np.float64],
    limits: NDArray[np.float64],
    first: int,
    parents: NDArray[np.int32],
) -> None:
    """Unite the cores of a plane, whose first voxel is ``first``, with one another and with those below."""
    rows, cols = plane.shape[0] - 2, plane.shape[1] - 2
    needed = np.empty(cols, np.uint8)
    for y in range(rows):
        here = first + y * cols
        centre = plane[y + 1]
        _start_runs(centre, limits[1], here, parents)
        _find_needed(plane[y], centre, limits[1:3], limits[1], needed)
        _unite_needed(needed, here, here - cols, parents)
        for v in range(y - 1, y + 2):
            squared = 1 + (v - y) ** 2
            _find_needed(below[v + 1], centre, limits[squared : squared + 2], limits[1], needed)
            _unite_needed(needed, here, here + (v - y - rows) * cols, parents)


@exact_kernel
def _start_runs(centre: NDArray[np.float64], limit: float, here: int, parents: NDArray[np.int32]) -> None:
    """Chain the cores of a row that follow one another."""
    for x in range(centre.size - 2):
        if np.isnan(centre[x + 1]):
            parents[here + x] = -1
        elif abs(centre[x + 1] - centre[x]) <= limit:
            parents[here + x] = parents[here + x - 1]
        else:
            parents[here + x] = here + x


@exact_kernel
def _find_needed(
    row: NDArray[np.float64],
    centre: NDArray[np.float64],
    limits: NDArray[np.float64],
    run: float,
    needed: NDArray[np.uint8],
) -> None:
    """Find the links to a row that do not follow from links along the rows and links further left.

    Bit 0 stands for the voxel straight across, 1 for its left and 2 for its right neighbour.
    """
    straight, side = limits[0], limits[1]
    before, value = centre[:-2], centre[1:-1]
    left, middle, right = row[:-2], row[1:-1], row[2:]
    for x in range(needed.size):
        along = abs(value[x] - before[x]) <= run
        left_run = abs(middle[x] - left[x]) <= run
        right_run = abs(right[x] - middle[x]) <= run
        across = abs(middle[x] - value[x]) <= straight
        known = along & (abs(left[x] - before[x]) <= straight)
        to_left = (abs(left[x] - value[x]) <= side) & (not (across & left_run)) & (not known)
        known_right = along & (abs(middle[x] - before[x]) <= side) & right_run
        to_right = (abs(right[x] - value[x]) <= side) & (not (across & right_run)) & (not known_right)
        across = across & (not (known & left_run))
        needed[x] = np.uint8(across) | (np.uint8(to_left) << 1) | (np.uint8(to_right) << 2)


@exact_kernel
def _unite_needed(needed: NDArray[np.uint8], here: int, there: int, parents: NDArray[np.int32]) -> None:
    for x in range(needed.size):
        if needed[x]:
            if needed[x] & 1:
                unite(parents, here + x, there + x)
            if needed[x] & 2:
                unite(parents, here + x, there + x - 1)
            if needed[x] & 4:
                unite(parents, here + x, there + x + 1)
