"""Latents as a Dataset of xarray."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from make_latents import SCANS, make_contents, make_origin, write_contents
from numpy.testing import assert_array_equal

from microrun.runtime.convert.convert_latents import convert_latents
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.origin import Origin
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.scan import Scan


def write(folder: Path, scan: Scan) -> Path:
    return write_contents(folder / "scan.latents.h5", make_origin(scan), make_contents(scan))


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_a_dataset_holds_what_the_file_holds(tmp_path: Path, scan: Scan) -> None:
    pytest.importorskip("xarray")
    with open_latents(write(tmp_path, scan)) as latents:
        data = latents.to_xarray()
        arrays = {name: getattr(latents, name) for name in ("latents", "ranges", "flags", "written", "background")}
        x, y = latents.positions_um
    assert dict(data.sizes) == {"row": 6, "col": 7, "feature": 5, "bound": 2, "detector_row": 4, "detector_col": 4}
    assert data.latents.dims == ("row", "col", "feature")
    assert set(data.data_vars) == set(arrays) and set(data.coords) == {"x_um", "y_um", "feature"}
    for name, array in arrays.items():
        assert_array_equal(data[name], array)
        assert data[name].dtype == array.dtype
    assert_array_equal(data.x_um, x)
    assert_array_equal(data.y_um, y)
    assert_array_equal(data.latents.sel(feature=3), arrays["latents"][:, :, 3])


def test_a_dataset_says_where_it_comes_from(tmp_path: Path) -> None:
    pytest.importorskip("xarray")
    with open_latents(write(tmp_path, SCANS["hexagonal"])) as latents:
        attributes = latents.to_xarray().attrs
        origin = Origin.from_json(attributes.pop("origin"), latents.origin.spec)
        assert origin == latents.origin
    assert attributes == {
        "model": "tiny",
        "engine": "NumPy on cpu",
        "precision": "f32",
        "background_kind": "mean",
        "grid": "hexagonal",
        "step_um": [1.0, 0.866],
        "pattern_shape": [8, 8],
        "pattern_dtype": "uint16",
    }


@pytest.mark.parametrize(("step_um", "units"), [((0.5, 0.25), ("µm", "µm")), ((0.5, 0.0), ("µm", "steps"))])
def test_positions_have_units(tmp_path: Path, step_um: tuple[float, float], units: tuple[str, str]) -> None:
    pytest.importorskip("xarray")
    with open_latents(write(tmp_path, Scan((6, 7), (8, 8), step_um=step_um))) as latents:
        data = latents.to_xarray()
    assert (data.x_um.attrs["units"], data.y_um.attrs["units"]) == units
    assert_array_equal(data.y_um[:, 0], np.arange(6) * (step_um[1] or 1))


def test_names_are_those_of_zarr(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    with open_latents(write(tmp_path, SCANS["square"])) as latents:
        data = latents.to_xarray()
        (folder,) = convert_latents(latents, "zarr")
    converted = xarray.open_zarr(folder, consolidated=False)
    for name in (*data.data_vars, "x_um", "y_um"):
        assert data[name].dims == converted[name].dims
        assert_array_equal(data[name], converted[name])


def test_without_xarray_an_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with open_latents(write(tmp_path, SCANS["square"])) as latents:
        with pytest.raises(LatentsError, match="pip install xarray") as error:
            latents.to_xarray()
        assert "\n" not in str(error.value)
