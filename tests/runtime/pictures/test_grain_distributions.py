"""Figures of the distributions of grain measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import voxel_oracles as oracles
from numpy.testing import assert_allclose

from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.grain_distributions import Sample, draw_distributions
from microrun.runtime.volumes.compare import collect_measures
from microrun.runtime.volumes.measure import measure_grains
from microrun.runtime.volumes.tables import TITLES

VORONOI = oracles.voronoi((14, 16, 18), 40, 0)


@pytest.mark.parametrize("alone", [True, False])
def test_figures_show_every_measure_and_name_the_files(alone: bool, tmp_path: Path) -> None:
    own = Sample("grown.h5", collect_measures([measure_grains(VORONOI)]))
    reference = None if alone else Sample("potts.h5", collect_measures([measure_grains(VORONOI[:8])]))
    figure = draw_distributions(own, reference, verdicts={"c_over_a": "differs: 9 times chance, mean +3 %"})
    assert [axis.get_xlabel() for axis in figure.axes] == [*TITLES.values(), "b/a"]
    for axis in figure.axes[:-1]:
        heights = [patch.get_data().values.sum() for patch in axis.patches]
        assert_allclose(heights, np.ones(2 if alone else 4))
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [text.partition(":")[0] for text in named] == ["grown.h5", "potts.h5"][: 1 + (not alone)]
    assert figure.axes[3].get_title("left") == "differs: 9 times chance"
    save_figure(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_figures_of_a_single_grain_are_drawn() -> None:
    own = Sample("one.npy", collect_measures([measure_grains(np.zeros((3, 3, 3), int))]))
    assert not draw_distributions(own, None).axes[5].patches  # which has no nearest
