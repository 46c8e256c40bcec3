"""Slow, obvious twins of the segmentation, and volumes to try it on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Values = NDArray[Any]
Labels = NDArray[np.int32]


def random_grains(shape: tuple[int, int, int], grains: int, seed: int = 0, noise: float = 0.02) -> NDArray[np.float32]:
    """Cells around random seeds, each of its own value in [0, 1), with noise and stray voxels."""
    rng = np.random.default_rng(seed)
    seeds = tuple(rng.integers(0, size, grains) for size in shape)
    place = np.zeros(shape, np.int64)
    place[seeds] = np.arange(1, grains + 1)
    nearest = ndimage.distance_transform_edt(place == 0, return_distances=False, return_indices=True)
    values = rng.random(grains + 1)[place[tuple(nearest)]]
    values = np.where(rng.random(shape) < 0.01, rng.random(shape), values)
    return (values + noise * rng.standard_normal(shape) / 8).astype(np.float32)


def points_of(values: Values, scale: float) -> NDArray[np.float64]:
    """Voxels with a value as (z, y, x, value × scale), in scan order."""
    z, y, x = np.nonzero(np.isfinite(values))
    return np.column_stack([z, y, x, values[z, y, x].astype(np.float64) * scale])


def sklearn_dbscan(values: Values, eps: float, min_samples: int, scale: float) -> Labels:
    """What scikit-learn says; few points it would compare by another formula, hence the tree."""
    from sklearn.cluster import DBSCAN

    clustering = DBSCAN(eps=eps, min_samples=min_samples, algorithm="kd_tree").fit(points_of(values, scale))
    labels = np.full(values.shape, -1, np.int32)
    labels[np.isfinite(values)] = clustering.labels_
    return labels


def dbscan(values: Values, eps: float, min_samples: int, scale: float) -> Labels:
    """The textbook, on all pairs of points."""
    points = points_of(values, scale)
    squares = (points[:, None] - points[None]) ** 2
    close = squares[..., :3].sum(axis=-1) + squares[..., 3] <= eps * eps
    core = close.sum(axis=1) >= min_samples
    found = np.full(len(points), -1)
    clusters = 0
    for start in np.flatnonzero(core):
        if found[start] >= 0:
            continue
        waiting = [start]
        while waiting:
            point = waiting.pop()
            if found[point] < 0:
                found[point] = clusters
                waiting += list(np.flatnonzero(close[point])) if core[point] else []
        clusters += 1
    labels = np.full(values.shape, -1, np.int32)
    labels[np.isfinite(values)] = found
    return labels


def components(values: Values, neighbours: int) -> Labels:
    """Connected voxels of one value, by scipy, numbered by their first voxel; values below 0 have none."""
    structure = ndimage.generate_binary_structure(3, {6: 1, 26: 3}[neighbours])
    whole = np.full(values.shape, -1)
    for value in np.unique(values[values >= 0]):
        found, _ = ndimage.label(values == value, structure)
        whole[found > 0] = found[found > 0] + whole.max() + 1
    return number_by_first(whole)


def number_by_first(labels: NDArray[Any]) -> Labels:
    """Number labels in the order in which they come."""
    out = np.full(labels.shape, -1, np.int32)
    names: dict[int, int] = {}
    for place, label in np.ndenumerate(labels):
        if label >= 0:
            out[place] = names.setdefault(int(label), len(names))
    return out


def neighbours_of(place: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The six around a voxel that are within the volume."""
    for axis in range(3):
        for step in (-1, 1):
            beside = tuple(at + step * (axis == n) for n, at in enumerate(place))
            if 0 <= beside[axis] < shape[axis]:
                yield beside


def fill(labels: Labels, fillable: NDArray[np.bool_]) -> Labels:
    """Round after round, until nothing changes."""
    while True:
        filled = fill_round(labels, fillable)
        if (filled == labels).all():
            return filled
        labels = filled


def fill_round(labels: Labels, fillable: NDArray[np.bool_]) -> Labels:
    """Noise takes the most frequent label around, of several the lowest."""
    filled = labels.copy()
    for place in zip(*np.nonzero((labels < 0) & fillable), strict=True):
        votes = Counter(int(labels[beside]) for beside in neighbours_of(place, labels.shape))
        del votes[-1]
        if votes:
            filled[place] = min(votes, key=lambda label: (-votes[label], label))
    return filled


def absorb(labels: Labels, min_voxels: int) -> Labels:
    """Counting all faces anew for every grain that is absorbed."""
    labels, alone = labels.copy(), set()
    while True:
        sizes = Counter(labels[labels >= 0].tolist())
        tiny = [grain for grain in sizes if sizes[grain] < min_voxels and grain not in alone]
        if not tiny:
            remaining = np.unique(labels[labels >= 0])
            closed = np.searchsorted(remaining, labels)
            return np.where(labels < 0, -1, closed).astype(np.int32)
        grain = min(tiny, key=lambda label: (sizes[label], label))
        faces = Counter(
            int(labels[beside])
            for place in zip(*np.nonzero(labels == grain), strict=True)
            for beside in neighbours_of(place, labels.shape)
        )
        del faces[grain], faces[-1]
        if faces:
            labels[labels == grain] = min(faces, key=lambda label: (-faces[label], label))
        else:
            alone.add(grain)
