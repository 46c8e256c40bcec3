"""Moving fields from VTK and NetCDF, as they are and as others write them; what is missing in them."""

import dataclasses
import itertools

import numpy as np
import pytest
from one_line import one_line
from small_pool import make_small_pool
from write_vti import write_vti
from xarray import DataArray, Dataset

from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import finish
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.melt_pool.store import write_pool
from microrun.training.simulate.solidify.build import build_part
from microrun.training.simulate.solidify.plan import Plan
from microrun.training.simulate.solidify.temperature_files import Stated, build_from_temperatures, read_temperatures

POOL = make_small_pool()
PROCESS = Process(150.0, 2.0)
STATED = Stated(PROCESS, temperature_unit="K", length_unit="um")


def write_nc(path, values=POOL.temperature, dims="zyx", unit="K", lengths="um", step=4.0, engine="h5netcdf", **places):
    sides = dict(zip(dims, values.shape, strict=True))
    coords = {axis: (axis, places.get(axis, (np.arange(side) + 0.5) * step)) for axis, side in sides.items()}
    field = DataArray(values, dims=tuple(dims), coords=coords, name="temperature")
    if unit:
        field.attrs["units"] = unit
    for axis in dims:
        if lengths:
            field.coords[axis].attrs["units"] = lengths
    field.to_netcdf(path, engine=engine)


def refused(path, stated, *words):
    with pytest.raises(MicrorunError) as error:
        read_temperatures(path, stated)
    one_line(error, path, *words)


@pytest.mark.parametrize(
    ("form", "compressed", "big", "head"),
    [
        *itertools.product(("binary", "base64", "raw"), (False, True), (False,), (32, 64)),
        ("raw", True, True, 64), ("binary", False, True, 32), ("ascii", False, False, 32),
    ],
)  # fmt: skip
def test_vti_in_every_form(tmp_path, form, compressed, big, head):
    path = tmp_path / "pool.vti"
    arrays = {"u": np.zeros((12, 16, 40)), "Temperature": POOL.temperature}
    write_vti(path, arrays, (4, 4, 4), (-48, -32, 7), form, compressed, big, head=head)
    read = read_temperatures(path, STATED)
    np.testing.assert_array_equal(read.source.temperature, POOL.temperature)
    assert (read.source.step_um, read.source.kind, read.notes) == (4.0, "file", ())
    assert abs(read.source.laser_um - POOL.laser_um) <= 2


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_netcdf_with_its_own_units_and_order(tmp_path, engine):
    path = tmp_path / "pool.nc"
    celsius = (POOL.temperature.astype(np.float64) - 273.15).transpose(2, 0, 1)[::-1]
    x = ((np.arange(40) + 0.5) * 4e-6)[::-1]
    write_nc(path, celsius, "xzy", "degC", "m", 4e-6, engine, x=x)
    read = read_temperatures(path, Stated(PROCESS))
    np.testing.assert_allclose(read.source.temperature, POOL.temperature, rtol=1e-6)
    assert read.notes == ()


def test_a_pool_of_microrun_is_read_as_it_is(tmp_path):
    path = tmp_path / "pool.h5"
    write_pool(path, POOL)
    np.testing.assert_array_equal(read_temperatures(path, Stated()).source.temperature, POOL.temperature)
    refused(path, Stated(Process(100.0, 1.0)), "holds power and speed itself")


def test_a_field_from_a_file_makes_the_same_part(tmp_path):
    path, plan = tmp_path / "pool.vti", Plan(1, 1, 20.0, 20.0, 4.0, 10.0)
    write_vti(path, {"T": POOL.temperature}, (4, 4, 4))
    part = finish(build_from_temperatures(read_temperatures(path, STATED), plan, threads=1))
    np.testing.assert_array_equal(part.grains.grain_id, finish(build_part(POOL, plan, threads=1)).grains.grain_id)


@pytest.mark.parametrize("travel", ["+x", "-x", "+y", "-y"])
def test_the_laser_may_move_anywhere(tmp_path, travel):
    path, values = tmp_path / "pool.vti", POOL.temperature
    values = values[..., ::-1] if travel[0] == "-" else values
    values = values.swapaxes(1, 2) if travel[1] == "y" else values
    write_vti(path, {"temperature_k": np.ascontiguousarray(values)}, (4, 4, 4), (-48, 0, 0))
    stated = dataclasses.replace(STATED, temperature_unit=None, travel=travel)
    np.testing.assert_array_equal(read_temperatures(path, stated).source.temperature, POOL.temperature)
    if travel[1] == "x":
        refused(
            path, dataclasses.replace(stated, travel="-x" if travel == "+x" else "+x"), "ahead of where", "state where"
        )


@pytest.mark.parametrize("high", [False, True])
def test_half_a_pool_is_mirrored(tmp_path, high):
    path = tmp_path / "half.nc"
    y = (np.arange(8) + 0.5) * 4
    half = POOL.temperature[:, :8] if high else POOL.temperature[:, 8:]
    write_nc(path, half, y=y)
    read = read_temperatures(path, Stated(PROCESS))
    np.testing.assert_array_equal(read.source.temperature, POOL.temperature)
    assert read.notes == ("half a pool: mirrored where it is hottest",)


def linear_pool(z, y, x):
    """Temperatures that linear interpolation gives back exactly, at places in µm; the surface is at z = 0."""
    z, y, x = z[:, None, None], y[:, None], x
    return np.maximum(2400 + 8 * z - 14 * np.abs(y) - np.where(x > 200, 40 * (x - 200), 6 * (200 - x)), 300.0)


def test_points_of_another_step_are_resampled(tmp_path):
    path = tmp_path / "points.vti"
    z, y, x = np.arange(-80, 1, 5.0), np.arange(-120, 121, 4.0), np.arange(0, 281, 8.0)
    write_vti(path, {"T": linear_pool(z, y, x)}, (5, 4, 8), (-80, -120, 0), points=True)
    read = read_temperatures(path, STATED)
    assert read.notes == ("resampled from 17 × 61 × 36 values to 20 × 60 × 70 cells of 4 µm (z, y, x)",)
    middles = (np.arange(n) * 4.0 + 2 + start for n, start in ((20, -80), (60, -120), (70, 0)))
    expected = linear_pool(*middles)
    smooth = expected > 900  # where the grid does not see the coldest
    np.testing.assert_allclose(read.source.temperature[smooth], expected[smooth], rtol=2e-3)


def test_points_on_the_middle_of_half_a_pool(tmp_path):
    path = tmp_path / "half.nc"
    z, y, x = np.arange(-78, 0, 4.0), np.arange(0, 121, 4.0), np.arange(2, 280, 4.0)
    write_nc(path, linear_pool(z, y, x), z=z, y=y, x=x)
    field = read_temperatures(path, Stated(PROCESS)).source
    middle = field.temperature.shape[1] // 2
    np.testing.assert_array_equal(field.temperature, field.temperature[:, ::-1])
    expected = linear_pool(z, np.array([2.0]), x)[:, 0]
    smooth = expected > 600
    np.testing.assert_allclose(field.temperature[:, middle][smooth], expected[smooth], rtol=1e-6)


def test_units_are_stated_and_never_guessed(tmp_path):
    path = tmp_path / "pool.vti"
    write_vti(path, {"T": POOL.temperature}, (4, 4, 4))
    refused(path, Stated(PROCESS, length_unit="um"), "no unit of temperature", "K or C")
    refused(path, Stated(PROCESS, temperature_unit="K"), "no unit of length", "m or mm or um")
    refused(
        path,
        dataclasses.replace(STATED, temperature_unit="C", length_unit="m"),
        "cells of 4e+06 µm",
        "in the unit that is stated?",
    )
    refused(path, dataclasses.replace(STATED, process=None), "power and speed")
    nc = tmp_path / "pool.nc"
    write_nc(nc, unit=None)
    refused(nc, Stated(PROCESS), "no unit of temperature")
    write_nc(nc, lengths=None)
    refused(nc, Stated(PROCESS), "no unit of length")
    write_nc(nc)
    refused(nc, Stated(PROCESS, length_unit="m"), "is um; m contradicts it")
    write_nc(nc, POOL.temperature - 273.15)
    refused(nc, Stated(PROCESS), "27 to", "unit")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: np.where(t > 2500, np.nan, t), "missing or no numbers"),
        (lambda t: np.minimum(t, 1600), "colder throughout than the solidus of 316L, 1,650 K"),
        (lambda t: np.minimum(t, 1700), "colder throughout than the liquidus of 316L, 1,723 K"),
        (lambda t: t[::-1], "hotter at its lowest z"),
        (lambda t: t[..., ::-1], "ahead of where it is hottest"),
        (lambda t: t * 100, "is its unit another one?"),
    ],
)
def test_fields_that_make_no_sense_are_refused(tmp_path, change, words):
    path = tmp_path / "pool.vti"
    write_vti(path, {"T": np.ascontiguousarray(change(POOL.temperature))}, (4, 4, 4))
    refused(path, STATED, words)


@pytest.mark.parametrize(("form", "compressed"), list(itertools.product(("binary", "base64", "raw"), (False, True))))
def test_truncated_vti(tmp_path, form, compressed):
    path = tmp_path / "pool.vti"
    write_vti(path, {"T": POOL.temperature}, (4, 4, 4), form=form, compressed=compressed)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(path, STATED, "damaged, truncated")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"Piece", b"Other", "0 pieces"),
        (b"<ImageData ", b'<ImageData Direction="0 1 0 1 0 0 0 0 1" ', "turned"),
        (b'"Float32"', b'"Float99"', "Float99"),
        (b"vtkZLib", b"vtkLZ4", "compressor vtkLZ4DataCompressor"),
        (b'Extent="0 40', b'Extent="0 41', "7,680 values"),
        (b'Spacing="4 4', b'Spacing="4 nan', "origin or its spacing"),
        (b'Name="T"', b'Name="p" NumberOfComponents="3"', "arrays are none"),
    ],
)
def test_vti_that_is_not_known(tmp_path, old, new, words):
    path = tmp_path / "pool.vti"
    write_vti(path, {"T": POOL.temperature}, (4, 4, 4), compressed=True)
    path.write_bytes(path.read_bytes().replace(old, new))
    refused(path, STATED, words)


def test_arrays_are_named(tmp_path):
    path = tmp_path / "pool.vti"
    write_vti(path, {"T": POOL.temperature, "temperature": POOL.temperature + 1}, (4, 4, 4))
    refused(path, STATED, "arrays are T, temperature", "name one")
    refused(path, dataclasses.replace(STATED, array="heat"), "no array 'heat'")
    read = read_temperatures(path, dataclasses.replace(STATED, array="T"))
    np.testing.assert_array_equal(read.source.temperature, POOL.temperature)


def test_netcdf_over_other_dimensions(tmp_path):
    path = tmp_path / "pool.nc"
    write_nc(path, POOL.temperature[None], "tzyx")
    assert read_temperatures(path, Stated(PROCESS)).source.temperature.shape == (12, 16, 40)
    write_nc(path, np.stack([POOL.temperature] * 2), "tzyx")
    refused(path, Stated(PROCESS), "one time only")
    Dataset({"T": (("z", "y", "x"), POOL.temperature, {"units": "K"})}).to_netcdf(path, engine="h5netcdf")
    refused(path, Stated(PROCESS), "each with coordinates")
    write_nc(path, x=np.r_[0:20, 0:20] * 1.0)
    refused(path, Stated(PROCESS), "coordinates x")
    path.write_bytes(b"no such file")
    refused(path, Stated(PROCESS), "cannot be read as NetCDF")


def test_files_that_are_none(tmp_path):
    refused(tmp_path / "pool.vtk", STATED, ".vti")
    refused(tmp_path / "pool.vti", STATED, "cannot be read")
    refused(tmp_path / "pool.nc", STATED, "cannot be read")
    for words, changes in (("temperatures", {"temperature_unit": "F"}), ("direction", {"travel": "x"})):
        with pytest.raises(MicrorunError) as error:
            dataclasses.replace(STATED, **changes)
        one_line(error, words)
