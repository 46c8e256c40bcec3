"""Labels from files of microrun, SPPARKS and DREAM3D, and everything that is none."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import voxel_oracles as oracles
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from scipy.ndimage import label

from microrun.runtime.convert.to_dream3d import write_dream3d
from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes import label_files, tally
from microrun.runtime.volumes.grain_volume import GrainVolume
from microrun.runtime.volumes.label_files import LabelledVolume, read_labels
from microrun.runtime.volumes.volume import Volume

VORONOI = oracles.voronoi((5, 6, 7), 12, 0)
SPINS = VORONOI % 4 + 1


def read_one(path: Path, dataset: str | None = None) -> LabelledVolume:
    (volume,) = read_labels(path, dataset)
    return volume


def dump(spins: NDArray[Any], step: float = 1.0, columns: str = "id type x y z", seed: int = 0) -> str:
    """A snapshot as SPPARKS writes it, its sites in any order."""
    places = np.argwhere(spins >= 0)[np.random.default_rng(seed).permutation(spins.size)]
    lines = []
    for z, y, x in places:
        known = {"id": 1 + int(np.ravel_multi_index((z, y, x), spins.shape)), "energy": 3.5}
        known |= {"x": x * step, "y": y * step, "z": z * step}
        lines.append(" ".join(f"{known.get(name, spins[z, y, x]):g}" for name in columns.split()))
    depth, rows, cols = (side * step for side in spins.shape)
    bounds = f"0 {cols:g}\n0 {rows:g}\n0 {depth:g}"
    head = f"ITEM: TIMESTEP\n{seed}         {seed}\nITEM: NUMBER OF ATOMS\n{spins.size}\nITEM: BOX BOUNDS\n{bounds}\n"
    return f"{head}ITEM: ATOMS {columns} \n" + " \n".join(lines) + " \n"


def same_grains(one: NDArray[Any], other: NDArray[Any]) -> bool:
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(one)) == len(np.unique(other))


def pieces_of(spins: NDArray[Any]) -> NDArray[Any]:
    """Grains of spins, by scipy."""
    found = np.zeros(spins.shape, int)
    for spin in np.unique(spins):
        own = label(spins == spin)[0]
        found += np.where(own > 0, own + found.max(), 0)
    return found


def check_refused(path: Path, *said: str, dataset: str | None = None) -> None:
    with pytest.raises(VolumeError) as error:
        list(read_labels(path, dataset))
    message = str(error.value)
    assert message.startswith(str(path)) and "\n" not in message
    for words in said:
        assert words in message


@pytest.mark.parametrize("columns", ["id type x y z", "id site x y z", "z y x energy i1", "type id z x y"])
@pytest.mark.parametrize("step", [1.0, 0.25])
def test_dumps_of_spparks_are_read_in_any_order(columns: str, step: float, tmp_path: Path) -> None:
    path = tmp_path / "dump.potts"
    path.write_text(dump(SPINS, step, columns))
    volume = read_one(path)
    assert same_grains(volume.labels, pieces_of(SPINS))
    assert volume.voxel_um is None and not volume.remarks


def test_of_several_snapshots_the_last_is_taken_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "dump.txt"
    path.write_text(dump(SPINS[::-1]) + dump(SPINS * 2, seed=1) + dump(SPINS, seed=50))
    volume = read_one(path)
    assert same_grains(volume.labels, pieces_of(SPINS))
    assert volume.remarks == ("holds 3 snapshots; the last, of time 50, is taken",)


def test_damaged_dumps_are_refused(tmp_path: Path) -> None:
    path, whole = tmp_path / "dump.txt", dump(SPINS)
    last = whole.rstrip().rpartition("\n")[0]
    cases = {
        last: "cut short",
        whole[: len(whole) // 2]: "cut short",
        whole[:60]: "head",
        whole + dump(SPINS)[:200]: "cut short",
        whole.replace("ATOMS id type", "ATOMS id spin"): "expected the columns type (or i1), x, y and z",
        re.sub(r"(?m)^1 ", "one ", whole): "not a number",
        last + "\n1 2 9 9 9\n": "not all of a simple cubic lattice",
        last + "\n1 2 0.5 0.3 0\n": "simple cubic lattice",
        last + "\n1 2 nan 1 1\n": "not numbers",
        whole.replace(" 1 ", " 1.5 "): "simple cubic lattice",
        dump(SPINS + 0.5): "spins are whole numbers",
    }
    for text, said in cases.items():
        path.write_text(text)
        check_refused(path, said)


def write_version_6(path: Path, ids: NDArray[Any], spacing: tuple[float, ...] = (0.5, 0.5, 0.5)) -> None:
    with h5py.File(path, "w") as file:
        container = file.create_group("DataContainers/ImageDataContainer")
        container["CellData/FeatureIds"] = ids[..., None]
        container["CellData/Phases"] = np.ones_like(ids)[..., None]
        container["CellFeatureData/EquivalentDiameters"] = np.zeros((9, 1), np.float32)
        container["_SIMPL_GEOMETRY/DIMENSIONS"] = np.array(ids.shape[::-1], np.int64)
        container["_SIMPL_GEOMETRY/SPACING"] = np.array(spacing, np.float32)


@pytest.mark.parametrize("dtype", ["int32", "uint16"])
def test_files_of_dream3d_6_are_read(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "a.dream3d"
    write_version_6(path, VORONOI.astype(dtype))
    volume = read_one(path)
    assert_array_equal(volume.labels, np.where(VORONOI > 0, VORONOI, -1))
    assert volume.voxel_um == 0.5
    check_refused(path, "has no data set nothing", dataset="nothing")
    chosen = read_one(path, "DataContainers/ImageDataContainer/CellData/Phases")
    assert (chosen.labels == 1).all()


def test_our_own_files_for_dream3d_nx_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "own.dream3d"
    labels = np.where(VORONOI == 3, -1, VORONOI)
    write_dream3d(GrainVolume(Volume(labels, "labels"), voxel_um=0.7), path)
    volume = read_one(path)
    assert same_grains(volume.labels, labels) and (volume.labels < 0).sum() == (labels < 0).sum()
    assert volume.voxel_um == pytest.approx(0.7)
    with h5py.File(path, "r+") as file:
        file["DataStructure/ImageGeom"].attrs["Units"] = np.uint32(7)
    assert read_one(path).voxel_um == pytest.approx(700)


def test_files_of_dream3d_without_what_is_needed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dream3d"
    write_version_6(path, VORONOI, (1, 1, 2))
    check_refused(path, "1 × 1 × 2", "cubes")
    write_version_6(path, VORONOI, (0, 0, 0))
    check_refused(path, "longer than 0")
    with h5py.File(path, "r+") as file:
        del file["DataContainers/ImageDataContainer/CellData/FeatureIds"]
    check_refused(path, "without FeatureIds")
    write_version_6(path, VORONOI.astype(float))
    check_refused(path, "whole numbers", "float64")
    write_version_6(path, VORONOI)
    with h5py.File(path, "r+") as file:
        file["DataContainers/Other/CellData/FeatureIds"] = VORONOI[..., None]
    check_refused(path, "several FeatureIds", "DataContainers/Other/CellData/FeatureIds")
    path.write_bytes(path.read_bytes()[:900])
    check_refused(path, "damaged")


def test_one_data_set_of_several_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "several.h5"
    with h5py.File(path, "w") as file:
        file["grain_id"], file["deeper/others"], file["quality"] = VORONOI, VORONOI[:3], VORONOI / 2
    assert read_one(path).name == "grain_id"
    assert read_one(path, "/deeper/others").labels.shape == (3, 6, 7)
    check_refused(path, "no data set none", "deeper/others, grain_id, quality", dataset="none")
    with h5py.File(path, "r+") as file:
        del file["grain_id"]
    assert [volume.name for volume in read_labels(path)] == ["deeper/others"]
    np.save(tmp_path / "a.npy", VORONOI)
    check_refused(tmp_path / "a.npy", "leave 'x' out", dataset="x")


def test_what_a_file_says_of_its_grains_is_kept(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "grown.h5", "w") as file:
        file["grain_id"] = VORONOI
        file["grain_id"].attrs.update(
            blueprint=json.dumps({"order": "isotropic"}), options=json.dumps({"min_voxels": 27}), voxel_um=0.2
        )
    volume = read_one(tmp_path / "grown.h5")
    assert (volume.order, volume.absorbed_voxels, volume.voxel_um) == ("isotropic", 27, 0.2)


def test_grains_that_go_on_at_the_opposite_face_are_cut(tmp_path: Path) -> None:
    labels = np.zeros((4, 4, 12), np.int32)
    labels[..., 2:10] = 1
    with h5py.File(tmp_path / "periodic.h5", "w") as file:
        file["volume_0000"] = labels
        file["volume_0000"].attrs["periodic"] = True
    assert_array_equal(np.bincount(read_one(tmp_path / "periodic.h5").labels.ravel()), [32, 128, 32])


def test_the_void_around_a_periodic_part_is_no_grain(tmp_path: Path) -> None:
    labels = np.full((4, 4, 12), -1, np.int32)
    labels[:2, :, 2:10] = 7
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["grain_id"] = labels
        file["grain_id"].attrs["periodic"] = True
    assert_array_equal(read_one(tmp_path / "part.h5").labels, np.where(labels < 0, -1, 0))


@pytest.mark.parametrize("periodic", [False, True])
def test_data_sets_that_are_no_integers_are_no_labels(periodic: bool, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "values.h5", "w") as file:
        file["quality"] = VORONOI / 2
        file["quality"].attrs["periodic"] = periodic
    check_refused(tmp_path / "values.h5", ":quality: expected integer labels (z, y, x); got float64 (5, 6, 7)")


def test_volumes_too_large_to_number_their_pieces_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_VOXELS", 100)
    with h5py.File(tmp_path / "periodic.h5", "w") as file:
        file["grain_id"] = VORONOI
        file["grain_id"].attrs["periodic"] = True
    check_refused(tmp_path / "periodic.h5", "at most 100 voxels; the volume has 210: take a smaller one")


def test_too_little_memory_does_not_make_a_file_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise MemoryError

    np.save(tmp_path / "a.npy", VORONOI)
    monkeypatch.setattr(label_files, "map_array", fail)
    with pytest.raises(MemoryError):
        read_one(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "name", ["none.npy", "text.npy", "empty.npy", "short.npy", "cut.npy", "text.h5", "empty.h5", "a.png", "text", "."]
)
def test_files_that_are_no_volumes_are_refused(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", VORONOI)
    (tmp_path / "short.npy").write_bytes((tmp_path / "short.npy").read_bytes()[:500])
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01\x00\x0f\x00{'descr': '<i4\n")
    for text in ("text.npy", "text.h5", "a.png", "text"):
        (tmp_path / text).write_text("no volume")
    (tmp_path / "empty.npy").touch()
    h5py.File(tmp_path / "empty.h5", "w").close()
    check_refused(tmp_path / name)
