"""Volumes for DAMASK, Abaqus, MOOSE, Neper and DREAM3D, read by what others wrote where there is such a thing."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disk import full_disk
from numpy.testing import assert_allclose, assert_array_equal
from one_line import one_line
from read_solver_files import read_as_damask_solver, read_moose, read_tesr
from write_odf import voronoi

from microrun.runtime.convert import to_abaqus, to_damask, to_moose, to_neper
from microrun.runtime.convert.convert_volume import VolumeFormat, convert_volume, name_files
from microrun.runtime.errors import OutputError, VolumeError
from microrun.runtime.sections.grain_map import to_quaternions
from microrun.runtime.volumes import grain_volume
from microrun.runtime.volumes.grain_volume import GrainVolume
from microrun.runtime.volumes.orientations import GrainOrientations
from microrun.runtime.volumes.volume import Volume

SOLVERS: tuple[VolumeFormat, ...] = ("damask", "abaqus", "moose", "neper")
ORIGIN_UM = (1.0, 20.0, 300.0)  # z, y, x


def some_volume(void: bool = False, gaps: bool = False, symmetry: str = "m-3m", phase: str = "fcc") -> GrainVolume:
    """5 × 6 × 7 voxels of 0.5 µm."""
    grains = voronoi((5, 6, 7), 12)
    if void:
        grains[1:3, 2:5, 3:] = -1
    if gaps:
        grains = np.where(grains >= 0, 3 * grains + 2, -1)
    euler = np.full((40, 3), np.nan)
    euler[np.unique(grains[grains >= 0])] = np.random.default_rng(0).random((len(np.unique(grains[grains >= 0])), 3))
    orientations = GrainOrientations(euler * [6.2, 3.1, 6.2], symmetry, phase, "test")
    return GrainVolume(Volume(grains.astype(np.int32), "l"), None, 0.5, ORIGIN_UM, orientations)


def labels_of(volume: GrainVolume) -> np.ndarray:
    return np.asarray(volume.labels)


@pytest.mark.parametrize(("void", "gaps"), [(False, False), (True, False), (True, True)])
def test_damask_loads_the_grid_and_its_materials(tmp_path: Path, void: bool, gaps: bool) -> None:
    damask = pytest.importorskip("damask", reason="DAMASK's package is not installed")
    volume = some_volume(void, gaps)
    convert_volume(volume, "damask", tmp_path / "v.vti")
    grid = damask.GeomGrid.load(tmp_path / "v.vti")
    assert tuple(grid.cells) == (7, 6, 5)
    assert_allclose(grid.size, np.array([7, 6, 5]) * 0.5e-6)
    assert_allclose(grid.origin, np.array(ORIGIN_UM[::-1]) * 1e-6)
    material, labels = grid.material.transpose(2, 1, 0), labels_of(volume)
    config = damask.ConfigMaterial.load(tmp_path / "v.material.yaml")
    assert config.is_complete
    assert config.is_valid
    numbers = np.unique(labels[labels >= 0])
    assert len(config["material"]) == len(numbers) + void == grid.N_materials
    assert_array_equal(material[labels >= 0], np.searchsorted(numbers, labels[labels >= 0]))
    assert (material[labels < 0] == len(numbers)).all()
    assert volume.orientations is not None
    for number, entry in zip(numbers, config["material"], strict=False):
        constituent = entry["constituents"][0]
        expected = damask.Rotation.from_Euler_angles(volume.orientations.euler[number])
        assert constituent["phase"] == "grains"
        assert damask.Rotation(constituent["O"]).isclose(expected, atol=1e-9)
    assert set(config["phase"]) == ({"grains", "void"} if void else {"grains"})
    assert ("# grain 2\n" in (tmp_path / "v.material.yaml").read_text(encoding="ascii")) == gaps


def test_the_reader_of_damasks_solver_takes_the_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = some_volume()
    for planes in (1, 2, 5):  # so that pieces end within three bytes, too
        monkeypatch.setattr(grain_volume, "SLAB_BYTES", planes * 6 * 7 * 8)
        convert_volume(volume, "damask", tmp_path / "v.vti")
        assert_array_equal(read_as_damask_solver(tmp_path / "v.vti"), labels_of(volume))


def test_the_length_and_the_data_of_the_grid_are_one_stream_as_vtk_writes_them(tmp_path: Path) -> None:
    volume = some_volume()
    convert_volume(volume, "damask", tmp_path / "v.vti")
    data = labels_of(volume).astype("<i4").tobytes()
    stream = base64.b64encode(len(data).to_bytes(8, "little") + data)
    assert stream in (tmp_path / "v.vti").read_bytes().split(b"\n")


@pytest.mark.parametrize(
    ("symmetry", "phase", "lines"),
    [
        ("m-3m", "bcc", ["lattice: cI", "is that of bcc"]),
        ("6/mmm", "hcp:1.59", ["lattice: hP", "c/a: 1.59"]),
        ("4/mmm", "", ["lattice: tI", "# The shape of its cell"]),
        ("6/mmm", "", ["lattice: hP", "is a guess: only the symmetry 6/mmm is known"]),
        ("m-3m", "", ["lattice: cF", "is a guess"]),
    ],
)
def test_the_lattice_is_that_of_the_crystals(tmp_path: Path, symmetry: str, phase: str, lines: list[str]) -> None:
    convert_volume(some_volume(symmetry=symmetry, phase=phase), "damask", tmp_path / "v.vti")
    text = (tmp_path / "v.material.yaml").read_text(encoding="ascii")
    assert all(line in text for line in lines)


@pytest.mark.parametrize("void", [False, True])
def test_meshio_reads_the_mesh_with_its_sets(tmp_path: Path, void: bool) -> None:
    import meshio

    volume = some_volume(void, gaps=True)
    convert_volume(volume, "abaqus", tmp_path / "v.inp")
    mesh = meshio.read(tmp_path / "v.inp")
    labels = labels_of(volume)
    assert [block.type for block in mesh.cells] == ["hexahedron"]
    corners = mesh.points[mesh.cells[0].data]
    assert len(corners) == (labels >= 0).sum()
    middles = (corners.mean(axis=1) - ORIGIN_UM[::-1]) / 0.5
    place = tuple(middles[:, ::-1].astype(int).T)
    assert_allclose(middles % 1, 0.5, atol=1e-6)
    edges = corners[:, [1, 3, 4]] - corners[:, [0]]
    assert_allclose(np.linalg.det(edges), 0.125, rtol=1e-5)  # none is turned inside out
    assert np.unique(mesh.cells[0].data).size == len(mesh.points)  # no node is alone
    numbers = np.unique(labels[labels >= 0])
    assert set(mesh.cell_sets) == {f"GRAIN_{number}" for number in numbers}
    for number in numbers:
        members = mesh.cell_sets[f"GRAIN_{number}"][0]
        assert_array_equal(np.sort(members), np.flatnonzero(labels[place] == number))


def test_abaqus_gets_the_axes_of_each_crystal(tmp_path: Path) -> None:
    from orix.quaternion import Rotation

    volume = some_volume(gaps=True)
    convert_volume(volume, "abaqus", tmp_path / "v.inp")
    lines = (tmp_path / "v.inp").read_text(encoding="ascii").splitlines()
    assert volume.orientations is not None
    for number in np.unique(labels_of(volume)):
        at = lines.index(f"*Orientation, name=ORIENTATION_{number}, system=RECTANGULAR")
        axes = Rotation.from_euler(volume.orientations.euler[number]).to_matrix()[0]
        assert_allclose([float(part) for part in lines[at + 1].split(",")], axes[:2].ravel(), atol=1e-9)
        assert f"*Solid Section, elset=GRAIN_{number}, orientation=ORIENTATION_{number}, material=CRYSTAL" in lines
    assert "*Material, name=CRYSTAL" in lines
    assert max(map(len, lines)) <= 256


@pytest.mark.parametrize("void", [False, True])
def test_moose_finds_every_voxel_of_every_feature(tmp_path: Path, void: bool) -> None:
    volume = some_volume(void, gaps=True, symmetry="6/mmm", phase="hcp")
    convert_volume(volume, "moose", tmp_path / "v.txt")
    header, features, points = read_moose(tmp_path / "v.txt")
    labels = labels_of(volume)
    assert_array_equal(features, labels + 1)
    assert (header["x_step"], header["x_min"], header["y_min"], header["z_max"]) == (0.5, 300, 20, 3.5)
    assert volume.orientations is not None
    grains = points[:, 6] > 0
    assert_allclose(points[grains, :3], volume.orientations.euler[points[grains, 6].astype(int) - 1], atol=1e-6)
    assert_array_equal(np.unique(points[grains, 7:], axis=0), [[1, 62]])
    assert_array_equal(points[~grains][:, [0, 1, 2, 6, 7, 8]], 0)


@pytest.mark.parametrize("void", [False, True])
def test_neper_finds_cells_and_their_orientations(tmp_path: Path, void: bool) -> None:
    volume = some_volume(void, gaps=True)
    convert_volume(volume, "neper", tmp_path / "v.tesr")
    found, labels = read_tesr(tmp_path / "v.tesr"), labels_of(volume)
    assert_array_equal(found.cells, labels + 1)
    assert (found.voxel, found.origin, found.symmetry) == ([0.5] * 3, list(ORIGIN_UM[::-1]), "cubic")
    assert volume.orientations is not None
    for cell, angles in found.angles.items():
        assert_allclose(np.deg2rad(angles), volume.orientations.euler[cell - 1], atol=1e-9)
    beside = np.loadtxt(tmp_path / "v.ori")
    assert_allclose(beside, list(found.angles.values()))


def test_dream3d_has_orientations_that_damask_loads(tmp_path: Path) -> None:
    damask = pytest.importorskip("damask", reason="DAMASK's package is not installed")
    volume = some_volume()
    path = tmp_path / "v.dream3d"
    convert_volume(volume, "dream3d", path)
    grid = damask.GeomGrid.load_DREAM3D(path, feature_IDs="FeatureIds")
    assert_array_equal(grid.material.transpose(2, 1, 0), labels_of(volume) + 1)
    config = damask.ConfigMaterial.load_DREAM3D(
        path, grain_data="Cell Feature Data", Euler_angles="AvgEulerAngles", cell_ensemble_data=None
    )
    assert volume.orientations is not None
    for number in np.unique(labels_of(volume)):
        rotation = damask.Rotation(config["material"][number + 1]["constituents"][0]["O"])
        assert rotation.isclose(damask.Rotation(to_quaternions(volume.orientations.euler[number])), atol=1e-6)
    by_cell = damask.GeomGrid.load_DREAM3D(path)
    assert by_cell.N_materials == len(np.unique(labels_of(volume)))


def test_dream3d_knows_the_crystals_of_each_voxel(tmp_path: Path) -> None:
    import h5py

    volume = some_volume(void=True, symmetry="6/mmm")
    convert_volume(volume, "dream3d", tmp_path / "v.dream3d")
    with h5py.File(tmp_path / "v.dream3d") as file:
        root = file["DataStructure/ImageGeom"]
        assert_array_equal(root["Cell Ensemble Data/CrystalStructures"][:, 0], [999, 0])
        labels = labels_of(volume)
        assert_array_equal(root["Cell Data/Phases"][..., 0], labels >= 0)
        assert volume.orientations is not None
        expected = np.where(labels[..., None] >= 0, volume.orientations.euler[labels], 0)
        assert_allclose(root["Cell Data/EulerAngles"], expected, atol=1e-6)


@pytest.mark.parametrize("to", SOLVERS)
def test_slabs_make_the_same_files(tmp_path: Path, to: VolumeFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    first = name_files(tmp_path / "whole.h5", to)
    convert_volume(some_volume(void=True, gaps=True), to, first[0])
    monkeypatch.setattr(grain_volume, "SLAB_BYTES", 2 * 6 * 7 * 8)
    second = name_files(tmp_path / "slabs.h5", to)
    convert_volume(some_volume(void=True, gaps=True), to, second[0])
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize(
    ("to", "module", "limit", "said"),
    [
        ("damask", to_damask, "MOST_VOXELS", "DAMASK's grids number at most 100 voxels; the volume has 210: cut it"),
        ("abaqus", to_abaqus, "MOST_NUMBERS", "Abaqus numbers at most 100 nodes; the volume has 336: cut it"),
        ("moose", to_moose, "MOST_VOXELS", "MOOSE's EBSD files number at most 100 voxels"),
        ("neper", to_neper, "MOST_VOXELS", "Neper's tessellations number at most 100 voxels"),
    ],
)
def test_what_a_format_cannot_count_is_refused(
    tmp_path: Path, to: VolumeFormat, module: Any, limit: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, limit, 100)
    with pytest.raises(VolumeError) as error:
        convert_volume(some_volume(), to, name_files(tmp_path / "v.h5", to)[0])
    one_line(error, said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", SOLVERS)
def test_what_solvers_cannot_use_is_one_line(tmp_path: Path, to: VolumeFormat) -> None:
    out = name_files(tmp_path / "v.h5", to)[0]
    for labels, said in ((np.zeros((2, 2, 2), int), "no orientations"), (np.full((2, 2, 2), -1), "contains no grains")):
        with pytest.raises(VolumeError) as error:
            convert_volume(GrainVolume(Volume(labels, "l")), to, out)
        one_line(error, "l: ", said)
    with pytest.raises(OutputError, match=rf"v.png: {to} files end in \{out.suffix}"):
        convert_volume(some_volume(), to, tmp_path / "v.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", SOLVERS)
def test_a_full_disk_leaves_the_old_files(tmp_path: Path, to: VolumeFormat) -> None:
    paths = name_files(tmp_path / "v.h5", to)
    for path in paths:
        path.write_bytes(b"old")
    large = GrainVolume(
        Volume(np.zeros((32, 32, 32), np.int32), "l"), orientations=GrainOrientations(np.zeros((1, 3)), "m-3m")
    )
    with full_disk(), pytest.raises(OutputError, match="cannot be written"):
        convert_volume(large, to, paths[0])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {path.name: b"old" for path in paths}
