"""Tables of densities: drawn as often as they say, and refused where they are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from one_line import one_line
from write_odf import write_odf

from microrun.runtime.errors import TextureError
from microrun.runtime.textures.matching import measure_angles
from microrun.runtime.textures.odf import read_table
from microrun.runtime.textures.open import open_texture

ONE = "10 20 30 1\n"


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "odf.txt"
    path.write_text(text, encoding="ascii")
    return path


@pytest.mark.parametrize("specimen", ["1", "mmm"])
def test_densities_of_1_are_uniform_orientations(tmp_path: Path, specimen: str) -> None:
    path = write_odf(tmp_path / "odf.txt", lambda angles: np.ones(len(angles)), specimen=specimen)
    texture = read_table(path, None)
    euler = texture.draw(100_000, np.random.default_rng(0))
    angles = measure_angles(euler, np.arange(100_000).reshape(-1, 2), "m-3m")
    assert (angles < 45).mean() == pytest.approx(0.5981, abs=0.008)
    assert angles.mean() == pytest.approx(40.74, abs=0.25)
    assert np.cos(euler[:, 1]).mean() == pytest.approx(0.5 if specimen == "1" else 0, abs=0.01)
    assert texture.crystal == ("m-3m", "", False)
    assert "on average 1 times" in texture.notes[0]
    assert ("half turns" in texture.notes[-1]) == (specimen == "mmm")


def test_densities_are_drawn_as_often_as_they_say(tmp_path: Path) -> None:
    def density(angles: np.ndarray) -> np.ndarray:
        return 1 + 5 * (angles[:, 0] == 100) * (angles[:, 1] == 50)

    texture = read_table(write_odf(tmp_path / "odf.txt", density), None)
    euler = np.rad2deg(texture.draw(200_000, np.random.default_rng(0)))
    counts = [
        ((np.abs(euler[:, 0] - first) < 5) & (np.abs(euler[:, 1] - middle) < 5)).sum()
        for first, middle in ((100, 50), (200, 50), (200, 30))
    ]
    assert counts[0] / counts[1] == pytest.approx(6, rel=0.08)
    assert counts[2] / counts[1] == pytest.approx(np.sin(np.deg2rad(30)) / np.sin(np.deg2rad(50)), rel=0.08)
    within = euler[(np.abs(euler[:, 0] - 100) < 5) & (np.abs(euler[:, 1] - 50) < 5)]
    assert np.histogram(within[:, 0], 5, (95, 105))[0].std() < 0.05 * len(within)  # anywhere in the cell


def test_weights_are_orientations_as_they_are(tmp_path: Path) -> None:
    path = table(tmp_path, "# phi1 Phi phi2 weight\n10 20 30 1\n40 50 60 3\n70 80 90 0\n")
    drawn = np.rad2deg(open_texture(str(path)).draw(20_000, np.random.default_rng(0)))
    first = np.isclose(drawn[:, 0], 10)
    assert first.mean() == pytest.approx(0.25, abs=0.02)
    assert_allclose(drawn[~first], np.broadcast_to((40, 50, 60), drawn[~first].shape), atol=1e-9)


def test_a_table_of_weights_on_a_grid_is_no_density(tmp_path: Path) -> None:
    path = write_odf(tmp_path / "odf.txt", lambda angles: np.ones(len(angles)))
    path.write_text(path.read_text(encoding="ascii").replace("value", "weight"), encoding="ascii")
    drawn = np.rad2deg(read_table(path, None).draw(5000, np.random.default_rng(0)))
    assert_allclose(drawn[:, 1], np.round(drawn[:, 1], -1), atol=1e-9)
    assert (drawn[:, 1] < 5).mean() == pytest.approx(0.1, abs=0.02)  # one of ten values of Phi


def test_commas_and_headers_without_a_sign_are_read(tmp_path: Path) -> None:
    assert len(read_table(table(tmp_path, "phi1,Phi,phi2,weight\n1,2,3,4\n5,6,7,8\n"), None).share) == 2


def test_angles_that_may_be_radians_are_said(tmp_path: Path) -> None:
    notes = read_table(table(tmp_path, "1 2 3 1\n3 1 2 1\n"), None).notes
    assert "all angles are below 6.3: they are taken as degrees" in notes


def test_the_symmetry_of_the_header_holds(tmp_path: Path) -> None:
    path = write_odf(tmp_path / "odf.txt", lambda angles: np.ones(len(angles)), crystal="6/mmm")
    assert read_table(path, "hcp:1.6").crystal == ("6/mmm", "hcp:1.6", False)
    with pytest.raises(TextureError, match=r"its crystals have symmetry 6/mmm, which is not that of --phase fcc"):
        read_table(path, "fcc")


@pytest.mark.parametrize(
    ("stated", "symmetry"),
    [
        ("magnesium (6/mmm)", "6/mmm"),
        ('"Magnesium" (6/mmm, X||a*, Y||b, Z||c)', "6/mmm"),
        ("titanium [622]", "6/mmm"),
        ("4/mmm", "4/mmm"),
        ('"432"', "m-3m"),
        ("", "m-3m"),
    ],
)
def test_the_crystal_symmetry_is_a_point_group_beside_a_name(tmp_path: Path, stated: str, symmetry: str) -> None:
    path = table(tmp_path, f"% crystal symmetry: {stated}\n% specimen symmetry: 1\n" + ONE)
    assert read_table(path, None).crystal.symmetry == symmetry


def test_a_crystal_symmetry_without_a_point_group_needs_a_phase(tmp_path: Path) -> None:
    path = table(tmp_path, "% crystal symmetry: magnesium\n" + ONE)
    with pytest.raises(TextureError) as error:
        read_table(path, None)
    one_line(error, path, "its crystal symmetry, 'magnesium', names no known point group; give it with --phase")
    assert read_table(path, "hcp").crystal.symmetry == "6/mmm"


@pytest.mark.parametrize(("stated", "quarter"), [("orthorhombic (mmm)", True), ('"222"', True), ("(1)", False)])
def test_the_specimen_symmetry_is_a_point_group_beside_a_name(tmp_path: Path, stated: str, quarter: bool) -> None:
    assert read_table(table(tmp_path, f"% specimen symmetry: {stated}\n" + ONE), None).orthotropic == quarter


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10 20 30 -1\n40 50 60 3\n", "1 densities are negative, the lowest -1; set them to 0 first"),
        ("10 20 30 0\n40 50 60 0\n", "does not normalise: all of its densities are 0"),
        ("10 20 30 nan\n", "does not normalise: its densities are not all finite"),
        ("10 20 30 1e308\n10 20 31 1e308\n", "does not normalise"),
        ("10 200 30 1\n", "Phi from 0 to 180; got Phi up to 200"),
        ("10 20 30\n", "expected columns phi1, Phi, phi2 in degrees and a density or weight; got 3 columns"),
        (ONE + "10 20\n", "expected columns"),
        (ONE + "10 20 30 many\n", "expected columns"),
        ("% nothing\n", "got no columns"),
        ("% alpha beta gamma value\n" + ONE, "export it with the option 'Bunge'"),
    ],
)
def test_what_is_no_distribution_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = table(tmp_path, text)
    with pytest.raises(TextureError) as error:
        read_table(path, None)
    one_line(error, path, said)


def test_a_missing_table_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TextureError, match=r"odf.txt: cannot be read \(No such file or directory\)"):
        read_table(tmp_path / "odf.txt", None)


def test_a_few_orientations_below_90_degrees_are_no_quarter(tmp_path: Path) -> None:
    assert not read_table(table(tmp_path, "10 20 30 1\n88 20 30 1\n"), None).orthotropic
