"""Files of melt pools and materials, and what is refused in them."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from one_line import one_line
from scipy.integrate import quad

from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import finish
from microrun.training.simulate.melt_pool.field import MovingField
from microrun.training.simulate.melt_pool.material import STEEL_316L, Material, read_material
from microrun.training.simulate.melt_pool.measure import measure_pool
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.melt_pool.solve import compute_field
from microrun.training.simulate.melt_pool.store import read_pool, write_pool


@pytest.fixture(scope="module")
def field() -> MovingField:
    return finish(compute_field(Process(60.0, 1.2, emissivity=0.3), step_um=8.0))


@pytest.fixture
def path(field: MovingField, tmp_path: Path) -> Path:
    write_pool(tmp_path / "pool.h5", field)
    return tmp_path / "pool.h5"


def test_a_pool_comes_back_as_it_was(field: MovingField, path: Path) -> None:
    again = read_pool(path)
    assert_array_equal(again.temperature, field.temperature)
    for name in ("step_um", "laser_um", "process", "material", "kind", "balance"):
        assert getattr(again, name) == getattr(field, name)


def test_a_file_holds_what_the_pool_measures(field: MovingField, path: Path) -> None:
    pool = measure_pool(field)
    with h5py.File(path) as file:
        assert file.attrs["width_um"] == pool.width_um and file.attrs["depth_um"] == pool.depth_um
        assert_allclose(file["liquidus/cooling_k_s"], pool.front.cooling_k_s, rtol=1e-6)
        assert file["liquidus/back_um"].shape == field.temperature.shape[:2]


def spoil(path: Path, change: str) -> None:
    with h5py.File(path, "r+") as file:
        if change == "format":
            file.attrs["format"] = "microrun volumes 1"
        elif change == "no temperature":
            del file["temperature"]
        elif change == "odd":
            kelvin = file["temperature"][:, 1:]
            del file["temperature"]
            file["temperature"] = kelvin
        elif change == "nan":
            file["temperature"][0, 0, 0] = math.nan
        else:
            file.attrs[change] = {"kind": "magic", "step_um": -4.0, "process": '{"power_w": 1}', "material": "{"}[
                change
            ]


@pytest.mark.parametrize("change", ["format", "no temperature", "odd", "nan", "kind", "step_um", "process", "material"])
def test_a_damaged_file_is_refused_in_a_line(path: Path, change: str) -> None:
    spoil(path, change)
    with pytest.raises(MicrorunError) as error:
        read_pool(path)
    one_line(error, path)


def test_what_is_no_file_of_a_pool_is_refused(tmp_path: Path) -> None:
    for name, content in (("text.h5", b"hello"), ("missing.h5", None)):
        path = tmp_path / name
        if content:
            path.write_bytes(content)
        with pytest.raises(MicrorunError) as error:
            read_pool(path)
        one_line(error, path)


def write_material(path: Path, **changes: object) -> Path:
    values = {**asdict(STEEL_316L), **changes}
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in values.items() if value is not None]
    path.write_text("\n".join(lines))
    return path


def test_a_material_is_read_from_toml(tmp_path: Path) -> None:
    assert read_material(write_material(tmp_path / "m.toml")) == STEEL_316L
    nickel = read_material(write_material(tmp_path / "n.toml", name="IN718", solidus_k=1533, liquidus_k=1609.0))
    assert nickel.name == "IN718" and nickel.solidus_k == 1533.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"viscosity_pa_s": None}, "needs viscosity_pa_s"),
        ({"colour": 3}, "colour: no property"),
        ({"density_kg_m3": "heavy"}, "density_kg_m3 is a number; got 'heavy'"),
        ({"density_kg_m3": 10**400}, "too large"),
        ({"density_kg_m3": -1.0}, "density_kg_m3 is above 0; got -1"),
        ({"solidus_k": 1800.0}, "rise in this order"),
        ({"conductivity_slope_w_mk2": -0.1}, "stays above 0"),
    ],
)
def test_a_bad_material_is_refused_in_a_line(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    path = write_material(tmp_path / "m.toml", **changes)
    with pytest.raises(MicrorunError) as error:
        read_material(path)
    one_line(error, path, said)


@pytest.mark.parametrize("content", ["name = ", "\x00", "solidus_k = " + "9" * 5000, "a = " + "[" * 5000])
def test_a_file_that_is_no_toml_is_refused_in_a_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.toml").write_text(content)
    with pytest.raises(MicrorunError) as error:
        read_material(tmp_path / "m.toml")
    one_line(error, "m.toml")


@given(st.floats(250, 1000))
def test_the_law_of_a_material_integrates_its_heat_capacity(start: float) -> None:
    law = STEEL_316L.heat_law(start)
    solid = quad(STEEL_316L.heat_capacity, start, STEEL_316L.solidus_k)[0]
    mush = quad(STEEL_316L.heat_capacity, STEEL_316L.solidus_k, STEEL_316L.liquidus_k)[0] + 2.7e5
    assert float(law.solidus_j_kg) == pytest.approx(solid, rel=1e-6)
    assert float(law.liquidus_j_kg) == pytest.approx(solid + mush, rel=1e-6)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"power_w": 0.0}, "power is above 0; got 0 W"),
        ({"speed_m_s": -1.0}, "speed is above 0; got -1 m/s"),
        ({"speed_m_s": 1e-3}, "between 0.01 and 100 m/s; got 0.001 m/s"),
        ({"power_w": math.nan}, "power is a number"),
        ({"beam_radius_um": 0.0}, "beam radius is above 0"),
        ({"absorptivity": 1.2}, "absorptivity is above 0 and at most 1"),
        ({"depth_um": math.inf}, "depth is a number"),
        ({"preheat_k": 20.0}, "between 250 and 1000 K; got 20"),
        ({"emissivity": 2.0}, "emissivity lies between 0 and 1"),
        ({"convection_w_m2k": -5.0}, "convection is 0 or above; got -5"),
    ],
)
def test_a_bad_process_is_refused_in_a_line(values: dict[str, float], said: str) -> None:
    with pytest.raises(MicrorunError) as error:
        Process(**{"power_w": 100.0, "speed_m_s": 1.0, **values})
    one_line(error, said)


def test_diffusivity_is_that_of_the_facts() -> None:
    assert Material().diffusivity(1723.0) == pytest.approx(6.48e-6, rel=0.01)
