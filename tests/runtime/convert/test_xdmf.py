"""Latents in XDMF, as meshio reads it."""

from __future__ import annotations

from pathlib import Path

import h5py
import meshio
import numpy as np
import pytest
from convert_truth import Truth, convert
from files_in import names_in
from numpy.testing import assert_allclose, assert_array_equal

from microrun.runtime.convert.convert_latents import convert_latents
from microrun.runtime.errors import MicrorunError
from microrun.runtime.latents.reader import open_latents


def test_meshio_reads_xdmf(truth: Truth) -> None:
    path = convert(truth, "xdmf", [0, 3])
    mesh, there = meshio.read(path), truth.exists
    (cells,) = mesh.cells
    corners = mesh.points[cells.data]
    if truth.scan.grid == "square":
        assert cells.type == "quad"
        step_x, step_y = (step or 1.0 for step in truth.scan.step_um)
        sides = np.roll(corners, -1, axis=1) - corners
        assert_allclose(sides[:, :, 0], np.tile([step_x, 0, -step_x, 0], (len(sides), 1)), atol=1e-9)
        assert_allclose(sides[:, :, 1], np.tile([0, step_y, 0, -step_y], (len(sides), 1)), atol=1e-9)
        scalars = {name: data[0] for name, data in mesh.cell_data.items()}
    else:
        assert cells.type == "vertex"
        assert_array_equal(cells.data[:, 0], np.arange(truth.scan.total))
        scalars = mesh.point_data
    assert_allclose(
        corners.mean(axis=1), np.column_stack([truth.x[there], truth.y[there], 0 * truth.x[there]]), atol=1e-9
    )
    assert set(scalars) == {"latent_0", "latent_3", "flag"}
    for number in (0, 3):
        assert scalars[f"latent_{number}"].dtype == np.float32
        assert_array_equal(scalars[f"latent_{number}"], truth.values[there, number])
    assert_array_equal(scalars["flag"], truth.flags[there])


def test_xdmf_may_be_moved_with_its_heavy_part(square: Truth, tmp_path: Path) -> None:
    path = convert(square, "xdmf", [2], tmp_path / "map of 2 < 3 & 4.xdmf")
    (tmp_path / "elsewhere").mkdir()
    for part in (path, path.with_name(path.name + ".h5")):
        part.rename(tmp_path / "elsewhere" / part.name)
    mesh = meshio.read(tmp_path / "elsewhere" / path.name)
    assert_array_equal(mesh.cell_data["latent_2"][0], square.values[..., 2].ravel())


def test_the_heavy_part_never_takes_the_latents_place(square: Truth) -> None:
    before = square.path.read_bytes()
    assert convert(square, "xdmf").name == "scan.latents.xdmf"
    assert square.path.read_bytes() == before
    assert names_in(square.path.parent) == ["scan.latents.h5", "scan.latents.xdmf", "scan.latents.xdmf.h5"]


def test_xdmf_has_no_colons_in_its_name(square: Truth, tmp_path: Path) -> None:
    with pytest.raises(MicrorunError, match=r"12:30\.xdmf: XDMF files cannot have a colon"):
        convert(square, "xdmf", out=tmp_path / "12:30.xdmf")
    assert names_in(tmp_path) == ["scan.latents.h5"]


def test_an_interrupted_replacement_never_mixes_two_conversions(square: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    """The light part of XDMF goes before the heavy part that it speaks of, and comes after it."""
    path = convert(square, "xdmf", [1])
    replace = Path.replace

    def stop(self: Path, target: Path) -> Path:
        replaced = replace(self, target)
        raise KeyboardInterrupt(replaced)

    monkeypatch.setattr(Path, "replace", stop)
    with open_latents(square.path) as latents, pytest.raises(KeyboardInterrupt):
        convert_latents(latents, "xdmf", features=[0], overwrite=True)
    assert not path.exists()
    with h5py.File(path.with_name(path.name + ".h5")) as heavy:
        assert "latent_0" in heavy
