"""Small sets of sections that tests write, read and measure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.sections.orientations import TABLE_1
from microrun.runtime.sections.section_set import SectionSet


def make_set(orientation: NDArray[Any], **changes: Any) -> SectionSet:
    """A set of (n, rows, cols) orientations, one case each, at 150 W and 0.9 m/s unless told otherwise."""
    count = len(orientation)
    values: dict[str, Any] = {
        "grain": None,
        "power_w": np.full(count, 150.0),
        "speed_m_s": np.full(count, 0.9),
        "case": np.arange(count, dtype=np.int32),
        "euler": TABLE_1,
        "details": {"seed": "7"},
    }
    return SectionSet(orientation.astype(np.int8), **(values | changes))


def draw_cells(shape: tuple[int, int, int], n_seeds: int = 30, seed: int = 0) -> NDArray[np.int8]:
    """Voronoi cells in random orientations, another tessellation in each section."""
    generator = np.random.default_rng(seed)
    n, rows, cols = shape
    y, x = np.mgrid[:rows, :cols]
    sections = []
    for _ in range(n):
        seeds = generator.random((n_seeds, 2)) * (rows, cols)
        nearest = ((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(axis=-1)
        sections.append(generator.integers(0, len(TABLE_1), n_seeds)[nearest])
    return np.array(sections, np.int8)
