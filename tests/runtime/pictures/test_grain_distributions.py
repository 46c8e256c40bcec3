"""Figures of the distributions of grain measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import voxel_oracles as oracles
from numpy.testing import assert_allclose

from microrun.runtime.pictures.grain_distributions import draw_distributions
from microrun.runtime.pictures.panels import save_figure
from microrun.runtime.volumes.compare import collect_measures
from microrun.runtime.volumes.measure import measure_grains
from microrun.runtime.volumes.tables import TITLES

VORONOI = oracles.voronoi((14, 16, 18), 40, 0)


@pytest.mark.parametrize("alone", [True, False])
def test_figures_show_every_measure(alone: bool, tmp_path: Path) -> None:
    values = collect_measures([measure_grains(VORONOI)])
    reference = None if alone else collect_measures([measure_grains(VORONOI[:8])])
    figure = draw_distributions(values, reference)
    assert [axis.get_xlabel() for axis in figure.axes] == [*TITLES.values(), "b/a"]
    for axis in figure.axes[:-1]:
        heights = [patch.get_data().values.sum() for patch in axis.patches]
        assert_allclose(heights, np.ones(2 if alone else 4))
    save_figure(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
