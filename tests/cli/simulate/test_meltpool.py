"""`microrun simulate meltpool`: what it writes and says, and bad input in one line."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import Microrun

from microrun.training.simulate.melt_pool.measure import measure_pool
from microrun.training.simulate.melt_pool.store import read_pool

SMALL = ("simulate", "meltpool", "--power", 80, "--speed", 1.0, "--cell", 8)


def test_a_pool_is_written_with_its_picture_and_told(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "pool.h5"
    ran = microrun(*SMALL, "--out", out)
    assert ran.code == 0, ran.err
    field = read_pool(out)
    pool = measure_pool(field)
    assert (field.kind, field.process.power_w, field.process.absorptivity) == ("conduction", 80.0, 0.4)
    assert f"{pool.width_um:.1f} µm wide, {pool.depth_um:.1f} deep, {pool.length_um:.1f} long" in ran.said
    assert "32 W absorbed" in ran.said and "from steady" in ran.said
    assert "beyond boiling" in ran.err
    assert out.with_suffix(".png").stat().st_size > 20_000


def test_options_reach_the_process(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "pool.h5"
    options = ("--field", "conduction", "--beam", 30, "--depth", 20, "--absorptivity", 0.5, "--preheat", 473)
    assert microrun(*SMALL, *options, "--emissivity", 0.3, "--convection", 80, "--out", out).code == 0
    process = read_pool(out).process
    assert (process.beam_radius_um, process.depth_um, process.absorptivity) == (30, 20, 0.5)
    assert (process.preheat_k, process.emissivity, process.convection_w_m2k) == (473, 0.3, 80)


def test_the_depth_by_the_published_law(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "pool.h5"
    ran = microrun("simulate", "meltpool", "--power", 150, "--speed", 0.8, "--depth", "auto", "--field", "eagar-tsai",
                   "--out", out)  # fmt: skip
    assert ran.code == 0 and read_pool(out).process.depth_um == pytest.approx(69, abs=1)


def test_a_fit_says_what_it_found(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "pool.h5"
    ran = microrun(*SMALL, "--field", "eagar-tsai", "--fit", "width=100,depth=50", "--out", out)
    assert ran.code == 0, ran.err
    process = read_pool(out).process
    assert f"fitted: --absorptivity {process.absorptivity:.4g} --depth {process.depth_um:.4g}" in ran.said
    again = tmp_path / "again.h5"
    options = ("--absorptivity", f"{process.absorptivity:.4g}", "--depth", f"{process.depth_um:.4g}")
    microrun(*SMALL, "--field", "eagar-tsai", *options, "--out", again)
    pool = measure_pool(read_pool(again))
    np.testing.assert_allclose([pool.width_um, pool.depth_um], [100, 50], rtol=0.015)


def test_a_file_of_a_pool_is_inspected(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "pool.h5"
    assert microrun(*SMALL, "--field", "eagar-tsai", "--out", out).code == 0
    pool = measure_pool(read_pool(out))
    ran = microrun("inspect", out)
    assert ran.code == 0 and "melt pool, eagar-tsai field" in ran.said and "316L, 80 W, 1 m/s" in ran.said
    assert f"{pool.width_um:.1f} µm wide" in ran.said
    with h5py.File(out, "r+") as file:
        del file["temperature"]
    ran = microrun("inspect", out)
    assert ran.code == 2 and "cannot be read as a melt pool" in ran.err


def test_no_pool_is_warned_of_and_written(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "pool.h5"
    ran = microrun("simulate", "meltpool", "--power", 5, "--speed", 2, "--cell", 8, "--out", out)
    assert ran.code == 0 and "no metal melts at 5 W and 2 m/s" in ran.err
    assert out.exists() and out.with_suffix(".png").exists()


def test_an_own_material(microrun: Microrun, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('name = "x"\n')
    ran = microrun(*SMALL, "--material", tmp_path / "m.toml", "--out", tmp_path / "pool.h5")
    assert ran.code == 2 and "a material needs density_kg_m3" in ran.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--power", 0), "power is above 0; got 0 W"),
        (("--speed", -1), "speed is above 0; got -1 m/s"),
        (("--cell", 0), "the edge of a cell is above 0 µm"),
        (("--depth", "deep"), "--depth takes numbers in µm or auto; got 'deep'"),
        (("--power", 30, "--depth", "auto"), "the depth law gives 0 µm at 30 W"),
        (("--fit", "width"), "--fit takes numbers in µm; got ''"),
        (("--fit", "length=3"), "--fit is width=UM,depth=UM"),
        (("--fit", "width=3,width=4"), "--fit is width=UM,depth=UM"),
        (("--fit", "width=-3"), "above 0 µm"),
        (("--fit", "width=400,depth=5", "--field", "eagar-tsai"), "can be reached by the eagar-tsai field"),
        (("--field", "eagar-tsai", "--convection", 80), "loses no heat from the surface; got convection 80 W/(m² K)"),
        (("--field", "eagar-tsai", "--emissivity", 0.3), "and emissivity 0.3: leave them out"),
        (("--field", "eagar-tsai", "--emissivity", 0.3, "--fit", "width=100"), "loses no heat from the surface"),
        (("--out", "pool.png"), "expected a name that ends in .h5"),
        (("--material", "none.toml"), "none.toml: cannot be read"),
    ],
)
def test_bad_input_is_one_line(microrun: Microrun, tmp_path: Path, options: tuple[object, ...], said: str) -> None:
    out = () if "--out" in options else ("--out", tmp_path / "pool.h5")
    ran = microrun(*SMALL, *options, *out)
    assert ran.code in (1, 2)
    assert said in ran.err and len(ran.err.strip().splitlines()) == 1, ran.err
    assert not list(tmp_path.iterdir())


def test_files_are_not_replaced_unasked(microrun: Microrun, tmp_path: Path) -> None:
    (tmp_path / "pool.png").write_bytes(b"mine")
    ran = microrun(*SMALL, "--out", tmp_path / "pool.h5")
    assert ran.code == 2 and "--overwrite" in ran.err and not (tmp_path / "pool.h5").exists()
    assert microrun(*SMALL, "--out", tmp_path / "pool.h5", "--overwrite").code == 0
