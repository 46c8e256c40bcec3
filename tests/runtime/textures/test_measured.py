"""Orientations of measured maps: by their area, without what is not indexed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from one_line import one_line
from write_ang import random_angles, write_ang, write_two_grains

from microrun.runtime.errors import TextureError
from microrun.runtime.textures.measured import read_map
from microrun.runtime.textures.open import open_texture

CTF = """Channel Text File
Phases\t2
3.5;3.5;3.5\t90;90;90\tNickel\t11\t225
3.5;3.5;3.5\t90;90;90\tGold\t11\t225
Phase\tX\tY\tBands\tError\tEuler1\tEuler2\tEuler3\tMAD\tBC\tBS
"""


def test_grains_count_by_their_area(tmp_path: Path) -> None:
    texture = open_texture(str(write_two_grains(tmp_path / "map.ang", 0.2)))
    drawn = texture.draw(20_000, np.random.default_rng(0))
    large = np.isclose(drawn[:, 0], 1.5, atol=1e-4)
    assert large.mean() == pytest.approx(0.8, abs=0.01)
    assert_allclose(drawn[large], np.broadcast_to((1.5, 1.0, 0.2), drawn[large].shape), atol=1e-4)
    assert texture.crystal == ("m-3m", "", False)


def test_points_that_are_not_indexed_are_left_out_and_counted(tmp_path: Path) -> None:
    texture = read_map(write_two_grains(tmp_path / "map.ang", 0.2, missing=300), None)
    assert texture.notes == ["700 of 1,000 points; 300 not indexed"]
    assert texture.draw(5000, np.random.default_rng(0)).max() < 2 * np.pi


def test_a_hexagonal_map_is_taken(tmp_path: Path) -> None:
    path = write_ang(tmp_path / "hex.ang", (6, 7), hexagonal=True, missing=(0, 1, 2))
    texture = read_map(path, None)
    assert texture.notes == ["39 of 42 points; 3 not indexed"]
    drawn = texture.draw(500, np.random.default_rng(0))
    angles = random_angles(42)[3:]
    assert np.abs(drawn[:, None] - angles).sum(axis=2).min(axis=1).max() < 1e-4
    assert len(np.unique(drawn, axis=0)) == 39


def test_a_ctf_is_taken_in_degrees(tmp_path: Path) -> None:
    lines = [f"{1 + (x > 2)}\t{x}\t{y}\t8\t0\t30\t45\t60\t0.5\t100\t200\n" for y in range(4) for x in range(5)]
    (tmp_path / "map.ctf").write_text(CTF + "".join(lines), encoding="ascii")
    texture = read_map(tmp_path / "map.ctf", "fcc")
    assert texture.notes == [
        "12 of 20 points; 0 not indexed", "8 points of other phases than number 1 are left out",
    ]  # fmt: skip
    assert_allclose(np.rad2deg(texture.draw(3, np.random.default_rng(0))), [[30, 45, 60]] * 3, atol=1e-9)


def test_what_orix_wrote_is_the_same_as_its_ang(tmp_path: Path) -> None:
    from orix.io import load, save

    path = write_ang(tmp_path / "map.ang", (5, 6))
    save(str(tmp_path / "map.h5"), load(path))
    one, other = read_map(path, "fcc"), read_map(tmp_path / "map.h5", "fcc")
    assert_allclose(other.euler, one.euler, atol=1e-5)
    assert_array_equal(other.pairs, one.pairs)


def test_orix_maps_that_state_no_symmetry_are_of_the_phase_that_is_asked_for(tmp_path: Path) -> None:
    from orix.crystal_map import Phase, PhaseList
    from orix.io import load, save

    found = load(write_ang(tmp_path / "map.ang", (5, 6)))
    found.phases = PhaseList([Phase(name="unknown")], ids=found.phases.ids)
    save(str(tmp_path / "map.h5"), found)
    assert read_map(tmp_path / "map.h5", "hcp:1.6").crystal == ("6/mmm", "hcp:1.6", False)
    assert read_map(tmp_path / "map.h5", None).crystal == ("m-3m", "fcc", True)


def test_an_ang_without_indexed_points_is_refused(tmp_path: Path) -> None:
    path = write_two_grains(tmp_path / "map.ang", 0.2, missing=1000)
    with pytest.raises(TextureError) as error:
        read_map(path, None)
    one_line(error, path, "no point is indexed")


def test_a_map_of_other_crystals_is_refused(tmp_path: Path) -> None:
    path = write_two_grains(tmp_path / "map.ang", 0.2)
    with pytest.raises(TextureError) as error:
        read_map(path, "hcp")
    one_line(error, path, "its crystals have symmetry m-3m, which is not that of --phase hcp")


@pytest.mark.parametrize("name", ["missing.ang", "missing.ctf", "missing.h5"])
def test_a_map_that_is_missing_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(TextureError) as error:
        read_map(tmp_path / name, None)
    one_line(error, tmp_path / name)
