"""Sections with known answers: grains of a random mosaic, wider with power and lower with speed."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from microrun.runtime.sections.orientations import N_ORIENTATIONS, TABLE_1
from microrun.runtime.sections.section_set import Plane, SectionSet

POWERS, SPEEDS = (100.0, 200.0), (0.5, 1.0)


def draw_mosaic(side: int, width: float, height: float, rng: np.random.Generator) -> np.ndarray:
    """Grain of every cell, (side, side) int32: the nearest of random points, by distances in shares of a grain."""
    count = max(2, round(4 * side * side / (width * height)))
    points = rng.uniform(-0.5 * side, 1.5 * side, (count, 2)) / (height, width)
    cells = np.indices((side, side)).reshape(2, -1).T / (height, width)
    return cKDTree(points).query(cells)[1].reshape(side, side).astype(np.int32)


def make_sections(cases: int = 4, each: int = 3, side: int = 16, plane: Plane = "across", seed: int = 0) -> SectionSet:
    """Some sections of several cases, whose power and speed are spread over their windows, corners included."""
    rng = np.random.default_rng(seed)
    power, speed = (np.linspace(*window, cases) for window in (POWERS, SPEEDS))
    speed = np.roll(speed, cases // 2)
    grains = np.stack(
        [draw_mosaic(side, w / 20, 6 / v, rng) for w, v in zip(power, speed, strict=True) for _ in range(each)]
    )
    orientation = np.stack([rng.integers(N_ORIENTATIONS, size=g.max() + 1).astype(np.int8)[g] for g in grains])
    return SectionSet(
        orientation, grains, power.repeat(each), speed.repeat(each), np.arange(cases, dtype=np.int32).repeat(each),
        TABLE_1.copy(), plane, origin="simulation",
    )  # fmt: skip
