"""Invented samples with known truth: grains, twins, sub-grains, cells with more dislocations, particles."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    phase
        (cells,) number in `PHASES`.
    shading
        (cells, 3) relative brightness: change of the whole, and gradients from the middle to the right and to
        the lower edge. Topography and composition do this; it is no part of a static background.
    """

    cell: NDArray[np.int64]
    grain: NDArray[np.int64]
    neighbour: NDArray[np.int64]
    mixture: NDArray[np.float32]
    rotations: NDArray[np.float64]
    blur_px: NDArray[np.float64]
    centre_shift: NDArray[np.float64]
    phase: NDArray[np.int64]
    shading: NDArray[np.float64]

    @property
    def nav_shape(self) -> tuple[int, int]:
        """(rows, cols) of the map."""
        rows, cols = self.cell.shape
        return rows, cols


@dataclass(frozen=True)
class Recipe:
    """What invented samples are made of.

    Parameters
    ----------
    blur_px
        Smallest and largest blur of cells with dislocations, in pixels of a 120-pixel pattern.
    perfect_blur_px
        Blur of a perfect crystal: two thirds of the cells of a polycrystal.
    subgrain_deg
        Smallest and largest rotation of a cell against its grain; two cells of a grain differ by up to twice
        as much.
    interaction
        Radius of the interaction volume in steps: how far from a boundary patterns mix.
    particles
        Number of particles of the second phase, of 1 to 2.5 steps radius.
    centre_jitter
        Standard deviation of the cells' pattern centres.
    shading
        Standard deviation of the cells' relative brightness and its gradients.
    """

    blur_px: tuple[float, float] = (1.4, 2.4)
    perfect_blur_px: float = 0.8
    subgrain_deg: tuple[float, float] = (0.1, 1.0)
    interaction: float = 0.35
    particles: int = 0
    centre_jitter: float = 0.0
    shading: float = 0.0


def grow_sample(nav_shape: tuple[int, int], grains: int, seed: int, recipe: Recipe = Recipe()) -> Sample:
    """Invent a polycrystal: Voronoi grains, twin lamellae, rotated and deformed sub-grain cells, particles.

    Parameters
    ----------
    nav_shape
        (rows, cols) of the map.
    grains
        Number of grains; a third of them get a twin lamella, and each has five cells on average.
    seed
        The same seed gives the same sample.
    recipe
        What the cells are like.

    Returns
    -------
    Sample
    """
    rng = np.random.default_rng(seed)
    fine_y, fine_x = (np.arange(n * OVERSAMPLING) / OVERSAMPLING for n in nav_shape)
    points = np.stack(np.meshgrid(fine_y, fine_x, indexing="ij"), axis=-1)
    seeds = rng.uniform((0, 0), nav_shape, (grains, 2))
    grain = cKDTree(seeds).query(points)[1]
    rotations = list(Rotation.random(grains, rng))
    _add_twins(grain, rotations, points, seeds, rng)
    phase = np.zeros(len(rotations) + recipe.particles, np.int64)
    phase[len(rotations) :] = 1
    _add_particles(grain, rotations, points, recipe.particles, rng)
    subcell = cKDTree(rng.uniform((0, 0), nav_shape, (5 * grains, 2))).query(points)[1]
    subcell[phase[grain] == 1] = 0
    pairs, cell = np.unique(np.stack([grain.ravel(), subcell.ravel()]), axis=1, return_inverse=True)
    cell = cell.reshape(grain.shape)
    count = pairs.shape[1]
    axes = rng.normal(size=(count, 3))
    axes *= (np.deg2rad(rng.uniform(*recipe.subgrain_deg, count)) / np.linalg.norm(axes, axis=1))[:, None]
    cell_rotations = Rotation.concatenate([rotations[g] for g in pairs[0]]) * Rotation.from_rotvec(axes)
    blur_px = np.where(rng.uniform(size=count) < 1 / 3, rng.uniform(*recipe.blur_px, count), recipe.perfect_blur_px)
    middle = OVERSAMPLING // 2
    neighbour, mixture = _mix(cell, recipe.interaction)
    return Sample(
        cell[middle::OVERSAMPLING, middle::OVERSAMPLING],
        grain[middle::OVERSAMPLING, middle::OVERSAMPLING],
        neighbour,
        mixture,
        cell_rotations.as_quat(scalar_first=True),
        blur_px,
        rng.normal(0, recipe.centre_jitter, (count, 3)),
        phase[pairs[0]],
        rng.normal(0, recipe.shading, (count, 3)),
    )


def random_sample(nav_shape: tuple[int, int], seed: int, recipe: Recipe = Recipe()) -> Sample:
    """Invent a map whose every point has an orientation of its own, over all of SO(3), and one phase.

    Parameters
    ----------
    nav_shape
        (rows, cols) of the map.
    seed
        The same seed gives the same sample.
    recipe
        Every point is deformed.
    """
    count = nav_shape[0] * nav_shape[1]
    rotations = Rotation.random(count, np.random.default_rng(seed)).as_quat(scalar_first=True)
    return map_sample(rotations.reshape(*nav_shape, 4), seed, recipe)


def scatter_sample(grains: int, points: int, seed: int, recipe: Recipe = Recipe()) -> Sample:
    """Invent grains whose every point is rotated and deformed on its own: to ask what tells the two apart.

    Parameters
    ----------
    grains, points
        Rows and columns of the map: each row is a grain.
    seed
        The same seed gives the same sample.
    recipe
        Its blur and sub-grain rotations, each drawn evenly for every point.
    """
    rng = np.random.default_rng(seed)
    grain = np.repeat(np.arange(grains), points)
    axes = rng.normal(size=(len(grain), 3))
    axes *= (np.deg2rad(rng.uniform(*recipe.subgrain_deg, len(grain))) / np.linalg.norm(axes, axis=1))[:, None]
    turned = Rotation.random(grains, rng)[grain] * Rotation.from_rotvec(axes)
    sample = map_sample(turned.as_quat(scalar_first=True).reshape(grains, points, 4), seed, recipe)
    return replace(sample, grain=grain.reshape(grains, points))


def map_sample(rotations: NDArray[np.float64], seed: int, recipe: Recipe = Recipe()) -> Sample:
    """Lay given orientations out on a map: every point is a cell and a grain of its own.

    Parameters
    ----------
    rotations
        (rows, cols, 4) unit quaternions, scalar first.
    seed
        Of blur and shading.
    recipe
        Every point is deformed.
    """
    rng = np.random.default_rng((seed, 1))
    nav_shape = rotations.shape[:2]
    count = nav_shape[0] * nav_shape[1]
    cell = np.arange(count).reshape(nav_shape)
    return Sample(
        cell,
        cell,
        cell,
        np.zeros(nav_shape, np.float32),
        rotations.reshape(count, 4),
        rng.uniform(*recipe.blur_px, count),
        rng.normal(0, recipe.centre_jitter, (count, 3)),
        np.zeros(count, np.int64),
        rng.normal(0, recipe.shading, (count, 3)),
    )


def _add_twins(
    grain: NDArray[np.int64],
    rotations: list[Rotation],
    points: NDArray[np.float64],
    seeds: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Give a third of the grains a lamella, which becomes a grain of its own."""
    grains = len(seeds)
    rows, cols = (n / OVERSAMPLING for n in grain.shape)
    for parent in rng.permutation(grains)[: grains // 3]:
        normal = rng.normal(size=2)
        normal /= np.linalg.norm(normal)
        width = 0.15 * np.sqrt(rows * cols / grains)
        lamella = (np.abs((points - seeds[parent]) @ normal) < width) & (grain == parent)
        grain[lamella] = len(rotations)
        rotations.append(rotations[parent] * TWIN)


def _add_particles(
    grain: NDArray[np.int64],
    rotations: list[Rotation],
    points: NDArray[np.float64],
    particles: int,
    rng: np.random.Generator,
) -> None:
    """Put round particles anywhere, each with an orientation of its own."""
    limits = (grain.shape[0] / OVERSAMPLING, grain.shape[1] / OVERSAMPLING)
    for centre, radius in zip(rng.uniform((0, 0), limits, (particles, 2)), rng.uniform(1, 2.5, particles), strict=True):
        grain[((points - centre) ** 2).sum(axis=-1) < radius**2] = len(rotations)
        rotations.append(Rotation.random(rng=rng))


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
