"""Distances in the eyes of a network: between the pictures of the conditions in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from feature_networks import write_feature_network
from section_sets import draw_cells, make_set

from microrun.runtime.progress import finish
from microrun.runtime.sections.kid import frechet_distance
from microrun.runtime.sections.network_distance import measure_by_network
from microrun.runtime.sections.orientations import paint_orientations
from microrun.runtime.sections.report import report_sections


def test_distances_are_those_of_the_features(tmp_path: Path) -> None:
    path = write_feature_network(tmp_path / "mean.onnx")
    power = np.repeat([150.0, 170.0], [8, 4])
    own, reference = make_set(draw_cells((12, 20, 20)), power_w=power), make_set(draw_cells((8, 20, 20), seed=5))
    found = measure_by_network(finish(report_sections(own, reference)), path)
    assert found is not None
    assert (found.sections, found.reference, found.features) == (8, 8, 3)
    colours = [paint_orientations(one.orientation[:8], one.euler).mean(axis=(1, 2)) for one in (own, reference)]
    assert found.fid == pytest.approx(frechet_distance(*colours), rel=1e-3)
    assert found.fid_floor > 0
    assert np.isfinite(found.kid.value)
    assert measure_by_network(finish(report_sections(own)), path) is None
