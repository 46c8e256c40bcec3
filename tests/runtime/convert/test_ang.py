"""Latents in .ang files, as orix and the product's own reader read them."""

from __future__ import annotations

import numpy as np
import orix.io
import pytest
from convert_truth import SCANS, SIZE, Truth, convert
from numpy.testing import assert_allclose, assert_array_equal

from microrun.runtime.scans.ang import AngGrid, read_ang_grid


# orix cannot read an .ang file of a single pattern.
@pytest.mark.parametrize("truth", [name for name, scan in SCANS.items() if scan.total > 1], indirect=True)
def test_orix_reads_ang(truth: Truth) -> None:
    path = convert(truth, "ang", [4, 1])
    crystal_map = orix.io.load(path)
    there = truth.exists
    for found, expected in ((crystal_map.x, truth.x), (crystal_map.y, truth.y)):
        assert_allclose(0 if found is None else found, expected[there], atol=1e-6)  # None where all are 0
    for number in (1, 4):
        assert_array_equal(crystal_map.prop[f"latent_{number}"].astype(np.float32), truth.values[there, number])
    assert list(crystal_map.prop) == ["iq", "ci", "detector_signal", "fit", "latent_1", "latent_4"]
    informative = (truth.written & ~truth.flags)[there]
    assert_array_equal(crystal_map.is_indexed, informative)
    assert_array_equal(crystal_map.prop["ci"], np.where(informative, 0, -1))
    assert_array_equal(crystal_map.rotations.angle, 0)
    assert crystal_map.scan_unit == "um"


def test_ang_states_the_grid(truth: Truth) -> None:
    path = convert(truth, "ang", [0])
    grid, scan = read_ang_grid(path), truth.scan
    assert grid is not None
    steps = scan.step_um if all(scan.step_um) else (1, 1)
    assert grid == AngGrid(scan.nav_shape, steps, scan.grid, not scan.alternating, scan.first_shifted)
    rows, cols = scan.nav_shape
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for line in (
        f"# GRID: {'SqrGrid' if scan.grid == 'square' else 'HexGrid'}", f"# NROWS: {rows}",
        f"# NCOLS_ODD: {cols - (scan.alternating and scan.first_shifted)}",
        f"# NCOLS_EVEN: {cols - (scan.alternating and not scan.first_shifted)}",
    ):  # fmt: skip
        assert line in header
    said = "\n".join(header)
    assert "Orientations and phase are not known" in said
    assert ("positions count in steps" in said) is not all(scan.step_um)
    assert "star" not in said  # a pattern centre that is not known must not be stated


def test_ang_has_the_columns_of_edax_first(square: Truth) -> None:
    lines = [line for line in convert(square, "ang").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == square.scan.total
    assert {len(line.split()) for line in lines} == {10 + SIZE}
    euler_x_y = [float(word) for word in lines[8].split()[:5]]
    assert euler_x_y == [0, 0, 0, 0.5, 0.25]
    assert {line.split()[7] for line in lines} == {"1"}
