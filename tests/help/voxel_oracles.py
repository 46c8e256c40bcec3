"""Slow, obvious twins of the kernels on voxels: solid angles for surfaces, one grain after the other for grains."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Labels = NDArray[Any]


def winding_numbers(triangles: Float, points: Float) -> Float:
    """How often a surface winds about points: the sum of its triangles' solid angles over 4π (van Oosterom)."""
    a, b, c = (triangles[:, corner] - points[:, None] for corner in range(3))
    lengths = [np.linalg.norm(vector, axis=-1) for vector in (a, b, c)]
    volume = np.einsum("pti,pti->pt", a, np.cross(b, c))
    nominal = np.prod(lengths, axis=0)
    for (one, two), third in zip(((a, b), (b, c), (c, a)), (2, 0, 1), strict=True):
        nominal = nominal + np.einsum("pti,pti->pt", one, two) * lengths[third]
    total: Float = (2 * np.arctan2(volume, nominal)).sum(axis=1) / (4 * np.pi)
    return total


def sides_of_tetrahedron(corners: NDArray[np.int64], points: NDArray[np.int64]) -> NDArray[np.int64]:
    """1 for points (n, 3) inside of four corners, −1 outside, 0 on the surface; in whole numbers."""
    signs = []
    for n in range(4):
        face, apex = np.delete(corners, n, axis=0), corners[n]
        normal = np.cross(face[1] - face[0], face[2] - face[0])
        signs.append(np.sign((points - face[0]) @ normal) * np.sign((apex - face[0]) @ normal))
    found: NDArray[np.int64] = np.min(signs, axis=0)
    return found


def voxel_centres(triangles: Float, shape: tuple[int, ...], edge: float | None = None) -> Float:
    """Centres of a grid of cubes, (voxels, 3) as z, y, x, centred on the part and as large along its longest side."""
    low, high = triangles.min(axis=(0, 1)), triangles.max(axis=(0, 1))
    edge = edge or (high - low).max() / max(shape)
    start = (low + high) / 2 - np.array(shape) * edge / 2
    return start + (np.indices(shape).reshape(3, -1).T + 0.5) * edge


def inside(triangles: Float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """True where the surface winds about a voxel's centre."""
    numbers = winding_numbers(triangles, voxel_centres(triangles, shape))
    return np.abs(numbers).round().astype(bool).reshape(shape)


class Grain(NamedTuple):
    """A grain in voxels; its moments are those of its voxels as cubes."""

    voxels: int
    centroid: Float
    semi_axes: Float
    faces: int
    neighbours: int
    touches_boundary: bool


def measure_grain(labels: Labels, label: int) -> Grain:
    """Measure one grain."""
    own = labels == label
    places = np.argwhere(own)
    centred = places - places.mean(axis=0)
    variances = np.linalg.eigvalsh(centred.T @ centred / len(places) + np.eye(3) / 12)[::-1]
    beside: list[int] = []
    at_boundary = False
    for place in places:
        for axis in range(3):
            for step in (-1, 1):
                other = place.copy()
                other[axis] += step
                if 0 <= other[axis] < labels.shape[axis]:
                    beside.append(int(labels[tuple(other)]))
                    at_boundary |= beside[-1] < 0
                else:
                    at_boundary = True
    foreign = [number for number in beside if number != label]
    neighbours = {number for number in foreign if number >= 0}
    return Grain(
        len(places), places.mean(axis=0) + 0.5, np.sqrt(5 * variances), len(foreign), len(neighbours), at_boundary
    )


def nearest_distances(centroids: Float) -> Float:
    """Distance of each point to the nearest other."""
    distances = np.linalg.norm(centroids[:, None] - centroids, axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest: Float = distances.min(axis=1)
    return nearest


def voronoi(shape: tuple[int, int, int], grains: int, seed: int) -> NDArray[np.int32]:
    """Grains as the voxels nearest to random points."""
    points = np.random.default_rng(seed).uniform(0, shape, (grains, 3))
    voxels = np.indices(shape).reshape(3, -1).T + 0.5
    nearest = [np.argmin(((voxel - points) ** 2).sum(axis=1)) for voxel in voxels]
    return np.array(nearest, np.int32).reshape(shape)
