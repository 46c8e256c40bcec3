"""Invented samples with known truth: grains, twins, sub-grains, cells with more dislocations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

OVERSAMPLING = 8  # truth is drawn this much finer than the map's step
TWIN = Rotation.from_rotvec(np.deg2rad(60) * np.ones(3) / np.sqrt(3))  # Σ3 of the face-centred cubic lattice


@dataclass(frozen=True)
class Sample:
    """The truth of a map.

    Parameters
    ----------
    cell, grain
        (rows, cols) int64: the cell under each point, and the grain (or twin) it belongs to.
    neighbour, mixture
        (rows, cols): the other cell in the interaction volume, and its share in [0, 0.5].
    rotations
        (cells, 4) unit quaternions, scalar first.
    blur_px
        (cells,) blur of each cell, in pixels of a 120-pixel pattern.
    centre_shift
        (cells, 3) shift of the pattern centre (x*, y*, z*) against the simulator's.
    """

    cell: NDArray[np.int64]
    grain: NDArray[np.int64]
    neighbour: NDArray[np.int64]
    mixture: NDArray[np.float32]
    rotations: NDArray[np.float64]
    blur_px: NDArray[np.float64]
    centre_shift: NDArray[np.float64]

    @property
    def nav_shape(self) -> tuple[int, int]:
        """(rows, cols) of the map."""
        rows, cols = self.cell.shape
        return rows, cols


def grow_sample(
    nav_shape: tuple[int, int],
    grains: int,
    seed: int,
    interaction: float = 0.35,
    base_blur_px: float = 0.8,
    centre_jitter: float = 0.0,
) -> Sample:
    """Invent a polycrystal: Voronoi grains, twin lamellae, sub-grain cells rotated by 0.2–2°.

    Parameters
    ----------
    nav_shape
        (rows, cols) of the map.
    grains
        Number of grains; a third of them get a twin lamella.
    seed
        The same seed gives the same sample.
    interaction
        Radius of the interaction volume in steps: how far from a boundary patterns mix.
    base_blur_px
        Blur of a perfect crystal; a third of the cells gets 0.6 to 1.6 px more.
    centre_jitter
        Standard deviation of the cells' pattern centres.

    Returns
    -------
    Sample
    """
    rng = np.random.default_rng(seed)
    rows, cols = nav_shape
    fine_y, fine_x = (np.arange(n * OVERSAMPLING) / OVERSAMPLING for n in nav_shape)
    points = np.stack(np.meshgrid(fine_y, fine_x, indexing="ij"), axis=-1)
    seeds = rng.uniform((0, 0), nav_shape, (grains, 2))
    grain = cKDTree(seeds).query(points)[1]
    rotations = list(Rotation.random(grains, rng))
    for parent in rng.permutation(grains)[: grains // 3]:
        normal = rng.normal(size=2)
        normal /= np.linalg.norm(normal)
        width = 0.15 * np.sqrt(rows * cols / grains)
        lamella = (np.abs((points - seeds[parent]) @ normal) < width) & (grain == parent)
        grain[lamella] = len(rotations)
        rotations.append(rotations[parent] * TWIN)
    subcell = cKDTree(rng.uniform((0, 0), nav_shape, (5 * grains, 2))).query(points)[1]
    pairs, cell = np.unique(np.stack([grain.ravel(), subcell.ravel()]), axis=1, return_inverse=True)
    cell = cell.reshape(grain.shape)
    count = pairs.shape[1]
    angles = np.deg2rad(rng.uniform(0.1, 1.0, count))  # two cells of a grain then differ by up to 2°
    axes = rng.normal(size=(count, 3))
    axes *= (angles / np.linalg.norm(axes, axis=1))[:, None]
    cell_rotations = Rotation.concatenate([rotations[g] for g in pairs[0]]) * Rotation.from_rotvec(axes)
    extra = np.where(rng.uniform(size=count) < 1 / 3, rng.uniform(0.6, 1.6, count), 0)
    centre = OVERSAMPLING // 2
    neighbour, mixture = _mix(cell, interaction)
    return Sample(
        cell[centre::OVERSAMPLING, centre::OVERSAMPLING],
        grain[centre::OVERSAMPLING, centre::OVERSAMPLING],
        neighbour,
        mixture,
        cell_rotations.as_quat(scalar_first=True),
        base_blur_px + extra,
        rng.normal(0, centre_jitter, (count, 3)),
    )


def random_sample(
    nav_shape: tuple[int, int], seed: int, blur_px: tuple[float, float] = (0.6, 2.2), centre_jitter: float = 0.0
) -> Sample:
    """Invent a map whose every point has an orientation of its own, over all of SO(3).

    Parameters
    ----------
    nav_shape
        (rows, cols) of the map.
    seed
        The same seed gives the same sample.
    blur_px
        Smallest and largest blur, in pixels of a 120-pixel pattern.
    centre_jitter
        Standard deviation of the points' pattern centres.
    """
    rng = np.random.default_rng(seed)
    count = nav_shape[0] * nav_shape[1]
    cell = np.arange(count).reshape(nav_shape)
    rotations = Rotation.random(count, rng).as_quat(scalar_first=True)
    blur = rng.uniform(*blur_px, count)
    shift = rng.normal(0, centre_jitter, (count, 3))
    return Sample(cell, cell, cell, np.zeros(nav_shape, np.float32), rotations, blur, shift)


def _mix(cell: NDArray[np.int64], interaction: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the nearest other cell within two radii and its share of a normal interaction volume."""
    reach = int(2 * interaction * OVERSAMPLING)
    offsets = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
    offsets = offsets[np.argsort((offsets**2).sum(axis=1), kind="stable")]
    weights = np.exp(-(offsets**2).sum(axis=1) / (2 * (interaction * OVERSAMPLING) ** 2))
    padded = np.pad(cell, reach, mode="edge")
    centre = OVERSAMPLING // 2
    own = cell[centre::OVERSAMPLING, centre::OVERSAMPLING]
    neighbour, mixture = own.copy(), np.zeros(own.shape)
    for (dy, dx), weight in zip(offsets + reach + centre, weights / weights.sum(), strict=True):
        there = padded[dy::OVERSAMPLING, dx::OVERSAMPLING][: own.shape[0], : own.shape[1]]
        neighbour = np.where((neighbour == own) & (there != own), there, neighbour)
        mixture += weight * ((there == neighbour) & (there != own))
    return neighbour, np.minimum(mixture, 0.5).astype(np.float32)
