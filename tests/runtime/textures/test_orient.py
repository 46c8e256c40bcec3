"""Grains get orientations, kept beside their labels; neighbours are matched to a map by swaps."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from disk import full_disk
from numpy.testing import assert_allclose, assert_array_equal
from one_line import one_line
from write_ang import write_ang, write_two_grains
from write_odf import voronoi

from microrun.runtime.errors import MicrorunError, OutputError, TextureError, VolumeError
from microrun.runtime.progress import finish
from microrun.runtime.textures.matching import measure_angles, measure_boundaries
from microrun.runtime.textures.measured import read_map
from microrun.runtime.textures.neighbours import find_touching
from microrun.runtime.textures.orient import OrientRequest, orient
from microrun.runtime.volumes import grain_volume
from microrun.runtime.volumes.grain_volume import GrainVolume
from microrun.runtime.volumes.orientations import read_orientations
from microrun.runtime.volumes.volume import Volume, open_volume


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A volume with a void and a number that no grain has."""
    grains = voronoi((20, 22, 24), 60)
    grains[grains == 7] = -1
    grains[:3, :3, :3] = -1
    grains[grains == 59] = 70
    np.save(tmp_path / "labels.npy", grains)
    return tmp_path / "labels.npy"


def run(labels: Path, out: Path, **options: object) -> np.ndarray:
    finish(orient(OrientRequest(labels, out, **options)))  # type: ignore[arg-type]
    found = read_orientations(out, f"{out}:grain_id")
    assert found is not None
    return found.euler


def test_an_array_becomes_a_file_of_labels_and_orientations(tmp_path: Path, labels: Path) -> None:
    euler = run(labels, tmp_path / "o.h5", seed=5)
    grains = np.load(labels)
    with open_volume(tmp_path / "o.h5") as volume:
        assert_array_equal(np.asarray(volume), grains)
    assert euler.shape == (71, 3)
    assert_array_equal(np.flatnonzero(np.isfinite(euler).all(axis=1)), np.unique(grains[grains >= 0]))
    with h5py.File(tmp_path / "o.h5") as file:
        stored = file["euler_angles"]
        assert stored.dtype == np.float32
        assert (stored.attrs["symmetry"], stored.attrs["phase"]) == ("m-3m", "fcc")
        assert stored.attrs["texture"] == "uniform, seed 5"
        assert "Bunge phi1, Phi, phi2 in radians" in stored.attrs["convention"]


def test_the_same_seed_gives_the_same_orientations(tmp_path: Path, labels: Path) -> None:
    one, same, other = (run(labels, tmp_path / f"{n}.h5", seed=seed) for n, seed in enumerate((1, 1, 2)))
    assert_array_equal(one, same)
    assert np.nanmax(np.abs(one - other)) > 0.1


def test_a_file_keeps_what_else_it_holds_and_may_be_replaced_by_itself(tmp_path: Path, labels: Path) -> None:
    path = tmp_path / "volume.h5"
    with h5py.File(path, "w") as file:
        file["a/grain_id"] = np.load(labels)
        file["a/grain_id"].attrs["voxel_um"] = 0.5
        file["b/grain_id"] = np.zeros((2, 2, 2), np.int32)
    for texture in ("uniform", "fibre:001@z:15"):
        finish(orient(OrientRequest(path, path, texture, dataset="a/grain_id")))
        found = read_orientations(path, f"{path}:a/grain_id")
        assert found is not None
        assert found.texture == f"{texture}, seed 0"
        assert read_orientations(path, f"{path}:b/grain_id") is None
        with h5py.File(path) as file:
            assert file["a/grain_id"].attrs["voxel_um"] == 0.5
            assert sorted(file["a"]) == ["euler_angles", "grain_id"]


def test_volumes_of_one_file_keep_orientations_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "potts.h5"
    with h5py.File(path, "w") as file:
        for n in range(2):
            file[f"volume_{n}"] = voronoi((6, 6, 6), 5, seed=n)
    for n in range(2):
        finish(orient(OrientRequest(path, path, seed=n, dataset=f"volume_{n}")))
    found = [read_orientations(path, f"{path}:volume_{n}") for n in range(2)]
    assert [one.texture for one in found if one] == ["uniform, seed 0", "uniform, seed 1"]


def test_neighbours_are_found_in_any_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    grains = voronoi((7, 8, 9), 12)
    grains[0, 0] = -1
    expected: dict[tuple[int, int], int] = {}
    for axis in range(3):
        steps = np.moveaxis(grains, axis, 0)
        for one, other in zip(steps[:-1].ravel(), steps[1:].ravel(), strict=True):
            if one != other and min(one, other) >= 0:
                pair = (min(one, other), max(one, other))
                expected[pair] = expected.get(pair, 0) + 1
    for planes in (1, 3, 7):
        monkeypatch.setattr(grain_volume, "SLAB_BYTES", planes * 8 * 9 * 8)
        found = finish(find_touching(GrainVolume(Volume(grains, "l"))))
        assert dict(zip(map(tuple, found.pairs.tolist()), found.faces.tolist(), strict=True)) == expected


def test_grains_of_a_periodic_volume_touch_across_its_faces(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file["grain_id"] = np.arange(3, dtype=np.int32).repeat(4).reshape(3, 2, 2)
        file["grain_id"].attrs["periodic"] = True
    with open_volume(tmp_path / "p.h5") as volume:
        found = finish(find_touching(GrainVolume(volume)))
    assert_array_equal(found.pairs, [[0, 1], [0, 2], [1, 2]])
    assert_array_equal(found.faces, [4, 4, 4])


def test_swaps_bring_neighbours_nearer_to_a_map_and_keep_the_texture(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", voronoi((24, 24, 24), 300))
    path = write_ang(tmp_path / "map.ang", (12, 12))
    drawn = run(tmp_path / "labels.npy", tmp_path / "drawn.h5", texture="fibre:001@z:30")
    request = OrientRequest(tmp_path / "labels.npy", tmp_path / "o.h5", "fibre:001@z:30", misorientations=path)
    made = finish(orient(request))
    found = read_orientations(tmp_path / "o.h5", f"{tmp_path / 'o.h5'}:grain_id")
    assert found is not None
    assert made.matched is not None
    assert_array_equal(np.unique(found.euler, axis=0), np.unique(drawn, axis=0))
    assert made.matched.swaps > 10
    assert made.matched.after_deg < 0.5 * made.matched.before_deg

    def distance(euler: np.ndarray) -> float:
        with open_volume(tmp_path / "labels.npy") as volume:
            pairs, faces = finish(find_touching(GrainVolume(volume)))
        angles = measure_angles(euler, pairs, "m-3m")
        shares = np.bincount(angles.astype(int), faces, 180) / faces.sum()
        return float(np.abs(np.cumsum(shares - measure_boundaries(read_map(path, "fcc")))).sum())

    assert_allclose(made.matched.after_deg, distance(found.euler), atol=0.01)
    assert_allclose(made.matched.before_deg, distance(drawn), atol=0.01)


def test_crystals_that_only_one_file_states_hold_for_both(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", voronoi((8, 8, 8), 9))
    hexagonal = write_ang(tmp_path / "hcp.ang", (6, 6))
    hexagonal.write_text(hexagonal.read_text().replace("Symmetry          43", "Symmetry          62"))
    unstated = write_ang(tmp_path / "unstated.ang", (6, 6))
    unstated.write_text(unstated.read_text().replace("# Symmetry          43\n", ""))
    for texture, beside in (("uniform", hexagonal), (hexagonal, unstated)):
        request = OrientRequest(tmp_path / "labels.npy", tmp_path / "o.h5", str(texture), misorientations=beside)
        assert finish(orient(request)).crystal.symmetry == "6/mmm"
    cubic = write_ang(tmp_path / "cubic.ang", (6, 6))
    with pytest.raises(TextureError, match=r"hcp.ang: its crystals have symmetry 6/mmm; those of the texture m-3m"):
        finish(orient(OrientRequest("labels.npy", "o.h5", str(cubic), misorientations=hexagonal)))


def test_the_boundary_of_a_map_has_the_angle_between_its_grains(tmp_path: Path) -> None:
    measured = read_map(write_two_grains(tmp_path / "map.ang", 0.2), None)
    shares = measure_boundaries(measured)
    expected = measure_angles(np.array([(0.5, 0.6, 0.7), (1.5, 1.0, 0.2)]), np.array([[0, 1]]), "m-3m")
    assert np.flatnonzero(shares).tolist() == [int(expected[0])]
    with pytest.raises(TextureError, match=r"map.ang: no neighbours are turned by 5° or more: it has no boundary"):
        measure_boundaries(read_map(write_two_grains(tmp_path / "map.ang", 0), None))


@pytest.mark.parametrize(
    ("grains", "options", "kind", "said"),
    [
        (np.full((2, 2, 2), -1), {}, VolumeError, "contains no grains"),
        (np.full((2, 2, 2), 0.5), {}, VolumeError, "labels are whole numbers"),
        (np.zeros((2, 2)), {}, VolumeError, "three dimensions"),
        (np.zeros((2, 2, 2)), {"texture": "nothing"}, TextureError, "a texture is uniform"),
        (np.zeros((2, 2, 2)), {"seed": -1}, TextureError, "a seed is 0 or more; got -1"),
        (np.zeros((2, 2, 2)), {"out": "o.npy"}, OutputError, "kept in one file, which ends in .h5"),
        (np.zeros((2, 2, 2)), {"misorientations": "map.ang"}, TextureError, "no two grains of the volume touch"),
        (np.zeros((2, 2, 2)), {"misorientations": "map.ang", "phase": "hcp"}, TextureError, "which is not that of"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, grains: np.ndarray, options: dict[str, object], kind: type[MicrorunError], said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_ang(tmp_path / "map.ang", (4, 4))
    np.save("labels.npy", grains)
    with pytest.raises(kind) as error:
        finish(orient(OrientRequest("labels.npy", **{"out": "o.h5", **options})))  # type: ignore[arg-type]
    one_line(error, said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.npy", "map.ang"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", voronoi((16, 16, 16), 20))
    (tmp_path / "o.h5").write_bytes(b"old")
    with full_disk(), pytest.raises(OutputError, match=r"o.h5: cannot be written"):
        finish(orient(OrientRequest(tmp_path / "labels.npy", tmp_path / "o.h5")))
    assert (tmp_path / "o.h5").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.npy", "o.h5"]
