"""Master patterns: EMsoft's files, a folder of them, what kikuchipy reads, and what is computed; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kikuchipy
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from write_sht import make_coefficients, write_sht

from microrun.runtime.errors import MicrorunError, ScanError
from microrun.runtime.scans.up2 import ScanWarning
from microrun.training.simulate.masters import kinematical
from microrun.training.simulate.masters.crystal import CRYSTALS, Crystal
from microrun.training.simulate.masters.find import find_master, load_master, load_nickel
from microrun.training.simulate.masters.sht import read_sht

DEGREES = 10
IRON: dict[str, Any] = {"name": "alpha-iron", "formula": "Fe", "structure": "A2", "group": 229}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make_coefficients(DEGREES, 4, 7)
    write_sht(tmp_path / "Fe_15.sht", made, **IRON, kev=15)
    write_sht(tmp_path / "Fe_20.sht", 2 * made, **IRON)
    made = make_coefficients(DEGREES, 6, 3)
    write_sht(tmp_path / "Zr.sht", made, 6, 3, name="alpha-zirconium", formula="Zr", structure="A3", group=194)
    return tmp_path


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 15))
def test_files_hold_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, degrees: int, fold: int, symmetries: int
) -> None:
    coefficients = make_coefficients(degrees, fold, symmetries)
    found = read_sht(write_sht(tmp_path_factory.mktemp("sht") / "a.sht", coefficients, fold, symmetries))
    assert_array_equal(found.coefficients, coefficients)
    assert (found.energy_kev, found.crystal.name, found.crystal.formula) == (20, "nickel", "Ni")
    assert (found.crystal.space_group, found.crystal.phase) == (225, "fcc")
    assert found.crystal.lattice == pytest.approx((3.524, 3.524, 3.524, 90, 90, 90))


@pytest.mark.parametrize("asked", ["ferrite", "Alpha-Iron", "Fe", "iron"])
def test_a_phase_is_found_by_name_formula_or_what_metallurgists_say(folder: Path, asked: str) -> None:
    found = find_master(asked, 15, folder)
    assert (found.source, found.energy_kev, found.dynamical, found.crystal.phase) == ("Fe_15.sht", 15, True, "bcc")
    assert found.signal.data.shape == (2, 401, 401)
    assert find_master(asked, 20, folder).source == "Fe_20.sht"


def test_the_folder_is_that_of_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICRORUN_MASTERS", str(folder))
    assert find_master("zirconium").source == "Zr.sht"
    monkeypatch.setenv("MICRORUN_MASTERS", str(folder / "none"))
    with pytest.raises(ScanError, match="no such folder"):
        find_master("zirconium")


def test_a_voltage_that_the_folder_lacks_is_refused(folder: Path) -> None:
    with pytest.raises(ScanError, match=r"has ferrite at 15, 20 kV only; 30 kV is asked for"):
        find_master("ferrite", 30, folder)


def test_an_unknown_phase_is_refused_with_what_there_is(folder: Path) -> None:
    with pytest.raises(ScanError, match=r"no master pattern of 'unobtainium' .*--master FILE.*nickel.*SHTdatabase"):
        find_master("unobtainium", 20, folder)


def test_nickel_at_20_kv_needs_no_file() -> None:
    found = find_master("Ni")
    assert found.dynamical and found.signal is load_nickel()


def test_what_is_computed_is_said_to_be_second_best() -> None:
    with pytest.warns(ScanWarning, match=r"alpha-iron at 12 kV: its master pattern is computed kinematically"):
        found = find_master("ferrite", 12)
    assert not found.dynamical and found.crystal.phase == "bcc"
    upper = found.signal.data[0].astype(float)
    assert found.signal.data.shape == (2, 401, 401)
    assert upper.std() > 0
    assert np.corrcoef(upper.ravel(), np.rot90(upper).ravel())[0, 1] > 0.999  # four-fold about z


def test_a_formula_of_several_phases_is_refused(folder: Path) -> None:
    write_sht(folder / "Fe_gamma.sht", make_coefficients(4, 4, 7), name="gamma-iron", formula="Fe")
    for where in (folder, None):
        with pytest.raises(ScanError, match="Fe is alpha-iron or gamma-iron: say which"):
            find_master("Fe", 20, where)
    assert find_master("austenite", 20, folder).source == "Fe_gamma.sht"


def test_a_file_that_cannot_be_read_is_passed_over(folder: Path) -> None:
    (folder / "bad.sht").write_bytes(b"*sht")
    with pytest.warns(ScanWarning, match=r"bad\.sht: ends within .*; passed over"):
        assert find_master("ferrite", 15, folder).source == "Fe_15.sht"


def test_a_phase_is_called_by_its_own_name_too() -> None:
    named = Crystal("Ferrite", "", "", 229, (2.87, 2.87, 2.87, 90, 90, 90))
    assert named.is_called("ferrite") and named.is_called("Ferrite") and named.phase == "bcc"
    assert not named.is_called("austenite")


def test_crystals_are_told_apart() -> None:
    for crystal in CRYSTALS:
        assert [other.name for other in CRYSTALS if other.is_called(crystal.name)] == [crystal.name]


def test_emsofts_hdf5_files_are_read_by_kikuchipy() -> None:
    path = next((Path(kikuchipy.__file__).parent / "data").rglob("ni_mc_mp_20kv_uint8_gzip_opts9.h5"))
    found = load_master(path)
    assert (found.energy_kev, found.crystal.name, found.crystal.space_group, found.dynamical) == (20, "ni", 225, True)
    assert_array_equal(found.signal.data, load_nickel().data)
    with pytest.raises(ScanError, match="has 20 kV; 15 kV is asked for"):
        load_master(path, 15)


@pytest.fixture
def layers(tmp_path: Path) -> Any:
    """A master pattern of three energies, both hemispheres."""
    data = np.random.default_rng(0).random((2, 3, 11, 11), np.float32)
    axes = [
        {"name": name, "size": size} for name, size in zip(("hemisphere", "energy", "y", "x"), data.shape, strict=True)
    ]
    axes[1].update(offset=10, scale=5)
    return kikuchipy.signals.EBSDMasterPattern(data, axes=axes, projection="lambert", hemisphere="both")


@pytest.mark.parametrize(("asked", "place"), [(None, 2), (20, 2), (15, 1), (10, 0)])
def test_of_several_energies_that_of_the_beam_is_taken_or_the_one_asked_for(
    layers: Any, monkeypatch: pytest.MonkeyPatch, asked: float | None, place: int
) -> None:
    monkeypatch.setattr(kikuchipy, "load", lambda path, **_: layers)
    found = load_master(Path("three.h5"), asked)
    assert found.energy_kev == 10 + 5 * place
    assert_array_equal(found.signal.data, layers.data[:, place])


def test_an_energy_between_is_refused(layers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kikuchipy, "load", lambda path, **_: layers)
    with pytest.raises(ScanError, match=r"three\.h5: has 10, 15, 20 kV; 12 kV is asked for"):
        load_master(Path("three.h5"), 12)


@pytest.mark.parametrize("cut", [3, 5, 20, 39, 60, 120, 250, 300, 360])
def test_a_file_that_was_cut_is_refused_in_one_line(folder: Path, cut: int) -> None:
    path = folder / "Fe_15.sht"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ScanError, match=r"Fe_15\.sht: (ends within|is not a master)") as error:
        read_sht(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "is of version 2"),
        ({"crystals": 2}, "a mean over 2 crystals"),
        ({"modality": 2}, "another method than EBSD"),
        ({"kev": 0.0}, "is damaged"),
        ({"group": 240}, "is damaged: space group 240"),
    ],
)
def test_what_is_not_read_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = write_sht(tmp_path / "a.sht", make_coefficients(4, 4, 7), **change)
    with pytest.raises(ScanError, match=said):
        read_sht(path)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 500), st.integers(0, 255))
def test_a_damaged_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, place: int, value: int) -> None:
    path = write_sht(tmp_path_factory.mktemp("sht") / "a.sht", make_coefficients(6, 2, 3), 2, 3)
    data = bytearray(path.read_bytes())
    data[place % len(data)] = value
    path.write_bytes(data)
    try:
        read_sht(path)
    except MicrorunError as error:
        assert "\n" not in str(error)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("nothing")
    nickel = Path(__file__).parents[3] / "data" / "nickel_ebsd_small.h5"
    for path in (tmp_path / "a.txt", tmp_path / "none.h5", tmp_path / "none.sht", nickel):
        with pytest.raises(ScanError, match=path.name) as error:
            load_master(path)
        assert "\n" not in str(error.value)
    with pytest.raises(ScanError, match="is of 20 kV; 15 kV is asked for"):
        load_master(write_sht(tmp_path / "a.sht", make_coefficients(4, 4, 7)), 15)


@pytest.mark.parametrize("crystal", CRYSTALS, ids=lambda crystal: crystal.name)
def test_every_crystal_that_is_offered_can_be_computed(crystal: Crystal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinematical, "LEAST_SPACING", 1.1)
    monkeypatch.setattr(kinematical, "HALF_SIDE", 20)
    data = kinematical.compute_kinematical(crystal, 20).data
    assert data.shape == (2, 41, 41) and np.isfinite(data).all() and data.std() > 0


def test_hexagonal_close_packed_crystals_say_their_axis_ratio() -> None:
    found = {crystal.name: crystal.phase for crystal in CRYSTALS}
    assert found["alpha-titanium"] == "hcp:1.588" and found["magnesium"] == "hcp:1.624"
    assert found["alpha-iron"] == "bcc" and "225" in found["titanium carbide"]


def test_kinematical_patterns_lose_no_band_to_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of kikuchipy add to the same pixels at once: of two runs one had lost some."""
    monkeypatch.setattr(kinematical, "HALF_SIDE", 60)
    crystal = next(crystal for crystal in CRYSTALS if crystal.name == "tungsten")
    first, *others = (kinematical.compute_kinematical(crystal, 20).data for _ in range(4))
    assert all(np.array_equal(first, other) for other in others)
    assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS
