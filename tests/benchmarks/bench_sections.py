"""Grains, measures and structure tensors of sections, in one run; areas and axes against scikit-image.

    python tests/benchmarks/bench_sections.py

prints medians: milliseconds, sections of 100×100 cells per second, and how many times the peer's speed. Scikit-image
has neither intercepts nor tensors of labels.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from skimage.measure import regionprops_table
from timing import median_seconds

from microrun.runtime.sections.grains import find_grains
from microrun.runtime.sections.inclination import find_borders
from microrun.runtime.sections.measures import measure_intercepts, measure_shapes
from microrun.runtime.sections.orientations import TABLE_1
from microrun.runtime.sections.section_set import SectionSet

SECTIONS, SIDE, GRAINS, REPEATS = 32, 100, 120, 5
PROPERTIES = ("label", "area", "axis_major_length", "axis_minor_length")


def draw_sections() -> SectionSet:
    """Voronoi cells in random orientations."""
    generator = np.random.default_rng(0)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    cells = np.empty((SECTIONS, SIDE, SIDE), np.int8)
    for section in cells:
        seeds = generator.random((GRAINS, 2)) * SIDE
        nearest = ((rows[..., None] - seeds[:, 0]) ** 2 + (cols[..., None] - seeds[:, 1]) ** 2).argmin(axis=-1)
        section[:] = generator.integers(0, len(TABLE_1), GRAINS)[nearest]
    labels = np.ones(SECTIONS), np.ones(SECTIONS), np.zeros(SECTIONS, np.int32)
    return SectionSet(cells, None, *labels, TABLE_1)


def main() -> None:
    sections = draw_sections()
    grains = find_grains(sections, by_id=False)
    works = {
        "grains": partial(find_grains, sections, by_id=False),
        "intercepts of rows": partial(measure_intercepts, grains.labels, 2.0),
        "areas, aspect ratios": partial(measure_shapes, grains.labels, len(grains.section)),
        "tensors": partial(find_borders, grains.labels),
    }
    print(f"{'one core':<24}{'ms':>9}{'sections/s':>12}{'× peer':>10}")
    for name, work in works.items():
        ours = median_seconds(work, REPEATS)
        ratio = ""
        if work.func is measure_shapes:
            peer = partial(measure_with_peer, grains.labels)
            ratio = f"{median_seconds(peer, 1) / ours:.0f}"
        print(f"{name:<24}{ours * 1e3:>9.2f}{SECTIONS / ours:>12,.0f}{ratio:>10}", flush=True)


def measure_with_peer(labels: np.ndarray) -> None:
    """The same with scikit-image, section by section."""
    for section in labels:
        regionprops_table(section + 1, properties=PROPERTIES)


if __name__ == "__main__":
    main()
