"""`microrun orient`, and its grains in solvers' files."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import Microrun, check_refused
from write_ang import write_ang, write_two_grains
from write_odf import voronoi, write_odf

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "orientations.md"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    np.save(tmp_path / "labels.npy", voronoi((10, 11, 12), 30))
    return tmp_path / "labels.npy"


def test_grains_get_orientations(microrun: Microrun, tmp_path: Path, labels: Path) -> None:
    out = tmp_path / "o.h5"
    ran = microrun("orient", labels, "--texture", "uniform", "--out", out, "--seed", 3)
    assert ran.code == 0, ran
    for said in ("grains 30", "crystals m-3m, since nothing else is stated; --phase says otherwise", "wrote"):
        assert said in ran.said
    assert "orientations m-3m, uniform, seed 3" in microrun("inspect", out).said
    check_refused(microrun("orient", labels, "--texture", "uniform", "--out", out), out, "--overwrite")
    again = microrun("orient", out, "--texture", "fibre:111@z:5", "--out", out, "--overwrite", "--phase", "bcc")
    assert "crystals m-3m wrote" in again.said
    assert "orientations m-3m, fibre:111@z:5, seed 0" in microrun("inspect", out).said


def test_orientations_that_are_none_do_not_keep_a_volume_from_being_inspected(
    microrun: Microrun, tmp_path: Path, labels: Path
) -> None:
    microrun("orient", labels, "--texture", "uniform", "--out", tmp_path / "o.h5")
    with h5py.File(tmp_path / "o.h5", "r+") as file:
        del file["euler_angles"].attrs["symmetry"]
    ran = microrun("inspect", tmp_path / "o.h5")
    assert "grains 30" in ran.said
    assert "cannot be used: " in ran.said
    check_refused(microrun("convert", tmp_path / "o.h5", "--to", "moose"), "run microrun orient again")


def test_maps_and_tables_say_what_they_are(microrun: Microrun, tmp_path: Path, labels: Path) -> None:
    out = tmp_path / "o.h5"
    path = write_two_grains(tmp_path / "map.ang", 0.2, missing=300)
    ran = microrun("orient", labels, "--texture", path, "--out", out)
    assert f"texture {path}: 700 of 1,000 points; 300 not indexed" in ran.said
    table = write_odf(tmp_path / "odf.txt", lambda angles: np.ones(len(angles)))
    ran = microrun("orient", labels, "--texture", table, "--out", out, "--overwrite")
    assert "densities on a grid, on average 1 times those without texture" in ran.said


def test_the_misorientations_of_a_map_are_matched(microrun: Microrun, tmp_path: Path, labels: Path) -> None:
    path = write_ang(tmp_path / "map.ang", (12, 12))
    options = ("--texture", "uniform", "--out", tmp_path / "o.h5", "--misorientations", path)
    said = microrun("orient", labels, *options).said
    found = re.search(r"angles ([\d.]+)° from those of the map before, ([\d.]+)° after [\d,]+ swaps", said)
    assert found, said
    assert float(found[2]) < float(found[1])


def test_files_that_are_read_are_never_replaced(microrun: Microrun, tmp_path: Path, labels: Path) -> None:
    from orix.io import load, save

    path = tmp_path / "map.h5"
    save(str(path), load(write_ang(tmp_path / "map.ang", (12, 12))))
    before = path.read_bytes()
    for options in (("--texture", path), ("--texture", "uniform", "--misorientations", path)):
        ran = microrun("orient", labels, *options, "--out", path, "--overwrite")
        check_refused(ran, path, "is the file that is read; write to another place")
    assert path.read_bytes() == before


def test_bad_input_is_one_line(microrun: Microrun, tmp_path: Path, labels: Path) -> None:
    none = write_two_grains(tmp_path / "none.ang", 0.2, missing=1000)
    negative = tmp_path / "odf.txt"
    negative.write_text("1 2 3 -4\n", encoding="ascii")
    for texture, said in (
        (none, "no point is indexed"),
        (negative, "negative"),
        ("fibre:001@z", "a fibre is written fibre:001@z:15"),
        ("goss", "a texture is uniform"),
        (tmp_path / "missing.ang", "missing.ang: cannot be read"),
    ):
        check_refused(microrun("orient", labels, "--texture", texture, "--out", tmp_path / "o.h5"), said)
    ran = microrun("orient", labels, "--texture", "uniform", "--out", tmp_path / "o.npy")
    check_refused(ran, "kept in one file, which ends in .h5", code=1)
    check_refused(microrun("orient", none, "--texture", "uniform", "--out", tmp_path / "o.h5"), "not a volume")


@pytest.mark.parametrize("to", ["damask", "abaqus", "moose", "neper", "dream3d"])
def test_oriented_grains_are_converted(microrun: Microrun, tmp_path: Path, labels: Path, to: str) -> None:
    assert microrun("orient", labels, "--texture", "uniform", "--out", tmp_path / "o.h5").code == 0
    ran = microrun("convert", tmp_path / "o.h5", "--to", to)
    assert ran.code == 0, ran
    assert "voxels of 1 µm: no size is stated by" in ran.said
    assert "crystals m-3m, orientations: uniform, seed 0" in ran.said
    lines = [line.split() for line in ran.out.splitlines()]
    made = [Path(words[1]) for words in lines if words[0] == "wrote"]
    assert all(path.stat().st_size > 500 for path in made)
    assert len(made) == {"damask": 2, "neper": 2}.get(to, 1)
    made[0].unlink()
    if len(made) == 2:
        check_refused(microrun("convert", tmp_path / "o.h5", "--to", to), made[1], "--overwrite")


def test_the_voxel_that_a_file_states_is_taken(microrun: Microrun, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["grain_id"] = voronoi((6, 7, 8), 9)
        file["grain_id"].attrs["voxel_um"] = 0.25
    microrun("orient", tmp_path / "v.h5", "--texture", "uniform", "--out", tmp_path / "o.h5")
    ran = microrun("convert", tmp_path / "o.h5", "--to", "neper")
    assert "voxels of 0.25 µm, as stated by" in ran.said
    assert "0.25 0.25 0.25" in (tmp_path / "o.tesr").read_text(encoding="ascii")
    ran = microrun("convert", tmp_path / "o.h5", "--to", "neper", "--voxel-um", 2, "--overwrite")
    assert "states voxels of 0.25 µm; --voxel-um 2 is taken" in ran.err
    assert "2 2 2" in (tmp_path / "o.tesr").read_text(encoding="ascii")


@pytest.mark.parametrize("to", ["damask", "abaqus", "moose", "neper"])
def test_grains_without_orientations_are_refused(microrun: Microrun, labels: Path, to: str) -> None:
    check_refused(microrun("convert", labels, "--to", to), "no orientations; give them with microrun orient")
    ran = microrun("convert", labels, "--to", to, "--values", labels)
    check_refused(ran, f"--values has no meaning for --to {to}")


@pytest.mark.parametrize("library", [r"damask\.", "orix", "read_orientations"])
def test_the_documentation_runs(
    microrun: Microrun, tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Python, on a volume that its commands are run on."""
    if "damask" in library:
        pytest.importorskip("damask", reason="DAMASK's package is not installed")
    monkeypatch.chdir(tmp_path)
    np.save("ni.npy", voronoi((32, 32, 32), 40))
    assert microrun("orient", "ni.npy", "--texture", "fibre:001@z:15", "--out", "oriented.h5", "--seed", 1).code == 0
    assert microrun("convert", "oriented.h5", "--to", "damask", "--voxel-um", 0.5).code == 0
    text = DOCUMENTATION.read_text(encoding="utf-8")
    scripts = [script for script in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if re.search(library, script)]
    assert len(scripts) == 1
    exec(scripts[0], {})
